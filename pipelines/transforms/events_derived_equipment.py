"""Equipment that PI has as stopped and nobody booked, `pi:<tag>:<first day>`: an event where flow was lost by it.

A stop alone is no loss: a standby machine stands for weeks. It becomes an event where the facility's own meters show less
flow than while it ran, and only as far as the meters on the counting cut miss a volume that no other event explains.
Loss = min(flow while running − flow while standing, unexplained deferment over the same hours), in bbl/d or scf/d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Any

import polars as pl

SOURCE = "pi"
# The domain model's word "constrained" begins at 5 %: a facility that lost less than that flows normally.
LEAST_LOSS = 0.05
CHOKE = "plant"
_BOOKED = "ec"
_HOURS_PER_RATE = 24.0


@dataclass(frozen=True, slots=True)
class Room:
    """What a stop at a node can explain on a label: `volume` that no event explains at the meters it reaches, in the node's
    own bbl or scf; `undisturbed` flow through the node; `meters` it reaches, for what several stops share."""

    volume: float
    undisturbed: float
    meters: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Stop:
    """The stretches of one tag and label that began on one day, in order; they do not overlap."""

    rows: tuple[Mapping[str, Any], ...]
    first_day: date

    @property
    def start(self) -> datetime:
        first: datetime = self.rows[0]["from_utc"]
        return first

    @property
    def end(self) -> datetime:
        last: datetime = self.rows[-1]["to_utc"]
        return last

    @property
    def hours(self) -> float:
        return sum(_hours(r["from_utc"], r["to_utc"]) for r in self.rows)

    def mean(self, column: str) -> float | None:
        """Mean over the stretches by their hours; None where one of them has none."""
        if any(r[column] is None for r in self.rows):
            return None
        return float(sum(r[column] * _hours(r["from_utc"], r["to_utc"]) for r in self.rows) / self.hours)

    def touches(self, start: datetime, end: datetime) -> bool:
        return any(r["from_utc"] < end and start < r["to_utc"] for r in self.rows)


def equipment_events(
    stops: pl.DataFrame,
    *,
    booked: pl.DataFrame,
    room: Callable[[date, str, str], Room | None],
    first_day: Callable[[str, datetime], date],
    day_ends: Mapping[tuple[str, date], datetime],
    tag_counts: Mapping[str, int],
    names: Mapping[str, str],
    last_closed: date,
) -> list[dict[str, Any]]:
    """Rows of core__daily_event without confidence, in order of label and size of the loss.

    `stops`: core__daily_equipment_stop; `booked`: the other events of the labels. A stop that overlaps an event of Energy
    Components on the same equipment, on the facility as a whole or on a line from it is that event, and makes none.
    `room` says what is left to explain at (label, facility, phase); None where it is not known, which makes no event.
    Where the flow of the hours was not measured, the only equipment of a facility (`tag_counts` 1) takes the whole flow,
    as far as there is room; any other makes no event. A loss below 5 % of what flowed makes none either. Stops of one
    facility that overlap are one loss (they share `equipment_id`); others share the room, the larger first.
    """
    events: list[dict[str, Any]] = []
    by_place = _by_place(booked.filter(pl.col("source") == _BOOKED))
    candidates = []
    for stop in _grouped(stops, first_day):
        head = stop.rows[0]
        label, facility_id, phase = head["production_date"], head["facility_id"], head["phase"] or "oil"
        if any(_says_the_same(stop, row) for row in by_place.get((label, facility_id), ())):
            continue
        down, running = stop.mean("flow_down"), stop.mean("flow_running")
        is_measured = down is not None and running is not None
        if not is_measured and tag_counts.get(facility_id, 0) != 1:
            continue
        if down is not None and running is not None and running - down < LEAST_LOSS * running:
            continue
        left = room(label, facility_id, phase)
        if left is None or left.volume <= 0.0:
            continue
        flowing = running if running is not None and down is not None else left.undisturbed
        lost = running - down if running is not None and down is not None else left.undisturbed
        wanted = min(lost, left.undisturbed) * stop.hours / _HOURS_PER_RATE
        candidates.append((label, -wanted, head["tag_id"], wanted, flowing, left, stop, phase))
    taken: list[tuple[date, str, frozenset[tuple[str, str]], _Stop, float]] = []
    for label, _, _, wanted, flowing, left, stop, phase in sorted(candidates, key=lambda c: c[:3]):
        head = stop.rows[0]
        facility_id = head["facility_id"]
        used = sum(
            volume
            for day, facility, meters, other, volume in taken
            if day == label
            and meters & left.meters
            and not (facility == facility_id and stop.touches(other.start, other.end))
        )
        volume = min(wanted, left.volume - used)
        if volume < LEAST_LOSS * flowing * stop.hours / _HOURS_PER_RATE or volume <= 0.0:
            continue
        taken.append((label, facility_id, left.meters, stop, volume))
        end = day_ends[facility_id, label]
        goes_on = stop.end >= end
        is_open = goes_on and label == last_closed
        span = _hours(stop.start, stop.end)
        events.append(
            {
                "production_date": label,
                "event_id": f"{SOURCE}:{head['tag_name']}:{stop.first_day.isoformat()}",
                "phase": phase,
                "facility_id": facility_id,
                "target_kind": "node",
                "target_id": facility_id,
                "equipment_id": f"{SOURCE}:{facility_id}",
                "started_at_utc": min(r["started_at_utc"] for r in stop.rows),
                "ended_at_utc": None if is_open else stop.end,
                "from_utc": stop.start,
                "to_utc": stop.end,
                "hours": stop.hours,
                # Several stretches of one day are one event: their volume is spread from the first to the last.
                "is_uniform": len(stop.rows) > 1,
                "loss_rate": volume / span * _HOURS_PER_RATE,
                "choke": CHOKE,
                "is_planned": False,
                "is_third_party": False,
                "is_open": is_open,
                "title": f"{head['equipment_id'] or head['tag_name']} of {names.get(facility_id, facility_id)} stopped in PI",
                "source": SOURCE,
                "is_doubtful": False,
                "evidence": f"pi:{head['tag_name'].replace(' ', '%20')}/{label.isoformat()}",
            }
        )
    return events


def _grouped(stops: pl.DataFrame, first_day: Callable[[str, datetime], date]) -> list[_Stop]:
    def key(row: Mapping[str, Any]) -> tuple[date, int, date]:
        return row["production_date"], row["tag_id"], first_day(row["facility_id"], row["started_at_utc"])

    rows = sorted(stops.iter_rows(named=True), key=lambda row: (*key(row), row["from_utc"]))
    return [_Stop(tuple(part), began) for (_, _, began), part in groupby(rows, key=key)]


def _by_place(booked: pl.DataFrame) -> dict[tuple[date, str], list[Mapping[str, Any]]]:
    found: dict[tuple[date, str], list[Mapping[str, Any]]] = {}
    for row in booked.iter_rows(named=True):
        found.setdefault((row["production_date"], row["facility_id"]), []).append(row)
    return found


def _says_the_same(stop: _Stop, row: Mapping[str, Any]) -> bool:
    """A booked event that overlaps and is of the equipment, or of more than a well."""
    is_own = row["equipment_id"] is not None and row["equipment_id"] == stop.rows[0]["equipment_id"]
    return (is_own or row["target_kind"] != "source") and stop.touches(row["from_utc"], row["to_utc"])


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600.0
