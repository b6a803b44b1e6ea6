"""GnuPG's own pinentry programs, typed into: pinentry-gtk-2 on a screen, the text ones at a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from renewagent.agent import words
from renewagent.agent.passcode_entry import BESIDE_WINDOW, PasscodeEntry
from renewagent.errors import PersonStopped
from renewagent.model import CardIdentity
from tests.programs import require
from tests.screen import Screen, screen

CARD = CardIdentity("chuid", "aa4821")
MESSAGE = words.pin_wanted(CARD, 3)
GRAPHICAL = "pinentry-gtk-2"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def shown() -> Iterator[Screen]:
    with screen() as one:
        yield one


class Asked(threading.Thread):
    """The question, asked beside us; `answer` is what was typed, or why nothing was."""

    def __init__(self, entry: PasscodeEntry) -> None:
        super().__init__(daemon=True)
        self._entry = entry
        self._answer: bytes | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self._entry.ask_pin(CARD, 3, MESSAGE) as pin:
                self._answer = pin.reveal()
        except Exception as error:
            self._answer = error

    def answer(self) -> bytes:
        self.join(PATIENCE)
        assert not self.is_alive(), "nobody was asked"
        if isinstance(self._answer, Exception):
            raise self._answer
        assert self._answer is not None
        return self._answer


def only(tmp_path: Path, *names: str) -> str:
    """A PATH with these programs alone."""
    for name in names:
        (tmp_path / name).symlink_to(require(name))
    return str(tmp_path)


def on(shown: Screen, tmp_path: Path, **more: str) -> PasscodeEntry:
    path = only(tmp_path, GRAPHICAL)
    return PasscodeEntry(BESIDE_WINDOW, {"PATH": path, "DISPLAY": shown.display, "LANG": "C.UTF-8", **more})


@pytest.mark.parametrize("passcode", ["48392057", "12%34 %0", "123456"])
def test_typed_in_the_window(shown: Screen, tmp_path: Path, passcode: str) -> None:
    asked = Asked(on(shown, tmp_path))
    window = shown.await_window("Passcode")
    shown.type(passcode)
    shown.press("Return")
    assert asked.answer() == passcode.encode()
    assert window not in shown.windows()


def test_cancelled_in_the_window(shown: Screen, tmp_path: Path) -> None:
    asked = Asked(on(shown, tmp_path))
    shown.await_window("Passcode")
    time.sleep(0.3)
    shown.type("123")
    shown.press("Escape")
    with pytest.raises(PersonStopped, match="cancelled"):
        asked.answer()


def test_nobody_there(shown: Screen, tmp_path: Path) -> None:
    path = only(tmp_path, GRAPHICAL)
    entry = PasscodeEntry(BESIDE_WINDOW, {"PATH": path, "DISPLAY": shown.display}, patience=1)
    with pytest.raises(PersonStopped, match="in time"):
        entry.ask_pin(CARD, 3, MESSAGE)


def test_asked_again_for_nothing_typed(shown: Screen, tmp_path: Path) -> None:
    asked = Asked(on(shown, tmp_path))
    first = shown.await_window("Passcode")
    shown.press("Return")
    end = time.monotonic() + PATIENCE
    while shown.windows("Passcode") in ([], [first]):
        assert time.monotonic() < end
        time.sleep(0.05)
    shown.type("123456")
    shown.press("Return")
    assert asked.answer() == b"123456"


def test_closed_from_elsewhere(shown: Screen, tmp_path: Path) -> None:
    entry = on(shown, tmp_path)
    asked = Asked(entry)
    shown.await_window("Passcode")
    entry.close()
    with pytest.raises(PersonStopped, match="closed"):
        asked.answer()
    assert shown.windows("Passcode") == []


def test_a_screen_that_is_not_there(tmp_path: Path) -> None:
    entry = PasscodeEntry(BESIDE_WINDOW, {"PATH": only(tmp_path, GRAPHICAL), "DISPLAY": ":9999"})
    with pytest.raises(PersonStopped, match="no window"):
        entry.ask_pin(CARD, 3, MESSAGE)


def at_terminal(tmp_path: Path, program: str, act: Callable[[int], None]) -> tuple[Asked, bytes]:
    """Ask at a pseudo-terminal, and do something at its keyboard once the question is there; the screen then."""
    path = only(tmp_path, program)
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    environment = {"PATH": path, "TERM": "xterm", "LANG": "C.UTF-8"}
    asked = Asked(PasscodeEntry(BESIDE_WINDOW, environment, path=os.ttyname(terminal)))
    seen = _read_until(keyboard, b"4821")
    time.sleep(0.5)  # until it listens
    act(keyboard)
    asked.join(PATIENCE)
    assert termios.tcgetattr(terminal) == before
    while select.select([keyboard], [], [], 0.1)[0]:
        seen += os.read(keyboard, 65536)
    os.close(keyboard)
    os.close(terminal)
    return asked, seen


def _read_until(source: int, text: bytes) -> bytes:
    seen, end = b"", time.monotonic() + PATIENCE
    while text not in seen:
        assert time.monotonic() < end, seen
        if select.select([source], [], [], 0.1)[0]:
            seen += os.read(source, 65536)
    return seen


@pytest.mark.parametrize("program", ["pinentry-tty", "pinentry-curses"])
def test_typed_at_a_terminal(tmp_path: Path, program: str) -> None:
    asked, seen = at_terminal(tmp_path, program, lambda keyboard: _write(keyboard, b"48392057\r"))
    assert asked.answer() == b"48392057"
    assert b"48392057" not in seen


def test_cancelled_at_a_terminal(tmp_path: Path) -> None:
    asked, _ = at_terminal(tmp_path, "pinentry-curses", lambda keyboard: _write(keyboard, b"\t\t\r"))
    with pytest.raises(PersonStopped, match="cancelled"):
        asked.answer()


def _write(keyboard: int, octets: bytes) -> None:
    os.write(keyboard, octets)
