"""Versions of actuals: append-only, idempotent, and enough to know what was known when."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.production import SCHEMA as PRODUCTION
from pipelines.transforms.revisions import (
    KEY,
    VERSION_SCHEMA,
    actual_versions,
    as_known_at,
    revision_steps,
    stream_revisions,
)
from warehouse.catalog.core import CoreActual
from warehouse.catalog.raw import RawEnergyComponentsStreamDay

DAY = date(2026, 11, 10)
BEGIN = datetime(2026, 11, 11, 6, tzinfo=UTC)
NONE_KNOWN = pl.DataFrame(schema=VERSION_SCHEMA)
NO_REVISIONS = pl.DataFrame(schema={n: VERSION_SCHEMA[n] for n in (*KEY, "revision")})


def production(**volumes: tuple[float | None, str | None, str | None]) -> pl.DataFrame:
    """core__daily_production of DAY: facility → volume, source, record status."""
    rows = [
        dict.fromkeys(PRODUCTION)
        | {
            "production_date": DAY,
            "facility_id": facility,
            "network": "oil",
            "volume": volume,
            "source": source,
            "record_status": status,
            "observed_at_utc": BEGIN - timedelta(hours=1),
        }
        for facility, (volume, source, status) in volumes.items()
    ]
    return pl.DataFrame(rows, schema=PRODUCTION, orient="row")


def revisions(**numbers: int) -> pl.DataFrame:
    return pl.DataFrame(
        [(facility, "oil", DAY, number) for facility, number in numbers.items()],
        schema=NO_REVISIONS.schema,
        orient="row",
    )


_PRESENT = st.tuples(
    st.floats(0.0, 1e5), st.sampled_from(["ec", "pi"]), st.sampled_from(["estimated", "provisional", "approved"])
)
_VALUE = st.one_of(_PRESENT, st.just((None, None, None)))
_STATES = st.lists(st.fixed_dictionaries({"a": _VALUE, "b": _VALUE}), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(states=_STATES, clock=st.lists(st.integers(-2, 3), min_size=6, max_size=6))
def test_versions_when_states_follow_each_other_then_each_stays_known_and_none_is_rewritten(
    states: list[dict[str, Any]], clock: list[int]
) -> None:
    known, moment = NONE_KNOWN, BEGIN
    seen: list[tuple[datetime, pl.DataFrame]] = []
    for state, step in zip(states, clock, strict=False):
        # A clock that stands still or goes back must not lose a version.
        moment += timedelta(hours=step)
        frame = production(**state)
        after = actual_versions(known, frame, NO_REVISIONS, now=moment)
        kept = after.join(known, on=[*KEY, "source", "known_at_utc"], how="semi")
        assert kept.equals(known)
        assert actual_versions(after, frame, NO_REVISIONS, now=moment + timedelta(days=9)).equals(after)
        known = after
        seen.append((known["known_at_utc"].max() or moment, frame))  # type: ignore[arg-type]
    assert CoreActual.is_valid(known)
    assert known.select(*KEY, "known_at_utc").is_duplicated().sum() == 0
    for instant, frame in seen[-1:]:
        wanted = frame.filter(pl.col("volume").is_not_null()).select("facility_id", "volume", "source")
        assert as_known_at(known, instant).select(wanted.columns).sort("facility_id").equals(wanted.sort("facility_id"))


@settings(max_examples=40, deadline=None)
@given(states=_STATES)
def test_versions_when_asked_as_known_at_any_instant_then_they_give_the_state_of_then(
    states: list[dict[str, Any]],
) -> None:
    known = NONE_KNOWN
    moments = [BEGIN + timedelta(hours=n) for n in range(len(states))]
    for moment, state in zip(moments, states, strict=True):
        known = actual_versions(known, production(**state), NO_REVISIONS, now=moment)
    for moment, state in zip(moments, states, strict=True):
        wanted = production(**state).filter(pl.col("volume").is_not_null()).sort("facility_id")
        columns = ["facility_id", "volume", "source", "record_status"]
        for instant in (moment, moment + timedelta(minutes=59)):
            found = as_known_at(known, instant).sort("facility_id")
            assert found.select(columns).equals(wanted.select(columns))


def test_versions_when_the_source_corrects_then_both_values_stand_with_their_revision_and_instant() -> None:
    first = actual_versions(NONE_KNOWN, production(a=(100.0, "ec", "provisional")), revisions(a=1), now=BEGIN)
    later = BEGIN + timedelta(days=12)
    both = actual_versions(first, production(a=(104.0, "ec", "verified")), revisions(a=2), now=later)
    assert both.select("volume", "revision", "known_at_utc").rows() == [(100.0, 1, BEGIN), (104.0, 2, later)]
    assert as_known_at(both, later - timedelta(microseconds=1))["volume"].to_list() == [100.0]
    step = revision_steps(both)
    assert step.select("revision_before", "revision", "known_at_utc").row(0) == (1, 2, later)


def test_versions_when_the_value_is_taken_back_then_a_version_says_so_and_it_may_return() -> None:
    first = actual_versions(NONE_KNOWN, production(a=(100.0, "ec", None)), NO_REVISIONS, now=BEGIN)
    gone = actual_versions(first, production(a=(None, None, None)), NO_REVISIONS, now=BEGIN + timedelta(days=1))
    assert gone.select("source", "volume").rows() == [("ec", 100.0), ("none", None)]
    assert as_known_at(gone, BEGIN + timedelta(days=1)).is_empty()
    back = actual_versions(gone, production(a=(100.0, "ec", None)), NO_REVISIONS, now=BEGIN + timedelta(days=2))
    assert back["source"].to_list() == ["ec", "none", "ec"]


def test_versions_when_a_day_is_not_computed_then_its_versions_are_left_alone() -> None:
    first = actual_versions(NONE_KNOWN, production(a=(100.0, "ec", None)), NO_REVISIONS, now=BEGIN)
    empty = production(a=(1.0, "ec", None)).clear()
    assert actual_versions(first, empty, NO_REVISIONS, now=BEGIN + timedelta(days=1)).equals(first)


def test_versions_when_pi_stands_in_then_it_has_no_revision_of_energy_components() -> None:
    found = actual_versions(NONE_KNOWN, production(a=(90.0, "pi", "estimated")), revisions(a=3), now=BEGIN)
    assert found.select("source", "revision").row(0) == ("pi", None)


def test_stream_revisions_when_several_streams_add_up_then_the_row_updated_last_is_named() -> None:
    streams = pl.DataFrame(
        [
            ("A1", "a", "oil", "production"),
            ("A2", "a", "oil", "production"),
            ("A3", "a", "oil", "throughput"),
            ("B1", "b", "oil", "throughput"),
        ],
        schema=["stream_ec_code", "facility_id", "network", "role"],
        orient="row",
    )
    schema = RawEnergyComponentsStreamDay.create_empty().schema
    rows = [
        ("A1", 5, BEGIN, 1.0),
        ("A2", 2, BEGIN + timedelta(days=3), 1.0),
        ("A3", 9, BEGIN + timedelta(days=5), 1.0),
        ("B1", 4, None, 1.0),
        ("B1", 7, None, None),
    ]
    days = pl.DataFrame(
        [
            dict.fromkeys(schema)
            | {
                "stream_ec_code": code,
                "production_date": DAY,
                "rev_no": number,
                "source_updated_at_utc": at,
                "volume": volume,
            }
            for code, number, at, volume in rows
        ],
        schema=schema,
    )
    found = stream_revisions(days, streams)
    assert found.select("facility_id", "revision").rows() == [("a", 2), ("b", 4)]
