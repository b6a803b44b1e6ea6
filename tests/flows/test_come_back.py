"""The RA says "come back at T": T is told, nothing at all is sent to it before, across restarts, and then it is asked
without a passcode whether it is ready; only then is the person wanted again."""

from __future__ import annotations

import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from renewagent.agent import words
from renewagent.agent.full_inspection import Inspection, Inspector
from renewagent.agent.ra_desk import utc_now
from renewagent.agent.ra_patience import PatientTransport
from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.unfinished import asked_in_time, with_the_journal
from renewagent.errors import PersonStopped
from renewagent.model import Verdict
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from renewagent_fixtures.person import Said, ScriptedPerson
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import (
    CONTACT,
    READER,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
)

HOUR = 3600


@dataclass
class Clock:
    """Both sides' clock, slow at first so that it is never ahead of openssl's, and on a day that does not end soon."""

    workshop: Workshop
    knobs: dict[str, Any] = field(default_factory=dict)
    ahead: float = field(default_factory=lambda: _noon() - utc_now().timestamp())
    first: float = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.ahead

    def now(self) -> datetime:
        return utc_now() + timedelta(seconds=self.ahead)

    def turn_on(self, seconds: float, **knobs: Any) -> None:
        self.ahead += seconds
        self.knobs = knobs or self.knobs
        self.workshop.turn(clock_offset=self.ahead, **self.knobs)


@dataclass
class Line:
    """The way to the RA, watched."""

    inner: HttpRaTransport
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.inner.url

    def exchange(self, octets: bytes) -> bytes:
        self.asked.append("CMP")
        return self.inner.exchange(octets)

    def get_json(self, url: str) -> PlainAnswer:
        self.asked.append(url.partition("?")[0].rpartition("/")[2])
        return self.inner.get_json(url)

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        self.asked.append("POST")
        return self.inner.post(url, body, content_type)

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        self.asked.append("POST")
        return self.inner.post_within(url, body, content_type, seconds)

    def close(self) -> None:
        self.inner.close()


def _noon() -> float:
    """Twenty seconds past the latest noon here that is six hours ago."""
    early = utc_now().astimezone() - timedelta(hours=6)
    noon = early.replace(hour=12, minute=0, second=20)
    return (noon if noon <= early else noon - timedelta(days=1)).timestamp()


@pytest.fixture
def clock(workshop: Workshop) -> Clock:
    return Clock(workshop)


class Place:
    """A workstation that is started afresh for every renewal: what it remembers is on its disk."""

    def __init__(self, workstation: Workstations, clock: Clock, *campaigns: Any) -> None:
        self._make, self._clock, self._campaigns = workstation, clock, campaigns
        clock.turn_on(0)
        self.start()

    def start(self) -> None:
        self.desk: Workstation = self._make(*self._campaigns, name="the-same")
        self.line = Line(self.desk.transport)
        transport = PatientTransport(self.line, self.desk.folder / "until.json", self._clock.now)
        self.desk.desk._transport = transport
        self.desk.desk.now = self._clock.now


def seen(person: ScriptedPerson, kind: str) -> list[str]:
    return [said.message.text for said in person.said if said.message.kind == kind]


def test_a_busy_ra_is_left_alone_before_anything_is_begun(
    workshop: Workshop, workstation: Workstations, clock: Clock
) -> None:
    card = workshop.card()
    old, before = certificate(card), card.image
    place = Place(workstation, clock, workshop.campaign())
    clock.turn_on(0, busy=2 * HOUR)
    until = clock.now() + timedelta(hours=2)
    when = moment_in_words(until.astimezone(), clock.now())
    person = place.desk.person(card, stop_at=frozenset({"busy-ra"}))
    with pytest.raises(PersonStopped, match="Nothing was changed") as told:
        place.desk.renew(card, person)
    assert place.line.asked == ["status"]
    assert when in seen(person, "busy-ra")[0] and when in told.value.advice
    assert (person.kinds, place.desk.tape.verifies, place.desk.kinds) == (["busy-ra"], 0, ["stopped"])
    assert_untouched(workshop, card, before)

    clock.turn_on(HOUR, busy=None)  # it would answer now, but that is not what it said
    place.start()
    person = place.desk.person(card, stop_at=frozenset({"busy-ra"}))
    with pytest.raises(PersonStopped):
        place.desk.renew(card, person)
    assert place.line.asked == []
    assert moment_in_words(until.astimezone(), clock.now()) in seen(person, "busy-ra")[0]  # "today" may begin meanwhile

    clock.turn_on(HOUR + 1)
    place.start()
    assert place.desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)


