"""Other programs at the same card: after us they find nobody logged in, and while they hold it we say so."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from renewagent.errors import CardBusy, LastPinTry, PersonStopped, RenewAgentError
from renewagent_drivers.management_key import FactoryKey, PinProtectedKey
from renewagent_fixtures.person import Said
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import (
    AUTHENTICATION,
    PIN,
    READER,
    SIGNING,
    Cut,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    keep_management_key_behind_pin,
)

REFUSED = b"\x69\x82"
SELECT = bytes.fromhex("00A4040005A000000308")
GENERATE_P256 = bytes.fromhex("0047009C05AC03800111")
PUT_DATA = bytes.fromhex("00DB3FFF095C035FC10A53020500")


def sign_command(slot: int) -> bytes:
    """GENERAL AUTHENTICATE over a digest, P-256."""
    block = b"\x7c\x24\x82\x00\x81\x20" + bytes(32)
    return bytes((0x00, 0x87, 0x11, slot, len(block))) + block + b"\x00"


@contextlib.contextmanager
def then_nothing_is_open(desk: Workstation, card: VirtualCard) -> Iterator[None]:
    """Whatever happens inside: afterwards another connection gets 6982 for everything that takes a right."""
    desk.put_in(card)
    try:
        yield
    finally:
        desk.put_in(card)
        other = desk.readers.connect(READER)
        commands = (sign_command(AUTHENTICATION), sign_command(SIGNING), GENERATE_P256, PUT_DATA)
        # Without a SELECT first, which would itself end a login on many cards; 6D00 where a reset has deselected PIV.
        for command in commands:
            assert other.transmit(command) in (REFUSED, b"\x6d\x00"), command.hex()
        assert other.transmit(SELECT)[-2:] == b"\x90\x00"
        for command in commands:
            assert other.transmit(command) == REFUSED, command.hex()
        other.close()
        desk.take_out()


def test_the_check_itself_can_fail(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    desk.put_in(card)
    ours, theirs = desk.readers.connect(READER), desk.readers.connect(READER)
    ours.transmit(SELECT)
    assert ours.transmit(bytes.fromhex("0020008008") + PIN.encode()) == b"\x90\x00"
    assert theirs.transmit(sign_command(AUTHENTICATION))[-2:] == b"\x90\x00"


@pytest.mark.parametrize("profile", ["plain", "extended"])
@pytest.mark.parametrize("rekey", ["required", "allowed"])
@pytest.mark.parametrize("behind_pin", [False, True])
def test_after_a_renewal(
    workshop: Workshop, workstation: Workstations, profile: str, rekey: str, behind_pin: bool
) -> None:
    card = workshop.card(protects=True, profile=profile)
    keep_management_key_behind_pin(card)
    key = PinProtectedKey() if behind_pin else FactoryKey()
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey), management_key=key)
    with then_nothing_is_open(desk, card):
        desk.renew(card, inserted=True)
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize("at", range(16))
def test_after_a_renewal_that_broke_off(workshop: Workshop, workstation: Workstations, at: int) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    with then_nothing_is_open(desk, card), pytest.raises(Killed):
        desk.renew(card, inserted=True, cut=Cut(at))


def test_after_a_wrong_passcode(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    with then_nothing_is_open(desk, card), pytest.raises(LastPinTry):
        desk.renew(card, desk.person(card, pins=("11112222", "33334444")), inserted=True)


def test_after_the_ra_refused(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(protects=True)
    workshop.turn(refuse="badCertTemplate")
    desk = workstation(workshop.campaign(rekey="allowed"))
    with then_nothing_is_open(desk, card), pytest.raises(RenewAgentError):
        desk.renew(card, inserted=True)


def test_a_program_that_holds_the_card_is_said_and_nothing_is_lost(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign(), patience=0.2)
    desk.put_in(card)
    other = desk.readers.connect(READER)
    started = time.monotonic()
    with other.transaction(), pytest.raises(CardBusy, match="Another program is using the smartcard") as told:
        desk.renew(card, inserted=True)
    assert time.monotonic() - started < 2
    assert told.value.code == "RA-CARD-BUSY"
    assert "Close other programs" in told.value.advice
    other.close()
    desk.renew(card, inserted=True)
    desk.take_out()
    assert_renewed(workshop, card, old)


class Holder:
    """Another program, which begins a transaction when told and keeps it."""

    def __init__(self, desk: Workstation) -> None:
        self._other = desk.readers.connect(READER)
        self._held = contextlib.ExitStack()
        self.held = 0

    def take(self) -> None:
        self._held.enter_context(self._other.transaction())
        self.held += 1

    def let_go(self) -> None:
        """By itself: nobody made it."""
        self._held.close()


@pytest.mark.parametrize("step", [1, 2])
def test_before_the_card_is_changed_it_ends_the_renewal_and_nothing_else(
    workshop: Workshop, workstation: Workstations, step: int
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign(), patience=0.1)
    desk.put_in(card)
    other = Holder(desk)
    person = desk.person(card, on={"progress": lambda said: other.take() if said.step == step else None})
    with pytest.raises(CardBusy, match="Another program is using the smartcard"):
        desk.renew(card, person, inserted=True)
    other.let_go()
    assert (desk.kinds[-1], card.pin_tries, certificate(card)) == ("stopped", 3, old)
    desk.renew(card, inserted=True)
    desk.take_out()
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize(
    ("profile", "step"), [*(("plain", step) for step in (3, 4, 5, 6)), *(("extended", step) for step in range(2, 8))]
)
@pytest.mark.parametrize("patient", [True, False])
def test_in_the_middle_it_is_said_and_when_it_lets_go_the_renewal_goes_on(
    workshop: Workshop, workstation: Workstations, profile: str, step: int, patient: bool
) -> None:
    card = workshop.card(profile=profile)
    old, desk = certificate(card), workstation(workshop.campaign(), patience=0.1)
    desk.put_in(card)
    other = Holder(desk)

    def said_so(said: Said) -> None:
        assert "Close it. The renewal then goes on by itself." in said.message.body
        if patient:
            threading.Timer(1.0, other.let_go).start()
        else:
            person.leave()

    def take(said: Said) -> None:
        if said.step == step and not other.held:
            other.take()

    person = desk.person(card, on={"progress": take, "card-busy": said_so})
    outcome, error = None, None
    try:
        outcome = desk.renew(card, person, inserted=True)
    except RenewAgentError as problem:
        error = problem
    other.let_go()
    assert (other.held, card.pin_tries) == (1, 3)
    if "card-busy" in person.kinds and not patient:
        assert isinstance(error, PersonStopped) and desk.kinds[-1] == "interrupted"
    elif "card-busy" in person.kinds:
        assert outcome is not None and outcome["signed_in"] and person.kinds.count("card-busy") == 1
    if outcome is None:
        desk.renew(card, inserted=True)
    desk.take_out()
    assert_renewed(workshop, card, old)


def test_a_program_that_resets_the_card_now_and_then_does_no_harm(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    desk.put_in(card)
    other = desk.readers.connect(READER)

    def reset(said: object) -> None:
        with other.transaction() as transaction:
            transaction.reset_at_end()

    outcome = desk.renew(card, desk.person(card, on={"progress": reset}), inserted=True)
    desk.take_out()
    assert outcome["signed_in"]
    assert_renewed(workshop, card, old)
