"""What a prescriber reads in each situation, as docs/workstation.md has it in a table: every row of it is brought about
for real, and says those words. The agent is a process that shows notifications, the page is read as a browser without
scripts reads it, cards are virtual, and the RA is one that issues.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.control import ask_agent
from renewagent.agent.prompts import ChannelPrompter
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.buses import Desktop, bus
from tests.flows.test_agent_process import READER, RunningAgent, agent, place
from tests.flows.workshop import PIN, SIGNING, Workshop, Workstation, Workstations
from tests.pcsc import until
from tests.unit.agent.place import Place, campaign_json, days_ago
from tests.window import Reading, Typist, window

__all__ = ["agent", "place"]

GUIDE = Path(__file__).parents[2] / "docs" / "workstation.md"
GENERATE = 0x47
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """One situation in the guide."""

    words: tuple[str, ...]
    """In this order; between them stands what varies."""
    pressable: tuple[str, ...]


@cache
def guide() -> Mapping[str, Row]:
    """By the situation."""
    table = GUIDE.read_text().partition("### What it says")[2].partition("\n#")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {
        when: Row(
            tuple(part for part in map(bare, says.split("…")) if part),
            tuple(sorted(label.strip() for label in pressed.split(";") if label.strip())),
        )
        for when, says, pressed in rows[2:]
    }


def bare(text: str) -> str:
    """Without full stops, which titles have not, and with single spaces."""
    return " ".join(text.replace(".", " ").split())


@dataclass
class Reader:
    """Somebody with the guide in their hand, who goes through its rows."""

    met: set[str] = field(default_factory=set)

    def sees(self, when: str, text: str, pressable: list[str]) -> None:
        row, rest = guide()[when], bare(text)
        for part in row.words:
            before, found, rest = rest.partition(part)
            assert found, f"{when}: {part!r} is not in {before!r}"
        assert tuple(sorted(pressable)) == row.pressable, when
        self.met.add(when)

    def reads(self, when: str, page: Reading) -> None:
        """As it is now."""
        section = page.text.partition("Parts of the renewal")[0]
        self.sees(when, section, page.pressable)


SITUATIONS: Mapping[str, tuple[str, ...]] = {
    "test_what_is_told_of_a_card": (
        "the smartcard must be renewed",
        "somebody asks why",
        "it is good: no notification, `renewagent status`",
        "it has expired",
        "it cannot be read",
    ),
    "test_from_start_to_the_next_card": (
        "before it starts",
        "while it runs",
        "it is renewed",
        "another card is put in",
        "it is back in",
        "the person has more of them",
    ),
    "test_pulled_out_in_good_time": ("pulled out in good time",),
    "test_pulled_out_later_and_left_at_that": ("pulled out later", "left at that"),
    "test_one_try_left": ("1 try left",),
    "test_details_of_what_others_help_with": ("its details", "those details"),
}
"""Which of them each test brings about."""


@pytest.fixture
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    one = Reader()
    yield one
    assert one.met == set(SITUATIONS[request.node.name])


def test_every_row_of_the_guide_is_brought_about() -> None:
    assert sorted(when for each in SITUATIONS.values() for when in each) == sorted(guide())
    assert SITUATIONS.keys() <= globals().keys()


# -- notifications --------------------------------------------------------------------------------------------------


def test_what_is_told_of_a_card(
    reader: Reader, agent: RunningAgent, place: Place, virtual_readers: VirtualReaders, tmp_path: Path
) -> None:
    place.publish(campaign_json())
    broken = VirtualCard.create(None)
    broken.write_certificate(SIGNING, b"\x30\x82\x01\x00" + b"\xff" * 300)
    with bus(tmp_path) as address, Desktop(address) as desktop:
        place.config.write_text(f'{place.config.read_text()}[contact]\nname = "Registration Authority"\n')
        agent.env |= {"DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"}
        virtual_readers.insert(READER, place.ca.card(days_ago(7)))
        agent.start()

        def shown(when: str) -> None:
            until(lambda: desktop.up, PATIENCE)
            note = desktop.shows()
            reader.sees(when, f"{note.title} {note.body}", list(note.actions.values()))

        shown("the smartcard must be renewed")
        desktop.press("why")
        shown("somebody asks why")
        desktop.press("later")
        with in_turn(agent, desktop, virtual_readers, place.ca.card(days_ago(400))) as said:
            reader.sees("it is good: no notification, `renewagent status`", said, [])
            assert not desktop.up
        with in_turn(agent, desktop, virtual_readers, place.ca.card(days_ago(1200))):
            shown("it has expired")
        with in_turn(agent, desktop, virtual_readers, broken):
            shown("it cannot be read")


@contextmanager
def in_turn(agent: RunningAgent, desktop: Desktop, readers: VirtualReaders, card: VirtualCard) -> Iterator[str]:
    """This card instead of the last one; what the agent's status says of it."""

    def status() -> dict[str, Any]:
        return dict(ask_agent(agent.place.folder / "run" / "renewagent", {"ask": "status"})["readers"][0])

    readers.remove(READER)
    until(lambda: not status()["present"] and not desktop.up, PATIENCE)
    readers.insert(READER, card)
    until(lambda: status()["message"], PATIENCE)
    yield status()["message"]


