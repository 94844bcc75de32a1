"""Weighted least squares on balances, and the tests that tell which meter is wrong.

r = A y, V = A Σ Aᵀ. Estimates x̂ = y − Σ Aᵀ V⁻¹ r close every balance. Global test rᵀ V⁻¹ r against χ². A bias of one meter
shows in r along its column of A; its generalised likelihood ratio (Narasimhan and Mah, 1987) over one to three days ending
today is compared with a bound for all meters together. The largest is removed and the rest tested again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pipelines.transforms.reconciliation_balance import Balances, Floats, components

Integers = npt.NDArray[np.int64]

# A bias has to be found within three days (the owner's requirement): a longer memory would only delay its end.
WINDOW_DAYS = 3
# Familywise level of the measurement test, as Mah and Tamhane (1982) use it: one system-day in twenty without any bias.
LEVEL = 0.05
# A single meter beyond its own 1 % bound is worth a look, no more.
SUSPECT_LEVEL = 0.01
# The day itself has to speak for a bias that the days before show, else it has ended: one standard deviation.
OWN_DAY = 1.0
# Two columns nearer than this are one direction: no balance tells the meters apart.
SAME_DIRECTION = 1e-6
# Part of a column that removed meters leave; below it a meter cannot be told from them.
DISTINCT = 0.05
# A removed meter's σ is multiplied by this: it no longer weighs, and its estimate comes from the others.
REMOVED = 1e3


@dataclass(frozen=True)
class Block:
    """A connected part of a day: whitened residuals, and the effect of a bias of one σ on them, by meter."""

    keys: tuple[str, ...]
    residuals: Floats
    effects: Floats
    rows: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """A meter's outcome. `statistic` is signed; `days` those that it looks at; `is_removed` for a gross error of today."""

    statistic: float
    days: int
    is_observable: bool
    is_removed: bool
    is_suspect: bool


@dataclass(frozen=True)
class Estimate:
    """Reconciled volumes with their σ, by column of the balances; NaN where a flow stands in no balance."""

    values: Floats
    sigmas: Floats


def blocks(system: Balances, values: Floats, sigmas: Floats) -> list[Block]:
    """The day's parts, whitened: V = A Σ Aᵀ is scaled to correlations, then cut at its rank."""
    found = []
    for rows, columns in components(system.matrix):
        matrix = system.matrix[np.ix_(rows, columns)]
        scaled = matrix * sigmas[columns]
        variance = scaled @ scaled.T
        deviation = np.sqrt(np.diag(variance))
        usable = deviation > 0.0
        if not usable.any():
            continue
        rows = [row for row, is_usable in zip(rows, usable, strict=True) if is_usable]
        matrix, scaled, deviation = matrix[usable], scaled[usable], deviation[usable]
        correlation = variance[np.ix_(usable, usable)] / np.outer(deviation, deviation)
        eigenvalues, vectors = np.linalg.eigh(correlation)
        strong = eigenvalues > 1e-10 * eigenvalues[-1]
        whiten = (vectors[:, strong] / np.sqrt(eigenvalues[strong])).T / deviation
        found.append(
            Block(
                tuple(system.keys[j] for j in columns),
                whiten @ (matrix @ values[columns]),
                whiten @ scaled,
                tuple(rows),
                tuple(columns),
            )
        )
    return found


def directions(block: Block) -> list[int]:
    """Number of the direction of each column; −1 for one without effect (a declared flow)."""
    norms = np.linalg.norm(block.effects, axis=0)
    found: list[int] = []
    kept: list[Floats] = []
    for j, norm in enumerate(norms):
        if norm < 1e-12:
            found.append(-1)
            continue
        unit = block.effects[:, j] / norm
        place = next((n for n, other in enumerate(kept) if 1.0 - abs(float(other @ unit)) < SAME_DIRECTION), len(kept))
        if place == len(kept):
            kept.append(unit)
        found.append(place)
    return found


def critical(candidates: int, level: float = LEVEL) -> float:
    """Two-sided normal bound for that many tests together (Šidák)."""
    if candidates < 1:
        return math.inf
    each = 1.0 - (1.0 - level) ** (1.0 / candidates)
    return NormalDist().inv_cdf(1.0 - each / 2.0)


