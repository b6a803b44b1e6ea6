"""The audit report of each calendar day (21 CFR 1311.150(b)): what was auditable, what is suspicious in it, and whether
the log is whole. Made by the scheduler once the day is over, and looked at by an administrator, who says whether
anything in it is a security incident.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, timedelta
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import incidents, lease_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.tables import EPCS_REPORT
from renewagent.console.permissions import Permission, Person
from renewagent.console.tables import AUDIT
from renewagent.console.upserts import insert
from renewagent.tokens import auditable, business_days
from renewagent.tokens.errors import DeskRefused

MOST_LISTED = 2_000
"""Entries that a report lists one by one; all are counted."""
_MOST_AT_ONCE = 31
_DAY = timedelta(days=1)
_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
Document = dict[str, Any]


def make(desk: Desk, day: date) -> Document:
    """The report of a day: as it was kept, or made now; kept once the day is over. Raises DeskRefused for a day that
    has not begun."""
    kept = desk.read(lambda connection: _kept(connection, day))
    if kept is not None:
        return kept
    begin, end = business_days.bounds(day, desk.settings.zone)
    if desk.now() < begin:
        raise DeskRefused("That day has not begun.", advice="Ask for today's, or for an earlier one.")
    made = desk.read(lambda connection: _made(connection, desk, day))
    if desk.now() < end:
        return made
    return desk.write(lambda connection: _keep(connection, desk, day, made))


def look_at(desk: Desk, by: Person, day: date) -> Document:
    """An administrator has looked at it. Raises DeskRefused."""
    if not by.may(Permission.ADMINISTER_EPCS):
        raise DeskRefused("Only an EPCS administrator looks at reports.")

    def work(connection: sa.Connection) -> Document:
        row = connection.execute(sa.select(EPCS_REPORT).where(EPCS_REPORT.c.day == day.isoformat())).first()
        if row is None:
            raise DeskRefused("There is no report of that day yet.", advice="It is made once the day is over.")
        lookers = [*filter(None, row.looked_at_by.split("\n"))]
        if by.actor not in lookers:
            values = {"looked_at_by": "\n".join([*lookers, by.actor])}
            connection.execute(sa.update(EPCS_REPORT).where(EPCS_REPORT.c.day == row.day).values(values))
            audit.record(connection, desk.now(), by.actor, "epcs.report-looked-at", {"day": row.day})
        return _kept(connection, day) or {}

    return desk.write(work)


def unlooked(desk: Desk) -> list[str]:
    """The days whose reports nobody has looked at, the oldest first."""
    question = sa.select(EPCS_REPORT.c.day).where(EPCS_REPORT.c.looked_at_by == "").order_by(EPCS_REPORT.c.day)
    return desk.read(lambda connection: list(connection.execute(question).scalars()))


def tend(desk: Desk) -> None:
    """For the scheduler: the reports of all days that are over, also of those on which nothing ran."""
    yesterday = business_days.day_of(desk.now(), desk.settings.zone) - _DAY
    last = desk.read(lambda connection: connection.execute(sa.select(sa.func.max(EPCS_REPORT.c.day))).scalar())
    day = yesterday if last is None else max(date.fromisoformat(last) + _DAY, yesterday - _MOST_AT_ONCE * _DAY)
    while day <= yesterday:
        make(desk, day)
        day += _DAY


def _kept(connection: sa.Connection, day: date) -> Document | None:
    row = connection.execute(sa.select(EPCS_REPORT).where(EPCS_REPORT.c.day == day.isoformat())).first()
    if row is None:
        return None
    document: Document = json.loads(row.document)
    return document | {"looked_at_by": [*filter(None, row.looked_at_by.split("\n"))]}


def _keep(connection: sa.Connection, desk: Desk, day: date, made: Document) -> Document:
    """The first who has made it; with an incident where the log is not whole."""
    row = {"day": day.isoformat(), "made": desk.now(), "document": _JSON.encode(made)}
    once = insert(connection, EPCS_REPORT).values(**row).on_conflict_do_nothing(index_elements=["day"])
    if connection.execute(once.returning(EPCS_REPORT.c.day)).first() is not None:
        counts = {"day": made["day"], "entries": made["log"]["entries"], "suspicious": len(made["suspicious"])}
        audit.record(connection, desk.now(), "console", "epcs.report-made", counts)
        wrong = made["log"]["wrong"]
        if wrong and wrong != (_earlier(connection, day) or {"wrong": ""})["wrong"]:
            incidents.add(connection, desk, None, "audit", None, f"The audit log is not whole. {wrong}")
    return _kept(connection, day) or made


def _made(connection: sa.Connection, desk: Desk, day: date) -> Document:
    begin, end = business_days.bounds(day, desk.settings.zone)
    entries = audit.between(connection, begin, end)
    named = [entry for entry in entries if auditable.kind(entry.event) is not None]
    wrong = _wrong(connection, day)
    suspicious = [{"said": each.said, "entries": list(each.entries)} for each in auditable.suspicions(entries)]
    return {
        "day": day.isoformat(),
        "from": _time(begin),
        "to": _time(end),
        "made": _time(desk.now()),
        "log": {**_reach(entries), "whole": wrong is None, "wrong": wrong or "", "last": _last(connection)},
        "counts": dict(sorted(Counter(entry.event for entry in entries).items())),
        "auditable": [_line(entry) for entry in named[:MOST_LISTED]],
        "left_out": max(0, len(named) - MOST_LISTED),
        "suspicious": suspicious + ([{"said": wrong, "entries": []}] if wrong else []),
        "incidents": [each.id for each in incidents.between(connection, begin, end)],
        "overrides": [each.id for each in lease_rows.between(connection, begin, end)],
        "looked_at_by": [],
    }


def _wrong(connection: sa.Connection, day: date) -> str | None:
    """What is wrong with the log, in a sentence. Looked at twice: entries may have been put away in between."""
    return (_broken(connection) and _broken(connection)) or _cut(connection, day)


def _broken(connection: sa.Connection) -> str | None:
    before = audit.beginning(connection)
    return audit.verify_chain(audit.each(connection), before.digest, before.number)


def _cut(connection: sa.Connection, day: date) -> str | None:
    """A chain that was cut at its end is still a chain: an earlier report has the last entry that there was then."""
    last = (_earlier(connection, day) or {"last": None})["last"]
    if not last or last["number"] <= audit.beginning(connection).number:
        return None
    digest = connection.execute(sa.select(AUDIT.c.digest).where(AUDIT.c.number == last["number"])).scalar()
    if digest == last["digest"]:
        return None
    return f"Entry {last['number']} is not the one that was there when an earlier report was made."


def _earlier(connection: sa.Connection, day: date) -> Document | None:
    """What the report before said of the log."""
    earlier = sa.select(EPCS_REPORT.c.document).where(EPCS_REPORT.c.day < day.isoformat())
    document = connection.execute(earlier.order_by(EPCS_REPORT.c.day.desc()).limit(1)).scalar()
    return json.loads(document)["log"] if document else None


def _last(connection: sa.Connection) -> dict[str, Any] | None:
    row = connection.execute(sa.select(AUDIT.c.number, AUDIT.c.digest).order_by(AUDIT.c.number.desc()).limit(1)).first()
    return None if row is None else {"number": row.number, "digest": row.digest}


def _reach(entries: Sequence[audit.Entry]) -> dict[str, int]:
    first, last = (entries[0].number, entries[-1].number) if entries else (0, 0)
    return {"entries": len(entries), "first": first, "to": last}


def _line(entry: audit.Entry) -> Document:
    found = auditable.kind(entry.event)
    return {
        "number": entry.number,
        "at": _time(entry.at),
        "actor": entry.actor,
        "event": entry.event,
        "kind": found.value if found else "",
        "details": json.loads(entry.details),
    }


def _time(at: Any) -> str:
    text: str = at.astimezone(UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")
