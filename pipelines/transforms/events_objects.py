"""What the source's codes of a deferment event mean: the object it is booked on, its reason, and what it limits.

Belongs here: resolution by code and validity, the reason tree, the target by choke.
Not here: times, losses and confidence (events). A code that resolves to nothing leaves nulls; the caller decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from pipelines.transforms.drivers_network import Topology, TopologyBook, changes, edge_id
from pipelines.transforms.network import OIL, RAW_GAS, EdgeRow

WELL, FACILITY, STREAM, EDGE, EXTERNAL = "WELL", "FACILITY", "STREAM", "EDGE", "EXTERNAL"
# Object types of Energy Components by the start of their name, for example FCTY_CLASS_1, PIPELINE, STREAM.
_TYPES = {"WELL": WELL, "FAC": FACILITY, "FCTY": FACILITY, "STR": STREAM, "EDGE": EDGE, "PIPE": EDGE, "EXT": EXTERNAL}
# A code that several tables have, with a type that says nothing, is the first of these.
_KINDS = (FACILITY, WELL, STREAM, EDGE, EXTERNAL)
_NO_TEXT = pl.lit(None, pl.String)


def object_table(
    *,
    facilities: pl.DataFrame,
    wells: pl.DataFrame,
    streams: pl.DataFrame,
    edges: pl.DataFrame,
    externals: pl.DataFrame,
) -> pl.DataFrame:
    """Every code that an event may be booked on: code, object_kind, facility_id, well_id, object_network, object_edge,
    object_external, valid_from, valid_to. Edges have their published id as code, externals their own."""
    columns = {
        "facility_id": _NO_TEXT,
        "well_id": _NO_TEXT,
        "object_network": _NO_TEXT,
        "object_edge": _NO_TEXT,
        "object_external": _NO_TEXT,
        "valid_from": pl.lit(None, pl.Date),
        "valid_to": pl.lit(None, pl.Date),
    }

    def part(frame: pl.DataFrame, kind: str, code: pl.Expr, *given: str, **made: pl.Expr) -> pl.DataFrame:
        stated = {name: pl.col(name) for name in given} | made
        return frame.select(
            code.alias("code"),
            pl.lit(kind).alias("object_kind"),
            *(stated.get(name, default).alias(name) for name, default in columns.items()),
        ).filter(pl.col("code").is_not_null())

    validity = ("valid_from", "valid_to")
    known = facilities["facility_id"].implode()
    from_facility = pl.col("from_id").is_in(known)
    line = pl.concat_str("from_id", "to_id", "network", separator="~")
    fed = edges.sort("from_id", "to_id").group_by("from_id", maintain_order=True).agg(pl.col("to_id").first())
    return pl.concat(
        [
            part(facilities, FACILITY, pl.col("ec_code"), "facility_id", *validity),
            part(wells, WELL, pl.col("well_ec_code"), "facility_id", "well_id", *validity),
            part(streams, STREAM, pl.col("stream_ec_code"), "facility_id", object_network=pl.col("network")),
            part(
                edges,
                EDGE,
                line,
                *validity,
                facility_id=pl.when(from_facility).then("from_id").otherwise("to_id"),
                object_network=pl.col("network"),
                object_edge=line,
            ),
            part(
                externals.join(fed, left_on="external_id", right_on="from_id", how="inner"),
                EXTERNAL,
                pl.col("external_id"),
                *validity,
                facility_id=pl.col("to_id"),
                object_external=pl.col("external_id"),
            ),
        ]
    )


def resolve_objects(events: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """`events` with the object's columns as it stood on the label; nulls where no row has the code on that label.

    The stated object type decides between equal codes; without one the order is facility, well, stream, edge, external.
    """
    stated = pl.col("object_type").str.to_uppercase()
    kind = pl.coalesce(
        *(pl.when(stated.str.starts_with(start)).then(pl.lit(word)) for start, word in _TYPES.items()), _NO_TEXT
    )
    order = pl.col("object_kind").replace_strict(
        {word: place for place, word in enumerate(_KINDS)}, return_dtype=pl.Int64, default=len(_KINDS)
    )
    found = (
        events.select("production_date", "event_no", "object_ec_code", kind.alias("stated_kind"))
        .join(objects, left_on="object_ec_code", right_on="code", how="inner")
        .filter(_holds())
        .with_columns(rank=pl.when(pl.col("object_kind") == pl.col("stated_kind")).then(-1).otherwise(order))
        .sort("production_date", "event_no", "rank", "valid_from", "facility_id")
        .unique(["production_date", "event_no"], keep="first", maintain_order=True)
        .drop("object_ec_code", "stated_kind", "rank", "valid_from", "valid_to")
    )
    return events.join(found, on=["production_date", "event_no"], how="left", maintain_order="left")


def disturbed_days(events: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """facility_id, production_date of labels that a deferment event touches: one on the facility, its wells, its streams or
    a line from it. `events` are raw deferment events, each in every label it overlaps; one without duration is none."""
    lasting = events.filter((pl.col("ended_at_local") > pl.col("started_at_local")).fill_null(value=True))
    newest = lasting.unique(["production_date", "event_no"], keep="last", maintain_order=True)
    found = resolve_objects(newest, objects).filter(pl.col("facility_id").is_not_null())
    return found.select("facility_id", "production_date").unique().sort("facility_id", "production_date")


def reason_table(reason_codes: pl.DataFrame) -> pl.DataFrame:
    """Reasons by the source's code and validity: source_code, reason_code, reason_title, choke, is_planned,
    is_third_party, valid_from, valid_to. A choke that a code leaves open is its parent's; a flag holds below the code
    that sets it."""
    schema = {
        "source_code": pl.String,
        "reason_code": pl.String,
        "reason_title": pl.String,
        "choke": pl.String,
        "is_planned": pl.Boolean,
        "is_third_party": pl.Boolean,
        "valid_from": pl.Date,
        "valid_to": pl.Date,
    }
    moments: list[date | None] = [None, *changes(reason_codes)]
    rows = []
    for start, end in zip(moments, [*moments[1:], None], strict=True):
        standing = {
            row["reason_code"]: row
            for row in reason_codes.sort("reason_code", "valid_from").iter_rows(named=True)
            if (row["valid_from"] is None or (start is not None and row["valid_from"] <= start))
            and (row["valid_to"] is None or start is None or start < row["valid_to"])
        }
        for code, row in standing.items():
            if row["ec_code"] is None:
                continue
            line = [row]
            while (parent := standing.get(line[-1]["parent_code"])) is not None and parent not in line:
                line.append(parent)
            choke = next((r["choke"] for r in line if r["choke"]), "other")
            flags = [any(r[flag] for r in line) for flag in ("is_planned", "is_third_party")]
            rows.append((row["ec_code"], code, row["title"], choke, *flags, start, end))
    return pl.DataFrame(rows, schema=schema, orient="row")


def resolve_reasons(events: pl.DataFrame, reasons: pl.DataFrame) -> pl.DataFrame:
    """`events` with reason_code, reason_title, choke, is_planned, is_third_party on the label; uncoded: `other`, false."""
    found = (
        events.select("production_date", "event_no", pl.col("reason_ec_code").alias("source_code"))
        .join(reasons, on="source_code", how="inner")
        .filter(_holds())
        .sort("production_date", "event_no", "reason_code")
        .unique(["production_date", "event_no"], keep="first", maintain_order=True)
        .drop("source_code", "valid_from", "valid_to")
    )
    return events.join(found, on=["production_date", "event_no"], how="left", maintain_order="left").with_columns(
        pl.col("choke").fill_null("other"), pl.col("is_planned", "is_third_party").fill_null(False)
    )


def _holds() -> pl.Expr:
    day = pl.col("production_date")
    return (pl.col("valid_from").is_null() | (pl.col("valid_from") <= day)) & (
        pl.col("valid_to").is_null() | (day < pl.col("valid_to"))
    )


@dataclass(frozen=True)
class Target:
    """What an event limits; `network` where it is tied to one."""

    kind: str
    target_id: str
    network: str | None


class TargetRule:
    """Targets of events by object and choke: reservoir, wells → source; plant, other → node; export, market → the
    facility's outgoing edge of the phase. Where that edge is not one line, or a place has no source, it is the node."""

    def __init__(self, book: TopologyBook) -> None:
        self._book = book
        self._known: dict[tuple[int, str, str, str, str | None, str | None, str | None], Target] = {}

    def target(self, label: date, phase: str, row: Mapping[str, str | None]) -> Target:
        """The target of an event's phase on a label; `row` has facility_id, choke and the object's columns."""
        topology = self._book.on(label)
        facility_id, choke = str(row["facility_id"]), str(row["choke"])
        kind, edge, external = row["object_kind"], row["object_edge"], row["object_external"]
        key = (id(topology), phase, facility_id, choke, kind, edge or external, row["object_network"])
        if key not in self._known:
            self._known[key] = _target(topology, phase, facility_id, choke, row)
        return self._known[key]


