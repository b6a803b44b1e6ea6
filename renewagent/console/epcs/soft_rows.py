"""Rows of runs: read, added, and led from state to state, each with its line in the audit log. A row is changed only as
it was read (`Overtaken`), so that of two processes at the same run one finds that it is too late before it asks the
EHR for anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.epcs import pulses
from renewagent.console.epcs.desk import NEWS, Desk
from renewagent.console.epcs.parties import one_at_a_time
from renewagent.console.epcs.tables import EPCS_RUN
from renewagent.console.permissions import Person
from renewagent.console.store import raise_revision
from renewagent.errors import RenewAgentError
from renewagent.tokens.errors import DeskRefused
from renewagent.tokens.reregistration import Event, Kind, Run, State, Way, step
from renewagent.tokens.soft_causes import Cause

_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
_AUDITED = frozenset("username way serial serial_now registration channels administrator waits".split())
"""Facts that an auditor wants to see; none of them is a secret."""


class Overtaken(Exception):
    """Somebody else has changed this run since it was read."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong in the last step, for a person; the run stands where it stood."""

    error: str
    advice: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A row, read. `here`: its owner may still sign in; `looked`: when somebody last went on with it; `document` as it
    stands there."""

    run: Run
    owner: Person
    here: bool
    begun_by: str
    begun: datetime
    changed: datetime
    looked: datetime
    finished: datetime | None
    problem: Problem | None
    document: str


def load(connection: sa.Connection, identity: str) -> Kept:
    """Raises DeskRefused for one that does not exist."""
    row = connection.execute(sa.select(EPCS_RUN).where(EPCS_RUN.c.id == identity)).first()
    if row is None:
        raise DeskRefused("There is no such thing, or it is not yours.", advice="Look at the list once more.")
    return _kept(row, lru_cache(partial(people.ever, connection)))


def of(connection: sa.Connection, owner: Person) -> list[Kept]:
    """Somebody's, the newest first: one that is open is always that."""
    question = sa.select(EPCS_RUN).where(EPCS_RUN.c.owner == owner.id)
    is_over = sa.case((EPCS_RUN.c.finished.is_(None), 0), else_=1)
    newest = question.order_by(is_over, EPCS_RUN.c.begun.desc(), EPCS_RUN.c.finished.desc(), EPCS_RUN.c.id)
    rows = connection.execute(newest).all()
    whoever = lru_cache(partial(people.ever, connection))  # most rows are of the same few people
    return [_kept(row, whoever) for row in rows]


def open_ones(connection: sa.Connection) -> list[Kept]:
    """All that are not over, the oldest first."""
    question = sa.select(EPCS_RUN).where(EPCS_RUN.c.finished.is_(None))
    rows = connection.execute(question.order_by(EPCS_RUN.c.begun, EPCS_RUN.c.id)).all()
    whoever = lru_cache(partial(people.ever, connection))  # most rows are of the same few people
    return [_kept(row, whoever) for row in rows]


def claimed(run: Run) -> str:
    """The name by which one process has the run for itself; every change of the row holds on to it."""
    return f"soft-run {run.id}"


def owner_of_name(connection: sa.Connection, username: str) -> str | None:
    """Whose (their id) this Soft Token User Name was when it was last registered here."""
    question = sa.select(EPCS_RUN.c.owner).where(EPCS_RUN.c.username == username)
    owner: str | None = connection.execute(question.order_by(EPCS_RUN.c.begun.desc()).limit(1)).scalar()
    return owner


def add(connection: sa.Connection, run: Run, owner: Person, by: Person, now: datetime) -> bool:
    """A new one; False, and nothing is added, where one of theirs is open."""
    one_at_a_time(connection, owner)
    theirs = sa.select(EPCS_RUN.c.id).where(EPCS_RUN.c.owner == owner.id, EPCS_RUN.c.finished.is_(None))
    if connection.execute(theirs).first() is not None:
        return False
    values = {"id": run.id, "owner": owner.id, "cause": run.cause.value, "step": run.state.value}
    values |= {"username": run.username, "document": _document(run, now, None), "begun_by": by.id}
    connection.execute(sa.insert(EPCS_RUN).values(**values, begun=now, changed=now))
    _record(connection, now, by.actor, "begun", run, owner, run.facts)
    return True


