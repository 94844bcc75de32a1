"""Unit jumps: a value about a thousand times its own trailing median is a unit error until a person says otherwise.

Rows go in sorted by nothing in particular; the trailing window is carried from label to label as state. A rejected value never
enters the window, so a source that keeps the wrong unit stays rejected until its mapping is corrected.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

import polars as pl

from pipelines.transforms import carry_state
from pipelines.transforms.quality import Rule

# A slip is ×1000; measured values swing by no more than this above their median once a window is full.
JUMP_RATIO = 300.0
# Nine accepted positive values: a median that four odd days cannot move.
JUMP_WINDOW = 9
JUMP_MINIMUM = 5
# What idles near zero comes back by any ratio (a gas storage from 0.1 to 130 TJ a day): up to ten times the highest median it has
# ever had, a value is its own. A slip of ×1000 from a tenth of that median on is still one.
KNOWN_RATIO = 10.0


@dataclass(frozen=True, slots=True)
class Jumps:
    """Mask of the jumping rows, in the order of the frame, and the windows at the end of each label."""

    mask: pl.Series
    state: pl.DataFrame


def unit_jumps(
    frame: pl.DataFrame, *, entity: str, value: str, kind: str, labels: Sequence[date], state: pl.DataFrame
) -> Jumps:
    """Rows whose `value` exceeds JUMP_RATIO × the median of the entity's last JUMP_WINDOW accepted positive values, and
    KNOWN_RATIO × the highest such median so far.

    `frame` has production_date, `entity` and `value` (one unit per entity); null, zero and negative values neither jump nor
    enter the window; fewer than JUMP_MINIMUM values judge nothing. Only upward: a well that nearly stops is no unit error.
    """
    seeds = carry_state.of_kind(state, kind)
    windows: dict[str, deque[tuple[date, float]]] = {}
    for name, as_of, seed in (
        seeds.sort("entity_id", "slot", descending=True).select("entity_id", "as_of", "value").iter_rows()
    ):
        windows.setdefault(name, deque(maxlen=JUMP_WINDOW)).append((as_of, seed))
    highest = dict(carry_state.of_kind(state, _highest_kind(kind)).select("entity_id", "value").iter_rows())
    rows = (
        frame.select("production_date", pl.col(entity).alias("entity_id"), pl.col(value).alias("value"))
        .with_row_index("row")
        .filter(pl.col("value") > 0)
        .sort("entity_id", "production_date", "row")
    )
    suspects = _suspects(rows, seeds)
    jumping: list[int] = []
    for row, day, name, number in (
        rows.filter(pl.col("entity_id").is_in(suspects))
        .select("row", "production_date", "entity_id", "value")
        .iter_rows()
    ):
        window = windows.setdefault(name, deque(maxlen=JUMP_WINDOW))
        if len(window) >= JUMP_MINIMUM:
            usual = median(v for _, v in window)
            highest[name] = max(usual, highest.get(name, 0.0))
            if number > JUMP_RATIO * usual and number > KNOWN_RATIO * highest[name]:
                jumping.append(row)
                continue
        window.append((day, number))
    mask = pl.Series("jump", [False] * frame.height, dtype=pl.Boolean)
    if jumping:
        mask = mask.scatter(jumping, True)
    accepted = rows.filter(~pl.col("row").is_in(jumping))
    numbered = carry_state.window_points(accepted, state, kind)
    windows_then = carry_state.window_rows(numbered, kind, labels, JUMP_WINDOW)
    return Jumps(mask, carry_state.gather(windows_then, _highest_rows(numbered, kind, labels, state)))


def _highest_kind(kind: str) -> str:
    return f"{kind}_highest"


def _highest_rows(numbered: pl.DataFrame, kind: str, labels: Sequence[date], state: pl.DataFrame) -> pl.DataFrame:
    """State rows of the highest median that each entity's window has had, with the day on which it had it."""
    medians = numbered.select(
        "entity_id",
        "production_date",
        pl.col("value").rolling_median(JUMP_WINDOW, min_samples=JUMP_MINIMUM).over("entity_id").alias("value"),
        # The carried part of a window has been judged before, when it was whole.
    ).filter(pl.col("value").is_not_null(), pl.col("production_date") >= min(labels))
    seeds = carry_state.of_kind(state, _highest_kind(kind)).select(
        "entity_id", pl.col("as_of").alias("production_date"), "value"
    )
    running = pl.concat([seeds, medians]).with_columns(pl.col("value").cum_max().over("entity_id").alias("highest"))
    rising = running.filter(pl.col("highest").ne_missing(pl.col("highest").shift(1).over("entity_id"))).select(
        "entity_id", "production_date", pl.col("highest").alias("value")
    )
    return carry_state.rows(
        carry_state.carried(rising, carry_state.NO_STATE, _highest_kind(kind), labels), _highest_kind(kind)
    )


def _suspects(rows: pl.DataFrame, seeds: pl.DataFrame) -> list[str]:
    """Entities whose largest value is over the ratio of their smallest: no other can hold a jump, so no other is walked."""
    spread = (
        pl.concat([rows.select("entity_id", "value"), seeds.select("entity_id", "value")])
        .group_by("entity_id")
        .agg(pl.col("value").max().alias("high"), pl.col("value").min().alias("low"))
    )
    return spread.filter(pl.col("high") > JUMP_RATIO * pl.col("low"))["entity_id"].sort().to_list()


def rule(mask: pl.Series, value: str) -> Rule:
    """The jumps as a rule for quality.split, on the same frame in the same order."""
    return Rule(
        "unit_jump",
        f"{value} is over {JUMP_RATIO:g} times its trailing median: correct the unit in the source or in the site's mapping",
        pl.lit(mask),
    )
