"""Suspending somebody's EPCS access: by one person, at once, on the day that something is found (21 CFR 1311.125(d)).

It is written down before anything is asked of the EHR, stops every grant that is not through, takes overrides back,
opens an incident, and asks for the formal revocation, which takes two. What does not work at once the scheduler goes on
trying (`carrying_out`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import carrying_out, incidents, lease_rows, overrides, pulses, request_rows, token_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.incidents import Incident
from renewagent.console.epcs.parties import one_at_a_time, party
from renewagent.console.epcs.tables import EPCS_INCIDENT, EPCS_TOKEN
from renewagent.console.permissions import Person
from renewagent.errors import RenewAgentError
from renewagent.tokens import grants
from renewagent.tokens.errors import DeskRefused, FormError
from renewagent.tokens.grants import Action, Party, Request, RequestState, SuspensionReason
from renewagent.tokens.leases import End
from renewagent.tokens.model import TokenKind, TokenState

LONGEST_NOTE = 1_000


@dataclass(frozen=True, slots=True)
class Suspended:
    """What was done: `request` is EXECUTED once the EHR shows it and the tokens are disabled; `revocation` the request
    that waits for its second person, None where an administrator has yet to enter it; `said` in words."""

    request: Request
    incident: Incident
    revocation: Request | None
    said: str


def suspend(
    desk: Desk,
    by: Person,
    subject: Person,
    reason: SuspensionReason,
    note: str = "",
    tokens: Sequence[str] | None = None,
) -> Suspended:
    """`tokens`: the serials that were lost or stolen, by default whichever is active; an empty one where it was the
    phone. By an administrator, or by the person themself. Again is as good as once. Raises DeskRefused, FormError; what
    the EHR or the vendor does not do at once is told in `said`."""
    note = _note(note)
    opened = desk.write(lambda connection: _open(connection, desk, by, subject, reason, note, tokens))
    if isinstance(opened, str):
        raise DeskRefused(opened)
    request, incident, revocation = opened
    troubles = _take_overrides_back(desk, subject, by)
    try:
        request = carrying_out.carry_out(desk, request)
    except RenewAgentError as problem:
        troubles.insert(0, problem.message)
    return Suspended(request, incident, revocation, _said(request, revocation, troubles))


def _open(
    connection: sa.Connection,
    desk: Desk,
    by: Person,
    subject: Person,
    reason: SuspensionReason,
    note: str,
    tokens: Sequence[str] | None,
) -> tuple[Request, Incident, Request | None] | str:
    one_at_a_time(connection, subject)
    now, suspender, concerned = desk.now(), party(connection, by.id), party(connection, subject.id)
    objection = None if by.id == subject.id else grants.may_not_enter(suspender, concerned)
    if objection is not None:
        details = {"subject": subject.actor, "why": objection}
        audit.record(connection, now, by.actor, "epcs.suspend-refused", details)
        return objection
    _stop_grants(connection, desk, concerned, by)
    serials = _serials(connection, subject, reason, tokens)
    for serial in serials:
        token_rows.become(connection, now, by.actor, serial, TokenState.LOST)
    request = _request(connection, desk, suspender, concerned, reason, serials)
    for lease in lease_rows.open_ones(connection, subject=subject.id):
        lease_rows.end_now(connection, lease, now, by.actor, End.SUSPENDED)
    return request, _incident(connection, desk, by, subject, reason, note), _revocation(connection, desk, request)


def _stop_grants(connection: sa.Connection, desk: Desk, subject: Party, by: Person) -> None:
    for grant in request_rows.open_ones(connection, subject=subject.person, actions=[Action.GRANT]):
        outcome = f"{subject.name} was suspended."
        request_rows.move(connection, grant, desk.now(), by.actor, RequestState.STOPPED, outcome=outcome)


def _request(
    connection: sa.Connection,
    desk: Desk,
    suspender: Party,
    subject: Party,
    reason: SuspensionReason,
    serials: list[str],
) -> Request:
    """The one that is under way, if it has these tokens in it, or a new one."""
    now = desk.now()
    for known in request_rows.open_ones(connection, subject=subject.person, actions=[Action.SUSPEND]):
        if known.reason == reason.value and set(serials) <= set(known.factor.split()):
            return known
    new = Request(
        desk.new_id(), subject, Action.SUSPEND, reason.value, RequestState.EXECUTING, suspender, now, now + grants.VALID
    )
    new = replace(new, decided=now, factor=" ".join(serials))
    request_rows.add(connection, new)
    pulses.beat(connection, carrying_out.claimed(new), now)
    return new


def _serials(
    connection: sa.Connection, subject: Person, reason: SuspensionReason, tokens: Sequence[str] | None
) -> list[str]:
    if not reason.takes_token:
        return []
    mine = (EPCS_TOKEN.c.owner == subject.id, EPCS_TOKEN.c.kind == TokenKind.HARDWARE.value)
    known = connection.execute(sa.select(EPCS_TOKEN.c.serial, EPCS_TOKEN.c.state).where(*mine)).all()
    if tokens is None:
        over = [state.value for state in TokenState if state.is_over] + [TokenState.SPARE.value]
        return sorted(row.serial for row in known if row.state not in over)
    if strangers := set(tokens) - {row.serial for row in known}:
        raise FormError(f"{', '.join(sorted(strangers))} is no token of {subject.name}'s.", "tokens")
    return sorted(tokens)


def _incident(
    connection: sa.Connection, desk: Desk, by: Person, subject: Person, reason: SuspensionReason, note: str
) -> Incident:
    """The one that is open for this, or a new one."""
    kind = f"suspension: {reason.value}"
    same = (EPCS_INCIDENT.c.subject == subject.id, EPCS_INCIDENT.c.kind == kind, EPCS_INCIDENT.c.reported.is_(None))
    known = connection.execute(sa.select(EPCS_INCIDENT).where(*same)).first()
    if known is not None:
        return Incident(*known)
    what = f"{subject.name}: {_WHAT[reason]}" + (f" {note}" if note else "")
    return incidents.add(connection, desk, by, kind, subject, what)


def _revocation(connection: sa.Connection, desk: Desk, suspension: Request) -> Request | None:
    """The formal one, by two: entered with the suspension where whoever suspends may enter it."""
    subject, enterer = suspension.subject, suspension.entered_by
    known = request_rows.open_ones(connection, subject=subject.person, actions=[Action.REVOKE])
    if known:
        return known[0]
    if grants.may_not_enter(enterer, subject):
        return None
    new = replace(suspension, id=desk.new_id(), action=Action.REVOKE, state=RequestState.WAITING)
    new = replace(new, decided=None, factor="")
    request_rows.add(connection, new)
    return new


def _take_overrides_back(desk: Desk, subject: Person, by: Person) -> list[str]:
    troubles = []
    for lease in overrides.open_leases(desk, subject):
        try:
            overrides.take_back(desk, lease, End.SUSPENDED, by.actor)
        except RenewAgentError as problem:
            troubles.append(problem.message)
    return troubles


def _said(request: Request, revocation: Request | None, troubles: Sequence[str]) -> str:
    name = request.subject.name
    if troubles:
        begin = f"The suspension of {name} is noted, but not all of it is done. {' '.join(troubles)} It is tried again"
        begin += " by itself; until then, ask your EHR's support to suspend them by hand."
    else:
        begin = f"{name} can no longer sign prescriptions of controlled substances."
    waits = "waits for a second person" if revocation is not None else "has to be entered by an EPCS administrator"
    return f"{begin} The formal revocation {waits}."


def _note(note: str) -> str:
    note = " ".join(note.split())
    if len(note) > LONGEST_NOTE or not (note.isprintable() or not note):
        raise FormError(f"A note is text of at most {LONGEST_NOTE:,} characters.", "note")
    return note


_WHAT = {
    SuspensionReason.LOST: "a token, or another factor, was lost.",
    SuspensionReason.STOLEN: "a token, or another factor, was stolen.",
    SuspensionReason.COMPROMISED: "a factor may be in somebody else's hands or known to them.",
    SuspensionReason.REGISTRATION_ENDED: "the DEA registration expired, was terminated, revoked or suspended.",
    SuspensionReason.LEFT: "the person is no longer with the practice.",
}
