"""Settings, read once from the environment and ``.env``; an unusable one stops the start and says why."""

import json
import logging
import os
import re
import secrets
from enum import StrEnum
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from limits import parse_many
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.core.security import FEWEST_PASSES, LEAST_MEMORY_KIB, PasswordHasher, Tokens
from app.core.windows import can_count_at

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT / ".data"

SHORTEST_SECRET = 32
FEWEST_DIFFERENT_CHARACTERS = 10
LOCAL_FRONTENDS = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (5173, 3000)]

logger = logging.getLogger(__name__)


class Environment(StrEnum):
    """Where the service runs."""

    DEV = "dev"
    PROD = "prod"


class EventCreators(StrEnum):
    """Who may create events."""

    ANYONE = "anyone"
    ORGANIZERS = "organizers"


class InvalidSettings(SystemExit):
    """Stop the start with one readable message and no traceback."""


def _bare(value: Any) -> Any:
    # `docker run --env-file` hands over the quotes that a shell would have taken away.
    if isinstance(value, str):
        value = value.strip()
        for quote in ("'", '"'):
            if len(value) > 1 and value[0] == value[-1] == quote and value.count(quote) == 2:  # noqa: PLR2004
                return value[1:-1].strip()
    return value


def _listed(value: Any) -> Any:
    value = _bare(value)
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError("write it as a,b,c or as a JSON list") from error
    return [item for item in (_bare(part) for part in value.split(",")) if item]


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_listed)]


def _rate(value: str) -> str:
    value = value.lower()
    if value == "off":
        return value
    try:
        rates = parse_many(value)
    except ValueError:
        rates = []
    if len(rates) != 1 or not (rates[0].amount and rates[0].get_expiry()):
        raise ValueError("write it as 300/minute or 10/15minutes, or off")
    return value


Rate = Annotated[str, AfterValidator(_rate)]
"""So many in so much time, in the notation of ``limits``, or ``off``."""


