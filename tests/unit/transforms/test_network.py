"""Graphs from rows, the proof of the cut, and a parent's capacity, on networks known by hand."""

from __future__ import annotations

import math

import pytest

from pipelines.transforms.network import (
    Edge,
    EdgeRow,
    ExternalRow,
    FacilityRow,
    Graph,
    Meter,
    NetworkError,
    Node,
    Source,
    build_gas_graph,
    build_oil_graph,
    make_graph,
)
from pipelines.transforms.network_cut import verify_cut
from pipelines.transforms.network_fair import FairSolver, fair_flow
from pipelines.transforms.network_flow import NetworkCapacity, max_flow_capacity

CAPACITIES = {"fs-a1": 60.0, "fs-a2": 40.0, "fs-b": 50.0, "fs-s": 30.0, "fs-o1": 45.0, "fs-o2": 35.0, "fs-w": 40.0}
EAST = ["fs-a1", "fs-a2", "fs-b", "fs-s"]


def company_oil() -> Graph:
    """The sandbox's oil: stations of 180 behind lines of 120 + 30 in the east, of 120 behind 110 in the west."""
    facilities = [
        FacilityRow(f, "flowstation", {"oil": 0.7 * c}, {"oil": c}, frozenset({"oil"})) for f, c in CAPACITIES.items()
    ]
    facilities += [FacilityRow("tm-e", "terminal"), FacilityRow("tm-w", "terminal")]
    junctions = [ExternalRow("trunk-e", "junction", "oil"), ExternalRow("trunk-w", "junction", "oil")]
    edges = [
        EdgeRow(f, "tm-e" if f == "fs-s" else "trunk-e" if f in EAST else "trunk-w", "oil", "netOil", None, True)
        for f in CAPACITIES
        if f != "fs-s"
    ]
    edges += [
        EdgeRow("fs-s", "tm-e", "oil", "netOil", 30.0, True),
        EdgeRow("trunk-e", "tm-e", "oil", "crude", 120.0),
        EdgeRow("trunk-w", "tm-w", "oil", "crude", 110.0),
    ]
    return build_oil_graph(facilities, junctions, edges)


def raw(from_id: str, to_id: str, capacity: float | None = None) -> list[EdgeRow]:
    return [EdgeRow(from_id, to_id, n, "rawGas", capacity) for n in ("domesticGas", "exportGas")]


def plant(name: str = "gp", **potentials: float) -> FacilityRow:
    return FacilityRow(name, "gas-plant", potentials, {}, frozenset(potentials), shrinkage_fraction=0.1)


# --- building ----------------------------------------------------------------------------------------


def test_oil_graph_when_a_terminal_leads_nowhere_then_flow_ends_there() -> None:
    graph = company_oil()
    assert {n.node_id for n in graph.nodes if n.is_sink} == {"tm-e", "tm-w"}
    assert [m.key for m in graph.meters] == [(f, "oil") for f in sorted(CAPACITIES)]
    assert verify_cut(graph) == []


def test_oil_graph_when_a_facility_has_no_edges_then_is_its_own_sink() -> None:
    graph = build_oil_graph([FacilityRow("plat", "flowstation", {"oil": 5.0}, {}, frozenset({"oil"}))], [], [])
    assert verify_cut(graph) == []
    assert fair_flow(graph).flows == {("plat", "oil"): 5.0}


def test_gas_graph_when_raw_gas_stands_for_both_networks_then_is_one_line() -> None:
    graph = build_gas_graph(
        [FacilityRow("cs", "compressor-station"), plant(domesticGas=9.0, exportGas=9.0)],
        [ExternalRow("nag", "source", "domesticGas", 5.0)],
        [*raw("nag", "cs"), *raw("cs", "gp", 4.0)],
    )
    assert [(e.edge_id, e.capacity) for e in graph.edges if not e.on_cut] == [("cs:gp", 4.0), ("nag:cs", math.inf)]
    assert sum(fair_flow(graph).flows.values()) == pytest.approx(4.0 * 0.9)


def test_gas_graph_when_raw_gas_rows_disagree_then_refused() -> None:
    rows = raw("nag", "gp", 4.0)
    with pytest.raises(NetworkError, match="it is one line"):
        build_gas_graph([plant(domesticGas=9.0)], [], [rows[0], EdgeRow("nag", "gp", "exportGas", "rawGas", 5.0)])
    with pytest.raises(NetworkError, match="stands twice"):
        build_gas_graph([plant(domesticGas=9.0)], [], [rows[0], rows[0]])


