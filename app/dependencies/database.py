"""The unit of work of a request."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from app.core.database import Database, Store


async def store(request: Request) -> Store:
    """Hand over the application's store."""
    found: Store = request.app.state.store
    return found


StoreOfApp = Annotated[Store, Depends(store)]


class Transaction:
    """The transaction of a request."""

    async def __call__(self, store: StoreOfApp) -> AsyncIterator[Database]:
        """Open a transaction for the request and commit it before the answer leaves."""
        async with store.transaction() as db:
            yield db

    def read_plain(self, *_: object) -> bool:
        """Need nothing of a plain request."""
        return True

    def read_within(self, db: Database, _: object) -> Database:
        """Hand over the transaction that a plain request has already."""
        return db


transaction = Transaction()
Db = Annotated[Database, Depends(transaction, scope="function")]
