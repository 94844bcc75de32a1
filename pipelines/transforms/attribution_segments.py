"""A production day cut at every start and end of an event, each stretch solved, volumes added.

Events whose targets cannot influence each other's meters are attributed apart, and a set of concurrent
events is solved once however many stretches it fills; all sets of the day are one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.transforms.attribution_shapley import Plan, plan, shares
from pipelines.transforms.network_fair import Element, FairSolver

Array = NDArray[np.float64]
# Capacity vectors solved together: bounds the memory of a day with many concurrent events.
BATCH = 16_384


@dataclass(frozen=True, slots=True)
class Acting:
    """One event on one graph: its element's number, the meters it can reach (bit mask), the rate it
    takes, its clipped interval, and the equipment whose overlapping losses count once."""

    element: int
    reach: int
    loss: float
    start: datetime
    end: datetime
    equipment: str


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Volumes per (event, meter), and per meter the hours of its day and the volume lost in all."""

    volume: Array
    alone: Array
    gain: Array
    error: Array
    hours: Array
    lost: Array


def attribute_segments(
    solver: FairSolver,
    events: Sequence[Acting],
    days: Sequence[tuple[datetime, datetime]],
    through: Mapping[Element, float],
    exact_events: int,
) -> Shares:
    """Shapley shares of `events` (in canonical order) over the meters' days.

    `through` holds flow_t(∅) of every target. A loss of 0 changes nothing and is left out of the sets.
    """
    meters = len(solver.meters)
    hours = np.array([(b - a).total_seconds() / 3600.0 for a, b in days])
    volume, alone, gain, error = (np.zeros((len(events), meters)) for _ in range(4))
    lost = np.zeros(meters)
    result = Shares(volume, alone, gain, error, hours, lost)
    together = _concurrent(solver, events, days)
    if not together:
        return result
    keys = list(together)
    limits = _Limits(solver, events, through)
    undisturbed = solver.undisturbed()
    at = 0
    while at < len(keys):
        chosen: list[tuple[tuple[tuple[int, ...], int], Plan]] = []
        size = 0
        while at < len(keys) and (not chosen or size < BATCH):
            chosen.append((keys[at], plan(len(keys[at][0]), exact_events)))
            size += len(chosen[-1][1].subsets)
            at += 1
        members = np.zeros((size, len(events)), dtype=bool)
        first = 0
        for (group, _), what in chosen:
            members[first : first + len(what.subsets), group] = what.subsets
            first += len(what.subsets)
        flows = solver.solve(limits.capacities(members))
        first = 0
        for (group, mask), what in chosen:
            reached = np.array([float(mask >> f & 1) for f in range(meters)])
            weight = together[group, mask] / 24.0 * reached
            table = undisturbed - flows[first : first + len(what.subsets)]
            first += len(what.subsets)
            share, uncertain = shares(what, table)
            index = list(group)
            volume[index] += share * weight
            error[index] += uncertain * weight
            alone[index] += (table[what.alone] - table[what.empty]) * weight
            gain[index] += (table[what.whole] - table[what.without]) * weight
            lost += (table[what.whole] - table[what.empty]) * weight
    return result


def _concurrent(
    solver: FairSolver, events: Sequence[Acting], days: Sequence[tuple[datetime, datetime]]
) -> dict[tuple[tuple[int, ...], int], Array]:
    """Hours per meter of every set of concurrent events that can influence each other, keyed by
    (event numbers, bit mask of the meters they reach)."""
    bound = solver.bound_together()
    closed = [_closure(e.reach, bound) for e in events]
    real = [i for i, e in enumerate(events) if e.loss > 0.0]
    cuts = sorted({t for i in real for t in (events[i].start, events[i].end)} | {t for d in days for t in d})
    position = {t: i for i, t in enumerate(cuts)}
    starting: dict[int, list[int]] = defaultdict(list)
    ending: dict[int, list[int]] = defaultdict(list)
    for i in real:
        starting[position[events[i].start]].append(i)
        ending[position[events[i].end]].append(i)
    result: dict[tuple[tuple[int, ...], int], Array] = {}
    active: set[int] = set()
    distinct = set(days)
    for at, (start, end) in enumerate(pairwise(cuts)):
        active.difference_update(ending[at])
        active.update(starting[at])
        if not active:
            continue
        length = (end - start).total_seconds() / 3600.0
        inside = {d: length if d[0] <= start and end <= d[1] else 0.0 for d in distinct}
        stretch = np.array([inside[d] for d in days])
        groups: list[tuple[int, list[int]]] = []
        for i in sorted(active):
            mask, members = closed[i], [i]
            apart = []
            for other in groups:
                if other[0] & mask:
                    mask |= other[0]
                    members = other[1] + members
                else:
                    apart.append(other)
            groups = [*apart, (mask, members)]
        for mask, members in groups:
            key = (tuple(sorted(members)), mask)
            result[key] = result[key] + stretch if key in result else stretch
    return result


def _closure(mask: int, bound: Sequence[int]) -> int:
    grown = True
    while grown:
        grown = False
        for b in bound:
            if b & mask and b & ~mask:
                mask |= b
                grown = True
    return mask


class _Limits:
    """Available capacities under sets of events: min(capacity, max(0, flow(∅) − Σ losses)) of a target,
    overlapping losses of one piece of equipment once, the larger."""

    def __init__(self, solver: FairSolver, events: Sequence[Acting], through: Mapping[Element, float]) -> None:
        self.base = solver.base
        self.targets = sorted({e.element for e in events})
        column = {t: k for k, t in enumerate(self.targets)}
        self.flow = np.array([through[solver.elements[t]] for t in self.targets])
        self.of_event = np.zeros((len(events), len(self.targets)))
        equipment: dict[tuple[int, str], list[int]] = defaultdict(list)
        for i, e in enumerate(events):
            self.of_event[i, column[e.element]] = 1.0
            equipment[e.element, e.equipment].append(i)
        self.losses = np.array([e.loss for e in events])
        self.shared = [members for members in equipment.values() if len(members) > 1]

    def capacities(self, members: NDArray[np.bool_]) -> Array:
        """Capacity vectors, shape (sets, elements), of sets of events, shape (sets, events)."""
        taken = members * self.losses
        for group in self.shared:
            largest = taken[:, group].max(axis=1)
            taken[:, group] = 0.0
            taken[:, group[0]] = largest
        lost = taken @ self.of_event
        touched = (members.astype(np.float64) @ self.of_event) > 0.0
        capacities = np.repeat(self.base[np.newaxis, :], len(members), axis=0)
        available = np.minimum(self.base[self.targets], np.maximum(0.0, self.flow - lost))
        capacities[:, self.targets] = np.where(touched, available, capacities[:, self.targets])
        return capacities
