"""Bounds of what instruments can read, by measurement and unit."""

import pytest

from pipelines.transforms.quality_bounds import possible
from pipelines.transforms.units import UnitTable

UNITS = UnitTable()


def holds(measurement: str, unit: str | None, value: float, network: str | None = None) -> bool:
    bounds = possible(measurement, unit, network, UNITS)
    assert bounds is not None
    return bounds.low <= value <= bounds.high


@pytest.mark.parametrize(
    ("unit", "inside", "outside"),
    [
        ("Pa", [0.0, 4.5e7], [-300_917.8, -1.0, 1.4e8]),
        ("bar", [0.0, 1379.0], [-0.1, 1380.0]),
        ("bara", [0.0], [-0.1]),
        ("barg", [-1.0, 0.0], [-1.1, 1400.0]),
        ("Bar", [6.5], [-1.0]),
        ("psig", [-14.6, 19_999.0], [-14.8, 20_100.0]),
        ("psi", [0.0], [-0.1]),
        ("kPa", [137_000.0], [140_000.0]),
        ("bar (g)", [-1.0], [-1.1]),
    ],
)
def test_pressure_when_below_vacuum_or_beyond_ratings_then_impossible(
    unit: str, inside: list[float], outside: list[float]
) -> None:
    assert all(holds("pressure", unit, value) for value in inside)
    assert not any(holds("suction_pressure", unit, value) for value in outside)


@pytest.mark.parametrize("unit", ["C", "Deg C", "degC", "degc", "°C", "deg. C", "Celsius"])
def test_temperature_when_celsius_is_spelt_any_way_then_minus_fifty_to_four_hundred(unit: str) -> None:
    assert [holds("temperature", unit, value) for value in (-50.1, -50.0, 173.1, 400.0, 400.1)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_temperature_when_other_scale_then_converted() -> None:
    assert [holds("temperature", "degF", value) for value in (-59.0, -57.0, 751.0, 753.0)] == [False, True, True, False]
    assert [holds("temperature", "K", value) for value in (200.0, 300.0)] == [False, True]


def test_percent_when_outside_a_transmitters_span_then_impossible() -> None:
    assert [holds("level", "%", value) for value in (-2.0, -1.0, 103.0, 104.0)] == [False, True, True, False]


def test_rate_when_beyond_the_range_at_load_or_far_below_zero_then_impossible() -> None:
    assert [holds("rate", "kbbl/d", value, "oil") for value in (-1.0, -0.1, 1500.0, 1501.0)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert [holds("gas_rate", "Sm3/s", value) for value in (-1.0, 0.0, 1_600.0, 1_700.0)] == [False, True, True, False]
    assert holds("stock", "bbl", 5e7)
    assert not holds("stock", "bbl", 5.1e7)


@pytest.mark.parametrize(
    ("measurement", "unit"),
    [("pressure", "furlong"), ("temperature", None), ("water_level", "mm"), ("run_status", None)],
)
def test_bounds_when_measurement_or_unit_is_not_known_then_none(measurement: str, unit: str | None) -> None:
    assert possible(measurement, unit, None, UNITS) is None
