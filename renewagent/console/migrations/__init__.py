"""How a console's database gets from one version of the program to the next (Alembic), and which one it is at.

`renewagent.console.tables` says what a database is to be; each file in `versions/` leads from one version to the next
one. A new one is made with `python -m renewagent.console.migrations "what changes"`, and read before it is committed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

_HERE = Path(__file__).parent
_LOCK = 7_305_112_020
"""Of PostgreSQL's advisory locks: several server processes may start at once, and one of them migrates."""


class NewerDatabase(Exception):
    """The database was migrated by a newer version of this program, and this one does not know what it is like."""


def migrate(connection: sa.Connection) -> None:
    """Bring the database up to date, within the caller's writing transaction: wholly, or not at all. Raises
    NewerDatabase."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    if revision(connection) == head():
        return
    try:
        command.upgrade(config(connection), "head")
    except CommandError as problem:
        raise NewerDatabase(str(problem)) from problem


def revision(connection: sa.Connection) -> str | None:
    """Which version the database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


@lru_cache(maxsize=1)
def head() -> str:
    """Which version this program is made for."""
    newest = ScriptDirectory(str(_HERE)).get_current_head()
    assert newest is not None  # noqa: S101  # they come with the program
    return newest


def config(connection: sa.Connection) -> Config:
    """Alembic's, for this connection and no file."""
    settings = Config(attributes={"connection": connection})
    settings.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    return settings
