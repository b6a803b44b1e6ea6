"""The RA keeps the cards' management keys and answers their challenges: whole renewals, and all that can go wrong on
the way to it. The key is nowhere but at the RA and on the card.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from renewagent.agent import key_relay, renewing
from renewagent.card.key import card_key
from renewagent.cmp import private
from renewagent.cmp.client import Credential
from renewagent.errors import (
    ManagementKeyRefused,
    RaMisbehaved,
    RaRefused,
    RaUnreachable,
)
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from renewagent_fixtures.mock_ra import Knobs, MockRa
from renewagent_fixtures.mock_ra.key_relay import MOST_PER_STEP
from renewagent_fixtures.mock_ra.rows import AuditRow, RelayRow
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.test_another_program import GENERATE_P256, PUT_DATA, REFUSED, SELECT, then_nothing_is_open
from tests.flows.workshop import (
    AUTHENTICATION,
    PIN,
    READER,
    Cut,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    identity,
    signs,
)

ALGORITHMS = {"3des": 0x03, "aes128": 0x08, "aes192": 0x0A, "aes256": 0x0C}
WAYS: dict[str, dict[str, Any]] = {
    "A": {"rekey": "allowed", "profile": "plain", "steps": ["store"]},
    "B": {"rekey": "required", "profile": "extended", "steps": ["ticket", "stage", "store", "move"]},
    "D": {"rekey": "required", "profile": "plain", "steps": ["ticket", "generate", "store"]},
}
SELECTED = b"\x90\x00"


@pytest.fixture
def relaying(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.01)
    workshop.turn(key_relay=True)
    return workshop


@dataclass
class Line(HttpRaTransport):
    """A line to the RA on which somebody sits. `meddle` is asked before each answer to the card's challenge is handed
    on: with the fields of the question and the true answer; it returns another, or raises."""

    url: str
    meddle: Callable[[dict[str, Any], Callable[[], PlainAnswer]], PlainAnswer] | None = None
    traffic: list[bytes] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.url, timeout=5)

    def exchange(self, octets: bytes) -> bytes:
        answer = super().exchange(octets)
        self.traffic += [octets, answer]
        return answer

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        asked = json.loads(body)
        self.asked.append(asked)

        def ask() -> PlainAnswer:
            answer = super(Line, self).post_within(url, body, content_type, seconds)
            self.traffic += [body, json.dumps(answer.document).encode()]
            return answer

        return self.meddle(asked, ask) if self.meddle else ask()


def sessions(workshop: Workshop, card: VirtualCard) -> list[RelayRow]:
    """The card's, the oldest first."""
    with workshop.ra.office.lock:
        return sorted(workshop.ra.office.store.find(RelayRow, card=identity(card)), key=lambda row: row.at)


def audited(workshop: Workshop, card: VirtualCard) -> list[str]:
    """What the RA's log says of this card's key, in order."""
    with workshop.ra.office.lock:
        assert workshop.ra.office.check_audit() is None
        rows = workshop.ra.office.store.find(AuditRow)
    return [row.event for row in rows if row.event.startswith("key-relay.") and identity(card) in row.details]


def key_of(workshop: Workshop, card: VirtualCard) -> bytes:
    """The card's management key."""
    key = card._memory.management.key
    assert key != bytes(range(1, 9)) * 3
    return key


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("way", WAYS)
def test_whole_renewals(relaying: Workshop, workstation: Workstations, way: str, algorithm: int) -> None:
    how = WAYS[way]
    card = relaying.card(profile=how["profile"], kept_by_ra=algorithm)
    old = certificate(card)
    desk = workstation(relaying.campaign(rekey=how["rekey"])).relayed()
    with then_nothing_is_open(desk, card):
        outcome = desk.renew(card, inserted=True)
        desk.take_out()
    assert outcome["way"] == way and outcome["signed_in"] and outcome["receipt"]
    assert_renewed(relaying, card, old)
    assert [row.step for row in sessions(relaying, card)] == how["steps"]
    assert {row.state for row in sessions(relaying, card)} == {"authenticated"}
    turns = ["key-relay.granted", "key-relay.proved", "key-relay.authenticated"]
    assert audited(relaying, card) == turns * len(how["steps"])


