"""A smartcard that is nearly full: known before anything is begun where the card can tell; where it cannot, or somebody
fills it in between, nothing is lost: the ticket stands, and the renewal goes on once there is room."""

from __future__ import annotations

import pytest

from renewagent.errors import NoRoom
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows import test_renewal_way_b, test_renewal_way_d
from tests.flows.test_renewal_way_c import VendorCard, vendor_card
from tests.flows.workshop import (
    SIGNING,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
    signs,
)

__all__ = ["vendor_card"]
GENERATE = 0x47
PLENTY = 10_000


def filled_after(card: VirtualCard, instruction: int, leave: int) -> None:
    """Another program fills the card once it has executed this command."""

    def hook(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] == instruction:
            card.hook = None
            card.fill(leave)

    card.hook = hook


def test_where_two_keys_find_no_room_the_new_one_takes_the_old_ones_place(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card(profile="extended")
    old, desk = certificate(card), workstation(workshop.campaign())
    card.fill(len(old) + 600)
    outcome = desk.renew(card)
    assert_renewed(workshop, card, old)
    assert (outcome["way"], desk.kinds[:5]) == ("D", ["ready", "agreed", "no-room", "ticket-granted", "armed"])
    assert desk.tape.verifies == test_renewal_way_d.VERIFIES


@pytest.mark.parametrize(("rekey", "leave"), [("required", 700), ("allowed", 500), ("forbidden", 0)])
def test_a_full_card_is_known_before_anything_is_begun(
    workshop: Workshop, workstation: Workstations, rekey: str, leave: int
) -> None:
    card = workshop.card(profile="extended")
    card.fill(leave)
    before, desk = card.image, workstation(workshop.campaign(rekey=rekey))
    with pytest.raises(NoRoom, match="no room") as told:
        desk.renew(card)
    assert "make room" in told.value.advice
    assert (desk.kinds[-1], desk.tape.generated, workshop.tickets(card)) == ("stopped", 0, [])
    assert_untouched(workshop, card, before)
    card.fill(PLENTY)
    desk.renew(card)
    assert_renewed(workshop, card, certificate_before(before))


def certificate_before(image: bytes) -> bytes:
    from renewagent_fixtures.virtual_card.factory import contained
    from renewagent_fixtures.virtual_card.memory import decode

    return contained(decode(image).objects[0x5FC10A])


def test_a_vendors_card_that_is_full_is_known_before_anything_is_begun(vendor_card: VendorCard) -> None:
    vendor_card.tokens.order({"C_CreateObject": "31"})  # CKR_DEVICE_MEMORY
    with pytest.raises(NoRoom, match="no room"):
        vendor_card.renew()
    assert vendor_card.kinds == ("ready", "agreed", "stopped")
    vendor_card.tokens.order({})
    vendor_card.renew()
    vendor_card.assert_renewed()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_plain_card_that_turns_out_to_be_full_is_finished_once_there_is_room(
    workshop: Workshop, workstation: Workstations, elsewhere: bool
) -> None:
    """SP 800-73-4 gives no way to ask a plain card: PUT DATA says 6A84 when the old key is gone."""
    card, campaign = workshop.card(), workshop.campaign()
    old, desk = certificate(card), workstation(campaign)
    card.fill(-400)
    with pytest.raises(NoRoom) as told:
        desk.renew(card)
    assert "You cannot sign prescriptions with this smartcard yet." in told.value.message
    assert "make room" in told.value.advice
    assert [ticket.state for ticket in workshop.tickets(card)] == ["issued"]
    assert (certificate(card), card.pin_tries) == (old, 3)
    with pytest.raises(NoRoom):  # and again, as often as you like
        desk.renew(card)
    assert desk.tape.generated == 1
    card.fill(PLENTY)
    (workstation(campaign) if elsewhere else desk).renew(card)
    assert_renewed(workshop, card, old)


def test_a_certificate_that_fits_when_compressed_is_compressed(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    card.fill(-20)  # sizes differ by a few octets, compression takes more
    desk.renew(card)
    assert_renewed(workshop, card, old)
    content = card.object(0x5FC10A)
    assert content is not None and certificate(card) not in content


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_card_that_is_filled_while_the_second_key_is_made_signs_on(
    workshop: Workshop, workstation: Workstations, elsewhere: bool
) -> None:
    card, campaign = workshop.card(profile="extended"), workshop.campaign()
    old, old_key, desk = certificate(card), card.public_key(SIGNING), workstation(campaign)
    filled_after(card, GENERATE, 100)
    with pytest.raises(NoRoom, match="You can go on signing with it"):
        desk.renew(card)
    assert (certificate(card), card.public_key(SIGNING)) == (old, old_key)
    assert signs(card)
    card.fill(PLENTY)
    (workstation(campaign) if elsewhere else desk).renew(card)
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize("leave", [100, 900])
def test_a_card_that_is_filled_before_the_swap_is_put_right(
    workshop: Workshop, workstation: Workstations, leave: int
) -> None:
    card, desk = workshop.card(profile="extended"), workstation(workshop.campaign())
    old, person = certificate(card), None

    def fill(said: object) -> None:
        if getattr(said, "step", 0) == 6:
            card.fill(leave)

    person = desk.person(card, on={"progress": fill})
    _renewed_or_told(desk, card, person)
    card.fill(PLENTY)
    if certificate(card) == old or workshop.row(old).state != "revoked":
        desk.renew(card)
    assert_renewed(workshop, card, old)


def _renewed_or_told(desk: Workstation, card: VirtualCard, person: object) -> None:
    try:
        desk.renew(card, person)  # type: ignore[arg-type]
    except NoRoom as error:
        assert "make room" in error.advice


def test_proving_it_costs_no_verify(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(profile="extended")
    old, desk = certificate(card), workstation(workshop.campaign())
    desk.renew(card)
    assert_renewed(workshop, card, old)
    assert desk.tape.verifies == test_renewal_way_b.VERIFIES
