"""The flows that reconciliation balances: meters and nodes of the oil and of the gas system, from the reference folder.

An arc is a metered or an unmetered flow between two nodes; None is the world outside (wells, markets). Meters of a facility
with one measurement word stand side by side and add; those with different words stand in series, each the whole flow.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

OIL, GAS = "oil", "gas"
GAS_NETWORKS = ("domesticGas", "exportGas")
# The word of a stream that no PI tag describes.
WORD_OF_ROLE = {
    "production": "rate",
    "throughput": "throughput_rate",
    "receipt": "receipt_rate",
    "export": "export_rate",
    "flare": "flare_rate",
}
# Meters of a station's own flow, upstream first; every other word measures what has joined by then.
OWN_WORDS = ("well_rate", "inlet_rate", "separator_rate", "rate")
STOCK = "stock"
GAS_MEASUREMENTS = ("gas_rate", "feed_rate", "throughput_rate", "rate", "flare_rate")
# An oil flow is one of these; a gas tag without a network is told by GAS_MEASUREMENTS.
_RATE = re.compile(r"^(?:.+_)?rate$")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Meter:
    """A physical meter. A PI tag of the same object is the same meter read twice, not a second opinion."""

    meter_id: str
    system: str
    facility_id: str
    network: str | None
    measurement: str
    sigma_fraction: float | None
    stream_ec_code: str | None = None
    tag_id: int | None = None


@dataclass(frozen=True, slots=True)
class Arc:
    """A flow from tail to head. `gain` is the part that arrives; `key` names its meter or declared flow, None: unmetered."""

    tail: str | None
    head: str | None
    key: str | None = None
    gain: float = 1.0


@dataclass
class _Site:
    """Meters by facility and word, and what the arcs need of facilities."""

    points: dict[str, dict[str, list[list[Meter]]]] = field(default_factory=dict)

    def at(self, facility_id: str, word: str) -> list[list[Meter]]:
        return self.points.get(facility_id, {}).get(word, [])

    def words(self, facility_id: str) -> list[str]:
        return sorted(self.points.get(facility_id, {}))


def own_use_key(facility_id: str) -> str:
    """Key of a terminal's declared own use."""
    return f"{facility_id}/own_use"


def site_meters(streams: pl.DataFrame, tags: pl.DataFrame, terminals: pl.DataFrame) -> list[Meter]:
    """Meters of the site in order of system and id: streams with their PI twin, flow tags of other objects, tank stocks.

    A meter whose σ no file declares has sigma_fraction None: it is listed, and its flow counts as unmetered.
    """
    flows = [t for t in tags.sort("tag_id").iter_rows(named=True) if _RATE.match(t["measurement"])]
    twins: dict[str, Row] = {}
    for tag in flows:
        if tag["object_id"]:
            twins.setdefault(tag["object_id"], tag)
    found = [_of_stream(s, twins.get(s["stream_ec_code"])) for s in streams.iter_rows(named=True)]
    known = {m.meter_id for m in found}
    for tag in flows:
        name = tag["object_id"] or tag["tag_name"]
        meter = _of_tag(tag, name)
        if name not in known and meter is not None:
            known.add(name)
            found.append(meter)
    gauges = tags.filter(pl.col("measurement") == STOCK, pl.col("sigma_fraction").is_not_null())
    declared = dict(gauges.group_by("facility_id").agg(pl.col("sigma_fraction").max()).iter_rows())
    for row in terminals.iter_rows(named=True):
        name = f"{row['storage_ec_code'] or row['facility_id']}/{STOCK}"
        found.append(Meter(name, OIL, row["facility_id"], OIL, STOCK, declared.get(row["facility_id"])))
    return sorted(found, key=lambda m: (m.system, m.meter_id))


def _of_stream(stream: Row, twin: Row | None) -> Meter:
    role: str = stream["role"]
    word: str = twin["measurement"] if twin else WORD_OF_ROLE.get(role, role)
    sigma = stream["sigma_fraction"]
    if sigma is None and twin:
        sigma = twin["sigma_fraction"]
    return Meter(
        stream["stream_ec_code"],
        OIL if stream["network"] == OIL else GAS,
        stream["facility_id"],
        stream["network"],
        word,
        sigma,
        stream["stream_ec_code"],
        twin["tag_id"] if twin else None,
    )


def _of_tag(tag: Row, name: str) -> Meter | None:
    word, network = tag["measurement"], tag["network"]
    if network is None and word not in GAS_MEASUREMENTS:
        return None
    system = OIL if network == OIL else GAS
    return Meter(name, system, tag["facility_id"], network, word, tag["sigma_fraction"], None, tag["tag_id"])


