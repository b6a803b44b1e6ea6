"""The draft of a security incident report, in plain text: what is known here, and what the person who reports it has to
say themself. Within one business day it goes to the provider of the EHR and to the DEA (21 CFR 1311.150(c)).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.epcs import incidents, lease_rows, request_rows, token_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.incidents import Incident
from renewagent.console.permissions import Person
from renewagent.console.tables import AUDIT
from renewagent.tokens.grants import Request
from renewagent.tokens.leases import Lease

_BEFORE = timedelta(days=1)
"""So much of the audit log before the incident was found is in its report."""
_MOST_LINES = 100

_FORM = """SECURITY INCIDENT REPORT (21 CFR 1311.150(c))

To reach the provider of the EHR and the DEA by {due}.

1. What was found
   Number:      {id}
   Kind:        {kind}
   Found:       {found}, by {found_by}
   What:        {what}

2. Whom it concerns
{whom}

3. What was done about access
{access}

4. From the audit log, which {trail}
{log}

5. To be said by the person who reports this
   Could records of prescriptions have been changed, or signed by somebody else? Which, and since when?

   What keeps it from happening again?

   Told to the DEA (whom, when, how):

   Told to the provider of the EHR (whom, when, how):

   Name and date:
"""


def draft(desk: Desk, incident_id: str) -> str:
    """Of an incident. Raises DeskRefused for an unknown one."""
    incident = incidents.find(desk, incident_id)
    return desk.read(lambda connection: _draft(connection, desk, incident))


def _draft(connection: sa.Connection, desk: Desk, incident: Incident) -> str:
    subject, finder = _person(connection, incident.subject), _person(connection, incident.found_by)
    wrong = audit.verify_chain(audit.each(connection), *_beginning(connection))
    return _FORM.format(
        due=_time(desk, incident.due),
        id=incident.id,
        kind=incident.kind,
        found=_time(desk, incident.found),
        found_by=finder.name if finder else "the console itself",
        what=incident.what,
        whom=_lines(_whom(connection, desk, subject) if subject else ["Nobody in particular."]),
        access=_lines(_access(connection, desk, subject, incident) if subject else ["Nothing."]),
        trail="is whole" if wrong is None else f"IS NOT WHOLE: {wrong}",
        log=_lines(_log(connection, desk, incident)),
    )


def _whom(connection: sa.Connection, desk: Desk, subject: Person) -> list[str]:
    told = [f"{subject.name}, in the EHR {subject.ehr or 'unknown'}, DEA registration {subject.dea or 'none here'}"]
    return told + [
        f"Token {token.serial} ({token.kind.value}): {token.state.value} since {_time(desk, token.changed)}"
        for token in token_rows.of(connection, subject.id)
    ]


def _access(connection: sa.Connection, desk: Desk, subject: Person, incident: Incident) -> list[str]:
    since = incident.found - _BEFORE
    requests = [each for each in request_rows.of(connection, subject) if each.entered >= since]
    leases = lease_rows.between(connection, since, desk.now() + timedelta(seconds=1))
    told = [_request(desk, each) for each in reversed(requests)]
    return told + [_lease(desk, lease) for lease in leases if lease.subject == subject.id] or ["Nothing."]


def _request(desk: Desk, request: Request) -> str:
    decided = f", decided by {request.decided_by.name}" if request.decided_by is not None else ""
    done = f", done {_time(desk, request.executed)}" if request.executed is not None else ""
    begin = f"{request.action.value} ({request.reason}): {request.state.value}, entered by {request.entered_by.name}"
    return f"{begin} {_time(desk, request.entered)}{decided}{done}"


def _lease(desk: Desk, lease: Lease) -> str:
    ended = f"gone {_time(desk, lease.ended)} ({lease.why})" if lease.ended is not None else "NOT KNOWN TO BE GONE"
    return f"override for {lease.purpose}: given {_time(desk, lease.given)}, {ended}"


def _log(connection: sa.Connection, desk: Desk, incident: Incident) -> list[str]:
    named = AUDIT.c.details.contains(incident.subject or incident.id, autoescape=True)
    question = sa.select(AUDIT).where(AUDIT.c.at >= incident.found - _BEFORE, named).order_by(AUDIT.c.number.desc())
    found = [audit.Entry(*row) for row in connection.execute(question.limit(_MOST_LINES))]
    return [
        f"{entry.number}  {_time(desk, entry.at)}  {entry.actor}  {entry.event}{_why(entry)}"
        for entry in reversed(found)
    ]


def _why(entry: audit.Entry) -> str:
    details = json.loads(entry.details)
    return "".join(f"  {name}: {details[name]}" for name in ("reason", "why", "outcome") if details.get(name))


def _person(connection: sa.Connection, identity: str) -> Person | None:
    entry = people.ever(connection, identity)
    return entry.person if entry is not None else None


def _beginning(connection: sa.Connection) -> tuple[str, int]:
    before = audit.beginning(connection)
    return before.digest, before.number


def _time(desk: Desk, at: datetime) -> str:
    return at.astimezone(desk.settings.zone).strftime("%Y-%m-%d %H:%M %Z")


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"   {line}" for line in lines) or "   Nothing."