def test_associated_gas_when_flare_exceeds_it_then_is_zero() -> None:
    station = FacilityRow("fs", "flowstation", {"oil": 10.0}, {}, frozenset({"oil"}), 100.0, 0.1, 100.0)
    edges = raw("fs", "gp")
    graph = build_gas_graph([station, plant(domesticGas=9e9)], [], edges)
    assert graph.sources == (Source("fs", "fs", 10.0 * 100 * 0.9 - 100, gas_per_oil=90.0),)
    wasteful = FacilityRow("fs", "flowstation", {"oil": 10.0}, {}, frozenset({"oil"}), 100.0, 0.1, 1e6)
    assert build_gas_graph([wasteful, plant(domesticGas=9e9)], [], edges).sources[0].rate == 0.0


def test_plant_when_nothing_feeds_it_then_its_potential_alone_limits_it() -> None:
    graph = build_gas_graph([plant(domesticGas=70.0)], [], [])
    assert verify_cut(graph) == []
    assert fair_flow(graph).flows == pytest.approx({("gp", "domesticGas"): 70.0})
    assert max_flow_capacity(graph, ["gp"]) == NetworkCapacity(None, ())


def test_lines_when_two_share_their_ends_then_keep_apart() -> None:
    graph = build_oil_graph(
        [FacilityRow("fs", "flowstation", {"oil": 90.0}, {}, frozenset({"oil"})), FacilityRow("tm", "terminal")],
        [],
        [EdgeRow("fs", "tm", "oil", "old", 20.0), EdgeRow("fs", "tm", "oil", "new", 30.0)],
    )
    assert [e.edge_id for e in graph.edges] == ["fs:tm:oil:new", "fs:tm:oil:old"]
    solution = fair_flow(graph)
    assert solution.flows == {("fs", "oil"): 50.0}
    assert solution.frozen_by == {("fs", "oil"): ("edge", "fs:tm:oil:new")}


def test_graph_when_rows_have_faults_then_all_are_named_at_once() -> None:
    with pytest.raises(NetworkError) as caught:
        make_graph(
            "oil",
            [Source("fs", "fs", -1.0, on_cut=True), Source("x", "nowhere", 1.0)],
            [Node("fs"), Node("fs"), Node("gp", -2.0, 1.5)],
            [Edge("e", "fs", "tm", math.nan)],
            [Meter("fs", "oil", math.inf), Meter("other", "oil", 1.0), Meter("gp", "oil", 1.0, edge_ids=("e",))],
        )
    for part in ("node fs stands twice", "nowhere", "rate -1.0", "yield 1.5", "unknown node tm", "capacity nan"):
        assert part in str(caught.value)
    for part in ("capacity -2.0", "potential inf", "meter other/oil", "no outlet line of it"):
        assert part in str(caught.value)


def test_available_when_element_is_unknown_then_refused_by_name() -> None:
    with pytest.raises(NetworkError, match="edge nothing"):
        fair_flow(company_oil(), {("edge", "nothing"): 1.0})


# --- the cut -----------------------------------------------------------------------------------------


def test_cut_when_a_source_passes_no_meter_then_the_path_is_named() -> None:
    graph = build_gas_graph(
        [plant(domesticGas=9.0)],
        [ExternalRow("nag", "source", "domesticGas", 5.0), ExternalRow("market", "market", "domesticGas")],
        [*raw("nag", "gp"), *raw("nag", "market"), EdgeRow("gp", "market", "domesticGas", "salesGas", None, True)],
    )
    (fault,) = verify_cut(graph)
    assert (fault.path, fault.crossings) == (("nag", "market"), 0)
    assert str(fault) == "gas: nag → market crosses no meter of the counting cut"


def test_cut_when_a_plant_feeds_another_through_its_outlet_then_both_meters_are_named() -> None:
    graph = build_gas_graph(
        [plant("gp-1", domesticGas=9.0), plant("gp-2", domesticGas=9.0)],
        [ExternalRow("nag", "source", "domesticGas", 5.0), ExternalRow("market", "market", "domesticGas")],
        [
            *raw("nag", "gp-1"),
            EdgeRow("gp-1", "gp-2", "domesticGas", "salesGas", None, True),
            EdgeRow("gp-2", "market", "domesticGas", "salesGas", None, True),
        ],
    )
    (fault,) = verify_cut(graph)
    assert fault.path == ("nag", "gp-1", "gp-2", "market")
    assert fault.meters == (("gp-1", "domesticGas"), ("gp-2", "domesticGas"))
    assert "more than once, at gp-1/domesticGas, gp-2/domesticGas" in str(fault)
    with pytest.raises(NetworkError, match="gp-2"):
        FairSolver(graph)


@pytest.mark.parametrize(("second_on_cut", "faults"), [(False, 0), (True, 1)])
def test_cut_when_oil_passes_another_station_then_only_own_oil_may_be_metered(second_on_cut: bool, faults: int) -> None:
    graph = build_oil_graph(
        [FacilityRow(f, "flowstation", {"oil": 5.0}, {}, frozenset({"oil"})) for f in ("fs-1", "fs-2")],
        [ExternalRow("export", "export", "oil")],
        [EdgeRow("fs-1", "fs-2", "oil", "", None, True), EdgeRow("fs-2", "export", "oil", "", None, second_on_cut)],
    )
    found = verify_cut(graph)
    assert len(found) == faults
    assert all(f.path == ("fs-1", "fs-2", "export") for f in found)


