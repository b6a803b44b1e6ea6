"""Where a passcode is typed: the order of the ways, what each shows, and what happens when one cannot ask."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from renewagent.agent import words
from renewagent.agent.passcode_entry import AT_TERMINAL, BESIDE_WINDOW, PasscodeEntry, PersonAtTerminal
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.model import CardIdentity
from renewagent.pin import Pin
from tests.pinentries import WILLING, Programs, answers

CARD = CardIdentity("chuid", "aa4821")
MESSAGE = words.pin_wanted(CARD, 3)
CANCELLED = "polite()\ntime.sleep(0.4)\nsay('ERR 83886179 Operation cancelled <Pinentry>')\nhear()\n"


@pytest.fixture
def there(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


class Terminal:
    """Types 654321."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        self.asked += 1
        return Pin("654321")


def typed(entry: PasscodeEntry) -> bytes:
    with entry.ask_pin(CARD, 3, MESSAGE) as pin:
        return pin.reveal()


def test_the_window_names_the_card_and_the_tries_left(there: Programs) -> None:
    there.add("pinentry", WILLING)
    assert typed(PasscodeEntry(BESIDE_WINDOW, there.environment)) == b"48392057"
    heard = there.log("pinentry")["heard"]
    assert "SETDESC Type the passcode (PIN) of the smartcard ending 4821. You have 3 tries." in heard
    assert "SETTITLE Passcode (PIN)" in heard
    assert not any(line.startswith("SETERROR") for line in heard)


@pytest.mark.parametrize("refusal", [words.wrong_pin(2), words.pin_known_wrong()])
def test_why_it_is_asked_again_stands_in_the_window_once(there: Programs, refusal: Message) -> None:
    there.add("pinentry", WILLING)
    entry = PasscodeEntry(BESIDE_WINDOW, there.environment)
    entry.hear(refusal)
    entry.hear(words.card_busy())
    typed(entry)
    assert f"SETERROR {refusal.body}" in there.log("pinentry")["heard"]
    typed(entry)
    assert not any(line.startswith("SETERROR") for line in there.log("pinentry")["heard"])


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (BESIDE_WINDOW, b"48392057"),
        (("pinentry",), b"48392057"),
        (("terminal", "pinentry"), b"654321"),
        (AT_TERMINAL, b"654321"),
        (("pad", "terminal"), b"654321"),
    ],
)
def test_the_first_that_can_ask_does(there: Programs, order: tuple[str, ...], found: bytes) -> None:
    there.add("pinentry", WILLING)
    assert typed(PasscodeEntry(order, there.environment, Terminal())) == found


def test_where_no_window_can_be_shown_the_terminal_asks(there: Programs) -> None:
    there.add("pinentry", answers("ERR 83886340 Invalid value passed <Pinentry>"))
    assert typed(PasscodeEntry(BESIDE_WINDOW, there.environment, Terminal())) == b"654321"


def test_who_cancels_is_not_asked_elsewhere(there: Programs) -> None:
    there.add("pinentry", CANCELLED)
    terminal = Terminal()
    with pytest.raises(PersonStopped, match="cancelled"):
        PasscodeEntry(BESIDE_WINDOW, there.environment, terminal).ask_pin(CARD, 3, MESSAGE)
    assert terminal.asked == 0


@pytest.mark.parametrize("order", [BESIDE_WINDOW, ("pad",), AT_TERMINAL])
def test_nowhere_to_ask(there: Programs, order: tuple[str, ...]) -> None:
    with pytest.raises(PersonStopped, match="renewagent renew"):
        PasscodeEntry(order, there.environment).ask_pin(CARD, 3, MESSAGE)


def test_a_closed_entry_asks_no_more(there: Programs) -> None:
    there.add("pinentry", WILLING)
    entry = PasscodeEntry(BESIDE_WINDOW, there.environment)
    entry.close()
    with pytest.raises(PersonStopped, match="closed"):
        entry.ask_pin(CARD, 3, MESSAGE)


def at_pipe(order: tuple[str, ...], line: bytes) -> tuple[PersonAtTerminal, io.StringIO]:
    source, keyboard = os.pipe()
    os.write(keyboard, line)
    os.close(keyboard)
    screen = io.StringIO()
    return PersonAtTerminal(order, source, screen), screen


def test_at_a_terminal_the_terminal_asks(there: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    there.add("pinentry", WILLING)
    for name, value in there.environment.items():
        monkeypatch.setenv(name, value)
    person, screen = at_pipe(AT_TERMINAL, b"112233\n")
    with person.ask_pin(CARD, 3, MESSAGE) as pin:
        assert pin.reveal() == b"112233"
    assert "window" not in screen.getvalue()
    assert not there.log_of("pinentry").exists()


def test_at_a_terminal_a_window_is_announced(there: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    there.add("pinentry", WILLING)
    for name, value in there.environment.items():
        monkeypatch.setenv(name, value)
    person, screen = at_pipe(("pinentry", "terminal"), b"")
    person.tell(words.wrong_pin(2))
    with person.ask_pin(CARD, 2, MESSAGE) as pin:
        assert pin.reveal() == b"48392057"
    assert "the smartcard ending 4821 in the small window" in screen.getvalue()
    assert "SETERROR Your passcode was wrong. You have 2 tries left." in there.log("pinentry")["heard"]
