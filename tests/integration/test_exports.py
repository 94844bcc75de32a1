"""Exports read back: every dataset in every format is the view row by row, and what happens when things go wrong on the way."""

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fastexcel
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from api.callers import READ, Caller, Scope
from api.exports_guard import is_formula, unguarded
from api.routes import exports
from api.settings import Settings
from tests.unit.api.client import Api
from tests.unit.warehouse.frames import publish_tiny, tiny_release_tables
from warehouse import reader_stream

PATH = "/api/v1/exports"
NASTY = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-2+3",
    "@SUM(1)",
    "\tx",
    '"quoted", and ; more',
    "'=kept",
    "line\none",
    "",
    "Ünïcode ＝1",
]
DATASETS = (
    *("asset", "hub", "facility", "facility_version", "facility_network", "external_node", "edge", "edge_version"),
    *("reason_code", "target", "cargo", "cargo_forecast_daily", "reading_daily", "restatement", "quarantine"),
    *(
        "intraday",
        "source_freshness",
        "dictionary",
        "release_info",
        "production_daily",
        "gap_driver_daily",
        "event_daily",
        "event",
    ),
    *("terminal_daily", "hub_trend", "meter_daily", "balance_daily", "closure_daily"),
    *("source_row", "source_register", "capacity_limit", "terminal_balance"),
)


def nasty_tables(days: int = 8) -> dict[str, pl.DataFrame]:
    """The tiny operator with text that a spreadsheet would run, wherever a source may have written it."""
    tables = tiny_release_tables(days)
    row = tables["quarantine"].row(0, named=True)
    rows = [row | {"row_id": f"{i:04}", "raw": text, "reason": text or "?"} for i, text in enumerate(NASTY)]
    tables["quarantine"] = pl.DataFrame(rows, schema=tables["quarantine"].schema)
    events = tables["out__daily_event"]
    tables["out__daily_event"] = events.with_columns(title=pl.Series(NASTY[: events.height], dtype=pl.String))
    return tables


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("exports")
    publish_tiny(directory, tables=nasty_tables())
    with Api(Settings(warehouse_dir=directory)) as running:
        yield running


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_stream, "BATCH_ROWS", 50)


def expected(api: Api, dataset: str, where: str = "", assets: frozenset[str] | None = None) -> pa.Table:
    """The rows of the view as DuckDB has them, in the order of an export."""
    with api.edge.desk.reader.lease() as release, release.cursor(assets) as cursor:
        described = reader_stream.describe(release, dataset, assets)
        assert described is not None
        day = f'"{described.day_column}", ' if described.day_column else ""
        columns = ", ".join(f'"{column.name}"' for column in described.columns)
        return cursor.sql(f"SELECT {columns} FROM {dataset} {where} ORDER BY {day}{columns}").to_arrow_table()


def exported(api: Api, address: str) -> bytes:
    response = api.get(f"{PATH}/{address}")
    assert response.status_code == 200, response.text
    return response.content


