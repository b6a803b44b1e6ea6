"""Numbers that are good for one thing, once, and not for long: nonces that cards sign. They are kept hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from renewagent.console.tables import CHALLENGE

WINDOW = timedelta(minutes=5)


def give(connection: sa.Connection, entropy: Callable[[int], bytes], now: datetime, kind: str, person: str = "") -> str:
    """A new one (hex) for this kind of thing. `person`: their id, where it is for them alone; one that they had for the
    same thing is good no more."""
    old = CHALLENGE.c.made <= now - WINDOW
    if person:
        old |= sa.and_(CHALLENGE.c.kind == kind, CHALLENGE.c.person == person)
    connection.execute(sa.delete(CHALLENGE).where(old))
    nonce = entropy(32).hex()
    connection.execute(sa.insert(CHALLENGE).values(nonce=digest(nonce), kind=kind, person=person, made=now))
    return nonce


def take(connection: sa.Connection, now: datetime, nonce: str, kind: str, person: str = "") -> bool:
    """Use it up; False for one that is none of ours, for something or somebody else, used before, or too old."""
    mine = (CHALLENGE.c.nonce == digest(nonce), CHALLENGE.c.kind == kind, CHALLENGE.c.person == person)
    taken = connection.execute(sa.delete(CHALLENGE).where(*mine, CHALLENGE.c.made > now - WINDOW))
    return bool(taken.rowcount)


def digest(token: str) -> str:
    """As it is kept."""
    return hashlib.sha256(token.encode()).hexdigest()
