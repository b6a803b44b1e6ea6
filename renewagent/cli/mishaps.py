"""What went wrong outside our own tree of errors, put into words: the last edge before the terminal.

A full disk, a refused permission and a bug become one plain sentence each; the details of a bug go into a file.
"""

from __future__ import annotations

import errno
import os
import traceback
from datetime import datetime
from pathlib import Path

from renewagent.errors import PersonStopped, RenewAgentError, Retry
from renewagent.language import N_, _


class UsageError(RenewAgentError):
    """The command line does not parse (exit status 2). `usage` is the line that shows how it should look."""

    code = "RA-USAGE"
    retry = Retry.NEVER

    def __init__(self, message: str, *, usage: str, program: str) -> None:
        super().__init__(message, advice=_('See "{program} --help".').format(program=program))
        self.usage = usage


class SystemRefused(RenewAgentError):
    """The operating system said no: disk full, permission, and the like."""

    code = "RA-SYSTEM"
    advice = N_("Ask your IT support for help, or try again.")


class Unexpected(RenewAgentError):
    """A bug of ours."""

    code = "RA-UNEXPECTED"


_ADVICE = {
    errno.ENOSPC: N_("Free some disk space, then try again."),
    errno.EDQUOT: N_("Free some disk space, then try again."),
    errno.EROFS: N_("Choose a place that can be written to, then try again."),
    errno.EACCES: N_("Check who may read and write there, then try again."),
    errno.EPERM: N_("Check who may read and write there, then try again."),
    errno.ENOENT: N_("Check the name, then try again."),
    errno.EMFILE: N_("Close other programs, then try again."),
    errno.EADDRINUSE: N_("Choose another port, or end the program that uses this one."),
}


def stopped() -> PersonStopped:
    """Ctrl-C."""
    return PersonStopped(_("Stopped at your request."))


def refused(problem: OSError) -> SystemRefused:
    """An `OSError` that no edge turned into one of ours."""
    words = problem.strerror or _("the operating system refused")
    place = f" ({os.fsdecode(problem.filename)})" if isinstance(problem.filename, str | bytes) else ""
    return SystemRefused(
        _("The computer could not do that: {why}.").format(why=f"{words}{place}"),
        advice=_(_ADVICE[problem.errno]) if problem.errno in _ADVICE else None,
    )


def unexpected(problem: BaseException, *, now: datetime, folder: Path) -> Unexpected:
    """A bug: its details are added to `folder`/errors.log, readable by this user alone.

    Only the traceback's lines of code and the messages are written, never the values of variables: a PIN may be among
    them (design section 4, invariant v).
    """
    details = "".join(traceback.format_exception(problem))
    log = folder / "errors.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{now:%Y-%m-%dT%H:%M:%SZ} {details}\n")
    except OSError:
        where = _("The details could not be written down; add --debug to see them.")
    else:
        where = _("The details are in {log}; please pass them on to your help desk.").format(log=log)
    return Unexpected(
        _("Something went wrong inside renewagent ({kind}).").format(kind=type(problem).__name__), advice=where
    )
