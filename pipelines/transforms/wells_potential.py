"""Potential of a well by named methods, and what each carries from day to day.

last_full_day: oil of the latest full day ÷ its length; month_average: Σ oil ÷ Σ hours of the calendar month; well_test: the last
test. Methods are tried in the operator's order, row by row. Rates here are per 24 h in base units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from pipelines.transforms import carry_state

METHODS = ("well_test", "last_full_day", "month_average")
COLUMNS = ("oil_potential_bblpd", "gas_potential_scfpd", "potential_basis")
# A day is full when at most this many hours are missing: hours come rounded to hundredths.
FULL_DAY_TOLERANCE_HOURS = 0.01
_KEYS = ["production_date", "well_id"]
_PHASES = {"oil": ("oil_volume_bbl", "oil_potential_bblpd"), "gas": ("gas_volume_scf", "gas_potential_scfpd")}


@dataclass(frozen=True, slots=True)
class WellPotentials:
    """`frame`: production_date, well_id and COLUMNS, one row a row of the input; `state`: carried rows of every label."""

    frame: pl.DataFrame
    state: pl.DataFrame


def potentials(
    days: pl.DataFrame,
    methods: Sequence[str],
    labels: Sequence[date],
    state: pl.DataFrame,
    tests: pl.DataFrame | None = None,
) -> WellPotentials:
    """Potentials for rows of core__daily_well (without potential columns) by the first of `methods` that has an oil rate.

    Names in `methods` that are no well method are left out, so the operator's whole chain may be passed. `tests` has
    production_date, well_id, network (oil, or any gas network), rate: a test holds from its day until the next one.
    Null before the first full day, test, or hour on stream in the month. A month known only up to the range's end gives the
    average of what is known; the state carries its sums into the next range.
    """
    wanted = [m for m in methods if m in METHODS]
    days_of_method: dict[str, Callable[[], tuple[pl.DataFrame, pl.DataFrame]]] = {
        "well_test": lambda: _well_test(days, labels, state, tests),
        "last_full_day": lambda: _last_full_day(days, labels, state),
        "month_average": lambda: _month_average(days, labels, state),
    }
    frame = days.select(
        *_KEYS,
        pl.lit(None, dtype=pl.Float64).alias("oil_potential_bblpd"),
        pl.lit(None, dtype=pl.Float64).alias("gas_potential_scfpd"),
        pl.lit(None, dtype=pl.String).alias("potential_basis"),
    )
    states = []
    for method in wanted:
        found, carried = days_of_method[method]()
        states.append(carried)
        is_open = pl.col("potential_basis").is_null() & pl.col("oil").is_not_null()
        frame = frame.join(found, on=_KEYS, how="left").select(
            *_KEYS,
            pl.when(is_open).then("oil").otherwise("oil_potential_bblpd").alias("oil_potential_bblpd"),
            pl.when(is_open).then("gas").otherwise("gas_potential_scfpd").alias("gas_potential_scfpd"),
            pl.when(is_open).then(pl.lit(method)).otherwise("potential_basis").alias("potential_basis"),
        )
    return WellPotentials(frame, carry_state.gather(*states))


def _points(rows: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    return rows.select(pl.col("well_id").alias("entity_id"), "production_date", value.alias("value"))


def _wide(carried: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """production_date, well_id, oil, gas from one carried frame a phase."""
    oil, gas = (
        carried[p].select(pl.col("entity_id").alias("well_id"), "production_date", pl.col("value").alias(p))
        for p in ("oil", "gas")
    )
    return oil.join(gas, on=_KEYS, how="left").select(*_KEYS, "oil", "gas")


def _last_full_day(
    days: pl.DataFrame, labels: Sequence[date], state: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    is_full = (
        pl.col("is_producer")
        & (pl.col("on_stream_hours") >= pl.col("day_hours") - FULL_DAY_TOLERANCE_HOURS)
        & (pl.col("oil_volume_bbl") > 0)
    )
    full = days.filter(is_full)
    carried, states = {}, []
    for phase, (volume, _) in _PHASES.items():
        kind = f"well_{phase}_last_full_day"
        rate = pl.col(volume).fill_null(0.0) / pl.col("day_hours") * 24.0
        carried[phase] = carry_state.carried(_points(full, rate), state, kind, labels)
        states.append(carry_state.rows(carried[phase], kind))
    return _wide(carried), carry_state.gather(*states)


def _month_average(
    days: pl.DataFrame, labels: Sequence[date], state: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    month = pl.col("production_date").dt.month_start()
    sums = {"oil": pl.col("oil_volume_bbl"), "gas": pl.col("gas_volume_scf"), "hours": pl.col("on_stream_hours")}
    daily = days.filter("is_producer").select(
        *_KEYS, month.alias("month"), *(e.fill_null(0.0).alias(name) for name, e in sums.items())
    )
    earlier = pl.concat(
        [
            carry_state.of_kind(state, f"well_month_{name}").select(
                pl.col("entity_id").alias("well_id"),
                pl.col("as_of").alias("month"),
                *(pl.col("value").alias(n) if n == name else pl.lit(0.0).alias(n) for n in sums),
            )
            for name in sums
        ]
    )
    totals = (
        pl.concat([earlier, daily.select("well_id", "month", *sums)])
        .group_by("well_id", "month")
        .agg(pl.col(*sums).sum())
    )
    rates = totals.filter(pl.col("hours") > 0).select(
        "well_id", "month", *((pl.col(p) / pl.col("hours") * 24.0).alias(p) for p in _PHASES)
    )
    found = days.select(*_KEYS, month.alias("month")).join(rates, on=["well_id", "month"], how="left").drop("month")
    return found, _month_state(daily, earlier, labels, list(sums))


def _month_state(
    daily: pl.DataFrame, earlier: pl.DataFrame, labels: Sequence[date], names: Sequence[str]
) -> pl.DataFrame:
    """Sums of the month up to each label, under the month's first day."""
    wells = pl.concat([daily["well_id"], earlier["well_id"]]).rename("entity_id")
    cells = (
        carry_state.grid(labels, wells)
        .rename({"entity_id": "well_id"})
        .with_columns(pl.col("production_date").dt.month_start().alias("month"))
    )
    base = earlier.group_by("well_id", "month").agg(pl.col(*names).sum())
    running = (
        cells.join(daily.drop("month"), on=_KEYS, how="left")
        .join(base, on=["well_id", "month"], how="left", suffix="_before")
        .sort(["well_id", "production_date"])
        .with_columns(
            [
                (
                    pl.col(n).fill_null(0.0).cum_sum().over("well_id", "month") + pl.col(f"{n}_before").fill_null(0.0)
                ).alias(n)
                for n in names
            ]
        )
        .rename({"well_id": "entity_id", "month": "as_of"})
    )
    return carry_state.gather(
        *(
            carry_state.rows(running.with_columns(pl.col(n).alias("value")), f"well_month_{n}").filter(
                pl.col("value") > 0
            )
            for n in names
        )
    )


def _well_test(
    days: pl.DataFrame, labels: Sequence[date], state: pl.DataFrame, tests: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    carried, states = {}, []
    for phase in _PHASES:
        kind = f"well_{phase}_test"
        points = pl.DataFrame(schema={"entity_id": pl.String, "production_date": pl.Date, "value": pl.Float64})
        if tests is not None:
            of_phase = tests.filter((pl.col("network") == "oil") == (phase == "oil"))
            points = _points(of_phase, pl.col("rate").cast(pl.Float64))
        carried[phase] = carry_state.carried(points, state, kind, labels)
        states.append(carry_state.rows(carried[phase], kind))
    return _wide(carried), carry_state.gather(*states)
