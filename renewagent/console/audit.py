"""The console's audit log: every entry's digest covers the one before, so that none can be changed or left out
unnoticed. An entry is written in the transaction of the change that it tells of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from renewagent.console.tables import AUDIT, FACT

BEGINNING = "0" * 64
_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
_BEGINNING_FACT = "audit-beginning"
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

    def to_line(self) -> str:
        """As a line of an exported log (JSON, without the line's end)."""
        return _JSON.encode({**{name: getattr(self, name) for name in _FIELDS}, "at": _time(self.at)})

    @classmethod
    def from_line(cls, line: str | bytes) -> Entry:
        """The reverse. Raises ValueError."""
        known = json.loads(line)
        if not isinstance(known, dict) or known.keys() != set(_FIELDS):
            raise ValueError("not an entry of a console's audit log")
        if type(known["number"]) is not int or not all(isinstance(known[name], str) for name in _FIELDS[1:]):
            raise ValueError("not an entry of a console's audit log")
        at = datetime.fromisoformat(known["at"])
        if at.tzinfo is None:
            raise ValueError("a time without its zone")
        return cls(**{**known, "at": at})


_FIELDS = ("number", "at", "actor", "event", "details", "previous", "digest")


@dataclass(frozen=True, slots=True)
class Beginning:
    """What came before the log's first entry: the number and digest of the last entry that was put away."""

    number: int = 0
    digest: str = BEGINNING


def record(connection: sa.Connection, now: datetime, actor: str, event: str, details: Mapping[str, object]) -> None:
    """Append to the log within the caller's transaction. `actor`: who did it; `event`: as in `campaign.added`."""
    _one_at_a_time(connection)
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


def each(connection: sa.Connection) -> Iterator[Entry]:
    """The whole log, in order, a piece at a time: it may be longer than what fits into memory."""
    rows = connection.execute(sa.select(AUDIT).order_by(AUDIT.c.number), execution_options={"yield_per": 1_000})
    return (Entry(*row) for row in rows)


def between(connection: sa.Connection, begin: datetime, end: datetime) -> list[Entry]:
    """What was written in this time, in order."""
    question = sa.select(AUDIT).where(AUDIT.c.at >= begin, AUDIT.c.at < end).order_by(AUDIT.c.number)
    return [Entry(*row) for row in connection.execute(question)]


def beginning(connection: sa.Connection) -> Beginning:
    """Where the log in the database begins: pass it on to `verify_chain`."""
    value = connection.execute(sa.select(FACT.c.value).where(FACT.c.name == _BEGINNING_FACT)).scalar()
    return Beginning() if value is None else Beginning(**json.loads(value))


def old_entries(connection: sa.Connection, before: datetime, most: int) -> list[Entry]:
    """The oldest entries, all made before `before`, `most` of them at the most, and never the last one: what may be put
    away. Until the transaction ends nobody else puts any away."""
    _one_at_a_time(connection)
    question = sa.select(AUDIT).order_by(AUDIT.c.number).limit(most + 1)
    found = [Entry(*row) for row in connection.execute(question)]
    young = next((place for place, entry in enumerate(found) if entry.at >= before), len(found) - 1)
    return found[: min(young, most)]


def put_away(connection: sa.Connection, now: datetime, old: Sequence[Entry], to: str) -> None:
    """Take these entries, which are safe elsewhere (`to` says where), out of the log; its beginning is remembered."""
    last = old[-1]
    connection.execute(sa.delete(AUDIT).where(AUDIT.c.number <= last.number))
    connection.execute(sa.delete(FACT).where(FACT.c.name == _BEGINNING_FACT))
    value = _JSON.encode({"number": last.number, "digest": last.digest}).encode()
    connection.execute(sa.insert(FACT).values(name=_BEGINNING_FACT, value=value))
    details = {"first": old[0].number, "last": last.number, "digest": last.digest, "to": to}
    record(connection, now, "console", "audit.put-away", details)


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
    return hashlib.sha256(_JSON.encode([number, _time(at), actor, event, details, previous]).encode()).hexdigest()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _one_at_a_time(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
