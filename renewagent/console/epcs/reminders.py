"""Reminders that an app's password or a certificate ends: given once each, and none missed because nobody looked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.epcs import pulses, soft_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.soft_rows import Kept
from renewagent.console.epcs.tables import EPCS_REMINDER
from renewagent.console.permissions import Permission, Person
from renewagent.tokens import calendar
from renewagent.tokens.calendar import Deadline, Reminder
from renewagent.tokens.errors import EhrRefused
from renewagent.tokens.model import SoftToken

EVERY = timedelta(hours=6)
"""How often everybody is looked at: less than the day between the last reminder and the end."""
_PULSE = "soft-reminders"
_AFTER_TROUBLE = timedelta(minutes=15)
_PIECE = 200


def due(desk: Desk, person: Person) -> tuple[Reminder, ...]:
    """What ends soon for this person, told before or not. Raises the EHR's and the vendor's errors."""
    soft = _known(desk, {person.id: _username(desk, person)}).get(person.id)
    return () if soft is None else calendar.upcoming(soft, desk.now())


def deadlines(desk: Desk, person: Person) -> tuple[Deadline, ...]:
    """Both of this person's, for their calendar; none without a soft token. Raises as `due`."""
    soft = _known(desk, {person.id: _username(desk, person)}).get(person.id)
    return () if soft is None else calendar.deadlines(soft)


def remind(desk: Desk) -> list[tuple[Person, Reminder]]:
    """For the scheduler: look at everybody every few hours, and give what is due; that is all that this returns. Raises
    the EHR's and the vendor's errors, and looks again some minutes later."""
    if not desk.write(lambda connection: pulses.claim(connection, _PULSE, desk.now(), EVERY)):
        return []
    try:
        return [(person, told) for person, soft in _everybody(desk) for told in _give(desk, person, soft)]
    except Exception:
        soon = desk.now() - EVERY + _AFTER_TROUBLE
        desk.write(lambda connection: pulses.beat(connection, _PULSE, soon))
        raise


def _everybody(desk: Desk) -> Iterator[tuple[Person, SoftToken]]:
    entries = desk.read(people.everybody)
    here = {one.person.id: one.person for one in entries if one.ended is None and _may_have_one(one.person)}
    usernames = {identity: _username(desk, person) for identity, person in here.items()}
    for identity, soft in _known(desk, usernames).items():
        yield here[identity], soft


def _may_have_one(person: Person) -> bool:
    return bool(person.ehr) and person.may(Permission.USE_EPCS)


def _username(desk: Desk, person: Person) -> str:
    """Their Soft Token User Name: as the last run noted it, else as the EHR shows it; "" for none."""
    before: list[Kept] = desk.read(lambda connection: soft_rows.of(connection, person))
    if before:
        return before[0].run.username
    try:
        device = desk.ehr.device(person.ehr) if person.ehr else None
    except EhrRefused:  # nobody of this name there
        return ""
    return device.username if device is not None else ""


def _known(desk: Desk, usernames: dict[str, str]) -> dict[str, SoftToken]:
    """Of each person (id) who has one."""
    wanted = sorted(set(usernames.values()) - {""})
    found: dict[str, SoftToken] = {}
    for begin in range(0, len(wanted), _PIECE):
        found |= desk.soft.soft_tokens(wanted[begin : begin + _PIECE])
    return {identity: found[name] for identity, name in usernames.items() if name in found}


def _give(desk: Desk, person: Person, soft: SoftToken) -> list[Reminder]:
    def work(connection: sa.Connection) -> list[Reminder]:
        given = (_given(connection, desk, person, deadline) for deadline in calendar.deadlines(soft))
        return [told for told in given if told is not None]

    return desk.write(work)


def _given(connection: sa.Connection, desk: Desk, person: Person, deadline: Deadline) -> Reminder | None:
    """What is due, with its rows and its line in the audit log."""
    now, what = desk.now(), deadline.what.value
    rows = EPCS_REMINDER.c
    mine = (rows.person == person.id, rows.what == what, rows.ends == deadline.key)
    told = calendar.reminder(deadline, now, set(connection.execute(sa.select(rows.days).where(*mine)).scalars()))
    if told is None:
        return None
    for days in told.days:
        row = {"person": person.id, "what": what, "ends": deadline.key, "days": days, "given": now}
        connection.execute(sa.insert(EPCS_REMINDER).values(**row))
    details = {"person": person.actor, "what": what, "ends": deadline.key, "days": list(told.days), "left": told.left}
    audit.record(connection, now, "console", "epcs.reminded", details)
    return told
