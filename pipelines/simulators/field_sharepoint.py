"""What people keep in SharePoint: target versions, the capacity register, the lifting programme, the PI tag register.

Targets have versions with validity, a draft that is not in force, and published targets of parents that differ a
little from the sum. Workbooks hold dates as Excel serials, the lifting programme a title row above its header.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import xlsxwriter

from pipelines.simulators.field_calendar import Calendar
from pipelines.simulators.field_reference import Reference
from pipelines.simulators.field_world import World

LISTS, DRIVE = "lists", "drive"
TARGETS, CAPACITIES = "Business targets", "Capacity register"
TARGET_COLUMNS = """\
["Title"]
internal = "Title"
kind = "text"

["Node"]
internal = "Node"
kind = "text"

["Network"]
internal = "Network"
kind = "choice"

["Version"]
internal = "field_1"
kind = "text"

["Valid from"]
internal = "Valid_x0020_from"
kind = "dateOnly"

["Valid to"]
internal = "Valid_x0020_to"
kind = "dateOnly"

["Target"]
internal = "field_4"
kind = "number"

["Unit"]
internal = "Unit"
kind = "choice"

["Status"]
internal = "_Status"
kind = "choice"

["Published at"]
internal = "Published_x0020_at"
kind = "dateTime"

["Approved by"]
internal = "Approved_x0020_by0"
kind = "text"
"""
CAPACITY_COLUMNS = """\
["Title"]
internal = "Title"
kind = "text"

["Facility"]
internal = "Facility"
kind = "text"

["Network"]
internal = "Network"
kind = "choice"

["Valid from"]
internal = "field_2"
kind = "dateOnly"

["Valid to"]
internal = "field_3"
kind = "dateOnly"

["Capacity"]
internal = "field_4"
kind = "number"

["Unit"]
internal = "field_5"
kind = "choice"
"""
UTC_TIME = pl.Datetime("us", "UTC")
# The year before planned more: fields decline.
PREVIOUS_YEAR = 1.06
FIRST_HALF = 1.03
DRAFT = 1.02


def write_sharepoint(world: World, folder: Path) -> None:
    """Write both lists with their columns and both workbooks into `folder`."""
    (folder / LISTS).mkdir(parents=True, exist_ok=True)
    targets = business_targets(world.reference, world.calendar)
    targets.write_parquet(folder / LISTS / f"{TARGETS}.parquet")
    (folder / LISTS / f"{TARGETS}.columns.toml").write_text(TARGET_COLUMNS, encoding="utf-8")
    _capacity_register(world.reference).write_parquet(folder / LISTS / f"{CAPACITIES}.parquet")
    (folder / LISTS / f"{CAPACITIES}.columns.toml").write_text(CAPACITY_COLUMNS, encoding="utf-8")
    _lifting_programme(world, folder / DRIVE / "Lifting" / "Lifting programme.xlsx")
    _tag_register(world.reference, folder / DRIVE / "Instrumentation" / "PI tag register.xlsx", world.calendar)


def business_targets(reference: Reference, calendar: Calendar) -> pl.DataFrame:
    """One row a node, network and version. The version in force on the last closed day is the reference's target."""
    last = calendar.labels[calendar.closed - 1]
    year, middle = date(last.year, 1, 1), date(last.year, 7, 1)
    versions: list[tuple[str, date, date | None, float, str, date]] = [
        (
            f"{last.year - 2}-1",
            date(last.year - 2, 1, 1),
            date(last.year - 1, 1, 1),
            1.09,
            "approved",
            date(last.year - 3, 12, 10),
        ),
        (f"{last.year - 1}-1", date(last.year - 1, 1, 1), year, PREVIOUS_YEAR, "approved", date(last.year - 2, 12, 12)),
    ]
    if last >= middle:
        versions += [
            (f"{last.year}-1", year, middle, FIRST_HALF, "approved", date(last.year - 1, 12, 11)),
            (f"{last.year}-2", middle, None, 1.0, "approved", date(last.year, 6, 20)),
        ]
    else:
        versions.append((f"{last.year}-1", year, None, 1.0, "approved", date(last.year - 1, 12, 11)))
    versions.append((f"{last.year + 1}-draft", date(last.year + 1, 1, 1), None, DRAFT, "draft", last))
    rows: list[tuple[Any, ...]] = []
    for version, first, end, factor, status, published in versions:
        for node, network, value in _current_targets(reference):
            ceiling = network == "flaredGas"
            target = value if ceiling else round(value * factor, 1 if network == "oil" else -4)
            shown, unit = _in_unit(target, network, node)
            rows.append(
                (
                    f"{node} {network} {version}",
                    node,
                    network,
                    version,
                    first,
                    end,
                    shown,
                    unit,
                    status,
                    datetime.combine(published, time(9, 30), tzinfo=UTC),
                    "Production Planning Manager" if status == "approved" else None,
                    datetime.combine(published, time(9, 45), tzinfo=UTC),
                )
            )
    names = [
        "Title",
        "Node",
        "Network",
        "Version",
        "Valid from",
        "Valid to",
        "Target",
        "Unit",
        "Status",
        "Published at",
    ]
    schema: dict[str, Any] = dict.fromkeys([*names, "Approved by", "Modified"], pl.String)
    schema |= {"Valid from": pl.Date, "Valid to": pl.Date, "Target": pl.Float64}
    schema |= {"Published at": UTC_TIME, "Modified": UTC_TIME}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _current_targets(reference: Reference) -> list[tuple[str, str, float]]:
    """Node code, network and base-unit target in force on the last closed day: facilities, then parents."""
    found = []
    for facility in reference.facilities:
        state = reference.field["facilities"][facility["facility_id"]]
        for network, values in state.get("networks", {}).items():
            if "target" in values:
                found.append((facility["sharepoint_code"], network, float(values["target"])))
        found.append((facility["sharepoint_code"], "flaredGas", float(state["flare_ceiling"])))
    for node, targets in reference.field.get("published_targets", {}).items():
        found += [(node, network, float(value)) for network, value in targets.items()]
    return found


