"""Grants and revocations: one person enters a request, another has it executed (21 CFR 1311.125).

Who may is judged in `renewagent.tokens.grants`; refusals are written into the audit log, each being an attempt at what
somebody may not do. How the EHR is asked: `carrying_out`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import carrying_out, ehr_says, pulses, request_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.parties import one_at_a_time, party, staff
from renewagent.console.permissions import Permission, Person
from renewagent.tokens import grants
from renewagent.tokens.errors import DeskRefused, FormError
from renewagent.tokens.grants import Action, Factor, Party, Request, RequestState

LONGEST_REASON = 500


def enter(desk: Desk, by: Person, subject: Person, action: Action, reason: str) -> Request:
    """The first person's part. Raises DeskRefused; FormError for a reason that is none; the EHR's errors."""
    if not action.takes_two:
        raise DeskRefused("A suspension takes one person and no request.", advice="Suspend them at once.")
    reason, now, in_doubt = checked_reason(reason), desk.now(), ehr_says.suspended(desk, by)

    def work(connection: sa.Connection) -> Request | str:
        one_at_a_time(connection, subject)
        enterer, concerned = party(connection, by.id), party(connection, subject.id)
        if objection := grants.may_not_enter(enterer, concerned) or in_doubt:
            return _refused(connection, now, by, f"{action.value}-enter", concerned, objection)
        if request_rows.open_ones(connection, subject=subject, actions=[action]):
            raise DeskRefused(
                f"A request to {action.value} EPCS for {subject.name} is open already.",
                advice="It waits for the second person. Withdraw it if it is not what you want.",
            )
        request = _new(desk, concerned, action, reason, enterer, now)
        request_rows.add(connection, request)
        return request

    return _or_refused(desk.write(work))


def execute(desk: Desk, factor: Factor, request_id: str) -> Request:
    """The second person's part: `factor` was shown for this request just now. Raises DeskRefused; the EHR's errors,
    after which a request that is decided is finished by the scheduler."""
    _check_at_ehr(desk, factor.person, _judge(desk, factor, request_id))
    return carrying_out.carry_out(desk, _decide(desk, factor, request_id))


def withdraw(desk: Desk, by: Person, request_id: str) -> Request:
    """By an administrator, as long as nobody has decided it. Raises DeskRefused."""
    now = desk.now()

    def work(connection: sa.Connection) -> Request | str:
        request = request_rows.load(connection, request_id, locked=True)
        if objection := grants.may_not_enter(party(connection, by.id), request.subject):
            return _refused(connection, now, by, f"{request.action.value}-withdraw", request.subject, objection)
        if request.state is not RequestState.WAITING or not request_rows.move(
            connection, request, now, by.actor, RequestState.WITHDRAWN
        ):
            raise DeskRefused("It is too late to withdraw this request.", advice="Look at the list of requests again.")
        return replace(request, state=RequestState.WITHDRAWN)

    return _or_refused(desk.write(work))


def find(desk: Desk, request_id: str) -> Request:
    """Raises DeskRefused."""
    return desk.read(lambda connection: request_rows.load(connection, request_id))


def document_of(request: Request) -> bytes:
    """What the second person's card signs the SHA-256 of."""
    return grants.document(request)


def waiting(desk: Desk, person: Person) -> list[Request]:
    """What this person can see of what is open: for whoever has a part in it all, for others what is about them."""
    every = person.may(Permission.ADMINISTER_EPCS) or person.may(Permission.EXECUTE_EPCS)
    return desk.read(lambda connection: request_rows.open_ones(connection, subject=None if every else person))


def objection(desk: Desk, person: Person, request: Request) -> str | None:
    """Why this person cannot be the second one, before any factor is asked for; None if they can."""
    executor = desk.read(lambda connection: party(connection, person.id))
    return grants.may_not_execute(request, executor, desk.now())


def of(desk: Desk, subject: Person) -> list[Request]:
    """Somebody's latest, the newest first."""
    return desk.read(lambda connection: request_rows.of(connection, subject))


def checked_reason(reason: str) -> str:
    """Raises FormError."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise FormError(f"A reason is 1 to {LONGEST_REASON} characters of text.", "reason")
    return reason


def _new(desk: Desk, subject: Party, action: Action, reason: str, enterer: Party, now: datetime) -> Request:
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as the column keeps it: the document has it too
    return Request(desk.new_id(), subject, action, reason, RequestState.WAITING, enterer, now, now + grants.VALID)


def _judge(desk: Desk, factor: Factor, request_id: str) -> Request:
    now = desk.now()
    return _or_refused(desk.write(lambda connection: _judged(connection, factor, request_id, now)))


def _check_at_ehr(desk: Desk, person: Person, request: Request) -> None:
    """The EHR's own word on the three, before anything is decided."""
    executor = desk.read(lambda connection: party(connection, person.id))
    accounts = [staff(desk, each.person) for each in (request.subject, request.entered_by, executor)]
    objection = (
        grants.ehr_objects(request, executor, *accounts)
        or ehr_says.suspended(desk, person)
        or ehr_says.suspended(desk, request.entered_by.person)
    )
    if objection is not None:
        now, tried = desk.now(), f"{request.action.value}-execute"
        desk.write(lambda connection: _refused(connection, now, person, tried, request.subject, objection))
        raise DeskRefused(objection)


def _decide(desk: Desk, factor: Factor, request_id: str) -> Request:
    """EXECUTING, once: durable before the EHR is asked."""
    now = desk.now()

    def work(connection: sa.Connection) -> Request | str:
        request = _judged(connection, factor, request_id, now)
        if isinstance(request, Request):
            decided = {"decided_by": factor.person.id, "decided": now, "factor": f"{factor.how} {factor.evidence}"}
            request_rows.move(connection, request, now, factor.person.actor, RequestState.EXECUTING, **decided)
            pulses.beat(connection, carrying_out.claimed(request), now)
            return request_rows.load(connection, request_id)
        return request

    return _or_refused(desk.write(work))


def _judged(connection: sa.Connection, factor: Factor, request_id: str, now: datetime) -> Request | str:
    # A suspension at the same moment comes before this or after it, and stops it then.
    one_at_a_time(connection, request_rows.load(connection, request_id).subject.person)
    request = request_rows.load(connection, request_id, locked=True)
    executor = party(connection, factor.person.id)
    objection = grants.may_not_execute(request, executor, now) or grants.does_not_show(request, factor, executor, now)
    if objection is None:
        _check_not_being_suspended(connection, request)
        return request
    return _refused(connection, now, factor.person, f"{request.action.value}-execute", request.subject, objection)


def _check_not_being_suspended(connection: sa.Connection, request: Request) -> None:
    """What is carried out last would count, and that is not known."""
    under_way = request_rows.open_ones(connection, subject=request.subject.person, actions=[Action.SUSPEND])
    if request.action is Action.GRANT and under_way:
        raise DeskRefused(
            f"A suspension of {request.subject.name} is not through yet.", advice="Try again in some minutes."
        )


def _refused(connection: sa.Connection, now: datetime, by: Person, tried: str, subject: Party, objection: str) -> str:
    """An attempt at what somebody may not do is an auditable event (21 CFR 1311.150(a))."""
    details = {"subject": subject.person.actor, "why": objection}
    audit.record(connection, now, by.actor, f"epcs.{tried}-refused", details)
    return objection


def _or_refused(outcome: Request | str) -> Request:
    """Raised outside the transaction, which keeps the line in the audit log."""
    if isinstance(outcome, str):
        raise DeskRefused(outcome)
    return outcome
