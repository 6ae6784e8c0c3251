"""Settings: each is really used, and an unusable one stops the start in one readable message."""

import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import make_url, text

from app.api import create_app
from app.core.database import Store
from app.core.logging import configure_logging
from app.core.security import HANDED_TO_A_THREAD, Claims
from app.core.settings import PROJECT, InvalidSettings, Settings, load_settings
from app.models.enums import Role
from app.tests.conftest import SECRET
from app.tests.factories import PASSWORD, Factory, claims_of, soon
from app.tests.redis import needs_redis, redis_server

Test = TypeVar("Test", bound=Callable[..., None])

URL = "postgresql://ana:a-database-password@db.example.com:5432/events"
TURNED: set[str] = set()


def turns(*names: str) -> Callable[[Test], Test]:
    """Say which settings a test turns."""

    def note(test: Test) -> Test:
        TURNED.update(names)
        return test

    return note


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what whoever runs the tests has set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRET_KEY", SECRET)


@pytest.fixture(autouse=True)
def quiet_again(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Give the log back to the other tests as it was."""
    yield
    with capsys.disabled():
        configure_logging(level="WARNING", style="text")


def given(**variables: str) -> Settings:
    """Read the settings from these environment variables."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        return load_settings(_env_file=None)


def complaint(**variables: str) -> str:
    """Return what the service says when it refuses to start with these environment variables."""
    with pytest.raises(InvalidSettings) as refusal:
        given(**variables)
    assert refusal.value.__suppress_context__
    head, _, rest = str(refusal.value).partition("\n")
    assert head == "The settings cannot be used:"
    return rest


def client(**variables: str) -> TestClient:
    """Call an application set up with these environment variables."""
    return TestClient(create_app(given(**variables)))


# How they are read


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = given()
    assert settings.model_dump(exclude={"secret_key"}) == {
        "env": "dev",
        "debug": False,
        "database_url": None,
        "secret_key_file": None,
        "access_token_expire_minutes": 30,
        "refresh_token_expire_days": 30,
        "api_v1_prefix": "/api/v1",
        "cors_origins": [
            "http://localhost:5173",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "http://127.0.0.1:3000",
        ],
        "allow_hosts": ["*"],
        "docs_enabled": True,
        "gzip_enabled": True,
        "event_creators": "anyone",
        "log_level": "INFO",
        "log_format": "text",
        "max_body_bytes": 1_048_576,
        "db_pool_size": 10,
        "db_queue_size": 1_000,
        "queue_timeout": 5.0,
        "statement_timeout": 10.0,
        "lock_timeout": 3.0,
        "idle_transaction_timeout": 30.0,
        "hashing_threads": 2,
        "drain_seconds": 0,
        "metrics_enabled": False,
        "metrics_token": None,
        "otel_exporter_otlp_endpoint": None,
        "trusted_proxies": [],
        "rate_limits_url": SecretStr("memory://"),
        "rate_limit_sign_in": "75/3seconds",
        "rate_limit_account": "10/15minutes",
        "rate_limit_sign_up": "30/3seconds",
        "rate_limit_writes": "300/minute",
        "rate_limit_reads": "60000/minute",
        "rate_limit_check_ins": "3000/minute",
        "argon2_memory_kib": 19_456,
        "argon2_passes": 2,
        "argon2_lanes": 1,
    }


@pytest.mark.parametrize(
    ("written", "hosts"),
    [
        ("a.example.com,b.example.com", ["a.example.com", "b.example.com"]),
        (" a.example.com , , b.example.com,", ["a.example.com", "b.example.com"]),
        ('["a.example.com", "b.example.com"]', ["a.example.com", "b.example.com"]),
        ("'a.example.com,b.example.com'", ["a.example.com", "b.example.com"]),
        ("'[\"a.example.com\"]'", ["a.example.com"]),
        ('"a.example.com","b.example.com"', ["a.example.com", "b.example.com"]),
        ("*", ["*"]),
        ("[]", []),
        ("", ["*"]),
    ],
)
def test_a_list_is_read_from_commas_json_and_quotes(written: str, hosts: list[str]) -> None:
    assert given(ALLOW_HOSTS=written).allow_hosts == hosts


@pytest.mark.parametrize("quoted", ['"json"', "'json'", " json ", '" JSON "'])
def test_quotes_that_an_env_file_leaves_are_taken_away(quoted: str) -> None:
    assert given(LOG_FORMAT=quoted).log_format == "json"


def test_a_quoted_number_and_a_quoted_truth_are_read() -> None:
    settings = given(DB_POOL_SIZE='"3"', GZIP_ENABLED="'false'")
    assert (settings.db_pool_size, settings.gzip_enabled) == (3, False)


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields if name != "secret_key"])
def test_an_empty_value_counts_as_not_set(name: str) -> None:
    assert given(**{name: ""}).model_dump() == given().model_dump()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("LOG_FORMAT=json\nLOG_LEVEL=ERROR\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    settings = Settings(_env_file=file)
    assert (settings.log_format, settings.log_level) == ("json", "DEBUG")


# How they are refused


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ENV", "staging", "input should be 'dev' or 'prod'"),
        ("DEBUG", "perhaps", "input should be a valid boolean, unable to interpret input"),
        ("DATABASE_URL", "mysql://localhost/x", "only PostgreSQL is supported, not 'mysql'"),
        ("DATABASE_URL", "sqlite:///x.db", "only PostgreSQL is supported, not 'sqlite'"),
        (
            "DATABASE_URL",
            "postgresql+asyncpg://h/x",
            "only PostgreSQL is supported, not 'postgresql+asyncpg'",
        ),
        ("DATABASE_URL", "somewhere", "write it as postgresql://user:password@host:5432/name"),
        ("DATABASE_URL", "postgresql://h:port/x", "write it as postgresql://user:password@host:5432/name"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0", "input should be greater than or equal to 1"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "43201", "input should be less than or equal to 43200"),
        (
            "ACCESS_TOKEN_EXPIRE_MINUTES",
            "soon",
            "input should be a valid integer, unable to parse string as an integer",
        ),
        ("CORS_ORIGINS", "*", "'*' is not an origin; write https://host or https://host:port"),
        (
            "CORS_ORIGINS",
            "example.com",
            "'example.com' is not an origin; write https://host or https://host:port",
        ),
        (
            "CORS_ORIGINS",
            "https://x.com/",
            "'https://x.com/' is not an origin; write https://host or https://host:port",
        ),
        ("CORS_ORIGINS", "http://", "'http://' is not an origin; write https://host or https://host:port"),
        ("CORS_ORIGINS", "[http://x", "write it as a,b,c or as a JSON list"),
        (
            "ALLOW_HOSTS",
            "https://x.com",
            "'https://x.com' is not a host; write api.example.com, *.example.com or *",
        ),
        ("ALLOW_HOSTS", "a*b.com", "'a*b.com' is not a host; write api.example.com, *.example.com or *"),
        ("ALLOW_HOSTS", "[1]", "input should be a valid string"),
        ("DOCS_ENABLED", "2", "input should be a valid boolean, unable to interpret input"),
        ("EVENT_CREATORS", "nobody", "input should be 'anyone' or 'organizers'"),
        ("LOG_LEVEL", "LOUD", "input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LOG_FORMAT", "xml", "input should be 'text' or 'json'"),
        ("MAX_BODY_BYTES", "1", "input should be greater than or equal to 1024"),
        ("DB_POOL_SIZE", "0", "input should be greater than or equal to 1"),
        ("DB_POOL_SIZE", "201", "input should be less than or equal to 200"),
        ("DB_QUEUE_SIZE", "-1", "input should be greater than or equal to 0"),
        ("QUEUE_TIMEOUT", "0", "input should be greater than 0"),
        ("STATEMENT_TIMEOUT", "0", "input should be greater than or equal to 0.1"),
        ("LOCK_TIMEOUT", "0", "input should be greater than or equal to 0.1"),
        ("IDLE_TRANSACTION_TIMEOUT", "0", "input should be greater than or equal to 1"),
        ("HASHING_THREADS", "0", "input should be greater than or equal to 1"),
        ("DRAIN_SECONDS", "-1", "input should be greater than or equal to 0"),
        ("METRICS_ENABLED", "2", "input should be a valid boolean, unable to interpret input"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "write it as http://host:4318"),
        ("RATE_LIMIT_READS", "many", "write it as 300/minute or 10/15minutes, or off"),
        ("RATE_LIMIT_READS", "0/minute", "write it as 300/minute or 10/15minutes, or off"),
        ("RATE_LIMIT_READS", "1/fortnight", "write it as 300/minute or 10/15minutes, or off"),
        ("RATE_LIMIT_READS", "1/second;9/minute", "write it as 300/minute or 10/15minutes, or off"),
        ("RATE_LIMITS_URL", "memory", "write it as memory:// or redis://user:password@host:6379/0"),
        (
            "RATE_LIMITS_URL",
            "redis://host:a-port/0",
            "write it as memory:// or redis://user:password@host:6379/0",
        ),
        ("RATE_LIMITS_URL", "http://host", "write it as memory:// or redis://user:password@host:6379/0"),
        ("RATE_LIMITS_URL", "redis://", "write it as memory:// or redis://user:password@host:6379/0"),
        (
            "RATE_LIMITS_URL",
            "redis://host?socket_timeout=soon",
            "write it as memory:// or redis://user:password@host:6379/0",
        ),
        (
            "RATE_LIMITS_URL",
            "redis://host?protocol=9",
            "write it as memory:// or redis://user:password@host:6379/0",
        ),
        (
            "RATE_LIMITS_URL",
            "redis://host?no_such_option=1",
            "write it as memory:// or redis://user:password@host:6379/0",
        ),
        (
            "TRUSTED_PROXIES",
            "10.0.0.7,proxy",
            "'proxy' is not an address or a network; write 10.0.0.7 or 10.0.0.0/8",
        ),
        (
            "TRUSTED_PROXIES",
            "10.0.0.1/8",
            "'10.0.0.1/8' is not an address or a network; write 10.0.0.7 or 10.0.0.0/8",
        ),
        ("TRUSTED_PROXIES", "*", "'*' is not an address or a network; write 10.0.0.7 or 10.0.0.0/8"),
        ("TRUSTED_PROXIES", "::/0", "'::/0' is everybody, and anybody could say any address"),
        ("REFRESH_TOKEN_EXPIRE_DAYS", "0", "input should be greater than or equal to 1"),
        ("ARGON2_MEMORY_KIB", "19455", "input should be greater than or equal to 19456"),
        ("ARGON2_PASSES", "1", "input should be greater than or equal to 2"),
        ("ARGON2_LANES", "0", "input should be greater than or equal to 1"),
    ],
)
def test_an_unusable_value_names_the_variable_and_the_reason(name: str, value: str, reason: str) -> None:
    assert complaint(**{name: value}) == f"  {name}: {reason}"


