"""Reading an operator's CSV reference files: declared columns, types and references, every fault with file, line and column."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import polars as pl

from warehouse.catalog.columns import CHOKES, FACILITY_TYPES, NETWORKS

Kind = Literal["text", "float", "int", "bool", "date"]

_DTYPES: Mapping[Kind, pl.DataType] = {
    "text": pl.String(),
    "float": pl.Float64(),
    "int": pl.Int64(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
}

# What a stream is to its facility: a misspelt role would lose production without a word.
STREAM_ROLES = ("production", "throughput", "flare", "receipt", "export")
# What a tag measures. Only those ending in rate, stock and run_status take part in the calculations; the rest are kept.
MEASUREMENTS = (
    "rate",
    "flare_rate",
    "throughput_rate",
    "receipt_rate",
    "export_rate",
    "separator_rate",
    "trunk_inlet_rate",
    "feed_rate",
    "gas_rate",
    "injection_rate",
    "stock",
    "level",
    "water_level",
    "water_cut",
    "run_status",
    "pressure",
    "suction_pressure",
    "discharge_pressure",
    "differential_pressure",
    "temperature",
    "choke",
    "percent",
    "other",
)


@dataclass(frozen=True)
class Field:
    """One column of a reference file."""

    name: str
    kind: Kind = "text"
    required: bool = False
    allowed: tuple[str, ...] = ()
    default: Any = None


@dataclass(frozen=True)
class FileSpec:
    """One reference file: its columns, its key, and whether an operator may leave it out."""

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    optional: bool = False


@dataclass
class Faults:
    """Faults gathered over a whole folder, raised once."""

    found: list[str] = field(default_factory=list)

    def add(self, file: Path | str, line: int | None, column: str | None, text: str) -> None:
        """Note one fault with its place."""
        place = Path(file).name + (f":{line}" if line else "") + (f", column {column}" if column else "")
        self.found.append(f"{place}: {text}")


def _parse_bool(value: str) -> bool:
    lowered = value.lower()
    if lowered in ("true", "1", "yes"):
        return True
    if lowered in ("false", "0", "no"):
        return False
    raise ValueError("not true or false")


_PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    "text": str,
    "float": float,
    "int": int,
    "bool": _parse_bool,
    "date": date.fromisoformat,
}


def read_table(folder: Path, spec: FileSpec, faults: Faults) -> pl.DataFrame:
    """Rows of a reference file with declared types, in file order; faults are noted and the row left out."""
    path = folder / spec.name
    schema = {f.name: _DTYPES[f.kind] for f in spec.fields}
    if not path.is_file():
        if not spec.optional:
            faults.add(path, None, None, "the file is missing")
        return pl.DataFrame(schema=schema)
    by_name = {f.name: f for f in spec.fields}
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[Any, ...], int] = {}
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        header = reader.fieldnames or []
        for name in header:
            if name not in by_name:
                faults.add(path, 1, name, f"unknown column; known are {', '.join(by_name)}")
        for name in (f.name for f in spec.fields if f.required):
            if name not in header:
                faults.add(path, 1, name, "the column is missing")
        for raw in reader:
            row = _parse_row(raw, spec.fields, path, reader.line_num, faults)
            key = tuple(row[k] for k in spec.key)
            if key in seen:
                faults.add(path, reader.line_num, ",".join(spec.key), f"key {key} stands already in line {seen[key]}")
                continue
            seen[key] = reader.line_num
            rows.append(row)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _parse_row(
    raw: Mapping[str, str | None], fields: Sequence[Field], path: Path, line: int, faults: Faults
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for spec in fields:
        text = (raw.get(spec.name) or "").strip()
        row[spec.name] = spec.default
        if not text:
            if spec.required:
                faults.add(path, line, spec.name, "a value is required")
            continue
        try:
            row[spec.name] = _PARSERS[spec.kind](text)
        except ValueError:
            faults.add(path, line, spec.name, f"{text!r} is no {spec.kind}")
            continue
        if spec.allowed and text not in spec.allowed:
            faults.add(path, line, spec.name, f"{text!r} is not one of {', '.join(spec.allowed)}")
    return row


_VALIDITY = (Field("valid_from", "date", default=date(1900, 1, 1)), Field("valid_to", "date"))

ASSETS = FileSpec("assets.csv", (Field("asset_id", required=True), Field("name", required=True)), ("asset_id",))
HUBS = FileSpec(
    "hubs.csv",
    (Field("hub_id", required=True), Field("name", required=True), Field("asset_id", required=True)),
    ("hub_id",),
)
FACILITIES = FileSpec(
    "facilities.csv",
    (
        Field("facility_id", required=True),
        Field("name", required=True),
        Field("facility_type", required=True, allowed=FACILITY_TYPES),
        Field("hub_id"),
        Field("asset_id", required=True),
        Field("ec_code"),
        Field("sharepoint_code"),
        *_VALIDITY,
        Field("zone"),
        Field("day_start"),
        Field("gor_scf_per_bbl", "float"),
        Field("fuel_fraction", "float"),
        Field("baseline_flare_scfpd", "float"),
        Field("shrinkage_fraction", "float"),
    ),
    ("facility_id", "valid_from"),
)
FACILITY_NETWORKS = FileSpec(
    "facility_networks.csv",
    (
        Field("facility_id", required=True),
        Field("network", required=True, allowed=NETWORKS),
        Field("is_applicable", "bool", required=True),
        Field("counts_in_roll_up", "bool", required=True),
    ),
    ("facility_id", "network"),
)
EXTERNALS = FileSpec(
    "externals.csv",
    (
        Field("external_id", required=True),
        Field("name", required=True),
        Field("kind", required=True, allowed=("source", "market", "export", "junction")),
        Field("network", allowed=NETWORKS),
        Field("rate", "float"),
        *_VALIDITY,
    ),
    ("external_id", "valid_from"),
    optional=True,
)
EDGES = FileSpec(
    "edges.csv",
    (
        Field("from_id", required=True),
        Field("to_id", required=True),
        Field("network", required=True, allowed=NETWORKS),
        Field("stream", required=True),
        Field("capacity", "float"),
        Field("on_cut", "bool", default=False),
        *_VALIDITY,
    ),
    ("from_id", "to_id", "network", "valid_from"),
    optional=True,
)
STREAMS = FileSpec(
    "streams.csv",
    (
        Field("stream_ec_code", required=True),
        Field("facility_id", required=True),
        Field("network", required=True, allowed=NETWORKS),
        Field("role", required=True, allowed=STREAM_ROLES),
        Field("sigma_fraction", "float"),
    ),
    ("stream_ec_code",),
    optional=True,
)
WELLS = FileSpec(
    "wells.csv",
    (
        Field("well_ec_code", required=True),
        Field("well_id", required=True),
        Field("name"),
        Field("facility_id", required=True),
        *_VALIDITY,
    ),
    ("well_id", "valid_from"),
    optional=True,
)
TERMINALS = FileSpec(
    "terminals.csv",
    (
        Field("facility_id", required=True),
        Field("safe_fill_bbl", "float", required=True),
        Field("dead_stock_bbl", "float", default=0.0),
        Field("settling_hours", "float", default=30.0),
        Field("bsw_fraction", "float", default=0.0),
        Field("shrinkage_fraction", "float", default=0.0),
        Field("own_use_bblpd", "float", default=0.0),
        Field("storage_ec_code"),
    ),
    ("facility_id",),
    optional=True,
)
TAGS = FileSpec(
    "tags.csv",
    (
        Field("tag_id", "int", required=True),
        Field("tag_name", required=True),
        Field("facility_id", required=True),
        Field("network", allowed=NETWORKS),
        Field("measurement", required=True, allowed=MEASUREMENTS),
        Field("unit"),
        Field("is_step", "bool", default=False),
        Field("hold_limit_seconds", "float", default=3600.0),
        Field("group", required=True, allowed=("process", "gauge")),
        Field("sigma_fraction", "float"),
        Field("object_id"),
    ),
    ("tag_id",),
    optional=True,
)
REASON_CODES = FileSpec(
    "reason_codes.csv",
    (
        Field("reason_code", required=True),
        Field("parent_code"),
        Field("ec_code"),
        Field("title", required=True),
        Field("choke", required=True, allowed=CHOKES),
        Field("is_planned", "bool", default=False),
        Field("is_third_party", "bool", default=False),
        *_VALIDITY,
    ),
    ("reason_code", "valid_from"),
    optional=True,
)
