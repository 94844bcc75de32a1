"""GET /api/v1/exports/{dataset}: a view of the SQL contract as a file, streamed, with its release id."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import Any, cast

from litestar import get
from litestar.params import FromPath
from litestar.types import ASGIApp

from api import exports_formats, parameters
from api.caching import Stamp
from api.callers import Scope, caller_of
from api.cors import Header
from api.dependencies import ApiRequest, Desk, desk_of
from api.exports import Exporter, HeadersOnly, Streamed
from api.exports_formats import Format, Labels
from api.exports_xlsx import MAX_ROWS, MAX_TEXT, xlsx
from api.facts import ReleaseFacts
from api.negotiation import EXPORTS, PATH_MEDIA_TYPES, accepted, held_tags
from api.operations import Operation, documented
from api.parameters import AS_KNOWN_AT, ASSET_ID, NETWORK, RELEASE
from api.problems import ParameterError, Problem
from api.scoping import facts_of
from warehouse import reader_stream
from warehouse.reader_release import OpenRelease
from warehouse.reader_stream import ASSET_COLUMN, NETWORK_COLUMN, Dataset, Filters

_PARQUET, _CSV, _XLSX, _ARROW = PATH_MEDIA_TYPES[EXPORTS]
FORMATS = {
    kind.name: kind
    for kind in (
        Format("parquet", _PARQUET, exports_formats.parquet),
        Format("csv", _CSV, exports_formats.csv),
        Format("xlsx", _XLSX, xlsx),
        Format("arrow", _ARROW, exports_formats.arrow),
    )
}
BY_MEDIA_TYPE = {kind.media_type: kind for kind in FORMATS.values()}

FORMAT = parameters.choice(
    "format", "Format of the file; without it Accept decides, and parquet where that says nothing.", tuple(FORMATS)
)
FROM = parameters.production_day("from", "First day, of a dataset with production_date or date.")
TO = parameters.production_day("to", "Last day, of a dataset with production_date or date.")
OF_NETWORK = replace(NETWORK, description="Only this network, of a dataset with network.")
OF_ASSET = replace(ASSET_ID, description="Only this asset, of a dataset with asset_id.")
PARAMETERS = (FORMAT, FROM, TO, OF_NETWORK, OF_ASSET, RELEASE, AS_KNOWN_AT)


@dataclass(frozen=True)
class Asked:
    """One request for an export, as read from its address and headers."""

    dataset: str
    query: bytes
    path: str
    arguments: Mapping[str, Any]
    kind: Format
    scope: Scope
    if_none_match: str | None
    is_head: bool


@cache
def _writers() -> str:
    """Versions of what writes the bytes: another one makes other bytes, and so another tag."""
    return "/".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "xlsxwriter"))


def open_export(desk: Desk, exporter: Exporter, asked: Asked, held: ExitStack) -> ASGIApp:
    """The answer to a request, with its release leased in `held`; no row is read for 304 and HEAD. Raises Problem."""
    release = held.enter_context(desk.opened(asked.arguments))
    facts = facts_of(release, asked.scope)
    writers = f"{asked.path}\0{_writers()}"
    tag = f"{desk.tagger.base(facts.release_id, writers, asked.query, asked.scope.key)}.{asked.kind.name}"
    headers = _headers(desk, facts, asked, tag)
    if asked.if_none_match is not None and held_tags(asked.if_none_match.encode("latin-1")) & {tag, "*"}:
        held.close()
        return HeadersOnly(304, [h for h in headers if h[0] not in (b"content-type", b"content-disposition")])
    parameters.check_identifiers(asked.arguments, PARAMETERS, facts.identifiers)
    dataset = reader_stream.describe(release, asked.dataset, asked.scope.assets)
    if dataset is None:
        names = ", ".join(row["table_name"] for row in release.query("table_list", {}, asked.scope.assets))
        raise Problem("notFound", f"Release {facts.release_id} has no dataset {asked.dataset[:100]!r}; it has {names}.")
    filters = _filters(dataset, asked.arguments)
    if asked.is_head:
        held.close()
        return HeadersOnly(200, headers)
    spans = reader_stream.plan(release, dataset, filters)
    rows = sum(span.rows for span in spans)
    if asked.kind.name == "xlsx":
        _fits(release, dataset, filters, rows)
    labels = Labels(
        dataset=dataset.view,
        release_id=facts.release_id,
        operator=facts.operator,
        is_synthetic=facts.is_synthetic,
        built_at=facts.built_at,
        columns=dataset.columns,
    )
    schema = reader_stream.schema(release, dataset)
    pieces = asked.kind.encode(schema, reader_stream.batches(release, dataset, filters, spans), labels)
    return Streamed(exporter, pieces, headers, held)


def _headers(desk: Desk, facts: ReleaseFacts, asked: Asked, tag: str) -> list[Header]:
    stamp = Stamp.of(facts, facts.latest_day)
    media_type = asked.kind.media_type + ("; charset=utf-8; header=present" if asked.kind.name == "csv" else "")
    named = {
        "content-type": media_type,
        # The path's own words are in no file name: only a dataset that exists gets this far with a body.
        "content-disposition": f'attachment; filename="{_safe(asked.dataset)}-{facts.release_id}.{asked.kind.name}"',
        "etag": f'"{tag}"',
        "last-modified": facts.last_modified,
        "data-version": facts.release_id,
        "production-date": facts.latest_day.isoformat(),
        "cache-control": "private, no-cache",
        "vary": "Accept, Origin",
        "accept-ranges": "none",
        "x-content-type-options": "nosniff",
    }
    headers = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    return [*headers, (b"data-freshness", desk.freshness.word(stamp.release_id, stamp.thresholds))]


def _safe(name: str) -> str:
    return "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "_-"))[:100]


def _filters(dataset: Dataset, arguments: Mapping[str, Any]) -> Filters:
    """The rows asked for. Raises Problem invalidParameter for filters that the dataset has no column for."""
    places: Sequence[tuple[parameters.Parameter, str | None]] = (
        (FROM, dataset.day_column),
        (TO, dataset.day_column),
        (OF_NETWORK, NETWORK_COLUMN if dataset.has(NETWORK_COLUMN) else None),
        (OF_ASSET, ASSET_COLUMN if dataset.has(ASSET_COLUMN) else None),
    )
    usable = ", ".join(parameter.name for parameter, column in places if column) or "none"
    errors = [
        ParameterError(
            parameter=parameter.name,
            detail=f"filters no column of {dataset.view}; its filters: {usable}",
            received=str(arguments[parameter.name])[:200],
        )
        for parameter, column in places
        if arguments[parameter.name] is not None and column is None
    ]
    if errors:
        raise parameters.invalid(errors)
    first, last = arguments["from"], arguments["to"]
    if first is not None and last is not None and last < first:
        raise parameters.fault(FROM, f"lies after `to`, {last}", first.isoformat())
    return Filters(first, last, arguments["network"], arguments["assetId"])


def _fits(release: OpenRelease, dataset: Dataset, filters: Filters, rows: int) -> None:
    """Raises Problem invalidParameter for what an Excel sheet cannot hold."""
    if rows > MAX_ROWS:
        detail = f"has {rows:,} rows of {dataset.view}, a sheet holds {MAX_ROWS:,}; take format=csv, or fewer days"
        raise parameters.fault(FORMAT, detail, "xlsx")
    longest = reader_stream.longest_text(release, dataset, filters)
    if longest > MAX_TEXT:
        detail = f"has a text of {longest:,} bytes in {dataset.view}, a cell holds {MAX_TEXT:,}; take format=csv"
        raise parameters.fault(FORMAT, detail, "xlsx")


def _format(arguments: Mapping[str, Any], accept: str | None) -> Format:
    """The format asked for: by name, else by Accept. Raises Problem notAcceptable naming the formats."""
    name: str | None = arguments["format"]
    if name is not None:
        return FORMATS[name]
    chosen = accepted(None if accept is None else accept.encode("latin-1"), tuple(BY_MEDIA_TYPE))
    if chosen is None:
        offered = ", ".join(f"{kind.name} ({kind.media_type})" for kind in FORMATS.values())
        raise Problem("notAcceptable", f"An export is one of {offered}; Accept was {(accept or '')[:200]!r}.")
    return BY_MEDIA_TYPE[chosen]


@get(
    "/api/v1/exports/{dataset:str}",
    opt=documented(
        Operation(
            operation_id="exportDataset",
            summary="A view of the SQL contract as Parquet, CSV, Excel or Arrow",
            description="Every row of the view that the caller may see, by day and then by the columns from left to right, in "
            "base units, streamed. format wins over Accept. The release id stands in Data-Version, in the file's name and, "
            "but for CSV, in the file. In CSV and xlsx, text that a spreadsheet would run as a formula is marked as text: "
            "in CSV by an apostrophe before it, in xlsx by the cell's quote prefix. Instants are UTC. xlsx holds at most "
            "1,048,575 rows. An export that fails midway breaks the connection.",
            tag="exports",
            answer=None,
            parameters=PARAMETERS,
            path_parameters=(("dataset", "View of the SQL contract, such as production_daily."),),
            problems=(400, 404, 405, 406, 410, 413, 414, 429, 500, 503),
            media_types=PATH_MEDIA_TYPES[EXPORTS],
        )
    ),
)
async def export_dataset(request: ApiRequest, dataset: FromPath[str]) -> ASGIApp:
    """Answers with the file."""
    desk = desk_of(request)
    exporter = cast(Exporter, request.app.state.exporter)
    arguments = parameters.read(request.scope["query_string"], PARAMETERS)
    asked = Asked(
        dataset=dataset,
        query=request.scope["query_string"],
        path=request.scope["path"],
        arguments=arguments,
        kind=_format(arguments, request.headers.get("accept")),
        scope=caller_of(request.scope).scope,
        if_none_match=request.headers.get("if-none-match"),
        is_head=request.scope["state"]["is_head"],
    )
    held = ExitStack()
    exporter.enter()
    held.callback(exporter.leave)
    try:
        return await exporter.run(lambda: open_export(desk, exporter, asked, held))
    except BaseException:
        held.close()
        raise
