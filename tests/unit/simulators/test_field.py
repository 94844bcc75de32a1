"""The fictitious field as a whole: its last day, its balances, its reproducibility, and how often things happen."""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.simulators.field import generate
from pipelines.simulators.field_reference import FieldError

REFERENCE = Path(__file__).parents[3] / "pipelines" / "reference"
NOW = datetime(2026, 11, 22, 9, 17, tzinfo=UTC)
LAST = date(2026, 11, 21)
HISTORY_DAYS = 400
KEYS = ["facility_id", "network", "production_date"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hundred days of the sandbox with two days of PI."""
    data = tmp_path_factory.mktemp("field") / "data"
    generate(REFERENCE / "sandbox", data, now=NOW, history_days=HISTORY_DAYS, pi_days=2)
    return data


def truth(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "truth" / f"{name}.parquet")


def view(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "energy_components" / f"{name}.parquet")


def served(frame: pl.DataFrame) -> pl.DataFrame:
    """What the server shows at the clock: visible rows, the highest revision of each key."""
    seen = frame.filter(pl.col("VISIBLE_FROM").is_null() | (pl.col("VISIBLE_FROM") <= NOW))
    return seen.sort("REV_NO").unique(["OBJECT_CODE", "DAYTIME"], keep="last")


def cut_days(folder: Path) -> pl.DataFrame:
    frame = truth(folder, "facility_network_day").filter(pl.col("network") != "flaredGas")
    return frame.with_columns(lost=pl.col("deferment") * pl.col("hours") / 24.0)


# Station, potential, target, actual in kbbl/d; flare and ceiling in MMscf/d.
STATIONS = [
    ("fs-akara-1", 46.0, 42.0, 38.4, 2.6, 2.5),
    ("fs-akara-2", 29.5, 27.0, 25.9, 1.9, 2.0),
    ("fs-bomiri", 38.0, 34.0, 21.7, 6.2, 2.5),
    ("fs-soloma", 22.0, 20.0, 19.6, 3.4, 3.0),
    ("fs-ogidan-1", 33.0, 30.0, 27.8, 2.1, 2.0),
    ("fs-ogidan-2", 24.5, 22.0, 16.2, 4.8, 3.0),
    ("fs-warike", 31.0, 28.0, 24.9, 2.0, 2.5),
]
PLANTS = [
    ("gp-bomiri", "domesticGas", 135.0, 130.0, 117.8),
    ("gp-bomiri", "exportGas", 190.0, 180.0, 162.7),
    ("gp-warike", "domesticGas", 160.0, 155.0, 147.9),
    ("gp-warike", "exportGas", 48.0, 45.0, 41.7),
]


@pytest.mark.parametrize(("facility_id", "potential", "target", "actual", "flare", "ceiling"), STATIONS)
def test_station_on_the_last_closed_day_is_the_designed_one(
    folder: Path, facility_id: str, potential: float, target: float, actual: float, flare: float, ceiling: float
) -> None:
    day = truth(folder, "facility_network_day").filter(
        (pl.col("production_date") == LAST) & (pl.col("facility_id") == facility_id)
    )
    oil = day.row(by_predicate=pl.col("network") == "oil", named=True)
    assert (oil["potential"], oil["target"]) == (potential * 1e3, target * 1e3)
    assert oil["production"] == pytest.approx(actual * 1e3, abs=1e-6)
    assert oil["metered"] == pytest.approx(actual * 1e3, abs=0.05)
    assert oil["deferment"] == pytest.approx((potential - actual) * 1e3, abs=1e-6)
    flared = day.row(by_predicate=pl.col("network") == "flaredGas", named=True)
    assert flared["production"] == pytest.approx(flare * 1e6, abs=1.0)
    assert flared["target"] == ceiling * 1e6


@pytest.mark.parametrize(("facility_id", "network", "potential", "target", "actual"), PLANTS)
def test_plant_on_the_last_closed_day_is_the_designed_one(
    folder: Path, facility_id: str, network: str, potential: float, target: float, actual: float
) -> None:
    row = truth(folder, "facility_network_day").row(
        by_predicate=(pl.col("production_date") == LAST)
        & (pl.col("facility_id") == facility_id)
        & (pl.col("network") == network),
        named=True,
    )
    assert (row["potential"], row["target"]) == (potential * 1e6, target * 1e6)
    assert row["production"] == pytest.approx(actual * 1e6, rel=1e-12)
    assert row["metered"] == pytest.approx(actual * 1e6, abs=1.0)


def test_energy_components_on_the_last_closed_day_serves_the_table_less_the_late_row(folder: Path) -> None:
    rows = served(view(folder, "DV_STRM_DAY_STREAM")).filter(pl.col("DAYTIME") == LAST)
    shown = dict(
        rows.filter(pl.col("OBJECT_CODE").str.ends_with("_OIL_EXP")).select("OBJECT_CODE", "NET_VOL").iter_rows()
    )
    wanted = {f"FS_{s[0][3:].upper().replace('-', '_')}_OIL_EXP": s[3] * 1e3 for s in STATIONS if s[0] != "fs-soloma"}
    assert shown == pytest.approx(wanted, abs=0.05)
    late = truth(folder, "late_row")
    assert set(late["visible_from_utc"]) == {NOW + timedelta(hours=6)}


def test_terminal_stocks_on_the_last_closed_day_are_the_designed_ones(folder: Path) -> None:
    stocks = truth(folder, "terminal_day").filter(pl.col("production_date") == LAST)
    closing = dict(stocks.select("facility_id", "closing_bbl").iter_rows())
    assert closing == {"tm-kuloma": 2_748_000.0, "tm-benfara": 2_734_000.0}
    receipts = dict(stocks.select("facility_id", "receipts_bbl").iter_rows())
    assert receipts == pytest.approx({"tm-kuloma": 105_600.0, "tm-benfara": 68_900.0}, abs=1e-6)


def test_worked_example_on_the_last_closed_day_has_the_shares_of_the_domain_model(folder: Path) -> None:
    rows = truth(folder, "event_share_day").filter(
        (pl.col("production_date") == LAST) & (pl.col("facility_id") == "fs-bomiri") & (pl.col("network") == "oil")
    )
    found = {r["event_id"]: (r["volume"], r["volume_if_alone"], r["gain_if_fixed"]) for r in rows.to_dicts()}
    assert found["ec:48213"] == pytest.approx((11_900.0, 14_000.0, 9_800.0))
    assert found["ec:48212"] == pytest.approx((2_100.0, 4_200.0, 0.0))
    left = truth(folder, "uncoded_day").filter(
        (pl.col("production_date") == LAST) & (pl.col("facility_id") == "fs-bomiri")
    )
    assert left["volume"].to_list() == pytest.approx([2_300.0])
    event = view(folder, "DV_DEFERMENT_EVENT").row(by_predicate=pl.col("EVENT_NO") == 48213, named=True)
    assert (event["COMMENTS"], event["OIL_LOSS_VOLUME"], event["END_DATE"], event["REV_NO"]) == (
        "HP compressor B trip",
        14_000.0,
        None,
        3,
    )
    assert event["DAYTIME"] == datetime(2026, 11, 21, 6)


def test_shares_and_uncoded_loss_at_every_cut_node_and_day_sum_to_the_deferment(folder: Path) -> None:
    shares = truth(folder, "event_share_day").group_by(KEYS).agg(shared=pl.col("volume").sum())
    joined = cut_days(folder).join(shares, on=KEYS, how="left").join(truth(folder, "uncoded_day"), on=KEYS)
    scale = joined["potential"] * joined["hours"] / 24.0
    error = (joined["lost"] - joined["shared"].fill_null(0.0) - joined["volume"]).abs() / scale
    assert joined.height == 11 * HISTORY_DAYS
    assert error.max() < 1e-9


def test_gas_of_every_plant_and_day_is_placed_to_the_last_volume(folder: Path) -> None:
    gas = truth(folder, "gas_balance_day")
    upstream = gas.select(
        error=(
            pl.col("produced") - pl.sum_horizontal("station_fuel", "station_flare", "compressor_flare", "received")
        ).abs()
        / pl.col("produced")
    )
    plant = gas.select(
        error=(
            pl.col("received")
            + pl.col("external")
            - pl.sum_horizontal("sales", "shrinkage", "plant_fuel", "plant_flare")
        ).abs()
        / pl.col("produced")
    )
    assert upstream["error"].max() < 1e-9
    assert plant["error"].max() < 1e-9
    assert gas.select(pl.exclude("plant_id", "production_date").min()).min_horizontal().item() >= -1e-6


def test_oil_of_a_terminal_and_day_is_that_of_its_stations_and_its_tanks_close(folder: Path) -> None:
    stocks = truth(folder, "terminal_day").sort("facility_id", "production_date")
    closing = (
        stocks["opening_bbl"]
        + stocks["receipts_bbl"]
        - stocks["lifted_bbl"]
        - stocks["own_use_bbl"]
        - stocks["closing_bbl"]
    )
    assert (closing.abs() / stocks["closing_bbl"]).max() < 1e-9
    carried = stocks.with_columns(previous=pl.col("closing_bbl").shift().over("facility_id")).drop_nulls("previous")
    assert (carried["previous"] - carried["opening_bbl"]).abs().max() < 1e-6
    oil = cut_days(folder).filter(pl.col("network") == "oil")
    daily = oil.group_by("production_date").agg(oil=(pl.col("production") * pl.col("hours") / 24.0).sum())
    joined = stocks.group_by("production_date").agg(pl.col("receipts_bbl").sum()).join(daily, on="production_date")
    assert ((joined["oil"] - joined["receipts_bbl"]).abs() / joined["oil"]).max() < 1e-9
    wells = truth(folder, "well_day").group_by("production_date").agg(pl.col("oil_bbl").sum())
    both = wells.join(daily, on="production_date")
    assert ((both["oil"] - both["oil_bbl"]).abs() / both["oil"]).max() < 1e-9


def test_efficiency_over_the_history_lies_in_the_usual_band(folder: Path) -> None:
    by_network = cut_days(folder).group_by("network").agg(e=pl.col("production").sum() / pl.col("potential").sum())
    assert set(by_network["network"]) == {"oil", "domesticGas", "exportGas"}
    assert by_network["e"].is_between(0.70, 0.85).all()


def test_uncoded_loss_over_the_history_is_five_to_ten_percent(folder: Path) -> None:
    lost = cut_days(folder).group_by("network").agg(pl.col("lost").sum())
    uncoded = truth(folder, "uncoded_day").group_by("network").agg(pl.col("volume").sum())
    shares = lost.join(uncoded, on="network").select(share=pl.col("volume") / pl.col("lost"))["share"]
    assert shares.is_between(0.05, 0.10).all()
    assert truth(folder, "uncoded_day")["volume"].min() > -1e-3


def test_trips_of_stations_happen_on_three_to_five_percent_of_days(folder: Path) -> None:
    trips = truth(folder, "event").filter(
        pl.col("facility_id").str.contains("^(fs|cs)-")
        & pl.col("reason_code").is_in(["PLT.COMP.TRIP", "PLT.SEP.TRIP", "PLT.POWER", "PLT.PUMP"])
        & (pl.col("hours") <= 72.0)
    )
    assert 0.03 <= trips.height / (10 * HISTORY_DAYS) <= 0.05


def test_each_plant_and_trunk_line_has_its_yearly_outage(folder: Path) -> None:
    events = truth(folder, "event")
    shutdowns = events.filter(pl.col("reason_code") == "PLT.SHUTDOWN")
    assert sorted(shutdowns["facility_id"]) == ["gp-bomiri", "gp-warike"]
    assert shutdowns["hours"].is_between(240.0, 336.0).all()
    groups = events.filter(pl.col("deferment_type") == "GROUP")
    assert sorted(groups["facility_id"]) == ["tm-benfara", "tm-kuloma"]
    assert groups["hours"].is_between(72.0, 480.0).all()
    children = events.filter(pl.col("deferment_type") == "GROUP_CHILD").group_by("parent").len()
    assert dict(children.iter_rows()) == dict(
        zip(groups["number"], [4 if f == "tm-kuloma" else 3 for f in groups["facility_id"]], strict=True)
    )


def test_double_bookings_are_about_three_percent_of_events(folder: Path) -> None:
    events = view(folder, "DV_DEFERMENT_EVENT")
    twice = events.filter(pl.col("COMMENTS").str.ends_with("entered by the next shift"))
    assert 0.02 <= twice.height / events.height <= 0.04


def test_corrections_stand_on_four_percent_of_days_and_come_within_forty_five(folder: Path) -> None:
    corrections = truth(folder, "correction")
    assert corrections.height / (11 * HISTORY_DAYS) == pytest.approx(0.04, abs=0.005)
    lag = corrections["visible_from_utc"].dt.date() - corrections["production_date"]
    assert lag.dt.total_days().max() <= 45
    stream = view(folder, "DV_STRM_DAY_STREAM")
    row = corrections.row(0, named=True)
    both = stream.filter(
        (pl.col("OBJECT_CODE") == row["stream_ec_code"]) & (pl.col("DAYTIME") == row["production_date"])
    )
    assert both.sort("REV_NO").select("REV_NO", "NET_VOL").rows() == [
        (1, row["first_volume"]),
        (2, row["corrected_volume"]),
    ]


def test_production_in_energy_components_after_corrections_is_within_half_a_percent_of_the_truth(folder: Path) -> None:
    streams = truth(folder, "stream_day").filter(pl.col("role") == "production")
    newest = view(folder, "DV_STRM_DAY_STREAM").sort("REV_NO").unique(["OBJECT_CODE", "DAYTIME"], keep="last")
    joined = streams.join(
        newest, left_on=["stream_ec_code", "production_date"], right_on=["OBJECT_CODE", "DAYTIME"]
    ).filter(pl.col("true_volume") > 0)
    assert joined.height > 10 * HISTORY_DAYS
    assert ((joined["NET_VOL"] - joined["true_volume"]).abs() / joined["true_volume"]).max() < 0.005


def test_cargoes_slip_in_a_quarter_to_a_third_of_liftings(folder: Path) -> None:
    lifted = truth(folder, "cargo").filter(pl.col("status") == "lifted")
    assert 0.25 <= (lifted["slip_days"] > 0).mean() <= 0.35
    late = (lifted["lifted_date"] - lifted["laycan_end"]).dt.total_days().clip(lower_bound=0)
    assert late.to_list() == lifted["slip_days"].to_list()
    first = truth(folder, "cargo").filter((pl.col("status") == "nominated") & (pl.col("terminal_id") == "tm-benfara"))
    assert 4 <= (first["laycan_start"].item() - LAST).days <= 6
    assert truth(folder, "cargo")["cargo_id"].is_unique().all()


def test_full_tanks_hold_back_the_stations_behind_the_terminal_without_an_event(folder: Path) -> None:
    rows = truth(folder, "event_share_day").filter(pl.col("event_id").str.starts_with("tanktop:tm-benfara:"))
    assert set(rows["facility_id"]) == {"fs-ogidan-1", "fs-ogidan-2", "fs-warike"}
    assert not rows["is_coded"].any()
    day = rows["production_date"].unique().item()
    stocks = truth(folder, "terminal_day").filter(pl.col("facility_id") == "tm-benfara")
    full = stocks.row(by_predicate=pl.col("production_date") == day, named=True)
    assert full["closing_bbl"] >= 0.995 * 3_200_000
    assert stocks["closing_bbl"].max() <= 3_200_000
    assert stocks["closing_bbl"].min() >= 270_000
    arrivals = cut_days(folder).filter(
        (pl.col("production_date") == day) & pl.col("facility_id").is_in(rows["facility_id"].to_list())
    )
    assert full["receipts_bbl"] < 0.9 * arrivals["flow_undisturbed"].sum()
    cargoes = truth(folder, "cargo").filter((pl.col("terminal_id") == "tm-benfara") & (pl.col("lifted_date") > day))
    assert cargoes.sort("lifted_date")["slip_days"][0] > 0
    assert not view(folder, "DV_DEFERMENT_EVENT")["COMMENTS"].str.contains("Tanks full").any()


def test_rejected_rows_stand_in_the_view_that_the_truth_names(folder: Path) -> None:
    rejected = truth(folder, "rejected_row")
    assert set(rejected["rule"]) == {"unknown stream", "negative volume"}
    stream = view(folder, "DV_STRM_DAY_STREAM")
    known = {row["stream_ec_code"] for row in pl.read_csv(REFERENCE / "sandbox" / "streams.csv").to_dicts()}
    wrong = stream.filter((pl.col("NET_VOL") < 0) | ~pl.col("OBJECT_CODE").is_in(list(known)))
    assert wrong.height == rejected.height


def test_hours_of_wells_below_the_day_always_have_an_event(folder: Path) -> None:
    wells = truth(folder, "well_day").filter(pl.col("on_stream_hours") < 24.0)
    events = truth(folder, "event").filter(pl.col("facility_id").str.starts_with("fs-"))
    joined = wells.join(events, on="facility_id").filter(
        (pl.col("object_code") == pl.col("well_ec_code")) | (pl.col("object_code").str.starts_with("FS_"))
    )
    start = pl.col("production_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC") + pl.duration(hours=5)
    covered = joined.filter(
        (pl.col("started_at_utc") < start + pl.duration(hours=24))
        & (pl.col("ended_at_utc").is_null() | (pl.col("ended_at_utc") > start))
    )
    assert wells.height > 100
    assert covered.select("well_ec_code", "production_date").unique().height == wells.height


def test_status_of_energy_components_rows_follows_their_age(folder: Path) -> None:
    rows = served(view(folder, "DV_STRM_DAY_STREAM")).filter(pl.col("DAYTIME") <= LAST)
    status = dict(rows.group_by("DAYTIME").agg(pl.col("RECORD_STATUS").first()).iter_rows())
    assert [status[LAST - timedelta(days=n)] for n in (0, 2, 3)] == ["P", "P", "V"]
    assert status[date(2026, 11, 1)] == "V"
    assert status[date(2026, 10, 31)] == "A"


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_seed_gives_the_same_bytes_and_another_seed_another_history(tmp_path: Path) -> None:
    made = {}
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        generate(REFERENCE / "sandbox", tmp_path / name, now=NOW, history_days=40, pi_days=1, seed=seed)
        made[name] = digest(tmp_path / name)
    assert made["first"] == made["again"]
    changed = {name for name, value in made["first"].items() if made["other"][name] != value}
    assert {"energy_components/DV_STRM_DAY_STREAM.parquet", "pi/values/minute.parquet"} <= changed


def test_folder_that_exists_is_replaced_and_described(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "old").mkdir(parents=True)
    messages: list[str] = []
    generate(REFERENCE / "dst", data, now=NOW, history_days=30, pi_days=2, progress=messages.append)
    manifest = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(p.name for p in data.iterdir()) == ["energy_components", "manifest.json", "pi", "sharepoint", "truth"]
    assert (manifest["last_label"], manifest["history_days"], manifest["seed"]) == ("2026-11-21", 30, 20261025)
    assert manifest["counts"]["pi_values"] > 0
    assert messages[-1] == "field complete"
    views = tomllib.loads((data / "energy_components" / "views.toml").read_text(encoding="utf-8"))
    assert set(views) == {p.stem for p in (data / "energy_components").glob("*.parquet")}


def test_days_across_clock_changes_have_23_and_25_hours_and_still_close(tmp_path: Path) -> None:
    lengths = {}
    for now in (datetime(2026, 11, 2, 9, tzinfo=UTC), datetime(2026, 4, 6, 9, tzinfo=UTC)):
        generate(REFERENCE / "dst", tmp_path / "data", now=now, history_days=20, pi_days=14)
        days = truth(tmp_path / "data", "facility_network_day")
        lengths |= dict(days.group_by("production_date").agg(pl.col("hours").first()).iter_rows())
        shares = truth(tmp_path / "data", "event_share_day").group_by(KEYS).agg(shared=pl.col("volume").sum())
        joined = cut_days(tmp_path / "data").join(shares, on=KEYS, how="left")
        joined = joined.join(truth(tmp_path / "data", "uncoded_day"), on=KEYS)
        error = (joined["lost"] - joined["shared"].fill_null(0.0) - joined["volume"]).abs() / joined["potential"]
        assert error.max() < 1e-9
    assert (lengths[date(2026, 10, 24)], lengths[date(2026, 3, 28)]) == (25.0, 23.0)
    assert sorted(set(lengths.values())) == [23.0, 24.0, 25.0]


def test_reference_folder_without_a_field_is_refused_by_name(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(REFERENCE / "dst", site)
    (site / "field.toml").unlink()
    with pytest.raises(FieldError, match=r"field\.toml is missing"):
        generate(site, tmp_path / "data", now=NOW, history_days=30)
    with pytest.raises(FieldError, match="at least 14"):
        generate(REFERENCE / "dst", tmp_path / "data", now=NOW, history_days=3)
    assert not (tmp_path / "data").exists()
