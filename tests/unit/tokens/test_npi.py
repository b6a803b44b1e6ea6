"""A mistyped NPI or DEA number is noticed; the number itself comes from elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.errors import FormError
from renewagent.tokens.npi import read_dea, read_npi


@pytest.mark.parametrize("typed", ["1234567893", " 1234 567 893", "123-456-7893", "1245319599", "1003000126"])
def test_an_npi_as_it_is_typed(typed: str) -> None:
    assert read_npi(typed).isdecimal() and len(read_npi(typed)) == 10


@pytest.mark.parametrize("typed", ["", "123456789", "12345678930", "123456789X", "١٢٣٤٥٦٧٨٩٣"])
def test_what_is_no_ten_digits(typed: str) -> None:
    with pytest.raises(FormError, match="ten digits") as raised:
        read_npi(typed)
    assert raised.value.field == "npi"


@given(place=st.integers(0, 9), by=st.integers(1, 9))
def test_one_wrong_digit_is_noticed(place: int, by: int) -> None:
    digits = list("1234567893")
    digits[place] = str((int(digits[place]) + by) % 10)
    with pytest.raises(FormError, match="does not fit"):
        read_npi("".join(digits))


@pytest.mark.parametrize("place", range(9))
def test_two_swapped_digits_are_noticed(place: int) -> None:
    digits = list("1234567893")
    digits[place], digits[place + 1] = digits[place + 1], digits[place]
    with pytest.raises(FormError) as raised:
        read_npi("".join(digits))
    assert "swapped" in raised.value.advice


@pytest.mark.parametrize("typed", ["AB1234563", "ab 1234563", "F91234563", "BB1388568"])
def test_a_dea_number_as_it_is_typed(typed: str) -> None:
    assert read_dea(typed) == typed.replace(" ", "").upper()


@pytest.mark.parametrize("typed", ["AB1234562", "AB2134563", "BB1388569"])
def test_a_dea_number_whose_last_digit_does_not_fit(typed: str) -> None:
    with pytest.raises(FormError, match="does not fit"):
        read_dea(typed)


@pytest.mark.parametrize("typed", ["1234563", "A1234563", "AB123456", "AB1234563-042", "9B1234563"])
def test_what_is_no_dea_number(typed: str) -> None:
    with pytest.raises(FormError, match="two letters and seven digits") as raised:
        read_dea(typed, "registration")
    assert raised.value.field == "registration"
