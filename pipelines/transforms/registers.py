"""Registers under our identifiers and in base units: business targets, capacities, cargoes.

Snapshots, not days: a register says what it says as of its extraction. What cannot be identified or converted is quarantined row
by row under the extraction's label. Which version is in force on a day is registers_in_force's question.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from pipelines.transforms import quality
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import UnitError, UnitTable, phase_of
from warehouse.catalog.columns import (
    MAX_GAS_RATE_SCFPD,
    MAX_OIL_RATE_BBLPD,
    MAX_TERMINAL_VOLUME_BBL,
    NETWORK_RATE,
    NETWORKS,
)

SYSTEM = "system"
CARGO_STATUSES = ("planned", "nominated", "loading", "lifted", "cancelled")
TARGET_SCHEMA = {
    "version": pl.String(),
    "node_id": pl.String(),
    "network": pl.String(),
    "valid_from": pl.Date(),
    "valid_to": pl.Date(),
    "value": pl.Float64(),
    "published_at_utc": pl.Datetime("us", "UTC"),
    "approved_by": pl.String(),
    "is_approved": pl.Boolean(),
}
CAPACITY_SCHEMA = {
    "facility_id": pl.String(),
    "network": pl.String(),
    "valid_from": pl.Date(),
    "valid_to": pl.Date(),
    "capacity": pl.Float64(),
    "source": pl.String(),
}
CARGO_SCHEMA = {
    "cargo_id": pl.String(),
    "terminal_id": pl.String(),
    "parcel_bbl": pl.Float64(),
    "laycan_start": pl.Date(),
    "laycan_end": pl.Date(),
    "status": pl.String(),
    "lifted_bbl": pl.Float64(),
    "lifted_at_utc": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Register:
    """Rows of one core register, sorted by key, and its core__quarantine rows."""

    rows: pl.DataFrame
    quarantined: pl.DataFrame


def targets(
    raw: pl.DataFrame,
    facilities: pl.DataFrame,
    hubs: pl.DataFrame,
    assets: pl.DataFrame,
    *,
    units: UnitTable,
    label: date,
    now: datetime,
) -> Register:
    """Rows of core__target from business_target: value × factor of its unit, a rate per 24 h (a ceiling for flaredGas).

    A node is a facility by its SharePoint code or our id, a hub or asset by our id, or "system". Status "approved" makes a
    version eligible; others are kept. Quarantined: unknown node, network or unit, value out of range, duplicate version.
    """
    ids = [*facilities["facility_id"], *hubs["hub_id"], *assets["asset_id"], SYSTEM]
    node_of = {name: name for name in ids} | _codes(facilities, "sharepoint_code")
    key = ["version", "node_id", "network", "valid_from"]
    node = pl.col("node_code").replace_strict(node_of, default=None, return_dtype=pl.String)
    split = quality.split(
        raw,
        "raw_sharepoint__business_target",
        "sharepoint",
        "business_target",
        now,
        rules=[
            quality.known("node_code", node_of, "facilities.csv, hubs.csv or assets.csv"),
            *_rate_rules(raw, "value", raw["unit"], units),
            _repeated(raw.with_columns(node.alias("node_id")), key, ["published_at_utc"]),
        ],
        label=label,
    )
    accepted = split.accepted
    rows = accepted.select(
        "version",
        node.alias("node_id"),
        "network",
        "valid_from",
        "valid_to",
        (pl.col("value") * _factors(accepted["unit"], accepted["network"], units)).alias("value"),
        "published_at_utc",
        "approved_by",
        (pl.col("status").str.to_lowercase().str.strip_chars() == "approved").fill_null(False).alias("is_approved"),
    )
    return Register(_shaped(rows, TARGET_SCHEMA, key), split.quarantined)


def capacities(
    raw_ec: pl.DataFrame | None,
    raw_sharepoint: pl.DataFrame | None,
    facilities: pl.DataFrame,
    *,
    mapped_units: Mapping[str, str],
    units: UnitTable,
    label: date,
    now: datetime,
) -> Register:
    """Rows of core__capacity from Energy Components (unit by `mapped_units["capacity"]`) and the SharePoint register.

    Where both state a facility, network and valid_from, Energy Components stays. Quarantined: unknown facility, network or
    unit, capacity out of range, duplicate key within one source.
    """
    key = ["facility_id", "network", "valid_from"]
    parts, rejected = [pl.DataFrame(schema=CAPACITY_SCHEMA)], [quality.NO_QUARANTINE]
    sources = (
        (raw_ec, "ec", "energy_components", "capacity", "object_ec_code", "ec_code"),
        (raw_sharepoint, "sharepoint", "sharepoint", "capacity_register", "facility_code", "sharepoint_code"),
    )
    for raw, word, source, dataset, code, reference in sources:
        if raw is None:
            continue
        facility_of = _codes(facilities, reference)
        facility = pl.col(code).replace_strict(facility_of, default=None, return_dtype=pl.String)
        split = quality.split(
            raw,
            f"raw_{source}__{dataset}",
            source,
            dataset,
            now,
            rules=[
                quality.known(code, facility_of, "facilities.csv"),
                *_rate_rules(raw, "capacity", _stated_units(raw, mapped_units), units),
                _repeated(raw.with_columns(facility.alias("facility_id")), key, ["source_updated_at_utc"]),
            ],
            label=label,
        )
        accepted = split.accepted
        factors = _factors(_stated_units(accepted, mapped_units), accepted["network"], units)
        rows = accepted.select(
            facility.alias("facility_id"),
            "network",
            "valid_from",
            "valid_to",
            (pl.col("capacity") * factors).alias("capacity"),
            pl.lit(word).alias("source"),
        )
        parts.append(_shaped(rows, CAPACITY_SCHEMA, key))
        rejected.append(split.quarantined)
    rows = pl.concat(parts).unique(key, keep="first", maintain_order=True).sort(key)
    return Register(rows, pl.concat(rejected))


def cargoes(
    raw_ec: pl.DataFrame | None,
    raw_programme: pl.DataFrame | None,
    facilities: pl.DataFrame,
    terminals: pl.DataFrame,
    calendar: ProductionCalendar,
    *,
    mapped_units: Mapping[str, str],
    units: UnitTable,
    label: date,
    now: datetime,
) -> Register:
    """Rows of core__cargo: Energy Components' nominations and the lifting programme, one row a cargo.

    A programme's cargo is the nomination's where its number is the parcel number or the cargo name; then each field is Energy
    Components' where it has one, else the programme's. `mapped_units`: nominated_volume, lifted_volume. A storage is a
    terminal's storage_ec_code or its facility's ec_code. Quarantined: unknown terminal, unit or status word, volume out of
    range, duplicate cargo.
    """
    parts, rejected = [pl.DataFrame(schema=CARGO_SCHEMA)], [quality.NO_QUARANTINE]
    numbers: dict[str, str] = {}
    if raw_ec is not None:
        found = _nominations(raw_ec, facilities, terminals, calendar, mapped_units, units, label, now)
        parts.append(found.rows)
        rejected.append(found.quarantined)
        named = raw_ec.select("cargo_name", "parcel_no").drop_nulls()
        numbers = {str(name): str(number) for name, number in named.iter_rows()}
    if raw_programme is not None:
        found = _programme(raw_programme, facilities, numbers, units, label, now)
        parts.append(found.rows)
        rejected.append(found.quarantined)
    merged = (
        pl.concat(parts)
        .group_by("cargo_id", maintain_order=True)
        .agg(pl.exclude("cargo_id").drop_nulls().first())
        .sort("cargo_id")
    )
    return Register(_shaped(merged, CARGO_SCHEMA, ["cargo_id"]), pl.concat(rejected))


def _nominations(
    raw: pl.DataFrame,
    facilities: pl.DataFrame,
    terminals: pl.DataFrame,
    calendar: ProductionCalendar,
    mapped_units: Mapping[str, str],
    units: UnitTable,
    label: date,
    now: datetime,
) -> Register:
    terminal_of = _codes(facilities, "ec_code")
    if "storage_ec_code" in terminals.columns:
        terminal_of |= _codes(terminals, "storage_ec_code")
    nominated = units.mapped(mapped_units, "nominated_volume", "liquid", "volume")
    lifted = units.mapped(mapped_units, "lifted_volume", "liquid", "volume")
    split = quality.split(
        raw,
        "raw_energy_components__cargo",
        "energy_components",
        "cargo",
        now,
        rules=[
            quality.known("storage_ec_code", terminal_of, "terminals.csv"),
            _status_rule(),
            _volume_rule("nominated_volume", pl.col("nominated_volume") * nominated),
            _volume_rule("lifted_volume", pl.col("lifted_volume") * lifted),
        ],
        label=label,
    )
    rows = split.accepted.with_columns(
        pl.col("storage_ec_code").replace_strict(terminal_of, default=None, return_dtype=pl.String).alias("terminal_id")
    )
    instants = calendar.to_utc(rows["terminal_id"], rows["lifted_at_local"])
    rows = rows.select(
        pl.col("parcel_no").alias("cargo_id"),
        "terminal_id",
        (pl.col("nominated_volume") * nominated).alias("parcel_bbl"),
        "laycan_start",
        "laycan_end",
        _status(),
        (pl.col("lifted_volume") * lifted).alias("lifted_bbl"),
        instants.alias("lifted_at_utc"),
    )
    return Register(_shaped(rows, CARGO_SCHEMA, ["cargo_id"]), split.quarantined)


def _programme(
    raw: pl.DataFrame,
    facilities: pl.DataFrame,
    numbers: Mapping[str, str],
    units: UnitTable,
    label: date,
    now: datetime,
) -> Register:
    terminal_of = {name: name for name in facilities["facility_id"]} | _codes(facilities, "sharepoint_code")
    factors = _volume_factors(raw["unit"], units)
    split = quality.split(
        raw,
        "raw_sharepoint__lifting_programme",
        "sharepoint",
        "lifting_programme",
        now,
        rules=[
            quality.known("terminal_code", terminal_of, "facilities.csv"),
            _status_rule(),
            _unit_rule(factors),
            _volume_rule("parcel", pl.col("parcel") * factors),
        ],
        label=label,
    )
    rows = split.accepted.select(
        pl.col("cargo_id").replace(dict(numbers)),
        pl.col("terminal_code").replace_strict(terminal_of, default=None, return_dtype=pl.String).alias("terminal_id"),
        (pl.col("parcel") * _volume_factors(split.accepted["unit"], units)).alias("parcel_bbl"),
        "laycan_start",
        "laycan_end",
        _status(),
        pl.lit(None, dtype=pl.Float64).alias("lifted_bbl"),
        pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("lifted_at_utc"),
    )
    return Register(_shaped(rows, CARGO_SCHEMA, ["cargo_id"]), split.quarantined)


def _codes(frame: pl.DataFrame, code: str) -> dict[str, str]:
    return dict(frame.select(code, "facility_id").drop_nulls().iter_rows())


def _stated_units(frame: pl.DataFrame, mapped_units: Mapping[str, str]) -> pl.Series:
    """The unit of each row: the register's own column, else what the site's mapping says of the dataset, else base units."""
    if "unit" in frame.columns:
        return frame["unit"]
    stated = mapped_units.get("capacity") or NETWORK_RATE
    return pl.Series("unit", [stated] * frame.height, dtype=pl.String)


def _factors(stated: pl.Series, networks: pl.Series, units: UnitTable) -> pl.Series:
    """Factor of each row's rate unit for its network; null where either is unknown."""
    cache: dict[tuple[str | None, str | None], float | None] = {}

    def find(unit: str | None, network: str | None) -> float | None:
        if network not in NETWORKS:
            return None
        try:
            return units.factor(unit, phase_of(network), "rate")
        except UnitError:
            return None

    values = []
    for pair in zip(stated, networks, strict=True):
        if pair not in cache:
            cache[pair] = find(*pair)
        values.append(cache[pair])
    return pl.Series("factor", values, dtype=pl.Float64)


