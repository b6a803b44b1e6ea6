"""Audit logs wherever they lie, read entry by entry without changing anything: a console's database (SQLite file or
PostgreSQL), or lines of JSON as a console exports them and puts them away, in a file or at an address.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from renewagent.campaign.download import download, http_client
from renewagent.console.audit import BEGINNING, Beginning, Entry, verify_chain
from renewagent.console.tables import AUDIT
from renewagent.errors import ConfigurationError, RenewAgentError

POSTGRESQL = "postgresql://"
OURS = frozenset(column.name for column in AUDIT.columns)
"""The columns of a console's log."""
_SQLITE = b"SQLite format 3\x00"
_AT_ONCE = 1_000
_LONGEST_LINE = 1 << 20
_LARGEST_EXPORT = 1 << 28
_NO_DATABASE = "Check that it is the database of a console or of a mock RA."


class AuditBroken(RenewAgentError):
    """A log in which something was changed or left out."""

    code = "RA-AUDIT"
    advice = "Keep everything as it is, and have it looked into: somebody changed the log, or a disk did."


@dataclass(frozen=True, slots=True)
class Whole:
    """What a whole log comes to. `first` is greater than 1 where its beginning was put away; `digest` is that of the
    last entry: who notes number and digest can tell later that the log was not made anew."""

    entries: int
    first: int
    last: int
    digest: str


def verify(sources: Iterable[Iterable[Entry]], start: Beginning | None, noted: Mapping[int, str]) -> Whole:
    """Look at every entry of one log, whose parts follow one another. `start`: what came before; None where that is not
    known, and the first entry is believed. `noted`: digests by number that must be found. Raises AuditBroken."""
    watched = _Watch(dict(noted))
    for source in sources:
        for entry in source:
            start = start or Beginning(entry.number - 1, entry.previous)
            if wrong := verify_chain((entry,), watched.digest or start.digest, watched.last or start.number):
                raise AuditBroken(wrong)
            watched.see(entry)
    if watched.noted:
        raise AuditBroken(f"Entry {min(watched.noted)} is not in the log, or is not what was noted.")
    return Whole(watched.count, watched.first, watched.last, watched.digest or BEGINNING)


@dataclass(slots=True)
class _Watch:
    noted: dict[int, str]
    count: int = 0
    first: int = 0
    last: int = 0
    digest: str = ""

    def see(self, entry: Entry) -> None:
        self.count += 1
        self.first = self.first or entry.number
        self.last, self.digest = entry.number, entry.digest
        if self.noted.get(entry.number) == entry.digest:
            del self.noted[entry.number]


@contextlib.contextmanager
def database(source: str) -> Iterator[sa.Connection]:
    """A database (path of an SQLite file, or a PostgreSQL URL), for reading alone. Raises RenewAgentError, without the
    URL: a password may be in it."""
    with _in_our_words(), contextlib.ExitStack() as stack:
        engine = _postgresql(source) if source.startswith(POSTGRESQL) else _sqlite(Path(source))
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.connect())
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")  # one state of affairs from beginning to end, like PostgreSQL's below
        yield connection


def columns(connection: sa.Connection) -> frozenset[str]:
    """Those of the table `audit`: whose log it is. Raises RenewAgentError if there is none."""
    with contextlib.suppress(sa.exc.NoSuchTableError):
        return frozenset(column["name"] for column in sa.inspect(connection).get_columns("audit"))
    raise RenewAgentError("There is no audit log in this database.", advice=_NO_DATABASE)


def entries_in(connection: sa.Connection) -> Iterator[Entry]:
    """All of a console's, in order and never all in memory at once."""
    page = sa.select(AUDIT).order_by(AUDIT.c.number).limit(_AT_ONCE)
    found = connection.execute(page).all()
    while found:
        for row in found:
            yield Entry(*row)
        found = connection.execute(page.where(AUDIT.c.number > found[-1].number)).all()


def is_address(source: str) -> bool:
    """Whether it is to be asked of a web server."""
    return source.startswith(("http://", "https://"))


def is_database(source: str) -> bool:
    """Whether this is SQLite's file, or PostgreSQL's address. Raises ConfigurationError."""
    if source.startswith(POSTGRESQL):
        return True
    with _opened(source) as file:
        return bool(file.read(len(_SQLITE)) == _SQLITE)


def lines(source: str) -> Iterator[Entry]:
    """The entries of a file or an address (http, https) that has one per line. Raises AuditBroken, RenewAgentError."""
    with _fetched(source) if is_address(source) else _opened(source) as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            try:
                yield Entry.from_line(line)
            except (ValueError, RecursionError) as problem:
                raise AuditBroken(f"Line {number} of {source} is not an entry of a console's audit log.") from problem


@contextlib.contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    try:
        with Path(source).open("rb") as file:
            yield file
    except OSError as problem:
        raise ConfigurationError(
            f"The file {source} cannot be read: {problem.strerror}.", advice="Check the name of the file."
        ) from problem


def _fetched(url: str) -> BinaryIO:
    octets = download(url, http_client(), _LARGEST_EXPORT).octets or b""
    if len(octets) > _LARGEST_EXPORT:
        raise RenewAgentError(f"{url} is too large.", advice="Fetch it into a file, and verify that.")
    return io.BytesIO(octets)


def _sqlite(path: Path) -> sa.Engine:
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None))


def _postgresql(url: str) -> sa.Engine:
    driver = url.replace(POSTGRESQL, "postgresql+psycopg://", 1)
    return sa.create_engine(driver, execution_options={"isolation_level": "REPEATABLE READ"})


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as problem:
        raise ConfigurationError(
            f"PostgreSQL cannot be reached from here ({problem.name} is missing).",
            advice="Install it: pip install 'renewagent[console]'.",
        ) from problem
    except (sa.exc.SQLAlchemyError, ValueError, TypeError, OverflowError) as problem:
        why = str(getattr(problem, "orig", None) or problem).partition("\n")[0].rstrip(".")
        raise RenewAgentError(f"The audit log cannot be read: {why}.", advice=_NO_DATABASE) from problem
