"""A person at standard input and standard error, as guided commands see one; and what is known where there is none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from renewagent.cli.answer import say
from renewagent.errors import ConfigurationError, PersonStopped
from renewagent.language import _

_LONGEST_SECRET = 1024


def at_terminal() -> bool:
    """Whether anybody can be asked."""
    return sys.stdin.isatty()


class Terminal:
    """An `Asker`. `stopped`: what is so when they stop in the middle, such as N_("nothing was written")."""

    def __init__(self, stopped: str) -> None:
        self._stopped = stopped

    def say(self, text: str) -> None:
        """See `Asker`."""
        say(text)

    def ask(self, prompt: str) -> str:
        """See `Asker`."""
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            say("")
            raise PersonStopped(_("You stopped: {stopped}.").format(stopped=_(self._stopped)))
        return line.rstrip("\r\n")

    def secret(self, prompt: str) -> str:
        """One line that is not shown. Raises PersonStopped."""
        from getpass import getpass

        try:
            return getpass(_("{prompt} (it is not shown): ").format(prompt=prompt), sys.stderr)
        except EOFError:
            say("")
            raise PersonStopped(_("You stopped: {stopped}.").format(stopped=_(self._stopped))) from None


def first_lines(path: Path, count: int = 1) -> list[str]:
    """So many lines of a file with secrets, "-" for standard input; fewer where it ends. Raises ConfigurationError."""
    if str(path) == "-":
        found = [_line_of_input() for _line in range(count)]
    else:
        try:
            with path.open(encoding="utf-8") as file:
                found = [file.readline(_LONGEST_SECRET) for _line in range(count)]
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or _("it is no text")
            raise ConfigurationError(
                _("The file {path} cannot be read: {why}.").format(path=path, why=why),
                advice=_("Check the name of the file."),
            ) from problem
    return [line.rstrip("\r\n") for line in found if line]


def _line_of_input() -> str:
    """Octet by octet: what follows is for whoever reads next, a passcode's prompter perhaps."""
    line = bytearray()
    while len(line) < _LONGEST_SECRET and not line.endswith(b"\n") and (octet := os.read(0, 1)):
        line += octet
    return line.decode("utf-8", "replace")