@pytest.mark.parametrize("way", WAYS)
def test_no_passcode_is_presented_for_it(relaying: Workshop, workstation: Workstations, way: str) -> None:
    """The requests for leave are signed along with what is signed anyhow."""
    how, counts = WAYS[way], []
    for kept_by_ra in (None, 0x0A):
        card = relaying.card(profile=how["profile"], kept_by_ra=kept_by_ra)
        desk = workstation(relaying.campaign(rekey=how["rekey"]))
        (desk.relayed() if kept_by_ra else desk).renew(card)
        counts.append(desk.tape.verifies)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("protects", [False, True], ids=["cr", "kur"])
@pytest.mark.parametrize("way", WAYS)
def test_the_pair(relaying: Workshop, workstation: Workstations, way: str, protects: bool) -> None:
    how = WAYS[way]
    card = relaying.card(profile=how["profile"], protects=protects, kept_by_ra=0x0C)
    old, own = certificate(card), certificate(card, AUTHENTICATION)
    outcome = workstation(relaying.campaign(rekey=how["rekey"], renews="pair")).relayed().renew(card)
    renewed = way != "D"  # where nothing would stand at the RA while 9A has no certificate
    assert outcome["signed_in"] and outcome["pair"]["renewed"] is renewed
    assert certificate(card) != old and (certificate(card, AUTHENTICATION) != own) is renewed
    assert signs(card) and signs(card, AUTHENTICATION)


def test_the_key_is_nowhere_but_at_the_ra_and_on_the_card(
    relaying: Workshop, workstation: Workstations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    card = relaying.card(kept_by_ra=0x0A)
    line = Line(relaying.ra.url)
    desk = workstation(relaying.campaign(), transport=line).relayed()
    person = desk.person(card)
    desk.renew(card, person)
    key = key_of(relaying, card)
    with relaying.ra.office.lock:
        relaying.ra.office.flush()
    seen = [b"".join(command + response for command, response in desk.tape.exchanges), b"\n".join(line.traffic)]
    seen += [path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()]
    seen += [path.read_bytes() for path in relaying.folder.rglob("ra.db*")]
    seen += [caplog.text.encode(), repr(person.said).encode(), repr((desk.key_relay, desk.management_key)).encode()]
    assert len(line.traffic) > 10 and any(b"generated" in octets for octets in seen)
    for octets in seen:
        for form in (key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)[:-2]):
            assert form not in octets
    masters = (relaying.ra.office.pki.master, relaying.ra.office.card_keys._master)
    assert not any(m in octets or m.hex().encode() in octets for octets in seen for m in masters)
    # No session that was named on the line is in a journal, log or database either: only its hash.
    for asked in line.asked:
        assert not any(asked["session"].encode() in octets for octets in seen[2:])


# -- a slow RA ----------------------------------------------------------------------------------------------------


def test_an_ra_that_takes_2_9_seconds(relaying: Workshop, workstation: Workstations) -> None:
    card = relaying.card(kept_by_ra=0x08)
    relaying.turn(key_relay=True, relay_delay=1.45)  # twice in a transaction
    assert workstation(relaying.campaign()).relayed().renew(card)["signed_in"]


def test_an_ra_that_takes_3_1_seconds(relaying: Workshop, workstation: Workstations) -> None:
    card = relaying.card(kept_by_ra=0x08)
    old = certificate(card)
    relaying.turn(key_relay=True, relay_delay=1.55)
    campaign = relaying.campaign()
    desk = workstation(campaign).relayed()
    with then_nothing_is_open(desk, card), pytest.raises(RaUnreachable) as caught:
        desk.renew(card, inserted=True)
    assert "did not answer in time" in caught.value.message and "was closed to changes again" in caught.value.message
    assert certificate(card) == old and signs(card)
    idle = [row for row in sessions(relaying, card) if row.state == "authenticated"]
    assert len(sessions(relaying, card)) == key_relay.ATTEMPTS and len(idle) <= key_relay.ATTEMPTS
    relaying.turn(key_relay=True)
    assert workstation(campaign, name="another day").relayed().renew(card)["signed_in"]


def test_a_transaction_never_waits_longer_than_it_may(relaying: Workshop, workstation: Workstations) -> None:
    relaying.turn(key_relay=True, relay_delay=30)
    card = relaying.card(kept_by_ra=0x08)
    desk = workstation(relaying.campaign()).relayed()
    held, begin = [], time.monotonic()

    def note(command: bytes, now: Callable[[], float] = time.monotonic) -> None:
        nonlocal begin
        held.append((now() - begin, command))
        begin = now()

    card.hook = lambda moment, command, response: note(command)
    reset = card.reset

    def noted() -> bytes:
        note(b"reset")
        return reset()

    card.reset = noted  # type: ignore[method-assign]
    with pytest.raises(RaUnreachable):
        desk.renew(card)
    waits = [seconds for seconds, command in held if seconds > 1]
    assert [command for seconds, command in held if seconds > 1] == [b"reset"] * key_relay.ATTEMPTS
    assert all(2.9 < seconds < 3.5 for seconds in waits), waits


