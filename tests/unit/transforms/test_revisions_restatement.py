"""Restatements: what changed, by how much, and because of which fact; nothing else."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.revisions import VERSION_SCHEMA
from pipelines.transforms.revisions_restatement import (
    DRIVERS,
    EVENTS,
    KPIS,
    PRODUCTIONS,
    TERMINALS,
    Known,
    restatements,
)
from pipelines.transforms.roll_up import parent_rows
from warehouse.catalog.core import CoreDailyEvent
from warehouse.catalog.out import OutDailyGapDriver, OutDailyProduction, OutDailyTerminal
from warehouse.catalog.release import Restatement

DAY = date(2026, 11, 10)
FIRST, NOW = datetime(2026, 11, 11, 6, tzinfo=UTC), datetime(2026, 11, 20, 6, tzinfo=UTC)
HUBS = {"fs-a": ("hub-1", "east"), "fs-b": ("hub-1", "east"), "fs-c": ("hub-2", "east"), "fs-d": ("hub-3", "west")}
KEY = ["what", "entity_id", "production_date"]
TARGETS = pl.DataFrame(
    schema={
        "production_date": pl.Date,
        "node_id": pl.String,
        "network": pl.String,
        "target": pl.Float64,
        "target_version": pl.String,
    }
)
CAPACITIES = pl.DataFrame(
    schema={
        "production_date": pl.Date,
        "node_level": pl.String,
        "node_id": pl.String,
        "network": pl.String,
        "max_capacity": pl.Float64,
    }
)
Fact = Mapping[str, Any]


def facility(facility_id: str, fact: Fact, day: date = DAY) -> dict[str, Any]:
    q, p, b = fact.get("q"), fact.get("p", 100.0), fact.get("b", 90.0)
    hub, asset = HUBS[facility_id]
    quantities = {
        "production": q,
        "potential": p,
        "business_target": b,
        "deferment": None if q is None else max(0.0, p - q),
        "over_performance": None if q is None else max(0.0, q - p),
        "gap": None if q is None else b - q,
    }
    return (
        dict.fromkeys(OutDailyProduction.column_names())
        | {
            "production_date": day,
            "node_level": "facility",
            "node_id": facility_id,
            "network": "oil",
            "hub_id": hub,
            "asset_id": asset,
            "counts_in_roll_up": True,
            "day_hours": 24.0,
            "max_capacity": fact.get("c", 150.0),
            "coverage": 0.0 if q is None else 1.0,
            "quality": "missing" if q is None else "good",
            "source": None if q is None else fact.get("source", "ec"),
            "potential_basis": fact.get("basis", "ec"),
            "target_version": fact.get("version", "v1"),
        }
        | quantities
        | {f"{name}_volume": value for name, value in quantities.items()}
    )


def state(
    facts: Mapping[str, Fact], *, shares: Mapping[tuple[str, str], float] | None = None, events: Any = (), **more: Any
) -> dict[str, pl.DataFrame]:
    """The tables of one day; the residual takes what no share explains."""
    schema = OutDailyProduction.create_empty().schema
    days = more.get("days", {DAY: facts})
    rows = [facility(f, fact, day) for day, of_day in days.items() for f, fact in of_day.items()]
    facilities = pl.DataFrame(rows, schema=schema)
    production = pl.concat([facilities, parent_rows(facilities, TARGETS, CAPACITIES)])
    booked = dict(shares or {})
    drivers = [(DAY, event, f, volume) for (event, f), volume in booked.items()]
    for row in facilities.filter(pl.col("deferment_volume").is_not_null()).iter_rows(named=True):
        rest = row["deferment_volume"] - sum(v for (_, f), v in booked.items() if f == row["node_id"])
        drivers.append((row["production_date"], "unattributed", row["node_id"], rest))
    return {
        PRODUCTIONS: production,
        DRIVERS: _frame(
            OutDailyGapDriver,
            [
                {"production_date": day, "event_id": e, "facility_id": f, "network": "oil", "volume": v}
                for day, e, f, v in drivers
            ],
        ),
        EVENTS: _frame(CoreDailyEvent, [{"production_date": DAY, "phase": "oil"} | event for event in events]),
        TERMINALS: _frame(OutDailyTerminal, [{"production_date": DAY} | t for t in more.get("terminals", ())]),
    }


def _frame(schema: Any, rows: list[dict[str, Any]]) -> pl.DataFrame:
    dtypes = schema.create_empty().schema
    return pl.DataFrame([dict.fromkeys(dtypes) | row for row in rows], schema=dtypes)


def versions(*rows: tuple[str, str, float, int | None, datetime]) -> pl.DataFrame:
    """core__actual of DAY: facility, source, volume, revision, known at (also the source's own time)."""
    return pl.DataFrame(
        [(f, "oil", DAY, source, at, volume, "provisional", number, at) for f, source, volume, number, at in rows],
        schema=VERSION_SCHEMA,
        orient="row",
    )


def known(**given_: Any) -> Known:
    none = pl.DataFrame(schema=Restatement.create_empty().schema)
    return Known(
        **({"versions": versions(), "restated": none, "earlier": none, "now": NOW, "code_version": "1.2.3"} | given_)
    )


def reasons(told: pl.DataFrame) -> dict[tuple[str, str], str]:
    return {(what, entity): reason for what, entity, reason in told.select("what", "entity_id", "reason").rows()}


def of(told: pl.DataFrame, what: str, entity: str) -> dict[str, Any]:
    rows = told.filter((pl.col("what") == what) & (pl.col("entity_id") == entity))
    assert rows.height == 1, told
    return rows.row(0, named=True)


_VALUE = st.one_of(st.none(), st.floats(0.0, 200.0).map(lambda v: round(v, 1)))
_FACT = st.fixed_dictionaries({"q": _VALUE, "p": st.floats(50.0, 150.0).map(lambda v: round(v, 1))})
_FACTS = st.fixed_dictionaries(dict.fromkeys(HUBS, _FACT))


@settings(max_examples=40, deadline=None)
@given(before=_FACTS, after=_FACTS, same=st.sets(st.sampled_from(sorted(HUBS))))
def test_restatements_when_added_to_the_old_state_then_they_give_the_new_one_and_name_only_changed_facts(
    before: dict[str, Fact], after: dict[str, Fact], same: set[str]
) -> None:
    after = after | {f: before[f] for f in same}
    old, new = state(before), state(after)
    told = restatements(old, new, known())
    assert Restatement.is_valid(told)
    numbers = [
        frame.select("production_date", "node_id", "network", *KPIS)
        .unpivot(KPIS, index=["production_date", "node_id", "network"])
        .select(
            pl.format("production_daily.{}", "variable").alias("what"),
            pl.format("{}/{}", "node_id", "network").alias("entity_id"),
            "production_date",
            "value",
        )
        for frame in (old[PRODUCTIONS], new[PRODUCTIONS])
    ]
    both = numbers[0].join(numbers[1], on=KEY, suffix="_new").join(told, on=KEY, how="left")
    is_told = pl.col("reason").is_not_null()
    kept = both.filter(~is_told)
    assert kept["value"].is_null().equals(kept["value_new"].is_null())
    assert ((kept["value"] - kept["value_new"]).abs().drop_nulls() <= 1e-5).all()
    moved = both.filter(is_told)
    assert (moved["value"].eq_missing(moved["old_value"]) & moved["value_new"].eq_missing(moved["new_value"])).all()
    changed = {f for f in HUBS if before[f] != after[f]}
    assert not told.filter(pl.col("reason").str.starts_with("recomputed")).height
    for what, entity, reason in told.select("what", "entity_id", "reason").rows():
        named = {
            part.split(" of ")[1].split("/")[0]
            for part in reason.removeprefix("derived:").split("; ")
            if " of " in part
        }
        assert named <= changed
        node = entity.split("/")[-2]
        if what.startswith("production_daily.") and node in HUBS:
            assert node in changed
        elif node.startswith("hub-"):
            assert {HUBS[f][0] for f in named} == {node}
        assert reason.startswith("derived:") == bool(named)
    assert {
        e.split("/")[0] for w, e, _ in told.select(KEY[0], KEY[1], "reason").rows() if w.endswith(".production")
    } >= {f for f in HUBS if before[f]["q"] != after[f]["q"]}


@settings(max_examples=25, deadline=None)
@given(before=_FACTS, after=_FACTS)
def test_restatements_when_drivers_change_then_their_deltas_sum_to_the_change_of_deferment(
    before: dict[str, Fact], after: dict[str, Fact]
) -> None:
    told = restatements(state(before), state(after), known())
    is_share = pl.col("what") == "gap_driver_daily.volume"
    shares = told.filter(is_share).with_columns(f=pl.col("entity_id").str.split("/").list.get(1))
    for f in HUBS:
        old, new = (max(0.0, s[f]["p"] - s[f]["q"]) if s[f]["q"] is not None else 0.0 for s in (before, after))
        assert shares.filter(pl.col("f") == f)["delta"].sum() == pytest.approx(new - old, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(facts=_FACTS)
def test_restatements_when_nothing_changed_then_there_are_none(facts: dict[str, Fact]) -> None:
    assert restatements(state(facts), state(facts), known()).is_empty()


def test_restatements_when_a_row_is_revised_then_fact_and_dependents_say_so_at_the_instant_it_was_seen() -> None:
    before = {f: {"q": 80.0} for f in HUBS}
    seen = NOW - timedelta(minutes=3)
    told = restatements(
        state(before),
        state(before | {"fs-a": {"q": 85.0}}),
        known(versions=versions(("fs-a", "ec", 80.0, 1, FIRST), ("fs-a", "ec", 85.0, 2, seen))),
    )
    fact = of(told, "production_daily.production_volume", "fs-a/oil")
    assert (fact["old_value"], fact["new_value"], fact["delta"], fact["reason"]) == (80.0, 85.0, 5.0, "ec:revision 2")
    assert told["known_at_utc"].unique().to_list() == [seen]
    parent = of(told, "production_daily.gap", "system/oil")
    assert (parent["delta"], parent["reason"]) == (-5.0, "derived:ec:revision 2 of fs-a/oil")
    share = of(told, "gap_driver_daily.volume", "unattributed/fs-a/oil")
    assert (share["old_value"], share["new_value"]) == (20.0, 15.0)
    assert {e.split("/")[-2] for e in told["entity_id"]} == {"fs-a", "hub-1", "east", "system"}


def test_restatements_when_an_estimate_is_replaced_or_a_missing_value_comes_then_the_sources_are_named() -> None:
    before: dict[str, Fact] = {f: {"q": 80.0} for f in HUBS} | {
        "fs-a": {"q": 79.0, "source": "pi"},
        "fs-d": {"q": None},
    }
    told = restatements(state(before), state({f: {"q": 80.0} for f in HUBS}), known())
    said = reasons(told)
    assert said["production_daily.production", "fs-a/oil"] == "source:pi→ec"
    assert said["production_daily.production", "fs-d/oil"] == "source:none→ec"
    # The parent's potential changed too: its sum takes in one child more.
    assert said["production_daily.potential", "west/oil"] == "derived:source:none→ec of fs-d/oil"
    both = of(told, "production_daily.production", "system/oil")["reason"]
    assert both == "derived:source:none→ec of fs-d/oil; source:pi→ec of fs-a/oil"
    assert of(told, "production_daily.production", "fs-d/oil")["delta"] is None


def test_restatements_when_targets_or_capacities_change_then_only_what_hangs_on_them_does() -> None:
    before: dict[str, Fact] = {f: {"q": 80.0} for f in HUBS}
    told = restatements(
        state(before), state(before | {"fs-c": {"q": 80.0, "b": 95.0, "version": "v2", "c": 120.0}}), known()
    )
    said = reasons(told)
    assert said["production_daily.business_target", "fs-c/oil"] == "target:v1→v2"
    assert said["production_daily.gap", "hub-2/oil"] == "derived:target:v1→v2 of fs-c/oil"
    assert said["production_daily.max_capacity", "fs-c/oil"] == "capacity:register"
    assert told["known_at_utc"].unique().to_list() == [NOW]
    assert {w.removesuffix("_volume") for w, _ in said} == {
        f"production_daily.{c}" for c in ("business_target", "gap", "max_capacity")
    }


@pytest.mark.parametrize(
    ("basis", "change", "reason"),
    [
        ("ec", {}, "ec:potential"),
        ("well_test", {}, "ec:well_test"),
        ("target", {"b": 95.0, "version": "v2"}, "derived:target:v1→v2 of fs-a/oil"),
        ("nameplate", {"c": 160.0}, "derived:capacity:register of fs-a/oil"),
        ("p75_full_days", {}, "recomputed:1.2.3"),
    ],
)
def test_restatements_when_a_potential_changes_then_its_method_tells_why(
    basis: str, change: dict[str, Any], reason: str
) -> None:
    before: dict[str, Fact] = {f: {"q": 80.0, "basis": basis} for f in HUBS}
    after = before | {"fs-a": {"q": 80.0, "basis": basis, "p": 110.0} | change}
    said = reasons(restatements(state(before), state(after), known()))
    assert said["production_daily.potential", "fs-a/oil"] == reason
    cause = reason.removeprefix("derived:") if reason.startswith("derived:") else f"{reason} of fs-a/oil"
    assert said["production_daily.potential", "hub-1/oil"] == f"derived:{cause}"


def test_restatements_when_a_potential_looks_back_on_corrected_days_then_they_are_its_cause() -> None:
    later = DAY + timedelta(days=7)
    usual: dict[str, Fact] = {f: {"q": 80.0, "basis": "p75_full_days"} for f in HUBS}
    old = state({}, days={DAY: usual, later: usual})
    new = state(
        {},
        days={
            DAY: usual | {"fs-a": {"q": 85.0, "basis": "p75_full_days"}},
            later: usual | {"fs-a": {"q": 80.0, "basis": "p75_full_days", "p": 101.0}},
        },
    )
    seen = versions(("fs-a", "ec", 80.0, 1, FIRST), ("fs-a", "ec", 85.0, 2, NOW))
    told = restatements(old, new, known(versions=seen)).filter(pl.col("production_date") == later)
    wanted = f"derived:ec:revision 2 of fs-a/oil on {DAY}"
    assert of(told, "production_daily.potential", "fs-a/oil")["reason"] == wanted
    # Computed in pieces, the piece before told of it.
    earlier = restatements(old, new, known(versions=seen)).filter(pl.col("production_date") == DAY)
    rest = [{k: f.filter(pl.col("production_date") == later) for k, f in s.items()} for s in (old, new)]
    assert of(restatements(*rest, known(earlier=earlier)), "production_daily.potential", "fs-a/oil")["reason"] == wanted


def test_restatements_when_an_event_is_revised_then_the_shares_it_moved_name_it() -> None:
    facts: dict[str, Fact] = {f: {"q": 60.0} for f in HUBS}
    event = {"event_id": "ec:7", "evidence": "ec:DEFERMENT_EVENT/7@1", "loss_rate": 30.0, "target_id": "fs-a"}
    beside = {"event_id": "ec:8", "evidence": "ec:DEFERMENT_EVENT/8@1", "loss_rate": 5.0, "target_id": "fs-a"}
    old = state(facts, shares={("ec:7", "fs-a"): 28.0, ("ec:8", "fs-a"): 4.0}, events=[event, beside])
    revised = event | {"evidence": "ec:DEFERMENT_EVENT/7@2", "loss_rate": 25.0}
    new = state(facts, shares={("ec:7", "fs-a"): 23.0, ("ec:8", "fs-a"): 4.5}, events=[revised, beside])
    said = reasons(restatements(old, new, known()))
    assert said == {
        ("gap_driver_daily.volume", f"{e}/fs-a/oil"): "derived:ec:7@2" for e in ("ec:7", "ec:8", "unattributed")
    }


@pytest.mark.parametrize(("is_entered", "word"), [(True, "entered"), (False, "withdrawn")])
def test_restatements_when_an_event_comes_or_goes_then_its_share_was_or_is_zero(is_entered: bool, word: str) -> None:
    facts: dict[str, Fact] = {f: {"q": 60.0} for f in HUBS}
    event = {"event_id": "ec:7", "evidence": "ec:DEFERMENT_EVENT/7@1", "loss_rate": 30.0, "target_id": "fs-a"}
    without, with_it = state(facts), state(facts, shares={("ec:7", "fs-a"): 30.0}, events=[event])
    told = restatements(*((without, with_it) if is_entered else (with_it, without)), known())
    share = of(told, "gap_driver_daily.volume", "ec:7/fs-a/oil")
    assert (share["delta"], share["reason"]) == (30.0 if is_entered else -30.0, f"derived:ec:7@1 {word}")
    assert told["delta"].sum() == pytest.approx(0.0)


def test_restatements_when_the_same_source_row_gives_another_number_then_our_code_or_reference_did() -> None:
    before: dict[str, Fact] = {f: {"q": 80.0} for f in HUBS}
    one_row = versions(("fs-a", "ec", 80.0, 1, FIRST), ("fs-a", "ec", 85.0, 1, NOW)).with_columns(
        source_updated_at_utc=pl.lit(FIRST)
    )
    told = restatements(state(before), state(before | {"fs-a": {"q": 85.0}}), known(versions=one_row))
    assert of(told, "production_daily.production", "fs-a/oil")["reason"] == "recomputed:1.2.3"
    assert of(told, "production_daily.production", "hub-1/oil")["reason"] == "derived:recomputed:1.2.3 of fs-a/oil"


def test_restatements_when_told_before_an_interruption_then_they_are_not_told_twice() -> None:
    before: dict[str, Fact] = {f: {"q": 80.0} for f in HUBS}
    old, new = state(before), state(before | {"fs-a": {"q": 85.0}})
    told = restatements(old, new, known())
    assert told.height > 0
    assert restatements(old, new, known(restated=told, now=NOW + timedelta(hours=1))).is_empty()
    # Back to what it was is a change again, and comes after the first whatever the clock says.
    back = restatements(new, old, known(restated=told, now=NOW))
    assert back.height == told.height
    assert back["known_at_utc"].min() > told["known_at_utc"].max()  # type: ignore[operator]
    assert Restatement.is_valid(pl.concat([told, back]))


def test_restatements_when_a_terminal_changes_then_stock_is_a_fact_and_the_rest_hangs_on_it() -> None:
    facts: dict[str, Fact] = {f: {"q": 80.0} for f in HUBS}
    usual = {"terminal_id": "tm-x", "gross_stock": 1000.0, "ullage": 500.0, "production_rate": 320.0, "source": "pi"}
    more = usual | {"gross_stock": 1100.0, "ullage": 400.0}
    said = reasons(restatements(state(facts, terminals=[usual]), state(facts, terminals=[more]), known()))
    assert said == {
        ("terminal_daily.gross_stock", "tm-x"): "pi:re-read",
        ("terminal_daily.ullage", "tm-x"): "derived:pi:re-read of tm-x",
    }
    fed = restatements(
        state(facts, terminals=[usual]),
        state(facts | {"fs-a": {"q": 85.0}}, terminals=[usual | {"production_rate": 325.0, "endurance": 1.5}]),
        known(),
    )
    assert reasons(fed)["terminal_daily.production_rate", "tm-x"] == "derived:ec:updated of fs-a/oil"
    assert reasons(fed)["terminal_daily.endurance", "tm-x"] == "derived:ec:updated of fs-a/oil"


def test_restatements_when_very_many_facts_change_then_the_sentence_stays_readable() -> None:
    many = {f"fs-{n:03d}": ("hub-1", "east") for n in range(30)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.HUBS", HUBS | many)
        told = restatements(state({f: {"q": 80.0} for f in many}), state({f: {"q": 81.0} for f in many}), known())
    reason = of(told, "production_daily.production", "system/oil")["reason"]
    assert reason.endswith("; and 18 more")
    assert len(reason) < 600
