"""Renewals at a reader with keys of its own: the passcode is typed there, as often as the person was told, and never
comes near this computer."""

from __future__ import annotations

from typing import Any

import pytest

from renewagent.agent.typings import VERIFIES
from renewagent.errors import LastPinTry, PersonStopped, PinBlocked, RenewAgentError
from renewagent_drivers.management_key import FactoryKey, PinProtectedKey
from renewagent_fixtures.person import Said, ScriptedPerson
from renewagent_fixtures.pin_pad import Keys, PadBroken, VirtualPinPad
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.test_verifies import POLICIES, TABLE, WAYS, set_policy
from tests.flows.workshop import (
    AUTHENTICATION,
    OTHER_READER,
    PIN,
    READER,
    SIGNING,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    keep_management_key_behind_pin,
    signs,
)

WRONG = "11111111"


def with_pad(desk: Workstation, *typed: str | Keys) -> VirtualPinPad:
    pad = VirtualPinPad(typed or (PIN,))
    desk.readers.give_pad(READER, pad)
    return pad


def nobody(desk: Workstation, card: VirtualCard, **script: Any) -> ScriptedPerson:
    """Somebody who types nothing at the computer."""
    return desk.person(card, pins=(), **script)


@pytest.fixture
def desk(workshop: Workshop, workstation: Workstations) -> Workstation:
    return workstation(workshop.campaign(rekey="required"))


@pytest.fixture
def card(workshop: Workshop) -> VirtualCard:
    return workshop.card()


def card_tells(card: VirtualCard) -> bool:
    """Its keys' policies, that is: others are taken to have the standard's."""
    return card.profile == "extended"


def foretold(name: str, column: int, *, tells: bool, behind_pin: bool) -> int:
    """The numbers of the row that the renewal begins in: a card that turns out to be full goes from B to D later, an RA
    that turns out to know no tickets from `cr` to `kur`."""
    row = TABLE["B cr" if (name == "D cr" and tells) or name == "B kur" else name]
    return row[column if tells else 0] + (row[3] if behind_pin else 0)


def said(person: ScriptedPerson, kind: str) -> list[Said]:
    return [one for one in person.said if one.message.kind == kind]


# -- how often --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "behind_pin"), [(0, False), (1, False), (2, False), (0, True)])
@pytest.mark.parametrize("name", WAYS)
def test_as_often_as_was_said_beforehand(
    workshop: Workshop, workstation: Workstations, name: str, column: int, behind_pin: bool
) -> None:
    """The numbers are those of docs/renewal.md."""
    how, (signing, authentication) = WAYS[name], POLICIES[column]
    extended = column == 2
    card = workshop.card(profile="extended" if extended else str(how["profile"]), protects=bool(how["protects"]))
    set_policy(card, SIGNING, signing)
    set_policy(card, AUTHENTICATION, authentication)
    keep_management_key_behind_pin(card)
    if name == "D cr" and extended:
        card.fill(len(certificate(card)) + 600)
    if name == "B kur":
        workshop.turn(knows_no_tickets=True)
    key = PinProtectedKey() if behind_pin else FactoryKey()
    desk = workstation(workshop.campaign(rekey=str(how["rekey"])), management_key=key)
    pad, person = with_pad(desk), nobody(desk, card)
    desk.renew(card, person)
    workshop.restore()
    assert signs(card) and card.pin_tries == 3
    assert desk.tape.verifies == 0, "a passcode went through this computer"
    assert pad.asked == pad.sent == TABLE[name][column] + (TABLE[name][3] if behind_pin else 0)
    (before,) = said(person, "before")
    told = [one.message.advice for one in said(person, "pin-pad")]
    foreseen = foretold(name, column, tells=card_tells(card), behind_pin=behind_pin)
    assert f"asks for the passcode {foreseen} times:" in before.message.advice
    assert [f"This is number {n + 1} of {foreseen}." in advice for n, advice in enumerate(told)] == [
        n < foreseen for n in range(pad.asked)
    ]
    assert foreseen == pad.asked or name in ("B kur", "D cr") or column == 1


