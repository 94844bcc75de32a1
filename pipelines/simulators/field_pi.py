"""What the field's historian holds: points, process values of the last days, tank gauges of the whole history.

Some tags are sampled every minute, the others every ten, gauges every hour; all on the grid of whole minutes. Bad
stretches carry system states instead of values. Values are in each tag's own engineering unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_meters import bias_factor
from pipelines.simulators.field_oil import random
from pipelines.simulators.field_profiles import Profiles, day_means, run_states
from pipelines.simulators.field_terminals import hourly_stock
from pipelines.simulators.field_world import World

BBL_PER_SM3 = 6.289810770
SCF_PER_SM3 = 35.314666721
EVERY_MINUTE = frozenset(
    {
        "rate",
        "separator_rate",
        "trunk_inlet_rate",
        "flare_rate",
        "gas_rate",
        "throughput_rate",
        "feed_rate",
        "receipt_rate",
        "export_rate",
        "suction_pressure",
    }
)
# Mean and deviation of what is measured beside the flows.
LEVELS = {
    "pressure": (42.0, 0.8),
    "suction_pressure": (6.5, 0.15),
    "temperature": (58.0, 1.2),
    "level": (51.0, 2.5),
    "water_cut": (44.0, 1.5),
    "water_level": (85.0, 0.4),
}
BAD_STATES = (246, 255, 254, 237)
RUN_SET = "RUN_STATUS"
POINT_ID_OFFSET = 40_000


def unit_factor(unit: str, measurement: str, network: str) -> float:
    """What turns base units (bbl, bbl/d, scf, scf/d) into a tag's unit."""
    factors = {"kbbl/d": 1e-3, "kbbl": 1e-3, "MMscf/d": 1e-6}
    if unit in ("Sm3/d", "Sm3"):
        is_oil = network == "oil" and measurement != "gas_rate"
        return 1.0 / (BBL_PER_SM3 if is_oil else SCF_PER_SM3)
    return factors.get(unit, 1.0)


def write_pi(world: World, folder: Path, pi_days: int) -> tuple[pl.DataFrame, int]:
    """Write points, digital sets and values into `folder`; returns the truth by tag and day, and the number of values."""
    (folder / "values").mkdir(parents=True, exist_ok=True)
    _points(world).write_csv(folder / "points.csv")
    sets = [("Stopped", 0), ("Running", 1)]
    pl.DataFrame(
        [(RUN_SET, name, value) for name, value in sets], schema=["set", "name", "value"], orient="row"
    ).write_csv(folder / "digital_sets.csv")
    calendar = world.calendar
    first = max(0, calendar.closed - pi_days)
    truth, written = [], 0
    for minutes, fast in ((1, True), (10, False)):
        tags = [
            t for t in world.reference.tags if t["group"] == "process" and (t["measurement"] in EVERY_MINUTE) == fast
        ]
        if not tags:
            continue
        # One sample before the first day, so that every day has the value that held when it began.
        begin = float(calendar.bounds[first]) - minutes / 60.0
        count = int((calendar.now_hours - begin) * 60.0 / minutes + 1e-9) + 1
        grid = begin + np.arange(count) * minutes / 60.0
        values = _values(world, tags, grid)
        states, good = _bad_stretches(world, tags, grid, first, f"bad {minutes}")
        truth.append(_truth(world, tags, grid, values, good, first))
        name = "minute" if fast else "ten_minutes"
        written += _write(world, tags, grid, values, states, folder / "values", name)
    written += _write_gauges(world, folder / "values")
    return pl.concat(truth) if truth else pl.DataFrame(), written


