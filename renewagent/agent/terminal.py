"""A person at a terminal. Everything is written to standard error as plain lines, which screen readers follow.

The passcode is read without echo, octet by octet, into a bytearray; from a pipe (scripts, tests) it is one line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

from renewagent.agent import words
from renewagent.agent.prompts import MAX_PIN, CardAct
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.model import CardIdentity
from renewagent.pin import Pin

_NO = frozenset({"2", "n", "no", "q"})
_YES = frozenset({"", "1", "y", "yes"})
_CONTROL = dict.fromkeys([*range(0x20), 0x7F, *range(0x80, 0xA0)])
_MAX_ANSWER = 256


class TerminalPrompter:
    """Reads from descriptor `source`, writes to `out`. Ctrl-C or the end of input means "stop"."""

    def __init__(self, source: int = 0, out: TextIO | None = None) -> None:
        self._source = source
        self._out = sys.stderr if out is None else out
        self._amid_progress = False

    def tell(self, message: Message) -> None:
        """See `Prompter`."""
        self._paragraph(message.text + "\n")

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        """See `Prompter`."""
        self._write(words.running(step, of, text, seconds_left))
        self._amid_progress = True

    def confirm(self, message: Message) -> bool:
        """See `Prompter`. Enter takes the first action."""
        first, *others = message.actions or ("Go on", "Stop")
        self._paragraph(message.text)
        self._write(f"  1  {first}\n  2  {others[0] if others else 'Stop'}")
        while True:
            answer = self._line("Type 1 or 2, then Enter: ").decode("utf-8", "replace").strip().lower()
            if answer in _YES | _NO:
                return answer in _YES

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`."""
        self._paragraph(message.text)
        octets = self._line("Passcode (it is not shown): ", secret=True)
        try:
            if not octets:
                raise PersonStopped("No passcode was typed.")
            return Pin(octets)
        finally:
            octets[:] = bytes(len(octets))

    def card_wanted(self, act: CardAct, reader: str, card: CardIdentity | None, message: Message) -> None:
        """See `Prompter`."""
        self._paragraph(message.text + "\n")

    def stopped(self) -> bool:
        """See `Prompter`. A terminal stops by Ctrl-C."""
        return False

    def _paragraph(self, text: str) -> None:
        """With an empty line between it and the lines of progress before it."""
        self._write(f"\n{text}" if self._amid_progress else text)
        self._amid_progress = False

    def _write(self, text: str) -> None:
        """Names come from cards and documents: no control character of theirs reaches the terminal."""
        clean = "\n".join(line.translate(_CONTROL) for line in text.split("\n"))
        try:
            self._out.write(clean + "\n")
            self._out.flush()
        except OSError:
            pass  # telling never fails; the next question will notice

    def _line(self, prompt: str, *, secret: bool = False) -> bytearray:
        try:
            with _no_echo(self._source) if secret else nullcontext():
                self._out.write(prompt)
                self._out.flush()
                return _read_line(self._source, MAX_PIN if secret else _MAX_ANSWER)
        except KeyboardInterrupt:
            raise PersonStopped("You stopped the renewal.") from None
        except OSError as error:
            raise PersonStopped("The terminal was closed.") from error
        finally:
            if secret:
                self._write("")


@contextmanager
def _no_echo(source: int) -> Iterator[None]:
    if not os.isatty(source):
        yield
        return
    import termios

    before = termios.tcgetattr(source)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(source, termios.TCSAFLUSH, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(source, termios.TCSAFLUSH, before)


def _read_line(source: int, limit: int) -> bytearray:
    """Without the line's end. Octet by octet: nothing that was typed stays in a buffer of ours."""
    line = bytearray()
    while len(line) <= limit:
        octet = os.read(source, 1)
        if not octet and not line:
            raise PersonStopped("There was no answer.")
        if octet in (b"\n", b""):
            break
        line += octet
    else:
        raise PersonStopped("The answer is too long.")
    if line.endswith(b"\r"):
        del line[-1]
    return line
