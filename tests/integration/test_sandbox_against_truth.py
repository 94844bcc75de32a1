"""What the pipeline found in the sandbox, scored against what was injected."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from pipelines.lake import Lake, Provenance, Written, conform
from pipelines.stages import core_event, out_gap_driver
from pipelines.stages.workspace import label_range
from tests.integration.conftest import PI_DAYS, Loaded

KEY = ["facility_id", "network", "production_date"]
ATTRIBUTED = ("oil", "domesticGas", "exportGas")


@pytest.fixture(scope="module")
def facility_days(sandbox: Loaded) -> pl.DataFrame:
    return sandbox.sql("SELECT *, node_id AS facility_id FROM production_daily WHERE node_level = 'facility'")


@pytest.fixture(scope="module")
def drivers(sandbox: Loaded) -> pl.DataFrame:
    return sandbox.sql("SELECT * FROM gap_driver_daily")


def test_production_when_every_facility_is_read_then_all_four_networks_stand(facility_days: pl.DataFrame) -> None:
    counts = facility_days.group_by("facility_id", "production_date").agg(pl.col("network").n_unique())
    assert counts["network"].unique().to_list() == [4]
    assert facility_days["facility_id"].n_unique() == 14
    assert facility_days["production_date"].n_unique() == 200


def test_production_when_from_ec_then_within_half_a_percent_of_truth(
    sandbox: Loaded, facility_days: pl.DataFrame
) -> None:
    # A flare meter's own error is several per cent: for flares the truth to reach is what the meter held.
    is_flare = pl.col("network") == "flaredGas"
    true_rate = pl.when(is_flare).then(pl.col("metered")).otherwise(pl.col("production"))
    truth = sandbox.truth("facility_network_day").filter("on_cut").with_columns(true_rate=true_rate)
    late = sandbox.truth("correction").filter(pl.col("visible_from_utc") > sandbox.workspace.now())
    scored = (
        facility_days.filter(pl.col("source") == "ec")
        .join(truth.select(*KEY, "true_rate"), on=KEY)
        .join(late, on=KEY, how="anti")
        .with_columns(error=(pl.col("production") - pl.col("true_rate")).abs())
    )
    assert scored.height > 3_000
    beyond = scored.filter(pl.col("error") > 0.005 * pl.col("true_rate") + 1e-6)
    assert beyond.is_empty(), beyond.select(*KEY, "production", "true_rate")


def test_production_when_ec_has_no_row_yet_then_pi_stands_in_within_half_a_percent(
    sandbox: Loaded, facility_days: pl.DataFrame
) -> None:
    truth = sandbox.truth("facility_network_day").with_columns(true_rate=pl.col("production"))
    stand_in = facility_days.filter((pl.col("source") == "pi") & (pl.col("good_fraction") >= 0.99)).join(
        truth.select(*KEY, "true_rate"), on=KEY
    )
    assert stand_in.height >= 1
    assert set(stand_in["record_status"]) == {"estimated"}
    assert stand_in.filter((pl.col("production") - pl.col("true_rate")).abs() > 0.005 * pl.col("true_rate")).is_empty()


def test_readings_when_nearly_all_good_then_means_within_half_a_percent(sandbox: Loaded) -> None:
    truth = sandbox.truth("pi_day").filter(pl.col("measurement").str.contains("rate"))
    readings = sandbox.sql("SELECT * FROM reading_daily WHERE good_fraction >= 0.99")
    scored = readings.join(truth.select("tag_name", "production_date", "mean_base"), on=["tag_name", "production_date"])
    assert scored.height > 100
    beyond = scored.filter(
        (pl.col("time_weighted_mean") - pl.col("mean_base")).abs() > 0.005 * pl.col("mean_base").abs() + 1.0
    )
    assert beyond.is_empty(), beyond


@pytest.mark.parametrize("level", ["hub_id", "asset_id", "system"])
def test_parents_when_children_are_summed_then_equal(sandbox: Loaded, facility_days: pl.DataFrame, level: str) -> None:
    node = pl.lit("system") if level == "system" else pl.col(level)
    columns = ["production_volume", "potential_volume", "deferment_volume", "over_performance_volume"]
    children = (
        facility_days.filter(pl.col("counts_in_roll_up") & pl.col("production_volume").is_not_null())
        .with_columns(node_id=node)
        .filter(pl.col("node_id").is_not_null())
        .group_by("node_id", "network", "production_date")
        .agg(pl.col(columns).sum())
    )
    name = level.removesuffix("_id")
    parents = sandbox.sql(f"SELECT * FROM production_daily WHERE node_level = '{name}'")
    joined = parents.join(children, on=["node_id", "network", "production_date"], suffix="_children")
    joined = joined.filter(pl.col("production_volume").is_not_null())
    assert joined.height >= 200 * 4
    for column in columns:
        compared = joined.filter(pl.col(column).is_not_null())
        error = (compared[column] - compared[f"{column}_children"]).abs()
        assert (error <= 1e-6 * compared[column].abs().clip(1.0)).all(), column


@pytest.mark.parametrize("level", ["node_id", "hub_id", "asset_id", "system"])
def test_drivers_when_summed_with_unattributed_then_equal_deferment_at_every_node_and_day(
    facility_days: pl.DataFrame, drivers: pl.DataFrame, level: str
) -> None:
    facilities = facility_days.filter(pl.col("counts_in_roll_up") & pl.col("network").is_in(ATTRIBUTED))
    node = pl.lit("system") if level == "system" else pl.col("facility_id" if level == "node_id" else level)
    wanted = (
        facilities.with_columns(node=node)
        .group_by("node", "network", "production_date")
        .agg(pl.col("deferment_volume").sum())
    )
    got = drivers.with_columns(node=node).group_by("node", "network", "production_date").agg(pl.col("volume").sum())
    joined = wanted.join(got, on=["node", "network", "production_date"], how="left")
    assert joined.height > 0
    error = (joined["volume"].fill_null(0.0) - joined["deferment_volume"]).abs()
    assert (error <= 1e-6 * joined["deferment_volume"].abs().clip(1.0)).all()


def test_drivers_when_a_coded_event_lasts_over_six_hours_then_it_is_found_with_facility_reason_and_day(
    sandbox: Loaded, drivers: pl.DataFrame
) -> None:
    days = drivers["production_date"]
    long_events = sandbox.truth("event").filter(pl.col("hours") > 6.0)
    shares = sandbox.truth("event_share_day").filter(
        pl.col("is_coded")
        & pl.col("event_id").str.starts_with("ec:")
        & pl.col("production_date").is_between(days.min(), days.max())
        & (pl.col("volume").abs() > 1.0)
    )
    wanted = shares.join(
        long_events.select(("ec:" + pl.col("number").cast(pl.String)).alias("event_id")), on="event_id", how="semi"
    ).with_columns(pl.col("reason_code").alias("true_reason"))
    found = wanted.join(drivers, on=["event_id", *KEY], how="left", suffix="_found")
    assert found.height > 100
    missing = found.filter(pl.col("source").is_null() & (pl.col("volume").abs() > 50.0))
    assert missing.is_empty(), missing.select("event_id", *KEY, "volume")
    seen = found.filter(pl.col("source").is_not_null())
    assert (seen["reason_code_found"] == seen["true_reason"]).all()


@pytest.mark.parametrize("network", ATTRIBUTED)
def test_unattributed_when_summed_then_within_what_nobody_booked(
    sandbox: Loaded, facility_days: pl.DataFrame, drivers: pl.DataFrame, network: str
) -> None:
    days = drivers["production_date"]
    in_span = pl.col("production_date").is_between(days.min(), days.max()) & (pl.col("network") == network)
    uncoded = sandbox.truth("uncoded_day").filter(in_span)["volume"].abs().sum()
    deferment = facility_days.filter((pl.col("network") == network) & pl.col("counts_in_roll_up"))[
        "deferment_volume"
    ].sum()
    unattributed = (
        drivers.filter((pl.col("event_id") == "unattributed") & (pl.col("network") == network))["volume"].abs().sum()
    )
    assert deferment > 0
    assert unattributed <= uncoded + 0.05 * deferment


def test_quarantine_when_rows_were_injected_then_each_is_there(sandbox: Loaded) -> None:
    quarantine = sandbox.sql("SELECT dataset, production_date, rule FROM quarantine")
    injected = sandbox.truth("rejected_row")
    days = quarantine["production_date"]
    in_span = injected.filter(pl.col("production_date").is_between(days.min(), days.max()))
    assert in_span.height > 0
    assert quarantine.height >= in_span.height


def test_release_when_nothing_changed_then_a_second_load_publishes_nothing(sandbox: Loaded) -> None:
    from pipelines.bootstrap import bootstrap

    assert bootstrap(sandbox.workspace, sandbox.settings) == sandbox.release_id


# --- every share, false drivers, and what is derived where nobody booked -----------------------------------------

# A share may err by this part of it or by this much, whichever is more: 50 bbl, 50,000 scf.
SHARE_TOLERANCE = 0.02
SMALL = {"oil": 50.0, "domesticGas": 50_000.0, "exportGas": 50_000.0}
FALSE_PART = 0.01


def _true_shares(sandbox: Loaded, drivers: pl.DataFrame) -> pl.DataFrame:
    days = drivers["production_date"]
    return sandbox.truth("event_share_day").filter(pl.col("production_date").is_between(days.min(), days.max()))


@pytest.mark.parametrize("kind", ["ec", "constraint", "tanktop"])
def test_shares_when_every_one_is_scored_then_within_two_percent_or_fifty_barrels(
    sandbox: Loaded, drivers: pl.DataFrame, kind: str
) -> None:
    shares = _true_shares(sandbox, drivers).filter(pl.col("event_id").str.starts_with(f"{kind}:"))
    assert shares.height >= {"ec": 2_000, "constraint": 300, "tanktop": 3}[kind]
    small = pl.col("network").replace_strict(SMALL, return_dtype=pl.Float64)
    beyond = (
        shares.join(drivers, on=["event_id", *KEY], how="left", suffix="_found")
        .with_columns(error=(pl.col("volume_found").fill_null(0.0) - pl.col("volume")).abs())
        .filter(pl.col("error") > pl.max_horizontal(SHARE_TOLERANCE * pl.col("volume").abs(), small))
    )
    assert beyond.is_empty(), beyond.select("event_id", *KEY, "volume", "volume_found")


def test_shares_when_caused_elsewhere_then_the_cause_is_the_injected_node(
    sandbox: Loaded, drivers: pl.DataFrame
) -> None:
    found = _true_shares(sandbox, drivers).join(drivers, on=["event_id", *KEY], suffix="_found")
    assert found.filter(pl.col("cause_node_id") != pl.col("facility_id")).height > 100
    wrong = found.filter(pl.col("cause_node_id") != pl.col("cause_node_id_found"))
    assert wrong.is_empty(), wrong.select("event_id", *KEY, "cause_node_id", "cause_node_id_found")


def test_drivers_when_nothing_was_injected_then_none_above_one_percent_of_its_node_day(
    sandbox: Loaded, drivers: pl.DataFrame, facility_days: pl.DataFrame
) -> None:
    named = drivers.filter(pl.col("event_id") != "unattributed")
    untrue = named.join(_true_shares(sandbox, drivers), on=["event_id", *KEY], how="anti")
    deferments = facility_days.select(*KEY, "deferment_volume")
    scored = untrue.join(deferments, on=KEY, how="left")
    false = scored.filter(pl.col("volume").abs() > FALSE_PART * pl.col("deferment_volume").fill_null(0.0) + 1e-6)
    assert false.is_empty(), false.select("event_id", *KEY, "volume", "deferment_volume")


@pytest.mark.parametrize("network", ATTRIBUTED)
def test_unattributed_when_summed_then_what_nobody_booked_and_one_percent_of_deferment(
    sandbox: Loaded, facility_days: pl.DataFrame, drivers: pl.DataFrame, network: str
) -> None:
    days = drivers["production_date"]
    here = pl.col("network") == network
    in_span = pl.col("production_date").is_between(days.min(), days.max())
    uncoded = float(sandbox.truth("uncoded_day").filter(in_span, here)["volume"].abs().sum())
    deferment = float(facility_days.filter(here, "counts_in_roll_up")["deferment_volume"].sum())
    residual = float(drivers.filter(here, pl.col("event_id") == "unattributed")["volume"].abs().sum())
    assert residual > 0.0
    assert residual <= uncoded + 0.01 * deferment


def test_tank_top_when_derived_then_it_carries_the_terminal_the_reason_and_full_confidence(sandbox: Loaded) -> None:
    (event,) = sandbox.sql("SELECT * FROM event WHERE source = 'tanktop'").to_dicts()
    (true_id,) = (
        sandbox.truth("event_share_day").filter(pl.col("event_id").str.starts_with("tanktop:"))["event_id"].unique()
    )
    assert event["event_id"] == true_id
    assert (event["target_kind"], event["target_id"]) == ("node", true_id.split(":")[1])
    assert (event["choke"], event["reason_code"], event["confidence"]) == ("export", "EXP.TANKTOP", 1.0)


class Unbooked(Lake):
    """The sandbox's lake as if some events had never been booked: rows left out of what is read, writes kept in memory."""

    def __init__(self, lake: Lake, event_numbers: list[str]) -> None:
        super().__init__(lake.root)
        self.event_numbers = event_numbers
        self.made: dict[str, pl.DataFrame] = {}

    def read(self, table: str, first: date, last: date) -> pl.DataFrame:
        if table in self.made:
            return self.made[table].filter(pl.col("production_date").is_between(first, last))
        frame = super().read(table, first, last)
        if table in ("raw_energy_components__deferment_event", "raw_energy_components__deferment_day"):
            frame = frame.filter(~pl.col("event_no").is_in(self.event_numbers))
        return frame

    def write_days(
        self, table: str, frame: pl.DataFrame, labels: Sequence[date], *, provenance: Provenance
    ) -> list[Written]:
        self.made[table] = conform(table, frame)
        return []


