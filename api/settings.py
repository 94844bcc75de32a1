"""Settings of the API from the environment: the only module of the API that reads it.

Every fault is gathered and raised once, with the name of the variable, what came and what is allowed.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

Units = Literal["base", "display"]
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
REFERENCE = Path(__file__).resolve().parent.parent / "pipelines" / "reference"

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
    auth_mode: Literal["none"] = "none"
    operator: str | None = None
    release_poll_seconds: float = 0.25
    cache_bytes: int = 64 * 1024 * 1024
    query_threads: int = 2

    @property
    def allow_synthetic(self) -> bool:
        """Whether fiction may be served: only while callers are not authenticated, which no site runs in earnest."""
        return self.auth_mode == "none"

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

    def settings(self) -> Settings:
        default = Settings()
        settings = Settings(
            host=self.read("HOST", default.host, str),
            port=self.read("PORT", default.port, _whole_number(0, 65535)),
            cors_allowed_origins=self.read("CORS_ALLOWED_ORIGINS", default.cors_allowed_origins, _origins),
            log_level=self.read("LOG_LEVEL", default.log_level, _choice(LOG_LEVELS, str.upper)),
            warehouse_dir=self.read("WAREHOUSE_DIR", default.warehouse_dir, _folder),
            default_units=cast(Units, self.read("DEFAULT_UNITS", "base", _choice(("base", "display"), str.lower))),
            auth_mode=cast(Any, self.read("AUTH_MODE", "none", _auth_mode)),
            operator=self.read("OPERATOR", None, bound_operator),
            release_poll_seconds=self.read("RELEASE_POLL_SECONDS", default.release_poll_seconds, _number(0.01, 60.0)),
            cache_bytes=self.read("CACHE_MAX_MIB", 64, _whole_number(1, 4096)) * 1024 * 1024,
            query_threads=self.read("QUERY_THREADS", default.query_threads, _whole_number(1, 64)),
        )
        if self.faults:
            raise SettingsError(self.faults)
        return settings


def bound_operator(value: str) -> str:
    """The operator's served name: that of the folder's operator.toml, else the value itself.

    OPERATOR is a name under pipelines/reference or a path to a folder anywhere. Raises ValueError for a path without
    operator.toml, or a file that does not name its operator.
    """
    is_path = "/" in value or os.sep in value
    file = (Path(value) if is_path else REFERENCE / value) / "operator.toml"
    if not file.is_file():
        if is_path:
            raise ValueError(f"{file} does not exist; OPERATOR is a known name or a folder that holds operator.toml")
        return value
    name = tomllib.loads(file.read_text(encoding="utf-8")).get("operator")
    if not isinstance(name, str) or not name:
        raise ValueError(f'{file} does not name its operator; add operator = "..."')
    return name


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


def _auth_mode(value: str) -> str:
    if value == "entra":
        raise ValueError(
            "this version cannot check Entra ID tokens yet and never serves unchecked in its place; use none"
        )
    return _choice(("none",), str.lower)(value)


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
