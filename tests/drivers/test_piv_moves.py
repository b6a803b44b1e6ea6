"""Second keys on an extended PIV card: what the card tells of its keys, and moving and deleting them."""

from __future__ import annotations

from typing import cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.agent.job import public_key_of
from renewagent.agent.passcode import fits
from renewagent.card.interface import KeyType, MovesKeys
from renewagent.errors import CardRefused
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers.piv import PivDriver
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard

SIGNING, STAGING, PARKING = Slot("9c"), Slot("82"), Slot("83")
READER = "Virtual Reader 1"


def opened(profile: str) -> tuple[VirtualCard, PivDriver]:
    card, readers = VirtualCard.create(None, profile=profile), VirtualReaders([READER])
    card.generate(0x9C, "p256")
    readers.insert(READER, card)
    return card, PivDriver.open(readers.connect(READER))


def spki(card: VirtualCard, slot: int) -> bytes | None:
    key = card.public_key(slot)
    return None if key is None else key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256", "p384"])
def test_an_extended_card_tells_the_public_half_of_any_key(kind: str) -> None:
    card, driver = opened("extended")
    card.generate(0x82, kind)
    assert driver.public_key(STAGING) == spki(card, 0x82)
    assert driver.public_key(PARKING) is None


def test_a_plain_card_tells_nothing_and_stages_nothing() -> None:
    _, driver = opened("plain")
    assert not driver.staging_slots()
    with pytest.raises(CardRefused, match="does not tell"):
        driver.public_key(SIGNING)


def test_two_keys_swap_places_and_the_new_one_signs_with_the_policy_it_was_made_with() -> None:
    _, driver = opened("extended")
    old = driver.public_key(SIGNING)
    with driver.administration() as session:
        new = session.generate(STAGING, KeyType.P256)
        cast(MovesKeys, session).move(SIGNING, PARKING)
        cast(MovesKeys, session).move(STAGING, SIGNING)
    assert (driver.public_key(SIGNING), driver.public_key(PARKING), driver.public_key(STAGING)) == (new, old, None)
    with driver.signing(Pin("123456")) as signing:
        first, second = signing.sign(SIGNING, b"one", "sha256"), signing.sign(SIGNING, b"two", "sha256")
    assert driver.verifies == 2  # PIN "always" went along
    assert fits(public_key_of(new), first, b"one", "sha256") and fits(public_key_of(new), second, b"two", "sha256")


def test_a_full_place_is_not_moved_to() -> None:
    card, driver = opened("extended")
    card.generate(0x82, "p256")
    before = spki(card, 0x9C), spki(card, 0x82)
    with driver.administration() as session, pytest.raises(CardRefused, match="did not move the key in slot 82"):
        cast(MovesKeys, session).move(STAGING, SIGNING)
    assert (spki(card, 0x9C), spki(card, 0x82)) == before


def test_a_key_is_deleted_and_an_empty_slot_is_no_error() -> None:
    card, driver = opened("extended")
    card.generate(0x83, "p256")
    with driver.administration() as session:
        cast(MovesKeys, session).delete(PARKING)
        cast(MovesKeys, session).delete(PARKING)
    assert driver.public_key(PARKING) is None
    assert driver.public_key(SIGNING) == spki(card, 0x9C)
