"""Why can I not sign? What the desk keeps of one person, and what the vendor and the EHR say of them now; the judgement
is in `findings`.

An outside system that does not answer makes its part unknown, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import sqlalchemy as sa

from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import person_document, told
from renewagent.console.epcs.findings import Finding, Heard, Held, Incident, Waiting, findings
from renewagent.console.epcs.tables import (
    EPCS_INCIDENT,
    EPCS_LEASE,
    EPCS_REMINDER,
    EPCS_REQUEST,
    EPCS_RUN,
    EPCS_TICKET,
    EPCS_TOKEN,
)
from renewagent.console.permissions import Person
from renewagent.console.tables import PERSON
from renewagent.tokens.errors import TokenError, UnknownToken
from renewagent.tokens.leases import Lease
from renewagent.tokens.model import TokenKind, TokenState

T = TypeVar("T")
_WAITS = "waiting"
_NOT_TOLD = frozenset({"owner", "person", "document"})
"""Columns that say nothing to a program: whose it is, and what is in there in other words."""


def why(desk: Desk, person: Person) -> list[Finding]:
    """All that was found, in the order in which it is put right."""
    heard = hear(desk, person, desk.read(lambda connection: _kept(connection, person)))
    return findings(heard, desk.now())


def standing(desk: Desk, person: Person) -> dict[str, Any]:
    """The same with what it was found from, for programs."""
    kept = desk.read(lambda connection: _kept(connection, person))
    heard = hear(desk, person, kept)
    rows = {name: [_row(kept, row) for row in kept[name]] for name in _KEPT}
    locked = {token.serial: token.vendor.locked_until for token in heard.tokens if token.vendor is not None}
    for row in rows["tokens"]:
        row["locked_until"] = told(locked.get(row["serial"]))
    return {
        "person": person_document(person),
        "access": told(heard.access),
        "device": told(heard.device),
        "soft": told(heard.soft),
        **rows,
        "findings": told(findings(heard, desk.now())),
    }


def hear(desk: Desk, person: Person, kept: dict[str, Any]) -> Heard:
    """What everybody says of this person."""
    ehr, vendor = _Outside(), _Outside()
    user = person.ehr
    if not user:
        ehr.silent = "This person has no user name in the EHR."
    device, access = ehr.ask(lambda: desk.ehr.device(user)), ehr.ask(lambda: desk.ehr.access(user))
    tokens = tuple(_held(desk, vendor, row) for row in kept["tokens"])
    usernames = {device.username} if device is not None else {row.username for row in kept["runs"]}
    known = vendor.ask(lambda: desk.soft.soft_tokens(sorted(usernames - {""}))) if usernames - {""} else None
    return Heard(
        tokens=tokens,
        soft=next(iter((known or {}).values()), None),
        device=device,
        access=access,
        leases=tuple(_lease(row) for row in kept["overrides"]),
        requests=tuple(
            Waiting(row.action, kept["people"].get(row.entered_by, {}).get("name", "somebody"), row.ends)
            for row in kept["requests"]
            if row.state == _WAITS and row.ends > desk.now()
        ),
        incidents=tuple(Incident(row.what, row.due) for row in kept["incidents"] if row.reported is None),
        vendor_silent=vendor.silent,
        ehr_silent=ehr.silent,
    )


class _Outside:
    """One system: once it has not answered it is not asked again in this look."""

    def __init__(self) -> None:
        self.silent = ""

    def ask(self, question: Callable[[], T | None]) -> T | None:
        if self.silent:
            return None
        try:
            return question()
        except UnknownToken:
            return None
        except TokenError as problem:
            self.silent = problem.message
            return None


def _held(desk: Desk, vendor: _Outside, row: sa.Row[Any]) -> Held:
    held = Held(
        row.serial,
        TokenKind(row.kind),
        TokenState(row.state),
        row.drift,
        row.resynchronised,
        row.refused,
        row.refusals,
    )
    over = held.state.is_over  # and never comes back: nobody needs to be asked
    return held if over else replace(held, vendor=vendor.ask(lambda: desk.authority.standing(row.serial)))


def _lease(row: sa.Row[Any]) -> Lease:
    return Lease(
        row.id, row.subject, row.purpose, row.given_by, row.given, row.ends, bool(row.enforced), row.ended, row.why
    )


# --- What is kept

_KEPT = ("tokens", "tickets", "runs", "requests", "overrides", "incidents", "reminders")


def _kept(connection: sa.Connection, person: Person) -> dict[str, Any]:
    mine = {
        "tokens": _rows(connection, EPCS_TOKEN, EPCS_TOKEN.c.owner, person, EPCS_TOKEN.c.registered),
        "tickets": _rows(connection, EPCS_TICKET, EPCS_TICKET.c.owner, person, EPCS_TICKET.c.opened),
        "runs": _rows(connection, EPCS_RUN, EPCS_RUN.c.owner, person, EPCS_RUN.c.begun),
        "requests": _rows(connection, EPCS_REQUEST, EPCS_REQUEST.c.subject, person, EPCS_REQUEST.c.entered),
        "overrides": [
            row
            for row in _rows(connection, EPCS_LEASE, EPCS_LEASE.c.subject, person, EPCS_LEASE.c.given)
            if row.ended is None
        ],
        "incidents": _rows(connection, EPCS_INCIDENT, EPCS_INCIDENT.c.subject, person, EPCS_INCIDENT.c.found),
        "reminders": _rows(connection, EPCS_REMINDER, EPCS_REMINDER.c.person, person, EPCS_REMINDER.c.given),
    }
    named = {getattr(row, name) for rows in mine.values() for row in rows for name in _PEOPLE if hasattr(row, name)}
    return {**mine, "people": _people(connection, named)}


_PEOPLE = ("subject", "entered_by", "decided_by", "given_by", "opened_by", "begun_by", "found_by", "reported_by")


def _rows(
    connection: sa.Connection, table: sa.Table, whose: sa.ColumnElement[Any], person: Person, by: sa.ColumnElement[Any]
) -> Sequence[sa.Row[Any]]:
    return connection.execute(sa.select(table).where(whose == person.id).order_by(by)).fetchall()


def _people(connection: sa.Connection, ids: Iterable[str]) -> dict[str, dict[str, str]]:
    rows = connection.execute(sa.select(PERSON.c.id, PERSON.c.name, PERSON.c.ehr).where(PERSON.c.id.in_(sorted(ids))))
    return {row.id: {"id": row.id, "name": row.name, "user": row.ehr} for row in rows}


def _row(kept: dict[str, Any], row: sa.Row[Any]) -> dict[str, Any]:
    """With people by name, as far as they are known here."""
    shown = {name: told(value) for name, value in row._mapping.items() if name not in _NOT_TOLD}
    return {name: kept["people"].get(value) or None if name in _PEOPLE else value for name, value in shown.items()}
