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


async def transaction(store: StoreOfApp) -> AsyncIterator[Database]:
    """Open a transaction for the request and commit it before the answer leaves."""
    async with store.transaction() as db:
        yield db


Db = Annotated[Database, Depends(transaction, scope="function")]
