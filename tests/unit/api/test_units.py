"""Units and rounding."""

import math

from hypothesis import given
from hypothesis import strategies as st

from api.units import Converter, rounded

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


def test_rounded_when_the_last_bit_is_noise_then_it_is_gone() -> None:
    assert rounded(21700.000000000004) == 21700.0
    assert rounded(0.1 + 0.2) == 0.3
    assert rounded(33_600_000.123456) == 33_600_000.123456
    assert rounded(None) is None
    assert rounded(math.nan) is None
    assert rounded(math.inf) is None


@given(st.lists(finite, max_size=200))
def test_rounded_sums_then_they_move_by_the_last_bit_at_most(values: list[float]) -> None:
    total = math.fsum(values)
    scale = sum(abs(value) for value in values) or 1.0
    assert abs(math.fsum(rounded(value) or 0.0 for value in values) - total) <= 4e-16 * scale * max(1, len(values))


@given(finite)
def test_convert_to_display_then_base_comes_back(value: float) -> None:
    display = Converter("display")
    for quantity, factor in (("oilRate", 1e3), ("gasRate", 1e6), ("terminalVolume", 1e6), ("time", 1.0)):
        shown = display.convert(value, quantity)  # type: ignore[arg-type]
        assert shown is not None
        assert math.isclose(shown * factor, value, rel_tol=1e-13, abs_tol=1e-300)
        assert Converter("base").convert(value, quantity) == rounded(value)  # type: ignore[arg-type]


@given(st.integers(min_value=-(10**11), max_value=10**11))
def test_convert_whole_barrels_then_the_decimal_that_a_person_would_write(barrels: int) -> None:
    assert Converter("display").rate(float(barrels), "oil") == float(f"{barrels}e-3")


def test_converter_for_networks_then_oil_and_gas_have_their_own_units() -> None:
    display = Converter("display")
    assert (display.rate(21_700.0, "oil"), display.rate(117.8e6, "domesticGas")) == (21.7, 117.8)
    assert (display.volume(16_300.0, "oil"), display.volume(1e6, "exportGas")) == (16.3, 1.0)
    assert (display.terminal_volume(4.5e6), display.terminal_rate(105_600.0)) == (4.5, 105.6)
    assert display.unit("terminalVolume") == "MMbbl"
    assert Converter("base").unit("gasRate") == "scf/d"
