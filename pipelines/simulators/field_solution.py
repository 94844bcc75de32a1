"""History solved: what flowed with the booked events, and each event's exact share of what was lost.

A day is cut at every start and end of an event; each stretch is solved for every subset of its events.
Volumes are of the day (rate × hours ÷ 24), in bbl or scf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats
from pipelines.simulators.field_event import Event
from pipelines.simulators.field_flows import Segment, Solved, solve
from pipelines.simulators.field_oil import Component


@dataclass(frozen=True)
class EventShare:
    """An event's share of one member's loss on one day, with its loss alone and the gain if it had not been."""

    number: int
    day: int
    member: int
    volume: float
    alone: float
    gain: float


@dataclass(frozen=True)
class Solution:
    """A component over all days: coded volumes [member, day], detail volumes [name, day], shares, and the stretches."""

    component: Component
    volumes: Floats
    detail: Floats
    shares: list[EventShare]
    segments: list[Segment]
    solved: list[Solved]


def solve_component(component: Component, phase: str, events: list[Event], calendar: Calendar) -> Solution:
    """All days of a component with the events that touch it."""
    segments = list(_segments(component, phase, events, calendar))
    solved = solve(segments, len(component.elements), component.evaluate_on)
    days = calendar.closed + 1
    volumes = np.zeros((len(component.members), days))
    detail = np.zeros((len(component.detail_names), days))
    totals: dict[tuple[int, int, int], list[float]] = {}
    for segment, outcome in zip(segments, solved, strict=True):
        part = (segment.end - segment.start) / 24.0
        volumes[:, segment.day] += outcome.flows * part
        detail[:, segment.day] += outcome.detail * part
        for place, event in enumerate(segment.events):
            for member in range(len(component.members)):
                total = totals.setdefault((event, segment.day, member), [0.0, 0.0, 0.0])
                total[0] += float(outcome.share[place, member]) * part
                total[1] += float(outcome.alone[place, member]) * part
                total[2] += float(outcome.gain[place, member]) * part
    shares = [EventShare(*key, *total) for key, total in sorted(totals.items())]
    return Solution(component, volumes, detail, shares, segments, solved)


def _segments(component: Component, phase: str, events: list[Event], calendar: Calendar) -> Iterator[Segment]:
    touching = []
    for event in events:
        element = event.oil_element if phase == "oil" else event.gas_element
        losses = event.oil if phase == "oil" else event.gas
        if element in component.elements and losses.size and event.deferment_type != "GROUP":
            touching.append((event, component.elements[element], losses))
    for day in range(calendar.closed + 1):
        low, high = float(calendar.bounds[day]), float(calendar.bounds[day + 1])
        today = [t for t in touching if t[0].start < high and t[0].end > low]
        cuts = {low, high}
        for event, _, _ in today:
            cuts |= {c for c in (event.start, event.end) if low < c < high}
        edges = sorted(cuts)
        for start, end in pairwise(edges):
            active = [t for t in today if t[0].start < end and t[0].end > start]
            yield Segment(
                day=day,
                start=start,
                end=end,
                events=tuple(e.number for e, _, _ in active),
                elements=tuple(i for _, i, _ in active),
                losses=tuple(float(x[day - e.first_day]) for e, _, x in active),
                equipment=tuple(e.equipment for e, _, _ in active),
            )
