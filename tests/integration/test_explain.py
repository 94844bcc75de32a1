"""Lineage over the sandbox's release: every number of the six endpoints, computed again from the rows that are listed.

The arithmetic here is written anew from what the contract says of each operation; files are opened in the lake itself.
"""

import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

from api.settings import Settings
from tests.integration.conftest import Loaded
from tests.unit.api.client import Api

RELATIVE = 1e-9
# Walked whole: the latest day, a window of 7 and one of 30 days.
ADDRESSES = (
    "/summary",
    "/assets",
    "/production-flow",
    "/gap-drivers",
    "/gap-drivers?window=7d",
    "/gap-drivers?window=30d&limit=5",
    "/terminal/tm-kuloma/operations",
    "/terminal/tm-benfara/operations",
    "/hubs/hub-akara/performance?window=7d",
    "/hubs/hub-soloma/performance?window=7d",
    "/hubs/hub-warike/performance?window=30d",
)


@dataclass(frozen=True)
class Explained:
    """One number of a body and its explanation."""

    path: str
    served: float
    answer: dict[str, Any]


@pytest.fixture(scope="module")
def api(sandbox: Loaded) -> Iterator[Api]:
    with Api(Settings(warehouse_dir=sandbox.workspace.warehouse_dir)) as running:
        yield running


def ask(api: Api, path: str) -> dict[str, Any]:
    found: dict[str, Any] = api.body("/api/v1/explain?path=" + quote(path, safe=""))
    return found


def numbers(node: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, float]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from numbers(value, (*at, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from numbers(value, (*at, str(index)))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield "/" + "/".join(token.replace("~", "~0").replace("/", "~1") for token in at), node


@pytest.fixture(scope="module")
def everything(api: Api) -> list[Explained]:
    """Every numeric leaf of the addresses."""
    return [
        Explained(path, value, ask(api, path))
        for address in ADDRESSES
        for pointer, value in numbers(api.body("/api/v1" + address))
        for path in (f"{address}#{pointer}",)
    ]


def close(left: float | None, right: float | None, scale: float = 0.0) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) <= RELATIVE * max(abs(left), abs(right), scale)


def parts(answer: dict[str, Any], role: str = "term") -> list[float | None]:
    return [
        None if entry["value"] is None else entry["value"] * entry["weight"]
        for entry in answer["inputs"]
        if entry["role"] == role
    ]


def again(answer: dict[str, Any]) -> float | None:
    """The number from the listed inputs, by the contract's words of the operation, in base units."""
    operation = answer["operation"]
    values = parts(answer)
    known = [value for value in values if value is not None]
    if operation in ("sum", "sumNotNegative"):
        result = sum(known) if known else None
    elif operation in ("combination", "combinationNotNegative"):
        result = None if len(known) < len(values) else sum(known)
    elif operation == "quotient":
        over, under = parts(answer, "numerator"), parts(answer, "denominator")
        result = sum(over) / sum(under) if under and sum(under) else None  # type: ignore[arg-type]
    elif operation == "count":
        result = len(values)
    elif operation == "countOnTarget":
        days = {entry["productionDate"] for entry in answer["inputs"]}
        by_role = {(e["productionDate"], e["role"]): e["value"] * e["weight"] for e in answer["inputs"]}
        ahead = [by_role[day, "production"] - by_role[day, "target"] for day in days]
        flared = "/flaredGas/" in answer["path"]
        result = sum(gain <= 0 if flared else gain >= 0 for gain in ahead)
    elif operation == "medianSlope":
        points = [(np.datetime64(e["productionDate"]), e["value"] * e["weight"]) for e in answer["inputs"]]
        slopes = [
            (late - early) / int((end - begin).astype(int))
            for i, (begin, early) in enumerate(points)
            for end, late in points[i + 1 :]
        ]
        result = statistics.median(slopes) if slopes else None
    elif operation == "quantile75":
        result = float(np.quantile(known, 0.75))
    else:
        assert operation == "zero", operation
        result = 0.0
    return None if result is None else max(0.0, result) if operation.endswith("NotNegative") else result


def scale_of(answer: dict[str, Any]) -> float:
    every = [value for role in ("term", "numerator", "denominator") for value in parts(answer, role)]
    return max((abs(value) for value in every if value is not None), default=0.0)


def test_every_number_then_it_is_explained_and_its_inputs_give_it_again(everything: list[Explained]) -> None:
    endpoints = Counter(found.path.split("?")[0].split("#")[0].split("/")[1] for found in everything)
    assert endpoints["assets"] > 600
    assert len(everything) > 2000
    for found in everything:
        answer = found.answer
        assert answer["value"] == found.served, found.path
        assert answer["isReproduced"], (found.path, answer["recomputed"])
        assert close(answer["recomputed"], found.served), found.path
        assert close(again(answer), found.served, scale_of(answer)), (found.path, again(answer))
        assert answer["formula"] and answer["meaning"], found.path


def test_every_number_then_something_stands_behind_it(everything: list[Explained]) -> None:
    for found in everything:
        answer = found.answer
        if found.served == 0:
            continue
        assert answer["operation"] != "zero", found.path
        assert answer["inputs"], found.path
        for entry in answer["inputs"]:
            is_given = entry["path"] is not None or entry["sourceRow"] is not None
            # Drivers that are not listed have no path of their own: their files stand in the rows.
            assert is_given or entry["role"] == "parameter" or answer["sourceRows"], (found.path, entry)
        assert "publishes no source rows" not in "".join(answer["notes"]), found.path


def test_inputs_with_a_path_then_the_path_leads_to_the_same_number(api: Api, everything: list[Explained]) -> None:
    asked = {entry["path"]: entry for found in everything for entry in found.answer["inputs"] if entry["path"]}
    assert len(asked) > 500
    for path in sorted(asked)[::7]:
        answer = ask(api, path)
        assert close(answer["value"], asked[path]["value"], scale_of(answer)), path
        assert answer["isReproduced"], path


# -- files -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def opened(path: Path) -> pl.DataFrame:
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)


