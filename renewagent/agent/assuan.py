"""The client's side of the Assuan protocol, as pinentry programs speak it: one question for a passcode.

What is typed goes from the pipe into buffers of fixed size that are wiped, and from there into a `Pin`; it never is a
`bytes` or a text, and nothing here logs. Who is spoken to, and what comes next when that fails, is `pinentry`'s
business.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from dataclasses import dataclass

from renewagent.errors import PersonStopped
from renewagent.language import _
from renewagent.pin import Pin

_MANNERS = 10.0
"""Seconds for an answer that needs no person, and beyond the person's time for a program to say that it is up."""
_AT_ONCE = 0.25
"""Seconds in which no person cancels a window that has yet to appear: so says a flavour that cannot ask."""
_LONGEST_LINE = 1000
"""Octets, the line feed included (Assuan's own limit)."""
_LINES = 200
_ROOM = 512
"""Octets that are kept of what is typed; more than any passcode, so that what was cut off is refused for its length."""
_EMPTY = 3
"""How often somebody may press OK without having typed anything."""
_CANCELLED = frozenset({99, 114, 198})  # GPG_ERR_CANCELED, _NOT_CONFIRMED, _FULLY_CANCELED
_TIMED_OUT = 62


class PinentryFailed(Exception):
    """This program cannot ask; another one may."""


class _NoAnswer(PinentryFailed):
    """It says nothing any more."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the window says. `error` stands out in it: what was wrong with what was typed before."""

    title: str
    description: str
    prompt: str
    error: str = ""


class Conversation:
    """Commands to one program, by the descriptors of its standard input and output, and its answers. A context manager,
    which wipes what it holds. Raises OSError and PinentryFailed."""

    def __init__(self, to_it: int, from_it: int) -> None:
        self._in, self._out = to_it, from_it
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._ahead = bytearray(_LONGEST_LINE)  # what has arrived, wiped as it is read
        self._known = 0
        self._typed = bytearray(_ROOM)
        self._length = 0

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *exc: object) -> None:
        _wipe(self._ahead)
        _wipe(self._typed)

    def open(self, question: Question, options: Iterable[str], patience: float) -> None:
        """Say what is to be shown, and how. What a flavour does not know is left out, but for the question itself."""
        if self._answer(_MANNERS) != 0:
            raise PinentryFailed("no greeting")
        for option in options:
            self._command("OPTION", option)
        self._command("SETTIMEOUT", str(max(1, int(patience))))
        self._command("SETTITLE", question.title)
        self._command("SETOK", _("OK"))
        self._command("SETCANCEL", _("Cancel"))
        if question.error:
            self._command("SETERROR", question.error)
        for name, text in (("SETDESC", question.description), ("SETPROMPT", question.prompt)):
            if self._command(name, text) != 0:
                raise PinentryFailed(name)

    def passcode(self, question: Question, patience: float) -> Pin:
        """GETPIN until something was typed. Raises PersonStopped."""
        for _time in range(_EMPTY):
            asked = time.monotonic()
            try:
                problem = self._command("GETPIN", thinking=patience)
            except _NoAnswer:  # it has no clock of its own
                problem = _TIMED_OUT
            if problem == 0 and self._length:
                return self._pin()
            if problem == 0:
                self._command("SETERROR", question.error or _("Nothing was typed."))
            elif problem in _CANCELLED and time.monotonic() - asked > _AT_ONCE:
                raise PersonStopped(_("You cancelled: no passcode was typed."))
            elif problem == _TIMED_OUT:
                raise PersonStopped(_("No passcode was typed in time."))
            else:
                raise PinentryFailed(f"error {problem}")
        raise PersonStopped(_("No passcode was typed."))

    def _command(self, name: str, argument: str = "", thinking: float = 0.0) -> int:
        """Send one; 0 for OK, else the error's number without its source (the low 16 bits)."""
        line = escaped(f"{name} {argument}".rstrip(), _LONGEST_LINE - 1) + b"\n"
        while line:
            line = line[os.write(self._in, line) :]
        return self._answer(thinking + _MANNERS)

    def _answer(self, limit: float) -> int:
        end = time.monotonic() + limit
        self._length = 0
        for _number_of in range(_LINES):
            line = self._line(end)
            try:
                if line.startswith(b"D "):
                    self._keep(line[2:])
                elif line == b"OK" or line.startswith(b"OK "):
                    return 0
                elif line.startswith(b"ERR "):
                    return _number(line)
                elif line.startswith(b"INQUIRE "):  # how good a passcode it is, say: nothing is known of that
                    os.write(self._in, b"END\n")
                elif not line.startswith((b"S ", b"#")):
                    raise PinentryFailed("not Assuan")
            finally:
                _wipe(line)
        raise PinentryFailed("it does not end")

    def _line(self, end: float) -> bytearray:
        """One line without its end; to be wiped by who takes it."""
        while (found := self._ahead.find(b"\n", 0, self._known)) < 0:
            if self._known == _LONGEST_LINE:
                raise PinentryFailed("too long a line")
            if not self._poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise _NoAnswer("no answer")
            with memoryview(self._ahead) as room, room[self._known :] as free:
                count = os.readv(self._out, [free])
            if not count:
                raise PinentryFailed("it has ended")
            self._known += count
        line = self._ahead[:found]
        rest = self._known - found - 1
        with memoryview(self._ahead) as room:  # within the one buffer: no copy is left anywhere
            room[:rest] = room[found + 1 : self._known]
            room[rest : self._known] = bytes(self._known - rest)
        self._known = rest
        return line

    def _keep(self, data: bytearray) -> None:
        """Append what a D line holds, unescaped (%25, %0A, %0D and the like); what has no room is dropped."""
        try:
            position = 0
            while position < len(data) and self._length < _ROOM:
                octet = data[position]
                if octet == 0x25:
                    octet, position = _hexadecimal(data, position + 1), position + 2
                self._typed[self._length] = octet
                self._length += 1
                position += 1
        finally:
            _wipe(data)

    def _pin(self) -> Pin:
        typed = self._typed[: self._length]
        try:
            return Pin(typed)
        finally:
            _wipe(typed)


def escaped(text: str, longest: int) -> bytes:
    """Percent-escaped as Assuan wants it, and cut where it would be too long for a line."""
    line = bytearray()
    for octets in (character.encode("utf-8", "replace") for character in text):
        special = octets == b"%" or octets[0] < 0x20 or octets == b"\x7f"
        part = b"%%%02X" % octets[0] if special else octets
        if len(line) + len(part) > longest:
            break
        line += part
    return bytes(line)


def _number(line: bytearray) -> int:
    """The low 16 bits: what is above them names the library that found the error."""
    number = bytes(line[4:24]).split(b" ")[0]
    if not number.isdigit():
        raise PinentryFailed("an error without a number")
    return int(number) & 0xFFFF or -1


def _hexadecimal(data: bytearray, position: int) -> int:
    value = 0
    for digit in data[position : position + 2].ljust(2, b"?"):
        known = b"0123456789abcdef".find(digit | 0x20 if digit > 0x39 else digit)
        if known < 0:
            raise PinentryFailed("a wrong escape")
        value = value << 4 | known
    return value


def _wipe(octets: bytearray) -> None:
    octets[:] = bytes(len(octets))
