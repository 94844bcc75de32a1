"""Gap drivers from frames: the worked case, closure, constraints, associated gas, facilities of their own."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import site_tables as t
from pipelines.transforms.drivers import DailyDrivers, daily_drivers
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.roll_up import daily_production
from pipelines.transforms.roll_up_capacity import parent_capacities
from warehouse.catalog.core import CoreCapacity, CoreDailyEvent, CoreDailyPotential, CoreDailyProduction, CoreTarget
from warehouse.catalog.out import OutDailyEvent, OutDailyGapDriver

DAY = date(2026, 11, 20)
START = date(2020, 1, 1)
FROM, TO = datetime(2026, 11, 20, 5, tzinfo=UTC), datetime(2026, 11, 21, 5, tzinfo=UTC)


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields} | ({"valid_from": START} if "valid_from" in schema else {})
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


def loss(event_id: str, rate: float | None, **other: Any) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "event_id": event_id,
        "phase": "oil",
        "facility_id": "fs-bomiri",
        "target_kind": "source",
        "target_id": "fs-bomiri",
        "started_at_utc": FROM,
        "ended_at_utc": TO,
        "from_utc": FROM,
        "to_utc": TO,
        "hours": 24.0,
        "is_uniform": False,
        "loss_rate": rate,
        "choke": "wells",
        "is_planned": False,
        "is_third_party": False,
        "is_open": False,
        "source": "ec",
        "confidence": 0.9,
    } | other


class Field:
    """An operator in memory: facilities with type, lines, and rates of one day."""

    def __init__(
        self, *facilities: tuple[str, str], edges: list[tuple[Any, ...]] | None = None, gor: float = 0.0
    ) -> None:
        self.facilities = table(
            t.FACILITIES,
            *(
                {
                    "facility_id": f,
                    "name": f.upper(),
                    "facility_type": kind,
                    "hub_id": "hub-a",
                    "asset_id": "east",
                    "gor_scf_per_bbl": gor if kind == "flowstation" else None,
                }
                for f, kind in facilities
            ),
        )
        self.edges = table(
            t.EDGES,
            *(
                dict(zip(("from_id", "to_id", "network", "stream", "capacity", "on_cut"), edge, strict=True))
                for edge in edges or []
            ),
        )
        ends = {"market": ("market", "domesticGas")}
        self.externals = table(
            t.EXTERNALS,
            *({"external_id": x, "name": x, "kind": k, "network": n} for x, (k, n) in ends.items()),
        )
        self.production: list[dict[str, Any]] = []
        self.potential: list[dict[str, Any]] = []
        self.capacity: list[dict[str, Any]] = []
        self.networks: list[dict[str, Any]] = []

    def meter(
        self, facility_id: str, network: str, p: float | None, q: float | None, c: float | None = None
    ) -> "Field":
        place = {"production_date": DAY, "facility_id": facility_id, "network": network}
        self.networks.append(
            {"facility_id": facility_id, "network": network, "is_applicable": True, "counts_in_roll_up": True}
        )
        quality = "missing" if q is None else "good"
        self.production.append(
            place | {"volume": q, "day_hours": 24.0, "quality": quality, "coverage": float(q is not None)}
        )
        if p is not None:
            self.potential.append(place | {"potential": p, "basis": "ec", "quality": "good"})
        if c is not None:
            self.capacity.append(
                {"facility_id": facility_id, "network": network, "valid_from": START, "capacity": c, "source": "ec"}
            )
        return self

    def drivers(self, *events: dict[str, Any]) -> DailyDrivers:
        days = ProductionCalendar("Africa/Lagos", "06:00").frame([DAY], self.facilities["facility_id"].to_list())
        networks = table(t.FACILITY_NETWORKS, *self.networks)
        capacities = rows_of(CoreCapacity, *self.capacity)
        reference = {"facilities": self.facilities, "facility_networks": networks}
        parents = parent_capacities(
            labels=[DAY], **reference, edges=self.edges, externals=self.externals, capacities=capacities
        )
        production = daily_production(
            labels=[DAY],
            days=days,
            **reference,
            production=rows_of(CoreDailyProduction, *self.production),
            potential=rows_of(CoreDailyPotential, *self.potential),
            targets=rows_of(CoreTarget),
            capacities=capacities,
            parent_capacities=parents,
        )
        found = daily_drivers(
            labels=[DAY],
            days=days,
            events=rows_of(CoreDailyEvent, *events),
            production=production,
            capacities=capacities,
            **reference,
            edges=self.edges,
            externals=self.externals,
        )
        OutDailyGapDriver.validate(found.drivers)
        OutDailyEvent.validate(found.events)
        totals = found.drivers.group_by("facility_id", "network").agg(pl.col("volume").sum())
        cut = production.filter(
            pl.col("node_level") == "facility", pl.col("counts_in_roll_up"), pl.col("network") != "flaredGas"
        ).filter(pl.col("deferment_volume").is_not_null())
        joined = cut.join(totals, left_on=["node_id", "network"], right_on=["facility_id", "network"], how="left")
        assert joined["volume"].to_list() == pytest.approx(joined["deferment_volume"].to_list(), rel=1e-9, abs=1e-9)
        return found


def by_event(found: DailyDrivers, network: str = "oil") -> dict[str, dict[str, Any]]:
    return {r["event_id"]: r for r in found.drivers.filter(pl.col("network") == network).iter_rows(named=True)}


def bomiri() -> Field:
    return Field(("fs-bomiri", "flowstation")).meter("fs-bomiri", "oil", 38_000.0, 21_700.0, 50_000.0)


def test_daily_drivers_when_the_worked_case_then_its_shares_and_its_residual() -> None:
    plant = loss("ec:1", 14_000.0, target_kind="node", choke="plant", reason_code="PLT.COMP.TRIP", is_open=True)
    found = by_event(bomiri().drivers(plant, loss("ec:2", 4200.0)))
    assert {k: r["volume"] for k, r in found.items()} == pytest.approx(
        {"ec:1": 11_900.0, "ec:2": 2100.0, "unattributed": 2300.0}
    )
    assert (found["ec:1"]["volume_if_alone"], found["ec:2"]["volume_if_alone"]) == pytest.approx((14_000.0, 4200.0))
    assert (found["ec:1"]["gain_if_fixed"], found["ec:2"]["gain_if_fixed"]) == pytest.approx((9800.0, 0.0))
    assert (found["ec:1"]["choke"], found["ec:1"]["reason_code"]) == ("plant", "PLT.COMP.TRIP")


def test_daily_drivers_when_a_residual_then_nothing_but_key_places_and_volume() -> None:
    row = by_event(bomiri().drivers())["unattributed"]
    assert (row["volume"], row["source"], row["hub_id"]) == (16_300.0, "residual", "hub-a")
    assert all(row[n] is None for n in ("cause_node_id", "choke", "hours", "confidence", "is_planned"))


def test_daily_drivers_when_events_over_book_then_the_residual_is_negative() -> None:
    assert by_event(bomiri().drivers(loss("ec:1", 20_000.0)))["unattributed"]["volume"] == pytest.approx(-3700.0)


def test_daily_drivers_when_nothing_is_deferred_then_a_residual_of_zero_stands() -> None:
    field = Field(("fs-bomiri", "flowstation")).meter("fs-bomiri", "oil", 38_000.0, 38_000.0)
    assert by_event(field.drivers())["unattributed"]["volume"] == 0.0


def test_daily_drivers_when_the_deferment_is_unknown_then_no_residual_and_no_share() -> None:
    field = Field(("fs-bomiri", "flowstation")).meter("fs-bomiri", "oil", 38_000.0, None)
    found = by_event(field.drivers(loss("ec:1", 1000.0)))
    assert found.keys() == {"ec:1"}
    assert (found["ec:1"]["volume"], found["ec:1"]["volume_if_alone"]) == (0.0, pytest.approx(1000.0))


def test_daily_drivers_when_wells_then_plant_are_down_half_a_day_each_then_segments_add() -> None:
    noon = FROM + timedelta(hours=12)
    half = {"from_utc": noon, "started_at_utc": noon}, {"to_utc": noon, "ended_at_utc": noon}
    field = Field(("fs-bomiri", "flowstation")).meter("fs-bomiri", "oil", 24_000.0, 0.0)
    found = by_event(field.drivers(loss("ec:1", None, **half[1]), loss("ec:2", None, target_kind="node", **half[0])))
    assert {k: r["volume"] for k, r in found.items()} == pytest.approx(
        {"ec:1": 12_000.0, "ec:2": 12_000.0, "unattributed": 0.0}
    )


def test_daily_drivers_when_an_event_is_open_and_began_before_then_the_whole_day_counts() -> None:
    early = {"started_at_utc": FROM - timedelta(days=9), "ended_at_utc": None, "is_open": True}
    found = bomiri().drivers(loss("ec:1", 5000.0, **early))
    assert by_event(found)["ec:1"]["volume"] == pytest.approx(5000.0)
    assert found.events.row(0, named=True)["is_open"] is True


def test_daily_drivers_when_hours_have_no_clock_time_then_the_derate_keeps_its_hours() -> None:
    found = by_event(bomiri().drivers(loss("ech:w:2026-11-20", 3000.0, is_uniform=True, hours=6.0, source="ech")))
    row = found["ech:w:2026-11-20"]
    assert (row["volume_if_alone"], row["hours"]) == (pytest.approx(3000.0), 6.0)


def test_daily_drivers_when_a_trunk_line_is_too_small_then_a_constraint_of_that_line() -> None:
    lines = [(f, "jn", "oil", "netOil", None, True) for f in ("f1", "f2")]
    field = Field(("f1", "flowstation"), ("f2", "flowstation"), ("jn", "terminal"), ("tm", "terminal"),
                  edges=[*lines, ("jn", "tm", "oil", "netOil", 80.0, False)])  # fmt: skip
    field.meter("f1", "oil", 60.0, 48.0).meter("f2", "oil", 40.0, 32.0)
    found = field.drivers()
    shares = found.drivers.filter(pl.col("source") == "constraint").sort("facility_id")
    assert shares["event_id"].unique().to_list() == ["constraint:jn~tm~oil"]
    assert shares["volume"].to_list() == pytest.approx([12.0, 8.0])
    event = found.events.row(0, named=True)
    assert (event["target_kind"], event["title"], event["hours"]) == ("edge", "Capacity of JN to TM", 24.0)


def gas_field() -> Field:
    raw = [("fs-bomiri", "gp", n, "rawGas", None, False) for n in ("domesticGas", "exportGas")]
    field = Field(("fs-bomiri", "flowstation"), ("gp", "gas-plant"), gor=1000.0,
                  edges=[*raw, ("gp", "market", "domesticGas", "salesGas", None, True)])  # fmt: skip
    return field.meter("fs-bomiri", "oil", 38_000.0, 24_000.0).meter("gp", "domesticGas", 38e6, 24e6)


@pytest.mark.parametrize("kind", ["source", "node"])
def test_daily_drivers_when_a_station_loses_oil_then_its_gas_is_lost_at_the_plant_with_its_words(kind: str) -> None:
    row = by_event(gas_field().drivers(loss("ec:1", 14_000.0, target_kind=kind)), "domesticGas")["ec:1"]
    assert (row["facility_id"], row["volume"]) == ("gp", pytest.approx(14e6))
    assert (row["cause_node_id"], row["choke"]) == ("fs-bomiri", "wells")


def test_daily_drivers_when_a_gas_loss_was_entered_then_it_goes_before_the_gas_oil_ratio() -> None:
    found = by_event(gas_field().drivers(loss("ec:1", 14_000.0), loss("ec:1", 2e6, phase="gas")), "domesticGas")
    assert found["ec:1"]["volume"] == pytest.approx(2e6)


def test_daily_drivers_when_either_row_of_a_shared_gas_line_is_named_then_it_is_the_same_line() -> None:
    edge = {"phase": "gas", "target_kind": "edge", "choke": "export"}
    found = [
        by_event(gas_field().drivers(loss("ec:1", 5e6, **edge, target_id=f"fs-bomiri~gp~{n}")), "domesticGas")["ec:1"]
        for n in ("domesticGas", "exportGas")
    ]
    assert found[0]["volume"] == found[1]["volume"] == pytest.approx(5e6)


def test_daily_drivers_when_a_facility_stands_alone_then_its_gas_is_a_source_of_its_own() -> None:
    field = Field(("fs-bomiri", "flowstation"), gor=900.0)
    field.meter("fs-bomiri", "oil", 100.0, 90.0).meter("fs-bomiri", "exportGas", 5e6, 4e6)
    found = by_event(field.drivers(loss("ec:1", 10.0), loss("ec:1", 5e5, phase="gas")), "exportGas")
    assert {k: r["volume"] for k, r in found.items()} == pytest.approx({"ec:1": 5e5, "unattributed": 5e5})


def test_daily_drivers_when_remaining_rates_of_one_equipment_overlap_then_the_lowest_counts_once() -> None:
    field = Field(("gp", "gas-plant")).meter("gp", "domesticGas", 100.0, 50.0)
    outlook = {"phase": "gas", "facility_id": "gp", "target_kind": "node", "target_id": "gp", "equipment_id": "train"}
    found = by_event(
        field.drivers(
            loss("ec:1", None, remaining_rate=70.0, **outlook), loss("ec:2", None, remaining_rate=60.0, **outlook)
        ),
        "domesticGas",
    )
    assert found["ec:1"]["volume"] + found["ec:2"]["volume"] == pytest.approx(40.0)
    assert found["unattributed"]["volume"] == pytest.approx(10.0)


def test_daily_drivers_when_a_target_is_nowhere_then_the_event_is_reported_unplaced() -> None:
    found = bomiri().drivers(loss("ec:1", 5.0, target_id="elsewhere"))
    assert found.unplaced.rows() == [(DAY, "ec:1")]
    assert found.events["event_id"].to_list() == ["ec:1"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["source", "node"]),
            st.one_of(st.none(), st.floats(0.0, 4e4)),
            st.integers(0, 12),
            st.integers(1, 12),
        ),
        max_size=5,
    ),
    st.floats(0.0, 5e4),
)
def test_daily_drivers_when_any_events_then_every_network_closes(
    entries: list[tuple[str, float | None, int, int]], q: float
) -> None:
    field = Field(("fs-bomiri", "flowstation")).meter("fs-bomiri", "oil", 38_000.0, q, 30_000.0)
    events = []
    for i, (kind, rate, start, length) in enumerate(entries):
        span = FROM + timedelta(hours=start), FROM + timedelta(hours=start + length)
        times = {"started_at_utc": span[0], "from_utc": span[0], "ended_at_utc": span[1], "to_utc": span[1]}
        events.append(loss(f"ec:{i}", rate, target_kind=kind, hours=float(length), **times))
    found = field.drivers(*events)
    volumes = found.drivers["volume"].to_list()
    assert sum(volumes) == pytest.approx(max(0.0, 38_000.0 - q), abs=1e-6)
    assert found.drivers.filter(pl.col("event_id") == "unattributed").height == 1
