"""A card with a bad certificate over a good key: way A, a new certificate for the same key."""

from __future__ import annotations

import pytest

from renewagent_drivers.management_key import PinProtectedKey
from renewagent_fixtures.person import Said
from tests.flows.workshop import (
    SIGNING,
    Workshop,
    Workstations,
    assert_renewed,
    certificate,
    keep_management_key_behind_pin,
    sha256,
)

ORDER = [
    "ready",
    "agreed",
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
VERIFIES_BY_KUR = 5
"""Proof of possession and protection; trial and certConf; sign-in. The signing key wants one for each signature."""
VERIFIES_BY_CR = 3
"""Proof of possession; trial; sign-in. 9A, which protects the messages, goes along with these."""


@pytest.mark.parametrize("rekey", ["allowed", "forbidden"])
@pytest.mark.parametrize(
    ("key", "protects", "profile", "body"),
    [
        ("p256", True, "plain", "kur"),
        ("p256", False, "plain", "cr"),
        ("p256", True, "extended", "kur"),
        ("rsa2048", True, "plain", "kur"),
        ("rsa2048", False, "extended", "cr"),
    ],
)
def test_the_card_keeps_its_key(
    workshop: Workshop, workstation: Workstations, key: str, protects: bool, profile: str, body: str, rekey: str
) -> None:
    card = workshop.card(key=key, protects=protects, profile=profile)
    old, old_key, tries = certificate(card), card.public_key(SIGNING), card.pin_tries
    desk = workstation(workshop.campaign(rekey=rekey))
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert desk.kinds == ORDER
    new = assert_renewed(workshop, card, old)
    assert card.public_key(SIGNING) == old_key
    assert workshop.transaction_of(certificate(card)).body == body
    assert (outcome["way"], outcome["state"], outcome["renewed"]) == ("A", "done", True)
    assert (outcome["old"]["sha256"], outcome["new"]["serial"]) == (sha256(old), format(new.serial_number, "x"))
    assert all(outcome[step] for step in ("trial_signature", "receipt", "removed", "signed_in"))
    assert (desk.tape.verifies, desk.tape.generated) == (VERIFIES_BY_KUR if protects else VERIFIES_BY_CR, 0)
    assert card.pin_tries == tries
    assert [ticket.state for ticket in workshop.tickets(card)] == ["closed"]  # of the RA's own accord
    assert person.kinds == ["before", "pin", "sign-in-again", "insert-again", "pin", "done"]


def test_the_old_certificate_is_good_until_the_receipt_and_revoked_after_it(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, seen = workshop.card(protects=True), []
    old = certificate(card)
    desk = workstation(workshop.campaign(rekey="allowed"))

    def look(said: Said) -> None:
        seen.append([row.state for row in workshop.signing_certificates(old)])

    desk.renew(card, desk.person(card, on={"progress": look}))
    assert seen == [["valid"], ["valid", "unconfirmed"], ["valid", "unconfirmed"], ["updated", "valid"]]
    assert [(row.state, row.reason) for row in workshop.signing_certificates(old)] == [
        ("revoked", "superseded"),
        ("valid", ""),
    ]


def test_the_management_key_may_lie_behind_the_passcode(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(protects=True)
    keep_management_key_behind_pin(card)
    old = certificate(card)
    desk = workstation(workshop.campaign(rekey="allowed"), management_key=PinProtectedKey())
    desk.renew(card)
    assert_renewed(workshop, card, old)
    assert desk.tape.verifies == VERIFIES_BY_KUR + 2  # the proof beforehand, PUT DATA
