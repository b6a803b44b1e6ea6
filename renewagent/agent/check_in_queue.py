"""Check-ins that wait on disk for the console, one JSON object a line: no network and no cryptography in here.

Several processes of one user write it, each under the lock, and what `add` said yes to is durable. It is bounded: of
too many, claims that a later one of the same card supersedes go first, then the oldest claims; a receipt never goes
but by the console's word. What a crash cut short in the middle of a line is passed over.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from renewagent.agent.disk import Reserve
from renewagent.agent.locks import exclusive
from renewagent.atomic import sync_folder, write_atomically
from renewagent.check_ins import CheckIn

log = logging.getLogger(__name__)

MOST = 500
"""Check-ins; receipts beyond it are kept all the same."""
LARGEST = 512 * 1024
"""Octets; likewise."""
RESERVE = 64 * 1024
"""Octets held back for the day when the disk is full: a few receipts."""
PATIENCE = 2.0
"""Seconds that we wait for other processes. Nobody is to notice."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class CheckInQueue:
    """The queue in `state_folder`. Nothing here raises for the disk's sake: nobody's renewal fails over a report."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / "check-ins.jsonl"
        self._lock = state_folder / "check-ins.lock"
        self._reserve = Reserve(state_folder / "check-ins.reserve", RESERVE)

    def add(self, check_in: CheckIn) -> bool:
        """On disk when this returns True; False where there is no room for it, even after a look for some."""
        line = json.dumps(check_in.to_json(), separators=(",", ":")).encode() + b"\n"
        try:
            with exclusive(self._lock, PATIENCE):
                self._append_somehow(line)
                self._bound()
        except OSError as problem:
            log.warning("check_in.not_kept state=%s reason=%s", check_in.state.value, problem.strerror or "locked")
            return False
        return True

    def first(self, most: int) -> list[CheckIn]:
        """The oldest that make sense, not taken out."""
        found: list[CheckIn] = []
        for document in map(_document, self._lines()):
            try:
                found.append(CheckIn.from_json(document))
            except ValueError:
                continue
            if len(found) == most:
                break
        return found

    def remove(self, ids: Collection[str]) -> None:
        """The console has them, or will never take them; what makes no sense goes along. Raises OSError."""
        with exclusive(self._lock, PATIENCE):
            lines = self._lines()
            kept = [line for line in lines if (one := _document(line)) is not None and one["id"] not in ids]
            if len(kept) < len(lines):
                self._rewrite(kept)

    def hold_reserve(self) -> None:
        """Put room by for a full disk, if there is any now."""
        try:
            self._reserve.hold()
        except OSError as problem:
            log.info("check_in.no_reserve reason=%s", problem.strerror)

    def __len__(self) -> int:
        return len(self._lines())

    def _append_somehow(self, line: bytes) -> None:
        try:
            self._append(line)
        except OSError as problem:
            if problem.errno not in _FULL or not self._reserve.release():
                raise
            self._append(line)

    def _append(self, line: bytes) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            file.seek(max(0, before - 1))
            if file.read(1) not in (b"", b"\n"):  # a line that was cut short
                line = b"\n" + line
            try:
                while line:
                    line = line[file.write(line) :]
                os.fsync(handle)
            except OSError:
                file.truncate(before)
                raise
        if not before:
            sync_folder(self._path.parent)

    def _bound(self) -> None:
        lines = self._lines()
        if len(lines) <= MOST and sum(map(len, lines)) + len(lines) <= LARGEST:
            return
        kept = shortened(lines, MOST * 3 // 4, LARGEST * 3 // 4)
        log.warning("check_in.dropped number=%d", len(lines) - len(kept))
        with suppress(OSError):  # no room to make room: then nothing more is taken in either
            self._rewrite(kept)

    def _rewrite(self, lines: Sequence[bytes]) -> None:
        write_atomically(self._path, b"".join(line + b"\n" for line in lines))

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines()
        except OSError:
            return []


def shortened(lines: Sequence[bytes], most: int, largest: int) -> list[bytes]:
    """What is to be kept of `lines`: all receipts; of the claims the last of each card and campaign; of these, if they
    are still too many or too long, the newest."""
    last: dict[object, int] = {}
    receipts: set[int] = set()
    for number, one in enumerate(map(_document, lines)):
        if one is not None and one.get("receipt"):
            receipts.add(number)
        elif one is not None:
            last[one.get("card"), one.get("campaign"), one.get("order")] = number
    number, size = len(receipts), sum(len(lines[one]) for one in receipts)
    kept = set(receipts)
    for claim in sorted(last.values(), reverse=True):
        number, size = number + 1, size + len(lines[claim])
        if number > most or size > largest:
            break
        kept.add(claim)
    return [lines[one] for one in sorted(kept)]


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("id"), str) else None
