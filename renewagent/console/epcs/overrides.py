"""Administrator overrides, lent for one purpose: the person needs one to enable EPCS for their own account, and it
"should be removed immediately after".

The row comes first and is there until the EHR has shown that the override is gone, so that none is forgotten, whoever
dies. Who is lent one is never who lends it. Where the EHR does not end it by itself, it is given only while a scheduler
lives that will (`tend`). One that outlives its purpose is a security incident.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import ehr_says, incidents, lease_rows, pulses
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.parties import one_at_a_time, party
from renewagent.console.epcs.tables import EPCS_RUN
from renewagent.console.permissions import Permission, Person
from renewagent.errors import RenewAgentError
from renewagent.tokens import grants, leases
from renewagent.tokens.errors import DeskRefused, EhrMisbehaved, EhrRefused, FormError
from renewagent.tokens.leases import End, Lease, Life

PULSE = "scheduler"
_LONGEST_PURPOSE = 100
_TRIES = 2
_LOG = logging.getLogger(__name__)


def give(desk: Desk, by: Person, subject: Person, purpose: str, minutes: float | None = None) -> Lease:
    """Lend one, for a run (its id) or a task in words; again for the same purpose is as good as once. Raises FormError,
    DeskRefused, and the EHR's errors: it is taken back then."""
    purpose, length = _purpose(purpose), desk.settings.override if minutes is None else timedelta(minutes=minutes)
    if not leases.is_length(length):
        raise FormError("An override is lent for 1 to 60 minutes.", "minutes")
    _check_may(desk, by, subject)
    _check_needed(desk, subject, purpose)
    lease = desk.write(lambda connection: _row(connection, desk, by, subject, purpose, length))
    try:
        return _given(desk, lease, subject)
    except RenewAgentError:
        _take_back_quietly(desk, lease, End.FAILED)
        raise


def end(desk: Desk, by: Person, lease_id: str, why: End = End.WITHDRAWN) -> Lease:
    """Take it back now: by an administrator, or by whoever has it. Raises DeskRefused, and the EHR's errors."""
    lease = desk.read(lambda connection: lease_rows.load(connection, lease_id))
    if lease is None:
        raise DeskRefused("There is no such override.", advice="Look at the list again.")
    if by.id != lease.subject and not by.may(Permission.ADMINISTER_EPCS):
        raise DeskRefused("Only an EPCS administrator does this.")
    return take_back(desk, lease, why, by.actor)


def serve_purpose(desk: Desk, subject: Person, purpose: str) -> list[Lease]:
    """What it was lent for is done: it goes at once, and is seen to be gone. Raises the EHR's errors; it is taken back
    by the scheduler then."""
    found = desk.read(lambda connection: lease_rows.open_ones(connection, subject=subject.id, purpose=purpose))
    return [take_back(desk, lease, End.SERVED) for lease in found]


def open_leases(desk: Desk, subject: Person | None = None) -> list[Lease]:
    """Those that the EHR has not shown to be gone, the most overdue first."""
    return desk.read(lambda connection: lease_rows.open_ones(connection, subject=subject.id if subject else ""))


def tend(desk: Desk) -> None:
    """For the scheduler: take back what is over or has served its purpose, overdue ones first."""
    for lease in open_leases(desk):
        try:
            _tend(desk, lease)
        except RenewAgentError as problem:
            _LOG.warning("an override is not taken back yet", extra={"fields": _told(lease, why=problem.message)})


def take_back(desk: Desk, lease: Lease, why: End, actor: str = "console") -> Lease:
    """Durably over, then removed and read back. Somebody is alarmed where that comes too late or does not work. Raises
    the EHR's errors."""
    lease = desk.write(lambda connection: lease_rows.end_now(connection, lease, desk.now(), actor, why))
    if lease.ended is not None:
        return lease
    user = _user(desk, lease)
    try:
        was_there, is_there = _removed(desk, user)
    except EhrRefused:
        if not ehr_says.knows_nobody(desk, user):
            _alarm_if_due(desk, lease, still_there=None)
            raise
        was_there = is_there = False  # gone with the account
    except RenewAgentError:
        _alarm_if_due(desk, lease, still_there=None)
        raise
    if is_there:
        _alarm(desk, lease, "The EHR says that it was taken away, and still shows it.")
        raise EhrMisbehaved("The EHR says that the override was taken away, and still shows it.")
    _alarm_if_due(desk, lease, still_there=was_there)
    return _gone(desk, lease)


