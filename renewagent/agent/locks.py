"""Locks between processes of one user: one renewal per smartcard, one at a time opening the journal.

A lock is a file that stays and a lock on it that ends with the process, however it ends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renewagent.errors import AgentError, JournalError, Retry
from renewagent.language import N_, _
from renewagent.model import CardIdentity

if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class CardInUse(AgentError):
    """Another process of ours is at work on this very card."""

    code = "RA-AGENT-CARD"
    retry = Retry.LATER
    advice = N_("Finish the renewal that is already on the screen, or close it, then try again.")


@contextmanager
def card_lock(folder: Path, identity: CardIdentity) -> Iterator[None]:
    """Hold the one renewal of this card on this workstation.

    Raises AgentError if another process has it, JournalError if the lock cannot be made.
    """
    import hashlib  # see renewagent.model

    # A card's own words are no file name: they could hold anything.
    name = hashlib.sha256(str(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    try:
        handle = _open(folder / f"card-{name}.lock")
    except OSError as problem:
        said = _("renewagent cannot write in its folder, {folder}: {why}.").format(folder=folder, why=problem.strerror)
        raise JournalError(said) from problem
    try:
        _try(handle)
    except OSError as problem:
        os.close(handle)
        raise CardInUse(
            _("This smartcard is already being renewed (ending {ending}).").format(ending=identity.ending)
        ) from problem
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def exclusive(path: Path, patience: float) -> Iterator[None]:
    """Hold `path` against all other processes, waiting at most `patience` seconds. Raises OSError, TimeoutError."""
    handle = _open(path)
    try:
        _wait(handle, path, time.monotonic() + patience)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, end: float) -> None:
    while True:
        try:
            return _try(handle)
        except OSError as problem:
            if time.monotonic() >= end:
                raise TimeoutError(str(path)) from problem
        time.sleep(0.02)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
