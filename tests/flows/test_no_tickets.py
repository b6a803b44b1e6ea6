"""An RA that knows nothing of tickets, or of receipts: it is a CMP RA like any other."""

from __future__ import annotations

import pytest

from renewagent.errors import RaWaiting, RenewalImpossible
from renewagent_fixtures.mock_ra import authority
from tests.flows import test_renewal_way_a
from tests.flows.test_resumed_elsewhere import killed, places
from tests.flows.workshop import SIGNING, Workshop, Workstations, assert_untouched, certificate, sha256, signs


def assert_renewed_without_receipt(workshop: Workshop, old: bytes, new: bytes) -> None:
    """The new certificate is confirmed; the old one has had its day, but nobody told the RA to revoke it."""
    assert [(row.sha256, row.state) for row in workshop.signing_certificates(old)] == [
        (sha256(old), "updated"),
        (sha256(new), "valid"),
    ]


@pytest.mark.parametrize("protects", [True, False], ids=["kur", "cr"])
@pytest.mark.parametrize("rekey", ["allowed", "forbidden"])
def test_way_a_goes_ahead(workshop: Workshop, workstation: Workstations, protects: bool, rekey: str) -> None:
    workshop.turn(knows_no_tickets=True)
    card = workshop.card(protects=protects)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    outcome = desk.renew(card)
    assert (outcome["way"], outcome["signed_in"], outcome["receipt"]) == ("A", True, False)
    assert "no-receipts" in desk.kinds
    assert signs(card)
    assert_renewed_without_receipt(workshop, old, certificate(card))


@pytest.mark.parametrize("protects", [True, False])
def test_way_d_is_refused(workshop: Workshop, workstation: Workstations, protects: bool) -> None:
    workshop.turn(knows_no_tickets=True)
    card = workshop.card(protects=protects)
    before, desk = card.image, workstation(workshop.campaign(rekey="required"))
    person = desk.person(card)
    with pytest.raises(RenewalImpossible, match="permission") as told:
        desk.renew(card, person)
    assert "Registration Authority" in told.value.advice
    assert desk.kinds[-1] == "stopped"
    assert_untouched(workshop, card, before)


def test_way_d_is_refused_before_a_passcode_where_there_is_no_address_for_tickets(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign(rekey="required"))
    monkeypatch.setattr(desk.desk, "nonce", lambda: None)
    person = desk.person(card)
    with pytest.raises(RenewalImpossible):
        desk.renew(card, person)
    assert (person.kinds, desk.tape.verifies) == ([], 0)
    assert_untouched(workshop, card, before)