def where(sandbox: Loaded, row: dict[str, Any]) -> Path:
    if row["table"].startswith("reference/"):
        return sandbox.workspace.site.folder / Path(row["file"]).name
    return sandbox.workspace.lake.root / row["file"]


def source_rows(everything: list[Explained]) -> list[dict[str, Any]]:
    distinct = {str(row): row for found in everything for row in found.answer["sourceRows"]}
    return sorted(distinct.values(), key=lambda row: (row["file"] or "", str(row["key"])))


def test_every_file_then_it_lies_in_the_lake_with_the_hash_that_is_stated(
    sandbox: Loaded, everything: list[Explained]
) -> None:
    files = {where(sandbox, row): row["sha256"] for row in source_rows(everything)}
    assert len(files) > 100
    for path, sha256 in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path


def test_every_row_then_it_stands_in_its_file_with_its_value(sandbox: Loaded, everything: list[Explained]) -> None:
    seen: Counter[str] = Counter()
    for row in source_rows(everything):
        if not row["key"] or row["column"] is None:
            continue
        frame = opened(where(sandbox, row))
        named = [pl.col(key["column"]).cast(pl.String) == key["value"] for key in row["key"]]
        picked = frame.filter(*named)
        assert picked.height == 1, (row["table"], row["key"], picked.height)
        assert picked[row["column"]][0] == row["value"], row
        seen[row["table"]] += 1
    raw = {table for table in seen if table.startswith("raw_")}
    assert raw >= {
        "raw_energy_components__stream_day",
        "raw_energy_components__potential_day",
        "raw_energy_components__tank_day",
        "raw_energy_components__capacity",
        "raw_energy_components__cargo",
        "raw_sharepoint__business_target",
    }
    assert {"core__daily_reading", "reference/edges.csv", "reference/terminals.csv"} <= set(seen)


def test_release_then_every_input_file_of_a_number_stands_in_its_manifest(
    api: Api, sandbox: Loaded, everything: list[Explained]
) -> None:
    with api.edge.desk.reader.lease() as release:
        listed = {(part.table, part.partition, part.sha256) for part in release.manifest.inputs}
    for row in source_rows(everything):
        assert (row["table"], row["partition"], row["sha256"]) in listed
    assert {found.answer["dataVersion"] for found in everything} == {sandbox.release_id}