def _tend(desk: Desk, lease: Lease) -> None:
    if leases.life(lease, desk.now()) is not Life.GIVEN:
        take_back(desk, lease, End.OVER)
    elif _is_served(desk, lease):
        take_back(desk, lease, End.SERVED)


def _is_served(desk: Desk, lease: Lease) -> bool:
    """Its run has ended; or EPCS is enabled, which is all that an override is needed for; or nobody is left to use
    it."""
    ended = sa.select(EPCS_RUN.c.id).where(EPCS_RUN.c.id == lease.purpose, EPCS_RUN.c.finished.is_not(None))
    if desk.read(lambda connection: connection.execute(ended).first()) is not None:
        return True
    user = _user(desk, lease)
    try:
        return desk.ehr.access(user).epcs_enabled
    except EhrRefused:
        if ehr_says.knows_nobody(desk, user):
            return True
        raise


def _check_may(desk: Desk, by: Person, subject: Person) -> None:
    objection = (
        desk.read(lambda connection: _may_not(connection, by, subject))
        or _is_themself(desk, by, subject)
        or ehr_says.suspended(desk, by)
    )
    if objection is not None:
        now, details = desk.now(), {"subject": subject.actor, "why": objection}
        desk.write(lambda connection: audit.record(connection, now, by.actor, "epcs.override-refused", details))
        raise DeskRefused(objection)


def _may_not(connection: sa.Connection, by: Person, subject: Person) -> str | None:
    giver, concerned = party(connection, by.id), party(connection, subject.id)
    if objection := grants.may_not_enter(giver, concerned):
        return objection
    if not (concerned.here and subject.ehr):
        return f"{subject.name} has no account in the EHR that is known here, or may not sign in any more."
    return None


def _is_themself(desk: Desk, by: Person, subject: Person) -> str | None:
    """Under another account. Who lends one need not have any in the EHR."""
    accounts = [desk.ehr.staff(person.ehr) for person in (by, subject) if person.ehr]
    return grants.are_one_in_ehr(*filter(None, accounts))


def _check_needed(desk: Desk, subject: Person, purpose: str) -> None:
    access = desk.ehr.access(subject.ehr)
    if access.epcs_enabled:
        raise DeskRefused(f"EPCS is enabled for {subject.name} already: no override is needed.", advice="Go on.")
    mine = open_leases(desk, subject)
    if access.administrator and not mine:
        raise DeskRefused(
            f"{subject.name} is an administrator in the EHR already.", advice="Go on without an override."
        )
    if any(lease.purpose != purpose or lease.why or desk.now() >= lease.ends for lease in mine):
        raise _not_gone_yet(subject)


def _row(connection: sa.Connection, desk: Desk, by: Person, subject: Person, purpose: str, length: timedelta) -> Lease:
    one_at_a_time(connection, subject)
    now = desk.now()
    open_ones = lease_rows.open_ones(connection, subject=subject.id)
    if open_ones and (open_ones[0].purpose != purpose or open_ones[0].why):
        raise _not_gone_yet(subject)
    if open_ones:
        return open_ones[0]
    run = connection.execute(sa.select(EPCS_RUN.c.owner, EPCS_RUN.c.finished).where(EPCS_RUN.c.id == purpose)).first()
    if run is not None and (run.owner != subject.id or run.finished is not None):
        raise DeskRefused("That is not a run of theirs which still goes on.", advice="Look at the list of runs again.")
    if lease_rows.last_known(connection) == lease_rows.STANDING and not _is_tended(connection, desk):
        raise _nobody_tends()
    lease = Lease(desk.new_id(), subject.id, purpose, by.id, now, now + length)
    lease_rows.add(connection, lease, by)
    return lease


