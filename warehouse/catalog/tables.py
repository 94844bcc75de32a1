"""The registry: table name → schema, layer, grain of storage, and the contract view that publishes it."""

from dataclasses import dataclass
from typing import Literal

import dataframely as dy

from warehouse.catalog import core, lineage, out, raw, reconciliation, release

Layer = Literal["raw", "core", "out", "release"]


@dataclass(frozen=True)
class Table:
    """One table: its schema, where it lives, and the view under which a release publishes it (None: not published)."""

    name: str
    schema: type[dy.Schema]
    layer: Layer
    is_partitioned: bool
    view: str | None = None

    @property
    def key(self) -> list[str]:
        """Primary key columns, in storage order."""
        return self.schema.primary_key()

    @property
    def description(self) -> str:
        """First line of the schema's docstring."""
        return (self.schema.__doc__ or "").strip().splitlines()[0]


def _tables(*tables: Table) -> dict[str, Table]:
    return {t.name: t for t in tables}


TABLES: dict[str, Table] = _tables(
    Table("raw_energy_components__stream_day", raw.RawEnergyComponentsStreamDay, "raw", True),
    Table("raw_energy_components__well_day", raw.RawEnergyComponentsWellDay, "raw", True),
    Table("raw_energy_components__potential_day", raw.RawEnergyComponentsPotentialDay, "raw", True),
    Table("raw_energy_components__deferment_event", raw.RawEnergyComponentsDefermentEvent, "raw", True),
    Table("raw_energy_components__deferment_day", raw.RawEnergyComponentsDefermentDay, "raw", True),
    Table("raw_energy_components__tank_day", raw.RawEnergyComponentsTankDay, "raw", True),
    Table("raw_energy_components__cargo", raw.RawEnergyComponentsCargo, "raw", False),
    Table("raw_energy_components__capacity", raw.RawEnergyComponentsCapacity, "raw", False),
    Table("raw_pi__recorded_value", raw.RawPiSample, "raw", True),
    Table("raw_pi__tank_gauge", raw.RawPiSample, "raw", True),
    Table("raw_sharepoint__business_target", raw.RawSharepointBusinessTarget, "raw", False),
    Table("raw_sharepoint__capacity_register", raw.RawSharepointCapacityRegister, "raw", False),
    Table("raw_sharepoint__lifting_programme", raw.RawSharepointLiftingProgramme, "raw", False),
    Table("raw_sharepoint__tag_register", raw.RawSharepointTagRegister, "raw", False),
    Table("raw_energy_components__rejected_row", raw.RawRejectedRow, "raw", True),
    Table("raw_energy_components__rejected_register_row", raw.RawRejectedRow, "raw", False),
    Table("raw_pi__rejected_row", raw.RawRejectedRow, "raw", True),
    Table("raw_sharepoint__rejected_row", raw.RawRejectedRow, "raw", False),
    Table("core__daily_reading", core.CoreDailyReading, "core", True),
    Table("core__daily_production", core.CoreDailyProduction, "core", True),
    Table("core__actual", core.CoreActual, "core", True),
    Table("core__daily_well", core.CoreDailyWell, "core", True),
    Table("core__daily_potential", core.CoreDailyPotential, "core", True),
    Table("core__daily_event", core.CoreDailyEvent, "core", True),
    Table("core__daily_equipment_stop", core.CoreDailyEquipmentStop, "core", True),
    Table("core__daily_terminal", core.CoreDailyTerminal, "core", True),
    Table("core__carry_state", core.CoreCarryState, "core", True),
    Table("core__quarantine", core.CoreQuarantine, "core", True),
    Table("core__compared_file", core.CoreComparedFile, "core", True),
    Table("core__target", core.CoreTarget, "core", False),
    Table("core__capacity", core.CoreCapacity, "core", False),
    Table("core__cargo", core.CoreCargo, "core", False),
    Table("core__intraday", release.Intraday, "core", False),
    Table("out__daily_production", out.OutDailyProduction, "out", True, "production_daily"),
    Table("out__daily_gap_driver", out.OutDailyGapDriver, "out", True, "gap_driver_daily"),
    Table("out__daily_event", out.OutDailyEvent, "out", True, "event_daily"),
    Table("out__daily_terminal", out.OutDailyTerminal, "out", True, "terminal_daily"),
    Table("out__hub_trend", out.OutHubTrend, "out", True, "hub_trend"),
    Table("out__daily_meter", reconciliation.OutDailyMeter, "out", True, "meter_daily"),
    Table("out__daily_balance", reconciliation.OutDailyBalance, "out", True, "balance_daily"),
    Table("out__daily_closure", reconciliation.OutDailyClosure, "out", True, "closure_daily"),
    # Kept by day, published as the release's table of the same schema.
    Table("out__restatement", release.Restatement, "out", True),
    Table("asset", release.Asset, "release", False, "asset"),
    Table("hub", release.Hub, "release", False, "hub"),
    Table("facility", release.Facility, "release", False, "facility"),
    Table("facility_version", release.FacilityVersion, "release", False, "facility_version"),
    Table("facility_network", release.FacilityNetwork, "release", False, "facility_network"),
    Table("external_node", release.ExternalNode, "release", False, "external_node"),
    Table("edge", release.Edge, "release", False, "edge"),
    Table("edge_version", release.EdgeVersion, "release", False, "edge_version"),
    Table("reason_code", release.ReasonCode, "release", False, "reason_code"),
    Table("target", release.Target, "release", False, "target"),
    Table("cargo", release.Cargo, "release", False, "cargo"),
    Table("cargo_forecast_daily", release.CargoForecastDaily, "release", False, "cargo_forecast_daily"),
    Table("reading_daily", release.ReadingDaily, "release", False, "reading_daily"),
    Table("intraday", release.Intraday, "release", False, "intraday"),
    Table("restatement", release.Restatement, "release", False, "restatement"),
    Table("quarantine", release.Quarantine, "release", False, "quarantine"),
    Table("source_freshness", release.SourceFreshness, "release", False, "source_freshness"),
    Table("source_row", lineage.SourceRow, "release", False, "source_row"),
    Table("source_register", lineage.SourceRegister, "release", False, "source_register"),
    Table("capacity_limit", lineage.CapacityLimit, "release", False, "capacity_limit"),
    Table("terminal_balance", lineage.TerminalBalance, "release", False, "terminal_balance"),
    Table("dictionary", release.Dictionary, "release", False, "dictionary"),
    Table("release_info", release.ReleaseInfo, "release", False, "release_info"),
)


def published() -> list[Table]:
    """Tables that a release holds, in catalogue order: those of out and release that have a view."""
    return [t for t in TABLES.values() if t.layer in ("out", "release") and t.view is not None]
