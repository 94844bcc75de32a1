"""The pipelines' only reader of the environment: what is set is checked as a whole, and everything missing is named at once.

A source that is not set is not used; a half-set one is an error; none at all is an error too.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.sources.config import (
    GRAPH_AUTHORITY,
    GRAPH_BASE_URL,
    GRAPH_SCOPE,
    PI_AUTH_MODES,
    EcOracleConfig,
    EcRestConfig,
    PiConfig,
    Secret,
    SharePointConfig,
)
from warehouse.object_store import Location, is_object_url, location

DEFAULT_HISTORY_DAYS = 200
DEFAULT_PI_DAYS = 14
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
# Energy Components is corrected for weeks after the day; every daily run re-reads this many labels.
TRAILING_DAYS = 45
# Each morning, after the day has closed everywhere.
TRAILING_CRON = "40 7 * * *"


class SettingsError(ValueError):
    """The environment has faults; the message lists every one."""


def inherited() -> dict[str, str]:
    """A copy of this process's environment, for the processes that it starts."""
    return dict(os.environ)


def demo_warehouse(operator: str) -> Path:
    """Where the demo of an operator publishes: WAREHOUSE_DIR, else var/warehouse, for others than the sandbox with a suffix.

    Two operators never share a folder: a release is refused where another operator's is in force. The Makefile follows
    the same rule.
    """
    stated = os.environ.get("WAREHOUSE_DIR", "").strip()
    if stated:
        return Path(stated)
    name = Path(operator).name
    return Path("var/warehouse" if name == "sandbox" else f"var/warehouse-{name}")


def demo_ports() -> tuple[int, int]:
    """Ports of the API (PORT, 8000) and of the Dagster UI (3000) in the demo."""
    read = _Reader(os.environ)
    port = int(read.number("PORT", 8000, low=1, high=65_535))
    if read.faults:
        raise SettingsError("; ".join(read.faults))
    return port, 3000


@dataclass(frozen=True)
class DemoHistory:
    """How much the demo's source systems hold."""

    history_days: int
    pi_days: int


def load_demo_history() -> DemoHistory:
    """HISTORY_DAYS and PI_DAYS, without the settings of sources that do not run yet."""
    read = _Reader(os.environ)
    history = DemoHistory(
        history_days=int(read.number("HISTORY_DAYS", DEFAULT_HISTORY_DAYS, low=1, high=20_000)),
        pi_days=int(read.number("PI_DAYS", DEFAULT_PI_DAYS, low=1, high=4_000)),
    )
    if read.faults:
        raise SettingsError("; ".join(read.faults))
    return history


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says. `as_of` is a replay's clock; None means the machine's."""

    operator: str
    # A folder, or a place on object storage, where the releases then stand too.
    lake: Path | Location
    warehouse_dir: Path
    as_of: datetime | None
    history_days: int
    pi_days: int
    refresh_cron_asset: str
    refresh_cron_terminal: str
    executor: str
    database_url: Secret
    schedules_running: bool
    energy_components: EcRestConfig | EcOracleConfig | None
    pi: PiConfig | None
    sharepoint: SharePointConfig | None

    @property
    def configured_sources(self) -> tuple[str, ...]:
        """Names of the sources in use, in pipeline order."""
        named = (("energy_components", self.energy_components), ("pi", self.pi), ("sharepoint", self.sharepoint))
        return tuple(name for name, config in named if config is not None)

    def cron_lines(self, source: str) -> tuple[str, ...]:
        """When a source is read by schedule, in the operator's zone; nothing where the schedules are not said to run."""
        if not self.schedules_running:
            return ()
        terminal = (self.refresh_cron_terminal,) if source == "pi" else ()
        return (self.refresh_cron_asset, *terminal, TRAILING_CRON)