def test_the_numbers_that_are_told_are_the_guides() -> None:
    assert {f"{way.value} {body}": list(row) for (way, body), row in VERIFIES.items()} == {
        name: TABLE[name] for name in WAYS
    }


def test_a_pair_takes_more_and_that_is_said(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign(rekey="allowed", renews="pair"))
    pad, person = with_pad(desk), nobody(desk, card)
    desk.renew(card, person)
    (before,) = said(person, "before")
    assert "at least 3 times" in before.message.advice
    assert pad.asked == 3 + 2


# -- what goes wrong at the keys ------------------------------------------------------------------------------------


def test_the_card_and_its_tries_are_named(desk: Workstation, card: VirtualCard) -> None:
    person = nobody(desk, card)
    with_pad(desk)
    desk.renew(card, person)
    first = said(person, "pin-pad")[0].message
    assert first.body.startswith("Type the passcode (PIN) of the smartcard ending ")
    assert first.body.endswith("You have 3 tries.")
    assert first.advice.startswith("Type it on the card reader, then press OK there.")
    assert "pin" not in person.kinds


def test_a_wrong_one_is_asked_for_again(workshop: Workshop, desk: Workstation, card: VirtualCard) -> None:
    old = certificate(card)
    pad, person = with_pad(desk, WRONG, PIN), nobody(desk, card)
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    (wrong,) = said(person, "wrong-pin")
    assert wrong.message.body == "Your passcode was wrong. You have 2 tries left."
    assert pad.sent == TABLE["D cr"][0] + 1


