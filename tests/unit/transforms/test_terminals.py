"""Terminals: stock by gauge or closing stock, receipts, liftings, and the KPIs over settling lag and clock changes."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines import site_tables as t
from pipelines.transforms.production_day import ProductionCalendar
from pipelines.transforms.terminals import daily_terminals, terminal_kpis, unknown_tanks
from warehouse.catalog.core import CoreCargo, CoreDailyProduction, CoreDailyReading, CoreDailyTerminal
from warehouse.catalog.out import OutDailyTerminal
from warehouse.catalog.raw import RawEnergyComponentsStreamDay, RawEnergyComponentsTankDay

DAY = date(2026, 11, 20)
END = datetime(2026, 11, 21, 5, tzinfo=UTC)
LAGOS = ProductionCalendar("Africa/Lagos", "06:00")


def table(spec: t.FileSpec, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {f.name: t._DTYPES[f.kind] for f in spec.fields}
    blank = {f.name: f.default for f in spec.fields}
    return pl.DataFrame([blank | row for row in rows], schema=schema, orient="row")


def rows_of(schema: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    empty = schema.create_empty()
    return pl.DataFrame([dict.fromkeys(empty.columns) | row for row in rows], schema=empty.schema, orient="row")


TERMINAL = {"facility_id": "tm", "safe_fill_bbl": 1000.0, "dead_stock_bbl": 100.0, "storage_ec_code": "TM"}
TAGS = table(
    t.TAGS,
    *(
        {
            "tag_id": i,
            "tag_name": f"TK{i}",
            "facility_id": "tm",
            "measurement": m,
            "object_id": f"TM_TK{i}",
            "group": "gauge",
        }
        for i, m in ((1, "stock"), (2, "stock"), (3, "water_volume"))
    ),
)
STREAMS = table(t.STREAMS, {"stream_ec_code": "TM_EXP", "facility_id": "tm", "network": "oil", "role": "export"})


def gauge(tag_id: int, value: float | None, at: datetime = END - timedelta(minutes=5)) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "tag_id": tag_id,
        "tag_name": f"TK{tag_id}",
        "measurement": "stock",
        "unit": "bbl",
        "last_value": value,
        "last_good_at_utc": at,
        "good_fraction": 1.0,
        "sample_count": 1,
        "quality": "good",
    }


def day_of(
    *,
    readings: list[dict[str, Any]] | None = None,
    tanks: list[dict[str, Any]] | None = None,
    production: list[dict[str, Any]] | None = None,
    exported: list[dict[str, Any]] | None = None,
    cargoes: list[dict[str, Any]] | None = None,
    edges: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    found = daily_terminals(
        labels=[DAY],
        days=LAGOS.frame([DAY], ["tm"]),
        terminals=table(t.TERMINALS, TERMINAL),
        tags=TAGS,
        readings=rows_of(CoreDailyReading, *(readings or [])),
        tank_days=rows_of(RawEnergyComponentsTankDay, *(tanks or [])),
        tank_factor=1000.0,
        production=rows_of(CoreDailyProduction, *(production or [])),
        stream_days=rows_of(RawEnergyComponentsStreamDay, *(exported or [])),
        streams=STREAMS,
        stream_factor=2.0,
        cargoes=rows_of(CoreCargo, *(cargoes or [])),
        edges=table(t.EDGES, *(edges or [])),
    )
    CoreDailyTerminal.validate(found)
    return found.row(0, named=True)


def oil(facility_id: str, volume: float | None) -> dict[str, Any]:
    return {
        "production_date": DAY,
        "facility_id": facility_id,
        "network": "oil",
        "day_hours": 24.0,
        "volume": volume,
        "quality": "missing" if volume is None else "good",
        "coverage": 1.0,
    }


CLOSING = {"production_date": DAY, "tank_ec_code": "TM", "closing_volume": 0.7, "water_volume": 0.01}


def test_daily_terminals_when_there_is_no_closing_stock_then_the_gauges_sum_at_the_oldest_of_them() -> None:
    older = END - timedelta(minutes=20)
    row = day_of(readings=[gauge(1, 300.0), gauge(2, 250.0, older)], tanks=[], production=[oil("tm", 90.0)])
    assert (row["gross_stock_bbl"], row["stock_source"], row["measured_at_utc"]) == (550.0, "pi", older)
    assert row["quality"] == "good"


def test_daily_terminals_when_a_closing_stock_is_newer_than_the_gauges_then_it_stands() -> None:
    gauges = [gauge(1, 300.0), gauge(2, 250.0)]
    row = day_of(readings=gauges, tanks=[CLOSING], production=[oil("tm", 90.0)])
    assert (row["gross_stock_bbl"], row["stock_source"], row["measured_at_utc"]) == (pytest.approx(700.0), "ec", END)
    assert row["water_bbl"] == pytest.approx(10.0)


def test_daily_terminals_when_a_gauge_is_older_than_it_may_hold_then_the_closing_stock() -> None:
    row = day_of(readings=[gauge(1, 300.0), gauge(2, 250.0, END - timedelta(hours=3))], tanks=[CLOSING])
    assert (row["gross_stock_bbl"], row["stock_source"], row["measured_at_utc"]) == (pytest.approx(700.0), "ec", END)


def test_daily_terminals_when_only_an_old_gauge_exists_then_it_stands_as_stale() -> None:
    row = day_of(readings=[gauge(1, 300.0), gauge(2, 250.0, END - timedelta(hours=3))])
    assert (row["gross_stock_bbl"], row["quality"]) == (550.0, "stale")


def test_daily_terminals_when_one_tank_has_no_value_then_no_partial_sum() -> None:
    row = day_of(readings=[gauge(1, 300.0)])
    assert (row["gross_stock_bbl"], row["measured_at_utc"], row["quality"]) == (None, None, "missing")


def test_daily_terminals_when_closing_stocks_are_by_tank_then_they_are_summed() -> None:
    tanks = [CLOSING | {"tank_ec_code": f"TM_TK{i}", "closing_volume": 0.1 * i} for i in (1, 2)]
    assert day_of(tanks=tanks[:1])["gross_stock_bbl"] is None
    assert day_of(tanks=tanks)["gross_stock_bbl"] == pytest.approx(300.0)


def test_daily_terminals_when_the_receipt_meter_has_a_row_then_it_is_the_receipts() -> None:
    edges = [{"from_id": "fs", "to_id": "tm", "network": "oil", "stream": "netOil"}]
    assert day_of(production=[oil("tm", 90.0), oil("fs", 70.0)], edges=edges)["receipts_bbl"] == 90.0


def test_daily_terminals_when_there_is_no_receipt_meter_then_the_stations_upstream_are_summed() -> None:
    edges = [
        {"from_id": a, "to_id": b, "network": "oil", "stream": "netOil"}
        for a, b in (("f1", "jn"), ("f2", "jn"), ("jn", "tm"), ("f3", "tm"), ("f4", "other"))
    ]
    stations = [oil("f1", 10.0), oil("f2", 20.0), oil("f3", 30.0), oil("f4", 99.0)]
    assert day_of(production=stations, edges=edges)["receipts_bbl"] == 60.0
    stations[1] = oil("f2", None)
    assert day_of(production=stations, edges=edges)["receipts_bbl"] is None


def test_daily_terminals_when_the_export_meter_has_a_row_then_it_goes_before_the_cargo() -> None:
    cargo = {"cargo_id": "c1", "terminal_id": "tm", "status": "lifted", "lifted_bbl": 500.0}
    cargo |= {"lifted_at_utc": END - timedelta(hours=1)}
    metered = [{"production_date": DAY, "stream_ec_code": "TM_EXP", "volume": 240.0}]
    assert day_of(exported=metered, cargoes=[cargo])["lifted_bbl"] == 480.0
    assert day_of(cargoes=[cargo])["lifted_bbl"] == 500.0
    assert day_of(cargoes=[cargo | {"lifted_at_utc": END}])["lifted_bbl"] == 0.0
    assert day_of()["lifted_bbl"] is None


def kpis(
    stock: list[float | None],
    receipts: list[float | None],
    *,
    last: date = DAY,
    calendar: ProductionCalendar = LAGOS,
    water: float | None = None,
    **terminal: Any,
) -> dict[str, Any]:
    """KPIs of the last of consecutive labels that end with `last`."""
    labels = [last - timedelta(days=len(stock) - 1 - i) for i in range(len(stock))]
    days = calendar.frame(labels, ["tm"])
    daily = rows_of(
        CoreDailyTerminal,
        *(
            {
                "production_date": label,
                "facility_id": "tm",
                "day_hours": calendar.hours("tm", label),
                "gross_stock_bbl": s,
                "receipts_bbl": r,
                "water_bbl": water,
                "quality": "good",
            }
            for label, s, r in zip(labels, stock, receipts, strict=True)
        ),
    )
    facilities = pl.DataFrame(
        {"facility_id": ["tm"], "asset_id": ["east"], "valid_from": [date(2020, 1, 1)], "valid_to": [None]}
    ).cast({"valid_to": pl.Date})
    found = terminal_kpis(
        labels=[last],
        days=days,
        daily=daily,
        terminals=table(t.TERMINALS, TERMINAL | terminal),
        facilities=facilities,
    )
    OutDailyTerminal.validate(found)
    return found.row(0, named=True)


def test_terminal_kpis_when_receipts_flow_then_ullage_rate_and_endurance() -> None:
    row = kpis([700.0, 700.0, 700.0], [60.0, 60.0, 60.0])
    assert (row["ullage"], row["production_rate"], row["endurance"]) == (300.0, 60.0, pytest.approx(5.0))
    # 700 less 100 dead and 30 h of 60 a day.
    assert row["ready_stock"] == pytest.approx(525.0)
    assert row["stock_cover"] == pytest.approx(525.0 / 60.0)
    assert (row["max_capacity"], row["asset_id"]) == (1000.0, "east")


def test_terminal_kpis_when_receipts_change_then_ready_crude_is_the_mix_of_the_lagged_day() -> None:
    row = kpis([700.0] * 3, [24.0, 48.0, 240.0], bsw_fraction=0.01, shrinkage_fraction=0.02)
    # Thirty hours before the day: six hours of the label two days back, eighteen of the one before.
    assert row["ready_crude"] == pytest.approx((6 * 1.0 + 18 * 2.0) * 0.99 * 0.98)
    # Unsettled: the day itself and the last six hours of the one before.
    assert row["ready_stock"] == pytest.approx(700.0 - 100.0 - 240.0 - 12.0)


def test_terminal_kpis_when_history_is_too_short_or_missing_then_what_needs_it_is_null() -> None:
    row = kpis([700.0, 700.0], [60.0, 60.0])
    assert (row["ready_crude"], row["ready_stock"]) == (None, pytest.approx(525.0))
    row = kpis([700.0] * 3, [60.0, None, 60.0])
    assert (row["ready_crude"], row["ready_stock"], row["production_rate"]) == (None, None, 60.0)


def test_terminal_kpis_when_above_safe_fill_then_endurance_is_zero() -> None:
    row = kpis([1100.0] * 3, [0.0] * 3)
    assert (row["ullage"], row["endurance"]) == (0.0, 0.0)


def test_terminal_kpis_when_nothing_is_received_then_endurance_is_null() -> None:
    row = kpis([700.0] * 3, [0.0] * 3)
    assert (row["endurance"], row["stock_cover"], row["production_rate"]) == (None, None, 0.0)


def test_terminal_kpis_when_less_is_there_than_dead_stock_and_water_then_ready_stock_is_zero() -> None:
    assert kpis([150.0] * 3, [10.0] * 3, water=60.0)["ready_stock"] == 0.0


def test_terminal_kpis_when_the_stock_is_missing_then_nulls() -> None:
    row = kpis([700.0, 700.0, None], [60.0] * 3)
    assert [row[n] for n in ("gross_stock", "ullage", "ready_stock", "endurance", "stock_cover")] == [None] * 5


def test_terminal_kpis_when_the_day_has_25_hours_then_rates_and_lags_are_by_the_clock() -> None:
    oslo = ProductionCalendar("Europe/Oslo", "06:00")
    row = kpis([700.0] * 3, [48.0, 48.0, 50.0], last=date(2026, 10, 24), calendar=oslo)
    assert row["production_rate"] == pytest.approx(48.0)
    # The day of 25 h shifted back by 30 h is six hours, eighteen and its own first hour less: all at 2 bbl/h.
    assert row["ready_crude"] == pytest.approx(48.0)
    assert row["ready_stock"] == pytest.approx(700.0 - 100.0 - 60.0)


def test_unknown_tanks_when_a_code_is_no_storage_and_no_tank_then_it_is_named() -> None:
    tanks = rows_of(RawEnergyComponentsTankDay, CLOSING, CLOSING | {"tank_ec_code": "XX"})
    assert unknown_tanks(tanks, TAGS, table(t.TERMINALS, TERMINAL)) == ["XX"]
