"""The journal: one append-only table of events on disk, durable before `append` returns. State is its replay.

SQLite in WAL mode with synchronous=FULL; on a network file system, where shared memory does not work, with a
rollback journal. Several processes may append. What an event means is `renewagent.renewal`; no PIN ever comes here.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.agent import journal_errors
from renewagent.agent.disk import Reserve, on_network
from renewagent.agent.locks import card_lock, exclusive
from renewagent.atomic import sync_folder
from renewagent.errors import JournalError
from renewagent.language import _
from renewagent.model import CardIdentity
from renewagent.pin import Pin
from renewagent.renewal import FINAL, TABLE

APPLICATION = 0x52416A31  # "RAj1": so that another program's database is never taken for ours
PATIENCE = 5.0
"""Seconds that we wait for other processes."""
RESERVE = 256 * 1024
"""Octets held back, so that what must be written after an irreversible card command can be."""

MIGRATIONS: tuple[Sequence[str], ...] = (
    (
        """CREATE TABLE event (
             seq INTEGER PRIMARY KEY AUTOINCREMENT,
             at TEXT NOT NULL,
             renewal TEXT NOT NULL,
             card TEXT NOT NULL,
             name TEXT NOT NULL,
             fields TEXT NOT NULL)""",
        "CREATE INDEX event_by_renewal ON event (renewal, seq)",
        """CREATE TRIGGER event_never_changes BEFORE UPDATE ON event
             BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
        """CREATE TRIGGER event_never_goes BEFORE DELETE ON event
             BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    ),
)
"""What leads from each schema version to the next; the version is the number of steps done (PRAGMA user_version)."""

HOUSEKEEPING = "housekeeping"
"""Stands where a renewal's name does, for what is done to cards after theirs are over (`renewagent.agent.old_keys`)."""

CLOSING = frozenset(kind.value for row in TABLE.values() for kind, state in row.items() if state in FINAL)
"""Names of the events after which a renewal is over."""


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """One line of the journal. `at` is aware UTC; `fields` what was given to `append`, by way of JSON."""

    seq: int
    at: datetime
    renewal: str
    card: str
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenRenewal:
    """A renewal that has begun and is not over. `last` is the name of its latest event."""

    renewal: str
    card: str
    since: datetime
    last: str


class Journal:
    """The journal at `path`, made if it is missing and brought up to date if it is older. Raises JournalError."""

    def __init__(self, path: Path, *, migrations: tuple[Sequence[str], ...] = MIGRATIONS) -> None:
        self._path = path
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), RESERVE)
        self._turn = threading.Lock()
        with journal_errors.told(path):
            try:
                self._connection = _opened(path, migrations)
            except (sqlite3.Error, OSError) as problem:
                if not journal_errors.may_be_full(problem) or not self._reserve.release():
                    raise
                self._connection = _opened(path, migrations)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._connection.close()

    def append(self, renewal: str, card: str, name: str, fields: Mapping[str, Any], now: datetime) -> int:
        """Write one event; on disk when this returns its sequence number. Raises JournalError; TypeError for a Pin."""
        row = (_time_text(now), renewal, card, name, _fields_text(fields))
        with self._turn, journal_errors.told(self._path):
            try:
                return _insert(self._connection, row)
            except sqlite3.OperationalError as problem:
                if not journal_errors.may_be_full(problem) or not self._reserve.release():
                    raise
            return _insert(self._connection, row)

    def events(self, renewal: str) -> list[JournalEvent]:
        """All events of one renewal, in the order of their writing."""
        return self._read(
            "SELECT seq, at, renewal, card, name, fields FROM event WHERE renewal = ? ORDER BY seq", renewal
        )

    def replay(self) -> list[JournalEvent]:
        """All events there are, in the order of their writing."""
        return self._read("SELECT seq, at, renewal, card, name, fields FROM event ORDER BY seq")

    def open_renewals(self) -> list[OpenRenewal]:
        """Renewals without an event of `CLOSING`, the oldest first."""
        begun: dict[str, OpenRenewal] = {}
        for event in self.replay():
            if event.renewal == HOUSEKEEPING:
                continue
            first = begun.get(event.renewal)
            since = event.at if first is None else first.since
            begun[event.renewal] = OpenRenewal(event.renewal, event.card, since, event.name)
            if event.name in CLOSING:
                del begun[event.renewal]
        return list(begun.values())

    def check_writable(self) -> None:
        """Before a renewal: raises JournalError unless an event could be written now, and there is room for more."""
        with self._turn, journal_errors.told(self._path):
            self._reserve.hold()
            with _transaction(self._connection):
                pass

    def check(self) -> None:
        """Read all of it. Raises JournalDamaged where a page is torn, or an event makes no sense."""
        with self._turn, journal_errors.told(self._path):
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise _corrupt(str(found))
        self.replay()

    def card_lock(self, identity: CardIdentity) -> AbstractContextManager[None]:
        """Hold the one renewal of this card on this workstation. Raises AgentError if another process has it."""
        return card_lock(self._path.parent, identity)

    def _read(self, query: str, *values: str) -> list[JournalEvent]:
        with self._turn, journal_errors.told(self._path):
            return [_event(row) for row in self._connection.execute(query, values)]


