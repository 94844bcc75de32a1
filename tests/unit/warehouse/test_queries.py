"""Named queries: header, one SELECT, parameters by name, clear faults; and every query file of the repository."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from warehouse.errors import QueryFaulty, QueryNotFound
from warehouse.queries import BOOK, QUERIES, QueryBook, run


def write(folder: Path, name: str, sql: str) -> QueryBook:
    (folder / f"{name}.sql").write_text(sql)
    return QueryBook(folder)


def test_run_when_lists_scalars_and_nulls_are_bound_then_rows_are_dictionaries(tmp_path: Path) -> None:
    book = write(
        tmp_path,
        "some",
        "-- consumer: tests; parameters: $ids VARCHAR[], $low BIGINT, $word VARCHAR\n"
        "SELECT id, $word::VARCHAR AS word, NULL AS nothing FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c')) t(id, name)\n"
        "WHERE (len($ids::VARCHAR[]) = 0 OR list_contains($ids::VARCHAR[], name)) AND id >= $low ORDER BY id",
    )
    with duckdb.connect() as connection:
        rows = run(connection, "some", {"ids": ["a", "c"], "low": 2, "word": None}, book=book)
        assert rows == [{"id": 3, "word": None, "nothing": None}]
        assert [r["id"] for r in run(connection, "some", {"ids": [], "low": 1, "word": "x"}, book=book)] == [1, 2, 3]


def test_run_when_a_value_looks_like_sql_then_it_is_only_a_value(tmp_path: Path) -> None:
    book = write(tmp_path, "echo", "-- consumer: tests\nSELECT $text::VARCHAR AS text")
    with duckdb.connect() as connection:
        assert run(connection, "echo", {"text": "'; DROP TABLE x; --"}, book=book) == [{"text": "'; DROP TABLE x; --"}]


def test_run_when_instant_is_read_then_it_is_utc(tmp_path: Path) -> None:
    book = write(tmp_path, "instant", "-- consumer: tests\nSELECT TIMESTAMPTZ '2026-11-22 07:00:00+01' AS at_utc")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = run(connection, "instant", book=book)[0]["at_utc"]
    assert found == datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert found.utcoffset().total_seconds() == 0


def test_run_when_parameters_do_not_fit_then_all_are_named(tmp_path: Path) -> None:
    book = write(tmp_path, "two", "-- consumer: tests\nSELECT $a::INT + $b::INT AS s")
    with (
        duckdb.connect() as connection,
        pytest.raises(QueryFaulty, match=r"query two needs b and does not know c, d; its parameters are \['a', 'b'\]"),
    ):
        run(connection, "two", {"a": 1, "c": 2, "d": 3}, book=book)


def test_get_when_query_is_unknown_then_names_those_there_are(tmp_path: Path) -> None:
    book = write(tmp_path, "known", "-- consumer: tests\nSELECT 1")
    with pytest.raises(QueryNotFound, match="there are known"):
        book.get("unknown")
    with pytest.raises(QueryNotFound):
        book.get("../known")


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT 1", "first line must be a comment"),
        ("-- consumer: tests\nSELECT 1; SELECT 2", "exactly one SELECT, found 2"),
        ("-- consumer: tests\nCREATE TABLE x (a INT)", "exactly one SELECT"),
        ("-- consumer: tests\nSELEKT 1", "faulty.sql"),
    ],
)
def test_get_when_file_is_faulty_then_says_what(tmp_path: Path, sql: str, says: str) -> None:
    with pytest.raises(QueryFaulty, match=says):
        write(tmp_path, "faulty", sql).get("faulty")


def test_repository_when_queries_are_loaded_then_each_names_its_consumer_and_parameters() -> None:
    for name in BOOK.names():
        query = BOOK.get(name)
        header = "\n".join(line for line in query.sql.splitlines() if line.startswith("--"))
        assert "consumer" in header.lower(), name
        assert [p for p in query.parameters if f"${p}" not in header] == [], name
    assert QUERIES.is_dir()
