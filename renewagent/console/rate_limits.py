"""Rate limits that hold for all server processes together: attempts of one kind by one key, counted in the database.

A window begins at a whole multiple of its length, so that every process means the same one. Count in a transaction of
its own, before the work: what the work undoes when it fails must not undo the count.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from renewagent.console.tables import ATTEMPT

LONGEST_KEY = 200
KEEP = timedelta(days=2)
"""No window may be longer than this."""


def allow(connection: sa.Connection, kind: str, key: str, limit: int, window: timedelta, now: datetime) -> int:
    """Count one attempt. 0 if it is one of the first `limit` in this window, else the whole seconds to wait."""
    length = int(window.total_seconds())
    begun = int(now.timestamp()) // length * length
    count = _count(connection, kind, key[:LONGEST_KEY], begun)
    return 0 if count <= limit else max(1, math.ceil(begun + length - now.timestamp()))


def forget_old_attempts(connection: sa.Connection, now: datetime) -> None:
    """Drop the counts of windows that are over."""
    connection.execute(sa.delete(ATTEMPT).where(ATTEMPT.c.window < int((now - KEEP).timestamp())))


def _count(connection: sa.Connection, kind: str, key: str, begun: int) -> int:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"kind": kind, "key": key, "window": begun, "count": 1}
    counted = (
        dialect.insert(ATTEMPT)
        .values(row)
        .on_conflict_do_update(index_elements=["kind", "key", "window"], set_={"count": ATTEMPT.c.count + 1})
    )
    return int(connection.execute(counted.returning(ATTEMPT.c.count)).scalar_one())
