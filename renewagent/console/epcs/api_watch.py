"""What administrators look at every day, for programs: security incidents and audit reports."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from starlette.routing import Route

from renewagent.console import people
from renewagent.console.epcs import daily_report, incident_drafts, incidents
from renewagent.console.epcs.asked import Asked, is_at_hand, nothing_there, those_at_hand
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import Document, with_people
from renewagent.console.epcs.incidents import LONGEST_REPORT, Incident
from renewagent.console.epcs.program_gate import guard_program
from renewagent.console.permissions import Permission
from renewagent.tokens.errors import DeskRefused

_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_LARGEST = 8 * LONGEST_REPORT
_PEOPLE = ("subject", "found_by", "reported_by")


def routes(desk: Desk) -> list[Route]:
    """For EPCS administrators alone."""

    def guarded(work: Any, **more: Any) -> Any:
        return guard_program(desk, Permission.ADMINISTER_EPCS, work, **more)

    return [
        Route("/epcs/api/incidents", guarded(every), methods=["GET"]),
        Route("/epcs/api/incidents/{id}/draft", guarded(draft), methods=["GET"]),
        Route("/epcs/api/incidents/{id}/report", guarded(report, largest=_LARGEST), methods=["POST"]),
        Route("/epcs/api/reports/{day}", guarded(daily), methods=["GET"]),
        Route("/epcs/api/reports/{day}/seen", guarded(seen), methods=["POST"]),
    ]


def every(asked: Asked) -> Document:
    """Those that are not reported first."""
    found = incidents.latest(asked.desk, those_at_hand(asked.desk, asked.person))
    return {"incidents": with_people(asked.desk, found, *_PEOPLE)}


def draft(asked: Asked) -> Document:
    """Its report as far as it is known here, in plain text."""
    return {"draft": incident_drafts.draft(asked.desk, _at_hand(asked))}


def report(asked: Asked) -> Document:
    """It is reported, in these words."""
    identity, text = _at_hand(asked), asked.text("text", most=LONGEST_REPORT, lines=True)
    reported = incidents.report(asked.desk, asked.person, identity, text)
    return {"incident": with_people(asked.desk, [reported], *_PEOPLE)[0]}


def daily(asked: Asked) -> Document:
    """The audit report of a calendar day."""
    _check_all(asked)
    return {"report": daily_report.make(asked.desk, _day(asked))}


def seen(asked: Asked) -> Document:
    """Somebody has looked at it."""
    _check_all(asked)
    return {"report": daily_report.look_at(asked.desk, asked.person, _day(asked))}


def _check_all(asked: Asked) -> None:
    """The log is every organisation's."""
    if not asked.person.answers_for_all:
        raise DeskRefused(
            "The audit report is about every organisation; you do not answer for all of them.",
            advice="Ask an EPCS administrator who does (organisation *).",
        )


def _day(asked: Asked) -> date:
    given = asked.path["day"]
    try:
        return date.fromisoformat(given if _DAY.fullmatch(given) else "")
    except ValueError as problem:
        raise nothing_there() from problem


def _at_hand(asked: Asked) -> str:
    """The id of an incident that concerns somebody of the same organisation."""
    try:
        incident = incidents.find(asked.desk, asked.gap("id"))
    except DeskRefused as problem:
        raise nothing_there() from problem
    if not _is_theirs(asked, incident):
        raise nothing_there()
    return incident.id


def _is_theirs(asked: Asked, incident: Incident) -> bool:
    if not incident.subject:
        return True
    whose = asked.desk.read(lambda connection: people.ever(connection, incident.subject))
    return whose is not None and is_at_hand(asked.person, whose.person)
