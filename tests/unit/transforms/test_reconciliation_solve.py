"""Balances, least squares and the tests for gross errors, on networks small enough to check by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import reconciliation_solve as solve
from pipelines.transforms.reconciliation_balance import Balances, Floats, balances, components
from pipelines.transforms.reconciliation_network import Arc

# Three meters in series at each of two stations, their lines into one receipt meter, tanks with export and stock change.
SERIES = [
    Arc(None, "a/1", "a-sep"),
    Arc("a/1", "a/2", "a-exp"),
    Arc("a/2", "a/out", "a-trk"),
    Arc(None, "b/1", "b-sep"),
    Arc("b/1", "b/2", "b-exp"),
    Arc("b/2", "b/out", "b-trk"),
    Arc("a/out", "t/in"),
    Arc("b/out", "t/in"),
    Arc("t/in", "t/tanks", "receipt"),
    Arc("t/tanks", None, "export"),
    Arc("t/tanks", None, "stock"),
]
TRUE = {
    **{f"a-{m}": 30_000.0 for m in ("sep", "exp", "trk")},
    **{f"b-{m}": 20_000.0 for m in ("sep", "exp", "trk")},
    "receipt": 50_000.0,
    "export": 40_000.0,
    "stock": 10_000.0,
}
FRACTIONS = {"sep": 0.01, "exp": 0.0025, "trk": 0.005, "receipt": 0.0025, "export": 0.002, "stock": 0.2}


def sigma_of(key: str) -> float:
    return FRACTIONS[key.split("-")[-1]] * TRUE[key]


def day(arcs: Sequence[Arc], measured: dict[str, float]) -> tuple[Balances, Floats, Floats, list[solve.Block]]:
    system = balances(arcs, set(measured))
    values = np.array([measured[k] for k in system.keys])
    sigmas = np.array([sigma_of(k) for k in system.keys])
    return system, values, sigmas, solve.blocks(system, values, sigmas)


def judged(history: Sequence[dict[str, float]]) -> dict[str, solve.Verdict]:
    """Verdicts on the last day of the history, over the window that ends with it."""
    days = [day(SERIES, measured)[3] for measured in history[-solve.WINDOW_DAYS :]]
    (today,), past = days[-1], days[-2::-1]
    bound = solve.critical(len(TRUE) * (len(past) + 1))
    return solve.verdicts(today, past, bound)


def removed(verdicts: dict[str, solve.Verdict]) -> set[str]:
    return {key for key, verdict in verdicts.items() if verdict.is_removed}


def test_estimate_of_a_splitter_then_the_imbalance_is_shared_by_variance() -> None:
    system = balances(
        [Arc(None, "n", "in"), Arc("n", None, "one"), Arc("n", None, "two")],
        {"in", "one", "two"},
    )
    assert system.keys == ("in", "one", "two")
    values, sigmas = np.array([100.0, 60.0, 45.0]), np.array([2.0, 1.0, 1.0])
    found = solve.estimate(system, values, sigmas, [])
    # r = −5, V = 4 + 1 + 1: the inlet takes 4/6 of it, each outlet 1/6.
    assert found.values == pytest.approx([100 + 20 / 6, 60 - 5 / 6, 45 - 5 / 6])
    assert found.sigmas == pytest.approx([math.sqrt(4 - 16 / 6), math.sqrt(1 - 1 / 6), math.sqrt(1 - 1 / 6)])
    (block,) = solve.blocks(system, values, sigmas)
    assert float(block.residuals @ block.residuals) == pytest.approx(25 / 6)


def test_balances_when_a_line_is_unmetered_then_its_ends_are_one_balance() -> None:
    system = balances(SERIES, set(TRUE))
    assert system.nodes == ("a/1", "a/2", "b/1", "b/2", "t/in", "t/tanks")
    assert system.spans[system.nodes.index("t/in")] == ("a/out", "b/out", "t/in")
    row = dict(zip(system.keys, system.matrix[system.nodes.index("t/in")], strict=True))
    assert {k: v for k, v in row.items() if v} == {"a-trk": 1.0, "b-trk": 1.0, "receipt": -1.0}


def test_balances_when_a_meter_is_missing_then_its_neighbours_are_joined() -> None:
    system = balances(SERIES, set(TRUE) - {"a-exp"})
    row = dict(zip(system.keys, system.matrix[system.nodes.index("a/2")], strict=True))
    assert {k: v for k, v in row.items() if v} == {"a-sep": 1.0, "a-trk": -1.0}


def test_balances_when_a_flow_outside_is_unmetered_then_its_node_has_none() -> None:
    assert "t/tanks" not in balances(SERIES, set(TRUE) - {"stock"}).nodes


def test_balances_when_a_flow_has_a_gain_then_what_arrives_is_less() -> None:
    arcs = [Arc(None, "in", "raw"), Arc("in", "out", "feed", 0.9), Arc("out", None, "sales")]
    whole = balances(arcs, {"raw", "feed", "sales"})
    assert whole.keys == ("feed", "raw", "sales")
    assert whole.matrix @ np.array([100.0, 100.0, 90.0]) == pytest.approx([0.0, 0.0])
    merged = balances(arcs, {"raw", "sales"})
    assert merged.nodes == ("out",)
    assert merged.matrix @ np.array([100.0, 90.0]) == pytest.approx([0.0])


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Arc], dict[str, float]]:
    """Stations with one to three meters in series and lines to one of two terminals, with flows that balance."""
    arcs: list[Arc] = []
    true: dict[str, float] = {}
    received = {"t0": 0.0, "t1": 0.0}
    for n in range(draw(st.integers(1, 5))):
        flow = draw(st.floats(10.0, 1e5))
        gain = draw(st.sampled_from([1.0, 1.0, 0.93]))
        count = draw(st.integers(1, 3))
        for m in range(count):
            tail = None if m == 0 else f"s{n}/{m}"
            arcs.append(Arc(tail, f"s{n}/{m + 1}", f"s{n}-{m}", gain if m == 0 else 1.0))
            true[f"s{n}-{m}"] = flow if m == 0 else flow * gain
        terminal = draw(st.sampled_from(["t0", "t1"]))
        arcs.append(Arc(f"s{n}/{count}", f"{terminal}/in"))
        received[terminal] += flow * gain
    for terminal, volume in received.items():
        if volume:
            arcs += [Arc(f"{terminal}/in", f"{terminal}/tanks", f"{terminal}-in")]
            arcs += [Arc(f"{terminal}/tanks", None, f"{terminal}-{out}") for out in ("out", "stock")]
            lifted = draw(st.floats(0.0, 2.0)) * volume
            true |= {f"{terminal}-in": volume, f"{terminal}-out": lifted, f"{terminal}-stock": volume - lifted}
    return arcs, true


@settings(max_examples=150, deadline=None)
@given(network=networks(), data=st.data())
def test_balances_of_any_part_of_the_meters_then_true_volumes_close_them(
    network: tuple[list[Arc], dict[str, float]], data: st.DataObject
) -> None:
    arcs, true = network
    known = data.draw(st.sets(st.sampled_from(sorted(true))))
    system = balances(arcs, known)
    values = np.array([true[k] for k in system.keys])
    assert np.abs(system.matrix @ values).max(initial=0.0) <= 1e-9 * max(true.values())
    assert sum(len(rows) for rows, _ in components(system.matrix)) == len(system.nodes)


@settings(max_examples=150, deadline=None)
@given(network=networks(), seed=st.integers(0, 2**32 - 1))
def test_estimate_of_any_network_then_it_closes_exactly_and_lies_nearer_to_the_truth(
    network: tuple[list[Arc], dict[str, float]], seed: int
) -> None:
    arcs, true = network
    system = balances(arcs, set(true))
    truth = np.array([true[k] for k in system.keys])
    sigmas = 0.01 * np.abs(truth) + 1.0
    values = truth + sigmas * np.random.default_rng(seed).standard_normal(len(truth))
    found = solve.estimate(system, values, sigmas, [])
    used = system.matrix.any(axis=0)
    assert np.abs(system.matrix[:, used] @ found.values[used]).max(initial=0.0) <= 1e-9 * np.abs(truth).max()
    assert np.isnan(found.values[~used]).all()
    # In units of σ the estimate is a projection of the measurement on a plane that holds the truth.
    before = np.linalg.norm(((values - truth) / sigmas)[used])
    after = np.linalg.norm(((found.values - truth) / sigmas)[used])
    assert after <= before * (1 + 1e-9)
    assert (found.sigmas[used] <= sigmas[used] * (1 + 1e-9)).all()


def test_estimate_when_a_meter_is_removed_then_its_value_comes_from_the_others() -> None:
    measured = TRUE | {"a-sep": 45_000.0}
    system, values, sigmas, _ = day(SERIES, measured)
    place = system.keys.index("a-sep")
    blind = solve.estimate(system, values, sigmas, [])
    found = solve.estimate(system, values, sigmas, [place])
    assert abs(blind.values[place] - 30_000) > 500
    assert found.values[place] == pytest.approx(30_000, rel=1e-4)
    assert np.abs(system.matrix @ found.values).max() < 1e-6


def test_verdicts_when_nothing_is_wrong_then_nothing_is_removed_and_series_are_observable() -> None:
    verdicts = judged([TRUE, TRUE, TRUE])
    assert removed(verdicts) == set()
    assert {k for k, v in verdicts.items() if not v.is_observable} == {"export", "stock"}


@pytest.mark.parametrize("meter", ["a-sep", "a-exp", "a-trk", "b-trk", "receipt"])
@pytest.mark.parametrize("factor", [1.06, 0.94])
def test_verdicts_when_one_meter_is_off_then_it_alone_is_removed_with_the_sign_of_its_error(
    meter: str, factor: float
) -> None:
    verdicts = judged([TRUE, TRUE, TRUE | {meter: factor * TRUE[meter]}])
    assert removed(verdicts) == {meter}
    assert math.copysign(1.0, verdicts[meter].statistic) == math.copysign(1.0, factor - 1.0)


def test_verdicts_when_two_meters_are_off_then_both_are_removed() -> None:
    off = TRUE | {"a-sep": 1.06 * TRUE["a-sep"], "b-trk": 0.95 * TRUE["b-trk"]}
    assert removed(judged([off])) == {"a-sep", "b-trk"}


def test_verdicts_when_a_bias_is_small_then_three_days_show_what_one_does_not() -> None:
    off = TRUE | {"a-sep": 1.027 * TRUE["a-sep"]}
    assert removed(judged([TRUE, TRUE, off])) == set()
    verdicts = judged([off, off, off])
    assert removed(verdicts) == {"a-sep"}
    assert verdicts["a-sep"].days == 3


def test_verdicts_when_a_bias_has_ended_then_it_is_flagged_no_more_and_nothing_in_its_place() -> None:
    off = TRUE | {"a-exp": 1.05 * TRUE["a-exp"]}
    verdicts = judged([off, off, TRUE])
    assert removed(verdicts) == set()
    assert not any(v.is_suspect for v in verdicts.values())


def test_verdicts_when_tanks_do_not_close_then_the_receipt_meter_is_not_blamed() -> None:
    verdicts = judged([TRUE | {"export": 70_000.0}])
    assert {k for k, v in verdicts.items() if v.is_removed} == {"export", "stock"}
    assert not verdicts["export"].is_observable


def test_verdicts_when_two_meters_only_compare_with_each_other_then_neither_is_observable() -> None:
    arcs = [Arc(None, "n", "a-sep"), Arc("n", None, "a-exp")]
    _, _, _, (block,) = day(arcs, {"a-sep": 33_000.0, "a-exp": 30_000.0})
    verdicts = solve.verdicts(block, [], solve.critical(1))
    assert [v.is_observable for v in verdicts.values()] == [False, False]


@pytest.mark.parametrize(
    ("statistic", "degrees", "probability"),
    [
        (3.841458821, 1, 0.05),
        (5.991464547, 2, 0.05),
        (7.814727903, 3, 0.05),
        (31.41043284, 20, 0.05),
        (6.63489660, 1, 0.01),
    ],
)
def test_chi_square_tail_then_the_tabulated_probability(statistic: float, degrees: int, probability: float) -> None:
    assert solve.chi_square_tail(statistic, degrees) == pytest.approx(probability, rel=1e-6)


def test_chi_square_tail_when_the_statistic_is_huge_then_zero_and_no_overflow() -> None:
    assert solve.chi_square_tail(1e6, 41) == 0.0
    assert solve.chi_square_tail(0.0, 3) == 1.0


def test_bounds_then_the_documented_levels() -> None:
    assert solve.critical(1) == pytest.approx(1.959964, abs=1e-6)
    assert solve.critical(1, solve.SUSPECT_LEVEL) == pytest.approx(2.575829, abs=1e-6)
    assert solve.critical(69) == pytest.approx(3.37, abs=0.01)
    assert (solve.WINDOW_DAYS, solve.LEVEL, solve.OWN_DAY) == (3, 0.05, 1.0)
