"""PI tags over production days: time-weighted mean with its coverage, last good value, frozen time, samples set aside.

Samples are sorted by tag and time, so one shift of a whole column with a tag comparison finds each sample's successor; no
window function is used. Units become base units here. What counts as a facility's production is decided in production.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from pipelines.transforms import carry_state, quality, quality_bounds, readings_frozen, readings_rejected
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.units import Phase, UnitTable, phase_of

SCHEMA = {
    "production_date": pl.Date(),
    "tag_id": pl.UInt32(),
    "tag_name": pl.String(),
    "facility_id": pl.String(),
    "network": pl.String(),
    "measurement": pl.String(),
    "unit": pl.String(),
    "time_weighted_mean": pl.Float64(),
    "good_fraction": pl.Float64(),
    "sample_count": pl.Int64(),
    "frozen_fraction": pl.Float64(),
    "last_value": pl.Float64(),
    "last_good_at_utc": pl.Datetime("us", "UTC"),
    "quality": pl.String(),
}
# Rows worked on at once: large enough to spread fixed costs, small enough to keep memory flat over long ranges.
CHUNK_ROWS = 400_000
# Rates of raw gas on its way to a plant, which belongs to no single network.
GAS_MEASUREMENTS = ("gas_rate", "feed_rate", "flare_rate", "throughput_rate")
# Of these zero is rest, not a stuck transmitter: nothing flows, or the vessel is empty.
RESTING_SUFFIXES = ("rate", "stock", "level")
_MICROSECONDS = 1e6
_RATE = "rate"
_UNLIMITED = float("inf")


@dataclass(frozen=True, slots=True)
class Readings:
    """Rows of core__daily_reading, of core__quarantine (one a tag, label and rule) and of core__carry_state."""

    readings: pl.DataFrame
    rejected: pl.DataFrame
    state: pl.DataFrame


class ReadingError(ValueError):
    """A tag whose unit cannot be converted; the message names every such tag."""


def daily_readings(
    samples: pl.DataFrame,
    tags: pl.DataFrame,
    calendar: ProductionCalendar,
    labels: Sequence[date],
    units: UnitTable,
) -> pl.DataFrame:
    """The readings of `judged_readings` without a clock and without what was carried: each label is its own history."""
    return judged_readings(samples, tags, calendar, labels, units).readings


def judged_readings(
    samples: pl.DataFrame,
    tags: pl.DataFrame,
    calendar: ProductionCalendar,
    labels: Sequence[date],
    units: UnitTable,
    *,
    dataset: str = "recorded_value",
    now: datetime | None = None,
    state: pl.DataFrame = carry_state.NO_STATE,
    until: datetime | None = None,
) -> Readings:
    """Rows of core__daily_reading, one a tag and label, also for tags without a sample (null mean, quality missing).

    `samples`: rows of raw_pi__*, each label with its own rows and per tag the last sample before the day; any order.
    `tags`: tag_id, tag_name, facility_id, network, measurement, unit, is_step, hold_limit_seconds.
    Mean = Σ value × seconds ÷ Σ seconds over good samples clipped to the facility's day. A value holds until the tag's next
    sample, at most hold_limit_seconds; a tag that is not a step one runs straight from one good sample to the next within
    that limit, as PI weighs it, and holds where no good successor is known.
    Set aside and reported: of samples at one instant all but the last row; samples over CLOCK_TOLERANCE after `now`; values
    that quality_bounds calls impossible, whose time is not covered. Frozen time (readings_frozen) stays in the mean, but
    quality is that of the covered time that is not frozen. `state`: carried state of the label before the range.
    `until`: days count as ending there, for one that is still running; those that had not begun are left out.
    Flow tags are in base units; temperatures, pressures and the like keep their unit. Null without any good second.
    Raises ReadingError for a rate, stock or other flow tag in an unknown unit.
    """
    wanted_labels = sorted(set(labels))
    described = _described(tags, units)
    days = calendar.frame(wanted_labels, described["facility_id"].unique().to_list())
    if until is not None:
        days = _ended(days, until)
    wanted = described.join(days, on="facility_id", how="inner").with_columns(_key())
    parts = [_summarise(chunk, wanted, now) for chunk in _chunks(samples, wanted_labels)]
    runs = readings_frozen.gather([p.runs for p in parts] or [readings_frozen.NO_RUNS])
    frozen, carried = readings_frozen.frozen_time(runs, wanted, wanted_labels, state)
    summary = pl.concat([_NO_SUMMARY, *(p.summary for p in parts)]).join(frozen, on="key", how="left")
    found = pl.concat([readings_rejected.NOTHING, *(p.rejected for p in parts)])
    return Readings(_finish(wanted, summary), readings_rejected.quarantined(found, wanted, dataset, now), carried)


def _ended(days: pl.DataFrame, until: datetime) -> pl.DataFrame:
    end = pl.min_horizontal("to_utc", pl.lit(until).cast(pl.Datetime("us", "UTC")))
    begun = days.with_columns(end.alias("to_utc")).filter(pl.col("from_utc") < pl.col("to_utc"))
    return begun.with_columns(
        ((pl.col("to_utc") - pl.col("from_utc")).dt.total_microseconds() / (3600.0 * _MICROSECONDS)).alias("day_hours")
    )


def _key() -> pl.Expr:
    """One sortable integer of label and tag, so that both are compared and grouped at once."""
    label = pl.col("production_date").to_physical().cast(pl.Int64)
    return (label * 2**32 + pl.col("tag_id").cast(pl.Int64)).alias("key")


def _phase(network: str | None, measurement: str, unit: str | None, units: UnitTable) -> Phase:
    """By the tag's network; a tag without one measures gas if its name or its unit says so, else liquid."""
    if network is not None:
        return phase_of(network)
    if measurement in GAS_MEASUREMENTS:
        return "gas"
    return "liquid" if units.knows(unit, "liquid") else "gas"


