"""The key on the card does not fit its certificate: the very fault of the batch, or somebody else's."""

from __future__ import annotations

import pytest

from renewagent.errors import RenewalImpossible
from tests.flows.workshop import SIGNING, Workshop, Workstations, assert_renewed, assert_untouched, certificate


@pytest.mark.parametrize(("key", "protects"), [("p256", False), ("p256", True), ("rsa2048", False)])
def test_where_the_campaign_allows_for_it_the_card_gets_a_new_key(
    workshop: Workshop, workstation: Workstations, key: str, protects: bool
) -> None:
    card = workshop.card(key=key, protects=protects, misfit=True)
    old = certificate(card)
    desk = workstation(workshop.campaign(rekey="required", old_key="may-be-unusable"))
    outcome = desk.renew(card)
    assert_renewed(workshop, card, old)
    assert outcome["way"] == "D"
    assert desk.kinds[:6] == ["ready", "agreed", "old-key-unusable", "ticket-granted", "armed", "begun"]
    assert desk.tape.verifies == 5  # one more than else: the signature that showed it; then 9A alone asks
    assert card.pin_tries == 3


@pytest.mark.parametrize("protects", [True, False])
def test_where_the_key_was_to_stay_the_card_gets_a_new_one_all_the_same(
    workshop: Workshop, workstation: Workstations, protects: bool
) -> None:
    card = workshop.card(protects=protects, misfit=True)
    old, key = certificate(card), card.public_key(SIGNING)
    desk = workstation(workshop.campaign(rekey="allowed", old_key="may-be-unusable"))
    outcome = desk.renew(card)
    assert_renewed(workshop, card, old)
    assert (outcome["way"], card.public_key(SIGNING) != key) == ("D", True)
    assert desk.kinds[:5] == ["ready", "agreed", "old-key-unusable", "ticket-granted", "armed"]


@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_where_the_campaign_does_not_allow_for_it_the_ra_must_help(
    workshop: Workshop, workstation: Workstations, rekey: str
) -> None:
    card = workshop.card(protects=True, misfit=True)
    before = card.image
    desk = workstation(workshop.campaign(rekey=rekey, old_key="usable"))
    with pytest.raises(RenewalImpossible, match="does not fit its certificate") as told:
        desk.renew(card)
    assert "Registration Authority" in told.value.advice
    assert desk.kinds[-1] == "stopped"
    assert workshop.tickets(card) == []
    assert_untouched(workshop, card, before, usable=False)


def test_where_no_new_key_is_allowed_the_ra_must_help(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(protects=True, misfit=True)
    before = card.image
    desk = workstation(workshop.campaign(rekey="forbidden", old_key="may-be-unusable"))
    with pytest.raises(RenewalImpossible):
        desk.renew(card)
    assert_untouched(workshop, card, before, usable=False)