def oil_arcs(
    meters: Sequence[Meter],
    edges: Sequence[tuple[str, str]],
    facilities: Sequence[Row],
    terminals: Mapping[str, Row],
    junctions: Iterable[str] = (),
) -> list[Arc]:
    """Arcs of the oil system. `edges` (from, to) and `facilities` are those of the day; `terminals` by facility."""
    site = _points(meters, OIL)
    types = {f["facility_id"]: f["facility_type"] for f in facilities}
    arcs: list[Arc] = []
    joins = {j: f"{j}/junction" for j in junctions}
    outlets = dict(joins)
    for name in sorted(set(types) & (set(site.points) | {n for edge in edges for n in edge})):
        if name in terminals:
            joins[name], outlets[name] = f"{name}/inlet", f"{name}/tanks"
            arcs += _in_series([site.at(name, "receipt_rate")], [joins[name], outlets[name]])
            arcs += _tanks(name, site, outlets[name], terminals[name])
            continue
        own = [point for word in OWN_WORDS for point in site.at(name, word)]
        through = [p for word in site.words(name) if word not in (*OWN_WORDS, STOCK) for p in site.at(name, word)]
        nodes = _nodes(name, own, through)
        join = nodes[len(own)] if own else nodes[0]
        assert join is not None
        joins[name], outlets[name] = join, str(nodes[-1])
        arcs += _chain([*own, *through], nodes)
        if not own and types[name] == "flowstation":
            # Its wells flow unmetered into whatever passes through it.
            arcs.append(Arc(None, join))
    arcs += _lines(edges, joins, outlets, set(outlets) - set(terminals))
    return _closed_ends(arcs)


def _tanks(name: str, site: _Site, tanks: str, terminal: Row) -> list[Arc]:
    exports = [m for point in site.at(name, "export_rate") for m in point]
    stock = [m for point in site.at(name, STOCK) for m in point]
    arcs = [_arc(m, tanks, None) for m in (*exports, *stock)]
    if not exports or not stock:
        arcs.append(Arc(tanks, None))
    if terminal["own_use_bblpd"]:
        arcs.append(Arc(tanks, None, own_use_key(name)))
    return arcs


def gas_arcs(
    meters: Sequence[Meter],
    edges: Sequence[tuple[str, str, str]],
    facilities: Sequence[Row],
    sources: Iterable[str],
    junctions: Iterable[str] = (),
) -> list[Arc]:
    """Arcs of the gas system. `edges` (from, to, network) of the day, raw gas once a network; `sources`: external ones.

    A station's gas leaves less its fuel fraction, a plant's feed less shrinkage and fuel; flares are outputs as metered.
    A feed meter is an external source's when its name holds every word of the source's id, else the plant's whole feed.
    """
    site, given = _points(meters, GAS), set(sources)
    by_name = {f["facility_id"]: f for f in facilities}
    joins = {j: f"{j}/junction" for j in junctions}
    outlets = dict(joins)
    inside = {*by_name, *joins}
    lines = sorted({(a, b) for a, b, _ in edges if b in inside})
    fed = {b for _, b in lines}
    arcs: list[Arc] = []
    for name in sorted({n for a, b, _ in edges for n in (a, b)} & set(by_name)):
        facility = by_name[name]
        externals = [a for a, b in lines if b == name and a in given]
        bought, feed = _feeds(site, name, externals)
        arcs += [
            _arc(bought[e], None, f"{name}/inlet") if e in bought else Arc(None, f"{name}/inlet") for e in externals
        ]
        if name not in fed:
            kept = 1.0 - (facility["fuel_fraction"] or 0.0)
            joins[name] = outlets[name] = f"{name}/outlet"
            own = [m for point in site.at(name, "gas_rate") for m in point]
            arcs += [_arc(m, None, outlets[name], kept) for m in own] or [Arc(None, outlets[name])]
            arcs += _flare(site, name, outlets[name])
            continue
        joins[name] = f"{name}/inlet"
        sales = {m.network for point in site.at(name, "rate") for m in point}
        if feed or sales:
            outlets[name] = f"{name}/process"
            kept = 1.0 - (facility["shrinkage_fraction"] or 0.0) - (facility["fuel_fraction"] or 0.0)
            arcs += [_arc(m, joins[name], outlets[name], kept) for m in feed] or [
                Arc(joins[name], outlets[name], gain=kept)
            ]
            arcs += [_arc(m, outlets[name], None) for point in site.at(name, "rate") for m in point]
            sold = {network for a, b, network in edges if a == name and b not in inside}
            arcs += [Arc(outlets[name], None) for network in sorted(sold - set(sales))]
        else:
            nodes = _nodes(name, [], site.at(name, "throughput_rate"))
            outlets[name] = str(nodes[-1])
            arcs += _chain(site.at(name, "throughput_rate"), nodes)
        arcs += _flare(site, name, outlets[name] if feed or sales else joins[name])
    outward = {(a, b) for a, b, _ in edges if b not in inside and a in outlets and not site.at(a, "rate")}
    arcs += _lines([*((a, b) for a, b in lines if a in inside), *outward], joins, outlets, set(outlets))
    return _closed_ends(arcs)


