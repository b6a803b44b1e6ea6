"""The passcode: mistyped, typed again, locked, not typed at all; and found nowhere that it does not belong."""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from renewagent.agent.prompts import ChannelPrompter, serve_channel
from renewagent.errors import LastPinTry, PersonStopped, PinBlocked, RenewAgentError
from renewagent.pin import Pin
from renewagent_fixtures.person import ScriptedPerson
from tests.flows import test_renewal_way_a, test_renewal_way_d
from tests.flows.workshop import (
    PIN,
    Cut,
    Killed,
    Workshop,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
)

WRONG, WRONG_TOO = "11112222", "33334444"
VERIFIES = test_renewal_way_d.VERIFIES


def test_a_mistyped_passcode_is_asked_for_again(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    person = desk.person(card, pins=(WRONG, PIN))
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert [said.tries_left for said in person.said if said.how == "pin"] == [3, 2, 3]
    assert "Your passcode was wrong. You have 2 tries left." in person.heard
    assert desk.tape.verifies == VERIFIES + 1


def test_what_the_card_has_refused_is_not_sent_again(workshop: Workshop, workstation: Workstations) -> None:
    card, left = workshop.card(), []
    old, desk = certificate(card), workstation(workshop.campaign())
    person = desk.person(
        card, pins=(WRONG, WRONG, WRONG, PIN), on={"pin-known-wrong": lambda said: left.append(card.pin_tries)}
    )
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert left == [2, 2]
    assert desk.tape.verifies == VERIFIES + 1
    assert "It was not tried again, and no try was used." in person.heard


@pytest.mark.parametrize("typed", ["12345", "123456789", "1234567é"])
def test_what_cannot_be_a_passcode_is_asked_for_again(
    workshop: Workshop, workstation: Workstations, typed: str
) -> None:
    card, left = workshop.card(), []
    old, desk = certificate(card), workstation(workshop.campaign())
    person = desk.person(card, pins=(typed, PIN), on={"pin-impossible": lambda said: left.append(card.pin_tries)})
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert (left, desk.tape.verifies) == ([3], VERIFIES)


def test_the_last_try_is_not_spent(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    card.set_pin_tries(1)
    before, desk = card.image, workstation(workshop.campaign())
    person = desk.person(card)
    with pytest.raises(LastPinTry, match="1 try left") as told:
        desk.renew(card, person)
    assert "unlock" in told.value.advice
    assert (person.kinds, desk.tape.verifies, card.image == before) == ([], 0, True)


def test_two_wrong_ones_leave_the_last_try_alone(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    person = desk.person(card, pins=(WRONG, WRONG_TOO, PIN))
    with pytest.raises(LastPinTry, match="1 try left"):
        desk.renew(card, person)
    assert (card.pin_tries, desk.tape.verifies, person.kinds.count("pin")) == (1, 2, 2)
    assert desk.kinds[-1] == "stopped"


def test_a_locked_card_asks_for_nothing(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    card.block_pin()
    desk = workstation(workshop.campaign())
    person = desk.person(card)
    with pytest.raises(PinBlocked, match="no tries left"):
        desk.renew(card, person)
    assert (person.kinds, desk.tape.verifies) == ([], 0)


@pytest.mark.parametrize("pins", [(), ("",)])
def test_whoever_cancels_at_the_question_leaves_the_card_as_it_was(
    workshop: Workshop, workstation: Workstations, pins: tuple[str, ...]
) -> None:
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign())
    with pytest.raises(PersonStopped):
        desk.renew(card, desk.person(card, pins=pins))
    assert (desk.kinds[-1], workshop.tickets(card)) == ("stopped", [])
    assert_untouched(workshop, card, before)


def test_mistyped_at_sign_in_it_is_asked_for_again(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    person = desk.person(card, pins=(PIN, WRONG, WRONG, PIN))
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert person.kinds[-5:] == ["wrong-pin", "pin", "pin-known-wrong", "pin", "done"]
    assert card.pin_tries == 3


class Keeper(ScriptedPerson):
    """Remembers the Pins that were handed over."""

    def ask_pin(self, *asked: object) -> Pin:
        pin = super().ask_pin(*asked)  # type: ignore[arg-type]
        self.handed = [*getattr(self, "handed", []), pin]
        return pin


def test_it_is_dropped_before_the_card_is_taken_out_and_at_the_end(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    desk, kept = workstation(workshop.campaign()), []
    person = Keeper(pins=(PIN,), insert=lambda reader, wanted: desk.put_in(card))

    def remove(reader: str, wanted: object) -> None:
        kept.append([pin.wiped for pin in person.handed])
        desk.take_out()

    person.remove = remove
    desk.renew(card, person)
    assert kept == [[True]]
    assert [pin.wiped for pin in person.handed] == [True, True]


@pytest.mark.parametrize("kind", ["card-busy", "killed", "stopped"])
def test_it_is_dropped_however_the_renewal_ends(workshop: Workshop, workstation: Workstations, kind: str) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign(), patience=0.05)
    holder = desk.readers
    person = Keeper(pins=(PIN,), remove=desk.take_out, insert=lambda reader, wanted: desk.put_in(card))
    if kind == "card-busy":
        held = []

        def hold(said: object) -> None:
            connection = holder.connect("Desk reader")
            transaction = connection.transaction()
            transaction.__enter__()
            held.append((connection, transaction))

        person.on = {"pin": hold}
        with pytest.raises(RenewAgentError, match="Another program is using"):
            desk.renew(card, person)
    elif kind == "killed":
        with pytest.raises(Killed):
            desk.renew(card, person, cut=Cut(3))
    else:
        person.on = {"progress": lambda said: person.leave() if said.step == 3 else None}
        person.stop_at = frozenset({"sign-in-again"})
        with pytest.raises(PersonStopped):
            desk.renew(card, person)
    assert [pin.wiped for pin in person.handed] == [True] * len(person.handed)
    assert person.handed


# -- it is nowhere ----------------------------------------------------------------------------------------------------


def traces_of(pin: str) -> list[bytes]:
    """The PIN as it could lie about: plain, in hex, padded as the card takes it."""
    octets = pin.encode()
    return [octets, octets.hex().encode(), octets.hex().upper().encode(), repr(list(octets)).encode()]


class Tap:
    """Stands between the two ends of the message channel and keeps what passes."""

    def __init__(self) -> None:
        self.child, near = socket.socketpair()
        self.person, far = socket.socketpair()
        self.to_person, self.to_child = bytearray(), bytearray()
        self._threads = [
            threading.Thread(target=self._pump, args=(near, far, self.to_person)),
            threading.Thread(target=self._pump, args=(far, near, self.to_child)),
        ]
        self._ends = (near, far)
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        while octets := source.recv(65536):
            kept += octets
            sink.sendall(octets)
        sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Both ends are closed already."""
        for thread in self._threads:
            thread.join(5)
        for end in self._ends:
            end.close()


@contextmanager
def channel(person: ScriptedPerson) -> Iterator[tuple[ChannelPrompter, Tap]]:
    """The product's own channel to a person in another thread, tapped."""
    tap = Tap()
    server = threading.Thread(target=serve_channel, args=(tap.person, person))
    server.start()
    prompter = ChannelPrompter(tap.child)
    try:
        yield prompter, tap
    finally:
        prompter.close()
        server.join(5)
        tap.person.close()
        tap.close()


@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_it_is_in_no_log_no_journal_and_no_message_but_the_answer_to_the_question(
    workshop: Workshop, workstation: Workstations, rekey: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    card = workshop.card(protects=True)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    with channel(desk.person(card, pins=(WRONG, PIN))) as (prompter, tap):
        document = desk.renew(card, prompter)
    assert_renewed(workshop, card, old)
    expected = test_renewal_way_d.VERIFIES if rekey == "required" else test_renewal_way_a.VERIFIES_BY_KUR
    assert desk.tape.verifies == expected + 1
    for pin in (WRONG, PIN):
        answers = tap.to_child.count(b'{"pin_octets": 8}\n' + pin.encode())
        assert (answers, tap.to_child.count(pin.encode())) == ((1, 1) if pin == WRONG else (2, 2))
        for trace in traces_of(pin):
            assert trace not in tap.to_person
            assert trace not in caplog.text.encode()
            assert trace not in repr([record.__dict__ for record in caplog.records]).encode()
            assert trace not in repr(document).encode()
            for file in desk.folder.rglob("*"):
                assert not file.is_file() or trace not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("pins", "tries", "error"),
    [((WRONG, WRONG_TOO, PIN), 3, LastPinTry), ((WRONG,), 2, LastPinTry), (("123", WRONG, WRONG_TOO), 3, LastPinTry)],
)
def test_it_is_in_no_error_and_no_traceback(
    workshop: Workshop,
    workstation: Workstations,
    pins: tuple[str, ...],
    tries: int,
    error: type[RenewAgentError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    card = workshop.card()
    card.set_pin_tries(tries)
    desk = workstation(workshop.campaign())
    person = desk.person(card, pins=pins)
    with pytest.raises(error) as told:
        desk.renew(card, person)
    shown = "".join(traceback.format_exception(told.value))
    written = b"".join(file.read_bytes() for file in desk.folder.rglob("*") if file.is_file())
    for pin in {*pins, PIN} - {"123"}:
        for trace in traces_of(pin):
            assert trace not in written
            assert trace not in person.heard.encode()
            assert trace not in caplog.text.encode()
            assert trace not in shown.encode()