def test_it_goes_on_by_itself_when_the_time_has_come(
    workshop: Workshop, workstation: Workstations, clock: Clock
) -> None:
    card = workshop.card()
    old, place = certificate(card), Place(workstation, clock, workshop.campaign())
    clock.turn_on(0, busy=HOUR)
    waits = iter(((HOUR, {"busy": HOUR}), (HOUR, {"busy": None})))

    def time_passes(said: Said) -> None:
        seconds, knobs = next(waits)
        asked.append(list(place.line.asked))
        clock.turn_on(seconds, **knobs)

    asked: list[list[str]] = []
    person = place.desk.person(card, on={"busy-ra": time_passes})
    assert place.desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert asked == [["status"], ["status", "nonce"]]
    assert person.kinds == ["busy-ra", "busy-ra", "before", "pin", "sign-in-again", "insert-again", "pin", "done"]


@pytest.mark.parametrize("step", [1, 3, 6])
@pytest.mark.parametrize("restart", [False, True])
def test_it_may_become_busy_in_the_middle(
    workshop: Workshop, workstation: Workstations, clock: Clock, step: int, restart: bool
) -> None:
    card = workshop.card()
    old, place = certificate(card), Place(workstation, clock, workshop.campaign())

    def busy(said: Said) -> None:
        if said.step == step and clock.ahead == clock.first:
            clock.turn_on(0, busy=HOUR)

    def time_passes(said: Said) -> None:
        if restart:
            person.leave()
        else:
            clock.turn_on(HOUR, busy=None)

    person = place.desk.person(card, on={"progress": busy, "busy-ra": time_passes})
    if restart:
        with pytest.raises(PersonStopped):
            place.desk.renew(card, person)
        clock.turn_on(HOUR / 2, busy=None)
        place.start()
        with pytest.raises(PersonStopped):
            place.desk.renew(card, place.desk.person(card, stop_at=frozenset({"busy-ra"})))
        assert place.line.asked == []
        clock.turn_on(HOUR / 2 + 1)
        place.start()
        person = place.desk.person(card)
    assert place.desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert card.pin_tries == 3


WAYS = pytest.mark.parametrize(("rekey", "protects"), [("required", False), ("allowed", True)], ids=["D", "A"])


@WAYS
def test_a_request_that_is_looked_at_is_asked_after_when_the_ra_said(
    workshop: Workshop, workstation: Workstations, clock: Clock, rekey: str, protects: bool
) -> None:
    card = workshop.card(protects=protects)
    old, place = certificate(card), Place(workstation, clock, workshop.campaign(rekey=rekey))
    clock.turn_on(0, approval=True, check_after=2 * HOUR)
    heard: list[tuple[str, int]] = []

    def waits(said: Said) -> None:
        heard.append((said.message.body, len(place.line.asked)))
        if len(heard) == 2:
            person.leave()

    person = place.desk.person(card, on={"waiting": waits})
    with pytest.raises(PersonStopped):
        place.desk.renew(card, person)
    assert "in a few seconds" in heard[0][0]  # a waiting answer names no time (RFC 9810 5.3.22): the address does
    when = moment_in_words((clock.now() + timedelta(hours=2)).astimezone(), clock.now())
    assert when[:8] in heard[1][0] or when in heard[1][0]
    assert place.desk.kinds[-2:] == ["told-to-wait", "interrupted"]
    verifies = place.desk.tape.verifies

    clock.turn_on(HOUR)
    place.start()
    with pytest.raises(PersonStopped):
        place.desk.renew(card, place.desk.person(card, stop_at=frozenset({"waiting"})))
    assert (place.line.asked, place.desk.tape.verifies) == ([], 0)

    clock.turn_on(HOUR + 60)  # not ready after all: a new time, and no passcode for it
    place.start()
    person = place.desk.person(card)
    count = 0

    def again(said: Said) -> None:
        nonlocal count
        count += 1
        if count == 2:
            assert place.line.asked[-1] == "status" and "CMP" not in place.line.asked
            assert place.desk.tape.verifies == 0
            approve(workshop)
            clock.turn_on(2 * HOUR + 1)

    person.on = {"waiting": again}
    assert place.desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert person.kinds[:3] == ["waiting", "waiting", "pin"]
    assert verifies > 0