def _opened(path: Path, migrations: tuple[Sequence[str], ...]) -> sqlite3.Connection:
    with exclusive(path.with_name(path.name + ".lock"), PATIENCE):
        connection = _connect(path)
        try:
            _prepare(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
        return connection


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path, migrations: tuple[Sequence[str], ...]) -> None:
    """Manners first, then the schema. The caller keeps other processes out."""
    connection.execute("PRAGMA recursive_triggers = ON")  # else REPLACE deletes without asking the trigger
    _check_ours(connection, path, len(migrations))
    mode = "DELETE" if on_network(path.parent) else "WAL"
    connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    with _transaction(connection):
        for number in range(_version(connection), len(migrations)):
            for statement in migrations[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
    sync_folder(path.parent)


def _check_ours(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    version, application = _version(connection), connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if (tables or version) and application != APPLICATION:
        raise JournalError(
            _("{path} is not a record of renewals.").format(path=path), advice=_(journal_errors.MOVE_ASIDE)
        )
    if version > newest:
        said = _(
            "The record of renewals, {path}, was written by a newer renewagent (version {version}, here {newest})."
        )
        raise JournalError(
            said.format(path=path, version=version, newest=newest),
            advice=_("Ask your IT support to update renewagent on this computer."),
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back by itself after a full disk
            connection.execute("ROLLBACK")
        raise


def _insert(connection: sqlite3.Connection, row: tuple[str, ...]) -> int:
    with _transaction(connection):
        cursor = connection.execute("INSERT INTO event (at, renewal, card, name, fields) VALUES (?, ?, ?, ?, ?)", row)
    return int(cursor.lastrowid or 0)


def _event(row: tuple[int, str, str, str, str, str]) -> JournalEvent:
    seq, at, renewal, card, name, fields = row
    try:
        return JournalEvent(seq, datetime.fromisoformat(at), renewal, card, name, json.loads(fields))
    except (ValueError, TypeError) as problem:
        raise _corrupt(f"event {seq} makes no sense") from problem


def _corrupt(what: str) -> sqlite3.DatabaseError:
    """Damage that SQLite itself lives with."""
    problem = sqlite3.DatabaseError(what)
    problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return problem


def _time_text(now: datetime) -> str:
    if now.tzinfo is None:
        raise ValueError("a time without a zone")
    return now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _fields_text(fields: Mapping[str, Any]) -> str:
    _refuse_pins(fields)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _refuse_pins(value: object) -> None:
    if isinstance(value, Pin):
        raise TypeError("a PIN is never journalled")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_pins(name)
            _refuse_pins(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_pins(inner)
