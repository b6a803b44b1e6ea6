"""What must not happen whatever fails: a renewal that goes round for ever, an error that is not one of ours, a card
that nobody goes on with, a key that is given up for the fault of another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509

from renewagent.agent import renewing
from renewagent.agent.full_inspection import Inspector
from renewagent.agent.job import Job
from renewagent.agent.journal import Journal
from renewagent.agent.passcode import KeyRefused
from renewagent.cmp import bodies, codec, private
from renewagent.cmp.responder_words import Refusal
from renewagent.cmp.wire import BodyType
from renewagent.errors import (
    CampaignError,
    CardDataError,
    CardError,
    CardRefused,
    JournalError,
    ManagementKeyRefused,
    PersonStopped,
    RaRefused,
    RaUnreachable,
    RenewalImpossible,
)
from renewagent.model import Slot, Verdict
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from renewagent_drivers.management_key import FactoryKey
from renewagent_drivers.piv_signing import PivSigningSession
from renewagent_fixtures.mock_ra import authority
from renewagent_fixtures.mock_ra.receipts import Receipts
from renewagent_fixtures.mock_ra.rows import TransactionRow
from renewagent_fixtures.mock_ra.tickets import Tickets
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows import test_renewal_way_d
from tests.flows.workshop import (
    AUTHENTICATION,
    READER,
    SIGNING,
    Cut,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
    sha256,
    signs,
)

ENOUGH = 100
"""Messages to the RA after which a renewal counts as going round for ever."""


class NoReceiptsPass(HttpRaTransport):
    """A way to the RA on which every receipt is lost, and nothing else."""

    sent = 0

    def exchange(self, octets: bytes) -> bytes:
        self.sent += 1
        assert self.sent < ENOUGH
        message = codec.decode_message(octets)
        if message.body_type is BodyType.GENM and private.RECEIPT in [item.oid for item in bodies.read_info(message)]:
            raise RaUnreachable("The Registration Authority's server is out of order (HTTP 500).")
        return super().exchange(octets)


def test_one_message_that_never_arrives_ends_the_trying(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.001)
    card, campaign = workshop.card(), workshop.campaign()
    desk = workstation(campaign, transport=NoReceiptsPass(workshop.ra.url, timeout=5), name="here")
    with pytest.raises(RaUnreachable):
        desk.renew(card)
    assert desk.kinds.count("tried") == 1 + renewing.RA_RETRIES
    assert signs(card)
    assert workstation(campaign, name="here").renew(card)["receipt"] is True


def test_an_authentication_key_that_does_not_fit_is_said_and_changes_nothing(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    card.misfit_key(AUTHENTICATION)
    old = certificate(card)
    desk = workstation(workshop.campaign(old_key="may-be-unusable"))
    with pytest.raises(CardDataError, match="9A"):
        desk.renew(card)
    assert desk.tape.generated == 0
    assert certificate(card, SIGNING) == old
    assert signs(card)
    assert desk.kinds[-1] == "stopped"


def test_a_confirmed_key_that_fails_once_is_never_generated_over(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The RA refuses a second key from then on, so the card could never sign again."""
    card, campaign = workshop.card(), workshop.campaign()
    desk = workstation(campaign)
    with pytest.raises(Killed, match="confirmed"):
        desk.renew(card, cut=Cut(11))
    whole = PivSigningSession.sign

    def glitch(session: PivSigningSession, slot: Slot, data: bytes, hash_name: str) -> bytes:
        monkeypatch.setattr(PivSigningSession, "sign", whole)
        raise CardRefused(f"The smartcard did not sign with the key in slot {slot} (6F00).", 0x6F00)

    monkeypatch.setattr(PivSigningSession, "sign", glitch)
    with pytest.raises(CardError, match="did not sign"):
        desk.renew(card)
    assert desk.tape.generated == 1
    assert desk.renew(card)["signed_in"] is True
    assert signs(card)


@pytest.mark.parametrize("profile", ["plain", "extended"])
@pytest.mark.parametrize("left", [b"", b"\x70\x82\x03\x00cut short"], ids=["nothing", "half"])
def test_a_certificate_whose_writing_was_cut_short_is_written_again(
    workshop: Workshop, workstation: Workstations, profile: str, left: bytes
) -> None:
    card = workshop.card(profile=profile)
    desk = workstation(workshop.campaign())
    with pytest.raises(Killed, match="begun"):
        desk.renew(card, cut=Cut(8 if profile == "plain" else 10))  # by way D, or by way B at the swap
    card.write_object(0x5FC10A, left)
    outcome = desk.renew(card)
    assert (outcome["receipt"], outcome["signed_in"]) == (True, True)
    assert signs(card)


