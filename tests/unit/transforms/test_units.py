"""Conversion factors: the domain's constants, oilfield spellings, rates, overrides and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.units import Kind, Phase, UnitError, UnitTable, factor, phase_of

BBL, SCF = 6.289810770, 35.314666721


@pytest.mark.parametrize(
    ("unit", "phase", "expected"),
    [
        ("bbl", "liquid", 1.0),
        ("kbbl", "liquid", 1e3),
        ("Mbbl", "liquid", 1e3),
        ("MMbbl", "liquid", 1e6),
        ("Sm3", "liquid", BBL),
        ("SM3", "gas", SCF),
        ("Sm³", "gas", SCF),
        ("kSm3/d", "gas", SCF * 1e3),
        ("MSm3/d", "gas", SCF * 1e6),
        ("scf", "gas", 1.0),
        ("Mscf", "gas", 1e3),
        ("MMscf/d", "gas", 1e6),
        ("MMSCFD", "gas", 1e6),
        ("Bcf", "gas", 1e9),
        ("bbl/d", "liquid", 1.0),
        ("kbbl/d", "liquid", 1e3),
        ("bopd", "liquid", 1.0),
        ("MBPD", "liquid", 1e3),
        ("STB/d", "liquid", 1.0),
        ("Sm3/h", "liquid", BBL * 24),
        ("Sm3/t", "liquid", BBL * 24),
        ("Sm3/t", "gas", SCF * 24),
        (" Sm3 / d ", "liquid", BBL),
        ("scf/s", "gas", 86400.0),
    ],
)
def test_factor_when_unit_known_then_base_units(unit: str, phase: Phase, expected: float) -> None:
    assert factor(unit, phase) == pytest.approx(expected, rel=1e-12)


def test_factor_when_one_text_names_both_phases_then_each_its_own() -> None:
    table = UnitTable()
    assert table.factor("kbbl | MMscf", "liquid") == 1e3
    assert table.factor("kbbl | MMscf", "gas") == 1e6


def test_factor_when_unknown_then_error_lists_known_and_how_to_state_it() -> None:
    with pytest.raises(UnitError, match=r"'tonne' is no known liquid unit.*kbbl.*sm3.*bbl_per_<unit>"):
        factor("tonne", "liquid")
    with pytest.raises(UnitError, match="None is no known gas unit"):
        factor(None, "gas")


@pytest.mark.parametrize(("unit", "phase"), [("scf", "liquid"), ("bbl", "gas"), ("TJ/d", "gas"), ("m3", "liquid")])
def test_factor_when_phase_or_condition_does_not_fit_then_refused(unit: str, phase: Phase) -> None:
    assert not UnitTable().knows(unit, phase)


@pytest.mark.parametrize(("unit", "kind"), [("bbl", "rate"), ("bbl/d", "volume")])
def test_factor_when_kind_does_not_fit_then_refused(unit: str, kind: Kind) -> None:
    with pytest.raises(UnitError, match=f"a {kind} is wanted"):
        UnitTable().factor(unit, "liquid", kind)


def test_overrides_when_stated_then_used_also_under_prefixes() -> None:
    table = UnitTable({"scf_per_tj": 1e6, "bbl_per_m3": 6.28, "scf_per_sm3": 35.3})
    assert table.factor("TJ", "gas") == 1e6
    assert table.factor("GJ/h", "gas") == pytest.approx(24e3)
    assert table.factor("m3/d", "liquid") == 6.28
    assert table.factor("kSm3", "gas") == pytest.approx(35.3e3)
    assert table.factor("Sm3", "liquid") == pytest.approx(BBL)


def test_overrides_when_not_understood_then_all_named() -> None:
    with pytest.raises(UnitError, match=r"oil_factor = 3.*scf_per_tj = 0"):
        UnitTable({"oil_factor": 3, "scf_per_tj": 0})


def test_mapped_when_column_has_no_unit_then_base_unit() -> None:
    table = UnitTable()
    assert table.mapped({}, "volume", "gas", "volume") == 1.0
    assert table.mapped({"volume": "Sm3"}, "volume", "gas", "volume") == pytest.approx(SCF)


@given(st.sampled_from(["bbl", "kbbl", "MMbbl", "Sm3", "kSm3"]), st.floats(1e-6, 1e9))
def test_rate_when_per_hour_then_24_times_per_day(unit: str, value: float) -> None:
    assert value * factor(f"{unit}/h", "liquid") == pytest.approx(24 * value * factor(f"{unit}/d", "liquid"), rel=1e-12)


def test_phase_when_oil_then_liquid_else_gas() -> None:
    assert [phase_of(n) for n in ("oil", "domesticGas", "exportGas", "flaredGas")] == ["liquid", "gas", "gas", "gas"]
