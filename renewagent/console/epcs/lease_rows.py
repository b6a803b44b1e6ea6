"""Rows of administrator overrides: written before anything is given, ended only once the EHR has shown that it is gone.
Functions of one connection.

The column `enforced` is a number: 0 while the EHR has not answered whether it has given it, 1 where the EHR ends it by
itself, 2 where it stands until it is taken away, 3 where the EHR has refused it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs.desk import NEWS
from renewagent.console.epcs.parties import party
from renewagent.console.epcs.tables import EPCS_LEASE
from renewagent.console.permissions import Person
from renewagent.console.store import raise_revision
from renewagent.tokens.leases import End, Lease

ENFORCED, STANDING, REFUSED = 1, 2, 3


def add(connection: sa.Connection, lease: Lease, by: Person) -> None:
    """A new one, with its line in the audit log."""
    row = {"id": lease.id, "subject": lease.subject, "purpose": lease.purpose, "given_by": lease.given_by}
    connection.execute(sa.insert(EPCS_LEASE).values(**row, given=lease.given, ends=lease.ends))
    record(connection, lease.given, by.actor, "override-wanted", lease, ends=lease.ends.isoformat())


def open_ones(connection: sa.Connection, *, subject: str = "", purpose: str = "") -> list[Lease]:
    """Those that the EHR has not shown to be gone, the most overdue first."""
    question = sa.select(EPCS_LEASE).where(EPCS_LEASE.c.ended.is_(None))
    if subject:
        question = question.where(EPCS_LEASE.c.subject == subject)
    if purpose:
        question = question.where(EPCS_LEASE.c.purpose == purpose)
    return [_lease(row) for row in connection.execute(question.order_by(EPCS_LEASE.c.ends, EPCS_LEASE.c.id))]


def between(connection: sa.Connection, begin: datetime, end: datetime) -> list[Lease]:
    """Given in this time."""
    given = (EPCS_LEASE.c.given >= begin, EPCS_LEASE.c.given < end)
    return [_lease(row) for row in connection.execute(sa.select(EPCS_LEASE).where(*given).order_by(EPCS_LEASE.c.given))]


def load(connection: sa.Connection, identity: str) -> Lease | None:
    """None for an unknown one."""
    row = connection.execute(sa.select(EPCS_LEASE).where(EPCS_LEASE.c.id == identity)).first()
    return None if row is None else _lease(row)


def last_known(connection: sa.Connection) -> int:
    """What `enforced` was when an override was last given, 0 for never."""
    given = EPCS_LEASE.c.enforced.in_((ENFORCED, STANDING))
    newest = sa.select(EPCS_LEASE.c.enforced).where(given).order_by(EPCS_LEASE.c.given.desc())
    return connection.execute(newest.limit(1)).scalar() or 0


def note_given(connection: sa.Connection, lease: Lease, now: datetime, enforced: int) -> bool:
    """The EHR has given it. False if it was to end in the meantime."""
    mine = (EPCS_LEASE.c.id == lease.id, EPCS_LEASE.c.ended.is_(None))
    connection.execute(sa.update(EPCS_LEASE).where(*mine).values(enforced=enforced))
    stands = load(connection, lease.id)
    if stands is None or stands.ended is not None or stands.why:
        return False
    record(connection, now, "console", "override-given", lease, by="EHR" if enforced == ENFORCED else "scheduler")
    return True


def note_refused(connection: sa.Connection, lease: Lease) -> None:
    """The EHR has not given it."""
    mine = (EPCS_LEASE.c.id == lease.id, EPCS_LEASE.c.enforced == 0)
    connection.execute(sa.update(EPCS_LEASE).where(*mine).values(enforced=REFUSED))


def end_now(connection: sa.Connection, lease: Lease, now: datetime, actor: str, why: End) -> Lease:
    """From now on it has to go, whoever dies; said once."""
    mine = (EPCS_LEASE.c.id == lease.id, EPCS_LEASE.c.ended.is_(None), EPCS_LEASE.c.why == "")
    ends = min(lease.ends, now)
    if connection.execute(sa.update(EPCS_LEASE).where(*mine).values(ends=ends, why=why.value)).rowcount:
        lease = replace(lease, ends=ends, why=why.value)
        record(connection, now, actor, "override-ending", lease)
    return load(connection, lease.id) or lease


def note_gone(connection: sa.Connection, lease: Lease, now: datetime) -> None:
    """The EHR has shown that it is gone; said once."""
    mine = (EPCS_LEASE.c.id == lease.id, EPCS_LEASE.c.ended.is_(None))
    if connection.execute(sa.update(EPCS_LEASE).where(*mine).values(ended=now)).rowcount:
        record(connection, now, "console", "override-ended", lease)


def note_alarm(connection: sa.Connection, lease: Lease, now: datetime) -> bool:
    """True for the first who says so."""
    mine = (EPCS_LEASE.c.id == lease.id, EPCS_LEASE.c.alarmed.is_(None))
    return bool(connection.execute(sa.update(EPCS_LEASE).where(*mine).values(alarmed=now)).rowcount)


def record(connection: sa.Connection, now: datetime, actor: str, event: str, lease: Lease, **more: str) -> None:
    """A line in the audit log about an override."""
    details = {"override": lease.id, "subject": party(connection, lease.subject).person.actor}
    details |= {"purpose": lease.purpose, **more} | ({"why": lease.why} if lease.why else {})
    audit.record(connection, now, actor, f"epcs.{event}", details)
    raise_revision(connection, NEWS)


def _lease(row: sa.Row[Any]) -> Lease:
    return Lease(
        id=row.id,
        subject=row.subject,
        purpose=row.purpose,
        given_by=row.given_by,
        given=row.given,
        ends=row.ends,
        known=row.enforced != 0,
        enforced=row.enforced == ENFORCED,
        ended=row.ended,
        why=row.why,
        alarmed=row.alarmed,
    )