def _described(tags: pl.DataFrame, units: UnitTable) -> pl.DataFrame:
    """Tags with the factor and unit of their readings."""
    faults, factors, names = [], [], []
    bounds = [
        quality_bounds.possible(measurement, unit, network, units)
        for network, measurement, unit in tags.select("network", "measurement", "unit").iter_rows()
    ]
    for name, network, measurement, unit in tags.select("tag_name", "network", "measurement", "unit").iter_rows():
        phase = _phase(network, measurement, unit, units)
        is_rate = measurement == _RATE or measurement.endswith("_rate")
        is_volume = measurement in ("stock", "water_stock", "volume") or (
            measurement in ("water_level", "level") and units.knows(unit, phase)
        )
        if not (is_rate or is_volume):
            factors.append(1.0)
            names.append(unit)
            continue
        try:
            conversion = units.conversion(unit, phase, "rate" if is_rate else "volume")
        except ValueError as error:
            faults.append(f"{name}: {error}")
            continue
        factors.append(conversion.factor)
        names.append(conversion.unit)
    if faults:
        raise ReadingError("tags with unusable units: " + "; ".join(faults))
    return tags.select(
        pl.col("tag_id").cast(pl.UInt32),
        "tag_name",
        "facility_id",
        "network",
        "measurement",
        pl.col("is_step").fill_null(False),
        pl.col("hold_limit_seconds").cast(pl.Float64).fill_null(float("inf")),
        pl.Series("unit", names, dtype=pl.String),
        pl.Series("factor", factors, dtype=pl.Float64),
        pl.col("unit").alias("own_unit"),
        pl.Series("low", [b.low if b else -_UNLIMITED for b in bounds], dtype=pl.Float64),
        pl.Series("high", [b.high if b else _UNLIMITED for b in bounds], dtype=pl.Float64),
        pl.Series("impossible", [b.reason if b else None for b in bounds], dtype=pl.String),
        pl.col("measurement")
        .str.ends_with(RESTING_SUFFIXES[0])
        .or_(*(pl.col("measurement").str.ends_with(suffix) for suffix in RESTING_SUFFIXES[1:]))
        .alias("rests"),
    )


def _chunks(samples: pl.DataFrame, labels: Sequence[date]) -> Iterator[pl.DataFrame]:
    """Samples of whole labels, about CHUNK_ROWS rows at a time."""
    wanted = samples.filter(pl.col("production_date").is_in(list(labels)))
    if not wanted["production_date"].is_sorted():
        wanted = wanted.sort("production_date", maintain_order=True)
    first = held = 0
    for count in wanted.group_by("production_date").len().sort("production_date")["len"]:
        if held and held + count > CHUNK_ROWS:
            yield wanted.slice(first, held)
            first, held = first + held, 0
        held += count
    if held:
        yield wanted.slice(first, held)


@dataclass(frozen=True, slots=True)
class _Part:
    summary: pl.DataFrame
    runs: readings_frozen.Runs
    rejected: pl.DataFrame


_NO_SUMMARY = pl.DataFrame(
    schema={
        "key": pl.Int64, "weighted": pl.Float64, "held": pl.Float64, "sample_count": pl.Int64,
        "last_value": pl.Float64, "last_at": pl.Int64,
    }
)  # fmt: skip


