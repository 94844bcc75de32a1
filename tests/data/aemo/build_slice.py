"""Makes this folder's slice of AEMO's archived reports: the views that the replay serves, and the flows with faults.

    python tests/data/aemo/build_slice.py <folder with aemo_*.parquet> [<folder to write>]

Rows are chosen and columns renamed as a view has them; figures stay as published. An outlook has no number and names whole
gas days, both ends included: EVENT_NO counts the chosen rows, DAYTIME and END_DATE are where its first day begins and its last
ends.
"""

import json
import sys
from datetime import date
from pathlib import Path

import polars as pl

FIRST, LAST = date(2016, 10, 5), date(2017, 9, 30)
PLANTS = ("Lang Lang Gas Plant", "Longford Gas Plant", "Moomba Gas Plant", "Otway Gas Plant")
WITH_FAULTS = ("Ballera Gas Plant", "Camden CSM", "Iona Underground Gas Storage", "Lang Lang Gas Plant")
# A gas day begins at 06:00 Australian Eastern Standard Time, which has no summer time.
DAY_START = pl.duration(hours=6)


def views(source: Path) -> dict[str, pl.DataFrame]:
    """The three views by name, sorted by their keys."""
    flows = pl.read_parquet(source / "aemo_actual_flows.parquet")
    capacities = pl.read_parquet(source / "aemo_standing_capacity.parquet")
    outlooks = pl.read_parquet(source / "aemo_outlook.parquet")
    of_plants = pl.col("PLANTNAME").is_in(PLANTS)
    return {
        "GBB_ACTUAL_FLOW": flows.filter(of_plants, pl.col("GASDATE").is_between(FIRST, LAST))
        .select("PLANTID", "PLANTNAME", "GASDATE", "FLOWDIRECTION", "ACTUALQUANTITY", "LASTCHANGED")
        .sort("PLANTID", "GASDATE"),
        "GBB_STANDING_CAPACITY": capacities.filter(of_plants, pl.col("CAPACITYTYPE") == "MDQ")
        .with_columns(pl.col("EFFECTIVEDATE").cast(pl.Date))
        .filter(pl.col("EFFECTIVEDATE") <= LAST)
        .select("PLANTID", "PLANTNAME", "CAPACITYQUANTITY", "EFFECTIVEDATE", pl.col("LastUpdate").alias("LASTUPDATE"))
        .sort("PLANTID", "EFFECTIVEDATE", "LASTUPDATE", "CAPACITYQUANTITY"),
        "GBB_CAPACITY_OUTLOOK": outlooks.filter(of_plants, pl.col("OUTLOOKTYPE") == "PRODC")
        .filter(pl.col("TOGASDATE") >= FIRST, pl.col("FROMGASDATE") <= LAST)
        .sort("PLANTID", "FROMGASDATE", "TOGASDATE", "Last Updated", "OUTLOOKDAILYCAPACITY")
        .with_row_index("EVENT_NO", offset=1)
        .select(
            "EVENT_NO",
            "PLANTID",
            "PLANTNAME",
            (pl.col("FROMGASDATE").cast(pl.Datetime("us")) + DAY_START).alias("DAYTIME"),
            (pl.col("TOGASDATE").cast(pl.Datetime("us")).dt.offset_by("1d") + DAY_START).alias("END_DATE"),
            "OUTLOOKDAILYCAPACITY",
            "DESCRIPTION",
            pl.col("Last Updated").alias("LASTUPDATE"),
        ),
    }


def flows_with_faults(source: Path) -> pl.DataFrame:
    """Every daily flow of the facilities that have a negative figure or a unit slip."""
    flows = pl.read_parquet(source / "aemo_actual_flows.parquet")
    return flows.filter(pl.col("PLANTNAME").is_in(WITH_FAULTS)).sort("PLANTNAME", "GASDATE", "FLOWDIRECTION")


def oracle(source: Path) -> dict[str, object]:
    """What the shared oracle says of this slice."""
    found = json.loads((source / "oracle.json").read_text(encoding="utf-8"))["aemo_gbb"]
    return {name: found[name] for name in ("negative_rows", "rows_gt_10000", "attribution")}


def main(source: Path, target: Path) -> None:
    """Write the slice."""
    folder = target / "energy_components"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in views(source).items():
        frame.write_parquet(folder / f"{name}.parquet", compression="zstd")
    flows_with_faults(source).write_parquet(target / "flows_with_faults.parquet", compression="zstd")
    (target / "oracle.json").write_text(json.dumps(oracle(source), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
