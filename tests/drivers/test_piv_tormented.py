"""The PIV driver with cards that go wrong: whatever happens, and wherever, it ends soon, and in one of our errors."""

from __future__ import annotations

import time
from functools import cache

import pytest

from renewagent.card.interface import KeyType
from renewagent.errors import RenewAgentError
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import open_card
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.torment import Kind, Lie, TormentedCard
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.virtual_card.eeprom import MemoryEeprom
from renewagent_fixtures.virtual_card.latency import NO_LATENCY
from renewagent_fixtures.virtual_card.memory import decode
from tests.made import certificate

READER = "Virtual Reader 1"
SIGNING, AUTHENTICATION = Slot("9c"), Slot("9a")
EXCHANGES = 40
PIN = "123456"


@cache
def issued() -> bytes:
    """The memory of a card with one key and its certificate."""
    card = VirtualCard.create(None, profile="extended")
    card.write_certificate(0x9C, certificate(card.generate(0x9C, "p256")))
    return card.image


def card_like_it(seed: int = 0) -> TormentedCard:
    card = VirtualCard(MemoryEeprom(issued()), decode(issued()), NO_LATENCY, False, lambda seconds: None)
    return TormentedCard(card, seed)


def use(card: TormentedCard) -> str:
    """Everything that the driver does: what stopped it, by name."""
    readers = VirtualReaders((READER,), patience=0.2)
    readers.insert(READER, card)
    begun = time.monotonic()
    try:
        driver = open_card(readers.connect(READER))
        driver.identity()
        driver.head(SIGNING)
        driver.certificate(SIGNING)
        driver.capabilities()
        with driver.signing(Pin(PIN)) as signing:
            signing.sign(SIGNING, b"something", "sha256")
        with driver.administration() as session:
            session.generate(AUTHENTICATION, KeyType.P256)
            session.store(AUTHENTICATION, b"")
    except RenewAgentError as error:
        return type(error).__name__
    finally:
        assert time.monotonic() - begun < 5, card.plan
        assert card.pin_tries == 3, card.plan  # the right PIN costs no try
    return "nothing"


def test_a_card_with_nothing_the_matter() -> None:
    card = card_like_it()
    assert use(card) == "nothing"
    assert card.exchanges > 25


@pytest.mark.parametrize("lie", Lie)
def test_an_answer_whose_length_is_not_true(lie: Lie) -> None:
    for after in range(0, EXCHANGES, 3):
        card = card_like_it()
        card.lie_about_length(lie, after=after)
        use(card)
        assert card.happened or card.exchanges <= after


def test_any_two_faults() -> None:
    ended = {}
    for seed in range(60):
        card = card_like_it(seed)
        card.random(2, within=EXCHANGES)
        ended[card.plan] = use(card)
        gone = [h.exchange for h in card.happened if h.fault.kind in (Kind.PULL_OUT, Kind.CUT_POWER)]
        assert not gone or gone == [card.exchanges], card.plan  # nobody speaks to a card that is out
    assert {"nothing", "CardRemoved", "ReaderError"} <= set(ended.values())
