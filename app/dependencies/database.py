"""The unit of work of a request."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from app.core.database import Database, Store
from app.core.gate import Lane


async def store(request: Request) -> Store:
    """Hand over the application's store."""
    found: Store = request.app.state.store
    return found


StoreOfApp = Annotated[Store, Depends(store)]


class Transaction:
    """The transaction of a request."""

    async def __call__(self, request: Request, store: StoreOfApp) -> AsyncIterator[Database]:
        """Open a transaction for the request, in its lane, and commit it before the answer leaves."""
        async with store.transaction(lane(request), partial(hung_up, request)) as db:
            yield db

    def read_plain(self, *_: object) -> bool:
        """Need nothing of a plain request."""
        return True

    def read_within(self, db: Database, _: object) -> Database:
        """Hand over the transaction that a plain request has already."""
        return db


def lane(request: Request) -> Lane:
    """Return where the request waits for its turn, which its route says."""
    found: Lane = getattr(request.scope.get("route"), "lane", Lane.PUBLIC)
    return found


async def hung_up(request: Request) -> None:
    """Return once the client has gone; call it when the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def download(store: StoreOfApp) -> AsyncIterator[Store]:
    """Lend the store to a download until all of it was sent; only so many are under way at once."""
    async with store.downloads:
        yield store


StoreForDownload = Annotated[Store, Depends(download)]


transaction = Transaction()
Db = Annotated[Database, Depends(transaction, scope="function")]