# -- an RA, or a line, that does harm -----------------------------------------------------------------------------


class Faults:
    """What can be wrong with one turn. Each is a `meddle` of `Line`."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._before: list[PlainAnswer] = []

    def wrong(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        true = ask()
        return self._with(true, proof="ab" * (len(asked.get("witness", "")) // 2)) if "witness" in asked else true

    def replayed(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        true = ask()
        if "witness" not in asked:
            return true
        self._before.append(true)
        old = self._before[0] if len(self._before) > 1 else self._with(true, proof="00" * (len(asked["witness"]) // 2))
        return old

    def for_another_card(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        true = ask()
        if "witness" not in asked:
            return true
        office = self._workshop.ra.office
        with office.lock:
            office.card_keys.enrol("chuid:another", 0x0A, "somebody", office.now())
            proof = office.card_keys.decrypt("chuid:another", bytes.fromhex(asked["witness"]))
        return self._with(true, proof=proof.hex())

    def late(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        ask()
        time.sleep(0.02)
        raise RaUnreachable("The Registration Authority at here did not answer in time.")

    def gone_before(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        raise RaUnreachable("The Registration Authority at here cannot be reached.")

    def gone_between(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        if "response" in asked:
            raise RaUnreachable("The Registration Authority at here broke off in the middle.")
        return ask()

    def doubts_the_card(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        true = ask()
        return self._with(true, authenticated=False) if "response" in asked else true

    def a_portal(self, asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        return PlainAnswer(302, None, None)

    @staticmethod
    def _with(answer: PlainAnswer, **fields: object) -> PlainAnswer:
        return PlainAnswer(answer.status, {**(answer.document or {}), **fields}, answer.date)


FAULTS = sorted(name for name in vars(Faults) if not name.startswith("_"))


@dataclass
class Watched:
    """Before each new request for leave, and at the end, another program tries to write to the card."""

    desk: Workstation
    tried: int = 0

    def __post_init__(self) -> None:
        ask = self.desk.desk.key_leave

        def key_leave(enquiry: Any) -> Any:
            self.try_to_write()
            return ask(enquiry)

        self.desk.desk.key_leave = key_leave  # type: ignore[method-assign]

    def try_to_write(self) -> None:
        other = self.desk.readers.connect(READER)
        for command in (PUT_DATA, GENERATE_P256):  # without a SELECT first: 6D00 where a reset has deselected PIV
            assert other.transmit(command) in (REFUSED, b"\x6d\x00")
        assert other.transmit(SELECT)[-2:] == SELECTED
        for command in (PUT_DATA, GENERATE_P256):
            assert other.transmit(command) == REFUSED
        other.close()
        self.tried += 1


def meddling(
    workshop: Workshop, workstation: Workstations, way: str, fault: str, at: Callable[[int], bool]
) -> tuple[VirtualCard, Workstation, Watched]:
    """A workstation whose line has this fault in the sessions (from 0) that `at` picks."""
    how, faults, seen = WAYS[way], Faults(workshop), list[str]()

    def meddle(asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
        if asked["session"] not in seen:
            seen.append(asked["session"])
        if at(len(seen) - 1):
            answer: PlainAnswer = getattr(faults, fault)(asked, ask)
            return answer
        return ask()

    card = workshop.card(profile=how["profile"], kept_by_ra=0x0A)
    desk = workstation(workshop.campaign(rekey=how["rekey"]), transport=Line(workshop.ra.url, meddle)).relayed()
    return card, desk, Watched(desk)


def cells() -> Iterator[tuple[str, str, int]]:
    for way, how in WAYS.items():
        for fault in FAULTS:
            for step in range(len(how["steps"])):
                yield way, fault, step


@pytest.mark.parametrize(("way", "fault", "step"), list(cells()))
def test_one_bad_turn_costs_one_more_session(
    relaying: Workshop, workstation: Workstations, way: str, fault: str, step: int
) -> None:
    card, desk, watched = meddling(relaying, workstation, way, fault, lambda session: session == step)
    old = certificate(card)
    outcome = desk.renew(card)
    assert outcome["way"] == way and outcome["signed_in"]
    assert_renewed(relaying, card, old)
    assert watched.tried == len(sessions(relaying, card)) == len(WAYS[way]["steps"]) + 1
    assert card.pin_tries == 3


@pytest.mark.parametrize("fault", ["wrong", "gone_before", "gone_between"])
@pytest.mark.parametrize(
    ("way", "step"), [(way, step) for way, how in WAYS.items() for step in range(len(how["steps"]))]
)
def test_bad_turns_without_end(relaying: Workshop, workstation: Workstations, way: str, fault: str, step: int) -> None:
    """The person reads a plain sentence, the card is locked, the old key signs or the ticket stands; and on a better
    line, at another computer, it is finished."""
    card, desk, watched = meddling(relaying, workstation, way, fault, lambda session: session >= step)
    (campaign,) = desk.campaigns.values()
    old = certificate(card)
    with then_nothing_is_open(desk, card), pytest.raises((RaUnreachable, ManagementKeyRefused)) as caught:
        desk.renew(card, inserted=True)
    assert "smartcard" in caught.value.message and caught.value.advice
    assert not {"Traceback", "HTTP", "0x", "witness"} & set(caught.value.message.split())
    assert watched.tried == len(sessions(relaying, card)) <= step + 2 * (renewing.RA_RETRIES + 1)
    if WAYS[way]["steps"][step] in ("ticket", "generate", "stage") or way == "A":
        assert certificate(card) == old and signs(card)
    states = [ticket.state for ticket in relaying.tickets(card)]
    assert len(states) == 1 and states[0] != "closed"
    assert card.pin_tries == 3
    other = workstation(campaign, name="elsewhere").relayed()
    assert other.renew(card)["signed_in"]
    assert_renewed(relaying, card, old)


@pytest.mark.parametrize("nonsense", [{}, {"proof": "zz"}, {"proof": "00" * 8, "challenge": "00" * 16}, {"proof": 7}])
def test_an_answer_that_makes_no_sense(
    relaying: Workshop, workstation: Workstations, nonsense: dict[str, object]
) -> None:
    card = relaying.card(kept_by_ra=0x0A)
    line = Line(relaying.ra.url, lambda asked, ask: PlainAnswer(200, nonsense, None))
    desk = workstation(relaying.campaign(), transport=line).relayed()
    with then_nothing_is_open(desk, card), pytest.raises(RaMisbehaved) as caught:
        desk.renew(card, inserted=True)
    assert "cannot be understood" in caught.value.message


def test_the_ra_ends_in_the_middle_of_the_transaction(
    relaying: Workshop, workstation: Workstations, tmp_path: Any
) -> None:
    """A real end, and a real new start on what it had written down."""
    folder, ended = tmp_path / "mortal", list[bool]()
    with MockRa(folder, knobs=Knobs(key_relay=True)) as ra:
        mortal = Workshop(ra, tmp_path)
        card = mortal.card(kept_by_ra=0x0A)
        old, campaign = certificate(card), mortal.campaign()

        def meddle(asked: dict[str, Any], ask: Callable[[], PlainAnswer]) -> PlainAnswer:
            if "response" in asked and len(line.asked) > 2:  # in the second transaction, the one that generates
                ra.stop()
                ended.append(True)
            return ask()

        line = Line(ra.url, meddle)
        desk = Workstation(mortal, tmp_path, {campaign.campaign.id: campaign}, transport=line).relayed()
        with then_nothing_is_open(desk, card), pytest.raises(RaUnreachable):
            desk.renew(card, inserted=True)
    assert ended and certificate(card) == old and signs(card)
    with MockRa(folder, knobs=Knobs(key_relay=True), port=ra.port) as again:
        mortal.ra, line.meddle = again, None
        assert desk.renew(card)["signed_in"]
        assert_renewed(mortal, card, old)
    line.close()


# -- who gets no leave ------------------------------------------------------------------------------------------------


def ask_leave(
    desk: Workstation, card: VirtualCard, step: str, whose: VirtualCard | None = None, passcode: str = PIN
) -> Any:
    """A request for leave for `card`, signed by the 9A key of the card `whose`; the RA's answer."""
    return desk.desk.key_leave(signed_request(desk, card, step, whose, passcode))


