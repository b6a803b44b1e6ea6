"""What a renewal tells the console on its way, whatever becomes of it; the receipt in it is what the card signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from renewagent.campaign.pem import read_certificates
from renewagent.check_ins import CardState, CheckIn
from renewagent.console.receipts import verify_receipt
from renewagent.errors import PersonStopped, RaRefused, RenewAgentError
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import Cut, Killed, Workshop, Workstation, Workstations, certificate, identity, sha256


def states(desk: Workstation) -> list[str]:
    return [f"{one.state.value} {one.why}".strip() for one in desk.reported]


def told(desk: Workstation, card: VirtualCard, old: bytes) -> list[CheckIn]:
    """What was said, in the form that the console reads; of this card, campaign and certificate alone."""
    (campaign,) = desk.campaigns.values()
    for one in desk.reported:
        assert CheckIn.from_json(json.loads(json.dumps(one.to_json())))
        assert (one.card, one.campaign, one.model) == (identity(card), campaign.campaign.label, "piv")
        assert one.certificate is not None and one.certificate.sha256 == sha256(old)
    return desk.reported


@pytest.mark.parametrize(
    ("make", "rekey"),
    [
        (lambda shop: shop.card(), "required"),
        (lambda shop: shop.card(protects=True), "allowed"),
        (lambda shop: shop.card(profile="extended"), "required"),
    ],
    ids=["D", "A", "B"],
)
def test_a_renewal_from_beginning_to_end(
    workshop: Workshop, workstation: Workstations, make: Callable[[Workshop], VirtualCard], rekey: str
) -> None:
    card = make(workshop)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    desk.renew(card)
    assert states(desk) == ["running", "renewed", "done"]
    _, renewed, _ = said = told(desk, card, old)
    assert {one.rule for one in said} == {"bad batch"} and len({one.id for one in said}) == 3
    (kept,) = workshop.receipts(card)
    proof = verify_receipt(renewed, read_certificates(workshop.ra.root), desk.now())
    assert (proof.card, proof.old, proof.new) == (identity(card), sha256(old), sha256(certificate(card)))
    assert kept.receipt == renewed.receipt
    assert [one.receipt for one in said if one is not renewed] == [b"", b""]


def test_an_ra_that_takes_no_receipts_leaves_the_proof_to_the_console(
    workshop: Workshop, workstation: Workstations
) -> None:
    workshop.turn(no_receipts=True)
    card = workshop.card()
    desk = workstation(workshop.campaign())
    desk.renew(card)
    assert states(desk) == ["running", "renewed", "done"]
    assert verify_receipt(desk.reported[1], read_certificates(workshop.ra.root), desk.now()).card == identity(card)


def test_whoever_says_not_now_has_put_it_off(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    desk.renew(card, desk.person(card, agree={"before": False}))
    assert states(desk) == ["put-off RA-STOPPED"]
    assert told(desk, card, old)[0].until is None


def test_a_locked_card_and_a_last_try(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    with pytest.raises(RenewAgentError):
        desk.renew(card, desk.person(card, pins=("11111111", "22222222")))
    assert states(desk) == ["running", "locked RA-PIN-LAST-TRY"]


def test_an_ra_that_refuses(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(protects=True)
    workshop.turn(refuse="badCertTemplate")
    desk = workstation(workshop.campaign(rekey="allowed"))
    with pytest.raises(RaRefused):
        desk.renew(card)
    assert states(desk) == ["running", "refused RA-REFUSED"]


def test_an_ra_that_refuses_half_way_and_then_goes_on(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    workshop.turn(refuse="badCertTemplate")
    desk = workstation(workshop.campaign())
    with pytest.raises(RaRefused):
        desk.renew(card)
    assert states(desk) == ["running", "part-way RA-REFUSED"]
    workshop.restore()
    desk.reported.clear()
    desk.renew(card)
    assert states(desk) == ["running", "renewed", "done"]


def test_an_ra_that_looks_at_it_first(workshop: Workshop, workstation: Workstations) -> None:
    workshop.turn(approval=True)
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    with pytest.raises(PersonStopped):
        desk.renew(card, desk.person(card, stop_at=frozenset({"waiting"})))
    *_, put_off = told(desk, card, old)
    assert states(desk) == ["running", "put-off RA-WAITING"]
    assert put_off.until is not None
    assert timedelta() < put_off.until - put_off.at <= timedelta(seconds=1)


def test_a_busy_ra_names_its_time(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    workshop.turn(busy=600)
    with pytest.raises(RenewAgentError):
        desk.renew(card, desk.person(card, stop_at=frozenset({"busy", "busy-ra", "ra-busy"})))
    until = [one.until for one in desk.reported if one.state is CardState.PUT_OFF]
    assert states(desk)[-1] == "put-off RA-STOPPED" and until[-1] is not None
    assert timedelta(minutes=9) < until[-1] - desk.now() <= timedelta(minutes=10)


def test_a_process_that_ends_at_any_event_says_nothing_wrong_and_the_next_one_ends_the_story(
    workshop: Workshop, workstation: Workstations
) -> None:
    campaign = workshop.campaign()
    for at in range(2, 12):
        card = workshop.card()
        old, desk = certificate(card), workstation(campaign)
        with pytest.raises(Killed):
            desk.renew(card, cut=Cut(at))
        desk.renew(card)
        told(desk, card, old)
        assert states(desk)[-2:] == ["renewed", "done"] or states(desk)[-1] == "done"
        proofs = [one for one in desk.reported if one.receipt]
        assert proofs, f"cut at {at}: {states(desk)}"
        assert verify_receipt(proofs[0], read_certificates(workshop.ra.root), desk.now()).old == sha256(old)


@pytest.mark.parametrize("at", range(4, 12))
def test_somebody_elses_half_finished_card(workshop: Workshop, workstation: Workstations, at: int) -> None:
    campaign = workshop.campaign()
    card = workshop.card()
    old, first = certificate(card), workstation(campaign)
    with pytest.raises(Killed):
        first.renew(card, cut=Cut(at))
    second = workstation(campaign)
    second.renew(card)
    assert states(second)[-2:] == ["renewed", "done"]
    proofs = [one for one in second.reported if one.receipt]
    assert verify_receipt(proofs[0], read_certificates(workshop.ra.root), second.now()).old == sha256(old)
    named = {one.certificate.sha256 if one.certificate else None for one in second.reported}
    assert named <= {sha256(old), None}
    assert {one.campaign for one in second.reported} == {next(iter(second.campaigns.values())).campaign.label}
