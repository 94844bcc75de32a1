"""The operator as its own field sees it: reference rows and `field.toml`, read with no code of the pipeline.

Belongs here: typed rows of the fourteen facilities and how they are connected. Not here: anything that has a day.
Rates in bbl/d and scf/d.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAW_GAS = "rawGas"
UNLIMITED = float("inf")


class FieldError(ValueError):
    """The reference folder cannot carry a field: which file, what is missing."""


@dataclass(frozen=True, kw_only=True)
class Station:
    """A flowstation: its oil, its gas, and where both go. `last_*` are the last closed day's rates."""

    facility_id: str
    ec_code: str
    gor: float
    fuel_fraction: float
    baseline_flare: float
    capacity: float
    line_capacity: float
    terminal_id: str
    gas_to: str
    decline_per_year: float
    noise_sigma: float
    last_potential: float
    last_actual: float
    last_flare: float
    wells: tuple[str, ...]

    @property
    def gas_per_oil(self) -> float:
        """Associated gas after station fuel, scf per bbl."""
        return self.gor * (1.0 - self.fuel_fraction)


@dataclass(frozen=True, kw_only=True)
class Compressor:
    """A compressor station between flowstations and a plant."""

    facility_id: str
    ec_code: str
    capacity: float
    plant_id: str
    pilot: float


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A gas plant with its two sales outlets (domestic, export), each a tuple in that order."""

    facility_id: str
    ec_code: str
    shrinkage_fraction: float
    fuel_fraction: float
    outlets: tuple[str, str]
    capacities: tuple[float, float]
    last_potentials: tuple[float, float]
    last_actuals: tuple[float, float]
    external_id: str
    external_rate: float
    pilot: float

    @property
    def sales_yield(self) -> float:
        """Sales gas per feed gas."""
        return 1.0 - self.shrinkage_fraction - self.fuel_fraction


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A terminal; `receipt_capacity` limits the oil that reaches it, `safe_fill` what its tanks hold."""

    facility_id: str
    ec_code: str
    storage_code: str
    receipt_capacity: float
    safe_fill: float
    dead_stock: float
    own_use: float
    closing_stock: float
    parcel: float
    next_laycan_in_days: int
    cargo_prefix: str
    flare: float


@dataclass(frozen=True)
class Reference:
    """Everything the generator knows of an operator before the first day."""

    folder: Path
    zone: str
    day_start: str
    seed: int
    stations: tuple[Station, ...]
    compressors: tuple[Compressor, ...]
    plants: tuple[Plant, ...]
    terminals: tuple[Terminal, ...]
    facilities: tuple[Mapping[str, str], ...]
    streams: tuple[Mapping[str, str], ...]
    tags: tuple[Mapping[str, str], ...]
    reasons: Mapping[str, Mapping[str, str]]
    field: Mapping[str, Any]

    def stations_of(self, terminal_id: str) -> list[int]:
        """Indices of the stations whose oil goes to a terminal."""
        return [i for i, s in enumerate(self.stations) if s.terminal_id == terminal_id]

    def compressors_of(self, plant_id: str) -> list[int]:
        """Indices of the compressor stations in front of a plant."""
        return [i for i, c in enumerate(self.compressors) if c.plant_id == plant_id]

    def feeders_of(self, plant_id: str) -> list[int]:
        """Indices of the stations whose gas reaches a plant, directly or through a compressor."""
        through = {c.facility_id for c in self.compressors if c.plant_id == plant_id} | {plant_id}
        return [i for i, s in enumerate(self.stations) if s.gas_to in through]

    def ec_code(self, facility_id: str) -> str:
        """A facility's code in Energy Components."""
        return next(f["ec_code"] for f in self.facilities if f["facility_id"] == facility_id)