class _Reader:
    """Reads variables and gathers faults."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self._environment.get(name, "").strip() or default

    def secret(self, name: str) -> Secret:
        return Secret(self.text(name))

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        text = self.text(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            self.faults.append(f"{name}={text!r} is no number")
            return default
        if not low <= value <= high:
            self.faults.append(f"{name}={text} is outside {low:g} to {high:g}")
        return value

    def instant(self, name: str) -> datetime | None:
        text = self.text(name)
        if not text:
            return None
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            self.faults.append(f"{name}={text!r} is no instant, for example 2013-01-01T00:00:00+01:00")
            return None
        if value.tzinfo is None:
            self.faults.append(f"{name}={text} needs its offset, for example 2013-01-01T00:00:00+01:00")
        return value.astimezone(UTC)

    def place(self, name: str, default: str) -> Path | Location:
        """A folder, or a place on object storage with the credentials that stand under the usual names."""
        text = self.text(name, default)
        if is_object_url(text):
            try:
                return location(text, {each: self.text(each) for each in STORAGE_NAMES})
            except ValueError as fault:
                self.faults.append(f"{name}={text.partition('?')[0]!r}: {fault}")  # a signature may follow
        return Path(text.removeprefix("file://"))

    def cron(self, name: str, default: str) -> str:
        text = self.text(name, default)
        if len(text.split()) != 5:
            self.faults.append(f"{name}={text!r} is no cron line of five fields, for example {default!r}")
        return text

    def is_used(self, system: str, required: tuple[str, ...], optional: tuple[str, ...]) -> bool:
        """True when the system is set as a whole; a half-set one is a fault naming everything missing."""
        given = [n for n in (*required, *optional) if self.text(n)]
        missing = [n for n in required if not self.text(n)]
        if given and missing:
            self.faults.append(f"{system} is set in part ({', '.join(given)}): missing {', '.join(missing)}")
        return bool(given) and not missing


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of this process. Raises SettingsError with every fault at once; values of secrets never appear in it."""
    read = _Reader(os.environ if environment is None else environment)
    energy_components = _energy_components(read)
    pi = _pi(read)
    sharepoint = _sharepoint(read)
    operator = read.text("OPERATOR")
    if not operator:
        read.faults.append(
            "OPERATOR is not set: name a folder under pipelines/reference/ or give the path of one (`make demo` sets it)"
        )
    if not read.faults and energy_components is None and pi is None and sharepoint is None:
        read.faults.append(
            "no source is configured: set EC_API_BASE_URL … or EC_DB_HOST …, PI_BASE_URL …, SP_TENANT_ID …;"
            " see .env.example. Fiction is never served as fact: for the sandbox, run `make demo`"
        )
    executor = read.text("DAGSTER_EXECUTOR", "in_process")
    if executor not in ("in_process", "multiprocess"):
        read.faults.append(f"DAGSTER_EXECUTOR={executor!r} is not in_process or multiprocess")
    settings = Settings(
        operator=operator,
        lake=read.place("LAKE_URL", "var/lake"),
        warehouse_dir=Path(read.text("WAREHOUSE_DIR", "var/warehouse")),
        as_of=read.instant("AS_OF"),
        history_days=int(read.number("HISTORY_DAYS", DEFAULT_HISTORY_DAYS, low=1, high=20_000)),
        pi_days=int(read.number("PI_DAYS", DEFAULT_PI_DAYS, low=1, high=4_000)),
        refresh_cron_asset=read.cron("REFRESH_CRON_ASSET", "*/15 * * * *"),
        refresh_cron_terminal=read.cron("REFRESH_CRON_TERMINAL", "*/10 * * * *"),
        executor=executor,
        database_url=read.secret("DATABASE_URL"),
        schedules_running=read.text("SCHEDULES", "stopped").lower() == "running",
        energy_components=energy_components,
        pi=pi,
        sharepoint=sharepoint,
    )
    if read.faults:
        raise SettingsError(f"{len(read.faults)} fault(s) in the environment:\n  " + "\n  ".join(read.faults))
    return settings


