"""What the environment says of authentication. Read for api.settings, which hands the environment over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from api.auth import provider
from api.auth.provider import Provider, is_loopback
from api.auth.roles import FILE, Policy, RolesError, load_policy, site_assets

T = TypeVar("T")
Mode = Literal["none", "entra"]
APP_SERVICE = ("WEBSITE_SITE_NAME", "WEBSITE_INSTANCE_ID")


class Reader(Protocol):
    """Reads one variable after another and keeps the faults."""

    given: Mapping[str, str]
    faults: list[str]

    def read(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value, or the default where it is absent or faulty."""
        ...


@dataclass(frozen=True)
class Authentication:
    """How callers are told apart; `provider` is None with mode none."""

    mode: Mode = "none"
    none_allowed: bool = False
    provider: Provider | None = None
    policy: Policy = field(default_factory=Policy)


def read_authentication(reader: Reader, host: str, folder: Path | None) -> Authentication:
    """Settings of authentication. `folder` is the operator's, where OPERATOR names one. Faults go to the reader."""
    mode = reader.read("AUTH_MODE", "none", _mode)
    none_allowed = reader.read("AUTH_NONE_ALLOWED", False, _yes)
    if mode == "none":
        if not any(fault.startswith("AUTH_MODE=") for fault in reader.faults):
            _check_none(reader, host, none_allowed)
        return Authentication(none_allowed=none_allowed)
    return Authentication("entra", none_allowed, _provider(reader), _policy(reader, folder))


def _check_none(reader: Reader, host: str, none_allowed: bool) -> None:
    cloud = [name for name in APP_SERVICE if name in reader.given]
    if cloud:
        reader.faults.append(f"AUTH_MODE: none is refused on App Service ({cloud[0]} is set); set AUTH_MODE=entra")
    elif not is_loopback(host) and not none_allowed:
        reader.faults.append(
            f"AUTH_MODE: none is refused where other machines can call (HOST={host!r}); set AUTH_MODE=entra, or "
            "AUTH_NONE_ALLOWED=yes where the network itself keeps others out"
        )


def _provider(reader: Reader) -> Provider:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        if name not in reader.given:
            reader.faults.append(
                f"{name}: is missing, and AUTH_MODE=entra needs it; docs/authentication.md says where to find it"
            )
    client_id = reader.read("AZURE_CLIENT_ID", "", provider.guid)
    audience = reader.read("AZURE_AUDIENCE", client_id, str)
    default = Provider("", frozenset())
    return Provider(
        tenant_id=reader.read("AZURE_TENANT_ID", "", provider.guid),
        audiences=frozenset({client_id, audience}),
        authority=reader.read("AZURE_AUTHORITY", default.authority, provider.authority),
        refresh_seconds=reader.read("AUTH_KEYS_REFRESH_SECONDS", default.refresh_seconds, _seconds),
        cooldown_seconds=reader.read("AUTH_KEYS_COOLDOWN_SECONDS", default.cooldown_seconds, _seconds),
    )


def _policy(reader: Reader, folder: Path | None) -> Policy:
    given = reader.given.get("AUTH_ROLES_FILE")
    if given is None and folder is None:
        reader.faults.append(f"AUTH_ROLES_FILE: is missing, and OPERATOR names no folder that could hold {FILE}")
        return Policy()
    file = Path(given) if given is not None else (folder or Path()) / FILE
    try:
        return load_policy(file, site_assets(folder) if folder is not None else None)
    except RolesError as fault:
        reader.faults.append(f"AUTH_ROLES_FILE: {fault}")
        return Policy()


def _mode(value: str) -> Mode:
    folded = value.lower()
    if folded == "none":
        return "none"
    if folded == "entra":
        return "entra"
    raise ValueError("must be none or entra")


def _yes(value: str) -> bool:
    if value.lower() not in ("yes", "no"):
        raise ValueError("must be yes or no")
    return value.lower() == "yes"


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = float("nan")
    if not 0.1 <= seconds <= 86_400:
        raise ValueError("must be a number of seconds from 0.1 to 86400")
    return seconds