def _points(world: World) -> pl.DataFrame:
    names = {f["facility_id"]: f["name"] for f in world.reference.facilities}
    rows = []
    for tag in world.reference.tags:
        digital = tag["measurement"] == "run_status"
        words = tag["measurement"].replace("_", " ")
        rows.append(
            {
                "Name": tag["tag_name"],
                "Id": POINT_ID_OFFSET + int(tag["tag_id"]),
                "Descriptor": f"{names[tag['facility_id']]} {tag['object_id']} {words}",
                "EngineeringUnits": tag["unit"],
                "PointType": "Digital" if digital else "Float64",
                "DigitalSetName": RUN_SET if digital else "",
                "Step": tag["is_step"] == "true",
                "Span": 1.0 if digital else 100.0,
                "Zero": 0.0,
            }
        )
    return pl.DataFrame(rows)


def _values(world: World, tags: list[Mapping[str, str]], grid: Floats) -> Floats:
    """Values [tag, instant] in the tags' units."""
    profiles, running = Profiles(world, grid), run_states(world, grid)
    days = world.calendar.closed + 1
    ripple = _ripple(random(world.seed, "ripple"), len(grid))
    values = np.empty((len(tags), len(grid)))
    for row, tag in enumerate(tags):
        rng = random(world.seed, f"tag {tag['tag_name']}")
        measurement = tag["measurement"]
        if measurement == "run_status":
            values[row] = running.get((tag["facility_id"], tag["object_id"]), np.ones(len(grid)))
        elif measurement in LEVELS:
            mean, deviation = LEVELS[measurement]
            mean *= float(rng.uniform(0.8, 1.2))
            values[row] = np.round(
                mean + deviation * (_ripple(rng, len(grid)) + 0.3 * rng.standard_normal(len(grid))), 3
            )
        else:
            curve = profiles.mean_true(tag["object_id"])
            shape = curve * (
                1.0 + 0.004 * np.roll(ripple, int(rng.integers(len(grid)))) + 0.002 * rng.standard_normal(len(grid))
            )
            bias = bias_factor(world.biases, tag["object_id"], days)
            wanted = profiles.volumes(tag["object_id"]) / world.calendar.hours * 24.0 * bias
            exact = day_means(world.calendar, grid, np.maximum(shape, 0.0), wanted)
            values[row] = np.round(exact * unit_factor(tag["unit"], measurement, tag["network"]), 5)
    return values


def _ripple(rng: np.random.Generator, count: int) -> Floats:
    """Slow noise of deviation about 1: a moving mean over some forty samples."""
    width = 40
    white = rng.standard_normal(count + width)
    sums = np.cumsum(white)
    smooth: Floats = (sums[width:] - sums[:-width]) / np.sqrt(width)
    return smooth[:count]


def _bad_stretches(
    world: World, tags: list[Mapping[str, str]], grid: Floats, first: int, name: str
) -> tuple[pl.Series, Floats]:
    """System state (0 = a value) of each sample [tag × instant] and the good fraction [tag, closed day of the window]."""
    calendar, rng = world.calendar, random(world.seed, name)
    share = float(world.reference.field["rates"]["bad_tag_day_share"])
    closed = range(first, calendar.closed)
    states = np.zeros((len(tags), len(grid)), dtype=np.int16)
    good = np.ones((len(tags), len(closed)))
    quota = rng.permutation(len(tags) * len(closed))[: round(share * len(tags) * len(closed))]
    stand_ins = {r["stream"] for r in world.reference.field["last_day"].get("late_rows", [])}
    for cell in quota:
        tag, place = divmod(int(cell), len(closed))
        if tags[tag]["object_id"] in stand_ins and place == len(closed) - 1:
            continue
        low, high = float(calendar.bounds[first + place]), float(calendar.bounds[first + place + 1])
        length = float(rng.uniform(0.12, 0.6)) * (high - low)
        start = low + float(rng.uniform(0.02, 0.98)) * (high - low - length - 0.5)
        bad = np.flatnonzero((grid >= start) & (grid < start + length))
        states[tag, bad] = BAD_STATES[int(rng.integers(len(BAD_STATES)))]
        good[tag, place] = 1.0 - (grid[bad[-1] + 1] - grid[bad[0]]) / (high - low)
    return pl.Series(states.reshape(-1)), good


