"""The documentation says what is true: its names exist, its links lead somewhere, its walk works."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from typer.core import TyperGroup
from typer.main import get_command

from app import cli
from app.core.database import Database, Store
from app.core.exceptions import Problem
from app.core.settings import PROJECT, Settings
from app.tests.conftest import SECRET

README = (PROJECT / "README.md").read_text(encoding="utf-8")
PROBLEMS = (PROJECT / "docs" / "problems.md").read_text(encoding="utf-8")
RULES = (PROJECT / "docs" / "rules.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")

SETTINGS = sorted(name.upper() for name in Settings.model_fields)
EXAMPLES = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
ADDRESS = "http://localhost:8000"

# In the order of the walk: account, me, event, speaker, session, clash, session, register twice,
# another account, full, three lists, a search, cancel, event.
STATUSES = [201, 200, 201, 201, 201, 409, 201, 201, 409, 201, 409, 200, 200, 200, 200, 204, 200]

# Each request's status goes to standard error, beside what the walk prints.
NOTING_CURL = """curl() { command curl "$@" -w '%{stderr}%{http_code}\\n'; }\n"""


def files() -> list[Path]:
    """List the repository's files, those too that are not committed yet."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = {PROJECT / name for name in listed.stdout.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


def pages() -> list[Path]:
    """List what is written for people."""
    return sorted(page for folder in ("", "docs/**/", "bench/**/") for page in PROJECT.glob(f"{folder}*.md"))


def prose(page: Path) -> str:
    """Return a page's text without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links do."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(heading: str) -> str:
    """Return a section of the README, up to the next of its level."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def blocks(written: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", written, re.MULTILINE | re.DOTALL)


def kinds_of_problem(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds_of_problem(kind)


def test_every_problem_has_its_heading_and_nothing_else_has() -> None:
    headings = re.findall(r"^## (.+)$", PROBLEMS, re.MULTILINE)
    assert sorted(headings) == sorted(kind.slug() for kind in kinds_of_problem())


def test_every_problem_stands_under_its_status() -> None:
    stated: list[tuple[str, str]] = []
    for part in re.split(r"^# ", PROBLEMS, flags=re.MULTILINE):
        status = part.partition("\n")[0]
        stated += [(slug, status) for slug in re.findall(r"^## (.+)$", part, re.MULTILINE)]
    assert sorted(stated) == sorted((kind.slug(), str(kind.status)) for kind in kinds_of_problem())


def test_every_dependency_is_reviewed_in_the_version_that_is_installed() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    named = [re.match(r"[\w.-]+", wanted) for wanted in project["project"]["dependencies"]]
    direct = {found[0] for found in named if found}
    for group in project["tool"]["poetry"]["group"].values():
        direct |= set(group["dependencies"])
    locked = tomllib.loads((PROJECT / "poetry.lock").read_text(encoding="utf-8"))["package"]
    installed = {package["name"]: package["version"] for package in locked if package["name"] in direct}
    page = (PROJECT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z][\w.-]+) \| ([\w.]+) \| \d{4}-\d\d \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(installed.items())


def test_every_test_that_the_docs_name_is_there() -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (PROJECT / "app" / "tests").rglob("test_*.py")
    )
    written = "".join(page.read_text(encoding="utf-8") for page in (PROJECT / "docs").glob("*.md"))
    named = set(re.findall(r"`(test_\w+)`", written))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in tests} == set()


def test_every_setting_is_in_the_example_and_in_the_readme() -> None:
    explained = re.findall(r"^\| `([A-Z0-9_]+)` \|", section("Configuration"), re.MULTILINE)
    assert sorted(EXAMPLES) == SETTINGS
    assert sorted(explained) == SETTINGS


def test_the_defaults_in_the_example_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    uncommented = tmp_path / "env"
    uncommented.write_text("\n".join(f"{name}={value}" for name, value in EXAMPLES.items()))
    plain = Settings(_env_file=None, secret_key=SECRET)
    assert Settings(_env_file=PROJECT / ".env.example", secret_key=SECRET) == plain
    assert Settings(_env_file=uncommented, secret_key=SECRET) == plain


def test_the_readme_gives_the_defaults_of_the_example() -> None:
    stated = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \|", section("Configuration"), re.MULTILINE))
    assert stated == {name: f"`{value}`" if value else "not set" for name, value in EXAMPLES.items()}


def test_the_rules_are_held_by_what_is_in_the_database(db: Database) -> None:
    named = re.findall(r"`((?:ck|ex|fk|uq)_\w+|\w+_(?:guard|count|check|give_up|clear)_\w+)`", RULES)
    held = db.scalars(
        text(
            "SELECT conname FROM pg_constraint UNION SELECT indexname FROM pg_indexes"
            " UNION SELECT tgname FROM pg_trigger"
        )
    )
    assert set(named).difference(held) == set()


def test_the_readme_names_the_commands_that_exist_with_their_options() -> None:
    group = get_command(cli.app)
    assert isinstance(group, TyperGroup)
    explained = dict(re.findall(r"^\| `events ([a-z-]+)` \| (.+) \|$", section("Command line"), re.MULTILINE))
    assert set(explained) == set(group.commands)
    for name, explanation in explained.items():
        options = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", explanation)) <= options


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    nowhere = []
    for link in links:
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            nowhere.append(link)
    assert nowhere == []


def test_no_file_speaks_of_what_is_not_the_project() -> None:
    # Put together here, or this file would be the first to say them.
    forbidden = [
        ".." + "/shared",
        "issue" + " #",
        *(
            f"{host}.{domain}"
            for host, domain in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org")]
        ),
        "deb." + "debian.org",
    ]
    said = [
        f"{path.relative_to(PROJECT)}: {word}"
        for path in files()
        for word in forbidden
        if word in path.read_text(encoding="utf-8", errors="replace").lower()
    ]
    assert said == []


@contextmanager
def served(database_url: str) -> Iterator[str]:
    """Serve the application as `make run` does, on a free port, and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Whatever the developer's own .env says, the walk meets the defaults.
    defaults = {name: value for name, value in EXAMPLES.items() if value}
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)],
        cwd=PROJECT,
        env={
            **os.environ,
            **defaults,
            "DATABASE_URL": database_url,
            "SECRET_KEY": SECRET,
            "LOG_LEVEL": "ERROR",
        },
    )
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 30
        while not answers(f"{address}/health/ready"):
            assert server.poll() is None, "the server ended before it was ready"
            assert time.monotonic() < deadline, "the server did not get ready"
            time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("curl") is None, reason="the walk is for bash and curl"
)
def test_the_walk_works_and_works_again(live: Store, live_url: str) -> None:
    walk = section("A walk")
    with served(live_url) as address:
        script = NOTING_CURL + "\n".join(blocks(walk, "bash")).replace(ADDRESS, address)
        for _ in range(2):
            walked = subprocess.run(
                ["bash", "-eu", "-o", "pipefail", "-c", script],
                check=False,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=120,
            )
            assert (walked.returncode, walked.stderr.split()) == (0, [str(status) for status in STATUSES])
            for shown in map(json.loads, blocks(walk, "json")):
                assert all(
                    f'"{name}": {json.dumps(shown[name])}' in walked.stdout for name in ("type", "detail")
                )
                assert all(f'"title": "{way["title"]}"' in walked.stdout for way in shown["conflicts"])
