"""Which accounts are opened by what requests show: access tokens and API keys, one or a whole batch."""

from collections.abc import Collection

from sqlalchemy import Integer, LargeBinary, Select, and_, or_, select

from app.core.database import Database
from app.core.security import Claims, Credential
from app.crud.admissions import as_table
from app.crud.api_keys import IS_GOOD
from app.crud.sign_ins import GOES_ON
from app.models import ApiKey, SignIn, User

_shown = as_table(users=Integer, sign_ins=Integer, digests=LargeBinary)
_OPENED = (
    select(_shown.c.arrival, User.email, User.token_version, ApiKey.scopes)
    .join(User, User.id == _shown.c.users)
    .outerjoin(SignIn, and_(SignIn.id == _shown.c.sign_ins, SignIn.user_id == User.id, GOES_ON))
    .outerjoin(ApiKey, and_(ApiKey.key_digest == _shown.c.digests, ApiKey.user_id == User.id, IS_GOOD))
    .where(User.is_active, or_(SignIn.id.is_not(None), ApiKey.id.is_not(None)))
)
# In the order of their ids, as everywhere, so that no two batches wait for each other.
_OPENED_AND_HELD = _OPENED.order_by(User.id).with_for_update(of=User, key_share=True)


def get_account(db: Database, credential: Credential) -> tuple[User, bool] | None:
    """Return the active account that a credential opens, in one statement, and whether its scopes reach.

    A token opens it while its id, address and version fit the account, and its sign-in has not ended; it may
    do whatever the account may.
    """
    account = select(User).where(User.id == credential.uid, User.is_active)
    if isinstance(credential, Claims):
        fits = and_(User.email == credential.sub, User.token_version == credential.ver)
        signed_in = and_(SignIn.id == credential.sid, SignIn.user_id == User.id, GOES_ON)
        user = db.scalar(account.join(SignIn, signed_in).where(fits))
        return None if user is None else (user, True)
    key = and_(ApiKey.key_digest == credential.digest, ApiKey.user_id == User.id, IS_GOOD)
    found = db.execute(account.join(ApiKey, key).add_columns(ApiKey.scopes)).one_or_none()
    return None if found is None else (found[0], credential.reaches(found[1]))


def map_fitting(db: Database, credentials: Collection[Credential]) -> dict[Credential, bool]:
    """Return which of ``credentials`` open an active account, and whether their scopes reach."""
    return _fitting(db, _OPENED, credentials)


def lock_fitting(db: Database, credentials: Collection[Credential]) -> dict[Credential, bool]:
    """Return the same, and let nobody else plan the agendas of these accounts until the end."""
    return _fitting(db, _OPENED_AND_HELD, credentials)


def _fitting(
    db: Database, opened: Select[int, str, int, list[str] | None], credentials: Collection[Credential]
) -> dict[Credential, bool]:
    shown = list(credentials)
    arrays = {
        "users": [one.uid for one in shown],
        "sign_ins": [one.sid if isinstance(one, Claims) else 0 for one in shown],
        "digests": [b"" if isinstance(one, Claims) else one.digest for one in shown],
    }
    fitting: dict[Credential, bool] = {}
    for arrival, email, version, scopes in db.execute(opened, arrays):
        one = shown[arrival - 1]
        if not isinstance(one, Claims):
            fitting[one] = one.reaches(scopes or ())
        elif (one.sub, one.ver) == (email, version):
            fitting[one] = True
    return fitting
