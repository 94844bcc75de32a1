"""The freshness word."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.facts import SourceAge
from api.freshness import FreshnessClock, thresholds
from tests.unit.api.test_caching import FACTS
from warehouse.status import SourceStatus, Status, update_source

AS_OF = datetime(2026, 11, 22, 5, tzinfo=UTC)
PI = SourceAge("pi", AS_OF, timedelta(hours=2))


def at(hours: float) -> float:
    return (AS_OF + timedelta(hours=hours)).timestamp()


def test_word_as_a_source_ages_then_fresh_delayed_stale() -> None:
    ages = thresholds([PI, SourceAge("energy_components", AS_OF, timedelta(hours=30))])
    assert [ages.word(at(hours)) for hours in (0, 1.9, 2, 3.9, 4)] == [
        b"fresh",
        b"fresh",
        b"delayed",
        b"delayed",
        b"stale",
    ]


def test_word_when_a_source_never_had_data_then_stale() -> None:
    assert thresholds([SourceAge("pi", None, timedelta(hours=2))]).word(at(0)) == b"stale"


def test_word_when_a_source_was_read_since_then_its_new_instant_counts_unless_held() -> None:
    read = Status(sources={"pi": SourceStatus(source="pi", sla_seconds=7200, data_as_of=AS_OF + timedelta(hours=6))})
    assert thresholds([PI], read).word(at(7)) == b"fresh"
    assert thresholds([PI], read, is_held=True).word(at(7)) == b"stale"


def test_word_when_the_last_attempt_failed_then_delayed() -> None:
    failed = Status(sources={"pi": SourceStatus(source="pi", sla_seconds=7200, last_error="no answer")})
    assert thresholds([PI], failed).word(at(0)) == b"delayed"


def test_clock_when_the_status_file_changes_then_the_word_follows(tmp_path: Path) -> None:
    facts = FACTS.__class__(**{**FACTS.__dict__, "sources": (PI,)})
    clock = FreshnessClock(tmp_path, now=lambda: at(1))
    own = thresholds(facts.sources)
    clock.follow(facts, is_held=False)
    assert clock.word(facts.release_id, own) == b"fresh"
    update_source(tmp_path, "pi", sla_seconds=7200, last_error="connection refused")
    clock.follow(facts, is_held=False)
    assert clock.word(facts.release_id, own) == b"delayed"
    assert clock.word("another", own) == b"fresh"


def test_clock_when_the_status_file_is_garbage_then_the_last_one_stays(tmp_path: Path) -> None:
    facts = FACTS.__class__(**{**FACTS.__dict__, "sources": (PI,)})
    clock = FreshnessClock(tmp_path, now=lambda: at(1))
    (tmp_path / "status.json").write_text("{")
    clock.follow(facts, is_held=False)
    assert clock.word(facts.release_id, thresholds(facts.sources)) == b"fresh"
