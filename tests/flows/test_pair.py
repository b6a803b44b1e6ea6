"""The pair: under a campaign that renews it, the authentication certificate follows the signing certificate."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from renewagent.agent.journal import Journal
from renewagent.agent.ra_desk import RaDesk, Standing, utc_now
from renewagent.errors import RaRefused, RaUnreachable, RenewalImpossible
from renewagent.names import Name
from renewagent.renewal import Way
from renewagent_drivers.piv_objects import parse
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows import test_renewal_way_d
from tests.flows.workshop import (
    AUTHENTICATION,
    SIGNING,
    Cut,
    Killed,
    Raw,
    Workshop,
    Workstation,
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
    workshop: Workshop,
    workstation: Workstations,
    profile: str,
    protects: bool,
    rekey: str,
    way: Way,
    where: str,
    every: bool,
) -> None:
    """Every fifth event of the second renewal (with --every: each), and its first and last."""
    campaign = workshop.campaign(rekey=rekey, renews="pair")
    whole = workstation(campaign)
    whole.renew(workshop.card(profile=profile, protects=protects))
    names = whole.kinds
    begins = names.index("ready", 1)
    for at in [begins, *range(begins + 2, len(names) - 2, 1 if every else 5), len(names) - 2]:
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


@pytest.mark.parametrize("which", [0, 1], ids=["the signing certificate", "the other one"])
def test_what_was_finished_elsewhere_is_not_undone_where_it_was_begun(
    workshop: Workshop, workstation: Workstations, which: int
) -> None:
    """Way B has the old key parked: this computer knows neither the new certificate nor that the old one is revoked."""
    campaign = workshop.campaign(rekey="required", renews="pair")
    whole = workstation(campaign)
    whole.renew(workshop.card(profile="extended"))
    asked = [at for at, name in enumerate(whole.kinds) if name == "asked"][which]
    card, first = workshop.card(profile="extended"), workstation(campaign)
    with pytest.raises(Killed):
        first.renew(card, cut=Cut(asked))
    workstation(campaign).renew(card)
    done = certificate(card), certificate(card, AUTHENTICATION)
    assert first.renew(card)["verdict"] == "UNAFFECTED"
    assert (certificate(card), certificate(card, AUTHENTICATION)) == done
    assert [workshop.row(der).state for der in done] == ["valid", "valid"]
    assert signs(card)
    assert signs(card, AUTHENTICATION)


COPY, SIGN_IN, DOORS = 0x5FC120, 0x5FC105, 0x5FC101
"""The objects of the copy, of 9A and of 9E (SP 800-73-4 part 1, table 3)."""


def half(card: VirtualCard, source: int, place: int) -> None:
    """What a write that was cut short leaves."""
    whole = card.object(source)
    assert whole is not None
    card.write_object(place, whole[: len(whole) // 2])


def cut_in_the_second(
    workshop: Workshop, desk: Workstation, name: str, *, protects: bool, doors: bool = False
) -> VirtualCard:
    """A card whose second renewal was cut at the first event of that name, by way A."""
    rehearsal = Workstation(workshop, desk.folder / "rehearsal", desk.campaigns)
    rehearsal.folder.mkdir()
    rehearsal.renew(workshop.card(protects=protects))
    rehearsal.transport.close()
    at = rehearsal.kinds.index(name, rehearsal.kinds.index("ready", 1))
    card = workshop.card(protects=protects)
    if doors:
        card.write_object(DOORS, card.object(SIGN_IN) or b"")
    with pytest.raises(Killed):
        desk.renew(card, cut=Cut(at))
    return card


def test_an_ra_that_takes_no_receipts_leaves_no_copy_behind(workshop: Workshop, workstation: Workstations) -> None:
    workshop.turn(no_receipts=True)
    card = workshop.card(protects=False)
    assert workstation(workshop.campaign(rekey="allowed", renews="pair")).renew(card)["pair"]["renewed"]
    assert card.certificate(0x95) is None


def test_half_a_copy_is_known_where_it_was_written(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign(rekey="allowed", renews="pair"))
    card = cut_in_the_second(workshop, desk, "agreed", protects=False)
    old = certificate(card, AUTHENTICATION)
    half(card, SIGN_IN, COPY)
    desk.renew(card)
    assert (workshop.row(old).state, card.certificate(0x95)) == ("revoked", None)
    assert signs(card, AUTHENTICATION)


@pytest.mark.parametrize("occupied", [1, 2])
def test_what_somebody_else_keeps_where_the_copy_would_lie_stays(
    workshop: Workshop, workstation: Workstations, occupied: int
) -> None:
    card = workshop.card(protects=False)
    for place in (COPY, COPY - 1)[:occupied]:
        half(card, SIGN_IN, place)
    before = [card.object(place) for place in (COPY, COPY - 1)]
    desk = workstation(workshop.campaign(rekey="allowed", renews="pair"))
    assert desk.renew(card)["pair"]["state"] == ("done" if occupied == 1 else "stopped")
    assert [card.object(place) for place in (COPY, COPY - 1)] == before


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("known", [True, False], ids=["", "the campaign is gone"])
def test_the_certificate_for_doors_is_not_taken_for_one_that_was_torn(
    workshop: Workshop, workstation: Workstations, where: str, known: bool
) -> None:
    """9E holds a certificate with the same key usage (SP 800-73-4 part 1, 3.1.3)."""
    campaign = workshop.campaign(rekey="allowed", renews="pair")
    first = workstation(campaign)
    card = cut_in_the_second(workshop, first, "begun", protects=True, doors=True)
    half(card, SIGN_IN, SIGN_IN)
    doors = card.object(DOORS)
    desk = first if where == "here" else workstation(*[campaign] * known)
    desk.renew(card)
    assert card.object(DOORS) == doors
    assert signs(card, AUTHENTICATION)
    assert workshop.row(certificate(card, AUTHENTICATION)).state == "valid"


def test_a_sign_in_that_was_left_is_given_up_where_the_card_has_another_certificate(
    workshop: Workshop, workstation: Workstations
) -> None:
    first = workstation(workshop.campaign(rekey="allowed", renews="pair"))
    card = cut_in_the_second(workshop, first, "receipted", protects=True)
    time.sleep(1.1)  # a certificate of the next second is not affected any more
    now = utc_now()
    yesterday = f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    fresh = [{"name": "again", "issued_from": yesterday, "issued_to": f"{now:%Y-%m-%dT%H:%M:%SZ}"}]
    workstation(workshop.campaign(rekey="allowed", renews="pair", rules=fresh)).renew(card)
    assert first.renew(card)["verdict"] == "UNAFFECTED"


def test_an_authentication_key_is_not_given_up_while_the_ra_does_not_hear_what_vouches_for_it(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The RA's status address says that nothing is open, and the signing certificate is not confirmed."""
    card, campaign = workshop.card(protects=True), workshop.campaign(rekey="required", renews="pair")
    first = workstation(campaign)
    with pytest.raises(Killed):
        first.renew(card, cut=Cut(test_renewal_way_d.ORDER.index("stored")))
    old_authentication, elsewhere = certificate(card, AUTHENTICATION), workstation(campaign)
    monkeypatch.setattr(RaDesk, "standing", lambda *asked: None)
    with pytest.raises(RaRefused):
        elsewhere.renew(card)
    assert certificate(card, AUTHENTICATION) == old_authentication
    assert signs(card, AUTHENTICATION)
    monkeypatch.undo()
    elsewhere.renew(card)
    assert workshop.row(old_authentication).state == "revoked"
    assert signs(card) and signs(card, AUTHENTICATION)


