"""A person at a terminal. Everything is written to standard error as plain lines, which screen readers follow.

The passcode is read without echo, octet by octet, into a bytearray; from a pipe (scripts, tests) it is one line.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from renewagent.agent import words
from renewagent.agent.prompts import MAX_PIN, CardAct
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.language import N_, _
from renewagent.model import CardIdentity
from renewagent.pin import Pin

_NO = frozenset({"2", "n", "no", "q"})
_YES = frozenset({"", "1", "y", "yes"})
_CONTROL = dict.fromkeys([*range(0x20), 0x7F, *range(0x80, 0xA0)])
_MAX_ANSWER = 256
_NO_ANSWER = N_("renewagent renew needs a terminal, or its answers on standard input.")


class TerminalPrompter:
    """Reads from descriptor `source`, writes to `out`. Ctrl-C or the end of input means "stop"."""

    def __init__(self, source: int = 0, out: TextIO | None = None) -> None:
        self._source = source
        self._out = sys.stderr if out is None else out
        self._amid_progress = False

    def tell(self, message: Message) -> None:
        """See `Prompter`."""
        self._paragraph(message.text + "\n")

    def card_in_hand(self, reader: str, card: CardIdentity, holder: str, why: str) -> None:
        """See `Prompter`."""
        if holder:
            said = _("The smartcard ending {ending} belongs to {holder}.").format(ending=card.ending, holder=holder)
        else:
            said = _("The smartcard ending {ending}.").format(ending=card.ending)
        if holder or why:
            self._paragraph(f"{said} {why}".rstrip() + "\n")

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        """See `Prompter`."""
        self._write(words.running(step, of, text, seconds_left))
        self._amid_progress = True

    def confirm(self, message: Message) -> bool:
        """See `Prompter`. Enter takes the first action."""
        first, *others = message.actions or (_("Go on"), _("Stop"))
        self._paragraph(message.text)
        entered = _("{answer} (or press Enter)").format(answer=first)
        other = others[0] if others else _("Stop")
        self._write(f"  1  {entered}\n  2  {other}")
        while True:
            answer = self._line(_("Type 1 or 2, then Enter: ")).decode("utf-8", "replace").strip().lower()
            if answer in _YES | _NO:
                return answer in _YES

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`. Enter alone asks again; the title is for windows, the prompt stands in its place."""
        self._paragraph("\n".join(part for part in (message.body, message.advice) if part))
        while not (octets := self._line(_("Passcode (it is not shown): "), secret=True)):
            pass
        try:
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
            self._out.write(fitted(clean, self._out) + "\n")
            self._out.flush()
        except OSError:
            pass  # telling never fails; the next question will notice

    def _line(self, prompt: str, *, secret: bool = False) -> bytearray:
        try:
            with _echo(self._source, not secret):
                self._out.write(prompt)
                self._out.flush()
                line = _read_line(self._source, MAX_PIN if secret else _MAX_ANSWER)
        except KeyboardInterrupt:
            self._write("")  # what follows begins a line of its own
            raise PersonStopped(_("You stopped the renewal.")) from None
        except EOFError:
            self._write("")
            raise PersonStopped(_stopped_at_end(self._source)) from None
        except OSError as error:
            raise PersonStopped(_("The terminal was closed.")) from error
        if secret:
            self._write("")
        return line


def _stopped_at_end(source: int) -> str:
    """Ctrl-D is a person's; the end of a file or pipe is what a script left out."""
    return _("You stopped the renewal.") if os.isatty(source) else _(_NO_ANSWER)


def fitted(text: str, out: TextIO) -> str:
    """Long lines broken at words to the terminal's width; as it is where `out` is no terminal."""
    if not out.isatty():
        return text
    width = max(20, shutil.get_terminal_size().columns)
    return "\n".join(_broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


@contextmanager
def quiet(source: int = 0) -> Iterator[None]:
    """No echo at the terminal `source` while this lasts, but at questions: a passcode typed too early is not shown, and
    what nobody read does not end in the shell. Undone however it ends, SIGTERM and SIGHUP included."""
    with _signals_end(), _echo(source, False):
        yield


@contextmanager
def _signals_end() -> Iterator[None]:
    """As an exit, so that what is to be undone is undone; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]  # not under nohup
    before = {number: signal.signal(number, _leave) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: object) -> None:
    sys.exit(128 + number)


@contextmanager
def _echo(source: int, on: bool) -> Iterator[None]:
    """With echo or without. Without: what was typed before and what is left over afterwards is dropped."""
    if not os.isatty(source):
        yield
        return
    import termios

    before = termios.tcgetattr(source)
    local = before[3] | termios.ECHO if on else before[3] & ~termios.ECHO
    when = termios.TCSADRAIN if on else termios.TCSAFLUSH
    try:
        termios.tcsetattr(source, when, [*before[:3], local, *before[4:]])
        yield
    finally:
        termios.tcsetattr(source, when, before)


def _read_line(source: int, limit: int) -> bytearray:
    """Without the line's end. Octet by octet: nothing that was typed stays in a buffer of ours."""
    line = bytearray()
    while len(line) <= limit:
        octet = os.read(source, 1)
        if not octet and not line:
            raise EOFError
        if octet in (b"\n", b""):
            break
        line += octet
    else:
        raise PersonStopped(_("The answer is too long."))
    if line.endswith(b"\r"):
        del line[-1]
    return line
