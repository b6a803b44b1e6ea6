"""Between one VERIFY and the next anything may happen to the card: another one in its place loses no try, and whoever
has it next finds nobody logged in."""

from __future__ import annotations

import pytest

from renewagent.errors import RenewAgentError
from renewagent_drivers.management_key import FactoryKey, PinProtectedKey
from renewagent_fixtures.person import Said
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows.test_another_program import then_nothing_is_open
from tests.flows.workshop import (
    Killed,
    Tape,
    Workshop,
    Workstations,
    assert_renewed,
    certificate,
    keep_management_key_behind_pin,
)

VERIFY = 0x20
WAYS = {
    "A-kur": ("plain", "allowed", True),
    "A-cr": ("plain", "allowed", False),
    "B": ("extended", "required", False),
    "D": ("plain", "required", False),
}
STEPS = {"A-kur": 4, "A-cr": 4, "B": 7, "D": 6}


class Watched:
    """Notes every VERIFY that reaches a card with a passcode in it."""

    def __init__(self, card: VirtualCard) -> None:
        self.verifies = 0
        card.hook = self

    def __call__(self, moment: Moment, command: bytes, response: bytes) -> None:
        self.verifies += moment is Moment.BEFORE and command[1] == VERIFY and len(command) > 5


@pytest.mark.parametrize(("way", "step"), [(way, step) for way in WAYS for step in range(1, STEPS[way] + 1)])
def test_another_card_in_its_place_is_asked_nothing(
    workshop: Workshop, workstation: Workstations, way: str, step: int
) -> None:
    profile, rekey, protects = WAYS[way]
    card, stranger = (workshop.card(profile=profile, protects=protects) for _ in "12")
    old, before, watched = certificate(card), stranger.image, Watched(stranger)
    swapped: list[int] = []
    desk = workstation(workshop.campaign(rekey=rekey))

    def swap(said: Said) -> None:
        if said.step == step and not swapped:
            swapped.append(step)
            desk.take_out()
            desk.put_in(stranger)

    def back(reader: str, wanted: object) -> None:
        desk.take_out()
        desk.put_in(card)

    person = desk.person(card, on={"progress": swap}, insert=back)
    try:
        desk.renew(card, person)
    except RenewAgentError as error:  # nothing was begun yet
        assert "Nothing was changed" in error.message or error.code == "RA-CARD-DIFFERENT"
        desk.take_out()
        desk.renew(card)
    assert swapped == [step]
    assert (watched.verifies, stranger.image, stranger.pin_tries, card.pin_tries) == (0, before, 3, 3)
    assert_renewed(workshop, card, old)


class Ending(Tape):
    """Ends the process right after the `last`th VERIFY, which the card has carried out."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last = last

    def __call__(self, reader: str, command: bytes, response: bytes) -> None:
        super().__call__(reader, command, response)
        if command[1] == VERIFY and len(command) > 5 and self.verifies == self._last:
            raise Killed("VERIFY")


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize(("way", "behind_pin"), [("A-kur", False), ("B", False), ("B", True), ("D", True)])
def test_whoever_has_it_next_finds_nobody_logged_in(
    workshop: Workshop, workstation: Workstations, way: str, behind_pin: bool, number: int
) -> None:
    profile, rekey, protects = WAYS[way]
    card = workshop.card(profile=profile, protects=protects)
    keep_management_key_behind_pin(card)
    key = PinProtectedKey() if behind_pin else FactoryKey()
    old, campaign = certificate(card), workshop.campaign(rekey=rekey)
    first = workstation(campaign, management_key=key, tape=Ending(number))
    with then_nothing_is_open(first, card):
        try:
            first.renew(card, inserted=True)
        except Killed:
            assert first.tape.verifies == number
        else:
            assert first.tape.verifies < number
    workstation(campaign, management_key=key).renew(card)
    assert_renewed(workshop, card, old)
