"""Reading: the same body for all who ask at once, with a tag, and nothing for those who have it already."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Depends, Header, Response, status
from pydantic import TypeAdapter
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from app.core.coalescing import SharedReads
from app.core.conditional import known, tag
from app.core.database import Database, Store
from app.core.exceptions import NotFound, Unauthorized
from app.core.security import Credential
from app.dependencies.auth import Bearer, account_of, noting_use
from app.models import User

LONGEST_TAGS = 4_096

KnownTag = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=LONGEST_TAGS,
        description="The ETag of what you have already. If it still is that, the answer is 304 and empty.",
    ),
]

PUBLIC = "public, no-cache"
PERSONAL = "private, no-cache"


@dataclass(frozen=True, slots=True)
class View:
    """An answer, written out once for everybody who shares it."""

    body: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class Look:
    """A question that many may ask at once: who answers it, about what, and in which shape."""

    shape: Any
    service: Callable[..., Any]
    about: tuple[Hashable, ...]

    def take(self, db: Database) -> View:
        """Ask the service, and write its answer out."""
        return _written(self.shape, self.service(db, *self.about))


class Views:
    """What the reads of an application go through, with what they share."""

    def __init__(self, store: Store, *, queue: int) -> None:
        """Read from ``store``; let ``queue`` readers wait."""
        self._store = store
        self.shared: SharedReads[Look, View] = SharedReads(lambda look: store.run(look.take), queue=queue)
        self._accounts: SharedReads[Credential, User] = SharedReads(self._account_of, queue=queue)

    async def _account_of(self, claims: Credential) -> User:
        return await self._store.run(lambda db: account_of(db, claims))

    async def ensure_active(self, claims: Credential) -> None:
        """Refuse a token or key that has ended, or whose account is not active or not what it says."""
        await self._accounts.get(claims)

    async def own(self, claims: Credential, look: Look) -> View:
        """Ask for one person, and share with nobody."""

        def take(db: Database) -> View:
            return _written(look.shape, look.service(db, account_of(db, claims), *look.about))

        return await self._store.run(take)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who reads: whose token it is, if any, and what they have already."""

    request: HTTPConnection
    claims: Credential | None
    if_none_match: str | None

    @property
    def _views(self) -> Views:
        found: Views = self.request.app.state.views
        return found

    async def list(self, shape: Any, service: Callable[..., Any], *about: Hashable) -> Response:
        """Answer what ``service(db, *about)`` finds, which is the same for all."""
        if self.claims is not None:
            with noting_use(self.request, self.claims):
                await self._views.ensure_active(self.claims)
        return self._answer(await self._views.shared.get(Look(shape, service, about)), PUBLIC)

    async def see(self, shape: Any, service: Callable[..., Any], *about: Hashable) -> Response:
        """Answer what ``service(db, viewer, *about)`` finds: what nobody in particular sees, or else I do."""
        try:
            return await self.list(shape, service, None, *about)
        except NotFound:
            if self.claims is None:
                raise
        return await self.own(shape, service, *about)

    async def own(self, shape: Any, service: Callable[..., Any], *about: Hashable) -> Response:
        """Answer what ``service(db, me, *about)`` finds, to me only."""
        if self.claims is None:
            raise Unauthorized
        with noting_use(self.request, self.claims):
            view = await self._views.own(self.claims, Look(shape, service, about))
        return self._answer(view, PERSONAL)

    def _answer(self, view: View, cache_control: str) -> Response:
        headers = {"ETag": view.tag, "Cache-Control": cache_control, "Vary": "Authorization"}
        had = known(view.tag, self.if_none_match)
        if had is not None:
            headers["ETag"] = had
            return Response(None, status.HTTP_304_NOT_MODIFIED, headers)
        return Response(view.body, status.HTTP_200_OK, headers, "application/json")


class ReaderByToken(Bearer):
    """Read whose request it is, without asking the database."""

    async def __call__(  # type: ignore[override]
        self, request: HTTPConnection, if_none_match: KnownTag = None
    ) -> Reader:
        """Put the reader together."""
        return Reader(request, self.read(request), if_none_match)

    def read_plain(self, request: HTTPConnection, _: MutableHeaders) -> Reader | None:
        """Put the reader of a request together whose tag, if there is one, is not too long to be one."""
        if_none_match = request.headers.get("if-none-match")
        if if_none_match is not None and len(if_none_match) > LONGEST_TAGS:
            return None
        return Reader(request, self.read(request), if_none_match)


AnyReader = Annotated[Reader, Depends(ReaderByToken())]


@lru_cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _written(shape: Any, found: Any) -> View:
    adapter = _adapter(shape)
    body = adapter.dump_json(adapter.validate_python(found, from_attributes=True))
    return View(body, tag(getattr(found, "version", 0), body))