def _in_unit(value: float, network: str, node: str) -> tuple[float, str]:
    """Planners write oil in kbbl/d here and bbl/d there, gas in MMscf/d."""
    if network != "oil":
        return round(value / 1e6, 6), "MMscf/d"
    if node.endswith("-FS") and sum(map(ord, node)) % 2:
        return round(value, 1), "bbl/d"
    return round(value / 1e3, 6), "kbbl/d"


def _capacity_register(reference: Reference) -> pl.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for facility in reference.facilities:
        state = reference.field["facilities"][facility["facility_id"]]
        code = facility["sharepoint_code"]
        for network, values in state.get("networks", {}).items():
            shown, unit = _in_unit(float(values["capacity"]), network, "")
            rows.append((f"{code} {network}", code, network, date(2020, 1, 1), None, shown, unit))
        flare, unit = _in_unit(float(state["flare_capacity"]), "flaredGas", "")
        rows.append((f"{code} flaredGas", code, "flaredGas", date(2020, 1, 1), None, flare, unit))
    schema: dict[str, Any] = {"Title": pl.String, "Facility": pl.String, "Network": pl.String}
    schema |= {"Valid from": pl.Date, "Valid to": pl.Date, "Capacity": pl.Float64, "Unit": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _workbook(path: Path, calendar: Calendar) -> xlsxwriter.Workbook:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = xlsxwriter.Workbook(str(path))
    # The creation time is part of the file: a fixed one keeps equal content equal in bytes.
    book.set_properties({"created": datetime.combine(calendar.labels[calendar.closed - 1], time(12))})
    return book


def _lifting_programme(world: World, path: Path) -> None:
    book = _workbook(path, world.calendar)
    sheet = book.add_worksheet("Programme")
    day = book.add_format({"num_format": "dd-mmm-yyyy"})
    bold = book.add_format({"bold": True})
    last = world.calendar.labels[world.calendar.closed - 1]
    sheet.write(0, 0, f"Lifting programme, issued {last:%d %B %Y}", bold)
    for column, name in enumerate(["Cargo", "Terminal", "Parcel", "Unit", "Laycan from", "Laycan to", "Status"]):
        sheet.write(1, column, name, bold)
    codes = {f["facility_id"]: f["sharepoint_code"] for f in world.reference.facilities}
    row = 2
    for history in world.terminals:
        for cargo in history.cargoes:
            if cargo.laycan_end < last - timedelta(days=60):
                continue
            sheet.write(row, 0, cargo.cargo_id)
            sheet.write(row, 1, codes[cargo.terminal_id])
            sheet.write(row, 2, cargo.parcel / 1e3)
            sheet.write(row, 3, "kbbl")
            sheet.write_datetime(row, 4, datetime.combine(cargo.laycan_start, time(0)), day)
            sheet.write_datetime(row, 5, datetime.combine(cargo.laycan_end, time(0)), day)
            sheet.write(row, 6, cargo.status)
            row += 1
    book.close()


def _tag_register(reference: Reference, path: Path, calendar: Calendar) -> None:
    book = _workbook(path, calendar)
    sheet = book.add_worksheet("Tags")
    for column, name in enumerate(["Tag", "Description", "Facility", "Measurement", "Unit"]):
        sheet.write(0, column, name)
    facilities = {f["facility_id"]: f for f in reference.facilities}
    for row, tag in enumerate(reference.tags, start=1):
        facility = facilities[tag["facility_id"]]
        words = tag["measurement"].replace("_", " ")
        values = [
            tag["tag_name"],
            f"{facility['name']}: {words}",
            facility["sharepoint_code"],
            tag["measurement"],
            tag["unit"],
        ]
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    book.close()
