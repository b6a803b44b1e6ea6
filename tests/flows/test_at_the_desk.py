"""At the RA's desk: an officer's card orders, a person's card is renewed, each by its own passcode and signatures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.agent.at_the_desk import renew_at_the_desk
from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import Inspector
from renewagent.agent.job import Workplace
from renewagent.agent.journal import Journal
from renewagent.agent.ra_desk import utc_now
from renewagent.card.interface import CardConnection
from renewagent.errors import (
    DifferentCard,
    LastPinTry,
    NoCard,
    NoReader,
    RaRefused,
    RenewAgentError,
    RenewalImpossible,
)
from renewagent_fixtures.mock_ra.certificates import Wanted
from renewagent_fixtures.mock_ra.roles import by_holder
from renewagent_fixtures.mock_ra.rows import AuditRow
from renewagent_fixtures.person import Said, ScriptedPerson
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import (
    AUTHENTICATION,
    CONTACT,
    DAYS,
    OTHER_READER,
    PIN,
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
    identity,
    signs,
)

OFFICER = "CN=Olive Officer,OU=RA,O=Mock Hospital,C=GB"
OFFICERS_PIN = "13572468"
SOON, LATE = timedelta(days=20), timedelta(days=-5)


def issued(
    workshop: Workshop, holder: str, *, ends: timedelta, pin: str = PIN, profile: str = "plain", protects: bool = False
) -> VirtualCard:
    """A card of the bad batch's age, both of whose certificates end then."""
    card = VirtualCard.create(None, profile=profile, pin=pin)
    begin, end = utc_now() - timedelta(days=DAYS), utc_now() + ends
    signing = {"contentCommitment"} | ({"digitalSignature"} if protects else set())
    for slot, usages in ((AUTHENTICATION, {"digitalSignature"}), (SIGNING, signing)):
        spki = card.generate(slot, "p256").public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = x509.Name.from_rfc4514_string(holder).public_bytes()
        with workshop.ra.office.lock:
            card.write_certificate(slot, workshop.ra.office.issue(Wanted(subject, spki, frozenset(usages), begin, end)))
    return card


@dataclass
class Counter:
    """The RA's desk: an officer's card in the one reader, a person's in the other."""

    desk: Workstation
    officer: VirtualCard
    commands: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk.readers._on_exchange = lambda reader, command, response: self.commands.append((reader, command))

    def people(self, card: VirtualCard, **script: Any) -> ScriptedPerson:
        return self.desk.person(card, **{"pins": (OFFICERS_PIN, PIN), **script})

    def renew(
        self,
        card: VirtualCard,
        people: ScriptedPerson | None = None,
        *,
        cut: Cut | None = None,
        reader: str | None = None,
        officers: str = OTHER_READER,
    ) -> dict[str, Any]:
        desk = self.desk
        desk.put_in(self.officer, OTHER_READER)
        desk.put_in(card)
        with Journal(desk.journal_file) as journal:
            place = Workplace(
                readers=desk.readers,
                open_card=desk.open_card,
                desk=desk.desk,
                journal=cut.journal(journal) if cut else journal,
                prompter=people or self.people(card),
                contact=CONTACT,
                key_relay=desk.key_relay,
            )
            campaigns = list(desk.campaigns.values())
            inspector = Inspector(desk.open_card, [one.campaign for one in campaigns], (), desk.desk.standing)
            try:
                return renew_at_the_desk(place, desk.campaigns, inspector, officers, reader)
            finally:
                desk.kinds = [event.name for event in journal.replay()]
                desk.take_out()
                desk.take_out(OTHER_READER)

    def signed(self, reader: str) -> int:
        """GENERAL AUTHENTICATE commands in a reader."""
        return sum(1 for where, command in self.commands if where == reader and command[1] == 0x87)

    def verified(self, reader: str) -> list[bytes]:
        """The passcodes that went to a reader."""
        return [
            command[5:13].rstrip(b"\xff")
            for where, command in self.commands
            if where == reader and command[1] == 0x20 and len(command) > 5
        ]


MakeCounter = Callable[..., Counter]


@pytest.fixture
def counter(workshop: Workshop, workstation: Workstations) -> MakeCounter:
    def make(*campaigns: Accepted, role: str = "RAA", name: str = "", **knobs: Any) -> Counter:
        workshop.turn(roles=by_holder({OFFICER: role}), **knobs)
        return Counter(workstation(*campaigns, name=name), issued(workshop, OFFICER, ends=SOON, pin=OFFICERS_PIN))

    return make


@pytest.fixture
def holder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    return iter([f"CN=Dr {tmp_path_factory.mktemp('holder').name},O=Mock Hospital,C=GB"])


def audited(workshop: Workshop, card: VirtualCard, event: str) -> list[dict[str, str]]:
    with workshop.ra.office.lock:
        assert workshop.ra.office.check_audit() is None
        rows = workshop.ra.office.store.find(AuditRow)
    found = [json.loads(row.details) for row in rows if row.event == event]
    return [one for one in found if one.get("card", identity(card)) == identity(card)]


