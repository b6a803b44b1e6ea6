"""The console's database: SQLite embedded, or PostgreSQL by URL with several server processes at once.

Work is a function of one connection, run in a thread within one transaction: `await store.write(work)`. Whatever it
raises undoes it. On SQLite a writing transaction begins as one (BEGIN IMMEDIATE), so that two cannot meet half-way.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from renewagent.console.tables import REVISION
from renewagent.console.upserts import insert

T = TypeVar("T")
Work = Callable[[sa.Connection], T]
_WRITES = "renewagent_writes"
_WAL_TRIES = 100


class Store:
    """See the module. `url` as SQLAlchemy has it; "postgresql://" means psycopg."""

    def __init__(self, url: str) -> None:
        if url.startswith("postgresql://"):
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        # No parameters in messages: they may be secret. As many connections as there are threads that want one.
        self.engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True, pool_size=10, max_overflow=30)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _sqlite_manners)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    def migrate(self) -> None:
        """Bring the database up to date: several processes may do so at once. Raises NewerDatabase."""
        from renewagent.console import migrations

        self.writing(migrations.migrate)

    async def read(self, work: Work[T]) -> T:
        """Run `work` where it changes nothing."""
        return await run_in_threadpool(self.reading, work)

    async def write(self, work: Work[T]) -> T:
        """Run `work`; what it did is durable when this returns."""
        return await run_in_threadpool(self.writing, work)

    def reading(self, work: Work[T]) -> T:
        """`read`, for whoever is in a thread already."""
        with self.engine.connect() as connection:
            return work(connection)

    def writing(self, work: Work[T]) -> T:
        """`write`, for whoever is in a thread already."""
        with self.engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            return work(connection)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def raise_revision(connection: sa.Connection, name: str) -> None:
    """Let every server process know, once this transaction is through, that there is news of this kind."""
    statement = insert(connection, REVISION).values(name=name, number=1)
    once_more = {"number": REVISION.c.number + 1}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=once_more))


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")


def _sqlite_manners(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by us, not guessed by the driver
    for pragma in ("busy_timeout=10000", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _write_ahead(connection)


def _write_ahead(connection: Any) -> None:
    # Of two processes that turn a new file to WAL at once one is refused at once: SQLite waits for no lock that both
    # might be waiting for.
    for tries_left in reversed(range(_WAL_TRIES)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode != sqlite3.SQLITE_BUSY or not tries_left:
                raise
            time.sleep(0.02)