class Settings(BaseSettings):
    """Everything an operator can turn; the README explains each."""

    model_config = SettingsConfigDict(
        env_file=PROJECT / ".env",
        env_file_encoding="utf-8",
        extra="ignore",
        env_ignore_empty=True,
    )

    env: Environment = Environment.DEV
    debug: bool = False
    database_url: SecretStr | None = None
    secret_key: SecretStr = SecretStr("")
    secret_key_file: Path | None = None
    access_token_expire_minutes: int = Field(30, ge=1, le=60 * 24 * 30)
    refresh_token_expire_days: int = Field(30, ge=1, le=365)
    api_v1_prefix: str = Field("/api/v1", pattern=r"^(/[A-Za-z0-9_.-]+)+$")
    cors_origins: CommaSeparated = LOCAL_FRONTENDS
    allow_hosts: CommaSeparated = ["*"]
    docs_enabled: bool = True
    gzip_enabled: bool = True
    event_creators: EventCreators = EventCreators.ANYONE
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    max_body_bytes: int = Field(1_048_576, ge=1_024, le=104_857_600)
    db_pool_size: int = Field(10, ge=1, le=200)
    db_queue_size: int = Field(1_000, ge=0, le=100_000)
    queue_timeout: float = Field(5, gt=0, le=300)
    statement_timeout: float = Field(10, ge=0.1, le=3_600)
    lock_timeout: float = Field(3, ge=0.1, le=3_600)
    idle_transaction_timeout: float = Field(30, ge=1, le=3_600)
    hashing_threads: int = Field(2, ge=1, le=64)
    argon2_memory_kib: int = Field(LEAST_MEMORY_KIB, ge=LEAST_MEMORY_KIB, le=4_194_304)
    argon2_passes: int = Field(FEWEST_PASSES, ge=FEWEST_PASSES, le=100)
    argon2_lanes: int = Field(1, ge=1, le=64)
    drain_seconds: int = Field(0, ge=0, le=300)
    metrics_enabled: bool = False
    metrics_token: SecretStr | None = None
    otel_exporter_otlp_endpoint: str | None = None
    trusted_proxies: CommaSeparated = []
    rate_limits_url: SecretStr = SecretStr("memory://")
    rate_limit_sign_in: Rate = "75/3seconds"
    rate_limit_account: Rate = "10/15minutes"
    rate_limit_sign_up: Rate = "30/3seconds"
    rate_limit_writes: Rate = "300/minute"
    rate_limit_reads: Rate = "60000/minute"
    rate_limit_check_ins: Rate = "3000/minute"

    @model_validator(mode="before")
    @classmethod
    def _take_quotes_away(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: _bare(value) for name, value in values.items()}

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("env", "event_creators", "log_format", mode="before")
    @classmethod
    def _in_small_letters(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _speak_psycopg2(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            url = make_url(value.get_secret_value())
        except (ArgumentError, ValueError) as error:
            raise ValueError("write it as postgresql://user:password@host:5432/name") from error
        if url.drivername not in {"postgresql+psycopg2", "postgresql", "postgres"}:
            raise ValueError(f"only PostgreSQL is supported, not '{url.drivername}'")
        return SecretStr(url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False))

    @field_validator("cors_origins")
    @classmethod
    def _no_wildcard_with_credentials(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://[^/*\s]+", origin):
                raise ValueError(f"'{origin}' is not an origin; write https://host or https://host:port")
        return value

    @field_validator("allow_hosts")
    @classmethod
    def _hosts_are_hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if host != "*" and ("*" in host.removeprefix("*.") or "/" in host):
                raise ValueError(f"'{host}' is not a host; write api.example.com, *.example.com or *")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _can_be_sent_to(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://[^\s?#]+", value):
            raise ValueError("write it as http://host:4318")
        try:
            find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ModuleNotFoundError:
            raise ValueError(
                "what sends traces is not installed; add it by 'poetry install -E otel'"
            ) from None
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: list[str]) -> list[str]:
        for proxy in value:
            try:
                network = ip_network(proxy)
            except ValueError as error:
                raise ValueError(
                    f"'{proxy}' is not an address or a network; write 10.0.0.7 or 10.0.0.0/8"
                ) from error
            if network.prefixlen == 0:
                raise ValueError(f"'{proxy}' is everybody, and anybody could say any address")
        return value

    @field_validator("rate_limits_url")
    @classmethod
    def _counted_here_or_in_redis(cls, value: SecretStr) -> SecretStr:
        address = value.get_secret_value()
        if not can_count_at(address):
            raise ValueError("write it as memory:// or redis://user:password@host:6379/0")
        return value

    @model_validator(mode="after")
    def _fit_for_production(self) -> Self:
        if self.env is Environment.PROD:
            if self.database_url is None:
                raise ValueError(
                    "DATABASE_URL: set it to your PostgreSQL, as postgresql://user:password@host:5432/name"
                )
            if self.debug:
                raise ValueError("DEBUG: it logs every statement; switch it off with ENV=prod")
            if self.metrics_enabled and (self.metrics_token is None or _is_weak(self.metrics_token)):
                raise ValueError(
                    f"METRICS_TOKEN: with METRICS_ENABLED, at least {SHORTEST_SECRET} random characters, "
                    "e.g. from 'openssl rand -base64 48'"
                )
        if self.access_token_expire_minutes > self.refresh_token_expire_days * 24 * 60:
            raise ValueError(
                "REFRESH_TOKEN_EXPIRE_DAYS: too short, the tokens of ACCESS_TOKEN_EXPIRE_MINUTES outlast it"
            )
        self.secret_key = SecretStr(self._signing_key())
        return self

    @property
    def hasher(self) -> PasswordHasher:
        """Return what hashes passwords as set."""
        return PasswordHasher(
            memory_kib=self.argon2_memory_kib, passes=self.argon2_passes, lanes=self.argon2_lanes
        )

    def _signing_key(self) -> str:
        given = self.secret_key.get_secret_value()
        if given:
            name = "SECRET_KEY"
        elif path := self.secret_key_file or (DATA / "secret_key" if self.env is Environment.DEV else None):
            name = f"SECRET_KEY_FILE ({path})"
            given = _kept_secret(path)
        else:
            raise ValueError("SECRET_KEY: set it to a long random text, e.g. from 'openssl rand -base64 48'")
        if not Tokens.can_sign_with(given):
            raise ValueError(
                f"{name}: a public key or a certificate is no secret; use random characters, "
                "e.g. from 'openssl rand -base64 48'"
            )
        if self.env is Environment.PROD and _is_weak(SecretStr(given)):
            raise ValueError(
                f"{name}: too weak to sign tokens; use at least {SHORTEST_SECRET} random characters, "
                "e.g. from 'openssl rand -base64 48'"
            )
        return given


def _is_weak(secret: SecretStr) -> bool:
    text = secret.get_secret_value()
    return len(text) < SHORTEST_SECRET or len(set(text)) < FEWEST_DIFFERENT_CHARACTERS


class DefaultSettings(Settings):
    """The settings as they are where nothing is set: only what the caller says counts."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the environment and ``.env`` out."""
        return (init_settings,)


def _kept_secret(path: Path) -> str:
    """Read the signing key kept at ``path``, or make one there that only its owner can read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            # Written aside and linked into place: of several workers starting at once one wins, and
            # none reads half a key.
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(48))
            try:
                os.link(draft, path)
                logger.warning("made a new SECRET_KEY and keep it in %s", path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise ValueError(f"SECRET_KEY_FILE: cannot be read or made at {path} ({error.strerror})") from error


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment and ``.env``.

    Raises:
        InvalidSettings: a value cannot be used; the message names each variable and the reason.

    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_sentence(fault) for fault in error.errors(include_url=False, include_context=False)]
        raise InvalidSettings("\n".join(["The settings cannot be used:", *lines])) from None


def _sentence(fault: Any) -> str:
    reason = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f"  {reason}"
    return f"  {str(fault['loc'][0]).upper()}: {reason[0].lower()}{reason[1:]}"
