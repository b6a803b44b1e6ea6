"""A person at a terminal, on a real pseudo-terminal and on a pipe: no echo, no passcode shown, Ctrl-C is stop."""

from __future__ import annotations

import io
import os
import pty
import select
import sys
import threading
from pathlib import Path

import pytest

from renewagent.agent.prompts import CardAct
from renewagent.agent.terminal import TerminalPrompter
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