def verdicts(today: Block, past: Sequence[Sequence[Block]], bound: float) -> dict[str, Verdict]:
    """Every meter of today's part by key. `past`: the parts of the days before, yesterday first.

    A meter that shares its direction with another is not observable, but takes its share of the blame: it is removed for
    the tests of the others. A bias that the days before show and today does not is removed from them and not flagged.
    """
    ages, residual, effects = _stacked(today, past)
    spans = int(ages.max(initial=0)) + 1
    group = np.array(directions(today))
    sizes = np.bincount(group[group >= 0], minlength=1)
    within = [np.where((ages < days)[:, None], effects, 0.0) for days in range(1, spans + 1)]
    norms = np.array([np.linalg.norm(w, axis=0) for w in within])
    basis = np.zeros((len(residual), 0))
    found: dict[int, tuple[float, int]] = {}
    while True:
        statistics = _statistics(residual, within, norms, basis)
        statistics[:, [j for j in range(len(group)) if group[j] < 0 or j in found]] = 0.0
        if not statistics.size:
            break
        days, j = (int(n) for n in np.unravel_index(np.argmax(np.abs(statistics)), statistics.shape))
        largest = float(statistics[days, j])
        if abs(largest) <= bound:
            break
        own = float(statistics[0, j])
        same = [int(i) for i in np.flatnonzero(group == group[j])]
        if own * math.copysign(1.0, largest) >= OWN_DAY:
            found |= {i: (float(statistics[days, i]), days + 1) for i in same}
            gone = range(spans)
        else:
            # It may still be wrong today in a way of its own: it stays a candidate, on today's evidence alone.
            gone = range(1, spans)
            within = [within[0], *(_without(w, ages, same) for w in within[1:])]
            norms = np.array([np.linalg.norm(w, axis=0) for w in within])
        basis = _with(basis, [np.where(ages == age, effects[:, i], 0.0) for i in same for age in gone])
    rest = _statistics(residual, within, norms, basis)
    look = critical(1, SUSPECT_LEVEL)
    result: dict[str, Verdict] = {}
    for j, key in enumerate(today.keys):
        if group[j] < 0:
            continue
        days = int(np.argmax(np.abs(rest[:, j])))
        statistic, count = found.get(j, (float(rest[days, j]), days + 1))
        own = float(rest[0, j]) * math.copysign(1.0, statistic)
        result[key] = Verdict(
            statistic=statistic,
            days=count,
            is_observable=bool(sizes[group[j]] == 1),
            is_removed=j in found,
            is_suspect=j not in found and abs(statistic) > look and own >= OWN_DAY,
        )
    return result


def _stacked(today: Block, past: Sequence[Sequence[Block]]) -> tuple[Integers, Floats, Floats]:
    """Age in days, residual and effects of every whitened row of the window that concerns today's meters."""
    place = {key: j for j, key in enumerate(today.keys)}
    ages = [np.zeros(len(today.residuals), dtype=np.int64)]
    residuals, effects = [today.residuals], [today.effects]
    for age, day in enumerate(past, start=1):
        for block in day:
            shared = [(j, place[key]) for j, key in enumerate(block.keys) if key in place]
            if not shared:
                continue
            aligned = np.zeros((len(block.residuals), len(place)))
            for theirs, ours in shared:
                aligned[:, ours] = block.effects[:, theirs]
            ages.append(np.full(len(block.residuals), age))
            residuals.append(block.residuals)
            effects.append(aligned)
    return np.concatenate(ages), np.concatenate(residuals), np.concatenate(effects)


def _statistics(residual: Floats, within: Sequence[Floats], norms: Floats, basis: Floats) -> Floats:
    """Signed statistics [days − 1, meter] of what the removed meters leave."""
    left = residual - basis @ (basis.T @ residual)
    found = np.zeros(norms.shape)
    for n, columns in enumerate(within):
        free = columns - basis @ (basis.T @ columns)
        size = np.linalg.norm(free, axis=0)
        distinct = size > DISTINCT * np.where(norms[0] > 0.0, norms[n], np.inf)
        found[n] = np.where(distinct, (free.T @ left) / np.where(size > 0.0, size, 1.0), 0.0)
    return found


def _without(columns: Floats, ages: Integers, meters: Sequence[int]) -> Floats:
    left = columns.copy()
    for j in meters:
        left[ages > 0, j] = 0.0
    return left


def _with(basis: Floats, columns: Sequence[Floats]) -> Floats:
    """An orthonormal basis of the basis and the columns."""
    for column in columns:
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)
        size = float(np.linalg.norm(left))
        if size > 1e-9 * max(float(np.linalg.norm(column)), 1e-12):
            basis = np.column_stack([basis, left / size])
    return basis


def estimate(system: Balances, values: Floats, sigmas: Floats, removed: Sequence[int]) -> Estimate:
    """Estimates that close every balance exactly; a removed meter (by column) weighs nothing."""
    weights = sigmas.copy()
    weights[list(removed)] *= REMOVED
    estimates = np.full(len(values), np.nan)
    deviations = np.full(len(values), np.nan)
    for rows, columns in components(system.matrix):
        matrix = system.matrix[np.ix_(rows, columns)]
        spread = matrix * weights[columns]
        scale = np.sqrt(np.diag(spread @ spread.T))
        scale = np.where(scale > 0.0, scale, 1.0)
        # Least squares on Σ½: x̂ = y − Σ½ (A Σ½)⁺ A y, without forming the ill-conditioned V.
        inverse = np.linalg.pinv(spread / scale[:, None], rcond=1e-12)
        step = weights[columns][:, None] * inverse / scale
        estimates[columns] = values[columns] - step @ (matrix @ values[columns])
        kept = np.eye(len(columns)) - inverse @ (spread / scale[:, None])
        deviations[columns] = weights[columns] * np.sqrt(np.clip(np.diag(kept), 0.0, None))
    return Estimate(estimates, deviations)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Probability that χ² with so many degrees of freedom exceeds the statistic (closed form for whole degrees)."""
    if degrees < 1 or statistic <= 0.0:
        return 1.0
    half = statistic / 2.0
    total = math.erfc(math.sqrt(half)) if degrees % 2 else 0.0
    start = 0.5 if degrees % 2 else 0.0
    for n in range(degrees // 2):
        power = n + start
        # In logarithms: half ** power overflows for statistics that a biased meter reaches easily.
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1.0))
    return min(1.0, total)