def test_equipment_stop_when_nobody_booked_it_then_pi_finds_it_at_its_facility_with_most_of_its_loss(
    sandbox: Loaded, drivers: pl.DataFrame
) -> None:
    last = sandbox.workspace.latest_label
    labels = label_range(last - timedelta(days=PI_DAYS - 1), last)
    recent = pl.col("started_at_utc") >= sandbox.workspace.calendar.bounds(None, labels[0])[0]
    stopped = sandbox.truth("event").filter(recent, pl.col("equipment").is_not_null())
    # Bookings of one machine belong together: double ones would still say that it stood.
    machines = stopped.group_by("facility_id", "equipment").agg(pl.col("number").sort()).sort("facility_id")
    shares = sandbox.truth("event_share_day")
    scored = 0
    for facility_id, equipment, numbers in machines.iter_rows():
        lake = Unbooked(sandbox.workspace.lake, [str(n) for n in numbers])
        ws = replace(sandbox.workspace, lake=lake, is_bootstrap=False)
        if (
            lake.read("core__daily_equipment_stop", labels[0], last)
            .filter(pl.col("facility_id") == facility_id, pl.col("equipment_id") == equipment)
            .is_empty()
        ):
            continue
        core_event.build(ws, labels)
        out_gap_driver.build(ws, labels)
        found = lake.made["out__daily_gap_driver"].filter(pl.col("source") == "pi")
        assert set(found["cause_node_id"]) == {facility_id}, (facility_id, equipment)
        true = shares.filter(
            pl.col("event_id").is_in([f"ec:{n}" for n in numbers]), pl.col("production_date").is_in(labels)
        )
        # Gas that follows from oil is not what its meters measured: oil speaks where there is some.
        networks = ["oil"] if "oil" in true["network"].to_list() else ["domesticGas", "exportGas"]
        lost, explained = (float(f.filter(pl.col("network").is_in(networks))["volume"].sum()) for f in (true, found))
        assert 0.75 * lost <= explained <= 1.25 * lost, (facility_id, equipment, lost, explained)
        assert found.filter(pl.col("confidence") > 0.6).is_empty()
        scored += 1
    assert scored >= 3


def test_full_days_when_an_event_touched_a_day_then_it_stands_in_no_window_of_them(sandbox: Loaded) -> None:
    lake, last = sandbox.workspace.lake, sandbox.workspace.latest_label
    windows = lake.read("core__carry_state", last, last).filter(pl.col("kind") == "full_day_rate")
    days = windows.select(
        pl.col("entity_id").str.split("|").list.first().alias("facility_id"), pl.col("as_of").alias("production_date")
    )
    assert days.height > 100
    booked = lake.read("core__daily_event", last - timedelta(days=199), last).filter(pl.col("source") == "ec")
    assert days.join(booked, on=["facility_id", "production_date"]).is_empty()