def _feeds(site: _Site, name: str, externals: Sequence[str]) -> tuple[dict[str, Meter], list[Meter]]:
    """Meters of the external sources, and those of the whole feed."""
    feeds = [m for point in site.at(name, "feed_rate") for m in point]
    bought: dict[str, Meter] = {}
    for external in externals:
        words = _words(external)
        match = next((m for m in feeds if words <= _words(m.meter_id)), None)
        if match is not None:
            bought[external] = match
            feeds.remove(match)
    return bought, feeds


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower())) - {""}


def _flare(site: _Site, name: str, node: str) -> list[Arc]:
    meters = [m for point in site.at(name, "flare_rate") for m in point]
    # A flare without a meter burns an unknown amount: no balance stands at its node.
    return [_arc(m, node, None) for m in meters] or [Arc(node, None)]


def _points(meters: Sequence[Meter], system: str) -> _Site:
    """Streams of Energy Components and tags of other objects are two measurements of one flow, not parts of it."""
    found: dict[str, dict[str, dict[bool, list[Meter]]]] = {}
    for meter in meters:
        if meter.system == system:
            words = found.setdefault(meter.facility_id, {})
            words.setdefault(meter.measurement, {}).setdefault(meter.stream_ec_code is not None, []).append(meter)
    return _Site({f: {w: list(p.values()) for w, p in words.items()} for f, words in found.items()})


def _arc(meter: Meter, tail: str | None, head: str | None, gain: float = 1.0) -> Arc:
    return Arc(tail, head, None if meter.sigma_fraction is None else meter.meter_id, gain)


def _nodes(name: str, own: Sequence[Sequence[Meter]], through: Sequence[Sequence[Meter]]) -> list[str | None]:
    """Nodes before, between and after measuring points; what flows by itself comes from outside."""
    points = [*own, *through]
    words = [p[0].measurement for p in points]
    labels = ["production" if word == "rate" else word.removesuffix("_rate") for word in words]
    between: list[str | None] = [f"{name}/{a}~{b}" for a, b in itertools.pairwise(labels)]
    return [None if own else f"{name}/inlet", *between, f"{name}/outlet"] if points else [f"{name}/outlet"]


def _chain(points: Sequence[Sequence[Meter]], nodes: Sequence[str | None]) -> list[Arc]:
    return [_arc(m, nodes[i], nodes[i + 1]) for i, point in enumerate(points) for m in point]


def _in_series(stages: Sequence[Sequence[Sequence[Meter]]], nodes: Sequence[str]) -> list[Arc]:
    """Each stage's points between two nodes; an unmetered arc where a stage has none."""
    arcs: list[Arc] = []
    for i, points in enumerate(stages):
        middle = [f"{nodes[i + 1]}~{n}" for n in range(1, len(points))]
        along = [nodes[i], *middle, nodes[i + 1]]
        arcs += _chain(points, along) if points else [Arc(nodes[i], nodes[i + 1])]
    return arcs


def _lines(
    edges: Iterable[tuple[str, str]], joins: Mapping[str, str], outlets: Mapping[str, str], leaving: set[str]
) -> list[Arc]:
    """Unmetered arcs along the lines; a terminal's cargoes are its export meter's, so its own lines are left out."""
    return [Arc(outlets.get(a), joins.get(b)) for a, b in sorted(set(edges)) if b in joins or a in leaving]


def _closed_ends(arcs: list[Arc]) -> list[Arc]:
    """A node that nothing enters, or nothing leaves, is open to the outside: it has no balance."""
    tails, heads = {a.tail for a in arcs}, {a.head for a in arcs}
    nodes = sorted(n for n in tails | heads if n is not None)
    opened = [Arc(None, n) for n in nodes if n not in heads] + [Arc(n, None) for n in nodes if n not in tails]
    return arcs + opened
