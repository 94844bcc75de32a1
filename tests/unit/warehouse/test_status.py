"""status.json: round trip, one source at a time, never half written, a corrupt one said and healed."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from warehouse.errors import StatusCorrupt
from warehouse.status import SourceStatus, Status, read_status, update_source, write_status

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)


def test_read_when_nothing_was_written_then_empty(tmp_path: Path) -> None:
    assert read_status(tmp_path) == Status()


def test_write_when_read_back_then_equal_and_camel_case(tmp_path: Path) -> None:
    pi = SourceStatus(
        source="pi", sla_seconds=7200, data_as_of=NOW, percent_good=97.5, circuit="halfOpen", next_run_at_utc=NOW
    )
    status = Status(updated_at_utc=NOW, sources={"pi": pi})
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    written = json.loads((tmp_path / "status.json").read_bytes())["sources"]["pi"]
    assert written["slaSeconds"] == 7200
    assert written["lastError"] is None
    assert set(written) == {
        "source", "slaSeconds", "dataAsOf", "lastAttempt", "lastSuccess", "lastError", "percentGood", "circuit",
        "circuitSinceUtc", "circuitNextTryAtUtc", "nextRunAtUtc",
    }  # fmt: skip


def test_read_when_an_older_version_wrote_the_file_then_what_it_lacks_is_null(tmp_path: Path) -> None:
    old = {"source": "pi", "slaSeconds": 7200, "lastError": "PI Web API: 503", "circuit": "closed", "nextRun": None}
    (tmp_path / "status.json").write_text(json.dumps({"format": 1, "sources": {"pi": old}}))
    pi = read_status(tmp_path).sources["pi"]
    assert (pi.last_error, pi.circuit, pi.percent_good) == ("PI Web API: 503", "closed", None)
    assert (pi.circuit_since_utc, pi.circuit_next_try_at_utc, pi.next_run_at_utc) == (None, None, None)
    bare = {"source": "pi", "slaSeconds": 7200}
    (tmp_path / "status.json").write_text(json.dumps({"sources": {"pi": bare}}))
    assert read_status(tmp_path).sources["pi"].circuit is None


def test_update_when_one_field_is_named_then_the_rest_and_other_sources_stay(tmp_path: Path) -> None:
    update_source(tmp_path, "pi", sla_seconds=7200, last_success=NOW, now=NOW)
    update_source(tmp_path, "sharepoint", sla_seconds=604800, last_attempt=NOW)
    after = update_source(
        tmp_path, "pi", sla_seconds=7200, last_error="PI Web API: 503 from /streamsets", circuit="open"
    )
    assert (after.last_success, after.circuit) == (NOW, "open")
    assert set(read_status(tmp_path).sources) == {"pi", "sharepoint"}


def test_update_when_many_write_at_once_then_none_is_lost_and_no_reader_sees_half(tmp_path: Path) -> None:
    write_status(tmp_path, Status())
    done = Event()
    seen: list[int] = []

    def watch() -> None:
        while not done.is_set():
            seen.append(len(read_status(tmp_path).sources))

    watcher = Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: update_source(tmp_path, f"source-{n}", sla_seconds=n), range(40)))
    done.set()
    watcher.join()
    assert len(read_status(tmp_path).sources) == 40
    assert seen == sorted(seen)
    assert [p.name for p in tmp_path.iterdir() if "status.json." in p.name] == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"format":2,"sources":{}}', b'{"sources":{"pi":{}}}'])
def test_read_when_file_is_corrupt_then_says_so_and_the_next_update_heals_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "status.json").write_bytes(content)
    with pytest.raises(StatusCorrupt):
        read_status(tmp_path)
    update_source(tmp_path, "pi", sla_seconds=1)
    assert set(read_status(tmp_path).sources) == {"pi"}
