"""Gap drivers on small networks whose answers are known by hand: the domain's worked cases and the rules of events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.transforms.attribution import (
    DayAttribution,
    Driver,
    Event,
    Loss,
    attribute_day,
    attribute_networks,
    with_associated_gas,
)
from pipelines.transforms.network import (
    EdgeRow,
    ExternalRow,
    FacilityRow,
    Graph,
    build_gas_graph,
    build_oil_graph,
)
from pipelines.transforms.network_fair import fair_flow

MORNING = datetime(2026, 1, 1, 5, tzinfo=UTC)
DAY = (MORNING, MORNING + timedelta(hours=24))


def station(potential: float, capacity: float | None = None, name: str = "fs-a") -> FacilityRow:
    return FacilityRow(name, "flowstation", {"oil": potential}, {"oil": capacity}, frozenset({"oil"}))


def event(
    name: str, kind: str, target: str, oil: Loss | None = None, hours: tuple[float, float] = (0, 24), **more: object
) -> Event:
    start, end = (MORNING + timedelta(hours=h) for h in hours)
    return replace(Event(name, kind, target, start, end, oil), **more)  # type: ignore[arg-type]


def shared_line(capacity: float = 80.0) -> Graph:
    return build_oil_graph(
        [station(60.0), station(40.0, name="fs-b"), FacilityRow("tm", "terminal")],
        [ExternalRow("trunk", "junction", "oil")],
        [
            EdgeRow("fs-a", "trunk", "oil"),
            EdgeRow("fs-b", "trunk", "oil"),
            EdgeRow("trunk", "tm", "oil", "crude", capacity),
        ],
    )


def gas_field(
    plant_capacity: float | None = None, shrinkage: float = 0.0, compressor: float | None = None
) -> tuple[Graph, Graph]:
    """Two flowstations through a compressor, external gas, one plant that sells on both networks."""
    facilities = [
        FacilityRow("fs-a", "flowstation", {"oil": 100.0}, {}, frozenset({"oil"}), 1000.0, 0.1, 5000.0),
        FacilityRow("fs-b", "flowstation", {"oil": 50.0}, {}, frozenset({"oil"}), 1000.0, 0.1, 5000.0),
        FacilityRow("cs", "compressor-station", {}, {"domesticGas": compressor, "exportGas": compressor}),
        FacilityRow(
            "gp",
            "gas-plant",
            {"domesticGas": 100_000.0, "exportGas": 50_000.0},
            {"domesticGas": plant_capacity},
            frozenset({"domesticGas", "exportGas"}),
            shrinkage_fraction=shrinkage,
        ),
    ]
    externals = [
        ExternalRow("nag", "source", "domesticGas", 25_000.0),
        ExternalRow("market", "market", "domesticGas"),
        ExternalRow("lng", "export", "exportGas"),
    ]
    raw = [("fs-a", "cs"), ("fs-b", "cs"), ("cs", "gp"), ("nag", "gp")]
    edges = [EdgeRow(a, b, n, "rawGas") for a, b in raw for n in ("domesticGas", "exportGas")]
    edges += [
        EdgeRow("gp", "market", "domesticGas", "salesGas", None, True),
        EdgeRow("gp", "lng", "exportGas", "salesGas", None, True),
    ]
    return build_oil_graph(facilities, externals, edges), build_gas_graph(facilities, externals, edges)


def of(day: DayAttribution, event_id: str, facility: str = "fs-a", network: str = "oil") -> Driver:
    found = [d for d in day.drivers if (d.event_id, d.facility_id, d.network) == (event_id, facility, network)]
    assert len(found) == 1, f"{event_id} has {len(found)} rows at {facility}/{network}"
    return found[0]


def numbers(driver: Driver) -> tuple[float, float, float]:
    return driver.volume, driver.volume_if_alone, driver.gain_if_fixed


# --- the domain's worked cases -------------------------------------------------------------------


def test_trip_and_shut_in_at_one_station_when_they_overlap_then_shares_are_the_domain_figures() -> None:
    graph = build_oil_graph([station(38.0, 50.0)], [], [])
    day = attribute_day(
        graph,
        [event("ec:trip", "node", "fs-a", Loss(rate=14.0)), event("ec:well", "source", "fs-a", Loss(rate=4.2))],
        DAY,
    )
    assert numbers(of(day, "ec:trip")) == pytest.approx((11.9, 14.0, 9.8), rel=1e-12)
    assert numbers(of(day, "ec:well")) == pytest.approx((2.1, 4.2, 0.0), rel=1e-12, abs=1e-12)
    assert day.explained() == {("fs-a", "oil"): pytest.approx(14.0, rel=1e-12)}
    residual = day.unattributed({("fs-a", "oil"): 38.0 - 21.7})
    assert residual == {("fs-a", "oil"): pytest.approx(2.3, rel=1e-12)}
    assert day.meters[0].expected_volume == pytest.approx(24.0, rel=1e-12)


def test_wells_then_plant_down_when_half_a_day_each_then_nothing_is_produced() -> None:
    graph = build_oil_graph([station(24.0)], [], [])
    day = attribute_day(
        graph,
        [event("ec:wells", "source", "fs-a", hours=(0, 12)), event("ec:plant", "node", "fs-a", hours=(12, 24))],
        DAY,
    )
    assert day.meters[0].expected_volume == pytest.approx(0.0, abs=1e-12)
    assert numbers(of(day, "ec:wells")) == pytest.approx((12.0, 12.0, 12.0))
    assert numbers(of(day, "ec:plant")) == pytest.approx((12.0, 12.0, 12.0))


def test_shared_line_when_full_then_constraint_is_split_by_potential() -> None:
    day = attribute_day(shared_line(), [], DAY)
    assert {m.facility_id: m.undisturbed for m in day.meters} == pytest.approx({"fs-a": 48.0, "fs-b": 32.0})
    assert numbers(of(day, "constraint:trunk:tm")) == pytest.approx((12.0, 12.0, 12.0))
    assert numbers(of(day, "constraint:trunk:tm", "fs-b")) == pytest.approx((8.0, 8.0, 8.0))
    assert of(day, "constraint:trunk:tm").cause_node_id == "trunk"
    assert day.meters[0].frozen_by == ("edge", "trunk:tm")


def test_shared_line_when_a_well_and_the_line_lose_then_relief_is_a_negative_share() -> None:
    """By hand: {well} 18 + 40 (relief 8); {line} 36 + 24; both 18 + 40, the line of 60 no longer binds."""
    day = attribute_day(
        shared_line(),
        [event("ec:well", "source", "fs-a", Loss(rate=30.0)), event("ec:line", "edge", "trunk:tm", Loss(rate=20.0))],
        DAY,
    )
    assert numbers(of(day, "ec:well")) == pytest.approx((24.0, 30.0, 18.0))
    assert numbers(of(day, "ec:well", "fs-b")) == pytest.approx((-12.0, -8.0, -16.0))
    assert numbers(of(day, "ec:line")) == pytest.approx((6.0, 12.0, 0.0), abs=1e-12)
    assert numbers(of(day, "ec:line", "fs-b")) == pytest.approx((4.0, 8.0, 0.0), abs=1e-12)
    assert day.explained() == {("fs-a", "oil"): pytest.approx(60 - 18), ("fs-b", "oil"): pytest.approx(0.0, abs=1e-9)}


# --- events ----------------------------------------------------------------------------------------


def test_event_when_it_states_the_remaining_rate_then_loss_is_undisturbed_flow_less_it() -> None:
    graph = shared_line()
    day = attribute_day(graph, [event("tanktop:tm", "node", "tm", Loss(remaining=50.0))], DAY)
    assert of(day, "tanktop:tm").volume == pytest.approx(18.0)
    assert of(day, "tanktop:tm", "fs-b").volume == pytest.approx(12.0)
    generous = attribute_day(graph, [event("tanktop:tm", "node", "tm", Loss(remaining=500.0))], DAY)
    assert {d.volume for d in generous.drivers if d.event_id == "tanktop:tm"} == {0.0}


def test_events_of_one_equipment_when_they_overlap_then_count_once_the_larger() -> None:
    graph = build_oil_graph([station(38.0)], [], [])
    both = [
        event("ec:a", "node", "fs-a", Loss(rate=10.0), equipment_id="k-101"),
        event("ec:b", "node", "fs-a", Loss(rate=6.0), equipment_id="k-101"),
    ]
    day = attribute_day(graph, both, DAY)
    assert numbers(of(day, "ec:a")) == pytest.approx((7.0, 10.0, 4.0))
    assert numbers(of(day, "ec:b")) == pytest.approx((3.0, 6.0, 0.0), abs=1e-12)
    apart = attribute_day(graph, [replace(e, equipment_id=e.event_id) for e in both], DAY)
    assert apart.explained()["fs-a", "oil"] == pytest.approx(16.0)


def test_event_when_it_crosses_the_day_then_is_clipped_and_hours_are_the_overlap() -> None:
    graph = build_oil_graph([station(24.0)], [], [])
    day = attribute_day(graph, [event("ec:1", "source", "fs-a", Loss(rate=12.0), hours=(-30, 6))], DAY)
    assert (of(day, "ec:1").volume, of(day, "ec:1").hours) == (pytest.approx(3.0), 6.0)
    outside = attribute_day(graph, [event("ec:1", "source", "fs-a", hours=(24, 30))], DAY)
    assert outside.drivers == ()


@pytest.mark.parametrize("length", [23, 25])
def test_volumes_when_the_clock_changes_then_follow_the_hours_of_the_day(length: int) -> None:
    graph = build_oil_graph([station(24.0)], [], [])
    day = attribute_day(
        graph, [event("ec:1", "source", "fs-a", hours=(-1, 40))], (MORNING, MORNING + timedelta(hours=length))
    )
    assert of(day, "ec:1").volume == pytest.approx(length)
    assert of(day, "ec:1").hours == length


def test_facility_when_its_day_differs_then_only_its_own_hours_count() -> None:
    graph = build_oil_graph([station(24.0), station(24.0, name="fs-b")], [], [])
    later = (DAY[0] + timedelta(hours=2), DAY[1] + timedelta(hours=2))
    events = [event("ec:1", "source", "fs-a", hours=(20, 30)), event("ec:2", "source", "fs-b", hours=(20, 30))]
    day = attribute_day(graph, events, DAY, facility_days={"fs-b": later})
    assert of(day, "ec:1").volume == pytest.approx(4.0)
    assert of(day, "ec:2", "fs-b").volume == pytest.approx(6.0)


def test_uniform_derate_when_hours_are_given_then_they_are_shown() -> None:
    graph = build_oil_graph([station(24.0)], [], [])
    derate = event("ech:w1:2026-01-01", "source", "fs-a", Loss(rate=4.0))
    day = attribute_day(graph, [replace(derate, hours=6.5)], DAY)
    assert (of(day, derate.event_id).hours, of(day, derate.event_id).volume) == (6.5, pytest.approx(4.0))


def test_event_when_it_changes_nothing_then_stays_visible_with_zeros() -> None:
    graph = build_oil_graph([station(38.0, 50.0)], [], [])
    day = attribute_day(graph, [event("ec:0", "node", "fs-a", Loss(rate=0.0))], DAY)
    assert numbers(of(day, "ec:0")) == (0.0, 0.0, 0.0)


def test_event_when_its_target_is_unknown_then_it_is_named_as_unplaced() -> None:
    graph = build_oil_graph([station(38.0)], [], [])
    day = attribute_day(graph, [event("ec:1", "node", "fs-z"), event("ec:2", "outlet", "fs-a")], DAY)
    assert day.unplaced == ("ec:1", "ec:2")
    assert day.drivers == ()


def test_potential_when_zero_then_flow_and_shares_are_zero() -> None:
    graph = build_oil_graph([station(0.0)], [], [])
    day = attribute_day(graph, [event("ec:1", "source", "fs-a")], DAY)
    assert day.meters[0].undisturbed == 0.0
    assert day.explained() == {("fs-a", "oil"): 0.0}


def test_events_when_one_stands_twice_then_refused_by_name() -> None:
    graph = build_oil_graph([station(24.0)], [], [])
    with pytest.raises(ValueError, match="ec:1"):
        attribute_day(graph, [event("ec:1", "source", "fs-a"), event("ec:1", "node", "fs-a")], DAY)


def test_day_when_it_ends_before_it_begins_then_refused() -> None:
    with pytest.raises(ValueError, match="begins"):
        attribute_day(build_oil_graph([station(24.0)], [], []), [], (DAY[1], DAY[0]))


def test_many_concurrent_events_when_sampled_then_closes_with_a_stated_error() -> None:
    graph = shared_line()
    events = [event(f"ec:{i:02d}", "source", "fs-a", Loss(rate=2.0 + i)) for i in range(8)]
    events += [event(f"ec:{i:02d}", "edge", "trunk:tm", Loss(rate=3.0 + i)) for i in range(8, 12)]
    sampled = attribute_day(graph, events, DAY)
    exact = attribute_day(graph, events, DAY, exact_events=12)
    lost = {(m.facility_id, m.network): m.potential - m.expected_volume for m in exact.meters}
    assert sampled.explained() == pytest.approx(lost, rel=1e-12)
    pairs = [(d, of(exact, d.event_id, d.facility_id)) for d in sampled.drivers if d.event_id.startswith("ec")]
    assert any(s.standard_error > 0 for s, _ in pairs)
    assert all(e.standard_error == 0 for _, e in pairs)
    assert all(abs(s.volume - e.volume) <= 5 * s.standard_error + 1e-9 for s, e in pairs)
    assert sampled == attribute_day(graph, list(reversed(events)), DAY)


# --- gas -------------------------------------------------------------------------------------------


def test_gas_when_a_shared_compressor_trips_then_both_networks_lose_in_proportion() -> None:
    _, gas = gas_field()
    # Feed 100·900 − 5000 + 50·900 − 5000 + 25000 = 150000: both outlets at potential.
    trip = Event("ec:k", "node", "cs", *DAY, gas=Loss(rate=30_000.0))
    day = attribute_day(gas, [trip], DAY)
    assert of(day, "ec:k", "gp", "domesticGas").volume == pytest.approx(20_000.0)
    assert of(day, "ec:k", "gp", "exportGas").volume == pytest.approx(10_000.0)
    assert {d.cause_node_id for d in day.drivers} == {"cs"}


def test_plant_when_it_shrinks_its_feed_then_sales_are_the_yield_and_the_rest_is_a_constraint() -> None:
    _, gas = gas_field(shrinkage=0.1)
    flows = fair_flow(gas)
    assert flows.flows == pytest.approx({("gp", "domesticGas"): 90_000.0, ("gp", "exportGas"): 45_000.0})
    day = attribute_day(gas, [Event("ec:k", "node", "cs", *DAY, gas=Loss(rate=30_000.0))], DAY)
    # The compressor's loss is feed; the plant's would be sales.
    assert sum(d.volume for d in day.drivers if d.event_id == "ec:k") == pytest.approx(27_000.0)
    plant = attribute_day(gas, [Event("ec:p", "node", "gp", *DAY, gas=Loss(rate=30_000.0))], DAY)
    assert sum(d.volume for d in plant.drivers if d.event_id == "ec:p") == pytest.approx(30_000.0)


def test_plant_when_one_outlet_is_limited_then_the_other_takes_the_gas() -> None:
    _, gas = gas_field(plant_capacity=70_000.0)
    flows = fair_flow(gas)
    assert flows.flows == pytest.approx({("gp", "domesticGas"): 70_000.0, ("gp", "exportGas"): 50_000.0})
    assert flows.frozen_by == {("gp", "domesticGas"): ("node", "gp"), ("gp", "exportGas"): None}


def test_oil_well_when_it_has_no_gas_loss_then_takes_its_associated_gas() -> None:
    oil, gas = gas_field()
    well = event("ec:w", "source", "fs-a", Loss(rate=10.0))
    day = attribute_networks(oil, gas, [well], DAY)
    assert of(day, "ec:w").volume == pytest.approx(10.0)
    assert sum(d.volume for d in day.drivers if d.facility_id == "gp") == pytest.approx(10.0 * 1000 * 0.9)
    entered = attribute_networks(oil, gas, [replace(well, gas=Loss(rate=1500.0))], DAY)
    assert sum(d.volume for d in entered.drivers if d.facility_id == "gp") == pytest.approx(1500.0)


def test_oil_event_when_it_is_no_source_event_then_gas_is_untouched() -> None:
    _, gas = gas_field()
    trip = event("ec:t", "node", "fs-a", Loss(rate=10.0))
    assert with_associated_gas([trip], {("node", "fs-a"): 100.0}, gas) == [trip]
    assert attribute_day(gas, [trip], DAY).drivers == ()


def test_event_when_no_phase_loss_is_known_then_takes_the_whole_flow_of_every_phase() -> None:
    oil, gas = gas_field()
    day = attribute_networks(oil, gas, [event("ec:x", "source", "fs-a")], DAY)
    assert of(day, "ec:x").volume == pytest.approx(100.0)
    assert sum(d.volume for d in day.drivers if d.facility_id == "gp") == pytest.approx(85_000.0)


def test_events_when_on_independent_stations_then_neither_appears_at_the_other() -> None:
    graph = build_oil_graph([station(24.0), station(24.0, name="fs-b")], [], [])
    events = [event("ec:1", "source", "fs-a", Loss(rate=3.0)), event("ec:2", "source", "fs-b", Loss(rate=4.0))]
    day = attribute_day(graph, events, DAY)
    assert [(d.event_id, d.facility_id) for d in day.drivers] == [("ec:1", "fs-a"), ("ec:2", "fs-b")]
