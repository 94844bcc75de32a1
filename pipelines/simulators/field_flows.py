"""Flows of a small tree network with losses, and Shapley shares of events in them: the truth's own solver.

Written from the domain model without a look at the pipeline's solver, so that each can judge the other.
Arrays are [segment, subset, …]; a subset is a bit mask over the segment's events, the full set is the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

import numpy as np

from pipelines.simulators.field_calendar import Floats, Integers

CELLS_AT_ONCE = 3_000_000


@dataclass(frozen=True)
class Segment:
    """A stretch of one day with the same active events: their elements, loss rates (per 24 h) and equipment."""

    day: int
    start: float
    end: float
    events: tuple[int, ...]
    elements: tuple[int, ...]
    losses: tuple[float, ...]
    equipment: tuple[str, ...]


@dataclass(frozen=True)
class Solved:
    """A segment's outcome: `flows` with all events (per member), `detail` of the full set, shares per event and member."""

    flows: Floats
    detail: Floats
    share: Floats
    alone: Floats
    gain: Floats


Evaluate = Callable[[Floats], tuple[Floats, Floats]]


def available(losses: Floats, undisturbed: Floats, capacity: Floats) -> Floats:
    """Rate that each element still passes: its capacity, or what its losses leave of the undisturbed flow."""
    return np.where(losses > 0.0, np.clip(undisturbed - losses, 0.0, capacity), capacity)


def fair(limits: Floats, potentials: Floats, pool: Floats) -> Floats:
    """Max-min fair rates in rate ÷ potential: at most `limits` each and `pool` together (last axis: members)."""
    limits = np.where(potentials > 0.0, limits, 0.0)
    if limits.shape[-1] == 0:
        return limits
    safe = np.where(potentials > 0.0, potentials, 1.0)
    order = np.argsort(limits / safe, axis=-1, kind="stable")
    sorted_limits = np.take_along_axis(limits, order, -1)
    sorted_potentials = np.take_along_axis(np.broadcast_to(potentials, limits.shape), order, -1)
    rates = np.empty_like(sorted_limits)
    left = np.array(np.broadcast_to(pool, limits.shape[:-1]), dtype=np.float64)
    weight = sorted_potentials.sum(axis=-1)
    for i in range(limits.shape[-1]):
        own = sorted_potentials[..., i]
        level = np.divide(left * own, weight, out=np.zeros_like(left), where=weight > 0.0)
        rates[..., i] = np.minimum(sorted_limits[..., i], level)
        left = np.maximum(0.0, left - rates[..., i])
        weight = weight - own
    result = np.empty_like(rates)
    np.put_along_axis(result, order, rates, -1)
    return result


def _masks(count: int) -> Floats:
    numbers = np.arange(2**count)
    return ((numbers[:, None] >> np.arange(count)[None, :]) & 1).astype(np.float64)


def subset_losses(segments: list[Segment], element_count: int) -> Floats:
    """Loss per element of every subset of a segment's events; of one equipment the larger counts once."""
    count = len(segments[0].events)
    bits = _masks(count)
    spread = np.zeros((len(segments), count, element_count))
    for row, segment in enumerate(segments):
        spread[row, np.arange(count), list(segment.elements)] = segment.losses
    losses: Floats = np.einsum("mn,kne->kme", bits, spread)
    for row, segment in enumerate(segments):
        named = [i for i in range(count) if segment.equipment[i]]
        for place, i in enumerate(named):
            for j in named[place + 1 :]:
                if (segment.elements[i], segment.equipment[i]) == (segment.elements[j], segment.equipment[j]):
                    both = bits[:, i] * bits[:, j]
                    losses[row, :, segment.elements[i]] -= both * min(segment.losses[i], segment.losses[j])
    return np.maximum(losses, 0.0)


def solve(segments: list[Segment], element_count: int, evaluate_on: Callable[[Integers], Evaluate]) -> list[Solved]:
    """Every segment solved for all subsets of its events, in the order given.

    `evaluate_on(days)` returns the evaluation for segments of those days: losses [k, m, e] in, member flows [k, m, f]
    and detail [k, m, x] out. Shares are exact Shapley values of the lost flow.
    """
    outcome: list[Solved | None] = [None] * len(segments)
    groups: dict[int, list[int]] = {}
    for index, segment in enumerate(segments):
        groups.setdefault(len(segment.events), []).append(index)
    for count, members in groups.items():
        size = max(1, CELLS_AT_ONCE // (2**count * max(1, element_count)))
        for first in range(0, len(members), size):
            chunk = members[first : first + size]
            picked = [segments[i] for i in chunk]
            losses = subset_losses(picked, element_count) if count else np.zeros((len(picked), 1, element_count))
            flows, detail = evaluate_on(np.array([s.day for s in picked]))(losses)
            share, alone, gain = shapley(flows, count)
            for row, index in enumerate(chunk):
                outcome[index] = Solved(flows[row, -1], detail[row, -1], share[row], alone[row], gain[row])
    return [o for o in outcome if o is not None]


def shapley(flows: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Shapley share, loss alone and gain if fixed, each [segment, event, member], of flows [segment, subset, member]."""
    segments, _, members = flows.shape
    shape = (segments, count, members)
    share, alone, gain = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    sizes = _masks(count).sum(axis=1).astype(int)
    numbers = np.arange(2**count)
    weights = [
        factorial(s) * factorial(count - s - 1) / factorial(count) if s < count else 0.0 for s in range(count + 1)
    ]
    for i in range(count):
        without = numbers[(numbers >> i) & 1 == 0]
        weight = np.array([weights[s] for s in sizes[without]])
        share[:, i, :] = np.einsum("m,kmf->kf", weight, flows[:, without, :] - flows[:, without | (1 << i), :])
        alone[:, i, :] = flows[:, 0, :] - flows[:, 1 << i, :]
        everything = numbers[-1]
        gain[:, i, :] = flows[:, everything & ~(1 << i), :] - flows[:, everything, :]
    return share, alone, gain
