"""Shapley shares of a set function that is given as a table over subsets of events.

Exact for few events; for many, the mean over random orders in antithetic pairs with a fixed seed, and
its standard error. A plan says which subsets are wanted, so that a caller can solve many at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Subsets = NDArray[np.bool_]

# Domain, Shares: exact up to 6 concurrent events in a connected part of the network.
EXACT_EVENTS = 6
# Orders drawn beyond that, half of them the others reversed.
SAMPLED_ORDERS = 64
SEED = 20_261_122


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The subsets of n events that are wanted, shape (subsets, n), and where in them to look.

    `empty`, `whole` are row numbers; `alone[i]` the row of {i}, `without[i]` of all but i. `weights`
    (n, subsets) gives exact shares; `orders` (orders, n + 1) are rows along each sampled order and
    `drawn` (orders, n) the order itself.
    """

    subsets: Subsets
    empty: int
    whole: int
    alone: NDArray[np.intp]
    without: NDArray[np.intp]
    weights: Array | None
    orders: NDArray[np.intp] | None
    drawn: NDArray[np.intp] | None

    @property
    def is_exact(self) -> bool:
        """No sampling error."""
        return self.weights is not None


@lru_cache(maxsize=128)
def plan(count: int, exact_events: int = EXACT_EVENTS, orders: int = SAMPLED_ORDERS) -> Plan:
    """The plan for `count` events: exact up to `exact_events`, and further where that needs no more
    subsets than sampling would."""
    if count <= exact_events or (count < 30 and 2**count <= orders * (count - 1)):
        return _exact(count)
    return _sampled(count, orders)


def _exact(count: int) -> Plan:
    numbers = np.arange(2**count)
    subsets = (numbers[:, np.newaxis] >> np.arange(count)) & 1 == 1
    sizes = subsets.sum(axis=1)
    total = math.factorial(count)
    # Joining a set of s others has probability s! (n − s − 1)! / n!; staying out enters with a minus.
    joining = np.array([math.factorial(s) * math.factorial(count - s - 1) / total for s in range(count)] + [0.0])
    weights = np.where(subsets.T, joining[sizes - 1], -joining[sizes])
    singles = 1 << np.arange(count)
    whole = 2**count - 1
    return Plan(subsets, 0, whole, singles, whole - singles, weights, None, None)


def _sampled(count: int, orders: int) -> Plan:
    generator = np.random.default_rng([SEED, count])
    half = np.array([generator.permutation(count) for _ in range(max(1, orders // 2))])
    drawn = np.concatenate([half, half[:, ::-1]])
    rank = np.argsort(drawn, axis=1)
    steps = np.arange(count + 1)[np.newaxis, :, np.newaxis]
    along = (rank[:, np.newaxis, :] < steps).reshape(-1, count)
    identity = np.eye(count, dtype=bool)
    wanted = np.concatenate([along, identity, ~identity])
    subsets, where = np.unique(wanted, axis=0, return_inverse=True)
    rows = where.reshape(-1).astype(np.intp)
    path = rows[: len(along)].reshape(len(drawn), count + 1)
    singles, without = rows[len(along) : len(along) + count], rows[len(along) + count :]
    return Plan(subsets, int(path[0, 0]), int(path[0, -1]), singles, without, None, path, drawn)


def shares(of: Plan, table: Array) -> tuple[Array, Array]:
    """Shapley shares of `table` (subsets, values) and their standard errors, both (n, values).

    The shares of a value sum to table[whole] − table[empty] whether exact or sampled.
    """
    if of.weights is not None:
        exact: Array = of.weights @ table
        return exact, np.zeros_like(exact)
    assert of.orders is not None and of.drawn is not None
    marginal = np.diff(table[of.orders], axis=1)
    by_event = np.empty_like(marginal)
    np.put_along_axis(by_event, of.drawn[:, :, np.newaxis], marginal, axis=1)
    half = len(by_event) // 2
    pairs = (by_event[:half] + by_event[half:]) / 2.0
    error = pairs.std(axis=0, ddof=1) / math.sqrt(half) if half > 1 else np.full(pairs.shape[1:], np.inf)
    return pairs.mean(axis=0), error
