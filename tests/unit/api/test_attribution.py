"""Sums over a scope and a window."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.attribution import contributions, scope_of

DAY = date(2026, 11, 21)


def facility(node: str, production: float | None, potential: float | None = 100.0, **more: Any) -> dict[str, Any]:
    hours = more.get("day_hours", 24.0)
    volume = None if production is None else production * hours / 24
    lost = None if production is None or potential is None else max(0.0, potential - production) * hours / 24
    row = {
        "production_date": DAY,
        "node_id": node,
        "counts_in_roll_up": True,
        "quality": "good" if production is not None else "missing",
        "production": production,
        "potential": potential,
        "day_hours": hours,
        "production_volume": volume,
        "potential_volume": None if potential is None else potential * hours / 24,
        "business_target_volume": 90.0,
        "gap_volume": None if volume is None else 90.0 - volume,
        "deferment_volume": lost,
    }
    return row | more


def share(event: str, node: str, volume: float, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "production_date": DAY,
        "event_id": event,
        "facility_id": node,
        "hub_id": "h",
        "asset_id": "a",
        "volume": volume,
        "volume_if_alone": volume,
        "gain_if_fixed": None,
        "hours": 10.0,
    }
    return row | more


def test_scope_when_a_facility_is_missing_then_levels_are_over_the_present_ones() -> None:
    scope = scope_of([facility("a", 80.0), facility("b", None, 20.0)])
    assert scope.complete_days == 1
    assert scope.levels["potential_volume"] == 100.0
    assert scope.levels["business_target_volume"] == 90.0
    assert scope.present == {(DAY, "a")}


def test_scope_when_less_than_half_is_present_then_no_complete_day_and_nulls() -> None:
    scope = scope_of([facility("a", 10.0, 20.0), facility("b", None, 80.0)])
    assert (scope.complete_days, scope.hours) == (0, 0.0)
    assert set(scope.levels.values()) == {None}


def test_scope_when_no_potential_is_known_then_coverage_counts_facilities() -> None:
    rows = [facility("a", 10.0, None), facility("b", None, None), facility("c", None, None)]
    assert scope_of(rows).complete_days == 0
    assert scope_of(rows[:2]).complete_days == 1


def test_scope_when_nothing_counts_then_zeros() -> None:
    scope = scope_of([facility("a", 10.0, counts_in_roll_up=False), facility("b", 0.0, quality="notApplicable")])
    assert not scope.is_applicable
    assert set(scope.levels.values()) == {0.0}


def test_scope_when_days_have_23_and_25_hours_then_hours_add() -> None:
    other = date(2026, 10, 25)
    rows = [facility("a", 1.0, day_hours=23.0), facility("a", 1.0, day_hours=25.0, production_date=other)]
    assert scope_of(rows).hours == 48.0


def test_contributions_when_an_event_reaches_two_facilities_then_volumes_add_and_hours_do_not() -> None:
    scope = scope_of([facility("a", 80.0), facility("b", 80.0)])
    events, residual = contributions(
        [share("ec:1", "a", 5.0), share("ec:1", "b", 7.0, hours=12.0), share("unattributed", "a", 15.0)], scope
    )
    assert [(e.event_id, e.volume, e.hours, e.by_facility) for e in events] == [
        ("ec:1", 12.0, 12.0, {"a": 5.0, "b": 7.0})
    ]
    assert events[0].gain_if_fixed is None
    assert residual == 15.0


def test_contributions_when_volumes_tie_then_ranked_by_id() -> None:
    scope = scope_of([facility("a", 80.0)])
    events, _ = contributions([share("ec:9", "a", 5.0), share("ec:1", "a", 5.0), share("ec:5", "a", 6.0)], scope)
    assert [event.event_id for event in events] == ["ec:5", "ec:1", "ec:9"]


def test_contributions_when_a_facility_is_not_present_then_its_shares_are_left_out() -> None:
    scope = scope_of([facility("a", 80.0), facility("b", None, 20.0)])
    events, _ = contributions([share("ec:1", "b", 5.0)], scope)
    assert events == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(["ec:1", "ec:2", "pi:3"]),
            st.floats(min_value=-100, max_value=100),
        ),
        max_size=30,
    )
)
def test_contributions_for_any_shares_then_drivers_and_residual_close(drawn: list[tuple[str, str, float]]) -> None:
    rows = [facility(node, 40.0) for node in "abcd"]
    unique = {(node, event): volume for node, event, volume in drawn}
    shares = [share(event, node, volume) for (node, event), volume in unique.items()]
    for node in "abcd":
        explained = sum(volume for (at, _), volume in unique.items() if at == node)
        shares.append(share("unattributed", node, 60.0 - explained))
    events, residual = contributions(shares, scope_of(rows))
    assert residual is not None
    assert sum(event.volume for event in events) + residual == pytest.approx(240.0, rel=1e-12)
