"""Rate limits that hold for all server processes together: attempts of one kind by one key, counted in the database.

A window begins at a whole multiple of its length, so that every process means the same one. Count in a transaction of
its own, before the work: what the work undoes when it fails must not undo the count.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from renewagent.console.tables import ATTEMPT
from renewagent.console.upserts import insert

LONGEST_KEY = 200
KEEP = timedelta(days=2)
"""No window may be longer than this."""


def allow(connection: sa.Connection, kind: str, key: str, limit: int, window: timedelta, now: datetime) -> int:
    """Count one attempt. 0 if it is one of the first `limit` in this window, else the whole seconds to wait."""
    length = int(window.total_seconds())
    begun = int(now.timestamp()) // length * length
    row = {"kind": kind, "key": key[:LONGEST_KEY], "window": begun}
    # Whoever is over the limit costs a look, and no writing to the disk.
    over = _counted(connection, row) >= limit or _count(connection, row) > limit
    return max(1, math.ceil(begun + length - now.timestamp())) if over else 0


def give_back(connection: sa.Connection, kind: str, key: str, window: timedelta, now: datetime) -> None:
    """Take one attempt off the count, where it turned out to be none."""
    begun = int(now.timestamp()) // int(window.total_seconds()) * int(window.total_seconds())
    same = (ATTEMPT.c.kind == kind, ATTEMPT.c.key == key[:LONGEST_KEY], ATTEMPT.c.window == begun)
    connection.execute(sa.update(ATTEMPT).where(*same, ATTEMPT.c.count > 0).values(count=ATTEMPT.c.count - 1))


def forget_old_attempts(connection: sa.Connection, now: datetime) -> None:
    """Drop the counts of windows that are over."""
    connection.execute(sa.delete(ATTEMPT).where(ATTEMPT.c.window < int((now - KEEP).timestamp())))


def _counted(connection: sa.Connection, row: dict[str, Any]) -> int:
    same = (ATTEMPT.c[name] == value for name, value in row.items())
    return connection.execute(sa.select(ATTEMPT.c.count).where(*same)).scalar() or 0


def _count(connection: sa.Connection, row: dict[str, Any]) -> int:
    counted = insert(connection, ATTEMPT).values(**row, count=1)
    counted = counted.on_conflict_do_update(index_elements=list(row), set_={"count": ATTEMPT.c.count + 1})
    return int(connection.execute(counted.returning(ATTEMPT.c.count)).scalar_one())
