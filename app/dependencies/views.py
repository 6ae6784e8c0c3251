"""What is shown: the same body for all who ask at once, with a tag, and nothing for who has it already."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Header, Response, status
from starlette.requests import HTTPConnection

from app.core.coalescing import SharedReads
from app.core.conditional import LONGEST_TAGS, known, tag
from app.core.database import Database, Store
from app.core.documents import Document
from app.core.exceptions import NotFound, Unauthorized
from app.core.questions import Question
from app.core.security import Credential
from app.dependencies.auth import Bearer, account_of, noting_use
from app.dependencies.straight import PlainAnswer, written
from app.models import User

KnownTag = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=LONGEST_TAGS,
        description="The ETag of what you have already. If it still is that, the answer is 304 and empty.",
    ),
]

Asks = Callable[..., Question[Any] | None]
"""Puts into one question what a service finds, or returns None where one is not enough."""

PUBLIC = "public, no-cache"
PERSONAL = "private, no-cache"


@dataclass(frozen=True, slots=True)
class View:
    """An answer, written out once for everybody who shares it."""

    body: bytes
    tag: str
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Look:
    """A question that many may ask at once: who answers it, about what, and in which shape.

    A document has no shape but its own. It takes long to write, so whoever has it shares with those who have
    the same: nothing is written for them.

    ``asks`` puts the same into one question, where one is enough.
    """

    shape: Any
    service: Callable[..., Any]
    about: tuple[Hashable, ...]
    had: str | None = None
    asks: Asks | None = None

    def take(self, db: Database, *viewer: User) -> View:
        """Ask the service, and write its answer out."""
        found = self.service(db, *viewer, *self.about)
        if not isinstance(found, Document):
            return _view(self.shape, found)
        body = b"" if known(found.tag, self.had) else found.write()
        return View(body, found.tag, found.media_type)


class Views:
    """What the reads of an application go through, with what they share."""

    def __init__(self, store: Store, *, queue: int, patience: float, notice: Callable[[int], None]) -> None:
        """Read from ``store``; let ``queue`` readers wait, for ``patience`` seconds each.

        ``notice`` is told how many share a look.
        """
        self._store = store
        self.shared: SharedReads[Look, View] = SharedReads(
            self._take, queue=queue, patience=patience, notice=notice
        )
        self._accounts: SharedReads[Credential, User] = SharedReads(
            self._account_of, queue=queue, patience=patience
        )

    async def _take(self, look: Look) -> View:
        question = look.asks and look.asks(*look.about)
        if question is None:
            return await self._store.look(look.take)
        return _view(look.shape, await self._store.ask(question))

    async def _account_of(self, claims: Credential) -> User:
        return await self._store.look(lambda db: account_of(db, claims))

    async def ensure_active(self, claims: Credential) -> None:
        """Refuse a token or key that has ended, or whose account is not active or not what it says."""
        await self._accounts.get(claims)

    async def own(self, claims: Credential, look: Look) -> View:
        """Ask for one person, and share with nobody."""

        def take(db: Database) -> View:
            return look.take(db, account_of(db, claims))

        return await self._store.look(take)


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

    async def list(
        self,
        shape: Any,
        service: Callable[..., Any],
        *about: Hashable,
        asks: Asks | None = None,
    ) -> Response:
        """Answer what ``service(db, *about)`` finds, which is the same for all."""
        return await self._share(Look(shape, service, about, asks=asks))

    async def see(self, shape: Any, service: Callable[..., Any], *about: Hashable) -> Response:
        """Answer what ``service(db, viewer, *about)`` finds: what nobody in particular sees, or else I do."""
        return await self._see(Look(shape, service, about))

    async def own(self, shape: Any, service: Callable[..., Any], *about: Hashable) -> Response:
        """Answer what ``service(db, me, *about)`` finds, to me only."""
        return await self._own(Look(shape, service, about))

    async def document(self, service: Callable[..., Document], *about: Hashable) -> Response:
        """Answer the document that ``service(db, viewer, *about)`` finds, to whom ``see`` would."""
        return await self._see(Look(None, service, about, self.if_none_match))

    async def _see(self, look: Look) -> Response:
        try:
            return await self._share(replace(look, about=(None, *look.about)))
        except NotFound:
            if self.claims is None:
                raise
        return await self._own(look)

    async def _share(self, look: Look) -> Response:
        if self.claims is not None:
            with noting_use(self.request, self.claims):
                await self._views.ensure_active(self.claims)
        return self._answer(await self._views.shared.get(look), PUBLIC)

    async def _own(self, look: Look) -> Response:
        if self.claims is None:
            raise Unauthorized
        with noting_use(self.request, self.claims):
            view = await self._views.own(self.claims, look)
        return self._answer(view, PERSONAL)

    def _answer(self, view: View, cache_control: str) -> Response:
        headers = {"ETag": view.tag, "Cache-Control": cache_control, "Vary": "Authorization"}
        had = known(view.tag, self.if_none_match)
        if had is not None:
            headers["ETag"] = had
            return Response(None, status.HTTP_304_NOT_MODIFIED, headers)
        return Response(view.body, status.HTTP_200_OK, headers, view.media_type)


class ReaderByToken(Bearer):
    """Read whose request it is, without asking the database."""

    async def __call__(  # type: ignore[override]
        self, request: HTTPConnection, if_none_match: KnownTag = None
    ) -> Reader:
        """Put the reader together."""
        return Reader(request, self.read(request), if_none_match)

    def read_plain(self, request: HTTPConnection, _: PlainAnswer) -> Reader | None:
        """Put the reader of a request together whose tag, if there is one, is not too long to be one."""
        if_none_match = request.headers.get("if-none-match")
        if if_none_match is not None and len(if_none_match) > LONGEST_TAGS:
            return None
        return Reader(request, self.read(request), if_none_match)


AnyReader = Annotated[Reader, Depends(ReaderByToken())]


def made(shape: Any, found: Any, location: str | None = None) -> Response:
    """Answer that something was made, with what is shown of it, its tag, and where it can be read."""
    view = _view(shape, found)
    headers = {"ETag": view.tag} if location is None else {"ETag": view.tag, "Location": location}
    return Response(view.body, status.HTTP_201_CREATED, headers, view.media_type)


def changed(shape: Any, found: Any, told: Any = None) -> Response:
    """Answer a change with what is shown of the thing, and the tag of that; ``told`` is a larger shape."""
    view = _view(shape, found)
    body = view.body if told is None else written(told, found)
    return Response(body, status.HTTP_200_OK, {"ETag": view.tag}, view.media_type)


def _view(shape: Any, found: Any) -> View:
    body = written(shape, found)
    return View(body, tag(getattr(found, "version", 0), body))
