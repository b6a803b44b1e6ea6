"""When something was last done, for all server processes together: a scheduler's pulse, and work that one of them does
at a time. Functions of one connection.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from renewagent.console.epcs.tables import EPCS_PULSE
from renewagent.console.upserts import insert, put


def beat(connection: sa.Connection, name: str, now: datetime) -> None:
    """It is done now."""
    put(connection, EPCS_PULSE, [{"name": name, "at": now}])


def last(connection: sa.Connection, name: str) -> datetime | None:
    """When it was done, if ever."""
    at: datetime | None = connection.execute(sa.select(EPCS_PULSE.c.at).where(EPCS_PULSE.c.name == name)).scalar()
    return at


def claim(connection: sa.Connection, name: str, now: datetime, hold: timedelta) -> bool:
    """True for one process in `hold`: what has this name is its to do."""
    statement = insert(connection, EPCS_PULSE).values(name=name, at=now)
    free = EPCS_PULSE.c.at <= now - hold
    upsert = statement.on_conflict_do_update(index_elements=["name"], set_={"at": now}, where=free)
    return connection.execute(upsert.returning(EPCS_PULSE.c.name)).first() is not None


def is_held(connection: sa.Connection, name: str, now: datetime, hold: timedelta) -> bool:
    """Some process has claimed it and may be at it."""
    at = last(connection, name)
    return at is not None and at > now - hold


def drop(connection: sa.Connection, name: str) -> None:
    """Nothing more is to be done."""
    connection.execute(sa.delete(EPCS_PULSE).where(EPCS_PULSE.c.name == name))