def test_way_d_goes_ahead_where_the_administrator_and_the_ra_allow_it(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The mock RA's own policy wants a ticket for a new signing key; other RAs let 9A ask.
    monkeypatch.setattr(authority, "_refuse_unless_allowed", lambda *asked: None)
    workshop.turn(knows_no_tickets=True)
    card = workshop.card()
    old, key = certificate(card), card.public_key(SIGNING)
    desk = workstation(workshop.campaign(rekey="required"), way_d_without_tickets=True)
    outcome = desk.renew(card)
    assert (outcome["way"], outcome["signed_in"], outcome["receipt"]) == ("D", True, False)
    assert desk.kinds[:5] == ["ready", "agreed", "no-tickets", "begun", "generated"]
    assert card.public_key(SIGNING) != key
    assert signs(card)
    assert_renewed_without_receipt(workshop, old, certificate(card))


@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_an_ra_without_receipts_gets_none(workshop: Workshop, workstation: Workstations, rekey: str) -> None:
    workshop.turn(no_receipts=True)
    card = workshop.card(protects=True)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    outcome = desk.renew(card)
    assert (outcome["signed_in"], outcome["trial_signature"], outcome["receipt"]) == (True, True, False)
    assert outcome["receipt_sha256"]  # it was signed: it goes to the console
    assert "no-receipts" in desk.kinds
    assert signs(card)
    assert_renewed_without_receipt(workshop, old, certificate(card))


# -- way A, where its own journal alone can go on ------------------------------------------------------------------

ORDER = [kind for kind in test_renewal_way_a.ORDER if kind != "receipted"]


@pytest.mark.parametrize("end", ["journalled", "lost"])
@pytest.mark.parametrize("at", places(ORDER))
@pytest.mark.parametrize("protects", [True, False], ids=["kur", "cr"])
def test_way_a_goes_on_where_it_was_begun(
    workshop: Workshop, workstation: Workstations, at: int, end: str, protects: bool
) -> None:
    workshop.turn(knows_no_tickets=True)
    card, campaign = workshop.card(protects=protects), workshop.campaign(rekey="allowed")
    old, desk = certificate(card), workstation(campaign)
    name = killed(desk, card, at, end)
    if (name, end) == ("issued", "lost"):  # its answer is gone with the process: the RA must first withdraw it
        with pytest.raises(RaWaiting, match="not finished"):
            desk.renew(card)
        assert (certificate(card), signs(card)) == (old, True)
        workshop.ten_minutes_later()
    desk.renew(card)
    assert (signs(card), card.pin_tries, workshop.row(certificate(card)).state) == (True, 3, "valid")
    assert workshop.row(old).state == "updated"


@pytest.mark.parametrize("at", places(ORDER[:5]))
def test_way_a_at_another_workstation_waits_until_the_ra_has_given_up_the_first(
    workshop: Workshop, workstation: Workstations, at: int
) -> None:
    workshop.turn(knows_no_tickets=True)
    card, campaign = workshop.card(protects=True), workshop.campaign(rekey="allowed")
    old = certificate(card)
    name = killed(workstation(campaign), card, at, "journalled")
    elsewhere = workstation(campaign)
    if name in ("issued", "begun"):
        with pytest.raises(RaWaiting, match="begun at another computer") as told:
            elsewhere.renew(card)
        assert (told.value.code, told.value.check_after) == ("RA-WAITING", 900)
        assert "Finish it at that computer, or try again here" in told.value.advice
        assert (certificate(card), signs(card), workshop.row(old).state) == (old, True, "valid")
        workshop.ten_minutes_later()
    elsewhere.renew(card)
    assert (signs(card), workshop.row(certificate(card)).state) == (True, "valid")


@pytest.mark.parametrize("name", ["stored", "tried"])
def test_way_a_with_an_unconfirmed_certificate_on_the_card_is_finished_where_it_was_begun(
    workshop: Workshop, workstation: Workstations, name: str
) -> None:
    workshop.turn(knows_no_tickets=True)
    card, campaign = workshop.card(protects=True), workshop.campaign(rekey="allowed")
    old, here = certificate(card), workstation(campaign)
    killed(here, card, ORDER.index(name), "journalled")
    new = certificate(card)
    with pytest.raises(RaWaiting, match="begun at another computer"):
        workstation(campaign).renew(card)
    assert (certificate(card), signs(card), workshop.row(old).state) == (new, True, "valid")
    here.renew(card)
    assert (certificate(card), workshop.row(new).state) == (new, "valid")


def test_way_a_that_was_left_too_long_begins_again_where_it_was_begun(
    workshop: Workshop, workstation: Workstations
) -> None:
    workshop.turn(knows_no_tickets=True)
    card, campaign = workshop.card(protects=True), workshop.campaign(rekey="allowed")
    here = workstation(campaign)
    killed(here, card, ORDER.index("stored"), "journalled")
    workshop.ten_minutes_later()
    withdrawn = certificate(card)
    assert workshop.row(withdrawn).state == "withdrawn"
    with pytest.raises(RenewalImpossible, match="revoked"):
        workstation(campaign).renew(card)
    here.renew(card)
    assert (signs(card), workshop.row(certificate(card)).state) == (True, "valid")
    assert certificate(card) != withdrawn
    at = here.kinds.index("too-late")
    assert here.kinds[at - 1 : at + 3] == ["tried", "too-late", "rejected", "found-nothing"]
