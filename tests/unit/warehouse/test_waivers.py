"""waivers.json: given by name, spent once, whoever publishes meanwhile."""

from pathlib import Path

import pytest

from tests.unit.warehouse.frames import publish_tiny, request_for, tiny_release_tables
from warehouse.build_publish import build_and_publish
from warehouse.errors import BuildInputError
from warehouse.manifest import Waiver, read_manifest
from warehouse.waivers import WAIVERS, give, pending, spend

GATES = ("high_water_marks_never_fall", "no_production_day_vanishes")
ONE = Waiver(gate=GATES[0], by="A. Engineer", reason="source rebuilt")
OTHER = Waiver(gate=GATES[1], by="B. Engineer", reason="day withdrawn")


def test_give_then_pending_until_spent_and_others_stay(tmp_path: Path) -> None:
    assert pending(tmp_path) == []
    give(tmp_path, ONE, allowed=GATES)
    give(tmp_path, OTHER, allowed=GATES)
    assert pending(tmp_path) == [ONE, OTHER]
    again = Waiver(gate=ONE.gate, by="C. Engineer", reason="still")
    give(tmp_path, again, allowed=GATES)  # one a gate: the last word counts
    assert pending(tmp_path) == [OTHER, again]
    spend(tmp_path, [OTHER])
    spend(tmp_path, [])
    assert pending(tmp_path) == [again]
    spend(tmp_path, [again])
    assert not (tmp_path / WAIVERS).exists()


def test_give_when_gate_or_names_do_not_fit_then_every_fault_at_once(tmp_path: Path) -> None:
    with pytest.raises(BuildInputError) as raised:
        give(tmp_path, Waiver(gate="nonsense", by="", reason=" "), allowed=GATES)
    assert len(raised.value.faults) == 3
    assert GATES[1] in str(raised.value)
    assert pending(tmp_path) == []


def test_pending_when_the_file_is_none_then_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / WAIVERS).write_bytes(b"{")
    with pytest.raises(BuildInputError, match="delete it"):
        pending(tmp_path)


def test_publish_when_a_waiver_was_not_needed_then_it_is_spent_and_not_recorded(warehouse: Path) -> None:
    give(warehouse, ONE, allowed=GATES)
    assert publish_tiny(warehouse)  # unchanged: no release, nothing spent
    assert pending(warehouse) == [ONE]
    tables = tiny_release_tables(6)
    result = build_and_publish(warehouse, tables, info=request_for(tables))
    assert read_manifest(result.path).waivers == []
    assert pending(warehouse) == []


def test_publish_when_another_gate_refuses_then_the_waiver_stays(warehouse: Path) -> None:
    give(warehouse, ONE, allowed=GATES)
    tables = tiny_release_tables(6)
    faulty = tables | {"hub": tables["hub"].drop("name")}
    assert build_and_publish(warehouse, faulty, info=request_for(faulty)).refused
    assert pending(warehouse) == [ONE]
