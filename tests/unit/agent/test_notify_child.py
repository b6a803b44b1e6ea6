"""The child that speaks D-Bus, on a real bus with desktops of every sort."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.buses import Desktop, Login, Manner, Seat, bus
from tests.pcsc import until

WISH = {
    "title": "Renew <b>your</b> smartcard",
    "body": "It <i>was</i> & is.\nCall us.\u202e\x07",
    "plain": "Run: renewagent renew.",
    "actions": {"renew": "Renew now", "later": "Remind me in 1 hour"},
    "critical": True,
}


class Child:
    """One that was asked for a notification."""

    def __init__(self, address: str, wish: dict[str, Any], system: str = "unix:path=/nowhere") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "renewagent.agent.notify_child"],
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": system},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(wish).encode() + b"\n")
        self.process.stdin.flush()

    def says(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def let_go(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(10)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bus(tmp_path_factory.mktemp("bus")) as one:
        yield one


@contextmanager
def child(address: str, system: str = "unix:path=/nowhere", **more: Any) -> Iterator[Child]:
    one = Child(address, {**WISH, **more}, system)
    with one.process:
        try:
            yield one
        finally:
            one.process.kill()


def test_shown_with_buttons_and_one_of_them_pressed(address: str) -> None:
    with Desktop(address) as desktop, child(address) as it:
        assert it.says() == {"shown": True}
        note = desktop.shows()
        assert note.title == WISH["title"] and note.actions == WISH["actions"] and note.lasts == 0
        assert note.body == "It &lt;i&gt;was&lt;/i&gt; &amp; is.\nCall us.  "
        assert note.hints["urgency"] == 2
        desktop.emit("ActionInvoked", "us", (note.number + 1, "renew"))  # somebody else's
        desktop.press("later")
        assert it.says() == {"action": "later"} and it.process.wait(5) == 0


def test_closed_by_the_person(address: str) -> None:
    with Desktop(address) as desktop, child(address, critical=False) as it:
        assert it.says() == {"shown": True}
        note = desktop.shows()
        assert (note.hints["urgency"], note.lasts) == (1, -1)
        desktop.close(note.number, 2)
        assert it.says() == {"action": "closed"}


def test_without_buttons_and_markup(address: str) -> None:
    with Desktop(address, Manner(can=("body",))) as desktop, child(address, plain="Run <it> & see.") as it:
        assert it.says() == {"shown": True}
        assert (desktop.shows().actions, desktop.shows().body) == ({}, "Run <it> & see.")
        desktop.emit("ActionInvoked", "us", (desktop.shows().number, "renew"))  # no such button
        assert it.says() == {"action": "closed"}


def test_it_goes_when_it_is_let_go(address: str) -> None:
    with Desktop(address) as desktop, child(address) as it:
        assert it.says() == {"shown": True}
        assert it.let_go() == 0
        assert not desktop.up and len(desktop.asked) == 1


def test_it_goes_when_the_agent_has_ended(address: str) -> None:
    with Desktop(address) as desktop, child(address) as it:
        assert it.says() == {"shown": True}
        assert it.process.stdout is not None
        it.process.stdout.close()
        assert it.let_go() == 0
        desktop.shows_nothing()


def test_where_a_desktop_does_not_close_it_the_words_go(address: str) -> None:
    with Desktop(address, Manner(closes=False)) as desktop, child(address) as it:
        assert it.says() == {"shown": True}
        assert it.let_go() == 0
        last = desktop.shows()
        assert (last.replaces, last.title, last.body, last.actions) == (1, "The smartcard was removed", "", {})


def test_others_cannot_press_its_buttons(address: str) -> None:
    with Desktop(address) as desktop, child(address) as it:
        assert it.says() == {"shown": True}
        number = desktop.shows().number
        stranger = Desktop(address)
        stranger.emit("ActionInvoked", "us", (number, "renew"))
        stranger.emit("NotificationClosed", "uu", (number, 2))
        time.sleep(0.2)
        assert it.process.poll() is None
        desktop.press("later")
        assert it.says() == {"action": "later"}
        stranger._bus.close()


def test_lost_with_the_program_that_showed_it(address: str) -> None:
    with child(address) as it:
        with Desktop(address):
            assert it.says() == {"shown": True}
        assert it.says() == {"action": "lost"}


def test_lost_with_the_bus(tmp_path: Path) -> None:
    with ExitStack() as over:
        with bus(tmp_path) as address:
            over.enter_context(Desktop(address))
            it = over.enter_context(child(address))
            assert it.says() == {"shown": True}
        assert it.says() == {"action": "lost"}


@pytest.mark.parametrize("said", [("s", ("seven",)), ("u", (0,)), ("", ()), ("as", ([],))])
def test_strange_answers(address: str, said: tuple[str, Any]) -> None:
    with Desktop(address, Manner(said=said if said[0] else (None, ()))), child(address) as it:  # type: ignore[arg-type]
        answer = it.says()
        assert answer["shown"] is False and "do not answer as they should" in answer["why"]


def test_no_desktop_and_no_bus(address: str) -> None:
    for where in (address, "unix:path=/nowhere", "tcp:host=127.0.0.1", "nonsense"):
        with child(where) as it:
            answer = it.says()
            assert answer["shown"] is False and answer["why"]


def test_a_desktop_that_hangs_ends_nobody_but_the_child(address: str) -> None:
    start = time.monotonic()
    with Desktop(address, Manner(silent=True)), child(address) as it:
        assert it.says()["shown"] is False
    assert time.monotonic() - start < 5.5


def test_a_desktop_that_hangs_later(address: str) -> None:
    with Desktop(address) as desktop, child(address) as it:
        assert it.says() == {"shown": True}
        desktop.manner.silent = True
        start = time.monotonic()
        assert it.let_go() in (1, -signal.SIGALRM)
        assert time.monotonic() - start < 5.5


def test_whose_screen_it_is(address: str, tmp_path: Path) -> None:
    seat = Seat(active=False)
    with bus(tmp_path) as system, Login(system, seat), Desktop(address) as desktop:
        with child(address, system) as it:
            assert it.says() == {"shown": False, "why": "another person has this screen"}
        assert not desktop.asked and seat.asked == ["Display", "Active"]
        seat.active = True
        with child(address, system) as it:
            assert it.says() == {"shown": True}
        seat.active, seat.session = False, "/"  # no graphical session at all
        with child(address, system) as it:
            assert it.says() == {"shown": True}
    until(lambda: len(desktop.asked) == 2)