def looked_at(place: Place, clock: Clock, card: VirtualCard) -> Inspection:
    """What the agent's child finds."""
    desk, now = place.desk, clock.now()
    desk.put_in(card)
    ask_ra = asked_in_time(desk.desk.standing, desk.folder, now)
    inspector = Inspector(desk.open_card, [a.campaign for a in desk.campaigns.values()], (), ask_ra)
    with closing(desk.readers.connect(READER)) as connection:
        return with_the_journal(inspector.inspect(connection, now), desk.folder, now)


@WAYS
def test_the_agent_asks_when_the_time_has_come_and_calls_the_person_back(
    workshop: Workshop, workstation: Workstations, clock: Clock, rekey: str, protects: bool
) -> None:
    card = workshop.card(protects=protects)
    old, place = certificate(card), Place(workstation, clock, workshop.campaign(rekey=rekey))
    clock.turn_on(0, approval=True, check_after=2 * HOUR)
    person = place.desk.person(card)
    person.on = {"waiting": lambda said: person.leave() if "few seconds" not in said.message.body else None}
    with pytest.raises(PersonStopped):
        place.desk.renew(card, person)
    until = clock.now() + timedelta(hours=2)

    found: dict[int, tuple[Inspection, list[str]]] = {}
    for ahead in (HOUR, HOUR + 1, 2 * HOUR + 60):
        clock.turn_on(ahead)
        if len(found) == 2:
            approve(workshop)
        place.start()
        verifies = place.desk.tape.verifies
        found[len(found)] = (looked_at(place, clock, card), place.line.asked)
        assert place.desk.tape.verifies == verifies
        if len(found) == 2:
            again = clock.now() + timedelta(hours=2)
    (early, nothing), (late, asked), (ready, asked_too) = (found[number] for number in range(3))
    assert (early.judgement.finding.reason, nothing) == (words.RA_LOOKS_AT_IT, [])
    assert early.ask_after is not None and abs(early.ask_after - until) < timedelta(seconds=30)
    assert early.document()["ask_after"] == early.ask_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (late.judgement.finding.reason, asked) == (words.RA_LOOKS_AT_IT, ["status"])
    assert late.ask_after is not None and abs(late.ask_after - again) < timedelta(seconds=30)
    assert (ready.judgement.finding.reason, ready.ask_after, asked_too) == (words.RA_IS_READY, None, ["status"])
    assert {one.judgement.finding.verdict for one in (early, late, ready)} == {Verdict.PART_WAY}
    message = words.for_finding(ready.judgement.finding, None, clock.now(), clock.now(), CONTACT)
    assert (message.kind, message.actions[0]) == ("ra-ready", "Continue")

    place.desk.take_out()
    place.start()
    assert place.desk.renew(card)["signed_in"]
    assert_renewed(workshop, card, old)


def approve(workshop: Workshop) -> None:
    """The officer says yes to all."""
    request = urllib.request.Request(f"{workshop.ra.origin}/admin/approve", data=b"{}")  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        assert answer.status == 200
