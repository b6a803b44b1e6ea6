"""The two kinds of database that a console may have, for tests that are to hold on both."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

KINDS = ("sqlite", "postgresql")


def in_file(folder: Path) -> str:
    """The address of an embedded one."""
    return f"sqlite:///{folder}/console.db"


@contextmanager
def on_server(server: str) -> Iterator[str]:
    """The address of a new, empty database on a running PostgreSQL, which is dropped with the block."""
    name = f"console_{secrets.token_hex(6)}"
    engine = sa.create_engine(server.replace("postgresql://", "postgresql+psycopg://", 1), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield server.replace("/postgres?", f"/{name}?", 1)
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()