# -- the page -------------------------------------------------------------------------------------------------------


@contextmanager
def opened(desk: Workstation, card: VirtualCard, typist: Typist | None = None) -> Iterator[Reading]:
    """The page of a renewal of this card, which is in, as a browser has just opened it."""
    desk.put_in(card)

    def work(prompter: ChannelPrompter) -> dict[str, Any]:
        return desk.renew(card, prompter, inserted=True)

    with window(desk.folder, [work] * 4, desk.readers, typist or Typist([PIN])) as one:
        one.browser.open()
        yield one.browser
        if "Close" in one.browser.buttons:
            one.browser.press("Close")
    desk.settle()
    desk.take_out()


def test_from_start_to_the_next_card(reader: Reader, workshop: Workshop, workstation: Workstations) -> None:
    name = "CN=Dr Two Cards,O=Mock Hospital,C=GB"
    card, other = workshop.card(holder=name), workshop.card(holder=name)
    campaign = workshop.campaign(removal_ends_session=True)
    workshop.ra.learn_campaign(campaign.document)
    desk, seen = workstation(campaign), threading.Event()

    def wait(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.BEFORE and command[1] == GENERATE:
            assert seen.wait(PATIENCE)

    with opened(desk, other) as page:
        page.until("Start renewal")
        page.press("Not now")
        page.ended("Nothing was changed.")
    with opened(desk, card) as page:
        page.until("Start renewal")
        reader.reads("before it starts", page)
        card.hook = wait
        page.press("Start renewal")
        page.until("making the new key")
        reader.reads("while it runs", page)
        card.hook = None
        seen.set()
        page.until("Now remove it")
        reader.reads("it is renewed", page)
        desk.take_out()
        page.until("Your smartcard is out.")
        desk.put_in(other)
        page.until("This is a different smartcard")
        reader.reads("another card is put in", page)
        desk.take_out()
        desk.put_in(card)
        page.ended("1 of 2 smartcards renewed.")
        reader.reads("the person has more of them", page)
    with opened(desk, other) as page:
        page.until("Start renewal")
        page.press("Start renewal")
        page.until("Now remove it")
        desk.take_out()
        page.until("Your smartcard is out.")
        desk.put_in(other)
        page.until("You can close this page.")
        reader.reads("it is back in", page)
    with workshop.ra.office.lock:
        workshop.ra.office.known_campaigns._known.clear()


def test_pulled_out_in_good_time(reader: Reader, workshop: Workshop, workstation: Workstations) -> None:
    card, typist = workshop.card(), Typist([PIN], wait=threading.Event())
    desk = workstation(workshop.campaign())
    with opened(desk, card, typist) as page:
        page.until("Start renewal")
        page.press("Start renewal")
        page.until("in the window that has opened")
        desk.take_out()
        assert typist.wait is not None
        typist.wait.set()
        page.ended("Nothing was changed on it.")
        reader.reads("pulled out in good time", page)


def test_pulled_out_later_and_left_at_that(reader: Reader, workshop: Workshop, workstation: Workstations) -> None:
    """Way D: the old key is gone, the new certificate not yet there."""
    card = workshop.card()
    desk = workstation(workshop.campaign())
    with opened(desk, card) as page:
        page.until("Start renewal")
        workshop.turn(delay=0.5)
        page.press("Start renewal")
        page.until("getting the new certificate")
        desk.take_out()
        page.until("You cannot sign prescriptions with this smartcard yet.")
        reader.reads("pulled out later", page)
        page.press("Stop here")
        page.ended("Continue")
        reader.reads("left at that", page)


def test_one_try_left(reader: Reader, workshop: Workshop, workstation: Workstations) -> None:
    with opened(workstation(workshop.campaign()), workshop.card(), Typist(["99999999", "88888888"])) as page:
        page.until("Start renewal")
        page.press("Start renewal")
        page.ended("There is 1 try left")
        reader.reads("1 try left", page)
        assert "your sponsor or a local smartcard administrator" in page.text


def test_details_of_what_others_help_with(reader: Reader, workshop: Workshop, workstation: Workstations) -> None:
    card, broken = workshop.card(), workshop.card()
    broken.write_certificate(SIGNING, b"\x30\x82\x01\x00" + b"\xff" * 300)
    with opened(workstation(workshop.campaign(), days_later=1200), card) as page:
        page.ended("This smartcard has expired")
        reader.reads("its details", page)
    with opened(workstation(workshop.campaign()), broken) as page:
        page.ended("This smartcard cannot be read")
        reader.reads("those details", page)