def signed_request(
    desk: Workstation, card: VirtualCard, step: str, whose: VirtualCard | None = None, passcode: str = PIN
) -> Any:
    signer = whose or card
    desk.put_in(signer)
    connection = desk.readers.connect(READER)
    try:
        driver, own = desk.open_card(connection), x509.load_der_x509_certificate(certificate(signer, AUTHENTICATION))
        key = own.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        with Pin(passcode) as pin, driver.signing(pin) as session:
            credential = Credential(own, (), card_key(session, Slot("9a"), key))
            wish = private.KeyLeaveRequest(card=identity(card), step=step)
            return desk.desk.enquiry(credential, private.KEY_LEAVE, wish)
    finally:
        connection.close()
        desk.take_out()


def begun(relaying: Workshop, workstation: Workstations, event: int) -> tuple[Workstation, VirtualCard]:
    """A card whose renewal by way D ended at this event."""
    card = relaying.card(kept_by_ra=0x0A)
    desk = workstation(relaying.campaign()).relayed()
    with pytest.raises(Killed):
        desk.renew(card, cut=Cut(event))
    return desk, card


GRANTED, ARMED, GENERATED, ISSUED = 2, 3, 5, 7


def relay(desk: Workstation, **fields: str) -> PlainAnswer:
    address = f"{desk.workshop.ra.origin}/key-relay"
    answer: PlainAnswer = desk.transport.post(address, json.dumps(fields).encode(), "application/json")
    return answer


