"""A request's view of a release: which day, which units, which filters; the one thing that assembling code is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from api import parameters
from api.callers import Scope
from api.contracts.common import NetworkRateUnits, NetworkVolumeUnits, NodeUnits, TerminalUnits
from api.facts import ReleaseFacts
from api.parameters import Parameter
from api.units import Converter, Units
from warehouse.reader_release import OpenRelease

# Rows by query and parameters.
Kept = dict[tuple[str, str], list[dict[str, Any]]]


@dataclass(frozen=True)
class View:
    """A release seen through the parameters of one request, within the caller's scope."""

    release: OpenRelease
    facts: ReleaseFacts
    arguments: Mapping[str, Any]
    production_date: date
    units: Converter
    scope: Scope
    # Shared by answers that are made together: nobody may change a row.
    kept: Kept | None = None

    @property
    def network(self) -> str | None:
        """The network asked for; None for all."""
        value: str | None = self.arguments.get("network")
        return value

    @property
    def target_version(self) -> str | None:
        """The target version asked for; None for the one in force."""
        value: str | None = self.arguments.get("targetVersion")
        return value

    def wants(self, network: str) -> bool:
        """Whether the network's values are asked for."""
        return self.network is None or self.network == network

    def query(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a named query, already restricted to what the caller may see.

        The restriction is made by construction: a limited caller's queries find, under the names of the release's tables,
        views that hold only that caller's rows, so that a query or route without any filter cannot leak. Use only this
        (never `release.query`) for answers; `facts.identifiers` is restricted likewise.
        """
        if self.kept is None:
            return self.release.query(name, params, self.scope.assets)
        key = (name, repr(params))
        if key not in self.kept:
            self.kept[key] = self.release.query(name, params, self.scope.assets)
        return self.kept[key]

    def window(self, days: int) -> list[date]:
        """As many labels, ending with the production day, oldest first."""
        return [self.production_date - timedelta(days=back) for back in range(days - 1, -1, -1)]

    def metadata(self) -> dict[str, Any]:
        """Fields of contracts.common.Metadata."""
        record_status, target_version = self.facts.days.get(self.production_date, (None, None))
        return {
            "production_date": self.production_date,
            "as_of": self.facts.as_of,
            "data_version": self.facts.release_id,
            "operator": self.facts.operator,
            "is_synthetic": self.facts.is_synthetic,
            "record_status": record_status,
            "target_version": self.target_version or target_version,
            "freshness": self.facts.freshness,
        }

    def node_production(
        self, levels: Sequence[str], ids: Sequence[str] = (), first: date | None = None
    ) -> list[dict[str, Any]]:
        """Rows of node, network and day from `first` (default: the production day) to the production day."""
        scope = {
            "first_date": first or self.production_date,
            "last_date": self.production_date,
            "node_levels": list(levels),
            "node_ids": list(ids),
        }
        if self.target_version is None:
            return self.query("node_production", **scope)
        return self.query("node_production_retargeted", **scope, target_version=self.target_version)

    def network_rate_units(self) -> NetworkRateUnits:
        """`uom` of a body of rates."""
        oil, gas = self.units.unit("oilRate"), self.units.unit("gasRate")
        return NetworkRateUnits(oil=oil, domestic_gas=gas, export_gas=gas, flared_gas=gas)

    def network_volume_units(self) -> NetworkVolumeUnits:
        """`uom` of a body of volumes."""
        oil, gas = self.units.unit("oilVolume"), self.units.unit("gasVolume")
        return NetworkVolumeUnits(oil=oil, domestic_gas=gas, export_gas=gas)

    def terminal_units(self) -> TerminalUnits:
        """`uom` of a terminal's body."""
        return TerminalUnits(
            terminal_volume=self.units.unit("terminalVolume"),
            terminal_rate=self.units.unit("oilRate"),
            endurance=self.units.unit("time"),
        )

    def node_units(self) -> NodeUnits:
        """`uom` of a body of networks and terminals."""
        rates, terminal = self.network_rate_units(), self.terminal_units()
        return NodeUnits(
            oil=rates.oil,
            domestic_gas=rates.domestic_gas,
            export_gas=rates.export_gas,
            flared_gas=rates.flared_gas,
            terminal_volume=terminal.terminal_volume,
            terminal_rate=terminal.terminal_rate,
            endurance=terminal.endurance,
        )


def open_view(
    release: OpenRelease,
    facts: ReleaseFacts,
    arguments: Mapping[str, Any],
    allowed: Sequence[Parameter],
    default_units: Units,
    scope: Scope,
    kept: Kept | None = None,
) -> View:
    """The view for checked arguments. Raises Problem for a day or an identifier that the release does not hold."""
    day: date = arguments.get("productionDate") or facts.latest_day
    if facts.days and day not in facts.days:
        first, last = min(facts.days), max(facts.days)
        missing = "has no data for that day" if first < day < last else "does not reach that day"
        raise parameters.fault(
            parameters.PRODUCTION_DATE,
            f"release {facts.release_id} {missing}; it holds {first} to {last}",
            day.isoformat(),
        )
    parameters.check_identifiers(arguments, allowed, facts.identifiers)
    return View(release, facts, arguments, day, Converter(arguments.get("units") or default_units), scope, kept)


def defaults(allowed: Sequence[Parameter], **given: Any) -> dict[str, Any]:
    """Arguments of a request that gives only these."""
    return {parameter.name: given.get(parameter.name, parameter.default) for parameter in allowed}
