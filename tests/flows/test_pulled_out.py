"""The card is pulled out: at every question, at every step, in the middle of a command; and another one is put in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from renewagent.errors import CardRemoved, NoCard
from renewagent.renewal import MOST_ATTEMPTS
from renewagent_fixtures.person import Said
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows.workshop import (
    OTHER_READER,
    READER,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
    identity,
)

NOTHING_CHANGED = "Renewal stopped because the smartcard was removed. Nothing was changed on it."


class Puller:
    """Pulls the card out once, just before or after the `nth` command with this instruction byte (from 1)."""

    def __init__(self, desk: Workstation, card: VirtualCard, instruction: int, nth: int, when: Moment) -> None:
        self._desk = desk
        self._wanted = (when, instruction)
        self._left = nth
        card.hook = self

    def __call__(self, moment: Moment, command: bytes, response: bytes) -> None:
        if (moment, command[1]) != self._wanted or command[0] & 0x10:
            return
        self._left -= 1
        if self._left == 0:
            self._desk.lose_contact()
            raise CardRemoved("The smartcard was removed.")


@pytest.mark.parametrize("at", ["before", "pin"])
@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_at_a_question_before_anything_was_done(
    workshop: Workshop, workstation: Workstations, at: str, rekey: str
) -> None:
    card = workshop.card(protects=True)
    before, desk = card.image, workstation(workshop.campaign(rekey=rekey))
    with pytest.raises(CardRemoved) as told:
        desk.renew(card, desk.person(card, on={at: lambda said: desk.take_out()}))
    assert (told.value.message, desk.kinds[-1]) == (NOTHING_CHANGED, "stopped")
    assert (told.value.code, told.value.retry.value) == ("RA-CARD-REMOVED", "now")
    assert workshop.tickets(card) == []
    assert_untouched(workshop, card, before)


SELECT, GET_DATA, VERIFY, GENERATE, PUT_DATA, AUTHENTICATE = 0xA4, 0xCB, 0x20, 0x47, 0xDB, 0x87


@pytest.mark.parametrize("when", [Moment.BEFORE, Moment.AFTER])
@pytest.mark.parametrize(
    ("instruction", "nth"), [(AUTHENTICATE, 1), (AUTHENTICATE, 2), (AUTHENTICATE, 3), (VERIFY, 3), (SELECT, 8)]
)
def test_in_the_middle_before_the_new_key(
    workshop: Workshop, workstation: Workstations, instruction: int, nth: int, when: Moment
) -> None:
    card = workshop.card()
    old, before, desk = certificate(card), card.image, workstation(workshop.campaign())
    Puller(desk, card, instruction, nth, when)
    with pytest.raises(CardRemoved) as told:
        desk.renew(card)
    assert (told.value.message, desk.kinds[-1]) == (NOTHING_CHANGED, "stopped")
    assert_untouched(workshop, card, before)
    card.hook = None
    desk.renew(card)
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize("when", list(Moment))
@pytest.mark.parametrize(("instruction", "nth"), [(GENERATE, 1), (PUT_DATA, 1)])
def test_in_the_middle_of_a_change_it_is_waited_for_and_goes_on_by_itself(
    workshop: Workshop, workstation: Workstations, instruction: int, nth: int, when: Moment
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    Puller(desk, card, instruction, nth, when)
    person = desk.person(card)
    outcome = desk.renew(card, person)
    assert (outcome["state"], outcome["signed_in"]) == ("done", True)
    assert_renewed(workshop, card, old)
    assert [said.message.kind for said in person.said if said.how == "insert"] == ["pulled-unsafe", "insert-again"]
    assert person.kinds.count("pin") == 2  # the PIN in hand serves for the same card; at sign-in it is asked again
    assert (card.pin_tries, desk.tape.generated <= MOST_ATTEMPTS) == (3, True)


@pytest.mark.parametrize("step", [3, 4, 5, 6])
def test_between_the_steps_it_is_waited_for_and_goes_on_by_itself(
    workshop: Workshop, workstation: Workstations, step: int
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    pulled = once(lambda said: said.step == step, desk.take_out)
    person = desk.person(card, on={"progress": pulled})
    assert desk.renew(card, person)["state"] == "done"
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize("step", [2, 3])
def test_way_a_between_the_steps_as_well(workshop: Workshop, workstation: Workstations, step: int) -> None:
    card = workshop.card(protects=True)
    old, desk = certificate(card), workstation(workshop.campaign(rekey="allowed"))
    person = desk.person(card, on={"progress": once(lambda said: said.step == step, desk.take_out)})
    assert desk.renew(card, person)["state"] == "done"
    assert_renewed(workshop, card, old)
    assert "cannot sign" not in person.heard  # its key and the certificate before are good all the time


def test_while_the_passcode_is_typed_to_sign_in(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    old, desk, asked = certificate(card), workstation(workshop.campaign()), []

    def second_time(said: Said) -> None:
        asked.append(said)
        if len(asked) == 2:
            desk.take_out()

    person = desk.person(card, on={"pin": second_time})
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert person.kinds[-4:] == ["insert-again", "pin", "insert-again", "done"]
    assert "not finished" not in person.heard


def test_another_card_that_is_put_in_meanwhile_is_named_and_left_alone(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, stranger = workshop.card(), workshop.card()
    old, before, desk = certificate(card), stranger.image, workstation(workshop.campaign())
    Puller(desk, card, PUT_DATA, 1, Moment.BEFORE)

    def fumble(reader: str, wanted: object) -> None:
        desk.put_in(stranger)

    def take_the_right_one(said: Said) -> None:
        desk.take_out()
        desk.put_in(card)

    person = desk.person(card, insert=fumble, on={"wrong-card": take_the_right_one})
    assert desk.renew(card, person)["state"] == "done"
    assert_renewed(workshop, card, old)
    ending, theirs = (identity(one)[-4:].upper() for one in (card, stranger))
    wrong = f"This is a different smartcard (ending {theirs}). Insert the one ending {ending}."
    assert [said.message.body for said in person.said if said.message.kind == "wrong-card"] == [wrong, wrong]
    assert (stranger.image, stranger.pin_tries) == (before, 3)


def test_a_card_that_has_been_in_another_reader_all_along_is_not_spoken_of(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, stranger = workshop.card(), workshop.card()
    old, before, desk = certificate(card), stranger.image, workstation(workshop.campaign())
    desk.put_in(stranger, OTHER_READER)
    person = desk.person(card)
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert "insert-again" in person.kinds and "wrong-card" not in person.kinds
    assert (stranger.image, stranger.pin_tries) == (before, 3)


def test_a_card_that_is_swapped_behind_our_back_loses_no_try(workshop: Workshop, workstation: Workstations) -> None:
    card, stranger = workshop.card(), workshop.card()
    before, desk = stranger.image, workstation(workshop.campaign())

    def swap(said: Said) -> None:
        desk.take_out()
        desk.put_in(stranger)

    with pytest.raises(CardRemoved, match="Nothing was changed"):
        desk.renew(card, desk.person(card, on={"pin": swap}))
    assert (stranger.image, stranger.pin_tries, card.pin_tries) == (before, 3, 3)


def test_whoever_goes_away_with_the_card_out_goes_on_later(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    Puller(desk, card, GENERATE, 1, Moment.AFTER)
    with pytest.raises(Exception, match="not finished") as told:
        desk.renew(card, desk.person(card, insert=None, stop_at=frozenset({"pulled-unsafe"})))
    assert "any computer" in getattr(told.value, "advice", "")
    card.hook = None
    assert desk.renew(card)["state"] == "done"
    assert_renewed(workshop, card, old)


def test_no_card_at_all(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign())
    card = VirtualCard.create(None)
    with pytest.raises(NoCard):
        desk.renew(card, inserted=True)
    assert desk.readers.states()[READER].present is False


def once(when: Callable[[Said], bool], act: Callable[[], None]) -> Callable[[Said], None]:
    """`act` the first time that `when` is true."""
    done: list[Said] = []

    def hook(said: Said) -> None:
        if not done and when(said):
            done.append(said)
            act()

    return hook
