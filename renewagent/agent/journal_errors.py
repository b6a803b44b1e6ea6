"""What goes wrong with the journal's file, in a prescriber's words. Wording and result codes alone."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renewagent.agent.disk import is_full
from renewagent.errors import JournalError
from renewagent.language import N_, _

FREE_SPACE = N_("Free some disk space, then try again.")
CLOSE_OTHERS = N_("Close other programs that use renewagent, or wait a moment, then try again.")
LET_WRITE = N_("Ask your IT support to let renewagent write in this folder.")
MOVE_ASIDE = N_(
    "Ask your IT support to move this file away: the smartcard and the Registration Authority know the rest."
)

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class JournalDamaged(JournalError):
    """What lies there was our record once, and cannot be read any more. To be put aside, not deleted."""

    code = "RA-JOURNAL-DAMAGED"
    advice = MOVE_ASIDE


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors about `path` become JournalError."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a fault of ours, not of the disk's
        raise
    except sqlite3.Error as problem:
        raise _by_code(path, problem) from problem
    except TimeoutError as problem:
        raise _busy(path) from problem
    except OSError as problem:
        raise _by_errno(path, problem) from problem


def may_be_full(problem: sqlite3.Error | OSError) -> bool:
    """True if more room could help: a full disk, or (quotas, limits) a write that failed for whatever reason."""
    if isinstance(problem, OSError):
        return problem.errno in _FULL
    return _primary(problem) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def _primary(problem: sqlite3.Error) -> int:
    # Extended result codes carry the primary one in the low octet (sqlite.org/rescode.html).
    return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _by_code(path: Path, problem: sqlite3.Error) -> JournalError:
    code = _primary(problem)
    if code == sqlite3.SQLITE_FULL or (
        code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and is_full(path.parent)
    ):
        return _full(path)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return _forbidden(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(path)
    if code == sqlite3.SQLITE_IOERR:
        return JournalError(
            _("The record of renewals, {path}, could not be read or written.").format(path=path), advice=_(FREE_SPACE)
        )
    kind = JournalDamaged if code in _DAMAGED else JournalError
    return kind(_("The record of renewals, {path}, is damaged.").format(path=path), advice=_(MOVE_ASIDE))


def _by_errno(path: Path, problem: OSError) -> JournalError:
    if problem.errno in _FULL:
        return _full(path)
    if problem.errno in _FORBIDDEN:
        return _forbidden(path)
    return JournalError(
        _("The record of renewals, {path}, cannot be opened: {why}.").format(path=path, why=problem.strerror),
        advice=_(LET_WRITE),
    )


def _full(path: Path) -> JournalError:
    return JournalError(
        _("The disk is full: the record of renewals, {path}, cannot be written.").format(path=path),
        advice=_(FREE_SPACE),
    )


def _forbidden(path: Path) -> JournalError:
    return JournalError(
        _("The record of renewals, {path}, cannot be written: that is not allowed.").format(path=path),
        advice=_(LET_WRITE),
    )


def _busy(path: Path) -> JournalError:
    return JournalError(
        _("Another program holds the record of renewals, {path}.").format(path=path), advice=_(CLOSE_OTHERS)
    )
