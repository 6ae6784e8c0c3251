"""The database: one unit of work per request, let in only when a connection and a thread are free."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar, cast

from anyio import CancelScope, to_thread
from sqlalchemy import Engine, ExceptionContext, QueuePool, create_engine, event, text
from sqlalchemy.orm import Session, sessionmaker

from app.core.exceptions import ReadOnlyDatabase
from app.core.gate import Gate

READ_ONLY_TRANSACTION = "25006"

T = TypeVar("T")
Member = TypeVar("Member")
Outcome = TypeVar("Outcome")


class Database(Session):
    """One unit of work: what a request reads and writes, in one transaction.

    It is called ``db`` everywhere, never ``session``: in this domain a session is a talk.
    """


class Store:
    """The connections to one PostgreSQL, and the only place where transactions begin and end."""

    def __init__(
        self, url: str, *, pool_size: int, queue_size: int, group_commits: int = 0, echo: bool = False
    ) -> None:
        """Keep up to ``pool_size`` connections to ``url``; let ``queue_size`` requests wait for one.

        Each of ``group_commits`` has one of its own beside them.
        """
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size + group_commits,
            max_overflow=0,
            pool_pre_ping=True,
            echo=echo,
            hide_parameters=True,
            connect_args={"connect_timeout": 5, "application_name": "mis-eventos"},
        )
        event.listen(self.engine, "handle_error", _refuse_read_only)
        self.units: sessionmaker[Database] = sessionmaker(
            self.engine, class_=Database, expire_on_commit=False
        )
        self.gate = Gate(pool_size, queue_size)

    @property
    def connections_in_use(self) -> int:
        """Count the connections that somebody has now."""
        return cast("QueuePool", self.engine.pool).checkedout()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Run one unit of work for the event loop: commit at the end, or leave no trace.

        Raises:
            Overloaded: too many wait already.

        """
        async with self.gate:
            db = self.units()
            try:
                yield db
            except BaseException:
                await _finish(db.close)
                raise
            await _finish(lambda: _commit(db))

    @contextmanager
    def job(self) -> Iterator[Database]:
        """Run one unit of work outside a request, in the thread that calls."""
        db = self.units()
        try:
            yield db
            db.commit()
        finally:
            db.close()

    @contextmanager
    def snapshot(self) -> Iterator[Database]:
        """Look at the database as it is at one moment, while others go on writing; nothing can be changed."""
        with self.engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with self.units(bind=connection) as db:
                yield db

    def serving(
        self, decide: Callable[[Database, Sequence[Member]], Sequence[Outcome]]
    ) -> Callable[[Sequence[Member]], Sequence[Outcome]]:
        """Let ``decide`` serve many members at once, in one transaction, for a group commit."""

        def serve(members: Sequence[Member]) -> Sequence[Outcome]:
            with self.job() as db:
                return decide(db, members)

        return serve

    async def run(self, work: Callable[[Database], T]) -> T:
        """Run ``work`` in a short transaction of its own, in one thread, and return what it returns.

        Raises:
            Overloaded: too many wait already.

        """

        def do() -> T:
            with self.job() as db:
                return work(db)

        async with self.gate:
            return await to_thread.run_sync(do)

    async def chore(self, work: Callable[[Database], object]) -> None:
        """Do ``work`` for no request, in its turn at the gate and in a transaction of its own."""

        def do() -> None:
            with Database(self.engine) as db, db.begin():
                work(db)

        async with self.gate:
            await to_thread.run_sync(do)

    @contextmanager
    def apart(self) -> Iterator[Engine]:
        """Lend an engine that shares nothing with the requests, so that a probe never waits behind them."""
        engine = create_engine(self.engine.url, pool_size=1, connect_args={"connect_timeout": 3})
        try:
            yield engine
        finally:
            engine.dispose()

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def takes_writes(engine: Engine) -> bool:
    """Tell whether the database is neither a standby nor set to be read-only."""
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT current_setting('transaction_read_only') = 'off'")))


def _refuse_read_only(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "pgcode", None) == READ_ONLY_TRANSACTION:
        # After a failover the pool's connections lead to what is a standby now: open new ones.
        context.is_disconnect = True
        raise ReadOnlyDatabase


def _commit(db: Database) -> None:
    try:
        db.commit()
    finally:
        db.close()


async def _finish(end: Callable[[], None]) -> None:
    # Shielded: a cancelled request still gives its connection back before its place in the gate.
    with CancelScope(shield=True):
        await to_thread.run_sync(end)