def test_cut_when_a_flowstation_does_not_count_then_its_way_is_a_fault() -> None:
    graph = build_oil_graph([FacilityRow("fs", "flowstation", {"oil": 5.0})], [], [])
    assert [(f.path, f.crossings) for f in verify_cut(graph)] == [(("fs",), 0)]


# --- capacity ----------------------------------------------------------------------------------------


def test_capacity_when_trunk_lines_bind_then_is_the_max_flow_and_not_the_sum() -> None:
    graph = company_oil()
    assert max_flow_capacity(graph, EAST) == NetworkCapacity(150.0, (("edge", "fs-s:tm-e"), ("edge", "trunk-e:tm-e")))
    whole = max_flow_capacity(graph, CAPACITIES)
    assert whole.rate == 260.0
    assert whole.bottlenecks == (("edge", "fs-s:tm-e"), ("edge", "trunk-e:tm-e"), ("edge", "trunk-w:tm-w"))
    assert max_flow_capacity(graph, ["fs-a1", "fs-a2"]) == NetworkCapacity(
        100.0, (("node", "fs-a1"), ("node", "fs-a2"))
    )


def test_capacity_when_nothing_counts_then_is_zero() -> None:
    assert max_flow_capacity(company_oil(), ["tm-e"]) == NetworkCapacity(0.0, ())


def test_gas_capacity_when_one_network_is_asked_then_the_other_stands_still() -> None:
    gp = FacilityRow(
        "gp",
        "gas-plant",
        {"domesticGas": 1.0, "exportGas": 1.0},
        {"domesticGas": 150.0, "exportGas": 240.0},
        frozenset({"domesticGas", "exportGas"}),
        shrinkage_fraction=0.25,
    )
    graph = build_gas_graph([gp], [ExternalRow("nag", "source", "domesticGas", 1.0)], raw("nag", "gp", 400.0))
    assert max_flow_capacity(graph, ["gp"], ["domesticGas"]) == NetworkCapacity(150.0, (("outlet", "gp:domesticGas"),))
    assert max_flow_capacity(graph, ["gp"]) == NetworkCapacity(pytest.approx(300.0), (("edge", "nag:gp"),))


def test_gas_capacity_when_yields_differ_then_the_better_plant_is_filled_first() -> None:
    rows = [
        FacilityRow(f, "gas-plant", {"domesticGas": 1.0}, {"domesticGas": 60.0}, frozenset({"domesticGas"}), 0, 0, 0, s)
        for f, s in (("gp-1", 0.5), ("gp-2", 0.2))
    ]
    graph = build_gas_graph(
        rows,
        [ExternalRow("nag", "source", "domesticGas", 1.0), ExternalRow("j", "junction", "domesticGas")],
        [*raw("nag", "j", 100.0), *raw("j", "gp-1"), *raw("j", "gp-2")],
    )
    assert max_flow_capacity(graph, ["gp-1", "gp-2"]).rate == pytest.approx(60.0 + 25.0 * 0.5)


# --- the fair flow ------------------------------------------------------------------------------------


def test_fair_flow_when_a_meter_is_held_alone_then_the_others_take_the_rest() -> None:
    graph = build_oil_graph(
        [
            FacilityRow("fs-1", "flowstation", {"oil": 60.0}, {"oil": 10.0}, frozenset({"oil"})),
            FacilityRow("fs-2", "flowstation", {"oil": 40.0}, {}, frozenset({"oil"})),
            FacilityRow("fs-3", "flowstation", {"oil": 20.0}, {}, frozenset({"oil"})),
            FacilityRow("tm", "terminal", {}, {"oil": 55.0}),
        ],
        [],
        [EdgeRow(f"fs-{i}", "tm", "oil") for i in (1, 2, 3)],
    )
    solution = fair_flow(graph)
    assert solution.flows == pytest.approx({("fs-1", "oil"): 10.0, ("fs-2", "oil"): 30.0, ("fs-3", "oil"): 15.0})
    assert solution.frozen_by == {
        ("fs-1", "oil"): ("node", "fs-1"),
        ("fs-2", "oil"): ("node", "tm"),
        ("fs-3", "oil"): ("node", "tm"),
    }


