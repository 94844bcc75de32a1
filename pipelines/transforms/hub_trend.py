"""Statistics of hubs over trailing windows of production-day labels.

Belongs here: averages, days on target, Theil–Sen trend and efficiency per hub, network and window.
Not here: the daily values themselves (roll_up). A missing day is a gap, never a zero and never interpolated.
Sums run label by label in a fixed order, so that one label computed alone or in a long range is bitwise the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.catalog.out import OutHubTrend

WINDOWS = (7, 30, 90)
# The longest window and the one before it: what must be read before the first label.
CONTEXT_DAYS = 2 * max(WINDOWS) - 1
# Windows whose pairwise slopes (4,005 of 90 days) are held at once: few enough to stay in the processor's cache.
_CHUNK_WINDOWS = 32

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Series:
    """Hub × network series on a gap-free label axis; NaN where there is no value."""

    keys: pl.DataFrame
    first: date
    rate: Floats
    volume: Floats
    hours: Floats
    potential_volume: Floats
    is_complete: Flags
    has_target: Flags
    is_on_target: Flags


def hub_trends(production: pl.DataFrame, labels: Iterable[date], windows: Sequence[int] = WINDOWS) -> pl.DataFrame:
    """Rows of out__hub_trend: label × hub × network × window, for every hub that stands on the label.

    `production` is out__daily_production from CONTEXT_DAYS labels before the first of `labels`; rows of other levels
    than hub are left out. Average = Σ volume ÷ Σ hours × 24 over the complete days (labels with a production);
    null without one. The slope is the median of all pairwise slopes of the daily rate, null below two complete days.
    `days_on_target` is null where no complete day has a target; a network that is not applicable has zeros.
    """
    wanted = sorted(set(labels))
    hubs = production.filter(pl.col("node_level") == "hub")
    if not wanted or hubs.is_empty():
        return OutHubTrend.create_empty()
    series = _series(hubs, wanted[0] - timedelta(days=2 * max(windows) - 1), wanted[-1])
    ends = np.array([(label - series.first).days for label in wanted])
    standing = (
        hubs.filter(pl.col("production_date").is_in(wanted))
        .join(series.keys, on=["node_id", "network"])
        .select("production_date", "node_id", "network", "asset_id", "series")
        .join(pl.DataFrame({"production_date": wanted, "end": np.arange(len(wanted))}), on="production_date")
    )
    parts = []
    for window in sorted(set(windows)):
        statistics = _window_statistics(series, ends, window)
        rows, columns = standing["series"].to_numpy(), standing["end"].to_numpy()
        parts.append(
            standing.select(
                "production_date",
                pl.col("node_id").alias("hub_id"),
                "network",
                pl.lit(window, pl.Int64).alias("window_days"),
                "asset_id",
                *(pl.Series(name, values[rows, columns]) for name, values in statistics.items()),
            )
        )
    table = pl.concat(parts).with_columns(pl.selectors.float().fill_nan(None))
    # A count travels as a float until here, so that "no day has a target" can be a gap in it.
    table = table.with_columns(pl.col("complete_days", "days_on_target").cast(pl.Int64))
    return table.select(OutHubTrend.column_names()).sort(OutHubTrend.primary_key())


def _series(hubs: pl.DataFrame, first: date, last: date) -> _Series:
    """Arrays of shape (series, labels) from hub rows between the two labels, both included."""
    hubs = hubs.filter(pl.col("production_date").is_between(first, last))
    keys = hubs.select("node_id", "network").unique().sort("node_id", "network").with_row_index("series")
    rows = hubs.join(keys, on=["node_id", "network"]).with_columns(
        (pl.col("production_date") - first).dt.total_days().alias("position"),
    )
    shape = (keys.height, (last - first).days + 1)
    at = (rows["series"].to_numpy(), rows["position"].to_numpy())

    def spread(expression: pl.Expr) -> Floats:
        values = np.full(shape, np.nan)
        values[at] = rows.select(expression.cast(pl.Float64).alias("v"))["v"].fill_null(np.nan).to_numpy()
        return values

    production, target = pl.col("production"), pl.col("business_target")
    reached = pl.when(pl.col("network") == "flaredGas").then(production <= target).otherwise(production >= target)
    on_target = spread((reached & (pl.col("quality") != "notApplicable")).cast(pl.Float64))
    is_complete = ~np.isnan(spread(pl.col("production_volume")))
    return _Series(
        keys=keys,
        first=first,
        rate=spread(production),
        volume=spread(pl.col("production_volume")),
        hours=spread(pl.col("day_hours")),
        potential_volume=spread(pl.col("potential_volume")),
        is_complete=is_complete,
        has_target=is_complete & ~np.isnan(spread(target)),
        is_on_target=on_target == 1.0,
    )


def _window_statistics(series: _Series, ends: npt.NDArray[np.int64], window: int) -> dict[str, Floats]:
    """Statistics of shape (series, ends) for windows that end at the given label positions."""
    complete = series.is_complete
    efficient = complete & ~np.isnan(series.potential_volume)

    def total(values: Floats | Flags, mask: Flags, shift: int = 0) -> Floats:
        kept = np.where(mask, values, 0.0)
        result = np.zeros((kept.shape[0], len(ends)))
        for back in range(window):
            result += kept[:, ends - shift - back]
        return result

    def mean(shift: int) -> Floats:
        return _ratio(total(series.volume, complete, shift), total(series.hours, complete, shift) / 24.0)

    average, previous = mean(0), mean(window)
    targets = total(complete, series.has_target)
    on_target = total(series.is_on_target, series.has_target)
    return {
        "complete_days": total(complete, complete),
        "average": average,
        "days_on_target": np.where(targets > 0, on_target, np.nan),
        "trend_per_day": _theil_sen(np.where(complete, series.rate, np.nan), ends, window),
        "previous_average": previous,
        "change_fraction": _ratio(average - previous, previous),
        "production_efficiency": _ratio(total(series.volume, efficient), total(series.potential_volume, efficient)),
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient; NaN where the denominator is zero or unknown."""
    known = ~np.isnan(denominator) & (denominator != 0.0)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=known)
    return quotient