@pytest.mark.parametrize("about", ["the signing certificate", "the authentication certificate"])
def test_what_the_ra_could_not_be_asked_is_not_taken_for_done(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    card, campaign = workshop.card(protects=True), workshop.campaign(rekey="required", renews="pair")
    whole = workstation(campaign)
    whole.renew(workshop.card(protects=True))
    at = whole.kinds.index("stored", 0 if about.startswith("the signing") else whole.kinds.index("receipted"))
    with pytest.raises(Killed):
        workstation(campaign).renew(card, cut=Cut(at))
    ask = RaDesk.standing

    def once(desk: RaDesk, issuer: Name, serial: int) -> Standing | None:
        """A gateway answers in the RA's place."""
        slot = SIGNING if about.startswith("the signing") else AUTHENTICATION
        if serial == x509.load_der_x509_certificate(certificate(card, slot)).serial_number:
            raise RaUnreachable("The Registration Authority did not answer as expected.")
        return ask(desk, issuer, serial)

    elsewhere = workstation(campaign)
    monkeypatch.setattr(RaDesk, "standing", once)
    with pytest.raises(RaUnreachable):
        elsewhere.renew(card)
    monkeypatch.undo()
    elsewhere.renew(card)
    assert signs(card) and signs(card, AUTHENTICATION)
    assert [ticket.state for ticket in workshop.tickets(card)] == ["closed", "closed"]


def test_a_card_that_is_pulled_out_between_the_two_is_waited_for(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = workshop.card(protects=True)
    old_authentication = certificate(card, AUTHENTICATION)
    desk = workstation(workshop.campaign(rekey="allowed", renews="pair"))
    person = desk.person(card)
    append = Journal.append

    def then_out(journal: Journal, renewal: str, card_name: str, name: str, *rest: Any) -> int:
        number = append(journal, renewal, card_name, name, *rest)
        if name == "receipted" and "pulled-half-way" not in person.kinds:
            desk.take_out()
        return number

    monkeypatch.setattr(Journal, "append", then_out)
    outcome = desk.renew(card, person)
    assert outcome["pair"]["renewed"]
    assert workshop.row(old_authentication).state == "revoked"
    assert "pulled-half-way" in person.kinds