def test_a_card_of_the_bad_batch_is_renewed_by_order(workshop: Workshop, counter: MakeCounter) -> None:
    """Way D, without waiting for a turn, although it would be in person."""
    card = workshop.card()
    old, before = certificate(card), None
    it = counter(workshop.campaign(), max_self_renewals=0)
    with pytest.raises(RenewalImpossible, match="as often as is allowed"):
        it.desk.renew(card)
    before = it.officer.image
    people = it.people(card)
    done = it.renew(card, people)
    assert (done["way"], done["state"], done["officer"]) == ("D", "done", identity(it.officer))
    assert_renewed(workshop, card, old)
    assert [kind for kind in people.kinds if "pin" in kind] == ["officer-pin", "pin", "pin"]
    asked = [said.card for said in people.said if said.how == "pin"]
    assert [str(one) for one in asked] == [identity(it.officer), identity(card), identity(card)]
    assert (it.signed(OTHER_READER), it.verified(OTHER_READER)) == (2, [OFFICERS_PIN.encode()])
    assert set(it.verified(READER)) == {PIN.encode()}
    assert it.officer.image == before
    (given,) = audited(workshop, card, "order.given")
    assert (given["officer"], given["role"], given["card"]) == (OFFICER, "RAA", identity(card))
    assert any(used["order"] == given["order"] for used in audited(workshop, card, "order.used"))


@pytest.mark.parametrize("protects", [False, True], ids=["cr", "kur"])
@pytest.mark.parametrize("profile", ["plain", "extended"])
@pytest.mark.parametrize("ends", [LATE, SOON], ids=["expired", "due"])
def test_a_card_that_ends_or_has_ended_gets_both_certificates(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], ends: timedelta, profile: str, protects: bool
) -> None:
    card = issued(workshop, next(holder), ends=ends, profile=profile, protects=protects)
    old, other = certificate(card), certificate(card, AUTHENTICATION)
    it = counter()
    done = it.renew(card)
    assert (done["way"], done["state"], done["signed_in"]) == ("A", "done", True)
    assert done["pair"]["renewed"] and certificate(card, AUTHENTICATION) != other
    assert_renewed(workshop, card, old)
    assert signs(card, AUTHENTICATION)
    assert workshop.row(other).state == "revoked"


def test_an_expired_card_of_the_bad_batch_gets_a_new_key(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str]
) -> None:
    card = issued(workshop, next(holder), ends=LATE, protects=True)
    old, key = certificate(card), card.public_key(SIGNING)
    it = counter(workshop.campaign(rekey="required"))
    with pytest.raises(RenewalImpossible, match="expired"):
        it.desk.renew(card)
    done = it.renew(card)
    assert (done["way"], done["pair"]["way"], done["signed_in"]) == ("D", "D", True)
    assert_renewed(workshop, card, old)
    assert card.public_key(SIGNING) != key


@pytest.mark.parametrize(("role", "ends"), [("Sponsor", LATE), ("LSA", LATE), ("ID Checker", SOON)])
def test_whoever_may_not_changes_nothing(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], role: str, ends: timedelta
) -> None:
    card = issued(workshop, next(holder), ends=ends)
    before, it = card.image, counter(role=role)
    with pytest.raises(RaRefused, match="may not have such a smartcard renewed"):
        it.renew(card)
    assert_untouched(workshop, card, before)
    assert it.verified(READER) == [] and it.desk.kinds == []
    assert audited(workshop, card, "order.refused")[0]["officer"] == OFFICER


def test_nobody_renews_their_own_card(workshop: Workshop, counter: MakeCounter) -> None:
    it, own = counter(), issued(workshop, OFFICER, ends=SOON)
    before = own.image
    with pytest.raises(RaRefused, match="own"):
        it.renew(own)
    assert_untouched(workshop, own, before)


def test_nothing_is_done_where_nothing_is_due(workshop: Workshop, counter: MakeCounter) -> None:
    it, card = counter(), workshop.card()
    with pytest.raises(RenewalImpossible, match="nothing to renew") as told:
        it.renew(card)
    assert "90 days" in told.value.advice
    assert it.verified(OTHER_READER) == []


def test_the_officers_passcode_goes_to_the_officers_card_alone(workshop: Workshop, counter: MakeCounter) -> None:
    """The cards are exchanged while the question stands: neither passcode goes to the other card, no try is lost."""
    it, card = counter(workshop.campaign()), workshop.card()

    def exchange(said: Said) -> None:
        it.desk.take_out()
        it.desk.take_out(OTHER_READER)
        it.desk.put_in(it.officer, READER)
        it.desk.put_in(card, OTHER_READER)

    for kind in ("officer-pin", "before"):
        it.commands.clear()
        with pytest.raises(RenewAgentError):
            it.renew(card, it.people(card, on={kind: exchange}, stop_at=frozenset({"insert-again", "pulled-half-way"})))
        passcodes = it.verified(READER) + it.verified(OTHER_READER)
        assert passcodes == ([] if kind == "officer-pin" else [OFFICERS_PIN.encode()])
        assert (card.pin_tries, it.officer.pin_tries) == (3, 3)
        assert workshop.row(certificate(card)).state == "valid"


