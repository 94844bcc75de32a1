"""What the pipeline found in the sandbox, scored against what was injected."""

import polars as pl
import pytest

from tests.integration.conftest import Loaded

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
