"""The load: wrk on loopback, bounded in clients and in time, and no figure from a broken run."""

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("load.lua")
MOST_CLIENTS = 1_024
MOST_SECONDS = 120
# Longer than anything that is still an answer, so that slow ones are counted as slow, not as lost.
TIMEOUT_SECONDS = 60


class BrokenRunError(Exception):
    """The run did not measure what it was meant to, so it has no figure."""


class NothingServedError(BrokenRunError):
    """Nothing at all was answered, as when a service has come to a standstill."""


class Line(NamedTuple):
    """One request as the load generator reads it."""

    method: str
    path: str
    token: str = ""
    known: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """How many connections send, for how long, what is in ``file``, and which status is wanted.

    ``turned_away`` is a second status that does not break the run, and does not count as served. The first
    ``skipped`` lines of the file are not sent.
    """

    file: Path
    clients: int
    seconds: int
    expected: int
    cycles: bool
    turned_away: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What was served in a run, and how many lines were taken from the file for it."""

    per_second: float
    p50_ms: float
    p99_ms: float
    served: int = 0
    taken: int = 0


def write(lines: Iterable[Line], file: Path) -> Path:
    """Write the requests of a run to ``file``."""
    with file.open("w", encoding="utf-8") as out:
        out.writelines("\t".join(line) + "\n" for line in lines)
    return file


def drive(address: str, run: Run) -> Load:
    """Send the requests of ``run`` and count those answered with the status that is wanted.

    Raises:
        BrokenRunError: something else was answered, a connection failed, or the requests ran out.

    """
    if (
        not address.startswith("http://127.0.0.1:")
        or run.clients > MOST_CLIENTS
        or run.seconds > MOST_SECONDS
    ):
        message = f"the load is for loopback, up to {MOST_CLIENTS} clients and {MOST_SECONDS} seconds"
        raise ValueError(message)
    wrk = shutil.which("wrk")
    if wrk is None:
        message = "wrk is not on PATH: run scripts/install-system-packages wrk"
        raise BrokenRunError(message)
    options = ["-t1", f"-c{run.clients}", f"-d{run.seconds}s", f"--timeout={TIMEOUT_SECONDS}s", "--latency"]
    for_script = [str(run.file), str(run.expected), "cycle" if run.cycles else "once", str(run.clients)]
    for_script += [str(run.turned_away), str(run.skipped)]
    words = [wrk, *options, "-s", str(SCRIPT), address, "--", *for_script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=run.seconds + 60)
    told = dict(line.split(" ", 2)[1:] for line in done.stdout.splitlines() if line.startswith("bench "))
    if done.returncode != 0 or "p99_ms" not in told:
        message = f"wrk failed: {(done.stderr or done.stdout).strip()[-500:]}"
        raise BrokenRunError(message)
    _check(told)
    return Load(
        per_second=float(told["per_second"]),
        p50_ms=float(told["p50_ms"]),
        p99_ms=float(told["p99_ms"]),
        served=int(told["served"]),
        taken=int(told["taken"]),
    )


def _check(told: dict[str, str]) -> None:
    if told["refused"] != "0":
        message = f"{told['refused']} requests were refused, the first with {told['first_refusal']}"
    elif told["socket_errors"] != "0":
        message = f"{told['socket_errors']} connections failed or timed out"
    elif told["ran_out"] != "false":
        message = f"the prepared requests ran out after {told['served']}"
    elif told["served"] == "0":
        message = "nothing was served"
        raise NothingServedError(message)
    else:
        return
    raise BrokenRunError(message)
