"""A renewal and the computer's power: none is begun on a battery that is nearly empty, and the computer stays up while
the card is being changed, whatever becomes of the process that changes it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from renewagent.errors import BatteryLow, RenewAgentError
from renewagent_fixtures.person import Said
from renewagent_fixtures.virtual_card import Moment
from tests.flows.desk import PIN, READER, Desk, desk, office
from tests.flows.test_kills import ASKED, PASSCODE, child_of
from tests.flows.workshop import Cut, Killed, Workshop, Workstations, assert_renewed, assert_untouched, certificate
from tests.logind import Logind, logind

CHANGES = {0x47: "GENERATE", 0xDB: "PUT DATA", 0xF6: "MOVE KEY"}
PERSON = {"before", "pin", "waiting", "sign-in-again", "insert-again", "pulled-unsafe", "done"}


@dataclass
class Noted:
    """A `Power` that notes whether the computer is held up."""

    left: int | None = None
    held: bool = False
    times: int = field(default=0)

    def battery(self) -> int | None:
        return self.left

    def hold(self) -> None:
        self.times += not self.held
        self.held = True

    def release(self) -> None:
        self.held = False


def test_nothing_is_begun_on_an_empty_battery(workshop: Workshop, workstation: Workstations) -> None:
    card, power = workshop.card(), Noted(left=9)
    old, before, desk = certificate(card), card.image, workstation(workshop.campaign(), power=power)
    person = desk.person(card)
    with pytest.raises(BatteryLow, match="9 % is left") as told:
        desk.renew(card, person)
    assert "Plug this computer in" in told.value.advice
    assert (person.kinds, desk.tape.verifies, desk.kinds) == ([], 0, ["stopped"])
    assert_untouched(workshop, card, before)
    power.left = 10
    desk.renew(card)
    assert_renewed(workshop, card, old)


def test_what_is_begun_goes_on_with_whatever_power_is_left(workshop: Workshop, workstation: Workstations) -> None:
    card, power = workshop.card(), Noted(left=11)
    old, desk = certificate(card), workstation(workshop.campaign(), power=power)
    with pytest.raises(Killed):
        desk.renew(card, cut=Cut(5))
    assert desk.kinds[-1] == "generated"
    power.left = 2
    desk.renew(card)
    assert_renewed(workshop, card, old)


@pytest.mark.parametrize(
    ("profile", "rekey", "times"), [("plain", "required", 1), ("plain", "allowed", 1), ("extended", "required", 1)]
)
def test_the_computer_stays_up_while_the_card_changes_and_no_longer(
    workshop: Workshop, workstation: Workstations, profile: str, rekey: str, times: int
) -> None:
    card, power, seen, asked = workshop.card(profile=profile), Noted(), [], []
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey), power=power)
    power.held = True  # of nobody

    def look(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] in CHANGES and response[-2:] in (b"\x90\x00", b"\x61\x00"):
            seen.append((CHANGES[command[1]], power.held))

    def note(said: Said) -> None:
        asked.append((said.message.kind, power.held))

    card.hook = look
    desk.renew(card, desk.person(card, on=dict.fromkeys(PERSON, note)))
    card.hook = None
    assert_renewed(workshop, card, old)
    assert {name for name, _ in seen} >= ({"PUT DATA"} if rekey == "allowed" else {"PUT DATA", "GENERATE"})
    tried = [name for name, _ in seen].index("GENERATE") if profile == "extended" else 0  # whether there is room
    assert all(held for _, held in seen[tried:]), seen
    assert {kind for kind, held in asked if held} == set()
    assert (power.held, power.times) == (False, times)


@pytest.mark.parametrize("how", ["killed", "ra-refuses", "waiting", "pulled"])
def test_it_is_let_go_however_the_renewal_ends_or_stands_still(
    workshop: Workshop, workstation: Workstations, how: str
) -> None:
    card, power, asked = workshop.card(), Noted(), []
    desk = workstation(workshop.campaign(), power=power)
    workshop.turn(refuse="badCertTemplate" if how == "ra-refuses" else None, approval=how == "waiting")

    def note(said: Said) -> None:
        asked.append(power.held)
        person.leave()

    person = desk.person(card, on=dict.fromkeys(("waiting", "pulled-unsafe"), note))
    if how == "pulled":
        person.insert = None
        person.on = {**person.on, "progress": lambda said: desk.take_out() if said.step == 3 else None}
    with pytest.raises((Killed, RenewAgentError)):
        desk.renew(card, person, cut=Cut(6) if how == "killed" else None)
    assert (power.held, power.times) == (False, 1)
    assert asked == [False] * (how in ("waiting", "pulled"))


def test_a_child_that_is_killed_leaves_the_computer_free(tmp_path: Path) -> None:
    """The whole product, a real D-Bus, and a kill -9 between the card's execution of GENERATE and its answer."""
    with logind(tmp_path) as served, office(tmp_path) as ra:
        folder = tmp_path / "desk"
        folder.mkdir()
        with desk(folder, ra) as here:
            here.env["DBUS_SYSTEM_BUS_ADDRESS"] = served.address
            seen = _killed_at_generate(here, served)
            assert seen == [1]
            served.wait_until(held=0)


def _killed_at_generate(here: Desk, served: Logind) -> list[int]:
    card = here.insert()
    seen: list[int] = []

    def kill(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] == 0x47 and not seen:
            seen.append(served.held)
            os.kill(child_of(talk.process.pid), signal.SIGKILL)

    card.hook = kill
    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    assert served.held == 0
    talk.type(PIN)
    assert talk.end().status == 1
    card.hook = None
    here.readers.remove(READER)
    return seen
