"""A card of the bad batch gets a new key: way D, from the reader to the signed-in person."""

from __future__ import annotations

import pytest

from renewagent_drivers.management_key import PinProtectedKey
from renewagent_fixtures.person import Said
from tests.flows.workshop import (
    DAYS,
    SIGNING,
    Workshop,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
    keep_management_key_behind_pin,
    sha256,
)

ORDER = [
    "ready",
    "agreed",
    "ticket-granted",
    "armed",
    "begun",
    "generated",
    "asked",
    "issued",
    "begun",
    "stored",
    "tried",
    "confirmed",
    "receipted",
    "removed",
    "returned",
    "signed-in",
]
VERIFIES = 4
"""Ticket (with the arming), request, trial (with certConf and receipt), sign-in."""


@pytest.mark.parametrize(
    ("key", "protects", "profile"),
    [
        ("p256", False, "plain"),
        ("p256", True, "plain"),
        ("rsa2048", False, "plain"),
    ],
)
def test_the_card_gets_a_new_key(
    workshop: Workshop, workstation: Workstations, key: str, protects: bool, profile: str
) -> None:
    card = workshop.card(key=key, protects=protects, profile=profile)
    old, old_key, tries = certificate(card), card.public_key(SIGNING), card.pin_tries
    desk = workstation(workshop.campaign(rekey="required"))
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert desk.kinds == ORDER
    new = assert_renewed(workshop, card, old)
    assert card.public_key(SIGNING) != old_key
    assert (outcome["way"], outcome["state"], outcome["renewed"]) == ("D", "done", True)
    assert (outcome["old"]["sha256"], outcome["new"]["serial"]) == (sha256(old), format(new.serial_number, "x"))
    assert all(outcome[step] for step in ("trial_signature", "receipt", "removed", "signed_in"))
    assert (desk.tape.verifies, desk.tape.generated) == (VERIFIES, 1)
    assert card.pin_tries == tries
    assert person.kinds == ["before", "pin", "sign-in-again", "insert-again", "pin", "done"]


def test_the_old_certificate_is_good_until_the_receipt_and_revoked_after_it(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, seen = workshop.card(), []
    old = certificate(card)
    desk = workstation(workshop.campaign())

    def look(said: Said) -> None:
        rows = workshop.signing_certificates(old)
        seen.append((said.step, [(row.state, row.reason) for row in rows]))

    desk.renew(card, desk.person(card, on={"progress": look}))
    old_is_good = ("valid", "")
    assert seen == [
        (1, [old_is_good]),
        (2, [old_is_good]),
        (3, [old_is_good]),
        (4, [old_is_good, ("unconfirmed", "")]),
        (5, [old_is_good, ("unconfirmed", "")]),
        (6, [("updated", ""), ("valid", "")]),  # confirmed; to be revoked when the receipt comes
    ]
    assert [(row.state, row.reason) for row in workshop.signing_certificates(old)] == [
        ("revoked", "superseded"),
        ("valid", ""),
    ]


def test_the_management_key_may_lie_behind_the_passcode(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    keep_management_key_behind_pin(card)
    old, tries = certificate(card), card.pin_tries
    desk = workstation(workshop.campaign(), management_key=PinProtectedKey())
    desk.renew(card)
    assert_renewed(workshop, card, old)
    assert desk.tape.verifies == VERIFIES + 3  # the proof beforehand, GENERATE, PUT DATA
    assert card.pin_tries == tries


@pytest.mark.parametrize(
    ("ends_session", "words"),
    [
        (True, "Now remove it, put it back in and sign in again."),
        (False, "Now remove it and put it back in: your programs then use the new certificate."),
    ],
)
def test_the_person_is_told_why_the_card_is_to_come_out(
    workshop: Workshop, workstation: Workstations, ends_session: bool, words: str
) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign(removal_ends_session=ends_session))
    person = desk.person(card)
    desk.renew(card, person)
    (told,) = [said.message for said in person.said if said.how == "remove"]
    assert told.body == f"Your smartcard is renewed. {words}"
    assert ("ends your session" in told.advice) == ends_session
    assert person.kinds[-1] == "done"


def test_a_card_that_needs_nothing_is_left_alone(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(days=DAYS + 20)
    before = card.image
    desk = workstation(workshop.campaign())
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert (outcome["verdict"], outcome["renewed"], person.kinds) == ("UNAFFECTED", False, ["not-affected"])
    assert (desk.tape.verifies, desk.kinds) == (0, [])
    assert_untouched(workshop, card, before)


def test_who_is_not_ready_may_say_no(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before = card.image
    desk = workstation(workshop.campaign())
    person = desk.person(card, agree={"before": False})
    outcome = desk.renew(card, person)
    assert (outcome["renewed"], outcome["state"], person.kinds) == (False, "stopped", ["before"])
    assert_untouched(workshop, card, before)
