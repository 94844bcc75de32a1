"""Flows within the day: stretches of the solved network as curves on a time grid, whose day means are the day's volume.

Rates per 24 h in base units on a grid of instants (hours since the origin).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.simulators.field_calendar import Calendar, Floats, Integers
from pipelines.simulators.field_solution import Solution
from pipelines.simulators.field_terminals import LOADING_ENDS_HOUR, LOADING_STARTS_HOUR
from pipelines.simulators.field_world import World

CORRECTION_PASSES = 3


class Profiles:
    """Curves of every metered quantity on one grid, made once and asked for by stream or object code."""

    def __init__(self, world: World, grid: Floats) -> None:
        self.world, self.grid = world, grid
        calendar = world.calendar
        self.day: Integers = np.clip(np.searchsorted(calendar.bounds, grid, side="right") - 1, 0, calendar.closed)
        self._shapes: dict[str, Floats] = {}
        self._volumes = {s.code: s.true for s in world.streams}
        for solution in (*world.oil, *world.gas):
            self._solution_shapes(solution)
        for station, index in ((s, i) for i, s in enumerate(world.reference.stations)):
            self._volumes[f"{station.ec_code}_GAS"] = world.balance.gas_produced[index]
            self._shapes[f"{station.ec_code}_GAS"] = self._shapes[f"{station.facility_id}/oil"]
            for meter in ("_OIL_EXP", "_OIL_SEP", "_OIL_TRK"):
                self._shapes[station.ec_code + meter] = self._shapes[f"{station.facility_id}/oil"]
        for index, machine in enumerate(world.reference.compressors):
            self._volumes[f"{machine.ec_code}_GAS"] = world.balance.compressor_out[index]
            self._shapes[f"{machine.ec_code}_GAS"] = self._shapes[machine.facility_id]
        for index, plant in enumerate(world.reference.plants):
            sold = world.balance.sales[index].sum(axis=0) / plant.sales_yield
            self._volumes[f"{plant.ec_code}_FEED"] = sold + world.balance.plant_flare[index]
            self._volumes[f"{plant.ec_code}_NAG"] = world.balance.external[index]
            for network, name in (("domesticGas", "_GAS_DOM"), ("exportGas", "_GAS_EXP")):
                self._shapes[plant.ec_code + name] = self._shapes[f"{plant.facility_id}/{network}"]
        for history in world.terminals:
            members = world.reference.stations_of(history.terminal.facility_id)
            curves = [self.mean_true(world.reference.stations[i].ec_code + "_OIL_EXP") for i in members]
            self._shapes[f"{history.terminal.ec_code}_RECEIPT"] = np.sum(curves, axis=0)
            into = grid - calendar.bounds[self.day]
            loading = (into >= LOADING_STARTS_HOUR) & (into < LOADING_ENDS_HOUR)
            self._shapes[f"{history.terminal.ec_code}_EXPORT"] = loading.astype(np.float64)

    def volumes(self, code: str) -> Floats:
        """True volumes [day] of a stream or object."""
        return self._volumes[code]

    def mean_true(self, code: str) -> Floats:
        """The rate on the grid: the stretch's shape, scaled to the day's volume; flat where no shape is known."""
        calendar = self.world.calendar
        rate = self._volumes[code] / calendar.hours * 24.0
        shape = self._shapes.get(code)
        if shape is None:
            return rate[self.day]
        return day_means(calendar, self.grid, np.maximum(shape, 0.0), rate)

    def _solution_shapes(self, solution: Solution) -> None:
        component = solution.component
        starts = np.array([s.start for s in solution.segments])
        place = np.clip(np.searchsorted(starts, self.grid, side="right") - 1, 0, len(starts) - 1)
        flows = np.array([s.flows for s in solution.solved])[place]
        detail = np.array([s.detail for s in solution.solved])[place]
        for row, (facility_id, network) in enumerate(zip(component.members, component.networks, strict=True)):
            self._shapes[f"{facility_id}/{network}"] = flows[:, row]
        for row, name in enumerate(component.detail_names):
            self._shapes.setdefault(name, detail[:, row])


def day_means(calendar: Calendar, grid: Floats, curve: Floats, wanted: Floats) -> Floats:
    """The curve scaled day by day until its time-weighted mean (straight lines between samples) is `wanted` [day].

    A day whose curve is zero while its volume is not becomes flat. The day that runs is scaled by its part so far.
    """
    curve = curve.copy()
    bounds = np.searchsorted(grid, calendar.bounds, side="left")
    for _ in range(CORRECTION_PASSES):
        for day in range(calendar.closed + 1):
            first, stop = int(bounds[day]), int(bounds[day + 1])
            last = min(stop, len(grid) - 1)
            if last - first < 2:
                continue
            part = slice(first, last + 1)
            mean = float(np.trapezoid(curve[part], grid[part]) / (grid[last] - grid[first]))
            if mean > 0.0:
                curve[first:stop] *= float(wanted[day]) / mean
            elif wanted[day] > 0.0:
                curve[first:stop] = wanted[day]
    return curve


def run_states(world: World, grid: Floats) -> Mapping[tuple[str, str], Floats]:
    """1 while equipment runs, 0 while a booked event has it down, for every equipment that an event names."""
    states: dict[tuple[str, str], Floats] = {}
    for event in world.events:
        if not event.equipment or event.deferment_type == "GROUP":
            continue
        state = states.setdefault((event.facility_id, event.equipment), np.ones(len(grid)))
        state[(grid >= event.start) & (grid < event.end)] = 0.0
    return states