def intend(desk: Desk, kept: Kept, actor: str, what: str, facts: Mapping[str, str]) -> Kept:
    """Written before the EHR or the vendor is asked to change something. Raises Overtaken."""
    run = replace(kept.run, facts={**kept.run.facts, **facts, "asked": what})
    return _write(desk, kept, run, actor, f"{what}-asked", facts)


def advance(desk: Desk, kept: Kept, actor: str, event: Event) -> Kept:
    """The run after `event`. Raises Overtaken."""
    run = step(kept.run, event)
    told = event.kind is not Kind.WAITS or run != kept.run
    return _write(desk, kept, run, actor, event.kind.value if told else "", event.fields)


def fail(desk: Desk, kept: Kept, error: RenewAgentError) -> Kept:
    """The run stands where it stood; what went wrong is kept with it. Raises Overtaken."""
    problem = Problem(error.message, error.advice, error.code, desk.now())
    return _write(desk, kept, kept.run, "", "", {}, problem)


def _write(
    desk: Desk,
    kept: Kept,
    run: Run,
    actor: str,
    event: str,
    facts: Mapping[str, str],
    problem: Problem | None = None,
) -> Kept:
    now = desk.now()

    def work(connection: sa.Connection) -> Kept:
        as_read = (EPCS_RUN.c.id == run.id, EPCS_RUN.c.step == kept.run.state.value)
        values: dict[str, Any] = {"step": run.state.value, "document": _document(run, now, problem)}
        values |= {"changed": now if event else kept.changed, "finished": now if run.over else None}
        written = sa.update(EPCS_RUN).where(*as_read, EPCS_RUN.c.document == kept.document).values(**values)
        if not connection.execute(written).rowcount:
            raise Overtaken
        pulses.beat(connection, claimed(run), now)
        if event:
            _record(connection, now, actor, event, run, kept.owner, facts)
        elif problem != kept.problem:
            raise_revision(connection, NEWS)
        return load(connection, run.id)

    return desk.write(work)


def _record(
    connection: sa.Connection,
    now: datetime,
    actor: str,
    event: str,
    run: Run,
    owner: Person,
    facts: Mapping[str, str],
) -> None:
    details = {"run": run.id, "owner": owner.actor, "cause": run.cause.value, "state": run.state.value}
    details |= {k: v for k, v in facts.items() if v and (k in _AUDITED or k.startswith("stands_"))}
    audit.record(connection, now, actor, f"epcs.soft-{event}", details)
    raise_revision(connection, NEWS)


def _document(run: Run, now: datetime, problem: Problem | None) -> str:
    told: dict[str, Any] = {"facts": dict(run.facts), "rounds": run.rounds, "looked": now.isoformat()}
    told["way"] = run.way.value if run.way is not None else ""
    if problem is not None:
        at = problem.at.isoformat()
        told["problem"] = {"error": problem.error, "advice": problem.advice, "code": problem.code, "at": at}
    return _JSON.encode(told)


def _kept(row: sa.Row[Any], whoever: Callable[[str], people.Entry | None]) -> Kept:
    told = json.loads(row.document)
    way, problem = Way(told["way"]) if told["way"] else None, told.get("problem")
    run = Run(row.id, row.owner, Cause(row.cause), State(row.step), way, told["rounds"], told["facts"])
    owner, begun_by = whoever(row.owner), whoever(row.begun_by)
    if owner is None:
        raise DeskRefused("The person whose registration this is is not known here any more.")
    return Kept(
        run,
        owner.person,
        owner.ended is None,
        begun_by.person.name if begun_by is not None else "",
        row.begun,
        row.changed,
        datetime.fromisoformat(told["looked"]),
        row.finished,
        None if problem is None else Problem(**{**problem, "at": datetime.fromisoformat(problem["at"])}),
        row.document,
    )
