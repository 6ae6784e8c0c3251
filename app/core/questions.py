"""Questions that one statement answers, asked from the event loop itself.

What everybody asks for first takes the server less time than it takes to go to a thread, through SQLAlchemy
and back. So its statement is put together once, down to its text, and sent over one of a few connections of
which the event loop is told when there is something to read: nothing waits in between, and nothing blocks.
Where none of these is free, or anything at all goes wrong, the question is asked the usual way, which knows
what to say of it.
"""

import asyncio
import logging
import time
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Any, Generic, TypeVar

from anyio import to_thread
from psycopg2 import Error, InterfaceError
from psycopg2.errors import LockNotAvailable, QueryCanceled
from psycopg2.extensions import POLL_OK, POLL_READ
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import psycopg2 as sqlalchemys
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

AT_ONCE = 2
"""Connections; more than two statements at a time are not what a worker's one processor waits for."""

CONNECT_SECONDS = 5.0
SECONDS_BETWEEN_TRIES = 1.0

GAVE_UP = (LockNotAvailable, QueryCanceled)
"""What the driver raises where the server ends a statement that takes, or waits, for too long."""

Found = TypeVar("Found")

logger = logging.getLogger(__name__)


class Ready:
    """A query that is put together once, down to the text that the driver sends.

    Its columns have to be of types that the driver itself reads, and its parameters of types that it writes.
    """

    def __init__(self, query: Select[Any]) -> None:
        """Take a query, and leave those of its parameters open that are bound by a name."""
        self.query = query
        compiled = query.compile(dialect=sqlalchemys.dialect())  # type: ignore[no-untyped-call]
        self.text = str(compiled)
        self._fixed = compiled.params
        # Its fields are the query's, which no class could name before.
        self.row: Any = namedtuple("Row", query.selected_columns.keys())  # type: ignore[misc]  # noqa: PYI024

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that the text wants, with ``values`` for what was left open."""
        return {**self._fixed, **values}


@dataclass(frozen=True, slots=True)
class Question(Generic[Found]):
    """A ready statement, what it is asked with, and what the rows mean that come of it."""

    ready: Ready
    values: Mapping[str, Any]
    answer: Callable[[Sequence[Any]], Found]

    def ask(self, db: Session) -> Found:
        """Ask the usual way."""
        return self.answer(db.execute(self.ready.query, self.values).all())


class Lines:
    """A few connections of the event loop's own. They are opened when first missed, and anew when lost."""

    def __init__(self, connect: Callable[[], Any], before: str) -> None:
        """Open them by ``connect``, which returns asynchronous ones; send ``before`` with every statement."""
        self._connect = connect
        self._before = before
        self._lines: set[_Line] = set()
        self._free: list[_Line] = []
        self._opening: asyncio.Task[None] | None = None
        self._next_try = -inf
        self._closed = False
        self._generation = object()

    @property
    def busy(self) -> int:
        """Count those that wait for an answer."""
        return len(self._lines) - len(self._free)

    async def ask(self, question: Question[Any]) -> Sequence[Any] | None:
        """Return the rows, or None where no connection is free or something went wrong.

        Raises:
            OperationalError: the statement was ended for taking too long, as it would be a second time.

        """
        line, ready = self._take(), question.ready
        if line is None:
            self._open_another()
            return None
        try:
            rows = await line.send(self._before + ready.text, ready.parameters(question.values))
        except GAVE_UP as error:
            raise OperationalError(ready.text, None, error, hide_parameters=True) from error
        except Exception:  # noqa: BLE001 - the usual way meets it, too, and says what it is
            return None
        return [*map(ready.row._make, rows)]

    def renew(self) -> None:
        """Let each go before it is used again; any thread may say so."""
        self._generation = object()

    def close(self) -> None:
        """Close all of them, and open no more."""
        self._closed = True
        for line in [*self._lines]:
            self._drop(line)

    def _take(self) -> "_Line | None":
        while self._free:
            line = self._free.pop()
            if line.generation is self._generation:
                return line
            self._drop(line)
        return None

    def _open_another(self) -> None:
        now = time.monotonic()
        wanted = len(self._lines) < AT_ONCE and not self._closed
        if wanted and self._opening is None and now >= self._next_try:
            self._next_try = now + SECONDS_BETWEEN_TRIES
            self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        generation = self._generation
        try:
            # In a thread: the driver looks names up while whoever calls it waits.
            connection = await to_thread.run_sync(_opened, self._connect)
            self._put(connection, generation)
        except (Error, OSError) as error:
            logger.warning("no connection for the event loop: %s", error)
        finally:
            self._opening = None

    def _put(self, connection: Any, generation: object) -> None:
        if self._closed:
            connection.close()
            return
        try:
            line = _Line(connection, generation, self._free.append, self._drop)
        except NotImplementedError:
            # On Windows there are event loops that cannot watch over what others have opened.
            logger.info("this event loop has no connections of its own; threads do its work")
            self._closed = True
            connection.close()
            return
        self._lines.add(line)
        self._free.append(line)

    def _drop(self, line: "_Line") -> None:
        self._lines.discard(line)
        if line in self._free:
            self._free.remove(line)
        line.close()


