"""Makes this folder's slice of the 3W recordings, and the PI archive that a replay serves of it.

    python tests/data/threew/build_slice.py <folder with threew_real.parquet> [<folder to write>]

Six whole recordings: a tag that is null throughout (all), transmitters stuck at zero and at a value, a negative absolute
pressure, a coarsely digitised temperature that is not stuck, nulls within a recording, and two that share one instant.
"""

import sys
from pathlib import Path

import polars as pl

INSTANCES = (
    "WELL-00001_20140124213136",
    "WELL-00001_20170316120203",
    "WELL-00001_20170316140000",
    "WELL-00002_20131104014101",
    "WELL-00002_20140126200050",
    "WELL-00004_20140804220008",
)
# Measurement and unit by the data set's notice; an unqualified pressure in Pa is absolute.
TAGS = {
    "P-PDG": ("pressure", "Pa"),
    "P-TPT": ("pressure", "Pa"),
    "T-TPT": ("temperature", "degC"),
    "P-MON-CKP": ("pressure", "Pa"),
    "T-JUS-CKP": ("temperature", "degC"),
    "P-JUS-CKGL": ("pressure", "Pa"),
    "T-JUS-CKGL": ("temperature", "degC"),
    "QGL": ("gas_rate", "Sm3/s"),
}
# A recording has no word for why a value is missing; PI's is No Data.
NO_DATA = 248


def recordings(source: Path, instances: tuple[str, ...] | None = INSTANCES) -> pl.DataFrame:
    """Rows of the recordings as published, sorted by instance and time; all of them for None."""
    frame = pl.read_parquet(source / "threew_real.parquet").with_columns(
        pl.col("instance").cast(pl.String), pl.col("well").cast(pl.String)
    )
    wanted = frame if instances is None else frame.filter(pl.col("instance").is_in(instances))
    return wanted.sort("instance", "timestamp")


def long(frame: pl.DataFrame) -> pl.DataFrame:
    """One row a tag and sample: well, name (well/tag), tag, at (UTC, the recording's clock taken as such), value."""
    return frame.unpivot(list(TAGS), index=["well", "timestamp"], variable_name="tag", value_name="value").select(
        "well",
        pl.concat_str("well", "tag", separator="/").alias("name"),
        "tag",
        pl.col("timestamp").dt.cast_time_unit("us").dt.replace_time_zone("UTC").alias("at"),
        "value",
    )


def write_archive(frame: pl.DataFrame, folder: Path) -> None:
    """The recordings as a replay's PI archive: points and values."""
    (folder / "values").mkdir(parents=True)
    samples = long(frame).sort("name", "at")
    points = samples.select("name", "tag").unique().sort("name")
    points.select(
        pl.col("name").alias("Name"),
        pl.col("tag").replace_strict({tag: unit for tag, (_, unit) in TAGS.items()}).alias("EngineeringUnits"),
        pl.lit("Float64").alias("PointType"),
    ).write_csv(folder / "points.csv")
    is_missing = pl.col("value").is_null()
    samples.select(
        pl.col("name").alias("Name"),
        pl.col("at").alias("Timestamp"),
        pl.col("value").alias("Value"),
        pl.when(is_missing).then(pl.lit(NO_DATA)).alias("State"),
        (~is_missing).alias("Good"),
    ).write_parquet(folder / "values" / "recordings.parquet")


def main(source: Path, target: Path) -> None:
    """Write the slice."""
    target.mkdir(parents=True, exist_ok=True)
    recordings(source).write_parquet(target / "threew_real.parquet", compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