def _target(topology: Topology, phase: str, facility_id: str, choke: str, row: Mapping[str, str | None]) -> Target:
    edge, external = row["object_edge"], row["object_external"]
    if edge is not None:
        return Target("edge", edge, row["object_network"])
    if external is not None:
        return Target("source", external, None)
    if row["object_kind"] == WELL or choke in ("reservoir", "wells"):
        return _source(topology, phase, facility_id)
    if choke in ("export", "market"):
        lines = _outgoing(topology, phase, facility_id, choke, row["object_network"])
        if len(lines) == 1:
            line = lines[0]
            tied = None if line.stream == RAW_GAS else line.network
            return Target("edge", edge_id(line.from_id, line.to_id, line.network), tied)
    return Target("node", facility_id, None)


def _source(topology: Topology, phase: str, facility_id: str) -> Target:
    """The facility's own source; the one external source that feeds it; else its node."""
    types = {f["facility_id"]: f["facility_type"] for f in topology.facilities}
    feeding = {e.from_id for e in topology.edges if e.to_id == facility_id and (e.network == OIL) == (phase == "oil")}
    if types.get(facility_id) == "flowstation" or not feeding:
        return Target("source", facility_id, None)
    sources = sorted(x.external_id for x in topology.externals if x.kind == "source" and x.external_id in feeding)
    return Target("source", sources[0], None) if len(sources) == 1 else Target("node", facility_id, None)


def _outgoing(topology: Topology, phase: str, facility_id: str, choke: str, network: str | None) -> list[EdgeRow]:
    """Outgoing lines of a phase, the two rows of a shared raw-gas line once; of a seller's gas outlets the one of its
    object's network, or the export one for choke export and the domestic one for choke market."""
    lines: dict[tuple[str, str], EdgeRow] = {}
    for edge in topology.edges:
        if edge.from_id == facility_id and (edge.network == OIL) == (phase == "oil"):
            name = "" if edge.stream == RAW_GAS else edge.network
            lines.setdefault((edge.to_id, name), edge)
    found = list(lines.values())
    if len(found) > 1 and phase == "gas":
        wanted = network or ("exportGas" if choke == "export" else "domesticGas")
        found = [e for e in found if e.network == wanted]
    return found
