"""A damaged journal makes way for a new one: it is put aside under another name, never deleted and never mended.

Nothing is lost by that which matters to a card: the card is looked at first, the RA second, the journal third. So
nobody who cannot sign has to wait for somebody who may move a file.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path

from renewagent.agent import journal_errors, watching_words
from renewagent.agent.journal import PATIENCE, Journal
from renewagent.agent.journal_errors import JournalDamaged
from renewagent.agent.locks import exclusive
from renewagent.agent.words import Message
from renewagent.language import _

_PARTS = ("-wal", "-shm", "")
"""The file itself last: a new one beside an old write-ahead log would have it played into it (sqlite.org/wal.html)."""
_SMALLEST = 512
"""Octets of the smallest page that SQLite writes."""


def open_journal(path: Path, tell: Callable[[Message], None], now: datetime) -> Journal:
    """The journal at `path`, or a new one where that is damaged, which is then told. Raises JournalError."""
    before = _inode(path)
    try:
        return _checked(path)
    except JournalDamaged:
        aside = put_aside(path, before, now)
    if aside is not None:
        tell(watching_words.journal_put_aside(str(aside)))
    return _checked(path)


def put_aside(path: Path, inode: int, now: datetime) -> Path | None:
    """Rename the journal; its new name, None where another process has done so meanwhile. Raises JournalError."""
    with journal_errors.told(path), exclusive(path.with_name(path.name + ".lock"), PATIENCE):
        if _inode(path) != inode:
            return None
        aside = _free(path, now)
        for part in _PARTS:
            if (file := path.with_name(path.name + part)).exists():
                file.rename(aside.with_name(aside.name + part))
        return aside


def _checked(path: Path) -> Journal:
    # SQLite deletes the log of a file that it takes for an empty one; ours has a page before it ever has a log.
    if _size(path) < _SMALLEST and _size(path.with_name(path.name + "-wal")):
        raise JournalDamaged(_("The record of renewals, {path}, is damaged.").format(path=path))
    journal = Journal(path)
    try:
        journal.check()
    except BaseException:
        journal.close()
        raise
    return journal


def _free(path: Path, now: datetime) -> Path:
    stem = f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}"
    names = (path.with_name(stem + (f"-{number}" if number else "")) for number in count())
    return next(name for name in names if not any(name.with_name(name.name + part).exists() for part in _PARTS))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _inode(path: Path) -> int:
    return path.stat().st_ino if path.exists() else 0