def _given(desk: Desk, lease: Lease, subject: Person) -> Lease:
    promised = _asked(desk, lease, subject)
    shown = desk.ehr.access(subject.ehr)
    if not shown.administrator:
        raise EhrMisbehaved("The EHR says that the override was given, and does not show it.")
    enforced = leases.is_enforced(lease, promised, shown.override_ends)
    number, now = lease_rows.ENFORCED if enforced else lease_rows.STANDING, desk.now()

    def work(connection: sa.Connection) -> tuple[bool, bool]:
        return lease_rows.note_given(connection, lease, now, number), _is_tended(connection, desk)

    stands, is_tended = desk.write(work)
    if not stands:
        raise DeskRefused("The override was taken back in the meantime.", advice="Ask for another one if it is needed.")
    if not enforced and not is_tended:
        _take_back_quietly(desk, lease, End.NOT_ENFORCED)
        raise _nobody_tends()
    return replace(lease, known=True, enforced=enforced)


def _asked(desk: Desk, lease: Lease, subject: Person) -> bool:
    try:
        return desk.ehr.give_override(subject.ehr, lease.ends)
    except EhrRefused:  # an answer: nothing is on its way any more
        desk.write(lambda connection: lease_rows.note_refused(connection, lease))
        raise


def _is_tended(connection: sa.Connection, desk: Desk) -> bool:
    return leases.pulse_is_fresh(pulses.last(connection, PULSE), desk.now(), desk.settings.look_every)


def _not_gone_yet(subject: Person) -> DeskRefused:
    return DeskRefused(
        f"{subject.name} has an override that is not gone yet.", advice="Wait until it is taken back, then try again."
    )


def _nobody_tends() -> DeskRefused:
    return DeskRefused(
        "The EHR does not end an override by itself, and nothing runs here that would: none was given.",
        advice="Ask whoever looks after the console to see that it runs, then try again.",
    )


def _take_back_quietly(desk: Desk, lease: Lease, why: End) -> None:
    """After another mishap, which is what people are told; the scheduler goes on if this does not work either."""
    try:
        take_back(desk, lease, why)
    except RenewAgentError as problem:
        _LOG.warning("an override is not taken back yet", extra={"fields": _told(lease, why=problem.message)})


def _removed(desk: Desk, user: str) -> tuple[bool, bool]:
    """Whether it was there, and whether it still is."""
    was_there = is_there = desk.ehr.access(user).administrator
    for _ in range(_TRIES):
        if is_there:
            desk.ehr.remove_override(user)
            is_there = desk.ehr.access(user).administrator
    return was_there, is_there


def _gone(desk: Desk, lease: Lease) -> Lease:
    now = desk.now()
    if not leases.can_end(lease, now):
        return lease  # looked at again by the scheduler
    desk.write(lambda connection: lease_rows.note_gone(connection, lease, now))
    return replace(lease, ended=now)


def _alarm_if_due(desk: Desk, lease: Lease, *, still_there: bool | None) -> None:
    if leases.is_alarming(lease, desk.now(), still_there=still_there):
        _alarm(desk, lease, "It was to end long before." if still_there else "The EHR gives no answer.")


def _alarm(desk: Desk, lease: Lease, what: str) -> None:
    """An incident, an audit entry and a warning in the log, once for each override."""
    now = desk.now()

    def work(connection: sa.Connection) -> bool:
        if not lease_rows.note_alarm(connection, lease, now):
            return False
        subject = party(connection, lease.subject).person
        said = f"The administrator override of {subject.name}, for {lease.purpose}, outlives its end. {what}"
        incidents.add(connection, desk, None, "override", subject, said)
        lease_rows.record(connection, now, "console", "override-alarm", lease, what=what)
        return True

    if desk.write(work):
        _LOG.warning("an override outlives its end", extra={"fields": _told(lease, what=what)})


def _user(desk: Desk, lease: Lease) -> str:
    return desk.read(lambda connection: party(connection, lease.subject).person.ehr)


def _purpose(purpose: str) -> str:
    purpose = " ".join(purpose.split())
    if not 3 <= len(purpose) <= _LONGEST_PURPOSE or not purpose.isprintable():
        raise FormError("Say in a few words what the override is for.", "purpose")
    return purpose


def _told(lease: Lease, **more: str) -> dict[str, str]:
    return {"override": lease.id, "subject": lease.subject, "purpose": lease.purpose, **more}
