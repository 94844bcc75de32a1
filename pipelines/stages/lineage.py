"""What a release says of where its numbers came from: tables of source rows and registers, and the files that hold them.

Read from the lake when a release is built. The files go to the manifest's inputs, which keeps them as long as the release.
"""

import hashlib
from collections.abc import Collection, Mapping
from datetime import date

import polars as pl

from pipelines.lake import SNAPSHOT, empty
from pipelines.stages.workspace import Workspace
from pipelines.transforms import lineage, wells_potential
from pipelines.transforms.lineage_capacity import capacity_limits
from pipelines.transforms.lineage_registers import capacity_rows, constant_rows, parcel_rows, target_rows
from pipelines.transforms.lineage_stock import stock_rows
from warehouse.manifest import InputPartition

_EC, _SHAREPOINT = "raw_energy_components__", "raw_sharepoint__"
# Tables that an event's evidence refers to, by its first words; rows are found by the key that follows.
EVIDENCE = {
    "ec:DEFERMENT_EVENT/": (f"{_EC}deferment_event", f"{_EC}deferment_day"),
    "ec:WELL_DAY/": (f"{_EC}well_day",),
}
TERMINAL = "core__daily_terminal"
# Reference files that numbers are read from as they stand.
REFERENCE = ("terminals", "edges", "facility_networks")


def tables(ws: Workspace, first: date, last: date) -> dict[str, pl.DataFrame]:
    """source_row, source_register, capacity_limit and terminal_balance for the labels from first to last."""
    site = ws.site
    return {
        "source_row": _source_rows(ws, first, last),
        "source_register": _registers(ws),
        "capacity_limit": capacity_limits(
            first=first,
            last=last,
            facilities=site.facilities,
            facility_networks=site.facility_networks,
            edges=site.edges,
            externals=site.externals,
            capacities=ws.lake.read_snapshot("core__capacity"),
        ),
        "terminal_balance": ws.lake.read(TERMINAL, first, last)
        .rename(
            {"facility_id": "terminal_id"} | {f"{n}_bbl": n for n in ("gross_stock", "water", "receipts", "lifted")}
        )
        .select(empty("terminal_balance").columns),
    }


def inputs(
    ws: Workspace, found: Mapping[str, pl.DataFrame], events: pl.DataFrame, listed: Collection[str]
) -> list[InputPartition]:
    """Files of the lake, and of the operator's folder, that the tables `found` and the evidence of `events` refer to.

    `events` is out__daily_event; files of the tables `listed` are left out, for they are listed already.
    """
    rows = found["source_row"]
    names = {TERMINAL, *rows["lake_table"].unique(), *rows["sample_table"].drop_nulls().unique()}
    for words, referred in EVIDENCE.items():
        if events["evidence"].str.contains(words, literal=True).any():
            names |= set(referred)
    names |= set(found["source_register"]["lake_table"].unique())
    parts = [part for name in sorted(names - set(listed)) for part in ws.lake.partitions(name)]
    # Samples are many files, of which a release refers to the few days on which PI spoke for a number.
    sampled = _sampled(rows)
    kept = [p for p in parts if p.table not in sampled or _holds(p.partition, sampled[p.table])]
    files = [
        InputPartition(table=p.table, partition=p.partition, sha256=p.entry.sha256, rows=p.entry.rows) for p in kept
    ]
    for name in REFERENCE:
        path = ws.site.folder / f"{name}.csv"
        if path.is_file():
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            height = getattr(ws.site, name).height
            files.append(InputPartition(table=f"reference/{path.name}", partition=SNAPSHOT, sha256=sha256, rows=height))
    return files


def _sampled(rows: pl.DataFrame) -> dict[str, set[str]]:
    referred = rows.select("sample_table", "source_date").drop_nulls().unique()
    found: dict[str, set[str]] = {name: set() for name in lineage.SAMPLES.values()}
    for name, label in referred.iter_rows():
        found[name] |= {f"{label:%Y-%m-%d}", f"{label:%Y-%m}"}
    return found


def _holds(partition: str, labels: Collection[str]) -> bool:
    return partition in labels


def _source_rows(ws: Workspace, first: date, last: date) -> pl.DataFrame:
    site, lake, units = ws.site, ws.lake, ws.units
    production = lake.read("core__daily_production", first, last)
    potential = lake.read("core__daily_potential", first, last)
    quarantine = lake.read("core__quarantine", first, last)
    readings = lake.read(lineage.READING, first, last)
    established = potential["as_of"].drop_nulls().min()
    begun = min(first, established) if isinstance(established, date) else first

    def accepted(dataset: str, start: date = first) -> pl.DataFrame:
        return lineage.accepted(lake.read(f"{_EC}{dataset}", start, last), quarantine, dataset)

    wells_produce = production.filter(pl.col("network") != "flaredGas").join(
        site.streams, on=["facility_id", "network"], how="anti"
    )
    has_wells = not wells_produce.filter(pl.col("source") == "ec").is_empty()
    sums_wells = not potential.filter(pl.col("basis").is_in(wells_potential.METHODS)).is_empty()
    well_days = lake.read(lineage.WELL, begun, last) if has_wells or sums_wells else empty(lineage.WELL)
    parts = [
        lineage.blank(),
        lineage.stream_rows(production, accepted("stream_day"), site.streams, ws.mapped_units("stream_day"), units),
        lineage.tag_rows(production, readings, site.tags),
        lineage.potential_rows(
            potential,
            accepted("potential_day", begun),
            site.facilities,
            well_days,
            site.facility_networks,
            ws.mapped_units("potential_day"),
            units,
        ),
    ]
    if not site.terminals.is_empty():
        parts.append(
            stock_rows(
                lake.read(TERMINAL, first, last),
                readings,
                site.tags,
                lake.read(f"{_EC}tank_day", first, last),
                site.terminals,
                ws.mapped_units("tank_day"),
                units,
            )
        )
    if has_wells:
        parts.append(
            lineage.well_rows(
                production,
                site.streams,
                well_days,
                accepted("well_day"),
                site.wells,
                site.facility_networks,
                ws.mapped_units("well_day"),
                units,
            )
        )
    if not potential.filter(pl.col("basis") == "p75_full_days").is_empty():
        own_rates = (pl.col("kind") == lineage.FULL_DAY_STATE) & (pl.col("slot") == 0)
        parts.append(lineage.full_day_rows(lake.scan(lineage.STATE, first, last).filter(own_rates).collect()))
    return pl.concat(parts)


def _registers(ws: Workspace) -> pl.DataFrame:
    site, read = ws.site, ws.lake.read_snapshot
    ids = [*site.facilities["facility_id"], *site.hubs["hub_id"], *site.assets["asset_id"], "system"]
    codes = dict(site.facilities.select("sharepoint_code", "facility_id").drop_nulls().iter_rows())
    return pl.concat(
        [
            target_rows(
                read(f"{_SHAREPOINT}business_target"),
                read("core__target").filter("is_approved"),
                {name: name for name in ids} | codes,
                ws.units,
            ),
            capacity_rows(
                read(f"{_EC}capacity"),
                read(f"{_SHAREPOINT}capacity_register"),
                read("core__capacity"),
                site.facilities,
                ws.mapped_units("capacity"),
                ws.units,
            ),
            parcel_rows(
                read(f"{_EC}cargo"),
                read(f"{_SHAREPOINT}lifting_programme"),
                read("core__cargo"),
                ws.mapped_units("cargo"),
                ws.units,
            ),
            constant_rows(site.terminals),
        ]
    )
