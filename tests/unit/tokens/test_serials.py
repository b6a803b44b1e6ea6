"""What the serial on the back says: H1 and H2, and sentences that help where it says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.errors import FormError
from renewagent.tokens.model import TokenKind
from renewagent.tokens.serials import KNOWN, Asks, Profile, extended, normalised, profile_of, same_token


@pytest.mark.parametrize(
    ("typed", "serial", "asks", "kind"),
    [
        ("GAHE00012345", "GAHE00012345", Asks.CODES, TokenKind.HARDWARE),
        ("galh 0001-2345", "GALH00012345", Asks.COUNTERS, TokenKind.HARDWARE),
        ("\tGAHE–0001 2345 ", "GAHE00012345", Asks.CODES, TokenKind.HARDWARE),  # noqa: RUF001
        ("ＧＡＨＥ00012345", "GAHE00012345", Asks.CODES, TokenKind.HARDWARE),  # noqa: RUF001
        ("30-1234567-8", "3012345678", Asks.NONE, TokenKind.HARDWARE),
        ("AVT812345678", "AVT812345678", Asks.NONE, TokenKind.HARDWARE),
        ("FT1234567890", "FT1234567890", Asks.NONE, TokenKind.HARDWARE),
        ("SYMC12345678", "SYMC12345678", Asks.NONE, TokenKind.SOFT),
        ("vsst12345678", "VSST12345678", Asks.NONE, TokenKind.SOFT),
    ],
)
def test_the_prefix_says_what_a_ticket_needs(typed: str, serial: str, asks: Asks, kind: TokenKind) -> None:
    found, profile = profile_of(typed)
    assert (found, profile.asks, profile.kind) == (serial, asks, kind)


def test_an_administrators_rows_come_first_and_the_longest_prefix_wins() -> None:
    table = extended({"GAHE9": {"asks": "counters", "maker": "A newer series"}, "zz-1": {"asks": "none", "maker": "Z"}})
    assert profile_of("GAHE90012345", table)[1].maker == "A newer series"
    assert profile_of("GAHE10012345", table)[1].asks is Asks.CODES
    assert profile_of("ZZ1234567", table)[1] == Profile("ZZ1", Asks.NONE, "Z")
    replaced = extended({"GAHE": {"asks": "none", "maker": "Another"}})
    assert [row.maker for row in replaced if row.prefix == "GAHE"] == ["Another"]
    assert len(replaced) == len(KNOWN)


@pytest.mark.parametrize(
    "rows",
    [
        {"": {"asks": "none", "maker": "Z"}},
        {"G!": {"asks": "none", "maker": "Z"}},
        {"GX": {"asks": "nothing", "maker": "Z"}},
        {"GX": {"asks": "codes", "maker": " "}},
        {"GX": {"asks": "codes"}},
        {"GX": {"asks": "codes", "maker": "Z", "price": "40"}},
    ],
)
def test_a_row_that_makes_no_sense_is_refused(rows: dict[str, dict[str, str]]) -> None:
    with pytest.raises(ValueError, match=r"prefix|asks|maker"):
        extended(rows)


def test_a_prefix_that_nobody_knows_names_whom_to_ask() -> None:
    with pytest.raises(FormError, match="begins with QQXX") as raised:
        profile_of("QQXX12345678", ask="Dana Whitfield, 217-555-0142")
    assert "ask Dana Whitfield, 217-555-0142" in raised.value.advice
    assert raised.value.field == "serial"


@pytest.mark.parametrize(
    ("typed", "guess"), [("GAME00012345", "GAHE00012345"), ("6ALH00012345", "GALH00012345"), ("SYNC12345678", "SYMC")]
)
def test_a_letter_that_was_misread_is_guessed(typed: str, guess: str) -> None:
    with pytest.raises(FormError, match=f"Did you mean {guess}"):
        profile_of(typed)


@pytest.mark.parametrize(
    ("typed", "said"),
    [("", "Type the serial"), ("GAHE", "not as long"), ("GAHE_1234", "letters and digits"), ("G" * 41, "letters and")],
)
def test_what_is_no_serial_number(typed: str, said: str) -> None:
    with pytest.raises(FormError, match=said):
        profile_of(typed)


def test_the_serial_on_the_screen_is_the_one_on_the_back() -> None:
    same_token("GAHE00012345", "gahe 0001 2345")
    with pytest.raises(FormError, match="registered is GAHE00012345; the one in your hand is GAHE00012346") as raised:
        same_token("GAHE00012345", "GAHE00012346")
    assert raised.value.field == "back" and "another token" in raised.value.advice
    with pytest.raises(FormError, match="Type the serial number"):
        same_token("GAHE00012345", " - ")


@given(st.text(max_size=60))
def test_whatever_is_typed_is_answered(typed: str) -> None:
    try:
        serial, profile = profile_of(typed)
    except FormError as refused:
        assert refused.message and refused.advice and refused.field == "serial"
    else:
        assert serial == normalised(serial) == normalised(typed) and profile.fits(serial)
