"""The RA keeps the cards' management keys and answers their challenges: whole renewals, and everything that can go wrong
on the way to it. The key is nowhere but at the RA and on the card.
"""

from __future__ import annotations

import pytest

from tests.flows.workshop import Workshop, Workstations, certificate, signs

ALGORITHMS = {"3des": 0x03, "aes128": 0x08, "aes192": 0x0A, "aes256": 0x0C}


@pytest.fixture
def relaying(workshop: Workshop) -> Workshop:
    workshop.turn(key_relay=True)
    return workshop


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_way_d(relaying: Workshop, workstation: Workstations, algorithm: int) -> None:
    card = relaying.card(kept_by_ra=algorithm)
    old = certificate(card)
    outcome = workstation(relaying.campaign()).relayed().renew(card)
    assert outcome["way"] == "D" and outcome["signed_in"] and outcome["receipt"]
    assert certificate(card) != old and signs(card)