def from_csv(body: bytes, schema: pa.Schema) -> pa.Table:
    """The file as a reader with the right types sees it, the guard's apostrophes taken off."""
    options = pyarrow.csv.ConvertOptions(
        column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    parsed = pyarrow.csv.read_csv(
        io.BytesIO(body),
        convert_options=options,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
    )
    columns = [
        pa.array([None if v is None else unguarded(v) for v in column.to_pylist()], pa.string())
        if pa.types.is_string(column.type)
        else column
        for column in parsed.columns
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def from_xlsx(body: bytes, schema: pa.Schema) -> list[list[Any]]:
    """Rows of the first sheet; instants as the text that they are."""
    kinds = {}
    for field in schema:
        is_number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        is_date, is_flag = pa.types.is_date(field.type), pa.types.is_boolean(field.type)
        kinds[field.name] = "float" if is_number else "boolean" if is_flag else "date" if is_date else "string"
    sheet = fastexcel.read_excel(body).load_sheet(0, dtypes=kinds)
    frame = sheet.to_polars()
    assert frame.columns == schema.names
    return [list(row) for row in frame.rows()]


def in_excel(value: Any) -> Any:
    """A value of the release as a workbook has it: instants are text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return value


def test_datasets_then_they_are_all_the_views_of_the_release(api: Api) -> None:
    with api.edge.desk.reader.lease() as release:
        assert {row["table_name"] for row in release.query("table_list")} == set(DATASETS)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.usefixtures("small_batches")
def test_export_of_any_dataset_then_every_format_is_the_view_row_by_row(api: Api, dataset: str) -> None:
    rows = expected(api, dataset)
    schema = rows.schema
    parquet = pq.read_table(io.BytesIO(exported(api, f"{dataset}?format=parquet")))
    assert parquet.equals(rows)
    with pyarrow.ipc.open_stream(exported(api, f"{dataset}?format=arrow")) as stream:
        assert stream.read_all().equals(rows)
    assert from_csv(exported(api, f"{dataset}?format=csv"), schema).equals(rows)
    if rows.num_rows:
        sheet = from_xlsx(exported(api, f"{dataset}?format=xlsx"), schema)
        values = [[in_excel(value) for value in row.values()] for row in rows.to_pylist()]
        assert len(sheet) == len(values)
        for got, want in zip(sheet, values, strict=True):
            assert got == [pytest.approx(v, rel=1e-15) if isinstance(v, float) else v for v in want]


def test_export_then_polars_reads_it_too(api: Api) -> None:
    rows = pl.DataFrame(expected(api, "production_daily"))
    assert pl.read_parquet(exported(api, "production_daily")).equals(rows)
    assert pl.read_ipc_stream(exported(api, "production_daily?format=arrow")).equals(rows)
    read = pl.read_csv(exported(api, "production_daily?format=csv"), try_parse_dates=True, infer_schema_length=None)
    assert read["production_volume"].equals(rows["production_volume"])
    assert read["production_date"].equals(rows["production_date"])


def test_csv_of_text_that_a_spreadsheet_would_run_then_guarded_and_numbers_are_not(api: Api) -> None:
    body = exported(api, "quarantine?format=csv").decode()
    assert "\"'=cmd|' /C calc'!A0\"" in body
    assert '"\'+1"' in body
    assert "\"''=kept\"" in body
    gaps = from_csv(exported(api, "production_daily?format=csv"), expected(api, "production_daily").schema)["gap"]
    assert min(value for value in gaps.to_pylist() if value is not None) < 0
    assert "'-" not in exported(api, "production_daily?format=csv").decode()


def test_xlsx_then_no_formula_and_the_quote_prefix_on_what_looks_like_one(api: Api) -> None:
    body = exported(api, "quarantine?format=xlsx")
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
        everything = b"".join(book.read(name) for name in book.namelist())
    assert "<f>" not in sheet
    assert 'quotePrefix="1"' in styles
    raw = expected(api, "quarantine")["raw"].to_pylist()
    column = "ABCDEFGHIJ"[expected(api, "quarantine").schema.names.index("raw")]
    for number, text in enumerate(raw, start=2):
        cell = next((part for part in sheet.split("<c ") if part.startswith(f'r="{column}{number}"')), "")
        assert (' s="' in cell.split(">")[0]) == is_formula(text), text
    release_id = api.body("/readyz")["dataVersion"]
    assert release_id.encode() in everything


def test_export_then_the_release_stands_in_header_name_and_file(api: Api) -> None:
    release_id = api.body("/readyz")["dataVersion"]
    types = {
        "parquet": "application/vnd.apache.parquet",
        "csv": "text/csv; charset=utf-8; header=present",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "arrow": "application/vnd.apache.arrow.stream",
    }
    for name, media_type in types.items():
        response = api.get(f"{PATH}/terminal_daily?format={name}")
        assert response.headers["content-type"] == media_type
        assert response.headers["data-version"] == release_id
        assert response.headers["content-disposition"] == f'attachment; filename="terminal_daily-{release_id}.{name}"'
        assert response.headers["vary"] == "Accept, Origin"
        assert response.headers["etag"].endswith(f'.{name}"')
    file = pq.ParquetFile(io.BytesIO(exported(api, "terminal_daily")))
    assert file.schema_arrow.metadata[b"release_id"] == release_id.encode()
    assert file.schema_arrow.metadata[b"is_synthetic"] == b"true"
    assert file.schema_arrow.field("gross_stock").metadata[b"unit"] == b"bbl"
    assert file.metadata.metadata[b"release_id"] == release_id.encode()
    about = fastexcel.read_excel(exported(api, "terminal_daily?format=xlsx")).load_sheet("about", header_row=None)
    assert ("release_id", release_id) in [row[:2] for row in about.to_polars().rows()]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("production_daily?network=oil", "WHERE network = 'oil'"),
        ("production_daily?from=2026-11-20", "WHERE production_date >= '2026-11-20'"),
        ("production_daily?to=2026-11-15&assetId=west", "WHERE production_date <= '2026-11-15' AND asset_id = 'west'"),
        ("cargo_forecast_daily?from=2026-11-23&to=2026-11-23", "WHERE date = '2026-11-23'"),
        ("facility?assetId=east", "WHERE asset_id = 'east'"),
        ("edge?network=exportGas", "WHERE network = 'exportGas'"),
        ("production_daily?from=2031-01-01", "WHERE false"),
    ],
)
def test_export_when_filtered_then_those_rows(api: Api, query: str, where: str) -> None:
    dataset = query.partition("?")[0]
    assert pq.read_table(io.BytesIO(exported(api, query))).equals(expected(api, dataset, where))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("edge?from=2026-11-01", "from"), ("target?assetId=east", "assetId"), ("terminal_daily?network=oil", "network"),
     ("production_daily?from=2026-11-20&to=2026-11-19", "from")],
)  # fmt: skip
def test_export_with_a_filter_that_the_dataset_has_not_then_400_that_names_it(
    api: Api, query: str, parameter: str
) -> None:
    problem = api.problem(f"{PATH}/{query}", 400, "invalidParameter")
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


@pytest.mark.parametrize(
    "dataset", ["none", "out__daily_event", "store", "sqlite_master", "a%22b", "event%20WHERE%201=1", "x" * 300]
)
def test_export_of_what_is_no_dataset_then_404_naming_those_there_are(api: Api, dataset: str) -> None:
    assert "production_daily" in api.problem(f"{PATH}/{dataset}", 404, "notFound")["detail"]


@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("text/csv", "", "text/csv"),
        ("application/vnd.apache.arrow.stream, text/csv;q=0.2", "", "application/vnd.apache.arrow.stream"),
        ("text/html, */*;q=0.1", "", "application/vnd.apache.parquet"),
        # The format wins, whatever Accept says.
        ("application/json", "?format=csv", "text/csv"),
    ],
)
def test_export_by_accept_then_the_callers_best_and_the_format_wins(
    api: Api, accept: str, query: str, media_type: str
) -> None:
    response = api.get(f"{PATH}/asset{query}", {"accept": accept})
    assert response.headers["content-type"].startswith(media_type)


def test_export_that_no_sheet_can_hold_then_400_naming_csv(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exports.MAX_ROWS == 1_048_575
    monkeypatch.setattr(exports, "MAX_ROWS", 100)
    problem = api.problem(f"{PATH}/production_daily?format=xlsx", 400, "invalidParameter")
    assert problem["errors"][0]["parameter"] == "format"
    assert "csv" in problem["detail"]
    assert api.get(f"{PATH}/facility?format=xlsx").status_code == 200
    monkeypatch.setattr(exports, "MAX_TEXT", 5)
    assert "csv" in api.problem(f"{PATH}/facility?format=xlsx", 400, "invalidParameter")["detail"]


@pytest.mark.parametrize("name", ["parquet", "csv", "xlsx", "arrow"])
def test_export_made_twice_then_the_same_bytes_under_the_same_tag(api: Api, name: str) -> None:
    one, other = (api.get(f"{PATH}/production_daily?format={name}") for _ in range(2))
    assert (one.headers["etag"], one.content) == (other.headers["etag"], other.content)
    tags = {api.get(f"{PATH}/hub", {"accept": media}).headers["etag"] for media in ("text/csv", "*/*")}
    assert len(tags) == 2, "one address, two formats, two tags"


def test_head_and_304_then_not_a_row_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("rows were read")

    tag = api.get(f"{PATH}/hub").headers["etag"]
    for reading in ("plan", "schema", "batches", "longest_text"):
        monkeypatch.setattr(reader_stream, reading, refused)
    head = api.request("HEAD", f"{PATH}/hub")
    assert (head.status_code, head.headers["etag"], head.content) == (200, tag, b"")
    assert api.request("HEAD", f"{PATH}/none").status_code == 404
    monkeypatch.setattr(reader_stream, "describe", refused)
    held = api.get(f"{PATH}/hub", {"if-none-match": tag})
    assert (held.status_code, held.content) == (304, b"")
    app: Any = api.edge.app
    assert app.state.exporter.under_way == 0


@pytest.mark.parametrize("dataset", DATASETS)
def test_export_by_a_caller_limited_to_an_asset_then_only_its_rows(
    api: Api, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    west = frozenset({"west"})
    caller = Caller("someone", None, frozenset({"west"}), frozenset({READ}), Scope(west), is_authenticated=True)
    everything = api.get(f"{PATH}/{dataset}?format=arrow")

    async def admitted(*_: Any) -> Caller:
        return caller

    monkeypatch.setattr(api.edge.gate, "admit", admitted)
    limited = api.get(f"{PATH}/{dataset}?format=arrow")
    assert limited.status_code == 200
    assert limited.headers["etag"] != everything.headers["etag"]
    rows = pyarrow.ipc.open_stream(limited.content).read_all()
    assert rows.equals(expected(api, dataset, assets=west))
    if dataset not in ("dictionary", "reason_code"):
        for column in (column for column in rows.columns if pa.types.is_string(column.type)):
            leaked = [v for v in column.to_pylist() if v and ("alder" in v.lower() or "tm-east" in v or v == "east")]
            assert leaked == []
    if "asset_id" in rows.schema.names:
        api.problem(f"{PATH}/{dataset}?assetId=east", 400, "unknownId")