def _summarise(samples: pl.DataFrame, wanted: pl.DataFrame, now: datetime | None) -> _Part:
    """Per key: weighted sum, covered time, counts, last good value, in the tag's own unit; runs; what was set aside."""
    frame = samples.select(
        _key(),
        pl.col("observed_at_utc").to_physical().alias("at"),
        pl.when(pl.col("is_good") & pl.col("value").is_finite()).then(pl.col("value")).alias("value"),
    )
    terms = wanted.select(
        "key",
        pl.col("from_utc").to_physical().alias("from"),
        pl.col("to_utc").to_physical().alias("to"),
        (pl.col("hold_limit_seconds") * _MICROSECONDS).clip(upper_bound=2.0**62).cast(pl.Int64).alias("hold"),
        "is_step",
        "low",
        "high",
        "rests",
    )
    frame = _sorted(frame).join(terms, on="key", how="inner", maintain_order="left")
    frame, rejected = readings_rejected.set_aside(frame, now)
    succeeds = pl.col("key") == pl.col("key").shift(-1)
    frame = frame.with_columns(
        pl.when(succeeds).then(pl.col("at").shift(-1)).alias("next_at"),
        pl.when(succeeds).then(pl.col("value").shift(-1)).alias("next_value"),
    )
    held_to = pl.min_horizontal(pl.col("next_at"), pl.col("at") + pl.col("hold"), pl.col("to"))
    start = pl.max_horizontal("at", "from")
    frame = frame.with_columns(
        start.alias("start"), pl.when(pl.col("value").is_not_null()).then(held_to - start).clip(0).alias("held")
    )
    is_line = (
        ~pl.col("is_step") & pl.col("next_value").is_not_null() & ((pl.col("next_at") - pl.col("at")) <= pl.col("hold"))
    )
    # The mean of a straight line over a clipped stretch is its value in the middle of the stretch.
    middle = (pl.col("start") - pl.col("at") + pl.col("held") / 2) / (pl.col("next_at") - pl.col("at"))
    mean = pl.when(is_line).then(pl.col("value") + (pl.col("next_value") - pl.col("value")) * middle).otherwise("value")
    frame = frame.with_columns((mean * pl.col("held")).alias("weighted"))
    is_known = pl.col("value").is_not_null() & (pl.col("at") <= pl.col("to"))
    summary = frame.group_by("key", maintain_order=True).agg(
        pl.col("weighted").sum(),
        pl.col("held").sum().cast(pl.Float64),
        ((pl.col("at") >= pl.col("from")) & (pl.col("at") < pl.col("to"))).sum().cast(pl.Int64).alias("sample_count"),
        pl.col("value").filter(is_known).last().alias("last_value"),
        pl.col("at").filter(is_known).last().alias("last_at"),
    )
    return _Part(summary, readings_frozen.runs_of(frame), rejected)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    """Sorted by key and instant, rows of one instant in the order they came in."""
    earlier = (pl.col("key") < pl.col("key").shift(1)) | (
        (pl.col("key") == pl.col("key").shift(1)) & (pl.col("at") < pl.col("at").shift(1))
    )
    return frame.sort("key", "at", maintain_order=True) if frame.select(earlier.any()).item() else frame


def _finish(wanted: pl.DataFrame, summary: pl.DataFrame) -> pl.DataFrame:
    # A share is a product: Polars divides by a column of one value as by a reciprocal, so that a quotient's last bit would
    # depend on how many labels are computed together.
    share = 1.0 / (pl.col("day_hours") * 3600.0 * _MICROSECONDS)
    result = (
        wanted.join(summary, on="key", how="left")
        .with_columns(
            pl.when(pl.col("held") > 0)
            .then(pl.col("weighted") / pl.col("held") * pl.col("factor"))
            .alias("time_weighted_mean"),
            (pl.col("held").fill_null(0.0) * share).clip(0.0, 1.0).alias("good_fraction"),
            pl.col("sample_count").fill_null(0),
            pl.when(pl.col("held") > 0)
            .then((pl.col("frozen").fill_null(0.0) * share).clip(0.0, 1.0))
            .alias("frozen_fraction"),
            (pl.col("last_value") * pl.col("factor")).alias("last_value"),
            pl.col("last_at").cast(pl.Datetime("us", "UTC")).alias("last_good_at_utc"),
        )
        .with_columns(
            pl.when((pl.col("sample_count") == 0) & (pl.col("good_fraction") == 0.0))
            .then(pl.lit(quality.MISSING))
            .otherwise(quality.of_good_fraction(pl.col("good_fraction") - pl.col("frozen_fraction").fill_null(0.0)))
            .alias("quality")
        )
        .sort("production_date", "tag_id")
    )
    return result.select([pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()])