def _truth(
    world: World, tags: list[Mapping[str, str]], grid: Floats, values: Floats, good: Floats, first: int
) -> pl.DataFrame:
    calendar, columns = world.calendar, []
    for day in range(first, calendar.closed):
        low, high = (int(i) for i in np.searchsorted(grid, calendar.bounds[day : day + 2] - 1e-9))
        part = slice(low, high + 1)
        span = grid[high] - grid[low]
        means = np.trapezoid(values[:, part], grid[part], axis=1) / span
        held = values[:, low:high].mean(axis=1)
        step = np.array([t["is_step"] == "true" for t in tags])
        means = np.where(step, held, means)
        factors = np.array([unit_factor(t["unit"], t["measurement"], t["network"]) for t in tags])
        columns.append(
            pl.DataFrame(
                {
                    "tag_name": [t["tag_name"] for t in tags],
                    "facility_id": [t["facility_id"] for t in tags],
                    "measurement": [t["measurement"] for t in tags],
                    "production_date": [calendar.labels[day]] * len(tags),
                    "mean": means,
                    "mean_base": means / factors,
                    "good_fraction": good[:, day - first],
                }
            )
        )
    return pl.concat(columns)


def _instants(calendar: Calendar, grid: Floats) -> pl.Series:
    start = int(calendar.origin.timestamp())
    seconds = start + np.round(grid * 3600.0).astype(np.int64)
    return pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))


def _write(
    world: World,
    tags: list[Mapping[str, str]],
    grid: Floats,
    values: Floats,
    states: pl.Series,
    folder: Path,
    name: str,
) -> int:
    """One file for all of these tags, sorted by name and time."""
    order = sorted(range(len(tags)), key=lambda i: tags[i]["tag_name"])
    names = pl.Series([tags[i]["tag_name"] for i in order], dtype=pl.String)
    count = len(grid)
    state = pl.Series(states.to_numpy().reshape(len(tags), count)[order].reshape(-1))
    instants = _instants(world.calendar, grid)
    frame = pl.DataFrame(
        {
            "Name": names.gather(np.repeat(np.arange(len(order)), count)),
            "Timestamp": instants.gather(np.tile(np.arange(count), len(order))),
            "Value": pl.Series(values[order].reshape(-1)),
            "State": state,
        }
    ).with_columns(
        Value=pl.when(pl.col("State") == 0).then("Value"),
        State=pl.when(pl.col("State") != 0).then("State"),
        Good=pl.col("State") == 0,
        Questionable=pl.lit(False),
        Substituted=pl.lit(False),
    )
    frame.write_parquet(folder / f"{name}.parquet", compression="lz4")
    return frame.height


def _write_gauges(world: World, folder: Path) -> int:
    """Tank gauges, hourly over the whole history: the tanks of a terminal sum to its stock."""
    calendar = world.calendar
    tags = [t for t in world.reference.tags if t["group"] == "gauge"]
    if not tags:
        return 0
    grid = np.arange(int(calendar.now_hours + 1e-9) + 1, dtype=np.float64)
    values = np.empty((len(tags), len(grid)))
    for history in world.terminals:
        rows = [i for i, t in enumerate(tags) if t["facility_id"] == history.terminal.facility_id]
        tanks = [i for i in rows if tags[i]["measurement"] == "stock"]
        shares = random(world.seed, f"tanks {history.terminal.facility_id}").dirichlet(np.full(len(tanks), 40.0))
        stock = hourly_stock(history, calendar, grid)
        for i, share in zip(tanks, shares, strict=True):
            values[i] = np.round(stock * share * unit_factor(tags[i]["unit"], "stock", "oil"), 4)
        for i in (r for r in rows if tags[r]["measurement"] != "stock"):
            rng = random(world.seed, f"tag {tags[i]['tag_name']}")
            mean, deviation = LEVELS[tags[i]["measurement"]]
            values[i] = np.round(mean + deviation * rng.standard_normal(len(grid)), 1)
    states = pl.Series(np.zeros(values.size, dtype=np.int16))
    return _write(world, tags, grid, values, states, folder, "gauges")
