"""What was decided is carried out: asked of the EHR and read back, by whoever decided it or, where they died over it,
by the scheduler. Nothing is decided here.

A decided request stands in its row as EXECUTING before the EHR is asked. The EHR is looked at before it is asked, so
that what it has done already is not asked for again. A suspension that comes between stops a grant: a grant that is
under way in another process at that moment is undone by it, and the suspension is not over before that is certain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from renewagent.console.epcs import ehr_says, pulses, request_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.tables import EPCS_REQUEST
from renewagent.errors import RenewAgentError
from renewagent.tokens.errors import DeskRefused, EhrMisbehaved, EhrRefused, UnknownToken
from renewagent.tokens.grants import Action, Request, RequestState
from renewagent.tokens.model import Access

HOLD = timedelta(minutes=2)
"""How long after it asked the EHR a process is not taken for dead: longer than an EHR is waited for, with time to do
what nobody waits for any more."""
_SOON = timedelta(seconds=10)
"""A suspension is tried again as soon as this: doing it twice does no harm."""
CONSOLE = "console"
_ROUNDS = 2
_LOG = logging.getLogger(__name__)


def carry_out(desk: Desk, request: Request) -> Request:
    """Do it, and see that it is done: the request as it stands then. Raises the EHR's and the vendor's errors: the
    request stays EXECUTING then, but for a grant or a revocation that the EHR refuses."""
    troubles = [trouble for trouble in (_at_ehr(desk, request), *_at_vendor(desk, request)) if trouble is not None]
    if troubles:
        raise troubles[0]
    return _finish(desk, request, RequestState.EXECUTED)


def tend(desk: Desk) -> None:
    """For the scheduler: finish what somebody began and did not end; end what waited for too long. A suspension that
    has tokens in it gets as far as the EHR: nothing here waits for a vendor."""
    for request in desk.read(request_rows.open_ones):
        _one(desk, request, _tend)


def tend_at_vendor(desk: Desk) -> None:
    """For the scheduler, apart from all that must not wait: suspensions whose tokens are to be disabled."""
    for request in desk.read(lambda connection: request_rows.open_ones(connection, actions=[Action.SUSPEND])):
        if request.factor and _claim(desk, _name_at_vendor(request.id), _SOON):
            _one(desk, request, carry_out)


def _one(desk: Desk, request: Request, part: Callable[[Desk, Request], object]) -> None:
    try:
        part(desk, request)
    except RenewAgentError as problem:
        fields = {"request": request.id, "action": request.action.value, "why": problem.message}
        _LOG.warning("a request is not carried out yet", extra={"fields": fields})


def claimed(request: Request) -> str:
    """The name by which a process has it for itself."""
    return _name(request.id)


def _name(identity: str) -> str:
    return f"request {identity}"


def _name_at_vendor(identity: str) -> str:
    return f"vendor {identity}"


def _claim(desk: Desk, name: str, hold: timedelta) -> bool:
    return desk.write(lambda connection: pulses.claim(connection, name, desk.now(), hold))


def _tend(desk: Desk, request: Request) -> None:
    now = desk.now()
    if request.state is RequestState.WAITING:
        if now >= request.ends:
            desk.write(lambda connection: request_rows.move(connection, request, now, CONSOLE, RequestState.OVER))
    elif _claim(desk, claimed(request), _hold(request)):
        if request.action is Action.SUSPEND and request.factor:
            if trouble := _at_ehr(desk, request):
                raise trouble
        else:
            _finish_late(desk, request) if _is_late(request, desk) else carry_out(desk, request)


def _hold(request: Request) -> timedelta:
    return _SOON if request.action is Action.SUSPEND else HOLD


def _is_late(request: Request, desk: Desk) -> bool:
    """A grant is not asked for any more after its day; what takes rights away always is."""
    return request.action is Action.GRANT and desk.now() >= request.ends


def _finish_late(desk: Desk, request: Request) -> None:
    if _is_done(request, desk.ehr.access(request.subject.person.ehr)):
        _finish(desk, request, RequestState.EXECUTED)
    else:
        _finish(desk, request, RequestState.FAILED, "It could not be carried out within its day. Enter it again.")


def _at_ehr(desk: Desk, request: Request) -> RenewAgentError | None:
    try:
        return None if _is_made_so(desk, request) else _said_and_not_done(request)
    except EhrRefused as refusal:
        if request.action is Action.SUSPEND:
            return None if ehr_says.knows_nobody(desk, request.subject.person.ehr) else refusal
        _finish(desk, request, RequestState.REFUSED, refusal.message)
        return refusal
    except RenewAgentError as problem:
        return problem


def _is_made_so(desk: Desk, request: Request) -> bool:
    user = request.subject.person.ehr
    for _ in range(_ROUNDS):
        if _is_done(request, desk.ehr.access(user)):
            return True
        if _hold_on(desk, request):
            _ask(desk, request)
    after = desk.ehr.access(user)  # an EHR need not show the suspension of somebody who has nothing
    return _is_done(request, after) or (request.action is Action.SUSPEND and not after.epcs_granted)


def _ask(desk: Desk, request: Request) -> None:
    user, entered_by = request.subject.person.ehr, request.entered_by.person.ehr
    if request.action is Action.SUSPEND:
        desk.ehr.suspend_epcs(user)
        return
    if request.decided_by is None:  # never so: it is written together with EXECUTING
        raise DeskRefused("Nobody has decided this request.")
    ask = desk.ehr.grant_epcs if request.action is Action.GRANT else desk.ehr.revoke_epcs
    ask(user, entered_by=entered_by, executed_by=request.decided_by.person.ehr)


def _is_done(request: Request, access: Access) -> bool:
    if request.action is Action.GRANT:
        return access.epcs_granted and not access.epcs_suspended
    return not access.epcs_granted if request.action is Action.REVOKE else access.epcs_suspended


def _said_and_not_done(request: Request) -> EhrMisbehaved:
    return EhrMisbehaved(
        f"The EHR says that the {request.action.value} for {request.subject.name} is done, and does not show it.",
        advice="It is tried again by itself. Ask your EHR's support if it lasts.",
    )


def _hold_on(desk: Desk, request: Request) -> bool:
    """From now on it may be on its way to the EHR. False if another process has ended it. Raises DeskRefused where it
    was stopped in the meantime."""

    def work(connection: sa.Connection) -> RequestState:
        state = request_rows.load(connection, request.id, locked=True).state
        if state is RequestState.EXECUTING:
            pulses.beat(connection, claimed(request), desk.now())
        return state

    state = desk.write(work)
    if state is RequestState.STOPPED:
        raise _not_any_more(request)
    return state is RequestState.EXECUTING


def _not_any_more(request: Request) -> DeskRefused:
    return DeskRefused(
        f"{request.subject.name} was suspended in the meantime: nothing was granted.",
        advice="Enter a new request once the cause is dealt with.",
    )


def _at_vendor(desk: Desk, request: Request) -> list[RenewAgentError]:
    """Each token that goes with a suspension is disabled for good."""
    serials = request.factor.split() if request.action is Action.SUSPEND else []
    return [trouble for trouble in (_disable(desk, serial) for serial in serials) if trouble is not None]


def _disable(desk: Desk, serial: str) -> RenewAgentError | None:
    try:
        desk.authority.disable(serial, lost=True)
    except UnknownToken:
        pass  # nobody can use it there
    except RenewAgentError as problem:
        return problem
    return None


def _finish(desk: Desk, request: Request, state: RequestState, outcome: str = "") -> Request:
    now = desk.now()

    def work(connection: sa.Connection) -> bool | None:
        if request.action is Action.SUSPEND and _grant_is_under_way(connection, desk, request):
            return None  # it is looked at again, once that grant has come to its end
        at = {"executed": now} if state is RequestState.EXECUTED else {}
        moved = request_rows.move(connection, request, now, CONSOLE, state, outcome=outcome, **at)
        if moved:
            pulses.drop(connection, claimed(request))
            pulses.drop(connection, _name_at_vendor(request.id))
        return moved

    moved = desk.write(work)
    if moved is False and request.action is Action.GRANT and state is RequestState.EXECUTED:
        _undo_if_stopped(desk, request)
    return replace(request, state=state, executed=now, outcome=outcome) if moved else _as_it_is(desk, request)


def _grant_is_under_way(connection: sa.Connection, desk: Desk, suspension: Request) -> bool:
    """One that this suspension has stopped may still be on its way to the EHR."""
    stopped = sa.select(EPCS_REQUEST.c.id).where(
        EPCS_REQUEST.c.subject == suspension.subject.person.id,
        EPCS_REQUEST.c.state == RequestState.STOPPED.value,
        EPCS_REQUEST.c.decided.is_not(None),
    )
    names = [_name(identity) for identity in connection.execute(stopped).scalars()]
    return any(pulses.is_held(connection, name, desk.now(), HOLD) for name in names)


def _undo_if_stopped(desk: Desk, request: Request) -> None:
    """The grant came through after a suspension: the person is suspended again at once."""
    if _as_it_is(desk, request).state is RequestState.STOPPED:
        desk.ehr.suspend_epcs(request.subject.person.ehr)
        desk.write(lambda connection: pulses.drop(connection, claimed(request)))
        raise _not_any_more(request)


def _as_it_is(desk: Desk, request: Request) -> Request:
    return desk.read(lambda connection: request_rows.load(connection, request.id))