class _Line:
    """One connection, which carries one statement at a time."""

    def __init__(
        self,
        connection: Any,
        generation: object,
        free: Callable[["_Line"], None],
        lose: Callable[["_Line"], None],
    ) -> None:
        self.generation = generation
        self._connection = connection
        self._cursor = connection.cursor()
        self._free = free
        self._lose = lose
        self._answer: asyncio.Future[list[tuple[Any, ...]]] | None = None
        self._loop = asyncio.get_running_loop()
        self._number: int = connection.fileno()
        self._loop.add_reader(self._number, self._look)

    def send(self, statement: str, values: Mapping[str, Any]) -> "asyncio.Future[list[tuple[Any, ...]]]":
        """Send a statement; its rows, or the driver's error, come with the future."""
        answer = self._answer = self._loop.create_future()
        try:
            self._cursor.execute(statement, values)
        except Exception as error:  # noqa: BLE001 - it is raised to whoever waits for the answer
            self._fail(error)
        return answer

    def close(self) -> None:
        """Close the connection, and leave nobody waiting for it."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._number)
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(InterfaceError("the connection was closed"))
        self._connection.close()

    def _look(self) -> None:
        """Take in what the server has sent: an answer, or that it has gone."""
        try:
            state = self._connection.poll()
            rows = self._cursor.fetchall() if state == POLL_OK and self._answer is not None else None
        except Exception as error:  # noqa: BLE001 - it is raised to whoever waits for the answer
            self._fail(error)
            return
        if rows is not None and self._answer is not None:
            answer, self._answer = self._answer, None
            self._free(self)
            if not answer.done():
                answer.set_result(rows)

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        # By its code, the server has refused the statement, and by another error its rows cannot be read;
        # either way it is ready for the next. All else that the driver says is about the connection.
        usable = not isinstance(error, Error) or error.pgcode is not None
        if answer is not None and usable and not self._connection.closed:
            self._free(self)
        else:
            self._lose(self)
        if answer is not None and not answer.done():
            answer.set_exception(error)


def _opened(connect: Callable[[], Any]) -> Any:
    """Return a connection that stands.

    Raises:
        Error: there is none, or not soon enough.

    """
    connection, until = connect(), time.monotonic() + CONNECT_SECONDS
    while (state := connection.poll()) != POLL_OK:
        with DefaultSelector() as waiting:
            waiting.register(connection, EVENT_READ if state == POLL_READ else EVENT_WRITE)
            if not waiting.select(max(0.0, until - time.monotonic())):
                connection.close()
                raise InterfaceError("the server does not answer")
    return connection
