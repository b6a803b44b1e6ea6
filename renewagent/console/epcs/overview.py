"""Everybody of the desk in a line each, from what the desk itself keeps: nobody outside is asked about all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from renewagent.console import people
from renewagent.console.epcs import lease_rows, request_rows, soft_rows
from renewagent.console.epcs.asked import is_at_hand
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.tables import EPCS_INCIDENT, EPCS_TOKEN
from renewagent.console.permissions import Permission, Person
from renewagent.health import Health
from renewagent.tokens import leases
from renewagent.tokens.grants import Action, RequestState
from renewagent.tokens.leases import Life
from renewagent.tokens.model import TokenState
from renewagent.tokens.reregistration_words import Who, words

MOST = 200
"""Lines at once; more are found by name."""


@dataclass(frozen=True, slots=True)
class Line:
    """Somebody, how they stand as far as it is known here, and a sentence for each thing that is under way."""

    person: Person
    health: Health
    said: tuple[str, ...]


@dataclass(slots=True)
class _Known:
    """What is kept, by person (id): sentences with how bad each is."""

    said: dict[str, list[tuple[Health, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, identity: str, health: Health, sentence: str) -> None:
        self.said[identity].append((health, sentence))


def overview(desk: Desk, by: Person, name: str = "") -> tuple[list[Line], int]:
    """Those of the desk whom `by` looks after and whose name or user name has `name` in it, by name, at most MOST; and
    how many there are of them. Raises nothing."""
    return desk.read(lambda connection: _overview(connection, desk.now(), by, name.strip().casefold()))


def _overview(connection: sa.Connection, now: datetime, by: Person, name: str) -> tuple[list[Line], int]:
    every = [one.person for one in people.everybody(connection) if one.ended is None]
    theirs = [one for one in every if one.may(Permission.USE_EPCS) and is_at_hand(by, one) and one.ehr]
    found = sorted((one for one in theirs if name in f"{one.name} {one.ehr}".casefold()), key=lambda one: one.name)
    known = _known(connection, now)
    return [_line(one, known.said.get(one.id, [])) for one in found[:MOST]], len(found)


def _line(person: Person, said: Iterable[tuple[Health, str]]) -> Line:
    order = (Health.PROBLEM, Health.WARNING, Health.OK)
    worst_first = sorted(said, key=lambda one: order.index(one[0]))
    if not worst_first:
        return Line(person, Health.UNKNOWN, ("No token is registered here, and nothing is under way.",))
    return Line(person, worst_first[0][0], tuple(sentence for _, sentence in worst_first))


def _known(connection: sa.Connection, now: datetime) -> _Known:
    known = _Known()
    _tokens(connection, known)
    for kept in soft_rows.open_ones(connection):
        turn = words(kept.run, kept.owner.name)
        waits = "" if turn.who is Who.DESK else f" Next: {turn.next}"
        known.add(kept.owner.id, Health.WARNING, f"The soft token is being registered anew.{waits}")
    _requests(connection, now, known)
    for lease in lease_rows.open_ones(connection):
        health = Health.WARNING if leases.life(lease, now) is Life.GIVEN else Health.PROBLEM
        known.add(lease.subject, health, f"An administrator override stands until {lease.ends:%H:%M} UTC.")
    open_incidents = sa.select(EPCS_INCIDENT.c.subject, EPCS_INCIDENT.c.due).where(EPCS_INCIDENT.c.reported.is_(None))
    for row in connection.execute(open_incidents.where(EPCS_INCIDENT.c.subject != "")):
        health = Health.PROBLEM if now >= row.due else Health.WARNING
        known.add(row.subject, health, f"A security incident is to be reported by {row.due:%d %B %H:%M} UTC.")
    return known


def _tokens(connection: sa.Connection, known: _Known) -> None:
    """The active ones; where there is none, that there is none."""
    rows = connection.execute(sa.select(EPCS_TOKEN).order_by(EPCS_TOKEN.c.registered, EPCS_TOKEN.c.serial)).all()
    active = {row.owner for row in rows if row.state == TokenState.ACTIVE.value}
    for row in rows:
        refused = row.refused is not None and (row.resynchronised is None or row.refused > row.resynchronised)
        if row.state == TokenState.ACTIVE.value and refused:
            known.add(row.owner, Health.PROBLEM, f"Token {row.serial}: two codes were refused.")
        elif row.state == TokenState.ACTIVE.value:
            known.add(row.owner, Health.OK, f"Token {row.serial} is active.")
    for owner in {row.owner for row in rows} - active:
        known.add(owner, Health.PROBLEM, "No hardware token is active.")


def _requests(connection: sa.Connection, now: datetime, known: _Known) -> None:
    for request in request_rows.open_ones(connection):
        subject = request.subject.person.id
        if request.action is Action.SUSPEND:
            known.add(subject, Health.PROBLEM, "EPCS is being suspended.")
        elif request.state is RequestState.WAITING and request.ends > now:
            what = "grant" if request.action is Action.GRANT else "revocation"
            known.add(subject, Health.WARNING, f"A {what} waits for the second person.")