def _volume_factors(stated: pl.Series, units: UnitTable) -> pl.Series:
    values: list[float | None] = []
    for unit in stated:
        try:
            values.append(units.factor(unit, "liquid", "volume"))
        except UnitError:
            values.append(None)
    return pl.Series("factor", values, dtype=pl.Float64)


def _rate_rules(raw: pl.DataFrame, value: str, stated: pl.Series, units: UnitTable) -> list[quality.Rule]:
    factors = _factors(stated, raw["network"], units)
    rate = pl.col(value) * factors
    is_oil = pl.col("network") == "oil"
    return [
        quality.Rule("vocabulary", f"network is not one of {', '.join(NETWORKS)}", ~pl.col("network").is_in(NETWORKS)),
        _unit_rule(factors),
        quality.within(pl.when(is_oil).then(rate), 0.0, MAX_OIL_RATE_BBLPD, value, "bbl/d"),
        quality.within(pl.when(~is_oil).then(rate), 0.0, MAX_GAS_RATE_SCFPD, value, "scf/d"),
    ]


def _unit_rule(factors: pl.Series) -> quality.Rule:
    return quality.Rule(
        "unknown_unit",
        "the unit is missing, unknown or of the wrong kind: correct it, or state its factor in [units] of operator.toml",
        pl.lit(factors.is_null()),
    )