def test_a_wrong_one_in_the_middle_of_a_session_is_asked_for_again(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card(protects=True)
    desk = workstation(workshop.campaign(rekey="allowed"))
    old = certificate(card)
    pad = with_pad(desk, PIN, WRONG, PIN)
    desk.renew(card, nobody(desk, card))
    assert_renewed(workshop, card, old)
    assert pad.sent > TABLE["A kur"][0]


def test_two_wrong_ones_leave_the_last_try(desk: Workstation, card: VirtualCard) -> None:
    """The same again, perhaps: nobody here can know, so the last try is left alone."""
    pad = with_pad(desk, WRONG)
    with pytest.raises(LastPinTry, match=r"wrong.*1 try left"):
        desk.renew(card, nobody(desk, card))
    assert (pad.asked, card.pin_tries) == (2, 1)


@pytest.mark.parametrize(("tries", "error"), [(1, LastPinTry), (0, PinBlocked)])
def test_nobody_is_asked_where_no_try_may_be_spent(
    desk: Workstation, card: VirtualCard, tries: int, error: type[Exception]
) -> None:
    pad = with_pad(desk)
    card.power_on()
    card.transmit(bytes.fromhex("00A4040005A000000308"))
    for _ in range(3 - tries):
        card.transmit(bytes.fromhex("0020008008") + WRONG.encode())
    card.power_off()
    with pytest.raises(error):
        desk.renew(card, nobody(desk, card))
    assert (pad.asked, card.pin_tries) == (0, tries)


def test_cancelled_at_the_reader(desk: Workstation, card: VirtualCard) -> None:
    old = certificate(card)
    pad = with_pad(desk, Keys.CANCEL)
    with pytest.raises(PersonStopped, match="cancelled on the card reader"):
        desk.renew(card, nobody(desk, card))
    assert (pad.asked, pad.sent, card.pin_tries) == (1, 0, 3)
    assert certificate(card) == old and signs(card)


def test_cancelled_in_the_middle_goes_on_the_next_time(
    workshop: Workshop, desk: Workstation, card: VirtualCard
) -> None:
    old = certificate(card)
    with_pad(desk, PIN, PIN, Keys.CANCEL)
    with pytest.raises(PersonStopped, match="Renewal is not finished"):
        desk.renew(card, nobody(desk, card))
    with_pad(desk)
    desk.renew(card, nobody(desk, card))
    assert_renewed(workshop, card, old)


def test_not_typed_in_time_is_asked_again(workshop: Workshop, desk: Workstation, card: VirtualCard) -> None:
    old = certificate(card)
    pad, person = with_pad(desk, Keys.NOTHING, Keys.NOTHING, PIN), nobody(desk, card)
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert [one.message.actions for one in said(person, "pin-not-typed")] == [("Ask again", "Stop")] * 2
    assert pad.asked == pad.sent + 2


def test_not_typed_in_time_and_no_more(desk: Workstation, card: VirtualCard) -> None:
    pad = with_pad(desk, Keys.NOTHING)
    with pytest.raises(PersonStopped, match="in time"):
        desk.renew(card, nobody(desk, card, agree={"pin-not-typed": False}))
    assert (pad.asked, card.pin_tries) == (1, 3)


@pytest.mark.parametrize("typed", ["12345", "123456789", ""])
def test_what_cannot_be_a_passcode_takes_no_try(
    workshop: Workshop, desk: Workstation, card: VirtualCard, typed: str
) -> None:
    old = certificate(card)
    pad, person = with_pad(desk, typed, PIN), nobody(desk, card)
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert len(said(person, "pin-impossible")) == 1
    assert "wrong-pin" not in person.kinds
    assert pad.asked == pad.sent + 1


def test_pulled_out_while_the_reader_waits(workshop: Workshop, desk: Workstation, card: VirtualCard) -> None:
    """Before anything has begun: it stops, and goes on from there the next time."""

    old = certificate(card)

    def pull() -> str:
        desk.take_out()
        return PIN

    pad = VirtualPinPad(pull)
    desk.readers.give_pad(READER, pad)
    with pytest.raises(RenewAgentError, match="removed"):
        desk.renew(card, nobody(desk, card))
    assert (pad.sent, card.pin_tries) == (1, 3)
    with_pad(desk)
    desk.renew(card, nobody(desk, card))
    assert_renewed(workshop, card, old)


def test_another_card_swapped_in_while_the_reader_waits_loses_no_try(
    workshop: Workshop, desk: Workstation, card: VirtualCard
) -> None:
    other = workshop.card()

    def swap() -> str:
        desk.take_out()
        desk.readers.insert(READER, other)
        return PIN

    desk.readers.give_pad(READER, VirtualPinPad(swap))
    with pytest.raises(RenewAgentError, match="removed"):
        desk.renew(card, nobody(desk, card))
    assert (card.pin_tries, other.pin_tries) == (3, 3)
    assert signs(other)


def test_pulled_out_half_way_it_goes_on_when_it_is_back(
    workshop: Workshop, desk: Workstation, card: VirtualCard
) -> None:
    typed: list[str] = []

    old = certificate(card)

    def third() -> str:
        typed.append(PIN)
        if len(typed) == 3:
            desk.take_out()
        return PIN

    desk.readers.give_pad(READER, VirtualPinPad(third))
    person = nobody(desk, card)
    desk.renew(card, person)
    assert_renewed(workshop, card, old)


# -- pads that do not serve -------------------------------------------------------------------------------------------


def broken() -> str:
    raise PadBroken


def test_keys_that_fail_give_way_to_the_computer(workshop: Workshop, desk: Workstation, card: VirtualCard) -> None:
    old = certificate(card)
    pad = VirtualPinPad(broken)
    desk.readers.give_pad(READER, pad)
    person = desk.person(card)
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert pad.asked == 1 and desk.tape.verifies == TABLE["D cr"][0]
    assert person.kinds.count("pin-pad-failed") == 1 and "pin" in person.kinds


def test_a_reader_that_does_not_understand_gives_way_as_well(
    workshop: Workshop, desk: Workstation, card: VirtualCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = certificate(card)
    with_pad(desk)
    monkeypatch.setattr(VirtualPinPad, "_typed", lambda self, *_: None)
    desk.renew(card, desk.person(card))
    assert_renewed(workshop, card, old)


def test_the_other_readers_keys_are_nobodys_business(workshop: Workshop, desk: Workstation, card: VirtualCard) -> None:
    old = certificate(card)
    pad = VirtualPinPad((PIN,))
    desk.readers.give_pad(OTHER_READER, pad)
    desk.renew(card)
    assert_renewed(workshop, card, old)
    assert pad.asked == 0
