"""The database: one unit of work per request, let in only when a connection and a thread are free."""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from anyio import CancelScope, to_thread
from psycopg2 import Error, connect
from psycopg2.errors import IdleInTransactionSessionTimeout, LockNotAvailable, ReadOnlySqlTransaction
from psycopg2.extensions import STATUS_READY
from sqlalchemy import Engine, ExceptionContext, QueuePool, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection, ExecutionContext
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.exceptions import ReadOnlyDatabase
from app.core.gate import Gate, Lane, Leaving
from app.core.questions import Lines, Question
from app.core.threads import ThreadPool

CONNECTING = {"connect_timeout": 5, "tcp_user_timeout": 15_000, "application_name": "mis-eventos"}
"""Seconds until a server that does not answer is given up, and milliseconds for one that no longer does."""

POOL_SECONDS = 5.0
TRUSTED_SECONDS = 1.0
"""For so long after its last use, a connection is taken to stand without asking."""

RETURNED = "returned"
SETTINGS = "settings"
DOWNLOADS_AT_ONCE = 20

logger = logging.getLogger(__name__)

T = TypeVar("T")
Member = TypeVar("Member")
Outcome = TypeVar("Outcome")
Taken_contra = TypeVar("Taken_contra", contravariant=True)
Given_co = TypeVar("Given_co", covariant=True)

Settings = Mapping[str, Mapping[str, str]]
"""What a statement is executed with, so that the server does it in another way: an execution option."""


class Database(Session):
    """One unit of work: what a request reads and writes, in one transaction.

    It is called ``db`` everywhere, never ``session``: in this domain a session is a talk.
    """


class Decision(Protocol[Taken_contra, Given_co]):
    """How a batch is decided; ``wait`` says whether for rows that others hold."""

    def __call__(
        self, db: Database, members: Sequence[Taken_contra], /, *, wait: bool = True
    ) -> Sequence[Given_co]:
        """Return what comes of each member, in the same order."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long, in seconds, a request waits for its turn, and its transaction may take before it is ended."""

    queue: float = math.inf
    statement: float = 10
    lock: float = 3
    idle: float = 30

    @property
    def sql(self) -> str:
        """Return what sets them for one transaction, and for no longer: a pooler may stand in between."""
        named = {
            "statement_timeout": self.statement,
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
        }
        return "".join(f"SET LOCAL {name} = {round(value * 1_000)}; " for name, value in named.items())