def _volume_rule(column: str, volume: pl.Expr) -> quality.Rule:
    return quality.within(volume, 0.0, MAX_TERMINAL_VOLUME_BBL, column, "bbl")


def _status() -> pl.Expr:
    return pl.col("status").str.to_lowercase().str.strip_chars()


def _status_rule() -> quality.Rule:
    return quality.Rule(
        "vocabulary",
        f"status is not one of {', '.join(CARGO_STATUSES)}: map the site's words to these",
        ~_status().is_in(CARGO_STATUSES).fill_null(False),
    )


def _repeated(frame: pl.DataFrame, key: list[str], newest_by: list[str]) -> quality.Rule:
    """Rows that share a core key with another: all but the newest, the last on a tie. Rows with a null key are left alone."""
    order = [c for c in newest_by if c in frame.columns]
    numbered = frame.with_row_index("row").drop_nulls(key)
    newest = numbered.sort([*order, "row"], nulls_last=False).unique(key, keep="last", maintain_order=True)
    rows = numbered.join(newest.select("row"), on="row", how="anti")["row"].to_list()
    mask = pl.Series("repeated", [False] * frame.height, dtype=pl.Boolean)
    if rows:
        mask = mask.scatter(rows, True)
    return quality.Rule("duplicate_key", f"another row has the same {', '.join(key)} and is newer", pl.lit(mask))


def _shaped(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], key: list[str]) -> pl.DataFrame:
    return frame.select([pl.col(name).cast(dtype) for name, dtype in schema.items()]).sort(key)