def _theil_sen(rate: Floats, ends: npt.NDArray[np.int64], window: int) -> Floats:
    """Median of the slopes of all pairs of days with a rate, in rate per day; NaN below two such days."""
    result = np.full((rate.shape[0], len(ends)), np.nan)
    offsets = np.arange(1 - window, 1)
    for row in range(rate.shape[0]):
        for start in range(0, len(ends), _CHUNK_WINDOWS):
            part = slice(start, start + _CHUNK_WINDOWS)
            days = rate[row][ends[part, None] + offsets]
            slopes = np.empty((len(days), window * (window - 1) // 2))
            done = 0
            for lag in range(1, window):
                block = slopes[:, done : done + window - lag]
                np.subtract(days[:, lag:], days[:, :-lag], out=block)
                block /= lag
                done += window - lag
            known_days = (~np.isnan(days)).sum(axis=1)
            result[row, part] = _row_medians(slopes, known_days * (known_days - 1) // 2)
    return result


def _row_medians(values: Floats, counts: npt.NDArray[np.int64]) -> Floats:
    """Median of each row's `counts` values, the rest being NaN; NaN for a row without any. Reorders `values`."""
    medians = np.full(len(values), np.nan)
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        # NaN sort to the end, so the middle of the first `count` elements is the middle of the known ones.
        low, high = (count - 1) // 2, count // 2
        chosen = values if len(rows) == len(values) else values[rows]
        chosen.partition((low, high) if low < high else low, axis=1)
        medians[rows] = (chosen[:, low] + chosen[:, high]) / 2.0
    return medians
