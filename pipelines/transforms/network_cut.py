"""The proof against double counting: every way from a source to a sink crosses the counting cut once.

Run over the topology of each day before it is published; an offending path is named by its ids.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.transforms.network import Graph


@dataclass(frozen=True, slots=True)
class CutFault:
    """One way that is counted `crossings` times instead of once (2 stands for two or more).

    `path` are the ids from the source to the sink, nodes only; `meters` the (facility, network) or
    (source, phase) that the way crosses, in order.
    """

    phase: str
    path: tuple[str, ...]
    crossings: int
    meters: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """A sentence for the message that refuses the release."""
        way = " → ".join(self.path)
        if self.crossings == 0:
            return f"{self.phase}: {way} crosses no meter of the counting cut"
        crossed = ", ".join("/".join(m) for m in self.meters)
        return f"{self.phase}: {way} is counted more than once, at {crossed}"


def verify_cut(graph: Graph) -> list[CutFault]:
    """Every fault of the cut, the shortest offending way per source and kind; [] is a valid cut.

    A search over (node, crossings so far): O(sources × edges) and not over paths. Capacities play
    no part: a line that is closed today still must not be counted twice. A flowstation's own meter
    and a cut line out of it are one meter for its own oil; for oil that passes through they are not.
    """
    leaving: dict[str, list[tuple[str, tuple[str, str] | None]]] = {n.node_id: [] for n in graph.nodes}
    for e in graph.edges:
        leaving[e.from_id].append((e.to_id, (e.from_id, e.network) if e.on_cut else None))
    sinks = {n.node_id for n in graph.nodes if n.is_sink}
    faults: list[CutFault] = []
    for s in graph.sources:
        own = (s.source_id, graph.phase)
        first = (s.node_id, 1 if s.on_cut else 0)
        came_from: dict[tuple[str, int], tuple[str, int] | None] = {first: None}
        crossing: dict[tuple[str, int], tuple[str, str] | None] = {first: own if s.on_cut else None}
        queue = [first]
        offending: dict[int, tuple[str, int]] = {}
        for state in queue:
            node, count = state
            if node in sinks and count != 1:
                offending.setdefault(count, state)
            for to, meter in leaving[node]:
                crossed = None if s.on_cut and meter == own else meter
                reached = (to, min(2, count + (crossed is not None)))
                if reached not in came_from:
                    came_from[reached] = state
                    crossing[reached] = crossed
                    queue.append(reached)
        for count in sorted(offending):
            path: list[str] = []
            meters: list[tuple[str, str]] = []
            at: tuple[str, int] | None = offending[count]
            while at is not None:
                path.append(at[0])
                if (passed := crossing[at]) is not None:
                    meters.append(passed)
                at = came_from[at]
            faults.append(CutFault(graph.phase, tuple(reversed(path)), count, tuple(reversed(meters))))
    return faults
