"""The console's audit log: every entry's digest covers the one before, so that none can be changed or left out
unnoticed. An entry is written in the transaction of the change that it tells of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from renewagent.console.tables import AUDIT

BEGINNING = "0" * 64
_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
_LOCK = 7_305_112_019
"""Of PostgreSQL's advisory locks: one entry at a time, whatever server process writes it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. `details` is JSON and holds no secrets."""

    number: int
    at: datetime
    actor: str
    event: str
    details: str
    previous: str
    digest: str


def record(connection: sa.Connection, now: datetime, actor: str, event: str, details: Mapping[str, object]) -> None:
    """Append to the log within the caller's transaction. `actor`: who did it; `event`: as in `campaign.added`."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    last = connection.execute(
        sa.select(AUDIT.c.number, AUDIT.c.digest).order_by(AUDIT.c.number.desc()).limit(1)
    ).first()
    number, previous = (last.number + 1, last.digest) if last else (1, BEGINNING)
    at = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as the column keeps it
    text = _JSON.encode(dict(details))
    digest = _digest(number, at, actor, event, text, previous)
    row = {"number": number, "at": at, "actor": actor, "event": event, "details": text}
    connection.execute(sa.insert(AUDIT).values(**row, previous=previous, digest=digest))


def entries(connection: sa.Connection) -> list[Entry]:
    """The whole log, in order."""
    return [Entry(*row) for row in connection.execute(sa.select(AUDIT).order_by(AUDIT.c.number))]


def verify_chain(log: Iterable[Entry], previous: str = BEGINNING, number: int = 0) -> str | None:
    """None if the log is whole; else what is wrong with it, in a sentence. `previous` and `number` are those of the
    entry before the first, for a log whose beginning has been put away."""
    for entry in log:
        number += 1
        if entry.number != number:
            return f"Entry {number} is missing."
        if entry.previous != previous:
            return f"Entry {number} does not follow from the one before."
        if entry.digest != _digest(entry.number, entry.at, entry.actor, entry.event, entry.details, entry.previous):
            return f"Entry {number} was changed."
        previous = entry.digest
    return None


def _digest(number: int, at: datetime, actor: str, event: str, details: str, previous: str) -> str:
    time = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return hashlib.sha256(_JSON.encode([number, time, actor, event, details, previous]).encode()).hexdigest()