def test_no_ticket_no_leave(relaying: Workshop, workstation: Workstations) -> None:
    card, desk = relaying.card(kept_by_ra=0x0A), workstation(relaying.campaign())
    for step in ("ticket", "generate", "stage", "store", "move", "resume", "return", "", "x" * 300):
        with pytest.raises(RaRefused) as caught:
            ask_leave(desk, card, step)
        assert "notAuthorized" in caught.value.fail_info
    assert sessions(relaying, card) == [] and audited(relaying, card) == ["key-relay.refused"] * 9


@pytest.mark.parametrize(
    ("event", "steps"),
    [
        (GRANTED, {"ticket", "stage", "resume"}),
        (ARMED, {"ticket", "stage", "generate", "reject", "resume"}),
        (ISSUED, {"ticket", "stage", "generate", "store", "move", "reject", "resume"}),
    ],
)
def test_a_ticket_serves_for_the_steps_that_its_state_calls_for(
    relaying: Workshop, workstation: Workstations, event: int, steps: set[str]
) -> None:
    desk, card = begun(relaying, workstation, event)
    for step in ("ticket", "stage", "generate", "store", "move", "reject", "return", "receipt", "resume", "certify"):
        if step in steps:
            assert ask_leave(desk, card, step) is not None
        else:
            with pytest.raises(RaRefused):
                ask_leave(desk, card, step)


def test_a_workstation_without_the_card(relaying: Workshop, workstation: Workstations) -> None:
    """It has another card, and knows everything that this one's has said."""
    desk, card = begun(relaying, workstation, ARMED)
    stranger = relaying.card(kept_by_ra=0x0A)
    with pytest.raises(RaRefused) as caught:
        ask_leave(workstation(relaying.campaign()), card, "generate", whose=stranger)
    assert "notAuthorized" in caught.value.fail_info
    assert relay(desk, session="00" * 32, witness="00" * 16).status == 403
    assert [row.state for row in sessions(relaying, card)] == ["authenticated"]  # the first one's own


def test_a_session_answers_once(relaying: Workshop, workstation: Workstations) -> None:
    desk, card = begun(relaying, workstation, ARMED)
    session = ask_leave(desk, card, "generate").session.hex()
    first = relay(desk, session=session, witness="11" * 16)
    assert first.status == 200 and set(first.document or {}) == {"proof", "challenge"}
    for again in ({"witness": "11" * 16}, {"witness": "22" * 16}):
        assert relay(desk, session=session, **again).status == 403
    wrong = relay(desk, session=session, response="33" * 16)
    assert wrong.document == {"authenticated": False}
    assert relay(desk, session=session, response="33" * 16).status == 403
    assert relay(desk, session=session, witness="11" * 16).status == 403
    assert sessions(relaying, card)[-1].state == "failed"