def test_a_session_is_not_over_before_its_access_token() -> None:
    assert complaint(ACCESS_TOKEN_EXPIRE_MINUTES="1441", REFRESH_TOKEN_EXPIRE_DAYS="1") == (
        "  REFRESH_TOKEN_EXPIRE_DAYS: too short, the tokens of ACCESS_TOKEN_EXPIRE_MINUTES outlast it"
    )
    given(ACCESS_TOKEN_EXPIRE_MINUTES="1440", REFRESH_TOKEN_EXPIRE_DAYS="1")


@pytest.mark.parametrize("prefix", ["api", "/", "/api/", "/a b", "//", "/{x}", "/?x"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    assert complaint(API_V1_PREFIX=prefix).startswith("  API_V1_PREFIX: ")


@pytest.mark.parametrize("name", ["DATABASE_URL", "RATE_LIMITS_URL"])
@pytest.mark.parametrize("url", ["postgresql://ana@host:s3cr3t/x", "redis://ana@host:s3cr3t/x", "s3cr3t"])
def test_an_address_that_is_refused_is_not_repeated(name: str, url: str) -> None:
    assert complaint(**{name: url}).count("s3cr3t") == 0


def test_a_start_with_unusable_values_says_all_of_them_and_no_traceback() -> None:
    environment = {
        **os.environ,
        "SECRET_KEY": SECRET,
        "LOG_LEVEL": "LOUD",
        "DB_POOL_SIZE": "none",
        "DATABASE_URL": "mysql://ana:a-database-password@localhost/x",
    }
    start = subprocess.run(
        [sys.executable, "-c", "import app.main"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (start.returncode, start.stdout) == (1, "")
    assert start.stderr.splitlines() == [
        "The settings cannot be used:",
        "  DATABASE_URL: only PostgreSQL is supported, not 'mysql'",
        "  LOG_LEVEL: input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
        "  DB_POOL_SIZE: input should be a valid integer, unable to parse string as an integer",
    ]


# What each does


@turns("env")
def test_production_asks_browsers_for_https_and_development_does_not() -> None:
    live = "/health/live"
    assert "strict-transport-security" not in client(ENV="dev").get(live).headers
    production = client(ENV="Prod", DATABASE_URL=URL).get(live)
    assert production.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_production_wants_to_be_told_its_database() -> None:
    assert complaint(ENV="prod") == (
        "  DATABASE_URL: set it to your PostgreSQL, as postgresql://user:password@host:5432/name"
    )


@turns("secret_key")
@pytest.mark.parametrize("weak", ["secret", "x" * 31, "x" * 64, "abcabcabc" * 8])
def test_production_wants_a_strong_signing_key_and_does_not_repeat_a_weak_one(weak: str) -> None:
    said = complaint(ENV="prod", DATABASE_URL=URL, SECRET_KEY=weak)
    assert said == (
        "  SECRET_KEY: too weak to sign tokens; use at least 32 random characters, "
        "e.g. from 'openssl rand -base64 48'"
    )
    assert given(SECRET_KEY=weak).secret_key.get_secret_value() == weak


@pytest.mark.parametrize(
    "published", ["-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "ssh-rsa"]
)
def test_what_is_published_is_no_signing_key(published: str) -> None:
    assert complaint(SECRET_KEY=f"{published} {SECRET}") == (
        "  SECRET_KEY: a public key or a certificate is no secret; use random characters, "
        "e.g. from 'openssl rand -base64 48'"
    )


def test_production_wants_a_signing_key() -> None:
    assert complaint(ENV="prod", DATABASE_URL=URL, SECRET_KEY="") == (
        "  SECRET_KEY: set it to a long random text, e.g. from 'openssl rand -base64 48'"
    )


def test_the_signing_key_signs_and_is_not_shown() -> None:
    settings = given(SECRET_KEY=SECRET)
    assert SECRET not in repr(settings)
    ours, theirs = create_app(settings), create_app(given(SECRET_KEY=SECRET[::-1]))
    claims = Claims(uid=1, sub="ana@example.com", ver=1, sid=1)
    token = ours.state.tokens.issue(claims)
    assert (ours.state.tokens.read(token), theirs.state.tokens.read(token)) == (claims, None)


@turns("secret_key_file")
def test_a_signing_key_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "secret_key"
    variables = {"SECRET_KEY": "", "SECRET_KEY_FILE": str(file), "ENV": "prod", "DATABASE_URL": URL}
    first = given(**variables).secret_key
    assert len(first.get_secret_value()) >= 48
    assert file.read_text() == first.get_secret_value()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert given(**variables).secret_key == first
    assert [path.name for path in file.parent.iterdir()] == ["secret_key"]


def test_workers_that_start_at_once_agree_on_one_signing_key(tmp_path: Path) -> None:
    keys: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        settings = Settings(_env_file=None, secret_key="", secret_key_file=tmp_path / "secret_key")
        keys.append(settings.secret_key.get_secret_value())

    workers = [threading.Thread(target=start) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(keys), len(set(keys))) == (8, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_worker_that_comes_second_takes_the_key_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = tmp_path / "secret_key", os.link

    def link_late(draft: Path, path: Path) -> None:
        path.write_text("the key of a worker that was faster")
        link(draft, path)

    monkeypatch.setattr(os, "link", link_late)
    settings = given(SECRET_KEY="", SECRET_KEY_FILE=str(file))
    assert settings.secret_key.get_secret_value() == "the key of a worker that was faster"
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_signing_key_given_outright_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    assert given(SECRET_KEY_FILE=str(file)).secret_key.get_secret_value() == SECRET
    assert not file.exists()


def test_a_signing_key_file_that_cannot_be_made_or_is_weak_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("weak")
    beneath = tmp_path / "file" / "secret_key"
    assert complaint(SECRET_KEY="", SECRET_KEY_FILE=str(beneath)) == (
        f"  SECRET_KEY_FILE: cannot be read or made at {beneath} (File exists)"
    )
    weak = complaint(SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "file"), ENV="prod", DATABASE_URL=URL)
    assert weak.startswith(f"  SECRET_KEY_FILE ({tmp_path / 'file'}): too weak to sign tokens;")


@turns("database_url")
@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "postgresql", "postgres"])
def test_every_spelling_of_a_database_url_selects_psycopg2(scheme: str, live_url: str) -> None:
    url = live_url.replace("postgresql+psycopg2", scheme)
    with client(DATABASE_URL=url) as caller:
        engine = caller.app.state.store.engine  # type: ignore[attr-defined]
        assert engine.driver == "psycopg2"
        assert engine.url == make_url(live_url)
        assert caller.get("/health/ready").status_code == 200


@turns("debug")
def test_debug_logs_statements_without_their_parameters(
    live_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for debug, logged in (("false", 0), ("true", 1)):
        with client(DATABASE_URL=live_url, DEBUG=debug) as caller:
            capsys.readouterr()
            caller.get("/api/v1/events", params={"search": "a-word-looked-for"})
        said = capsys.readouterr().err
        statements = [line for line in said.splitlines() if "FROM events" in line]
        assert bool(statements) == bool(logged)
        assert [
            line for line in said.splitlines() if "a-word-looked-for" in line and "httpx" not in line
        ] == []
    assert complaint(ENV="prod", DATABASE_URL=URL, DEBUG="true") == (
        "  DEBUG: it logs every statement; switch it off with ENV=prod"
    )


@turns("access_token_expire_minutes", "refresh_token_expire_days")
def test_tokens_last_as_long_as_set(live_url: str, live: Store) -> None:
    variables = {"ACCESS_TOKEN_EXPIRE_MINUTES": "7", "REFRESH_TOKEN_EXPIRE_DAYS": "3"}
    with client(DATABASE_URL=live_url, **variables) as caller:
        body = {"email": "ana@example.com", "password": PASSWORD}
        answer = caller.post("/api/v1/auth/register", json=body).json()
    assert (answer["expires_in"], answer["refresh_expires_in"]) == (420, 3 * 86_400)
    with live.job() as db:
        kept = db.scalar(text("SELECT expires_at - created_at FROM sign_ins"))
    assert kept == timedelta(days=3)


@turns("argon2_memory_kib", "argon2_passes", "argon2_lanes")
def test_passwords_are_hashed_as_set(live_url: str, live: Store) -> None:
    variables = {"ARGON2_MEMORY_KIB": "19464", "ARGON2_PASSES": "3", "ARGON2_LANES": "2"}
    with client(DATABASE_URL=live_url, **variables) as caller:
        body = {"email": "ana@example.com", "password": PASSWORD}
        assert caller.post("/api/v1/auth/register", json=body).status_code == 201
        assert caller.post("/api/v1/auth/login", json=body).status_code == 200
    with live.job() as db:
        kept = db.scalar(text("SELECT password_hash FROM users"))
    assert kept.startswith("$argon2id$v=19$m=19464,t=3,p=2$")


@turns("api_v1_prefix")
def test_the_prefix_moves_every_route_but_health_and_docs() -> None:
    caller = client(API_V1_PREFIX="/events-api/v2.1")
    assert caller.get("/events-api/v2.1/users/me").status_code == 401
    assert caller.get("/api/v1/users/me").status_code == 404
    assert [caller.get(path).status_code for path in ("/health/live", "/docs", "/redoc")] == [200, 200, 200]
    document = caller.get("/openapi.json").json()
    outside = {path for path in document["paths"] if not path.startswith("/events-api/v2.1/")}
    assert outside == {"/health/live", "/health/ready"}
    flow = document["components"]["securitySchemes"]["Account"]["flows"]["password"]
    assert flow["tokenUrl"] == "/events-api/v2.1/auth/token"
    assert caller.get(flow["tokenUrl"]).headers["allow"] == "POST"


@turns("cors_origins")
def test_browsers_are_let_in_from_the_frontends_named() -> None:
    caller = client(CORS_ORIGINS="https://events.example.com")
    for origin, allowed in (
        ("https://events.example.com", "https://events.example.com"),
        ("http://localhost:5173", None),
    ):
        answer = caller.get("/health/live", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


@turns("allow_hosts")
def test_only_the_hosts_named_are_answered_for() -> None:
    caller = client(ALLOW_HOSTS="api.example.com")
    statuses = [
        caller.get("/openapi.json", headers={"Host": host}).status_code
        for host in ("api.example.com", "other.example")
    ]
    assert statuses == [200, 400]


@turns("docs_enabled")
def test_docs_switched_off_are_gone_with_all_that_belongs_to_them() -> None:
    paths = ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect", "/docs/assets/swagger-ui.css"]
    for switched, status in (("true", 200), ("false", 404)):
        caller = client(DOCS_ENABLED=switched)
        assert [caller.get(path).status_code for path in paths] == [status] * 5


@turns("gzip_enabled")
def test_answers_are_compressed_unless_switched_off() -> None:
    for switched, encoding in (("true", "gzip"), ("false", None)):
        answer = client(GZIP_ENABLED=switched).get("/openapi.json", headers={"Accept-Encoding": "gzip"})
        assert answer.headers.get("content-encoding") == encoding


@turns("event_creators")
@pytest.mark.parametrize(
    ("creators", "role", "status"),
    [
        ("anyone", Role.ATTENDEE, 201),
        ("organizers", Role.ATTENDEE, 403),
        ("ORGANIZERS", Role.ORGANIZER, 201),
        ("organizers", Role.ADMIN, 201),
    ],
)
def test_those_who_may_create_events_are_as_set(
    live: Any, live_url: str, creators: str, role: Role, status: int
) -> None:
    with live.job() as db:
        claims = claims_of(Factory(db).user(role=role))
    with client(DATABASE_URL=live_url, EVENT_CREATORS=creators) as caller:
        token = caller.app.state.tokens.issue(claims)  # type: ignore[attr-defined]
        body = {
            "name": "Event",
            "start_at": soon(1).isoformat(),
            "end_at": soon(2).isoformat(),
            "capacity_total": 1,
        }
        answer = caller.post("/api/v1/events", json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


@turns("log_level", "log_format")
def test_the_log_says_as_much_and_in_the_form_set(capsys: pytest.CaptureFixture[str]) -> None:
    create_app(given(LOG_LEVEL="error", LOG_FORMAT="json"))
    logging.getLogger("app.a").warning("not said")
    logging.getLogger("app.a").error("said")
    line = capsys.readouterr().err
    assert line.startswith('{"at":')
    assert line.count("\n") == 1
    create_app(given(LOG_LEVEL="Debug", LOG_FORMAT="text"))
    logging.getLogger("app.a").debug("said too")
    assert capsys.readouterr().err.endswith("DEBUG   [-] app.a: said too\n")


@turns("max_body_bytes")
def test_a_body_is_as_large_as_set() -> None:
    caller = client(MAX_BODY_BYTES="1024")
    statuses = [caller.post("/api/v1/nothing", content=b"x" * size).status_code for size in (1_024, 1_025)]
    assert statuses == [404, 413]


# The list as a whole is asked by the event loop, past the gate.
FILTERED = "/api/v1/events?has_places=true"


@turns("db_pool_size", "db_queue_size")
def test_past_the_pool_and_the_queue_the_service_says_it_is_too_busy(live_url: str) -> None:
    with client(DATABASE_URL=live_url, DB_POOL_SIZE="1", DB_QUEUE_SIZE="0") as caller:
        store = caller.app.state.store  # type: ignore[attr-defined]
        # Two more than asked for: each group commit has its own.
        assert (store.engine.pool.size(), store.engine.pool._max_overflow) == (3, 0)  # noqa: SLF001
        assert caller.get(FILTERED).status_code == 200
        assert caller.portal is not None
        with caller.portal.wrap_async_context_manager(store.gate):
            answer = caller.get(FILTERED)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
        assert caller.get(FILTERED).status_code == 200


@turns("queue_timeout")
def test_whoever_waits_for_longer_than_set_is_refused(live_url: str) -> None:
    with client(DATABASE_URL=live_url, DB_POOL_SIZE="1", QUEUE_TIMEOUT="0.05") as caller:
        store = caller.app.state.store  # type: ignore[attr-defined]
        assert caller.portal is not None
        with caller.portal.wrap_async_context_manager(store.gate):
            answer = caller.get(FILTERED)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
        assert caller.get(FILTERED).status_code == 200


@turns("statement_timeout", "lock_timeout", "idle_transaction_timeout")
def test_a_transaction_is_limited_as_set(live_url: str) -> None:
    limits = {"STATEMENT_TIMEOUT": "1.5", "LOCK_TIMEOUT": "0.5", "IDLE_TRANSACTION_TIMEOUT": "7"}
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with client(DATABASE_URL=live_url, **limits) as caller:
        store = caller.app.state.store  # type: ignore[attr-defined]
        with store.job() as db:
            assert [db.scalar(text(f"SHOW {name}")) for name in names] == ["1500ms", "500ms", "7s"]


@turns("hashing_threads")
def test_as_many_passwords_are_hashed_at_once_as_set(live_url: str) -> None:
    others = set(threading.enumerate())
    with client(DATABASE_URL=live_url, HASHING_THREADS="3") as caller:
        hashing = caller.app.state.hashing  # type: ignore[attr-defined]
        assert caller.portal is not None
        hashes = [caller.portal.start_task_soon(hashing.hash, PASSWORD) for _ in range(9)]
        assert len({made.result() for made in hashes}) == len(hashes)
        ours = set(threading.enumerate()) - others
        assert sum(thread.name.startswith("hashing") for thread in ours) == 3


def test_who_finds_the_queue_for_hashing_full_is_told_so(live_url: str) -> None:
    with (
        client(DATABASE_URL=live_url, HASHING_THREADS="1", DB_QUEUE_SIZE="0") as caller,
        ExitStack() as places,
    ):
        hashing = caller.app.state.hashing  # type: ignore[attr-defined]
        assert caller.portal is not None
        for _ in range(HANDED_TO_A_THREAD):
            assert len(caller.portal.call(hashing.hash, PASSWORD)) > 40
            places.enter_context(caller.portal.wrap_async_context_manager(hashing._gate))  # noqa: SLF001
        body = {"email": "ana@example.com", "password": PASSWORD}
        answer = caller.post("/api/v1/auth/login", json=body)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")


@turns("drain_seconds")
def test_a_process_drains_as_long_as_set() -> None:
    assert create_app(given(DRAIN_SECONDS="7")).state.draining.seconds == 7


@turns("metrics_enabled", "metrics_token")
def test_metrics_are_served_if_asked_for_and_to_those_who_have_the_token() -> None:
    for switched, status in (("false", 404), ("true", 200)):
        assert client(METRICS_ENABLED=switched).get("/metrics").status_code == status
    guarded = client(METRICS_ENABLED="true", METRICS_TOKEN="a-token")
    statuses = [
        guarded.get("/metrics", headers=[(b"Authorization", sent.encode("latin-1"))]).status_code
        for sent in (
            "",
            "Bearer another",
            "Bearer a-token-and-more",
            "a-token",
            "Bearer \xe9",
            "Bearer a-token",
        )
    ]
    assert statuses == [401, 401, 401, 401, 401, 200]
    assert "a-token" not in repr(given(METRICS_TOKEN="a-token"))


@pytest.mark.parametrize("token", ["", "a-token", "x" * 64])
def test_production_wants_a_strong_token_for_its_metrics(token: str) -> None:
    variables = {"ENV": "prod", "DATABASE_URL": URL, "METRICS_TOKEN": token}
    assert complaint(METRICS_ENABLED="true", **variables) == (
        "  METRICS_TOKEN: with METRICS_ENABLED, at least 32 random characters, "
        "e.g. from 'openssl rand -base64 48'"
    )
    assert given(METRICS_ENABLED="false", **variables).metrics_enabled is False


@turns("otel_exporter_otlp_endpoint")
def test_traces_are_made_if_there_is_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint, traced in (("", False), ("http://127.0.0.1:4318/", True)):
        config = create_app(given(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)).state.tracing.config
        assert (config["tracing"], config["metrics"], config["logs"]) == (traced, False, False)
    # What a plain installation lacks.
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    assert complaint(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318") == (
        "  OTEL_EXPORTER_OTLP_ENDPOINT: what sends traces is not installed; "
        "add it by 'poetry install -E otel'"
    )


def test_the_database_s_password_is_not_shown() -> None:
    settings = given(DATABASE_URL=URL)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == URL.replace("postgresql", "postgresql+psycopg2")
    assert "a-database-password" not in f"{settings!r} {settings.model_dump()}"


@turns(
    "rate_limit_sign_in",
    "rate_limit_sign_up",
    "rate_limit_writes",
    "rate_limit_reads",
    "rate_limit_check_ins",
)
@pytest.mark.parametrize(
    ("limit", "method", "path"),
    [
        ("SIGN_IN", "POST", "/auth/login"),
        ("SIGN_IN", "POST", "/auth/token"),
        ("SIGN_UP", "POST", "/auth/register"),
        ("WRITES", "POST", "/events"),
        ("WRITES", "DELETE", "/registrations/events/1"),
        ("READS", "GET", "/users/me"),
        ("CHECK_INS", "POST", "/events/1/check-ins"),
        ("CHECK_INS", "POST", "/events/1/check-ins/batch"),
    ],
)
@pytest.mark.parametrize(("rate", "refused"), [("2/hour", [False, False, True]), ("OFF", [False] * 3)])
def test_a_limit_refuses_one_more_than_it_says_and_can_be_switched_off(  # noqa: PLR0913, PLR0917
    live_url: str, limit: str, method: str, path: str, rate: str, refused: list[bool]
) -> None:
    with client(DATABASE_URL=live_url, **{f"RATE_LIMIT_{limit}": rate}) as caller:
        token = caller.app.state.tokens.issue(Claims(uid=1, sub="ana@example.com", ver=1, sid=1))  # type: ignore[attr-defined]
        bearer = {"Authorization": f"Bearer {token}"}
        answers = [caller.request(method, f"/api/v1{path}", headers=bearer) for _ in refused]
    assert [answer.status_code == 429 for answer in answers] == refused


@turns("rate_limit_account", "trusted_proxies")
@pytest.mark.parametrize(("rate", "statuses"), [("2/hour", [401, 401, 429]), ("off", [401] * 3)])
def test_an_account_is_tried_as_often_as_set_wherever_from(
    live_url: str, rate: str, statuses: list[int]
) -> None:
    app = create_app(given(DATABASE_URL=live_url, RATE_LIMIT_ACCOUNT=rate, TRUSTED_PROXIES="127.0.0.0/8"))
    body = {"email": "ana@example.com", "password": PASSWORD}
    with TestClient(app, client=("127.0.0.1", 50_000)) as caller:
        answers = [
            caller.post("/api/v1/auth/login", json=body, headers={"X-Forwarded-For": f"198.51.100.{n}"})
            for n in range(3)
        ]
    assert [answer.status_code for answer in answers] == statuses


@needs_redis
@turns("rate_limits_url")
def test_those_who_count_in_one_redis_count_together(live_url: str, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        limited = {"DATABASE_URL": live_url, "RATE_LIMIT_READS": "2/hour"}
        for url, refused in ((redis.url, [False, False, True]), ("memory://", [False] * 3)):
            statuses = []
            for _ in refused:
                with client(**limited, RATE_LIMITS_URL=url) as caller:
                    statuses.append(caller.get("/api/v1/events").status_code)
            assert [status == 429 for status in statuses] == refused


def test_every_setting_is_turned_by_a_test() -> None:
    assert set(Settings.model_fields) == TURNED