class Store:
    """The connections to one PostgreSQL, and the only place where transactions begin and end."""

    def __init__(  # noqa: PLR0913 - each is an option
        self,
        url: str,
        *,
        pool_size: int,
        queue_size: int,
        group_commits: int = 0,
        limits: TimeLimits | None = None,
        observed: bool = False,
    ) -> None:
        """Keep up to ``pool_size`` connections to ``url``; let ``queue_size`` requests wait for one.

        Each of ``group_commits`` has one of its own beside them, and the event loop a few. Without ``limits``
        a request waits, and its transaction takes, as long as it likes. Of an ``observed`` store, whoever
        listens to the engine is told of every statement.
        """
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size + group_commits,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            hide_parameters=True,
            connect_args=CONNECTING,
        )
        self.units: sessionmaker[Database] = sessionmaker(
            self.engine, class_=Database, expire_on_commit=False
        )
        self._lines = Lines(self._open_line, "" if limits is None else limits.sql)
        event.listen(self.engine, "handle_error", self._tell_trouble, retval=True)
        _ping_what_was_idle(self.engine)
        _send_settings(self.engine, limits)
        self.looks: Callable[[], AbstractContextManager[Database]] = self._look
        self.observed = observed
        patience = limits.queue if limits else math.inf
        self.gate = Gate(pool_size, queue_size, patience)
        # As many as the gate lets in, so that each of them has one.
        self._threads = ThreadPool(pool_size, "database")
        self.downloads = Gate(DOWNLOADS_AT_ONCE, queue_size, patience)

    @property
    def connections_in_use(self) -> int:
        """Count the connections that somebody has now."""
        return cast("QueuePool", self.engine.pool).checkedout() + self._lines.busy

    @asynccontextmanager
    async def transaction(
        self, lane: Lane = Lane.PUBLIC, leaving: Leaving | None = None
    ) -> AsyncIterator[Database]:
        """Run one unit of work for the event loop: commit at the end, or leave no trace.

        Raises:
            Overloaded: too many wait already, or the wait was too long.

        """
        async with self.gate.place(lane, leaving):
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
        """Look at the database as it is at one moment, while others go on writing; nothing can be changed.

        For the command line: it sets the isolation level of the server's session, which no pooler may share.
        """
        with self.engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with self.units(bind=connection) as db:
                yield db

    def serving(self, decide: Decision[Member, Outcome]) -> Callable[[Sequence[Member]], Sequence[Outcome]]:
        """Let ``decide`` serve many members at once, in one transaction, for a group commit.

        Where a row that they need is held by somebody for too long, the others are served without waiting.
        """

        def attempt(members: Sequence[Member], *, wait: bool) -> Sequence[Outcome]:
            with self.job() as db:
                return decide(db, members, wait=wait)

        def serve(members: Sequence[Member]) -> Sequence[Outcome]:
            try:
                return attempt(members, wait=True)
            except OperationalError as error:
                if not isinstance(error.orig, LockNotAvailable):
                    raise
                logger.warning("a batch of %d met a row that somebody holds", len(members))
                return attempt(members, wait=False)

        return serve

    async def run(
        self, work: Callable[[Database], T], *, lane: Lane = Lane.PUBLIC, leaving: Leaving | None = None
    ) -> T:
        """Run ``work`` in a short transaction of its own, in one thread, and return what it returns.

        Raises:
            Overloaded: too many wait already, or the wait was too long.

        """

        def do() -> T:
            with self.job() as db:
                return work(db)

        async with self.gate.place(lane, leaving):
            return await self._threads.run(do)

    async def look(self, work: Callable[[Database], T]) -> T:
        """Run ``work``, which only reads, in one thread, and return what it returns.

        Each statement is a transaction of its own, so that none is begun or ended by a message of its own.

        Raises:
            Overloaded: too many wait already, or the wait was too long.

        """

        def do() -> T:
            with self.looks() as db:
                return work(db)

        async with self.gate:
            return await self._threads.run(do)

    async def ask(self, question: Question[T]) -> T:
        """Return what ``question`` finds; where a connection of the event loop is free, without a thread.

        Raises:
            Overloaded: too many wait already, or the wait was too long.

        """
        rows = None if self.observed else await self._lines.ask(question)
        return await self.look(question.ask) if rows is None else question.answer(rows)

    def _open_line(self) -> Any:
        """Connect as the pool does, for the event loop to wait on."""
        _, options = self.engine.dialect.create_connect_args(self.engine.url)
        return connect(**{**options, **CONNECTING, "async_": True})

    @contextmanager
    def _look(self) -> Iterator[Database]:
        """Lend a connection on which every statement is a transaction of its own."""
        with self.engine.connect() as connection:
            driver = cast("Any", connection.connection.dbapi_connection)
            # The driver keeps this to itself; as an isolation level, it would tell the server's session.
            driver.autocommit = True
            try:
                with self.units(bind=connection) as db:
                    yield db
            finally:
                if not driver.closed:
                    driver.autocommit = False

    async def chore(self, work: Callable[[Database], object]) -> None:
        """Do ``work`` for no request, in its turn at the gate and in a transaction of its own."""

        def do() -> None:
            with Database(self.engine) as db, db.begin():
                work(db)

        async with self.gate:
            await self._threads.run(do)

    def _tell_trouble(self, context: ExceptionContext) -> OperationalError | None:
        """Tell trouble with the database from a fault of ours where the driver does not."""
        error = context.original_exception
        if isinstance(error, ReadOnlySqlTransaction):
            # After a failover the connections lead to what is a standby now: open new ones.
            context.is_disconnect = True
            self._lines.renew()
            raise ReadOnlyDatabase
        lost = context.is_disconnect or isinstance(error, IdleInTransactionSessionTimeout)
        if not lost:
            return None
        return OperationalError(
            context.statement, context.parameters, error, hide_parameters=True, connection_invalidated=True
        )

    @contextmanager
    def apart(self) -> Iterator[Engine]:
        """Lend an engine that shares nothing with the requests, so that a probe never waits behind them."""
        engine = create_engine(self.engine.url, pool_size=1, connect_args={"connect_timeout": 3})
        try:
            yield engine
        finally:
            engine.dispose()

    def close(self) -> None:
        """End the threads, and give every connection back."""
        self._lines.close()
        self._threads.close()
        self.engine.dispose()


def takes_writes(engine: Engine) -> bool:
    """Tell whether the database is neither a standby nor set to be read-only."""
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT current_setting('transaction_read_only') = 'off'")))


def with_settings(settings: Mapping[str, str]) -> Settings:
    """Return the execution option that lets a statement change settings of the server for its transaction."""
    return {SETTINGS: settings}


def _ping_what_was_idle(engine: Engine) -> None:
    """Ask a connection that was not used for a while whether it still stands, before it is lent."""

    def give_back(_: object, record: ConnectionPoolEntry) -> None:
        record.info[RETURNED] = time.monotonic()

    def lend(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        if RETURNED not in record.info or time.monotonic() - record.info[RETURNED] < TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Error as error:
            # The pool opens all of them anew, this one at once.
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", give_back)
    event.listen(engine, "checkout", lend)


def _send_settings(engine: Engine, limits: TimeLimits | None) -> None:
    """Set ``limits`` for each transaction, and what a statement brings, with no round trip of their own."""
    always = "" if limits is None else limits.sql

    def first(cursor: Any, settings: Mapping[str, str]) -> str:
        begins: bool = cursor.connection.status == STATUS_READY
        return always * begins + "".join(f"SET LOCAL {name} = {value}; " for name, value in settings.items())

    def execute(cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        before = first(cursor, context.execution_options.get(SETTINGS, {}))
        if not before:
            return False
        # The driver sends both as one message, and what it returns is the answer to the last. Where there is
        # no transaction, the message is one.
        cursor.execute(before + statement, parameters)
        return True

    def execute_bare(cursor: Any, statement: str, context: ExecutionContext) -> bool:
        return execute(cursor, statement, None, context)

    def begin_many(cursor: Any, *_: Any) -> None:
        if before := first(cursor, {}):
            cursor.execute(before)

    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_execute_no_params", execute_bare)
    event.listen(engine, "do_executemany", begin_many)


def _commit(db: Database) -> None:
    try:
        db.commit()
    finally:
        db.close()


async def _finish(end: Callable[[], None]) -> None:
    # Shielded: a cancelled request still gives its connection back before its place in the gate.
    with CancelScope(shield=True):
        await to_thread.run_sync(end)
