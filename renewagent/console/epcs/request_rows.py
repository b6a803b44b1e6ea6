"""Rows of requests: read with their people, written, and led from state to state, once. Functions of one connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs.desk import NEWS
from renewagent.console.epcs.parties import party
from renewagent.console.epcs.tables import EPCS_REQUEST
from renewagent.console.permissions import Person
from renewagent.console.store import raise_revision
from renewagent.tokens import grants
from renewagent.tokens.errors import DeskRefused
from renewagent.tokens.grants import Action, Request, RequestState

_OPEN = [state.value for state in RequestState if state.is_open]


def load(connection: sa.Connection, identity: str, *, locked: bool = False) -> Request:
    """Raises DeskRefused for an unknown one. `locked`: nobody else changes it until the transaction ends."""
    question = sa.select(EPCS_REQUEST).where(EPCS_REQUEST.c.id == identity)
    row = connection.execute(question.with_for_update() if locked else question).first()
    if row is None:
        raise DeskRefused("There is no such request.", advice="Look at the list of requests again.")
    return _request(connection, row)


def open_ones(
    connection: sa.Connection, *, subject: Person | None = None, actions: Iterable[Action] = tuple(Action)
) -> list[Request]:
    """Those about which something is still to be done, the oldest first."""
    names = [action.value for action in actions]
    question = sa.select(EPCS_REQUEST).where(EPCS_REQUEST.c.state.in_(_OPEN), EPCS_REQUEST.c.action.in_(names))
    if subject is not None:
        question = question.where(EPCS_REQUEST.c.subject == subject.id)
    rows = connection.execute(question.order_by(EPCS_REQUEST.c.entered, EPCS_REQUEST.c.id)).all()
    return [_request(connection, row) for row in rows]


def of(connection: sa.Connection, subject: Person, most: int = 20) -> list[Request]:
    """Somebody's latest, the newest first."""
    question = sa.select(EPCS_REQUEST).where(EPCS_REQUEST.c.subject == subject.id)
    newest = question.order_by(EPCS_REQUEST.c.entered.desc(), EPCS_REQUEST.c.id).limit(most)
    return [_request(connection, row) for row in connection.execute(newest).all()]


def add(connection: sa.Connection, request: Request) -> None:
    """A new one, with its line in the audit log."""
    values = {"id": request.id, "subject": request.subject.person.id, "action": request.action.value}
    values |= {"reason": request.reason, "state": request.state.value, "entered_by": request.entered_by.person.id}
    connection.execute(
        sa.insert(EPCS_REQUEST).values(
            **values, entered=request.entered, ends=request.ends, decided=request.decided, factor=request.factor
        )
    )
    record(connection, request.entered, request.entered_by.person.actor, f"{request.action.value}-entered", request)


def move(
    connection: sa.Connection, request: Request, now: datetime, actor: str, state: RequestState, **values: Any
) -> bool:
    """From the state that was read to the next, with its line in the audit log. False if somebody was quicker."""
    mine = (EPCS_REQUEST.c.id == request.id, EPCS_REQUEST.c.state == request.state.value)
    moved = connection.execute(sa.update(EPCS_REQUEST).where(*mine).values(state=state.value, **values))
    if not moved.rowcount:
        return False
    known = {name: value for name, value in values.items() if name in ("factor", "outcome")}
    record(connection, now, actor, f"{request.action.value}-{state.value}", replace(request, state=state, **known))
    return True


def record(connection: sa.Connection, now: datetime, actor: str, event: str, request: Request, **more: str) -> None:
    """A line in the audit log about a request."""
    details = {"request": request.id, "subject": request.subject.person.actor, "reason": request.reason}
    details |= {"entered_by": request.entered_by.person.actor, "sha256": grants.digest(request), **more}
    told = {"factor": request.factor, "outcome": request.outcome}
    if request.decided_by is not None:
        told["decided_by"] = request.decided_by.person.actor
    audit.record(connection, now, actor, f"epcs.{event}", details | {k: v for k, v in told.items() if v})
    raise_revision(connection, NEWS)


def _request(connection: sa.Connection, row: sa.Row[Any]) -> Request:
    return Request(
        id=row.id,
        subject=party(connection, row.subject),
        action=Action(row.action),
        reason=row.reason,
        state=RequestState(row.state),
        entered_by=party(connection, row.entered_by),
        entered=row.entered,
        ends=row.ends,
        decided_by=party(connection, row.decided_by) if row.decided_by else None,
        decided=row.decided,
        factor=row.factor,
        executed=row.executed,
        outcome=row.outcome,
    )
