"""INSERT with ON CONFLICT, as SQLite and PostgreSQL both have it, and lists of keys in pieces that both can take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")
_PIECE = 500


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT in the dialect of `connection`, which knows ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def put(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert whole rows; one whose key is there takes that one's place."""
    if rows:
        connection.execute(_upsert(connection.dialect.name, table), list(rows))


@lru_cache(maxsize=100)
def _upsert(dialect: str, table: sa.Table) -> sa.Insert:
    """Made once for each table: that costs more than to execute it."""
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    keys = [column.name for column in table.primary_key.columns]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    upsert: sa.Insert = statement.on_conflict_do_update(index_elements=keys, set_=others)
    return upsert


def pieces(items: Sequence[T], size: int = _PIECE) -> Iterator[Sequence[T]]:
    """`items`, so many at a time: a statement takes only so many parameters."""
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
