"""Hub trends against a naive loop over the same days."""

import statistics
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.transforms.hub_trend import hub_trends
from warehouse.catalog.out import OutHubTrend

FIRST = date(2026, 1, 1)


def _row(day: int, production: float | None, **other: Any) -> dict[str, Any]:
    hours = other.get("day_hours", 24.0)
    return {
        "production_date": FIRST + timedelta(days=day),
        "node_level": "hub",
        "node_id": "hub-a",
        "network": "oil",
        "asset_id": "east",
        "day_hours": hours,
        "production": production,
        "production_volume": None if production is None else production * hours / 24.0,
        "potential_volume": None if production is None else production * 1.25 * hours / 24.0,
        "business_target": 100.0,
        "quality": "missing" if production is None else "good",
    } | other


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {
        "production_date": pl.Date,
        **dict.fromkeys(("node_level", "node_id", "network", "asset_id", "quality"), pl.String),
        **dict.fromkeys(
            ("day_hours", "production", "production_volume", "potential_volume", "business_target"), pl.Float64
        ),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _only(table: pl.DataFrame, window: int) -> dict[str, Any]:
    return table.filter(pl.col("window_days") == window).row(0, named=True)


def _naive(rows: list[dict[str, Any]], last: int, window: int) -> dict[str, Any]:
    def complete(start: int, end: int) -> list[tuple[int, dict[str, Any]]]:
        return [(d, r) for d, r in enumerate(rows) if start <= d <= end and r["production"] is not None]

    def mean(part: list[tuple[int, dict[str, Any]]]) -> float | None:
        hours = sum(r["day_hours"] for _, r in part)
        return sum(r["production_volume"] for _, r in part) / hours * 24.0 if part else None

    now = complete(last - window + 1, last)
    slopes = [(b["production"] - a["production"]) / (j - i) for (i, a), (j, b) in combinations(now, 2)]
    average, previous = mean(now), mean(complete(last - 2 * window + 1, last - window))
    return {
        "complete_days": len(now),
        "average": average,
        "days_on_target": sum(r["production"] >= r["business_target"] for _, r in now) if now else None,
        "trend_per_day": statistics.median(slopes) if slopes else None,
        "previous_average": previous,
        "change_fraction": (average - previous) / previous if average is not None and previous else None,
    }


def test_hub_trends_when_days_are_missing_and_long_then_equal_a_naive_loop() -> None:
    random = np.random.default_rng(7)
    rows = [
        _row(
            d,
            None if random.random() < 0.15 else float(random.normal(100.0, 8.0)),
            day_hours=25.0 if d % 41 == 0 else 24.0,
        )
        for d in range(230)
    ]
    ends = [0, 3, 60, 181, 229]
    table = hub_trends(_frame(rows), [FIRST + timedelta(days=e) for e in ends])
    OutHubTrend.validate(table)
    assert table.height == len(ends) * 3
    for found in table.iter_rows(named=True):
        expected = _naive(rows, (found["production_date"] - FIRST).days, found["window_days"])
        for name, value in expected.items():
            assert found[name] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name


def test_hub_trends_when_one_label_is_computed_alone_then_bits_equal_the_range() -> None:
    random = np.random.default_rng(8)
    rows = _frame([_row(d, float(random.normal(100.0, 8.0))) for d in range(200)])
    labels = [FIRST + timedelta(days=d) for d in range(180, 200)]
    together = hub_trends(rows, labels)
    apart = pl.concat([hub_trends(rows, [label]) for label in labels])
    assert together.equals(apart.sort(OutHubTrend.primary_key()))


def test_hub_trends_when_nothing_was_produced_then_statistics_are_null_and_days_zero() -> None:
    found = _only(hub_trends(_frame([_row(d, None) for d in range(10)]), [FIRST + timedelta(days=9)]), 7)
    assert found["complete_days"] == 0
    assert [found[k] for k in ("average", "days_on_target", "trend_per_day", "production_efficiency")] == [None] * 4


def test_hub_trends_when_the_slope_is_constant_then_trend_is_that_slope() -> None:
    found = _only(hub_trends(_frame([_row(d, 100.0 - 2.0 * d) for d in range(30)]), [FIRST + timedelta(days=29)]), 30)
    assert found["trend_per_day"] == pytest.approx(-2.0)
    assert found["production_efficiency"] == pytest.approx(0.8)


def test_hub_trends_when_gas_is_flared_then_on_target_is_at_or_below_the_ceiling() -> None:
    rows = [_row(d, q, network="flaredGas", potential_volume=None) for d, q in enumerate([90.0, 100.0, 101.0])]
    found = _only(hub_trends(_frame(rows), [FIRST + timedelta(days=2)]), 7)
    assert (found["days_on_target"], found["production_efficiency"]) == (2, None)


def test_hub_trends_when_a_network_does_not_apply_then_values_are_zero() -> None:
    rows = [_row(d, 0.0, potential_volume=0.0, business_target=0.0, quality="notApplicable") for d in range(7)]
    found = _only(hub_trends(_frame(rows), [FIRST + timedelta(days=6)]), 7)
    assert (found["average"], found["days_on_target"], found["trend_per_day"]) == (0.0, 0, 0.0)
    assert found["production_efficiency"] is None


def test_hub_trends_when_no_target_is_known_then_days_on_target_is_null() -> None:
    rows = [_row(d, 90.0, business_target=None) for d in range(7)]
    assert _only(hub_trends(_frame(rows), [FIRST + timedelta(days=6)]), 7)["days_on_target"] is None


def test_hub_trends_when_a_hub_ends_then_later_labels_have_no_row_of_it() -> None:
    rows = [_row(d, 100.0) for d in range(5)] + [_row(d, 50.0, node_id="hub-b") for d in range(9)]
    table = hub_trends(_frame(rows), [FIRST + timedelta(days=8)])
    assert table["hub_id"].unique().to_list() == ["hub-b"]
