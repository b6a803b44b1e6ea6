"""A person at a terminal, on a real pseudo-terminal and on a pipe: no echo, no passcode shown, Ctrl-C is stop."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from renewagent.agent.prompts import CardAct
from renewagent.agent.terminal import TerminalPrompter, fitted
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.model import CardIdentity

CARD = CardIdentity("chuid", "aa4821")
HELLO = Message("hello", "Title", "Body", "Advice", "RA-X", ("Start renewal", "Not now"))


def at_pipe(typed: bytes) -> tuple[TerminalPrompter, io.StringIO]:
    source, keyboard = os.pipe()
    os.write(keyboard, typed)
    os.close(keyboard)
    screen = io.StringIO()
    return TerminalPrompter(source, screen), screen


def test_what_is_told_ends_on_the_screen() -> None:
    person, screen = at_pipe(b"")
    person.tell(HELLO)
    person.progress(2, 4, "making the new key", 60)
    person.card_wanted(CardAct.REMOVE, "Reader", CARD, HELLO)
    assert screen.getvalue().count("Title\nBody\nAdvice\n(RA-X)\n") == 2
    assert "Step 2 of 4: making the new key. About 1 minute left." in screen.getvalue()


def test_control_characters_do_not_reach_the_terminal() -> None:
    person, screen = at_pipe(b"")
    person.tell(Message("x", "\x1b]0;gotcha\x07", "a\rb\x9bc"))
    assert screen.getvalue() == "]0;gotcha\nabc\n\n"


@pytest.mark.parametrize(
    ("typed", "yes"), [(b"1\n", True), (b"\n", True), (b"2\n", False), (b"what?\n2\n", False), (b"Q\r\n", False)]
)
def test_confirm(typed: bytes, yes: bool) -> None:
    assert at_pipe(typed)[0].confirm(HELLO) is yes


def test_a_passcode_from_a_pipe_takes_its_own_line_only() -> None:
    person, screen = at_pipe(b"12345678\r\nnext\n")
    with person.ask_pin(CARD, 3, HELLO) as pin:
        assert pin.reveal() == b"12345678"
    assert "12345678" not in screen.getvalue()
    assert os.read(person._source, 10) == b"next\n"


@pytest.mark.parametrize("typed", [b"", b"\n", b"9" * 100 + b"\n"])
def test_no_passcode_is_a_stop(typed: bytes) -> None:
    with pytest.raises(PersonStopped):
        at_pipe(typed)[0].ask_pin(CARD, 3, HELLO)


def test_the_end_of_input_is_a_stop() -> None:
    with pytest.raises(PersonStopped):
        at_pipe(b"")[0].confirm(HELLO)


def test_on_a_terminal_the_passcode_is_not_echoed_and_echo_comes_back() -> None:
    import termios

    keyboard, terminal = pty.openpty()
    screen = _Screen(terminal)
    typing = threading.Thread(target=_type_after, args=(keyboard, b"not shown): ", b"24680135\n"))
    typing.start()
    with TerminalPrompter(terminal, screen).ask_pin(CARD, 3, HELLO) as pin:
        assert pin.reveal() == b"24680135"
    typing.join(5)
    shown = b""
    while select.select([keyboard], [], [], 0.1)[0]:
        shown += os.read(keyboard, 4096)
    assert b"24680135" not in shown
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    screen.close()
    os.close(keyboard)


def test_ctrl_c_at_the_passcode_is_a_stop_and_echo_comes_back(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from renewagent.agent.terminal import TerminalPrompter\n"
        "from renewagent.agent.words import Message\n"
        "from renewagent.errors import PersonStopped\n"
        "from renewagent.model import CardIdentity\n"
        "try:\n"
        "    TerminalPrompter().ask_pin(CardIdentity('chuid', 'aa'), 3, Message('x', 'T', 'B'))\n"
        "except PersonStopped as error:\n"
        "    print('stopped:', error.message)\n"
    )
    child, keyboard = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", script])  # noqa: S606
    shown = _type_after(keyboard, b"not shown): ", b"123\x03")
    while b"stopped: You stopped the renewal." not in shown:
        shown += os.read(keyboard, 4096)
    assert b"123" not in shown
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(keyboard)


def test_enter_alone_at_the_passcode_asks_again() -> None:
    person, screen = at_pipe(b"\n\n24680135\n")
    with person.ask_pin(CARD, 3, HELLO) as pin:
        assert pin.reveal() == b"24680135"
    assert screen.getvalue().count("not shown): ") == 3
    assert "Title" not in screen.getvalue()  # the prompt says it


def test_the_end_of_a_pipe_is_told_as_what_it_is() -> None:
    person, screen = at_pipe(b"")
    with pytest.raises(PersonStopped, match="needs a terminal, or its answers on standard input"):
        person.confirm(HELLO)
    assert screen.getvalue().count("Type 1 or 2") == 1 and screen.getvalue().endswith("\n")
    assert "1  Start renewal (or press Enter)" in screen.getvalue()


def test_long_lines_are_broken_at_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = "  " + "word " * 30
    keyboard, terminal = pty.openpty()
    with _Screen(terminal) as screen:
        lines = fitted(long, screen).split("\n")
    os.close(keyboard)
    assert len(lines) > 3 and all(len(line) <= 40 and line.startswith("  word") for line in lines)
    assert fitted(long, io.StringIO()) == long


EARLY = """\
import os, sys, time
from renewagent.agent.terminal import TerminalPrompter, quiet
from renewagent.agent.words import Message
from renewagent.model import CardIdentity
with quiet():
    person = TerminalPrompter()
    person.tell(Message("x", "Remove the smartcard", ""))
    time.sleep(1)
    with person.ask_pin(CardIdentity("chuid", "aa"), 3, Message("x", "T", "B")) as pin:
        print("given", len(pin.reveal()))
    print("waiting")
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_passcode_typed_too_early_is_neither_shown_nor_taken_and_echo_comes_back(number: int) -> None:
    import termios

    keyboard, terminal = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", EARLY], stdin=terminal, stdout=terminal, stderr=terminal)
    shown = _type_after(keyboard, b"Remove the smartcard\r\n\r\n", b"24680135\n")
    shown += _type_after(keyboard, b"not shown): ", b"1357\n")
    while b"waiting" not in shown:
        shown += os.read(keyboard, 4096)
    assert b"24680135" not in shown and b"1357" not in shown and b"given 4" in shown
    assert not termios.tcgetattr(terminal)[3] & termios.ECHO
    child.send_signal(number)
    child.wait(10)
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    os.close(keyboard)
    os.close(terminal)


class _Screen(io.TextIOWrapper):
    def __init__(self, terminal: int) -> None:
        super().__init__(open(terminal, "wb", buffering=0, closefd=True), write_through=True)


def _type_after(keyboard: int, prompt: bytes, typed: bytes) -> bytes:
    shown = b""
    while not shown.endswith(prompt):
        assert select.select([keyboard], [], [], 10)[0], shown
        shown += os.read(keyboard, 4096)
    os.write(keyboard, typed)
    return shown