def test_fair_flow_when_feed_and_sales_lines_cross_then_the_maximum_comes_before_fairness() -> None:
    """a + b ≤ 1 at the first plant, b + c ≤ 1 on the shared line: fairness alone would stop at 1.5 of 2."""
    graph = make_graph(
        "gas",
        [Source("s-1", "gp-1", 1.0), Source("s-2", "gp-2", 9.0)],
        [Node("gp-1"), Node("gp-2"), Node("pipe", 1.0), Node("market", is_sink=True), Node("lng", is_sink=True)],
        [
            Edge("a", "gp-1", "lng", network="exportGas", on_cut=True),
            Edge("b", "gp-1", "pipe", network="domesticGas", on_cut=True),
            Edge("c", "gp-2", "pipe", network="domesticGas", on_cut=True),
            Edge("p", "pipe", "market", network="domesticGas"),
        ],
        [
            Meter("gp-1", "exportGas", 1.0, edge_ids=("a",)),
            Meter("gp-1", "domesticGas", 1.0, edge_ids=("b",)),
            Meter("gp-2", "domesticGas", 1.0, edge_ids=("c",)),
        ],
    )
    flows = fair_flow(graph).flows
    assert sum(flows.values()) == pytest.approx(2.0)
    assert flows["gp-1", "exportGas"] == pytest.approx(1.0)
    assert flows["gp-1", "domesticGas"] == pytest.approx(0.0, abs=1e-12)
    assert flows["gp-2", "domesticGas"] == pytest.approx(1.0)


def test_routing_when_supply_is_in_surplus_then_ties_go_by_edge_id() -> None:
    rows = [plant(domesticGas=90.0)]
    externals = [ExternalRow(n, "source", "domesticGas", 80.0) for n in ("nag-2", "nag-1")]
    edges = [*raw("nag-2", "gp"), *raw("nag-1", "gp")]
    for order in (edges, edges[::-1]):
        solver = FairSolver(build_gas_graph(rows, externals, order))
        through = solver.through(solver.undisturbed())
        rates = {e: through[i] for e, i in solver.index.items()}
        assert rates["source", "nag-1"] == pytest.approx(80.0)
        assert rates["source", "nag-2"] == pytest.approx(20.0)
        assert rates["node", "gp"] == pytest.approx(90.0)


def test_fair_flow_when_one_outlet_must_stand_still_then_the_others_still_share() -> None:
    """Feed 1 and 2, domestic line 1, export line 2: only (0, 1, 1, 1) carries all 3."""
    feeds = {"gp-0": 1.0, "gp-1": 2.0}
    networks = {"domesticGas": 1.0, "exportGas": 2.0}
    potentials = {"gp-0": {"domesticGas": 1.0, "exportGas": 1.0}, "gp-1": {"domesticGas": 2.0, "exportGas": 1.0}}
    graph = make_graph(
        "gas",
        [Source("src", "src", 3.0)],
        [Node("src"), *map(Node, feeds), *(Node(n, c, is_sink=True) for n, c in networks.items())],
        [
            *(Edge(f"src:{p}", "src", p, c, "domesticGas") for p, c in feeds.items()),
            *(Edge(f"{p}:{n}", p, n, network=n, on_cut=True) for p in feeds for n in networks),
        ],
        [Meter(p, n, potentials[p][n], edge_ids=(f"{p}:{n}",)) for p in feeds for n in networks],
    )
    flows = fair_flow(graph).flows
    assert list(flows.values()) == pytest.approx([0.0, 1.0, 1.0, 1.0], abs=1e-12)


def test_through_when_supply_exceeds_need_then_lines_give_in_the_order_of_their_ids() -> None:
    # Three stations of 40 feed one plant that needs 90 by lines a, b, c: the last line by id is turned down to 10,
    # although it is as short as the others; a longer way with a lower id still goes first.
    facilities = [
        FacilityRow(
            facility_id="plant",
            facility_type="gas-plant",
            potentials={"domesticGas": 90.0},
            counts_in_roll_up=frozenset({"domesticGas"}),
        ),
        FacilityRow(facility_id="a-booster", facility_type="compressor-station"),
    ]
    externals = [
        *(ExternalRow(external_id=name, kind="source", network="domesticGas", rate=40.0) for name in ("a", "b", "c")),
        ExternalRow(external_id="market", kind="market", network="domesticGas"),
    ]
    edges = [
        EdgeRow(from_id="a", to_id="a-booster", network="domesticGas", stream="rawGas"),
        EdgeRow(from_id="a-booster", to_id="plant", network="domesticGas", stream="rawGas"),
        EdgeRow(from_id="b", to_id="plant", network="domesticGas", stream="rawGas"),
        EdgeRow(from_id="c", to_id="plant", network="domesticGas", stream="rawGas"),
        EdgeRow(from_id="plant", to_id="market", network="domesticGas", stream="salesGas", on_cut=True),
    ]
    solver = FairSolver(build_gas_graph(facilities, externals, edges))
    through = solver.through(solver.undisturbed())
    assert [through[solver.index["source", name]] for name in ("a", "b", "c")] == pytest.approx([40.0, 40.0, 10.0])
