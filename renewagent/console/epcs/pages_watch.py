"""The pages that administrators look at every day: security incidents with their reports, and a day's audit report."""

from __future__ import annotations

from datetime import date, timedelta

from starlette.routing import Route

from renewagent.console import people
from renewagent.console.epcs import api_watch, daily_report, incident_drafts, incidents
from renewagent.console.epcs.asked import Asked, is_at_hand, nothing_there, those_at_hand
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.incidents import LONGEST_REPORT, Incident
from renewagent.console.epcs.pages_frame import Shown, deed, look
from renewagent.console.permissions import Permission, Person
from renewagent.tokens import business_days

_LARGEST = 12 * LONGEST_REPORT
_BY_HAND = "found by a person"
_ADMINISTER = Permission.ADMINISTER_EPCS


def routes(desk: Desk) -> list[Route]:
    """For administrators alone."""
    one = "/epcs/incidents/{id}"
    return [
        look(desk, "/epcs/incidents", _ADMINISTER, every_incident),
        deed(desk, "/epcs/incidents", _ADMINISTER, found, every_incident),
        look(desk, one, _ADMINISTER, incident),
        deed(desk, f"{one}/report", _ADMINISTER, report, incident, largest=_LARGEST),
        look(desk, "/epcs/reports", _ADMINISTER, day_report),
        deed(desk, "/epcs/reports/{day}/seen", _ADMINISTER, looked_at, day_report),
    ]


def every_incident(asked: Asked) -> Shown:
    """Those that are not reported first."""
    latest = incidents.latest(asked.desk, those_at_hand(asked.desk, asked.person))
    seen = [(one, _named(asked.desk, one.subject)) for one in latest]
    return Shown("epcs_incidents.html", {"incidents": seen})


def found(asked: Asked) -> str:
    """Somebody has found one: in the audit report, say."""
    user = asked.text("user", default="")
    what = asked.text("what", most=2_000, default="", lines=True)
    added = incidents.found(asked.desk, asked.person, _BY_HAND, asked.known(user) if user else None, what)
    return f"/epcs/incidents/{added.id}?said=found"


def incident(asked: Asked) -> Shown:
    """One, with its report, or the draft of it."""
    one = incidents.find(asked.desk, asked.gap("id"))
    whose = _named(asked.desk, one.subject)
    if not _is_theirs(asked, one, whose):
        raise nothing_there()
    reporter = _named(asked.desk, one.reported_by)
    draft = "" if one.reported is not None else incident_drafts.draft(asked.desk, one.id)
    context = {"incident": one, "whose": whose, "reporter": reporter, "draft": draft, "longest": LONGEST_REPORT}
    return Shown("epcs_incident.html", context)


def report(asked: Asked) -> str:
    """It is reported, in these words."""
    api_watch.report(asked)
    return f"/epcs/incidents/{asked.gap('id')}?said=reported"


def day_report(asked: Asked) -> Shown:
    """That of a day, by default of the one before; and the days at whose report nobody has looked."""
    desk = asked.desk
    today = business_days.day_of(desk.now(), desk.settings.zone)
    day = asked.path.get("day") or asked.text("day", default="") or (today - timedelta(days=1)).isoformat()
    shown = api_watch.daily(Asked(desk, asked.person, {"day": day}))["report"]
    over = date.fromisoformat(day) < today
    unlooked = daily_report.unlooked(desk)
    return Shown(
        "epcs_report.html",
        {"report": shown, "over": over, "unlooked": unlooked, "today": today.isoformat(), "me": asked.person.actor},
    )


def looked_at(asked: Asked) -> str:
    """Somebody has looked at it."""
    day = api_watch.seen(asked)["report"]["day"]
    return f"/epcs/reports?day={day}&said=looked-at"


def _named(desk: Desk, identity: str) -> Person | None:
    entry = desk.read(lambda connection: people.ever(connection, identity)) if identity else None
    return entry.person if entry is not None else None


def _is_theirs(asked: Asked, found: Incident, whose: Person | None) -> bool:
    return not found.subject or (whose is not None and is_at_hand(asked.person, whose))
