"""The Key History object as the driver keeps it (SP 800-73-5 part 1, 3.3.3), byte for byte on the virtual card."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from renewagent.card.interface import KeepsHistory
from renewagent.model import Slot
from renewagent_drivers.piv import PivDriver
from renewagent_drivers.piv_objects import history_is_signed, history_telling
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard

READER = "Virtual Reader 1"
KEY_HISTORY, SECURITY = 0x5FC10C, 0x5FC106
URL = b"http://example.org/" + b"0" * 64
WITH_URL = bytes.fromhex("c10101c20102f353") + URL + bytes.fromhex("fe00")
SIGNED = bytes.fromhex("ba0601300002 6060") + b"\xbb\x00\xfe\x00"
SIGNED_OTHERS = bytes.fromhex("ba06013000026030") + b"\xbb\x00\xfe\x00"
FIRST, SECOND, THIRD, LAST = (Slot(reference) for reference in ("82", "83", "84", "95"))


def card_telling(content: bytes = b"") -> VirtualCard:
    card = VirtualCard.create(None, profile="extended")
    card.write_object(KEY_HISTORY, content)
    return card


def told(card: VirtualCard, errand: Callable[[KeepsHistory], None]) -> str:
    """What the card says after `errand`."""
    readers = VirtualReaders([READER])
    readers.insert(READER, card)
    with PivDriver.open(readers.connect(READER)).administration() as session:
        errand(cast(KeepsHistory, session))
    return (card.object(KEY_HISTORY) or b"").hex()


@pytest.mark.parametrize(
    ("before", "slot", "after"),
    [
        ("", FIRST, "c10101c20100fe00"),
        ("", THIRD, "c10103c20100fe00"),
        ("c10100c20100fe00", SECOND, "c10102c20100fe00"),
        ("c10105c20100fe00", SECOND, "c10105c20100fe00"),
        ("c20103c10101fe00c50101", SECOND, "c20103c10102fe00c50101"),  # order and what we do not know stay
        ("c10100c20101fe00", LAST, "c10100c20101fe00"),  # the highest is another's, whose certificate is elsewhere
        ("c101", FIRST, "c10101c20100fe00"),
    ],
)
def test_a_certificate_is_told_of(before: str, slot: Slot, after: str) -> None:
    card = card_telling(bytes.fromhex(before))
    assert told(card, lambda session: session.tell_of(slot)) == after


def test_what_was_in_it_stays() -> None:
    card = card_telling(WITH_URL)
    card.write_certificate(0x82, b"first")
    assert told(card, lambda session: session.tell_of(SECOND)) == WITH_URL.hex().replace("c10101", "c10102")
    card.write_certificate(0x83, b"second")
    assert told(card, lambda session: session.tell_no_more_of([SECOND])) == WITH_URL.hex()


@pytest.mark.parametrize(
    ("before", "held", "going", "after"),
    [
        ("c10101c20100fe00", [0x82], [FIRST], "c10100c20100fe00"),
        ("c10103c20100fe00", [0x82, 0x84], [THIRD], "c10101c20100fe00"),
        ("c10103c20100fe00", [0x82, 0x83, 0x84], [FIRST], "c10103c20100fe00"),  # a hole, but nothing is hidden
        ("c10102c20100fe00", [0x82, 0x83], [FIRST, SECOND], "c10100c20100fe00"),
        ("c10104c20100fe00", [], [FIRST], "c10104c20100fe00"),  # what others told is theirs to take back
        ("", [0x82], [FIRST], ""),
    ],
)
def test_what_goes_is_told_of_no_more(before: str, held: list[int], going: list[Slot], after: str) -> None:
    card = card_telling(bytes.fromhex(before))
    for slot in held:
        card.write_certificate(slot, b"certificate")
    assert told(card, lambda session: session.tell_no_more_of(going)) == after


@pytest.mark.parametrize("torn", [b"", WITH_URL[:5]])
def test_a_write_that_was_cut_short_is_made_good(torn: bytes) -> None:
    card = card_telling(torn)
    known = history_telling(1, b"\x53" + bytes((len(WITH_URL),)) + WITH_URL)
    assert known is not None
    after = told(card, lambda session: session.tell_of(SECOND, known))
    assert after == WITH_URL.hex().replace("c10101", "c10102")


def test_what_the_issuer_has_signed_is_left_alone() -> None:
    card = card_telling(WITH_URL)
    card.write_object(SECURITY, SIGNED)
    assert told(card, lambda session: session.tell_of(SECOND)) == WITH_URL.hex()
    card.write_object(SECURITY, SIGNED_OTHERS)
    assert told(card, lambda session: session.tell_of(SECOND)) != WITH_URL.hex()
    assert history_is_signed(b"\x53\x01")  # nobody knows, so nothing is changed


def test_a_card_that_does_not_take_it_keeps_what_it_has() -> None:
    card = VirtualCard.create(None, profile="extended", capacity=150)
    assert told(card, lambda session: session.tell_of(FIRST)) == ""