def _energy_components(read: _Reader) -> EcRestConfig | EcOracleConfig | None:
    rest = read.is_used(
        "Energy Components over REST",
        ("EC_API_BASE_URL", "EC_API_CLIENT_ID", "EC_API_CLIENT_SECRET", "EC_API_TOKEN_URL"),
        ("EC_API_SCOPE",),
    )
    oracle = read.is_used(
        "Energy Components over Oracle",
        ("EC_DB_HOST", "EC_DB_SERVICE_NAME", "EC_DB_USER", "EC_DB_PASSWORD"),
        ("EC_DB_PORT", "EC_DB_POOL_MIN", "EC_DB_POOL_MAX", "EC_DB_POOL_INC"),
    )
    if rest and oracle:
        read.faults.append("Energy Components is set twice: keep either EC_API_* or EC_DB_*")
    if rest:
        return EcRestConfig(
            base_url=read.text("EC_API_BASE_URL").rstrip("/"),
            token_url=read.text("EC_API_TOKEN_URL"),
            client_id=read.text("EC_API_CLIENT_ID"),
            client_secret=read.secret("EC_API_CLIENT_SECRET"),
            scope=read.text("EC_API_SCOPE"),
            timeout_seconds=read.number("EC_API_TIMEOUT_SECONDS", 60, low=1, high=3600),
        )
    if oracle:
        return EcOracleConfig(
            host=read.text("EC_DB_HOST"),
            port=int(read.number("EC_DB_PORT", 1521, low=1, high=65_535)),
            service_name=read.text("EC_DB_SERVICE_NAME"),
            user=read.text("EC_DB_USER"),
            password=read.secret("EC_DB_PASSWORD"),
            pool_min=int(read.number("EC_DB_POOL_MIN", 1, low=0, high=100)),
            pool_max=int(read.number("EC_DB_POOL_MAX", 4, low=1, high=100)),
            pool_inc=int(read.number("EC_DB_POOL_INC", 1, low=1, high=100)),
        )
    return None


# What each authentication mode of PI Web API needs beside the base URL.
_PI_NEEDS: Mapping[str, tuple[str, ...]] = {
    "basic": ("PI_USERNAME", "PI_PASSWORD"),
    "bearer": ("PI_CLIENT_ID", "PI_CLIENT_SECRET", "PI_TOKEN_URL"),
    "anonymous": (),
    "kerberos": (),
}


def _pi(read: _Reader) -> PiConfig | None:
    mode = read.text("PI_AUTH_MODE", "basic").lower()
    if mode not in _PI_NEEDS:
        read.faults.append(f"PI_AUTH_MODE={mode!r} is not one of {', '.join(PI_AUTH_MODES)}")
        return None
    optional = ("PI_USERNAME", "PI_PASSWORD", "PI_CLIENT_ID", "PI_CLIENT_SECRET", "PI_TOKEN_URL")
    needed = _PI_NEEDS[mode]
    if not read.is_used("PI", ("PI_BASE_URL", *needed), tuple(n for n in optional if n not in needed)):
        return None
    return PiConfig(
        base_url=read.text("PI_BASE_URL").rstrip("/"),
        auth_mode=next(m for m in PI_AUTH_MODES if m == mode),
        username=read.text("PI_USERNAME"),
        password=read.secret("PI_PASSWORD"),
        client_id=read.text("PI_CLIENT_ID"),
        client_secret=read.secret("PI_CLIENT_SECRET"),
        token_url=read.text("PI_TOKEN_URL"),
        scope=read.text("PI_SCOPE", "system"),
        timeout_seconds=read.number("PI_TIMEOUT_SECONDS", 60, low=1, high=3600),
    )


def _sharepoint(read: _Reader) -> SharePointConfig | None:
    required = ("SP_TENANT_ID", "SP_CLIENT_ID", "SP_CLIENT_SECRET", "SP_SITE_ID")
    if not read.is_used("SharePoint", required, ("SP_LIST_ID", "SP_DRIVE_ID")):
        return None
    return SharePointConfig(
        tenant_id=read.text("SP_TENANT_ID"),
        client_id=read.text("SP_CLIENT_ID"),
        client_secret=read.secret("SP_CLIENT_SECRET"),
        authority=read.text("SP_AUTHORITY", GRAPH_AUTHORITY).rstrip("/"),
        graph_scope=read.text("SP_GRAPH_SCOPE", GRAPH_SCOPE),
        graph_base_url=read.text("SP_GRAPH_BASE_URL", GRAPH_BASE_URL).rstrip("/"),
        site_id=read.text("SP_SITE_ID"),
        list_id=read.text("SP_LIST_ID"),
        drive_id=read.text("SP_DRIVE_ID"),
        timeout_seconds=read.number("SP_TIMEOUT_SECONDS", 60, low=1, high=3600),
    )


Clock = Callable[[], datetime]


def clock(as_of: datetime | None) -> Clock:
    """The pipelines' clock: a replay's fixed instant, or the machine's."""
    if as_of is not None:
        fixed = as_of.astimezone(UTC)
        return lambda: fixed
    return lambda: datetime.now(UTC)
