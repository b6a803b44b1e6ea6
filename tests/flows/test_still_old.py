"""The card is back, and it, or a program that reads it, still shows the old certificate: that is said, and mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from renewagent.agent.stale import shown_by_software
from renewagent.errors import CardDataError, PersonStopped
from renewagent.model import CardIdentity
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.soft_token import SoftTokens
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import READER, Workshop, Workstation, Workstations, assert_renewed, certificate
from tests.soft import OtherProgram

SIGNING_OBJECT = 0x5FC10A


class Forgetful:
    """A card that comes back with what it held before: at its returns in `turns`, counted from 1. At the others it has
    what was last written to it."""

    def __init__(self, desk: Workstation, card: VirtualCard, turns: Callable[[int], bool]) -> None:
        self.desk, self.card, self.turns = desk, card, turns
        self.old, self.new = card.object(SIGNING_OBJECT) or b"", b""
        self.returns = 0

    def person(self, **script: Any) -> ScriptedPerson:
        return self.desk.person(self.card, insert=self.insert, **script)

    def insert(self, reader: str, wanted: CardIdentity | None) -> None:
        """Put it back, out of which something else may come than went in."""
        self.desk.settle()
        self.returns += 1
        held = self.card.object(SIGNING_OBJECT) or b""
        self.new = held if held != self.old else self.new
        self.card.write_object(SIGNING_OBJECT, self.old if self.turns(self.returns) else self.new)
        self.desk.put_in(self.card)


@pytest.mark.parametrize("profile", ["plain", "extended"])
def test_a_card_that_shows_it_once_is_taken_out_once_more(
    workshop: Workshop, workstation: Workstations, profile: str
) -> None:
    card, desk = workshop.card(profile=profile), workstation(workshop.campaign())
    old = certificate(card)
    slow = Forgetful(desk, card, lambda number: number == 1)
    person = slow.person()
    assert desk.renew(card, person)["state"] == "done"
    assert person.kinds[person.kinds.index("shows-old") :] == ["shows-old", "insert-again", "pin", "done"]
    assert slow.returns == 2
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize("profile", ["plain", "extended"])
def test_a_card_that_has_lost_it_gets_it_again(workshop: Workshop, workstation: Workstations, profile: str) -> None:
    card, desk = workshop.card(profile=profile), workstation(workshop.campaign())
    old = certificate(card)
    lost = Forgetful(desk, card, lambda number: False)
    lost.turns = lambda number: number == 1 or certificate(card) == old  # it keeps what is written to it afterwards
    person = lost.person()
    assert desk.renew(card, person)["state"] == "done"
    assert person.kinds.count("shows-old") == 2
    assert_renewed(workshop, card, old)


def test_a_card_that_goes_on_showing_it_is_faulty(workshop: Workshop, workstation: Workstations) -> None:
    card, desk = workshop.card(), workstation(workshop.campaign())
    faulty = Forgetful(desk, card, lambda number: True)
    with pytest.raises(CardDataError, match="still shows its old certificate") as told:
        desk.renew(card, faulty.person())
    assert "ask your Registration Authority for a new one" in told.value.advice
    assert faulty.returns == 3
    with pytest.raises(CardDataError, match="still shows its old certificate"):  # and no second renewal is begun for it
        desk.renew(card, faulty.person())
    assert desk.kinds.count("ready") == 1


def test_what_the_card_showed_while_nobody_was_there_is_no_new_fault(
    workshop: Workshop, workstation: Workstations
) -> None:
    """The person left at the removal; next day the card shows the old one. The renewal goes on where it stood."""
    card, desk = workshop.card(profile="extended"), workstation(workshop.campaign())
    old = certificate(card)
    left = Forgetful(desk, card, lambda number: number == 1)
    with pytest.raises(PersonStopped):
        desk.renew(card, desk.person(card, insert=None, stop_at=frozenset({"insert-again"})))
    new = card.object(SIGNING_OBJECT) or b""
    card.write_object(SIGNING_OBJECT, left.old)
    left.new = new
    assert desk.renew(card, left.person())["state"] == "done"
    assert desk.kinds.count("ready") == 1
    assert_renewed(workshop, card, old)


def test_another_certificate_than_either_is_no_old_one(workshop: Workshop, workstation: Workstations) -> None:
    card, desk = workshop.card(), workstation(workshop.campaign())
    other = Forgetful(desk, card, lambda number: True)
    other.old = workshop.card().object(SIGNING_OBJECT) or b""
    with pytest.raises(CardDataError, match="another certificate than the one that it was given"):
        desk.renew(card, other.person())


@pytest.mark.parametrize("shown", ["old", "new", "both", "neither"])
def test_software_that_keeps_a_copy_is_named(
    workshop: Workshop, workstation: Workstations, soft_tokens: SoftTokens, shown: str
) -> None:
    """SoftHSM as the software of the vendor, in a process of its own, showing what it is told to."""
    card, serial = workshop.card(profile="extended"), soft_tokens.create()
    desk = workstation(workshop.campaign(), shown_by_software=shown_by_software(soft_tokens.module))
    soft_tokens.insert(READER, serial)
    copies = OtherProgram(soft_tokens, serial)
    if shown in ("old", "both"):
        copies.writes("02", certificate(card))

    def signed_in(_: object) -> None:
        if shown in ("new", "both"):
            copies.writes("03", certificate(card))

    person = desk.person(card, on={"insert-again": signed_in})
    outcome = desk.renew(card, person)
    assert outcome["state"] == "done"
    assert outcome["software_shows"] == {"old": "old", "new": "new", "both": "new", "neither": None}[shown]
    assert (person.kinds[-1] == "software-shows-old") == (shown == "old")
    assert ("Close the programs that you sign with" in person.heard) == (shown == "old")


@pytest.mark.parametrize("fault", [{"C_FindObjects": "crash"}, {"C_FindObjectsInit": "30"}])
def test_software_that_fails_changes_nothing(
    workshop: Workshop, workstation: Workstations, soft_tokens: SoftTokens, fault: dict[str, str]
) -> None:
    card, serial = workshop.card(), soft_tokens.create()
    desk = workstation(workshop.campaign(), shown_by_software=shown_by_software(soft_tokens.module))
    soft_tokens.insert(READER, serial)
    OtherProgram(soft_tokens, serial).writes("02", certificate(card))
    soft_tokens.order(fault)
    outcome = desk.renew(card)
    assert (outcome["state"], outcome["software_shows"]) == ("done", None)
