"""A card with room for a second key gets its new one beside the old: way B, and what a cut leaves of it anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from renewagent.errors import CardRemoved, RenewAgentError
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows.test_resumed_elsewhere import killed, places
from tests.flows.workshop import (
    SIGNING,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    sha256,
    signs,
)

ORDER = [
    "ready",
    "agreed",
    "ticket-granted",
    "staging",
    "generated",
    "asked",
    "issued",
    "staging",
    "stored",
    "tried",
    "begun",
    "moved",
    "confirmed",
    "receipted",
    "removed",
    "returned",
    "signed-in",
]
VERIFIES = 4
"""Ticket, request, trial (with certConf and receipt), sign-in."""
STAGING, PARKING = 0x83, 0x82
KEY_HISTORY = 0x5FC10C
TELLS_OF_ONE = bytes.fromhex("c10101c20100fe00")
"""The content of a Key History object that tells of one certificate on the card (SP 800-73-5 part 1, 3.3.3)."""
MOVE_KEY, GENERATE, PUT_DATA = 0xF6, 0x47, 0xDB


@pytest.mark.parametrize(("key", "protects"), [("p256", False), ("p256", True), ("rsa2048", False)])
def test_the_new_key_is_tried_beside_the_old_one(
    workshop: Workshop, workstation: Workstations, key: str, protects: bool
) -> None:
    card = workshop.card(key=key, protects=protects, profile="extended")
    old, old_key, tries = certificate(card), card.public_key(SIGNING), card.pin_tries
    desk = workstation(workshop.campaign(rekey="required"))
    outcome = desk.renew(card)
    assert desk.kinds == ORDER
    assert_renewed(workshop, card, old)
    assert (outcome["way"], outcome["state"], outcome["old"]["sha256"]) == ("B", "done", sha256(old))
    assert card.public_key(SIGNING) != old_key
    assert (card.public_key(PARKING), card.public_key(STAGING)) == (old_key, None)
    assert card.object(KEY_HISTORY) == TELLS_OF_ONE
    assert certificate(card, PARKING) == old
    assert (desk.tape.verifies, card.pin_tries) == (VERIFIES, tries)


def test_until_the_swap_the_card_signs_under_its_old_certificate(workshop: Workshop, workstation: Workstations) -> None:
    card, seen = workshop.card(profile="extended"), []
    old, old_key, desk = certificate(card), card.public_key(SIGNING), workstation(workshop.campaign())
    person = desk.person(
        card, on={"progress": lambda said: seen.append((said.step, card.public_key(SIGNING), certificate(card)))}
    )
    desk.renew(card, person)
    assert [step for step, _, _ in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert all((key, der) == (old_key, old) for step, key, der in seen if step <= 6)


def test_an_ra_without_tickets_updates_the_key_by_kur(workshop: Workshop, workstation: Workstations) -> None:
    workshop.turn(knows_no_tickets=True)
    card = workshop.card(protects=True, profile="extended")
    old, desk = certificate(card), workstation(workshop.campaign())
    outcome = desk.renew(card)
    assert (outcome["way"], outcome["state"]) == ("B", "done")
    assert certificate(card) != old and signs(card)
    assert [row.state for row in workshop.signing_certificates(old)] == ["updated", "valid"]


@pytest.mark.parametrize("ending", ["journalled", "lost"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
@pytest.mark.parametrize("at", places(ORDER))
def test_it_goes_on_after_the_process_ended(
    workshop: Workshop, workstation: Workstations, at: int, elsewhere: bool, ending: str
) -> None:
    card, campaign = workshop.card(profile="extended"), workshop.campaign()
    old, first = certificate(card), workstation(campaign)
    killed(first, card, at, ending)
    second = workstation(campaign) if elsewhere else first
    second.renew(card)
    assert_renewed(workshop, card, old)
    assert card.object(KEY_HISTORY) == TELLS_OF_ONE
    assert card.pin_tries == 3


def cut_at(desk: Workstation, card: VirtualCard, instruction: int, number: int, moment: Moment) -> Callable[[], bool]:
    """Pull the card out at the `number`th command of its kind; whether that came to pass."""
    seen = 0

    def hook(now: Moment, command: bytes, response: bytes) -> None:
        nonlocal seen
        if now is not moment or not command or command[1] != instruction:
            return
        seen += 1
        if seen == number:
            card.hook = None
            desk.lose_contact()
            raise CardRemoved("pulled out by the test")

    card.hook = hook
    return lambda: seen >= number


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
@pytest.mark.parametrize(
    ("instruction", "number"), [(GENERATE, 1), (MOVE_KEY, 2), (MOVE_KEY, 3), *((PUT_DATA, n) for n in range(1, 11))]
)
def test_whatever_the_card_was_cut_off_in_both_keys_are_on_it(
    workshop: Workshop, workstation: Workstations, instruction: int, number: int, moment: Moment, elsewhere: bool
) -> None:
    card, campaign = workshop.card(profile="extended"), workshop.campaign()
    old, old_key, first = certificate(card), card.public_key(SIGNING), workstation(campaign)
    happened = cut_at(first, card, instruction, number, moment)
    # Nobody puts it back at once: the person goes away.
    person = first.person(card, insert=None, stop_at=frozenset({"pulled-half-way", "pulled-unsafe"}))
    with contextlib.suppress(RenewAgentError):
        first.renew(card, person)
    first.settle()
    assert happened()
    assert old_key in [card.public_key(slot) for slot in (SIGNING, PARKING)]
    if certificate(card) == old and card.public_key(SIGNING) == old_key:
        assert signs(card)
    (workstation(campaign) if elsewhere else first).renew(card)
    assert_renewed(workshop, card, old)
    assert card.object(KEY_HISTORY) == TELLS_OF_ONE
    assert card.pin_tries == 3