# -- what the numbers lead to ------------------------------------------------------------------------------------


def node(facility: str, field: str, network: str = "oil") -> str:
    place = {
        "fs-akara-1": "/east/hubs/hub-akara/facilities/fs-akara-1",
        "fs-soloma": "/east/hubs/hub-soloma/facilities/fs-soloma",
    }[facility]
    return f"/assets#{place}/networks/{network}/{field}"


def test_number_of_energy_components_then_the_raw_row_with_its_revision(api: Api, sandbox: Loaded) -> None:
    answer = ask(api, node("fs-akara-1", "currentProduction"))
    (term,) = [entry for entry in answer["inputs"] if entry["role"] == "term"]
    row = answer["sourceRows"][term["sourceRow"]]
    assert (row["table"], row["column"]) == ("raw_energy_components__stream_day", "volume")
    assert {"column": "stream_ec_code", "value": "FS_AKARA_1_OIL_EXP"} in row["key"]
    assert row["revision"] is not None and row["updatedAt"] is not None and row["recordStatus"] in ("P", "V", "A")
    day = answer["productionDate"]
    served = sandbox.sql(
        f"SELECT production_volume FROM production_daily WHERE node_id = 'fs-akara-1' AND network = 'oil' "
        f"AND production_date = '{day}'"
    ).item()
    assert row["value"] * row["factor"] == pytest.approx(served, rel=RELATIVE)


def test_number_of_pi_then_its_tag_the_days_mean_and_the_file_of_samples(api: Api) -> None:
    answer = ask(api, node("fs-soloma", "currentProduction"))
    assert answer["operation"] == "sumNotNegative"
    tables = [row["table"] for row in answer["sourceRows"]]
    assert tables == ["core__daily_reading", "out__daily_production", "raw_pi__recorded_value"]
    reading = answer["sourceRows"][0]
    assert (reading["column"], reading["key"][-1]["column"]) == ("time_weighted_mean", "tag_name")


def test_target_then_its_version_and_item_in_the_unit_it_was_stated_in(api: Api) -> None:
    answer = ask(api, node("fs-akara-1", "businessTarget"))
    (term,) = answer["inputs"]
    row = answer["sourceRows"][term["sourceRow"]]
    assert row["table"] == "raw_sharepoint__business_target"
    assert (row["key"][0]["column"], row["unit"], row["factor"]) == ("item_id", "kbbl/d", 1000)
    assert term["name"] == f"target {answer['targetVersion']}"


def test_any_day_of_the_history_then_its_numbers_still_lead_to_their_raw_rows(api: Api, sandbox: Loaded) -> None:
    days = sandbox.sql("SELECT DISTINCT production_date AS d FROM production_daily ORDER BY d")["d"].to_list()
    for day in (days[0], days[len(days) // 2]):
        address = node("fs-akara-1", "currentProduction").replace("/assets#", f"/assets?productionDate={day}#")
        answer = ask(api, address)
        raw = [row for row in answer["sourceRows"] if row["table"] == "raw_energy_components__stream_day"]
        assert len(raw) == 1
        assert answer["isReproduced"]
        assert where(sandbox, raw[0]).is_file()


def test_system_number_then_the_raw_rows_of_its_facilities_sum_to_it(api: Api) -> None:
    answer = ask(api, "/summary#/networks/domesticGas/currentProduction")
    raw = [row for row in answer["sourceRows"] if row["table"].startswith("raw_energy_components__stream_day")]
    assert len(raw) == len(answer["inputs"]) == 2
    assert math.fsum(row["value"] * row["factor"] for row in raw) == pytest.approx(answer["value"], rel=RELATIVE)


def test_unit_of_display_then_the_same_number_is_explained_in_it(api: Api) -> None:
    for path in ("/summary?units=display#/networks/oil/gap", "/terminal/tm-kuloma/operations?units=display#/ullage"):
        answer = ask(api, path)
        assert answer["isReproduced"]
        assert close(again(answer) / answer["basePerUnit"], answer["value"], scale_of(answer))  # type: ignore[operator]
