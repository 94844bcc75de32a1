"""Settings of the API from the environment: the only module of the API that reads it.

Every fault is gathered and raised once, with the name of the variable, what came and what is allowed.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import urlsplit

from api.auth.environment import Authentication, read_authentication
from api.limits import Rate, parse_rate
from warehouse.object_store import Location, is_object_url, location

Units = Literal["base", "display"]
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
REFERENCE = Path(__file__).resolve().parent.parent / "pipelines" / "reference"
# Of the storage that LAKE_URL names. AZURE_CLIENT_ID is the application that callers sign in to; the identity that opens the
# storage is another one.
STORAGE_NAMES = (
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_STORAGE_TENANT_ID",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
)
# What a caller may send where the environment does not say; None would be no limit.
DEFAULT_RATE: Rate | None = Rate("default", 6000, 60)
EXPORTS_RATE: Rate | None = Rate("exports", 60, 60)

T = TypeVar("T")


class SettingsError(ValueError):
    """The environment cannot be used; the message lists every fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("The API's settings cannot be used:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Settings:
    """What the API needs to start. `operator` is the name that a release must carry; None serves any."""

    host: str = "127.0.0.1"
    port: int = 8000
    cors_allowed_origins: tuple[str, ...] = ()
    log_level: str = "INFO"
    warehouse_dir: Path = Path("var/warehouse")
    default_units: Units = "base"
    authentication: Authentication = field(default_factory=Authentication)
    operator: str | None = None
    # The pointer is followed by the events of the file system; this is for one that tells none.
    release_poll_seconds: float = 0.25
    # Object storage that replicas share releases on; None: releases stand in warehouse_dir alone.
    lake: Location | None = None
    storage_poll_seconds: float = 1.0
    cache_bytes: int = 64 * 1024 * 1024
    query_threads: int = 2
    # How long an answer of a release that is not in force is held; those of the release in force live as long as it does.
    cache_ttl_seconds: float = 300.0
    request_timeout_seconds: float = 30.0
    # None is no limit. Where counts are shared, the address may hold a password: never printed.
    rate_limit: Rate | None = None
    rate_limit_exports: Rate | None = None
    redis_url: str | None = field(default=None, repr=False)
    redis_timeout_seconds: float = 0.05
    stream_heartbeat_seconds: float = 15.0
    stream_max_connections: int = 500
    # Collectorsectors of spans and durations. The connection string holds a key: never printed.
    application_insights: str | None = field(default=None, repr=False)
    otlp_endpoint: str | None = None
    trace_sample_ratio: float = 1.0
    telemetry_seconds: float = 60.0

    @property
    def allow_synthetic(self) -> bool:
        """Whether fiction may be served: only while callers are not authenticated, which no site runs in earnest."""
        return self.authentication.mode == "none"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Settings of the process. Raises SettingsError with every fault; an empty variable counts as absent."""
        given = os.environ if environment is None else environment
        return _Reader({name: value.strip() for name, value in given.items() if value.strip()}).settings()


class _Reader:
    """Reads one variable after another and keeps the faults."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.faults: list[str] = []

    def read(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        if name not in self.given:
            return default
        try:
            return parse(self.given[name])
        except ValueError as error:
            self.faults.append(f"{name}={self.given[name]!r}: {error}")
            return default

    def read_secret(self, name: str, parse: Callable[[str], str]) -> str | None:
        """As `read`, for a value that no fault may repeat."""
        if name not in self.given:
            return None
        try:
            return parse(self.given[name])
        except ValueError as error:
            self.faults.append(f"{name}: {error}")
            return None

    def _lake(self) -> Location | None:
        """A lake on object storage; one in a folder is the pipelines' own business."""
        url = self.given.get("LAKE_URL", "")
        if not is_object_url(url):
            return None
        try:
            return location(url, {name: self.given.get(name, "") for name in STORAGE_NAMES})
        except ValueError as error:
            self.faults.append(f"LAKE_URL={url.partition('?')[0]!r}: {error}")  # a signature may follow
            return None

    def _operator_folder(self) -> Path | None:
        folder = operator_folder(self.given["OPERATOR"]) if "OPERATOR" in self.given else None
        return folder if folder is not None and folder.is_dir() else None

    def settings(self) -> Settings:
        default = Settings()
        settings = Settings(
            host=self.read("HOST", default.host, str),
            port=self.read("PORT", default.port, _whole_number(0, 65535)),
            cors_allowed_origins=self.read("CORS_ALLOWED_ORIGINS", default.cors_allowed_origins, _origins),
            log_level=self.read("LOG_LEVEL", default.log_level, _choice(LOG_LEVELS, str.upper)),
            warehouse_dir=self.read("WAREHOUSE_DIR", default.warehouse_dir, _folder),
            default_units=cast(Units, self.read("DEFAULT_UNITS", "base", _choice(("base", "display"), str.lower))),
            authentication=read_authentication(self, self.given.get("HOST", default.host), self._operator_folder()),
            operator=self.read("OPERATOR", None, bound_operator),
            release_poll_seconds=self.read("RELEASE_POLL_SECONDS", default.release_poll_seconds, _number(0.01, 60.0)),
            lake=self._lake(),
            storage_poll_seconds=self.read("STORAGE_POLL_SECONDS", default.storage_poll_seconds, _number(0.1, 60.0)),
            cache_bytes=self.read("CACHE_MAX_MIB", 64, _whole_number(1, 4096)) * 1024 * 1024,
            query_threads=self.read("QUERY_THREADS", default.query_threads, _whole_number(1, 64)),
            cache_ttl_seconds=self.read("CACHE_DEFAULT_TTL_SECONDS", default.cache_ttl_seconds, _number(0.0, 86400.0)),
            request_timeout_seconds=self.read(
                "REQUEST_TIMEOUT_SECONDS", default.request_timeout_seconds, _number(1.0, 600.0)
            ),
            rate_limit=self.read("RATE_LIMIT", DEFAULT_RATE, partial(parse_rate, "default")),
            rate_limit_exports=self.read("RATE_LIMIT_EXPORTS", EXPORTS_RATE, partial(parse_rate, "exports")),
            redis_url=self.read_secret("REDIS_URL", _redis_url),
            redis_timeout_seconds=self.read(
                "REDIS_TIMEOUT_SECONDS", default.redis_timeout_seconds, _number(0.005, 10.0)
            ),
            stream_heartbeat_seconds=self.read(
                "STREAM_HEARTBEAT_SECONDS", default.stream_heartbeat_seconds, _number(0.1, 60.0)
            ),
            stream_max_connections=self.read(
                "STREAM_MAX_CONNECTIONS", default.stream_max_connections, _whole_number(1, 100_000)
            ),
            application_insights=self.read_secret("APPLICATION_INSIGHTS_CONNECTION_STRING", _connection_string),
            otlp_endpoint=self.read("OTEL_EXPORTER_OTLP_ENDPOINT", None, _address),
            trace_sample_ratio=self.read("TRACE_SAMPLE_RATIO", default.trace_sample_ratio, _number(0.0, 1.0)),
            telemetry_seconds=self.read("TELEMETRY_SECONDS", default.telemetry_seconds, _number(0.5, 3600.0)),
        )
        if self.faults:
            raise SettingsError(self.faults)
        return settings


def operator_folder(value: str) -> Path:
    """The reference folder that OPERATOR names, whether it exists or not."""
    return Path(value) if "/" in value or os.sep in value else REFERENCE / value


def bound_operator(value: str) -> str:
    """The operator's served name: that of the folder's operator.toml, else the value itself.

    OPERATOR is a name under pipelines/reference or a path to a folder anywhere. Raises ValueError for a path without
    operator.toml, or a file that does not name its operator.
    """
    file = operator_folder(value) / "operator.toml"
    if not file.is_file():
        if operator_folder(value) == Path(value):
            raise ValueError(f"{file} does not exist; OPERATOR is a known name or a folder that holds operator.toml")
        return value
    name = tomllib.loads(file.read_text(encoding="utf-8")).get("operator")
    if not isinstance(name, str) or not name:
        raise ValueError(f'{file} does not name its operator; add operator = "..."')
    return name


def of_this_process(names: Iterable[str]) -> dict[str, str]:
    """The variables of this process that a process of its own needs to start; never those of settings."""
    return {name: os.environ[name] for name in names if name in os.environ}


def quiet_exporters() -> None:
    """Turns off what Azure's exporter would send to hosts of its own: statistics of itself and remote configuration."""
    for name in ("statsbeat_disabled_all", "controlplane_disabled", "sdkstats_disabled"):
        os.environ.setdefault(f"applicationinsights_{name}".upper(), "true")


def _connection_string(value: str) -> str:
    parts = {name.strip().lower() for name, equals, _ in (part.partition("=") for part in value.split(";")) if equals}
    key = re.search(r"(?i)(?:^|;)\s*instrumentationkey=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(;|$)", value)
    if key is None or "ingestionendpoint" not in parts:
        raise ValueError(
            "must be a connection string of Application Insights, InstrumentationKey=<UUID>;IngestionEndpoint=https://…"
        )
    return value


def _address(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.netloc or url.username or url.password:
        raise ValueError("must be an address such as http://collector:4318")
    return value.rstrip("/")


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return number

    return parse


def _choice(allowed: tuple[str, ...], fold: Callable[[str], str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if fold(value) not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return fold(value)

    return parse


def _redis_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise ValueError("must be redis://[:password@]host[:port][/database], or rediss:// for TLS")
    return value


def _folder(value: str) -> Path:
    path = Path(value)
    if path.exists() and not path.is_dir():
        raise ValueError("must be a folder, and a file stands there")
    return path


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(dict.fromkeys(part.strip().rstrip("/") for part in value.split(",") if part.strip()))
    for origin in origins:
        if origin == "*":
            continue
        url = urlsplit(origin)
        if url.scheme not in ("http", "https") or not url.netloc or url.path or url.query or url.fragment:
            raise ValueError(f"{origin!r} is no origin; write scheme://host[:port] or *, separated by commas")
    return origins
