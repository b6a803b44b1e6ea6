"""Security incidents: found by people or by the console itself, and to be reported within one business day
(21 CFR 1311.150(c)). The report's words are a person's; `draft` has what is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import pulses
from renewagent.console.epcs.desk import NEWS, Desk
from renewagent.console.epcs.tables import EPCS_INCIDENT, EPCS_PULSE
from renewagent.console.permissions import Permission, Person
from renewagent.console.store import raise_revision
from renewagent.tokens import business_days
from renewagent.tokens.errors import DeskRefused, FormError

LONGEST_REPORT = 20_000
_ONCE = timedelta(days=36_500)
_OVERDUE = "overdue "
"""With an incident's id, the name of what is done once it is overdue: saying so."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incident:
    """`subject` and `reported_by` are ids of people or "", `found_by` one or "console"; `what` is a sentence."""

    id: str
    kind: str
    subject: str
    what: str
    found_by: str
    found: datetime
    due: datetime
    reported: datetime | None = None
    reported_by: str = ""
    report: str = ""


def add(
    connection: sa.Connection, desk: Desk, found_by: Person | None, kind: str, subject: Person | None, what: str
) -> Incident:
    """A new one, in the caller's transaction, with its line in the audit log. Without `found_by` it is the console
    that found it."""
    now, concerns = desk.now(), subject.id if subject else ""
    by = found_by.id if found_by else "console"
    due = business_days.within_one(now, desk.settings.zone)
    incident = Incident(desk.new_id(), kind, concerns, what, by, now, due)
    row = {"id": incident.id, "kind": kind, "subject": concerns, "what": what, "found_by": by}
    connection.execute(sa.insert(EPCS_INCIDENT).values(**row, found=now, due=incident.due))
    details = {"incident": incident.id, "kind": kind, "what": what, "due": incident.due.isoformat()}
    details |= {"subject": subject.actor} if subject else {}
    audit.record(connection, now, found_by.actor if found_by else "console", "epcs.incident-found", details)
    raise_revision(connection, NEWS)
    return incident


def found(desk: Desk, by: Person, kind: str, subject: Person | None, what: str) -> Incident:
    """Somebody has found one. Raises DeskRefused, FormError."""
    text = _text(what, "what", 2_000)
    return desk.write(lambda connection: add(connection, desk, _allowed(by), kind, subject, text))


def report(desk: Desk, by: Person, incident_id: str, text: str) -> Incident:
    """It is reported, in these words. Raises DeskRefused for an unknown one or one that is reported already."""
    now, text = desk.now(), _text(text, "text", LONGEST_REPORT)
    _allowed(by)

    def work(connection: sa.Connection) -> Incident:
        mine = (EPCS_INCIDENT.c.id == incident_id, EPCS_INCIDENT.c.reported.is_(None))
        values = {"reported": now, "reported_by": by.id, "report": text}
        if not connection.execute(sa.update(EPCS_INCIDENT).where(*mine).values(values)).rowcount:
            raise DeskRefused("There is no such incident, or it is reported already.", advice="Look at the list again.")
        after = _read(connection, EPCS_INCIDENT.c.id == incident_id)[0]
        details = {"incident": incident_id, "kind": after.kind, "late": now > after.due}
        audit.record(connection, now, by.actor, "epcs.incident-reported", details)
        raise_revision(connection, NEWS)
        return after

    return desk.write(work)


def find(desk: Desk, incident_id: str) -> Incident:
    """Raises DeskRefused."""
    known = desk.read(lambda connection: _read(connection, EPCS_INCIDENT.c.id == incident_id))
    if not known:
        raise DeskRefused("There is no such incident.", advice="Look at the list again.")
    return known[0]


def latest(desk: Desk, is_wanted: Callable[[str], bool] = lambda _: True, most: int = 100) -> list[Incident]:
    """Those that are not reported, by when they are due, then the others, the newest first; of those that concern
    somebody whose id is wanted, or nobody, at most so many."""
    is_reported = sa.case((EPCS_INCIDENT.c.reported.is_(None), 0), else_=1)
    newest = sa.case((EPCS_INCIDENT.c.reported.is_(None), EPCS_INCIDENT.c.due), else_=-EPCS_INCIDENT.c.found)
    subjects = sa.select(EPCS_INCIDENT.c.id, EPCS_INCIDENT.c.subject)
    question = subjects.order_by(is_reported, newest, EPCS_INCIDENT.c.id)

    def work(connection: sa.Connection) -> list[Incident]:
        wanted = (row.id for row in connection.execute(question) if not row.subject or is_wanted(row.subject))
        order = list(islice(wanted, most))
        known = {one.id: one for one in _read(connection, EPCS_INCIDENT.c.id.in_(order))}
        return [known[identity] for identity in order]

    return desk.read(work)


def of(desk: Desk, subject: Person) -> list[Incident]:
    """What concerns somebody, in the order in which it is due."""
    return desk.read(lambda connection: _read(connection, EPCS_INCIDENT.c.subject == subject.id))


def between(connection: sa.Connection, begin: datetime, end: datetime) -> list[Incident]:
    """Found in this time."""
    return _read(connection, EPCS_INCIDENT.c.found >= begin, EPCS_INCIDENT.c.found < end)


def overdue(desk: Desk) -> list[Incident]:
    """Those that should have been reported by now."""
    late = (EPCS_INCIDENT.c.reported.is_(None), EPCS_INCIDENT.c.due < desk.now())
    return desk.read(lambda connection: _read(connection, *late))


def tend(desk: Desk) -> None:
    """For the scheduler: what is overdue is said once, in the audit log and the console's own."""
    late = (EPCS_INCIDENT.c.reported.is_(None), EPCS_INCIDENT.c.due < desk.now(), EPCS_PULSE.c.name.is_(None))
    said = sa.outerjoin(EPCS_INCIDENT, EPCS_PULSE, EPCS_PULSE.c.name == _OVERDUE + EPCS_INCIDENT.c.id)
    unsaid = sa.select(EPCS_INCIDENT).select_from(said).where(*late)
    for incident in desk.read(lambda connection: [Incident(*row) for row in connection.execute(unsaid)]):
        if desk.write(lambda connection: _say_overdue(connection, desk.now(), incident)):  # noqa: B023
            _LOG.warning("a security incident should have been reported", extra={"fields": {"incident": incident.id}})


def _say_overdue(connection: sa.Connection, now: datetime, incident: Incident) -> bool:
    first = pulses.claim(connection, _OVERDUE + incident.id, now, _ONCE)
    if first:
        details = {"incident": incident.id, "kind": incident.kind, "due": incident.due.isoformat()}
        audit.record(connection, now, "console", "epcs.incident-overdue", details)
    return first


def _allowed(by: Person) -> Person:
    if not by.may(Permission.ADMINISTER_EPCS):
        raise DeskRefused("Only an EPCS administrator does this.")
    return by


def _read(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Incident]:
    question = sa.select(EPCS_INCIDENT).where(*conditions).order_by(EPCS_INCIDENT.c.due, EPCS_INCIDENT.c.id)
    return [Incident(*row) for row in connection.execute(question)]


def _text(text: str, field: str, longest: int) -> str:
    text = text.strip()
    if not text or len(text) > longest or any(not c.isprintable() and c != "\n" for c in text):
        raise FormError(f"This is 1 to {longest:,} characters of text.", field)
    return text
