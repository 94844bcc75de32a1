"""The truth's own solver: fair flows, exact shares, and the worked cases of the domain model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.simulators.field_calendar import Floats, Integers
from pipelines.simulators.field_flows import Evaluate, Segment, available, fair, solve

ELEMENTS = {"source": 0, "node": 1}


def station(potential: float, capacity: float) -> object:
    """One flowstation: a source and a node in series."""

    def evaluate_on(days: Integers) -> Evaluate:
        def evaluate(losses: Floats) -> tuple[Floats, Floats]:
            undisturbed = np.array(min(potential, capacity))
            source = available(losses[..., 0], undisturbed, np.array(potential))
            node = available(losses[..., 1], undisturbed, np.array(capacity))
            flows = np.minimum(source, node)[..., None]
            return flows, np.zeros((*flows.shape[:2], 0))

        return evaluate

    return evaluate_on


def segment(
    *losses: tuple[str, float], start: float = 0.0, end: float = 24.0, equipment: tuple[str, ...] = ()
) -> Segment:
    return Segment(
        day=0,
        start=start,
        end=end,
        events=tuple(range(len(losses))),
        elements=tuple(ELEMENTS[target] for target, _ in losses),
        losses=tuple(loss for _, loss in losses),
        equipment=equipment or ("",) * len(losses),
    )


def test_trip_and_well_of_one_station_when_they_overlap_share_as_the_domain_model_says() -> None:
    (found,) = solve([segment(("node", 14.0), ("source", 4.2))], 2, station(38.0, 50.0))  # type: ignore[arg-type]
    assert found.alone[:, 0].tolist() == pytest.approx([14.0, 4.2])
    assert found.share[:, 0].tolist() == pytest.approx([11.9, 2.1])
    assert found.gain[:, 0].tolist() == pytest.approx([9.8, 0.0])
    assert found.flows.tolist() == pytest.approx([24.0])


def test_two_outages_one_after_the_other_when_cut_by_the_hour_leave_nothing() -> None:
    wells = segment(("source", 24.0), end=12.0)
    plant = segment(("node", 24.0), start=12.0)
    found = solve([wells, plant], 2, station(24.0, 50.0))  # type: ignore[arg-type]
    assert sum(f.flows[0] * 0.5 for f in found) == 0.0
    assert [float(f.share[0, 0]) for f in found] == [24.0, 24.0]


def test_two_bookings_of_one_equipment_when_both_stand_count_once() -> None:
    twice = segment(("node", 10.0), ("node", 6.0), equipment=("K1", "K1"))
    apart = segment(("node", 10.0), ("node", 6.0), equipment=("K1", "K2"))
    found = solve([twice, apart], 2, station(38.0, 50.0))  # type: ignore[arg-type]
    assert found[0].flows.tolist() == pytest.approx([28.0])
    assert found[0].share[:, 0].tolist() == pytest.approx([7.0, 3.0])
    assert found[1].flows.tolist() == pytest.approx([22.0])


def test_shared_line_when_one_source_weakens_relieves_the_other() -> None:
    potentials = np.array([[60.0, 40.0]])
    pool = np.array([80.0])
    assert fair(potentials, potentials, pool)[0].tolist() == pytest.approx([48.0, 32.0])
    # A well of the first loses 30 of its undisturbed 48, the line 20 of its undisturbed 80.
    alone = fair(np.array([[18.0, 40.0]]), potentials, pool)[0]
    assert alone.tolist() == pytest.approx([18.0, 40.0])
    both = fair(np.array([[18.0, 40.0]]), potentials, np.array([60.0]))[0]
    assert both.tolist() == pytest.approx([18.0, 40.0])


rates = st.floats(0.0, 100.0, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(rates, rates), min_size=1, max_size=6), rates)
def test_fair_flows_for_any_limits_fill_the_pool_and_never_rob_the_worse_off(
    members: list[tuple[float, float]], pool: float
) -> None:
    limits, potentials = (np.array([[m[i] for m in members]]) for i in (0, 1))
    limits = np.minimum(limits, potentials)
    flows = fair(limits, potentials, np.array([pool]))[0]
    assert (flows <= limits[0] + 1e-9).all()
    assert flows.sum() == pytest.approx(min(pool, limits.sum()), abs=1e-6)
    level = [f / p for f, p in zip(flows, potentials[0], strict=True) if p > 1e-6]
    held = [f < limit - 1e-6 for f, limit, p in zip(flows, limits[0], potentials[0], strict=True) if p > 1e-6]
    for (a, free), b in itertools.product(zip(level, held, strict=True), level):
        # Whoever could still rise stands at least as high as everyone else.
        assert not free or a >= b - 1e-6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["source", "node"]), st.floats(0.5, 60.0)), min_size=1, max_size=5))
def test_shares_of_any_events_sum_to_the_loss_and_equal_the_mean_over_all_orders(
    losses: list[tuple[str, float]],
) -> None:
    (found,) = solve([segment(*losses)], 2, station(38.0, 30.0))  # type: ignore[arg-type]
    assert found.share[:, 0].sum() == pytest.approx(30.0 - found.flows[0], abs=1e-9)

    def flow(events: tuple[int, ...]) -> float:
        lost = {"source": 0.0, "node": 0.0}
        for i in events:
            lost[losses[i][0]] += losses[i][1]
        left = {t: 30.0 - x if x else (38.0 if t == "source" else 30.0) for t, x in lost.items()}
        return max(0.0, min(left.values()))

    orders = list(itertools.permutations(range(len(losses))))
    for event in range(len(losses)):
        marginal = [flow(order[: order.index(event)]) - flow(order[: order.index(event) + 1]) for order in orders]
        assert found.share[event, 0] == pytest.approx(sum(marginal) / len(orders), abs=1e-9)
