"""Which accounts are opened by what requests show: access tokens and API keys, one or a whole batch."""

from collections.abc import Collection

from sqlalchemy import ARRAY, Integer, LargeBinary, Select, and_, bindparam, func, null, select

from app.core.database import Database
from app.core.security import Claims, Credential, KeyClaims
from app.crud.admissions import IDS
from app.crud.api_keys import IS_GOOD
from app.crud.sign_ins import GOES_ON
from app.models import ApiKey, SignIn, User

_sign_ins = bindparam("sign_ins", type_=ARRAY(Integer))
_digests = bindparam("digests", type_=ARRAY(LargeBinary))
_signed_in = and_(SignIn.id == func.any(_sign_ins), SignIn.user_id == User.id, GOES_ON)
_has_key = and_(ApiKey.key_digest == func.any(_digests), ApiKey.user_id == User.id, IS_GOOD)
_is_there = and_(User.id == func.any(IDS), User.is_active)

_Opened = Select[int, str, int, int | None, bytes | None, list[str] | None]
_facts = (User.id, User.email, User.token_version, SignIn.id)
# Each table by what was shown, so that it takes as long with a million accounts; and the keys only where
# there are any, since to plan for them takes longer than to look.
_BY_TOKENS: _Opened = select(*_facts, null(), null()).join(SignIn, _signed_in).where(_is_there)
_BY_ALL: _Opened = (
    select(*_facts, ApiKey.key_digest, ApiKey.scopes)
    .outerjoin(SignIn, _signed_in)
    .outerjoin(ApiKey, _has_key)
    .where(_is_there)
)


def _held(opened: _Opened) -> _Opened:
    # In the order of their ids, as everywhere, so that no two batches wait for each other.
    return opened.order_by(User.id).with_for_update(of=User, key_share=True)


_TO_LOOK = (_BY_TOKENS, _BY_ALL)
_TO_HOLD = (_held(_BY_TOKENS), _held(_BY_ALL))


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
    """Return which of ``credentials`` open an active account, and whether their scopes reach.

    There may be more in it, of the same accounts.
    """
    return _fitting(db, _TO_LOOK, credentials)


def lock_fitting(db: Database, credentials: Collection[Credential]) -> dict[Credential, bool]:
    """Return the same, and let nobody else plan the agendas of these accounts until the end."""
    return _fitting(db, _TO_HOLD, credentials)


def _fitting(
    db: Database, opened: tuple[_Opened, _Opened], credentials: Collection[Credential]
) -> dict[Credential, bool]:
    keys = [one for one in credentials if isinstance(one, KeyClaims)]
    arrays = {
        "ids": [one.uid for one in credentials],
        "sign_ins": [one.sid for one in credentials if isinstance(one, Claims)],
    }
    by_tokens, by_all = opened
    if keys:
        rows = db.execute(by_all, {**arrays, "digests": [key.digest for key in keys]})
    else:
        rows = db.execute(by_tokens, arrays)
    fitting: dict[Credential, bool] = {}
    scopes_of: dict[tuple[int, bytes], Collection[str]] = {}
    for uid, email, version, sign_in_id, digest, scopes in rows:
        if sign_in_id is not None:
            fitting[Claims(uid=uid, sub=email, ver=version, sid=sign_in_id)] = True
        if digest is not None:
            scopes_of[uid, digest] = scopes or ()
    found = {key: scopes_of[key.uid, key.digest] for key in keys if (key.uid, key.digest) in scopes_of}
    return fitting | {key: key.reaches(scopes) for key, scopes in found.items()}
