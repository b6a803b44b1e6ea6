"""The pair: under a campaign that renews it, the authentication certificate follows the signing certificate."""

from __future__ import annotations

import pytest
from cryptography import x509

from renewagent.errors import RenewalImpossible
from renewagent.renewal import Way
from renewagent_drivers.piv_objects import parse
from tests.flows.workshop import (
    AUTHENTICATION,
    SIGNING,
    Cut,
    Killed,
    Raw,
    Workshop,
    Workstations,
    assert_renewed,
    certificate,
    signs,
)

WAYS = [
    pytest.param("plain", True, "allowed", Way.A, id="A-plain"),
    pytest.param("plain", False, "allowed", Way.A, id="A-plain, the signing certificate cannot vouch"),
    pytest.param("extended", True, "forbidden", Way.A, id="A-extended"),
    pytest.param("extended", True, "required", Way.B, id="B"),
    pytest.param("extended", False, "required", Way.B, id="B, the signing certificate cannot vouch"),
    pytest.param("plain", True, "required", Way.D, id="D"),
]


@pytest.mark.parametrize(("profile", "protects", "rekey", "way"), WAYS)
@pytest.mark.parametrize("key", ["p256", "rsa2048"])
def test_both_are_renewed_with_one_sign_in(
    workshop: Workshop, workstation: Workstations, profile: str, protects: bool, rekey: str, way: Way, key: str
) -> None:
    card = workshop.card(profile=profile, protects=protects, key=key)
    old, old_authentication = certificate(card), certificate(card, AUTHENTICATION)
    desk = workstation(workshop.campaign(rekey=rekey, renews="pair"))
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert (outcome["renews"], outcome["state"], outcome["signed_in"]) == ("signing", "done", True)
    assert (outcome["pair"]["way"], outcome["pair"]["state"], outcome["pair"]["receipt"]) == (way.value, "done", True)
    assert_renewed(workshop, card, old)
    new_authentication = certificate(card, AUTHENTICATION)
    assert new_authentication != old_authentication
    assert (workshop.row(new_authentication).state, workshop.row(old_authentication).state) == ("valid", "revoked")
    assert person.kinds.count("before") == 1
    assert person.kinds.count("sign-in-again") == 1
    assert {ticket.state for ticket in workshop.tickets(card)} == {"closed"}
    assert (card.pin_tries, signs(card)) == (3, True)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize(("profile", "protects", "rekey", "way"), WAYS)
def test_killed_between_any_two_events_it_goes_on(
    workshop: Workshop, workstation: Workstations, profile: str, protects: bool, rekey: str, way: Way, where: str
) -> None:
    """Every third event of the second renewal, and its first and last; the matrix of cuts has the rest."""
    campaign = workshop.campaign(rekey=rekey, renews="pair")
    whole = workstation(campaign)
    whole.renew(workshop.card(profile=profile, protects=protects))
    names = whole.kinds
    begins = names.index("ready", 1)
    for at in [begins, *range(begins + 2, len(names) - 1, 3), len(names) - 2]:
        card = workshop.card(profile=profile, protects=protects)
        old, old_authentication = certificate(card), certificate(card, AUTHENTICATION)
        first = workstation(campaign)
        with pytest.raises(Killed):
            first.renew(card, cut=Cut(at))
        (first if where == "here" else workstation(campaign)).renew(card)
        assert_renewed(workshop, card, old)
        assert workshop.row(old_authentication).state == "revoked", names[at]
        assert signs(card, AUTHENTICATION)
        assert card.pin_tries == 3


def test_a_new_key_for_the_sign_in_that_nothing_can_vouch_for_is_not_made(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card(profile="plain", protects=False)
    old, old_authentication = certificate(card), certificate(card, AUTHENTICATION)
    desk = workstation(workshop.campaign(rekey="required", renews="pair"))
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert (outcome["signed_in"], outcome["pair"]["renewed"], outcome["pair"]["state"]) == (True, False, "stopped")
    assert certificate(card, AUTHENTICATION) == old_authentication
    assert signs(card, AUTHENTICATION)
    told = next(said.message for said in person.said if said.message.kind == "pair-left")
    assert "The RA desk" in told.advice
    with pytest.raises(RenewalImpossible, match="sign-in certificate"):  # it is still due, and still not possible here
        desk.renew(card)


def test_a_signing_certificate_that_is_good_leaves_the_other_one_to_be_renewed(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card(protects=True)
    alone, both = (workshop.campaign(rekey="allowed", renews=which) for which in ("signing", "pair"))
    workstation(alone).renew(card)
    signing, old_authentication = certificate(card), certificate(card, AUTHENTICATION)
    desk = workstation(both)
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert (outcome["renews"], outcome["verdict"], outcome["state"]) == ("authentication", "AFFECTED", "done")
    assert (certificate(card), workshop.row(old_authentication).state) == (signing, "revoked")
    assert person.kinds[0] == "before"
    assert desk.renew(card)["verdict"] == "UNAFFECTED"


def test_rules_without_dates_take_the_other_certificate_along_and_no_other(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, clear = workshop.card(protects=True), workshop.card(protects=True)
    serial = format(x509.load_der_x509_certificate(certificate(card)).serial_number, "x")
    rules = [{"name": "by number", "serials": [serial]}]
    desk = workstation(workshop.campaign(rekey="allowed", renews="pair", rules=rules))
    old_authentication = certificate(card, AUTHENTICATION)
    assert desk.renew(card)["pair"]["renewed"]
    assert workshop.row(old_authentication).state == "revoked"
    assert desk.renew(card)["renewed"] is False
    assert desk.renew(clear)["renewed"] is False


@pytest.mark.parametrize("protects", [True, False], ids=["kur", "cr"])
def test_an_ra_without_tickets(workshop: Workshop, workstation: Workstations, protects: bool) -> None:
    workshop.turn(knows_no_tickets=True)
    card = workshop.card(protects=protects)
    old_authentication = certificate(card, AUTHENTICATION)
    outcome = workstation(workshop.campaign(rekey="allowed", renews="pair")).renew(card)
    assert (outcome["signed_in"], outcome["pair"]["renewed"], outcome["pair"]["receipt"]) == (True, True, False)
    assert workshop.row(old_authentication).state == "updated"
    assert signs(card, AUTHENTICATION)


def test_the_new_key_asks_for_the_passcode_as_the_old_one_did(workshop: Workshop, workstation: Workstations) -> None:
    """9A wants it once, 9C for every signature; a key that was made elsewhere takes its policy along."""
    card = workshop.card(profile="extended")
    workstation(workshop.campaign(rekey="required", renews="pair")).renew(card)
    with Raw(card) as raw:
        told = {slot: parse(raw.ask(f"00F700{slot:02X}")[:-2])[0x02] for slot in (AUTHENTICATION, SIGNING)}
    assert (told[AUTHENTICATION][0], told[SIGNING][0]) == (0x02, 0x03)  # Yubico's METADATA: once, always