def read_rows(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows of a reference file as text; FieldError when it is missing."""
    path = folder / name
    if not path.is_file():
        raise FieldError(f"{path} is missing: a field needs it")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def read_reference(folder: Path) -> Reference:
    """The operator in `folder`. Raises FieldError naming the file and what it lacks."""
    operator = _toml(folder / "operator.toml")
    field = _toml(folder / "field.toml")
    facilities = read_rows(folder, "facilities.csv")
    edges = read_rows(folder, "edges.csv")
    wells = read_rows(folder, "wells.csv")
    tanks = {row["facility_id"]: row for row in read_rows(folder, "terminals.csv")}
    externals = {row["external_id"]: row for row in read_rows(folder, "externals.csv")}
    kinds = {row["facility_id"]: row["facility_type"] for row in facilities}
    try:
        return Reference(
            folder=folder,
            zone=operator["zone"],
            day_start=operator["day_start"],
            seed=int(operator.get("simulator", {}).get("seed", 0)),
            stations=tuple(
                _station(row, field, edges, wells) for row in facilities if row["facility_type"] == "flowstation"
            ),
            compressors=tuple(
                _compressor(row, field, edges) for row in facilities if row["facility_type"] == "compressor-station"
            ),
            plants=tuple(
                _plant(row, field, edges, externals) for row in facilities if row["facility_type"] == "gas-plant"
            ),
            terminals=tuple(
                _terminal(row, field, tanks) for row in facilities if kinds[row["facility_id"]] == "terminal"
            ),
            facilities=tuple(facilities),
            streams=tuple(read_rows(folder, "streams.csv")),
            tags=tuple(read_rows(folder, "tags.csv")),
            reasons={row["reason_code"]: row for row in read_rows(folder, "reason_codes.csv")},
            field=field,
        )
    except (KeyError, StopIteration) as error:
        raise FieldError(f"{folder}: field.toml and the reference files do not fit together: {error!r}") from error


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FieldError(f"{path} is missing: a field needs it")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _number(text: str, absent: float = UNLIMITED) -> float:
    return float(text) if text else absent


def _edge(edges: list[dict[str, str]], from_id: str, network: str) -> dict[str, str]:
    return next(e for e in edges if e["from_id"] == from_id and e["network"] == network)


def _station(
    row: dict[str, str], field: Mapping[str, Any], edges: list[dict[str, str]], wells: list[dict[str, str]]
) -> Station:
    facility_id = row["facility_id"]
    state = field["facilities"][facility_id]
    oil = state["networks"]["oil"]
    line = _edge(edges, facility_id, "oil")
    return Station(
        facility_id=facility_id,
        ec_code=row["ec_code"],
        gor=float(row["gor_scf_per_bbl"]),
        fuel_fraction=float(row["fuel_fraction"]),
        baseline_flare=float(row["baseline_flare_scfpd"]),
        capacity=float(oil["capacity"]),
        line_capacity=_number(line["capacity"]),
        terminal_id=line["to_id"],
        gas_to=next(e["to_id"] for e in edges if e["from_id"] == facility_id and e["stream"] == RAW_GAS),
        decline_per_year=float(state["decline_per_year"]),
        noise_sigma=float(state["noise_sigma"]),
        last_potential=float(oil["potential"]),
        last_actual=float(oil["actual"]),
        last_flare=float(state["flare"]),
        wells=tuple(w["well_ec_code"] for w in wells if w["facility_id"] == facility_id),
    )


def _compressor(row: dict[str, str], field: Mapping[str, Any], edges: list[dict[str, str]]) -> Compressor:
    facility_id = row["facility_id"]
    state = field["facilities"][facility_id]
    return Compressor(
        facility_id=facility_id,
        ec_code=row["ec_code"],
        capacity=float(state["networks"]["domesticGas"]["capacity"]),
        plant_id=next(e["to_id"] for e in edges if e["from_id"] == facility_id and e["stream"] == RAW_GAS),
        pilot=float(state["pilot"]),
    )


def _plant(
    row: dict[str, str], field: Mapping[str, Any], edges: list[dict[str, str]], externals: dict[str, dict[str, str]]
) -> Plant:
    facility_id = row["facility_id"]
    state = field["facilities"][facility_id]
    networks = [state["networks"][n] for n in ("domesticGas", "exportGas")]
    lines = [_edge(edges, facility_id, n) for n in ("domesticGas", "exportGas")]
    source = next(
        externals[e["from_id"]]
        for e in edges
        if e["to_id"] == facility_id and externals.get(e["from_id"], {}).get("kind") == "source"
    )
    capacities = [min(float(n["capacity"]), _number(e["capacity"])) for n, e in zip(networks, lines, strict=True)]
    return Plant(
        facility_id=facility_id,
        ec_code=row["ec_code"],
        shrinkage_fraction=float(row["shrinkage_fraction"]),
        fuel_fraction=float(row["fuel_fraction"]),
        outlets=(f"{facility_id}~{lines[0]['to_id']}~domesticGas", f"{facility_id}~{lines[1]['to_id']}~exportGas"),
        capacities=(capacities[0], capacities[1]),
        last_potentials=(float(networks[0]["potential"]), float(networks[1]["potential"])),
        last_actuals=(float(networks[0]["actual"]), float(networks[1]["actual"])),
        external_id=source["external_id"],
        external_rate=float(source["rate"]),
        pilot=float(state["pilot"]),
    )


def _terminal(row: dict[str, str], field: Mapping[str, Any], tanks: dict[str, dict[str, str]]) -> Terminal:
    facility_id = row["facility_id"]
    state, tank = field["terminals"][facility_id], tanks[facility_id]
    return Terminal(
        facility_id=facility_id,
        ec_code=row["ec_code"],
        storage_code=tank.get("storage_ec_code") or row["ec_code"],
        receipt_capacity=float(field["facilities"][facility_id]["networks"]["oil"]["capacity"]),
        safe_fill=float(tank["safe_fill_bbl"]),
        dead_stock=float(tank["dead_stock_bbl"]),
        own_use=float(tank["own_use_bblpd"]),
        closing_stock=float(state["closing_stock"]),
        parcel=float(state["parcel"]),
        next_laycan_in_days=int(state["next_laycan_in_days"]),
        cargo_prefix=str(state["cargo_prefix"]),
        flare=float(field["facilities"][facility_id]["flare"]),
    )
