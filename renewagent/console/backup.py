"""Backup and restore of the embedded database: a copy of one moment, made while the server runs, and looked at before
it is called a backup.

A backup is one SQLite file with everything that the console keeps but the TLS certificate. The key of the agents'
authority is in it: it is written for its owner's eyes alone, and belongs where only they can read it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from renewagent.console import audit, audit_sources, migrations
from renewagent.console.audit_sources import Whole
from renewagent.console.serving import alone
from renewagent.console.settings import Settings
from renewagent.console.store import Store
from renewagent.console.tables import CHALLENGE, SESSION
from renewagent.errors import ConfigurationError, RenewAgentError

Progress = Callable[[int, int], None]
"""Pages copied, and pages in all."""
_PAGES = 2_000
_SQLITE = "sqlite:///"
_ANOTHER = "Take another backup."


class BackupError(RenewAgentError):
    """A backup that was not made, or cannot be used."""

    code = "RA-BACKUP"


def backup(settings: Settings, to: Path, progress: Progress) -> Whole:
    """Copy the database into the file `to`, which must not exist; what its audit log comes to. The server may run.
    Raises RenewAgentError; nothing is left then."""
    source = _file(settings, "back it up with pg_dump")
    if to.exists():
        raise ConfigurationError(f"The file {to} exists: it is not replaced.", advice="Give another name.")
    if not source.is_file():
        raise ConfigurationError(f"There is no database {source} yet.", advice="Check console.data.")
    with _in_our_words(), _beside(to) as part:
        _copy(source, part, progress)
        whole = checked(part)
        _sync(part)
        part.rename(to)
        _sync(to.parent)
        return whole


def restore(settings: Settings, source: Path, now: datetime, progress: Progress, *, replace: bool) -> Path | None:
    """Make the backup `source` the database. One that is there already is replaced only if told so, and put aside:
    where, is returned. Sessions end. Raises RenewAgentError; all is as it was then."""
    target = _file(settings, "restore it with pg_restore")
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _in_our_words(), alone(settings.data), _beside(target) as part:
        if target.exists() and not replace:
            raise ConfigurationError(
                f"There is a database already, {target}.", advice="Add --replace to put it aside, or choose another."
            )
        whole = checked(source)
        _copy(source, part, progress)
        _take_up(part, now, whole)
        _sync(part)
        aside = _put_aside(target, now) if target.exists() else None
        part.replace(target)
        _sync(target.parent)
        return aside


def checked(file: Path) -> Whole:
    """What the file's audit log comes to, if it is a console's database without a fault. Raises BackupError and
    AuditBroken."""
    if not audit_sources.is_database(str(file)):
        raise BackupError(f"{file} is no backup of a console.", advice=_ANOTHER)
    with audit_sources.database(str(file)) as connection:
        said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        if said != ["ok"]:
            raise BackupError(f"{file} is damaged: {said[0]}.", advice=_ANOTHER)
        if audit_sources.columns(connection) != audit_sources.OURS or not migrations.revision(connection):
            raise BackupError(f"{file} is no backup of a console.", advice=_ANOTHER)
        return audit_sources.verify([audit_sources.entries_in(connection)], audit.beginning(connection), {})


def _file(settings: Settings, instead: str) -> Path:
    if not settings.database.startswith(_SQLITE):
        raise ConfigurationError(
            f"The console's database is PostgreSQL: {instead}.", advice="This command is for the embedded database."
        )
    return Path(settings.database.removeprefix(_SQLITE))


def _copy(source: Path, to: Path, progress: Progress) -> None:
    """One moment's state: what is written meanwhile neither shows nor waits."""
    address = f"{source.absolute().as_uri()}?mode=ro"
    with _connected(address) as old, _connected(str(to)) as new:
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on
        old.backup(new, pages=_PAGES, progress=lambda _, left, total: progress(total - left, total))
        new.execute("PRAGMA journal_mode=DELETE")  # one file, without another beside it


def _take_up(part: Path, now: datetime, whole: Whole) -> None:
    """Bring the copy up to date, and note down that it was restored."""
    store = Store(f"{_SQLITE}{part}")

    def work(connection: sa.Connection) -> None:
        for table in (SESSION, CHALLENGE):
            connection.execute(sa.delete(table))
        audit.record(connection, now, "administrator", "console.restored", {"last": whole.last, "digest": whole.digest})

    try:
        store.migrate()
        store.writing(work)
    except migrations.NewerDatabase as problem:
        raise BackupError("The backup was made by a newer version of renewagent.", advice=_ANOTHER) from problem
    finally:
        store.close()
    with _connected(str(part)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _put_aside(target: Path, now: datetime) -> Path:
    """Under another name, with what belongs to it; the name itself stays taken until the new one takes it over."""
    aside = target.with_name(f"{target.name}.{now:%Y%m%dT%H%M%SZ}")
    for ending in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            target.with_name(target.name + ending).rename(aside.with_name(aside.name + ending))
    aside.hardlink_to(target)
    return aside


@contextlib.contextmanager
def _connected(address: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        yield connection


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A new file in the same folder, for its owner's eyes; gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            part.with_name(part.name + ending).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sa.exc.SQLAlchemyError) as problem:
        why = str(getattr(problem, "orig", None) or problem).partition("\n")[0].rstrip(".")
        raise BackupError(f"The database cannot be copied: {why}.") from problem
    except OSError as problem:
        raise BackupError(
            f"The database cannot be copied: {problem.strerror or problem}.", advice="Check the folder and its space."
        ) from problem