def test_sessions_are_remembered_over_a_new_start(relaying: Workshop, workstation: Workstations, tmp_path: Any) -> None:
    with MockRa(tmp_path / "ra", knobs=Knobs(key_relay=True)) as ra:
        workshop = Workshop(ra, tmp_path)
        card, campaign = workshop.card(kept_by_ra=0x0A), workshop.campaign()
        desk = Workstation(workshop, tmp_path, {campaign.campaign.id: campaign}).relayed()
        with pytest.raises(Killed):
            desk.renew(card, cut=Cut(ARMED))
        request = signed_request(desk, card, "generate")
        leave = desk.desk.key_leave(copy.deepcopy(request))
        assert leave is not None
        session = leave.session.hex()
        assert relay(desk, session=session, witness="11" * 16).status == 200
    with MockRa(tmp_path / "ra", knobs=Knobs(key_relay=True), port=ra.port) as workshop.ra:
        assert relay(desk, session=session, witness="11" * 16).status == 403
        known = sessions(workshop, card)
        assert desk.desk.key_leave(request) is None  # nor does the same request open another
        assert sessions(workshop, card) == known
        desk.transport.close()


def test_what_a_session_takes(relaying: Workshop, workstation: Workstations) -> None:
    desk, card = begun(relaying, workstation, ARMED)
    for fields in (
        {},
        {"witness": "11" * 16},
        {"session": "11" * 32},
        {"session": "zz", "witness": "11" * 16},
        {"session": "11" * 32, "witness": "11" * 16, "response": "11" * 16},
        {"session": "11" * 32, "witness": "11" * 5000},
    ):
        assert relay(desk, **fields).status == 403
    session = ask_leave(desk, card, "generate").session.hex()
    assert relay(desk, session=session, response="33" * 16).status == 403  # nothing was asked of the card yet
    assert relay(desk, session=session, witness="11" * 8).status == 403  # a block of another cipher
    assert sessions(relaying, card)[-1].state == "failed"


def test_a_new_leave_ends_the_one_before(relaying: Workshop, workstation: Workstations) -> None:
    desk, card = begun(relaying, workstation, ARMED)
    first, second = (ask_leave(desk, card, "generate").session.hex() for _ in range(2))
    assert relay(desk, session=first, witness="11" * 16).status == 403
    assert relay(desk, session=second, witness="11" * 16).status == 200


def test_a_session_ends_by_time(relaying: Workshop, workstation: Workstations) -> None:
    desk, card = begun(relaying, workstation, ARMED)
    late = ask_leave(desk, card, "generate").session.hex()
    relaying.turn(key_relay=True, clock_offset=61)
    assert relay(desk, session=late, witness="11" * 16).status == 403
    slow = ask_leave(desk, card, "generate").session.hex()
    assert relay(desk, session=slow, witness="11" * 16).status == 200
    relaying.turn(key_relay=True, clock_offset=72)
    assert relay(desk, session=slow, response="11" * 16).status == 403


def test_nobody_collects_answers(relaying: Workshop, workstation: Workstations) -> None:
    desk, card = begun(relaying, workstation, ARMED)
    for _ in range(MOST_PER_STEP):
        session = ask_leave(desk, card, "generate").session.hex()
        assert relay(desk, session=session, witness="11" * 16).status == 200
    with pytest.raises(RaRefused) as caught:
        ask_leave(desk, card, "generate")
    assert "systemUnavail" in caught.value.fail_info and "try again in an hour" in caught.value.message
    relaying.turn(key_relay=True, clock_offset=86400)
    desk.days_later = 1
    assert ask_leave(desk, card, "generate") is not None
    assert audited(relaying, card).count("key-relay.too-often") == 1


def test_a_card_whose_key_the_ra_does_not_keep(relaying: Workshop, workstation: Workstations) -> None:
    card = relaying.card()
    old = certificate(card)
    with pytest.raises(ManagementKeyRefused) as caught:
        workstation(relaying.campaign()).relayed().renew(card)
    assert "does not keep this smartcard's" in caught.value.message
    assert certificate(card) == old and signs(card)


def test_an_ra_that_keeps_no_keys(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(kept_by_ra=0x0A)
    with pytest.raises(ManagementKeyRefused) as caught:
        workstation(workshop.campaign()).relayed().renew(card)
    assert "does not keep" in caught.value.message and "configuration" in caught.value.advice


def test_two_cards_two_keys(relaying: Workshop, workstation: Workstations) -> None:
    first, second = (relaying.card(kept_by_ra=0x0A) for _ in range(2))
    assert key_of(relaying, first) != key_of(relaying, second)