# -- what was begun is finished ----------------------------------------------------------------------------------------

WAY_D = test_renewal_way_d.ORDER


def killed(desk: Workstation, card: VirtualCard, name: str, **options: Any) -> None:
    """Begin a renewal by way D that ends when the last event of this name is journalled."""
    last = len(WAY_D) - 1 - WAY_D[::-1].index(name)
    with pytest.raises(Killed, match=name):
        desk.renew(card, cut=Cut(last), **options)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("name", ["generated", "asked", "issued", "stored", "tried", "confirmed"])
def test_what_has_begun_needs_its_campaign_from_nowhere(
    workshop: Workshop, workstation: Workstations, name: str, where: str
) -> None:
    card, campaign = workshop.card(), workshop.campaign(removal_ends_session=False)
    old = certificate(card)
    killed(workstation(campaign, name="here"), card, name)
    desk = workstation(name=where)  # its signer was revoked, say, or this computer never had it
    person = desk.person(card)
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert [receipt.campaign for receipt in workshop.receipts(card)] == [campaign.campaign.label]
    if where == "here":
        assert "does not sign you out" in person.heard


@pytest.mark.parametrize("change", ["withdrawn", "paused", "expired", "gone", "for replacement"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_nothing_is_begun_late_that_would_not_be_begun_today(
    workshop: Workshop, workstation: Workstations, change: str, where: str
) -> None:
    """The ticket is armed, the card as it was."""
    card, before = workshop.card(), b""
    meant, other = workshop.campaign(), workshop.campaign(rules=[{"name": "none", "serials": ["1"]}])
    killed(workstation(meant, name="here"), card, "armed")
    before = card.image
    after = {
        "withdrawn": replace(meant.campaign, withdrawn=True),
        "paused": replace(meant.campaign, paused=True),
        "expired": replace(meant.campaign, expires=meant.campaign.published),
        "for replacement": replace(meant.campaign, remedy="replace-card"),
    }
    known = [replace(meant, campaign=after[change])] if change in after else []
    desk = workstation(*known, other, name=where)
    for _ in range(2):
        with pytest.raises((CampaignError, RenewalImpossible)):
            desk.renew(card)
    assert_untouched(workshop, card, before)
    assert desk.tape.generated == 0
    assert desk.kinds[-1] == "found-nothing"
    assert workstation(meant, name=where).renew(card)["signed_in"]


@pytest.mark.parametrize(("change", "heard"), [("withdrawn", "not-affected"), ("paused", "paused")])
def test_what_the_person_had_not_agreed_to_is_judged_anew(
    workshop: Workshop, workstation: Workstations, change: str, heard: str
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    killed(workstation(campaign, name="here"), card, "ready")
    before = card.image
    over = replace(campaign, campaign=replace(campaign.campaign, **{change: True}))  # type: ignore[arg-type]
    desk = workstation(over, name="here")
    person = desk.person(card)
    assert desk.renew(card, person)["verdict"] == "UNAFFECTED"
    assert (person.kinds, desk.kinds[-1]) == ([heard], "superseded")
    assert_untouched(workshop, card, before)


@pytest.mark.parametrize("change", ["paused", "expired"])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("name", ["generated", "issued", "confirmed"])
def test_what_has_begun_is_finished_under_a_campaign_that_starts_nothing_any_more(
    workshop: Workshop, workstation: Workstations, change: str, where: str, name: str
) -> None:
    card, meant = workshop.card(), workshop.campaign()
    old = certificate(card)
    killed(workstation(meant, name="here"), card, name)
    changes: dict[str, Any] = {"paused": {"paused": True}, "expired": {"expires": meant.campaign.published}}
    desk = workstation(replace(meant, campaign=replace(meant.campaign, **changes[change])), name=where)
    assert desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)


# -- an entry in the journal never blocks the card ---------------------------------------------------------------------


def against(workshop: Workshop, der: bytes) -> Any:
    """A campaign against one certificate."""
    serial = format(x509.load_der_x509_certificate(der).serial_number, "x")
    return workshop.campaign(rules=[{"name": "that one", "serials": [serial]}])


def assert_renewed_again(workshop: Workshop, card: VirtualCard, first: bytes) -> None:
    """The certificate of the first renewal has gone the way of the one before it."""
    new = certificate(card)
    assert new != first
    assert signs(card)
    assert (workshop.row(first).state, workshop.row(new).state) == ("revoked", "valid")
    assert {sha256(first), sha256(new)} == {receipt.certificate for receipt in workshop.receipts(card)}


@pytest.mark.parametrize("name", ["receipted", "removed", "returned"])
def test_a_card_that_was_renewed_elsewhere_meanwhile_is_not_waited_for(
    workshop: Workshop, workstation: Workstations, name: str
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    killed(workstation(campaign, name="here"), card, name)
    first = certificate(card)
    second = against(workshop, first)
    workstation(second).renew(card)
    desk = workstation(campaign, second, name="here")
    person = desk.person(card)
    assert desk.renew(card, person)["verdict"] == "UNAFFECTED"
    assert (person.kinds, desk.kinds[-1]) == (["not-affected"], "superseded")
    assert_renewed_again(workshop, card, first)


@pytest.mark.parametrize("name", ["removed", "returned"])
def test_a_card_that_was_left_half_done_elsewhere_meanwhile_is_finished(
    workshop: Workshop, workstation: Workstations, name: str
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    killed(workstation(campaign, name="here"), card, name)
    first = certificate(card)
    second = against(workshop, first)
    killed(workstation(second), card, "begun")
    card.write_object(0x5FC10A, b"")
    assert workstation(campaign, name="here").renew(card)["signed_in"]
    assert_renewed_again(workshop, card, first)


class NoSignIn(HttpRaTransport):
    """A way to the RA by which nobody gets to the sign-in service."""

    def get_json(self, url: str) -> PlainAnswer:
        if "sign-in" in url:
            raise RaUnreachable("The sign-in service cannot be reached.")
        return super().get_json(url)


def test_a_sign_in_service_that_is_gone_does_not_keep_the_next_campaign_from_the_card(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.001)
    card, campaign = workshop.card(), workshop.campaign()
    desk = workstation(campaign, name="here", transport=NoSignIn(workshop.ra.url, timeout=5))
    with pytest.raises(RaUnreachable):
        desk.renew(card)
    first = certificate(card)
    second = against(workshop, first)
    desk = workstation(campaign, second, name="here", transport=NoSignIn(workshop.ra.url, timeout=5))
    with pytest.raises(RaUnreachable):
        desk.renew(card)
    assert "superseded" in desk.kinds
    assert_renewed_again(workshop, card, first)
    assert workstation(campaign, second, name="here").renew(card)["signed_in"]


@pytest.mark.parametrize("rekey", ["required", "allowed"])
@pytest.mark.parametrize("name", ["no-receipts", "removed", "returned"])
def test_at_an_ra_without_receipts_the_sign_in_is_made_up_for(
    workshop: Workshop, workstation: Workstations, rekey: str, name: str
) -> None:
    """Such an RA says "confirmed" for ever, which is not somebody else's business."""
    workshop.turn(no_receipts=True)
    card, campaign = workshop.card(protects=True), workshop.campaign(rekey=rekey)
    desk = workstation(campaign, name="here")
    at = {"no-receipts": 0, "removed": 1, "returned": 2}[name] + (8 if rekey == "allowed" else 12)
    with pytest.raises(Killed, match=name):
        desk.renew(card, cut=Cut(at))
    new = certificate(card)
    desk = workstation(campaign, name="here")
    assert desk.renew(card)["signed_in"]
    assert (certificate(card), "superseded" in desk.kinds) == (new, False)


# -- who knows no tickets ----------------------------------------------------------------------------------------------


class Portal(HttpRaTransport):
    """A way to the RA on which somebody else answers at the plain addresses."""

    answer = PlainAnswer(200, None, None)

    def get_json(self, url: str) -> PlainAnswer:
        return self.answer if url.endswith("/nonce") else super().get_json(url)


@pytest.mark.parametrize("status", [200, 302, 404, 502, 511])
def test_a_captive_portal_is_not_an_ra_that_knows_no_tickets(
    workshop: Workshop, workstation: Workstations, status: int
) -> None:
    card = workshop.card()
    before, transport = card.image, Portal(workshop.ra.url, timeout=5)
    transport.answer = PlainAnswer(status, None, None)
    desk = workstation(workshop.campaign(), transport=transport, way_d_without_tickets=True)
    with pytest.raises((RaUnreachable, RaRefused)):
        desk.renew(card)
    assert desk.tape.generated == 0
    assert_untouched(workshop, card, before)


@pytest.mark.parametrize("why", ["badRequest", "systemFailure", "addInfoNotAvailable"])
def test_a_refused_ticket_is_a_refusal_whatever_the_words(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def refuse(*asked: object) -> None:
        raise Refusal("no", why)

    monkeypatch.setattr(Tickets, "open", refuse)
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign(), way_d_without_tickets=True)
    with pytest.raises(RaRefused):
        desk.renew(card)
    assert desk.tape.generated == 0
    assert_untouched(workshop, card, before)


class WrongKey(FactoryKey):
    """Not the card's."""

    def obtain(self, *asked: Any) -> Any:
        return bytes(range(24))


@pytest.mark.parametrize("wrong", ["key", "management key", "passcode"])
def test_without_tickets_everything_is_proved_before_the_old_key_goes(
    workshop: Workshop, workstation: Workstations, wrong: str
) -> None:
    workshop.turn(knows_no_tickets=True)
    card = workshop.card(misfit=wrong == "key")
    key = WrongKey() if wrong == "management key" else FactoryKey()
    desk = workstation(workshop.campaign(), way_d_without_tickets=True, management_key=key)
    person = desk.person(card, pins=("99998888", "77776666")) if wrong == "passcode" else desk.person(card)
    with pytest.raises((RenewalImpossible, ManagementKeyRefused, CardError, PersonStopped)):
        desk.renew(card, person)
    assert desk.tape.generated == 0
    assert desk.kinds[-1] == "stopped"
    assert signs(card) == (wrong != "key")


@pytest.mark.parametrize("end", ["journalled", "lost"])
@pytest.mark.parametrize("at", range(3, 13))
def test_without_tickets_a_renewal_that_was_cut_short_is_finished_where_it_was_begun(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, at: int, end: str
) -> None:
    # The mock RA's own policy wants a ticket for a new signing key; other RAs let 9A ask.
    monkeypatch.setattr(authority, "_refuse_unless_allowed", lambda *asked: None)
    workshop.turn(knows_no_tickets=True)
    card, campaign = workshop.card(), workshop.campaign()
    old, desk = certificate(card), workstation(campaign, way_d_without_tickets=True)
    with pytest.raises(Killed) as cut:
        desk.renew(card, cut=Cut(at, lost=end == "lost"))
    if (str(cut.value), end) == ("issued", "lost") or str(cut.value) == "asked":
        workshop.ten_minutes_later()
    assert desk.renew(card)["signed_in"]
    assert signs(card)
    assert [row.state for row in workshop.signing_certificates(old) if row.state != "withdrawn"] == ["updated", "valid"]


# -- cards that lost something ----------------------------------------------------------------------------------------


def test_another_workstation_knows_which_certificate_was_to_be_replaced(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    asked: list[bytes] = []
    old = certificate(card)
    killed(workstation(campaign), card, "stored")
    new = certificate(card)
    card.misfit_key(SIGNING)

    class Listening(HttpRaTransport):
        def exchange(self, octets: bytes) -> bytes:
            message = codec.decode_message(octets)
            if message.body_type is BodyType.CR:
                asked.append(octets)
            return super().exchange(octets)

    desk = workstation(campaign, transport=Listening(workshop.ra.url, timeout=5))
    assert desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)
    assert workshop.row(new).state in ("revoked", "withdrawn")
    serial = x509.load_der_x509_certificate(old).serial_number
    assert [serial.to_bytes(20, "big").lstrip(b"\0") in octets for octets in asked] == [True]


def test_another_workstation_puts_the_true_old_certificate_back(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    put: list[bytes] = []
    old = certificate(card)
    killed(workstation(campaign), card, "stored")
    desk = workstation(campaign)

    def said(progress: Any) -> None:
        if progress.message.title == "trying the new key" and not put:
            put.append(certificate(card))
            card.misfit_key(SIGNING)
        elif progress.message.title == "making the new key":
            put.append(certificate(card))

    desk.renew(card, desk.person(card, on={"progress": said}))
    assert_renewed(workshop, card, old)
    assert put[1] == old
    assert desk.kinds.count("did-not-sign") == 1


@pytest.mark.parametrize("left", [b"", b"\x70\x82\x03\x00cut short"], ids=["nothing", "half"])
@pytest.mark.parametrize("name", ["begun", "confirmed"])
def test_a_card_without_a_certificate_is_known_anywhere_by_the_other_one(
    workshop: Workshop, workstation: Workstations, left: bytes, name: str
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    old = certificate(card)
    killed(workstation(campaign), card, name)
    card.write_object(0x5FC10A, left)
    desk = workstation(campaign)
    desk.put_in(card)
    inspector = Inspector(desk.open_card, [campaign.campaign], (), desk.desk.standing)
    connection = desk.readers.connect(READER)
    document = inspector.inspect(connection, desk.desk.now()).document()
    connection.close()
    desk.take_out()
    assert (document["verdict"], document["error"]) == (Verdict.PART_WAY.value, None)
    assert "not finished" in document["reason"]
    assert desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize("left", [b"", b"\x70\x82\x03\x00cut short"], ids=["nothing", "half"])
def test_a_card_that_never_had_one_is_not_part_way(workshop: Workshop, workstation: Workstations, left: bytes) -> None:
    card, desk = workshop.card(), workstation(workshop.campaign())
    card.write_object(0x5FC10A, left)
    person = desk.person(card)
    with pytest.raises((RenewalImpossible, CardDataError)):
        desk.renew(card, person)
    assert (person.kinds, desk.tape.verifies) == ([], 0)


# -- waiting -----------------------------------------------------------------------------------------------------------


class Pauses:
    """Notes how long a renewal would sleep, and lets things happen meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None] = lambda number: None) -> None:
        self.seconds: list[float] = []
        self._then = then
        monkeypatch.setattr(Job, "pause", lambda job, seconds: self.take(seconds))
        monkeypatch.setattr(Job, "pause_until", lambda job, until: self.take(_ahead(until, job.place.now())))

    def take(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._then(len(self.seconds))
        if len(self.seconds) > 12:
            raise PersonStopped("You stopped waiting.")


def _ahead(until: datetime, now: datetime) -> int:
    return math.ceil((until - now).total_seconds())


def approve(workshop: Workshop) -> None:
    """The officer says yes to all."""
    with workshop.ra.office.lock:
        workshop.ra.office.approve(None)


def forget(workshop: Workshop) -> None:
    """The RA loses what waits."""
    with workshop.ra.office.lock:
        for row in workshop.ra.office.store.find(TransactionRow, state="waiting"):
            workshop.ra.office.store.put(replace(row, state="rejected"))


@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_a_request_that_the_ra_forgot_is_not_waited_for_but_made_anew(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, rekey: str
) -> None:
    workshop.turn(approval=True)
    card = workshop.card(protects=True)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    happens = {1: forget, 2: approve}
    pauses = Pauses(monkeypatch, lambda number: happens.get(number, lambda shop: None)(workshop))
    assert desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)
    assert (len(pauses.seconds), desk.kinds.count("asked"), desk.kinds.count("too-late")) == (2, 2, 1)


def test_an_ra_that_always_forgets_is_not_asked_for_ever(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.turn(approval=True)
    card, campaign = workshop.card(), workshop.campaign()
    old = certificate(card)
    pauses = Pauses(monkeypatch, lambda number: forget(workshop))
    desk = workstation(campaign, name="here")
    with pytest.raises(RaRefused):
        desk.renew(card)
    assert len(pauses.seconds) == 2
    workshop.restore()
    assert workstation(campaign, name="here").renew(card)["signed_in"]
    assert_renewed(workshop, card, old)


class LosesPolls(HttpRaTransport):
    """A way to the RA on which pollReqs are lost, or their answers."""

    lose: tuple[str, ...] = ()

    def exchange(self, octets: bytes) -> bytes:
        what = ""
        if codec.decode_message(octets).body_type is BodyType.POLLREQ and self.lose:
            what, self.lose = self.lose[0], self.lose[1:]
        if what == "question":
            raise RaUnreachable("The Registration Authority cannot be reached.")
        answer = super().exchange(octets)
        if what == "answer":
            raise RaUnreachable("The Registration Authority broke off in the middle.")
        return answer


@pytest.mark.parametrize("rekey", ["required", "allowed"])
@pytest.mark.parametrize("lost", [("question",), ("answer",), ("question", "answer")], ids="+".join)
def test_a_lost_poll_asks_for_no_second_certificate(
    workshop: Workshop,
    workstation: Workstations,
    monkeypatch: pytest.MonkeyPatch,
    rekey: str,
    lost: tuple[str, ...],
) -> None:
    workshop.turn(approval=True)
    card, transport = workshop.card(protects=True), LosesPolls(workshop.ra.url, timeout=5)
    transport.lose = lost
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey), transport=transport)
    Pauses(monkeypatch, lambda number: approve(workshop))
    assert desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)
    assert desk.kinds.count("asked") == 1
    assert len(workshop.signing_certificates(old)) == 2


@pytest.mark.parametrize("says_so", [True, False])
def test_who_is_told_to_wait_again_waits_longer_each_time_and_never_not_at_all(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, says_so: bool
) -> None:
    """An RA that says "in 0 seconds", and whose status address says that it is ready, or does not exist."""
    workshop.turn(approval=True, check_after=0)
    card = workshop.card()
    desk = workstation(workshop.campaign())
    whole = desk.desk.standing

    def standing(*asked: Any, **how: Any) -> Any:
        found = whole(*asked, **how)
        return replace(found, waiting=True, ready=True) if says_so and found is not None else None

    monkeypatch.setattr(desk.desk, "standing", standing)
    pauses = Pauses(monkeypatch, lambda number: approve(workshop) if number == 6 else None)
    assert desk.renew(card)["signed_in"]
    assert pauses.seconds == [1, 2, 4, 8, 16, 32]


# -- whose fault it is -------------------------------------------------------------------------------------------------


class Glitch:
    """One refusal by the key in a slot, at the first signature after `arm`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slot: str) -> None:
        self.left = 0
        whole = PivSigningSession.sign

        def sign(session: PivSigningSession, used: Slot, data: bytes, hash_name: str) -> bytes:
            if used.reference == slot and self.left:
                self.left -= 1
                raise CardRefused(f"The smartcard did not sign with the key in slot {used} (6F00).", 0x6F00)
            return whole(session, used, data, hash_name)

        monkeypatch.setattr(PivSigningSession, "sign", sign)

    def arm(self) -> None:
        self.left = 1


@pytest.mark.parametrize(
    ("rekey", "protects", "title"),
    [
        ("required", False, "asking the Registration Authority"),
        ("required", False, "getting the new certificate"),
        ("required", False, "trying the new key"),
        ("allowed", False, "getting the new certificate"),
        ("allowed", False, "trying the new certificate"),
    ],
)
def test_one_refusal_by_the_authentication_key_is_not_laid_to_the_signing_key(
    workshop: Workshop,
    workstation: Workstations,
    monkeypatch: pytest.MonkeyPatch,
    rekey: str,
    protects: bool,
    title: str,
) -> None:
    card = workshop.card(protects=protects)
    old, glitch = certificate(card), Glitch(monkeypatch, "9a")
    campaign = workshop.campaign(rekey=rekey, old_key="may-be-unusable")
    armed: list[str] = []

    def said(progress: Any) -> None:
        if progress.message.title == title and not armed:
            armed.append(title)
            glitch.arm()

    desk = workstation(campaign)
    with pytest.raises(KeyRefused, match="9A"):
        desk.renew(card, desk.person(card, on={"progress": said}))
    assert not {"old-key-unusable", "did-not-sign", "rejected"} & set(desk.kinds)
    issued = len(workshop.signing_certificates(old))
    outcome = desk.renew(card)
    assert_renewed(workshop, card, old)
    assert outcome["way"] == ("D" if rekey == "required" else "A")
    assert len(workshop.signing_certificates(old)) == max(2, issued)


@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_keys_that_never_sign_are_given_up_after_a_while(
    workshop: Workshop, workstation: Workstations, rekey: str
) -> None:
    card = workshop.card(protects=True)
    desk = workstation(workshop.campaign(rekey=rekey))

    def said(progress: Any) -> None:
        if progress.message.title.startswith("trying the new"):
            card.misfit_key(SIGNING)

    with pytest.raises(RenewalImpossible, match="sign"):
        desk.renew(card, desk.person(card, on={"progress": said}))
    assert desk.kinds.count("did-not-sign") <= 3
    assert desk.tape.generated <= 3
    assert len([row for row in workshop.signing_certificates(certificate(card)) if row.state == "unconfirmed"]) <= 1


def test_a_new_key_that_is_not_the_one_that_was_told_is_made_again(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    misfits: list[Any] = []
    old, desk = certificate(card), workstation(workshop.campaign())

    def said(progress: Any) -> None:
        if progress.message.title == "getting the new certificate" and not misfits:
            misfits.append(progress)
            card.misfit_key(SIGNING)

    outcome = desk.renew(card, desk.person(card, on={"progress": said}))
    assert outcome["signed_in"]
    assert_renewed(workshop, card, old)
    assert (desk.tape.generated, desk.kinds.count("did-not-sign")) == (2, 1)


@pytest.mark.parametrize("typed", ["123", "123456789", "1" * 60])
def test_a_passcode_that_cannot_be_one_takes_no_try_and_ends_nothing(
    workshop: Workshop, workstation: Workstations, typed: str
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    person = desk.person(card, pins=(typed, "48392057"))
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert card.pin_tries == 3


# -- in vain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rekey", ["required", "allowed", "forbidden"])
@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("p256", {"key_algorithms": ["ec"]}),
        ("rsa2048", {"key_bits_below": 4096, "key_algorithms": ["rsa"]}),
        ("p256", {"issued_from": "2020-01-01T00:00:00Z"}),
    ],
    ids=["kind", "size", "date"],
)
def test_a_certificate_that_would_be_affected_again_is_not_asked_for(
    workshop: Workshop, workstation: Workstations, rekey: str, key: str, rule: dict[str, Any]
) -> None:
    card = workshop.card(key=key)
    before, desk = card.image, workstation(workshop.campaign(rekey=rekey, rules=[{"name": "all", **rule}]))
    person = desk.person(card)
    with pytest.raises(RenewalImpossible):
        desk.renew(card, person)
    assert (person.kinds, desk.tape.verifies) == ([], 0)
    assert_untouched(workshop, card, before)


def test_a_key_that_is_too_small_is_not_certified_again(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(key="rsa2048")
    old = certificate(card)
    desk = workstation(workshop.campaign(rekey="allowed", rules=[{"name": "small", "key_bits_below": 3072}]))
    assert desk.renew(card)["way"] == "D"
    assert_renewed(workshop, card, old)
    key: Any = card.public_key(SIGNING)
    assert key.key_size == 3072


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_a_receipt_that_is_refused_is_delivered_later_and_is_no_success(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Receipts.take

    def refuse(*asked: object) -> None:
        raise Refusal("the book of receipts is being bound", "systemFailure")

    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    monkeypatch.setattr(Receipts, "take", refuse)
    with pytest.raises(RaRefused):
        desk.renew(card)
    assert "no-receipts" not in desk.kinds
    assert signs(card)
    monkeypatch.setattr(Receipts, "take", whole)
    outcome = desk.renew(card)
    assert (outcome["receipt"], outcome["signed_in"]) == (True, True)
    assert_renewed(workshop, card, old)


# -- the record --------------------------------------------------------------------------------------------------------


class FullDisk(Cut):
    """From the `at`th event on nothing can be written."""

    def journal(self, journal: Journal) -> Any:
        whole, seen = journal.append, itertools.count()

        def append(*event: Any) -> int:
            if next(seen) >= self.at:
                raise JournalError("The disk is full.")
            return whole(*event)

        return _With(journal, append)


class _With:
    def __init__(self, journal: Journal, append: Callable[..., int]) -> None:
        self._journal = journal
        self.append = append

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


@pytest.mark.parametrize("at", range(len(WAY_D)))
def test_a_record_that_cannot_be_written_is_told_with_what_it_means_for_the_card(
    workshop: Workshop, workstation: Workstations, at: int
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    before, desk = certificate(card), workstation(campaign, name="here")
    key = card.public_key(SIGNING)
    with pytest.raises(JournalError, match="The disk is full") as told:
        desk.renew(card, cut=FullDisk(at))
    unchanged = (certificate(card), card.public_key(SIGNING)) == (before, key)
    assert ("Nothing was changed" in told.value.message) == unchanged
    assert ("cannot sign" in told.value.message) == (WAY_D.index("generated") <= at <= WAY_D.index("receipted"))
    assert "Nothing" not in told.value.advice
    assert workstation(campaign, name="here").renew(card).get("state") in ("done", None)
    assert_renewed(workshop, card, before)