def test_another_card_in_the_persons_reader_is_not_renewed_under_this_order(
    workshop: Workshop, counter: MakeCounter
) -> None:
    it, card, other = counter(workshop.campaign()), workshop.card(), workshop.card()
    before = other.image

    def exchange(said: Said) -> None:
        it.desk.take_out()
        it.desk.put_in(other)

    with pytest.raises(DifferentCard):
        it.renew(card, it.people(card, on={"ordered": exchange}))
    assert_untouched(workshop, other, before)


def test_nor_is_one_that_comes_when_the_renewal_begins(
    workshop: Workshop, counter: MakeCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, card, other = counter(workshop.campaign()), workshop.card(), workshop.card()
    before, open_card, opened = other.image, it.desk.open_card, list[str]()

    def exchanged(connection: CardConnection) -> Any:
        opened.append(connection.reader)
        if opened == [READER, OTHER_READER, READER]:  # to be judged, to order, to be renewed
            it.desk.take_out()
            it.desk.put_in(other)
            connection = it.desk.readers.connect(READER)
        return open_card(connection)

    monkeypatch.setattr(it.desk, "open_card", exchanged)
    with pytest.raises(DifferentCard):
        it.renew(card)
    assert_untouched(workshop, other, before)


def test_a_wrong_passcode_of_the_officers_is_the_officers_try(workshop: Workshop, counter: MakeCounter) -> None:
    it, card = counter(workshop.campaign()), workshop.card()
    people = it.people(card, pins=("99999999", OFFICERS_PIN, PIN))
    assert it.renew(card, people)["signed_in"]
    assert people.kinds[:3] == ["officer-pin", "wrong-pin", "officer-pin"]
    assert it.verified(READER)[0] == PIN.encode()
    with pytest.raises(LastPinTry):
        it.renew(workshop.card(), it.people(card, pins=("99999999", "88888888")))
    assert it.officer.pin_tries == 1


def test_readers_are_named(workshop: Workshop, counter: MakeCounter) -> None:
    it, card = counter(workshop.campaign()), workshop.card()
    with pytest.raises(NoReader):
        it.renew(card, reader=OTHER_READER)
    with pytest.raises(NoReader):
        it.renew(card, officers="No such reader")
    with pytest.raises(NoReader):
        it.renew(card, reader="No such reader")
    it.desk.put_in(it.officer, OTHER_READER)
    empty = it.people(card)
    with Journal(it.desk.journal_file) as journal, pytest.raises(NoCard):
        place = Workplace(it.desk.readers, it.desk.open_card, it.desk.desk, journal, empty, CONTACT)
        renew_at_the_desk(place, {}, Inspector(it.desk.open_card, ()), OTHER_READER)


@pytest.mark.parametrize("knobs", [{"knows_no_tickets": True}])
def test_an_ra_without_orders(workshop: Workshop, counter: MakeCounter, knobs: dict[str, Any]) -> None:
    it, card = counter(workshop.campaign(), **knobs), workshop.card()
    before = card.image
    with pytest.raises(RenewalImpossible, match="takes no orders"):
        it.renew(card)
    assert_untouched(workshop, card, before)


CUTS = {
    "D": (timedelta(days=1000), "required", 16),
    "A expired": (LATE, "allowed", 22),
    "D expired": (LATE, "required", 25),
}


@pytest.mark.parametrize("place", ["desk", "another desk"])
@pytest.mark.parametrize("which", list(CUTS))
def test_cut_anywhere_it_is_finished(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], which: str, place: str
) -> None:
    """At every event, journalled or not in turns: the card signs or its ticket stands, and the same command goes on."""
    ends, rekey, at_least = CUTS[which]
    campaign = workshop.campaign(rekey=rekey)
    name = next(holder).partition(",")[0]
    for at in itertools.count():
        lost = place != "desk" or at % 2 == 0  # another desk has no journal of it
        card = issued(workshop, f"{name}-{at},O=Mock Hospital,C=GB", ends=ends, protects=True)
        old = certificate(card)
        it = counter(campaign)
        try:
            it.renew(card, cut=Cut(at, lost))
        except Killed:
            pass
        else:
            assert at >= at_least
            return
        standing = any(ticket.state in ("open", "armed", "issued", "confirmed") for ticket in workshop.tickets(card))
        assert signs(card) or standing
        again = it if place == "desk" else counter(campaign)
        try:
            assert again.renew(card)["signed_in"]
        except RenewalImpossible as nothing_left:  # or the sign-in alone, of which another desk knows nothing
            assert "nothing to renew" in nothing_left.message
            assert place != "desk" or it.desk.kinds[-1] in ("signed-in", "paired")
        assert_renewed(workshop, card, old)
        other = x509.load_der_x509_certificate(certificate(card, AUTHENTICATION))
        assert other.not_valid_after_utc > utc_now() and signs(card, AUTHENTICATION)
        assert card.pin_tries == 3
