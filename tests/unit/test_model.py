"""Words name themselves as people and files are shown them."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime

import pytest

from renewagent.model import CardIdentity, CertificateHead, SigningCertificate, Slot

WHEN = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("serial", "shown"), [(0, "0"), (1, "1"), (0x1A2B, "1a2b"), (-255, "-ff"), (1 << 159, "8" + "0" * 39)]
)
def test_serials_are_hex_of_the_value(serial: int, shown: str) -> None:
    assert CertificateHead(serial, (), WHEN, WHEN).serial_hex == shown


def test_slots_and_cards_as_people_see_them() -> None:
    assert str(Slot("9c")) == "9C"
    assert sorted([Slot("9c"), Slot("82"), Slot("9a")]) == [Slot("82"), Slot("9a"), Slot("9c")]
    card = CardIdentity("chuid", "00aabbccddeeff")
    assert (str(card), card.ending) == ("chuid:00aabbccddeeff", "EEFF")
    assert CardIdentity("serial", "12").ending == "12"


def test_a_certificate_hashes_its_der_and_does_not_print_it() -> None:
    found = SigningCertificate(
        CertificateHead(1, (), WHEN, WHEN), (), None, "sha256WithRSAEncryption", "rsa", 2048, b"\x30\x00secretive"
    )
    assert found.sha256 == hashlib.sha256(b"\x30\x00secretive").hexdigest()
    assert "secretive" not in repr(found)


def test_words_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Slot("9c").reference = "9a"  # type: ignore[misc]
