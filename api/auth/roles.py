"""The site's roles as data: what each role of a token may do and which assets it sees, and which scopes let rights through."""

import csv
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.callers import EVERYTHING, MANAGE_RELEASES, PERMISSIONS, READ, Scope

FILE = "roles.toml"
ALL = "all"


class RolesError(ValueError):
    """The file of roles has faults; the message lists every one."""

    def __init__(self, file: Path, faults: list[str]) -> None:
        super().__init__(f"{file}:\n" + "\n".join(f"    - {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Grant:
    """What a role gives or a scope lets through: permissions, and the assets that may be read (None: all)."""

    may: frozenset[str]
    assets: frozenset[str] | None


@dataclass(frozen=True)
class Rights:
    """What a caller may do."""

    roles: frozenset[str]
    permissions: frozenset[str]
    scope: Scope


@dataclass(frozen=True)
class Policy:
    """Grants by name of an app role and by name of a delegated scope."""

    roles: Mapping[str, Grant] = field(default_factory=dict)
    scopes: Mapping[str, Grant] = field(default_factory=dict)

    def rights(self, roles: Iterable[str], scopes: Iterable[str] | None) -> Rights:
        """The union of what the known roles give; for a delegated token (scopes not None) cut to what its scopes let through.

        A role that does not read adds no assets. Without a known role there are no permissions and nothing is seen.
        """
        known = frozenset(name for name in roles if name in self.roles)
        given = _union([self.roles[name] for name in known])
        if scopes is not None:
            let_through = _union([self.scopes[name] for name in scopes if name in self.scopes])
            given = Grant(given.may & let_through.may, _both(given.assets, let_through.assets))
        if given.assets is None:
            return Rights(known, given.may, EVERYTHING)
        # A release holds every asset: who rolls it back changes what all of them see.
        return Rights(known, given.may - {MANAGE_RELEASES}, Scope(given.assets))

    def granting(self, permission: str) -> list[str]:
        """Names of the roles that give the permission, for the words of a refusal."""
        return sorted(name for name, grant in self.roles.items() if permission in grant.may)


def _union(grants: Iterable[Grant]) -> Grant:
    grants = list(grants)
    readers = [grant.assets for grant in grants if READ in grant.may]
    every = any(assets is None for assets in readers)
    seen = frozenset(asset for assets in readers if assets is not None for asset in assets)
    return Grant(frozenset(name for grant in grants for name in grant.may), None if every else seen)


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def load_policy(file: Path, assets: frozenset[str] | None = None) -> Policy:
    """The policy of a file. `assets` are the site's, where they are known: a role for another one is a fault.

    Raises RolesError with every fault.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RolesError(file, ["does not exist; docs/authentication.md shows one"]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise RolesError(file, [f"cannot be read: {fault}"]) from None
    faults = [f"{name}: is no table of this file; allowed: roles, scopes" for name in content if name not in _TABLES]
    tables: dict[str, dict[str, Grant]] = {}
    for table, default_may in _TABLES.items():
        entries = content.get(table, {})
        if not isinstance(entries, dict):
            faults.append(f'{table}: must be tables, each [{table}."name"]')
            entries = {}
        tables[table] = {
            name: _grant(f'{table}."{name}"', entry, default_may, assets, faults) for name, entry in entries.items()
        }
    if not faults and not any(READ in grant.may for grant in tables["roles"].values()):
        faults.append('roles: no role may read, so nobody would be served; add [roles."…"] may = ["read"]')
    if faults:
        raise RolesError(file, faults)
    return Policy(tables["roles"], tables["scopes"])


# A role must say what it may; a scope that says nothing lets everything through that the roles give.
_TABLES: dict[str, tuple[str, ...] | None] = {"roles": None, "scopes": PERMISSIONS}


def _grant(
    where: str, entry: Any, default_may: tuple[str, ...] | None, known: frozenset[str] | None, faults: list[str]
) -> Grant:
    nothing = Grant(frozenset(), frozenset())
    if not isinstance(entry, dict):
        faults.append(f"{where}: must be a table")
        return nothing
    before = len(faults)
    faults += [f"{where}.{key}: is unknown; allowed: may, assets" for key in entry if key not in ("may", "assets")]
    may: Any = entry.get("may", default_may)
    if may is None:
        faults.append(f"{where}.may: is missing; a list of {', '.join(PERMISSIONS)}")
    elif not _is_names(may) or any(name not in PERMISSIONS for name in may):
        faults.append(f"{where}.may: must be a list of {', '.join(PERMISSIONS)}; it is {may!r}")
    assets = entry.get("assets", ALL)
    if assets != ALL and not _is_names(assets):
        faults.append(f'{where}.assets: must be "{ALL}" or a list of asset ids; it is {assets!r}')
    elif assets != ALL and known is not None and (strange := [name for name in assets if name not in known]):
        faults.append(f"{where}.assets: {', '.join(strange)} is none of the site's assets: {', '.join(sorted(known))}")
    if len(faults) > before:
        return nothing
    if default_may is None and MANAGE_RELEASES in may and assets != ALL:
        faults.append(f'{where}: {MANAGE_RELEASES} needs assets = "{ALL}", for a release holds every asset')
    return Grant(frozenset(may), None if assets == ALL else frozenset(assets))


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(name, str) and name for name in value)


def site_assets(folder: Path) -> frozenset[str] | None:
    """Ids of the assets of an operator's folder; None where it has no readable assets.csv."""
    try:
        with (folder / "assets.csv").open(encoding="utf-8-sig", newline="") as rows:
            return frozenset(row["asset_id"] for row in csv.DictReader(rows) if row.get("asset_id"))
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
