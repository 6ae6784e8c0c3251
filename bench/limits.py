"""Suite ``limits``: what it costs to count requests, and what a storm of sign-ins does to everybody else."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from multiprocessing import get_context
from statistics import median, quantiles
from typing import Any, NamedTuple

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.rate_limits import Limiter, RateLimits
from app.core.security import Tokens
from app.core.settings import DefaultSettings
from bench.cases import LIST, PREFIX, REGISTER_MANY, Case
from bench.data import PASSWORD
from bench.load import BrokenRunError
from bench.report import Report, Row
from bench.rig import Rig
from bench.service import SERVICE, WIDE, serving

CLIENTS = 128
QUICK_CLIENTS = 32
SECONDS = 4
ROUNDS = 3
COUNTED = 0.9

CALLS = 2_000
TURNS = 15

STORM_SECONDS = 20
STORM_CLIENTS = 256
SECONDS_UNTIL_IT_BLOWS = 1.0
SECONDS_BETWEEN_NEIGHBOURS = 0.25
LONGEST_WAIT = 60.0
OK, WRONG, REFUSED, BUSY = 200, 401, 429, 503

OFF = dict.fromkeys(WIDE, "off")
# As they are where nothing is set; the storm comes from this machine, and its neighbour from elsewhere.
DEFAULTS = {"TRUSTED_PROXIES": "127.0.0.1"}
NEIGHBOUR = {"X-Forwarded-For": "198.51.100.7"}


class Answered(NamedTuple):
    """The status of an answer, and the seconds that it took."""

    status: int
    took: float


def run(rig: Rig, seconds: int | None = None) -> Report:
    """Measure with limits and without in turns, then let the storm loose on either."""
    seconds = seconds or SECONDS
    report = Report.of_pairs(
        f"limits: {CLIENTS} clients, {seconds} s each; a storm of {STORM_CLIENTS} who sign in",
        ours="limits on",
        other="limits off",
    )
    try:
        rows = [*asyncio.run(_processor_time(rig)), *_cost(rig, seconds), *_storm(rig)]
    except BrokenRunError as error:
        return report.end_broken("limits", error)
    report.add(rows, judged=not rig.quick)
    return report


async def _processor_time(rig: Rig) -> list[Row]:
    """Compare an application that does nothing with itself behind the limits, by what the processor did."""
    tokens = Tokens(rig.secret, timedelta(days=1))
    rates: dict[str, Any] = {name.lower(): rate for name, rate in WIDE.items()}
    limiter = Limiter(DefaultSettings(secret_key=SecretStr(rig.secret), **rates))

    async def idle(scope: Scope, _: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            # As the routes do, which then find it read already.
            tokens.read_once(rig.tokens[scope["person"]], scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_: Message) -> None:
        pass

    async def spent(app: ASGIApp, method: str) -> float:
        scopes = [
            {
                "type": "http",
                "method": method,
                "path": f"{PREFIX}/events",
                "headers": [(b"authorization", f"Bearer {rig.tokens[person]}".encode())],
                "client": ("127.0.0.1", 50_000),
                "person": person,
            }
            for person in range(min(CALLS, len(rig.tokens)))
        ]
        began = time.process_time()
        for scope in scopes:
            await app(scope, receive, send)
        return (time.process_time() - began) / len(scopes) * 1e6

    limited = RateLimits(idle, limiter=limiter, tokens=tokens)
    rows = []
    for label, method in (("a read", "GET"), ("a write, with its token", "POST")):
        pairs = [(await spent(limited, method), await spent(idle, method)) for _ in range(TURNS)]
        ours, other = (median(found) for found in zip(*pairs, strict=True))
        rows.append(Row(f"processor time: {label}", f"{ours:.1f} µs", f"{other:.1f} µs", ours / other))
    return rows


def _cost(rig: Rig, seconds: int) -> Iterator[Row]:
    """Compare each case with itself, where nothing is counted."""
    clients = QUICK_CLIENTS if rig.quick else CLIENTS
    with ExitStack() as stack:
        on, off = (
            stack.enter_context(serving(SERVICE, rig.served_with._replace(settings=settings)))
            for settings in (WIDE, OFF)
        )

        def rate(address: str, case: Case) -> float:
            load = rig.measure(address, case, clients=clients, seconds=seconds)
            rig.drain(load, clients)
            return load.per_second

        for case in (LIST, REGISTER_MANY):
            pairs = []
            for turn in range(1 if rig.quick else ROUNDS):
                # What the machine does beside this meets both alike.
                both = {address: rate(address, case) for address in ((on, off), (off, on))[turn % 2]}
                pairs.append((both[on], both[off]))
            counted, uncounted = (median(rates) for rates in zip(*pairs, strict=True))
            ratio = median(ours / other for ours, other in pairs)
            yield Row(case.label, f"{counted:,.0f}/s", f"{uncounted:,.0f}/s", ratio, COUNTED)


def _storm(rig: Rig) -> Iterator[Row]:
    """Let a crowd guess passwords from one address, and somebody sign in from another."""
    seconds, clients = (2, 16) if rig.quick else (STORM_SECONDS, STORM_CLIENTS)
    rig.world.fill(rig.engine)
    found: list[tuple[list[Answered], list[Answered]]] = []
    for settings in (DEFAULTS, DEFAULTS | OFF):
        with (
            serving(SERVICE, rig.served_with._replace(settings=settings)) as address,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere,
        ):
            elsewhere.submit(time.monotonic).result()  # until that process is there, there is no storm
            guesses = elsewhere.submit(guess, address, seconds, clients)
            time.sleep(SECONDS_UNTIL_IT_BLOWS)
            neighbours = _neighbours(address, seconds - SECONDS_UNTIL_IT_BLOWS)
            found.append((guesses.result(), neighbours))
            rig.progress.print(f"a storm of {clients} with{'' if settings is DEFAULTS else 'out'} limits")
    (storm_on, near_on), (storm_off, near_off) = found
    for storm, near in found:
        unexpected = {made.status for made in storm} - {WRONG, REFUSED, BUSY}
        if unexpected or {made.status for made in near} != {OK}:
            message = f"the storm was answered {unexpected or near}"
            raise BrokenRunError(message)

    def counted(label: str, status: int) -> Row:
        ours, other = (sum(made.status == status for made in storm) for storm in (storm_on, storm_off))
        return Row(label, f"{ours:,}", f"{other:,}", ours / max(1, other))

    def took(label: str, ours: Sequence[Answered], other: Sequence[Answered]) -> Row:
        here, there = (_p99(made) for made in (ours, other))
        return Row(label, f"{here:,.0f} ms", f"{there:,.0f} ms", here / there)

    yield counted("the storm: guesses looked at", WRONG)
    yield counted("the storm: refused by the limit", REFUSED)
    yield counted("the storm: refused by the queue", BUSY)
    yield took(
        "the storm: 99th percentile of those looked at",
        *([made for made in storm if made.status == WRONG] for storm in (storm_on, storm_off)),
    )
    here, there = (median(made.took for made in near) * 1_000 for near in (near_on, near_off))
    yield Row("a neighbour signs in, median", f"{here:,.0f} ms", f"{there:,.0f} ms", here / there)
    yield took("a neighbour signs in, 99th percentile", near_on, near_off)


def guess(address: str, seconds: float, clients: int) -> list[Answered]:
    """Guess the password of one account after the other, as fast as the answers come."""
    until = time.monotonic() + seconds

    def keep_guessing(number: int) -> list[Answered]:
        answers = []
        with _signing_in(address) as sign_in:
            while time.monotonic() < until:
                number += clients
                answers.append(sign_in(f"person{number}@example.com", "a wrong password"))
        return answers

    with ThreadPoolExecutor(clients) as crowd:
        return [answer for answers in crowd.map(keep_guessing, range(clients)) for answer in answers]


def _neighbours(address: str, seconds: float) -> list[Answered]:
    """Sign in now and then from another address, with the right password."""
    answers = []
    until = time.monotonic() + seconds
    with _signing_in(address, NEIGHBOUR) as sign_in:
        while time.monotonic() < until:
            answers.append(sign_in("person1@example.com", PASSWORD))
            time.sleep(SECONDS_BETWEEN_NEIGHBOURS)
    return answers


@contextmanager
def _signing_in(
    address: str, headers: Mapping[str, str] | None = None
) -> Iterator[Callable[[str, str], Answered]]:
    """Yield what signs in over a connection of its own."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=LONGEST_WAIT)
    headers = {"Content-Type": "application/json", **(headers or {})}

    def sign_in(email: str, password: str) -> Answered:
        began = time.monotonic()
        body = json.dumps({"email": email, "password": password})
        connection.request("POST", f"{PREFIX}/auth/login", body, headers)
        answer = connection.getresponse()
        answer.read()
        return Answered(answer.status, time.monotonic() - began)

    try:
        yield sign_in
    finally:
        connection.close()


def _p99(answers: Sequence[Answered]) -> float:
    """Return the 99th percentile of what answers took, in milliseconds."""
    took = [made.took * 1_000 for made in answers]
    return quantiles(took, n=100, method="inclusive")[98] if len(took) > 1 else sum(took)
