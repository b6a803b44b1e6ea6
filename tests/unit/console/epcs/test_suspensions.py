"""A token is lost, or somebody leaves: EPCS access is suspended by one person at once, and stays so."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from renewagent.console import people
from renewagent.console.epcs import carrying_out, incidents, overrides, pulses, requests, scheduler, suspensions
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.suspensions import Suspended
from renewagent.console.epcs.tables import EPCS_TOKEN
from renewagent.console.permissions import Person, Role
from renewagent.tokens.errors import DeskRefused, EhrRefused, FormError, TokenServerUnreachable
from renewagent.tokens.grants import Action, Request, RequestState, SuspensionReason
from renewagent.tokens.model import TokenState
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.unit.console.epcs.practice import Practice

REASON = SuspensionReason
SERIALS = ("GALH00000001", "GALH00000002")


def give_tokens(practice: Practice) -> None:
    """One that is active and a spare."""
    for serial, state in zip(SERIALS, ("active", "spare"), strict=True):
        practice.vendor.add_hardware(serial, serial.encode() * 2)
        practice.vendor.register(serial, "sue")
        row = {"serial": serial, "owner": practice.sue.id, "kind": "hardware", "state": state}
        adding = sa.insert(EPCS_TOKEN).values(**row, registered=practice.clock(), changed=practice.clock())
        practice.desk.write(lambda c: c.execute(adding))  # noqa: B023


def kept(practice: Practice) -> dict[str, str]:
    rows = practice.desk.read(lambda c: c.execute(sa.select(EPCS_TOKEN.c.serial, EPCS_TOKEN.c.state)).all())
    return {row.serial: row.state for row in rows}


def suspend(practice: Practice, reason: SuspensionReason = REASON.LOST, by: Person | None = None) -> Suspended:
    return suspensions.suspend(practice.desk, by or practice.ada, practice.sue, reason, "In a taxi.")


@pytest.mark.parametrize("reason", list(REASON))
def test_one_person_suspends_at_once(practice: Practice, reason: SuspensionReason) -> None:
    give_tokens(practice)
    practice.grant()
    done = suspend(practice, reason)
    assert practice.access().epcs_suspended
    assert (done.request.state, done.request.executed) == (RequestState.EXECUTED, practice.clock())
    lost = reason in (REASON.LOST, REASON.STOLEN)
    assert practice.vendor.standing(SERIALS[0]).state is (TokenState.LOST if lost else TokenState.ACTIVE)
    assert practice.vendor.standing(SERIALS[1]).state is TokenState.SPARE
    assert kept(practice) == {SERIALS[0]: "lost" if lost else "active", SERIALS[1]: "spare"}
    assert done.said.startswith("Sue can no longer sign")
    assert done.incident.due == datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)  # found on a Monday
    assert "In a taxi." in done.incident.what


def test_the_formal_revocation_takes_two(practice: Practice) -> None:
    practice.grant()
    revocation = suspend(practice).revocation
    assert revocation is not None
    assert (revocation.action, revocation.state) == (Action.REVOKE, RequestState.WAITING)
    with pytest.raises(DeskRefused):
        requests.execute(practice.desk, practice.factor(revocation, practice.ada), revocation.id)
    done = requests.execute(practice.desk, practice.factor(revocation), revocation.id)
    assert done.state is RequestState.EXECUTED
    assert not practice.access().epcs_granted


def test_a_prescriber_suspends_themself_and_an_administrator_enters_the_rest(practice: Practice) -> None:
    practice.grant()
    done = suspend(practice, by=practice.sue)
    assert practice.access().epcs_suspended
    assert done.revocation is None
    assert "has to be entered by an EPCS administrator" in done.said


@pytest.mark.parametrize("who", ["ray", "ned"])
def test_a_prescriber_suspends_nobody_else(practice: Practice, who: str) -> None:
    practice.grant()
    with pytest.raises(DeskRefused):
        suspend(practice, by=getattr(practice, who))
    assert not practice.access().epcs_suspended
    assert practice.events("epcs.suspend") == ["epcs.suspend-refused"]


def test_only_the_tokens_that_are_named_are_disabled(practice: Practice) -> None:
    give_tokens(practice)
    with pytest.raises(FormError, match="is no token of Sue's"):
        suspensions.suspend(practice.desk, practice.ada, practice.sue, REASON.LOST, tokens=["GALH00000009"])
    suspensions.suspend(practice.desk, practice.ada, practice.sue, REASON.LOST, tokens=[])
    assert practice.vendor.standing(SERIALS[0]).state is TokenState.ACTIVE
    suspensions.suspend(practice.desk, practice.ada, practice.sue, REASON.LOST, tokens=[SERIALS[1]])
    assert practice.vendor.standing(SERIALS[0]).state is TokenState.ACTIVE
    assert practice.vendor.standing(SERIALS[1]).state is TokenState.LOST


def test_again_is_as_good_as_once(practice: Practice) -> None:
    practice.grant()
    practice.ehr.moods = EhrMoods(cuts="before")
    first, second = suspend(practice), suspend(practice)
    assert (first.request.id, first.incident.id) == (second.request.id, second.incident.id)
    assert first.revocation is not None and second.revocation is not None
    assert first.revocation.id == second.revocation.id


def test_a_suspension_takes_an_override_back(practice: Practice) -> None:
    overrides.give(practice.desk, practice.ada, practice.sue, "enable EPCS")
    suspend(practice)
    assert not practice.access().administrator
    assert overrides.open_leases(practice.desk) == []


def test_what_does_not_work_at_once_is_noted_and_done_later(practice: Practice) -> None:
    give_tokens(practice)
    practice.grant()
    practice.ehr.moods = EhrMoods(cuts="before")
    done = suspend(practice)
    assert done.request.state is RequestState.EXECUTING
    assert "is noted, but not all of it is done" in done.said
    assert practice.vendor.standing(SERIALS[0]).state is TokenState.LOST  # the vendor was there
    practice.ehr.moods = EhrMoods()
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.access().epcs_suspended
    assert practice.state(done.request) is RequestState.EXECUTED


class NoVendor:
    def disable(self, serial: str, *, lost: bool) -> None:
        raise TokenServerUnreachable("The vendor does not answer.")


def test_a_vendor_that_is_away_does_not_keep_the_ehr_from_it(practice: Practice) -> None:
    give_tokens(practice)
    practice.grant()
    real = practice.desk.authority
    practice.meet(authority=NoVendor())
    done = suspend(practice)
    assert practice.access().epcs_suspended
    assert (done.request.state, kept(practice)[SERIALS[0]]) == (RequestState.EXECUTING, "lost")
    practice.meet(authority=real)
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.state(done.request) is RequestState.EXECUTED
    assert practice.vendor.standing(SERIALS[0]).state is TokenState.LOST


class HangingVendor:
    """One that lets everybody wait, until it is let go."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def disable(self, serial: str, *, lost: bool) -> None:
        self.asked.set()
        assert self.go_on.wait(10)
        raise TokenServerUnreachable("The vendor does not answer.")


def test_a_vendor_that_hangs_keeps_no_request_waiting(practice: Practice) -> None:
    give_tokens(practice)
    practice.grant()
    real, hanging = practice.desk.authority, HangingVendor()
    practice.meet(authority=NoVendor())
    practice.ehr.moods = EhrMoods(cuts="before")
    done = suspend(practice)
    practice.ehr.moods = EhrMoods()
    assert not practice.access().epcs_suspended
    practice.meet(authority=hanging)
    practice.clock.forward(carrying_out.HOLD)
    waiting = threading.Thread(target=scheduler.look_at_vendor, args=(practice.desk,))
    waiting.start()
    assert hanging.asked.wait(10)
    try:
        scheduler.look_first(practice.desk)  # returns, though the vendor does not
        assert practice.access().epcs_suspended
        assert practice.state(done.request) is RequestState.EXECUTING
    finally:
        hanging.go_on.set()
        waiting.join()
    practice.meet(authority=real)
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look_at_vendor(practice.desk)
    assert practice.state(done.request) is RequestState.EXECUTED
    assert practice.vendor.standing(SERIALS[0]).state is TokenState.LOST


class NoKey:
    """An EHR that refuses whatever it is asked."""

    def __getattr__(self, name: str) -> object:
        def refuse(*_: object, **__: object) -> None:
            raise EhrRefused("The EHR does not accept this console's key.")

        return refuse


def test_an_ehr_that_refuses_everything_does_not_keep_the_vendor_from_it(practice: Practice) -> None:
    give_tokens(practice)
    practice.grant()
    real = practice.desk.ehr
    practice.meet(ehr=NoKey())
    assert "does not accept this console's key" in suspend(practice).said
    assert practice.vendor.standing(SERIALS[0]).state is TokenState.LOST
    practice.meet(ehr=real)
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.access().epcs_suspended


def test_an_ehr_that_says_suspended_and_is_not_is_asked_again(practice: Practice) -> None:
    practice.grant()
    practice.ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({"suspend_epcs"}))
    done = suspend(practice)
    assert done.request.state is RequestState.EXECUTING
    practice.ehr.moods = EhrMoods()
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.access().epcs_suspended


def test_it_ends_by_a_grant_of_two_and_by_no_older_one(practice: Practice) -> None:
    waiting = practice.entered()
    suspend(practice)
    assert practice.state(waiting) is RequestState.STOPPED
    with pytest.raises(DeskRefused):
        requests.execute(practice.desk, practice.factor(waiting), waiting.id)
    practice.grant()
    assert practice.access().epcs_granted
    assert not practice.access().epcs_suspended


def test_a_decided_grant_that_the_ehr_did_not_hear_of_is_stopped(practice: Practice) -> None:
    request = practice.entered()
    factor = practice.factor(request)
    practice.ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({"grant_epcs"}))
    with pytest.raises(Exception, match="does not show it"):
        requests.execute(practice.desk, factor, request.id)
    practice.ehr.moods = EhrMoods()
    suspend(practice)
    for _ in range(3):
        practice.clock.forward(carrying_out.HOLD)
        scheduler.look(practice.desk)
    assert practice.state(request) is RequestState.STOPPED
    assert practice.access().epcs_suspended
    assert not practice.access().epcs_granted


class Held:
    """An EHR in which a grant is under way, until it is let go."""

    def __init__(self, practice: Practice) -> None:
        self.real, self.begun, self.go_on = practice.ehr, threading.Event(), threading.Event()

    def grant_epcs(self, user: str, *, entered_by: str, executed_by: str) -> None:
        self.begun.set()
        assert self.go_on.wait(20)
        self.real.grant_epcs(user, entered_by=entered_by, executed_by=executed_by)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


def executing(practice: Practice, desk: Desk, request: Request) -> threading.Thread:
    def run() -> None:
        with pytest.raises(DeskRefused, match="was suspended in the meantime"):
            requests.execute(desk, practice.factor(request), request.id)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_grant_that_is_under_way_meanwhile_does_not_undo_it(practice: Practice) -> None:
    request = practice.entered()
    held = Held(practice)
    practice.meet(ehr=held)
    thread = executing(practice, practice.desk, request)
    assert held.begun.wait(20)
    done = suspend(practice)
    assert practice.access().epcs_suspended
    assert done.request.state is RequestState.EXECUTING  # not over before that grant is
    held.go_on.set()
    thread.join(20)
    assert practice.access().epcs_suspended
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.access().epcs_suspended
    assert practice.state(done.request) is RequestState.EXECUTED
    assert practice.state(request) is RequestState.STOPPED


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_grant_that_is_decided_at_the_same_moment_is_stopped(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suspension begins while the decision is written and not through yet."""
    request, deciding = practice.entered(), threading.Event()

    def beat(connection: sa.Connection, name: str, now: datetime) -> None:
        deciding.set()
        time.sleep(0.5)
        pulses.beat(connection, name, now)

    monkeypatch.setattr(requests, "pulses", SimpleNamespace(beat=beat))
    held = Held(practice)
    practice.meet(ehr=held)
    thread = executing(practice, practice.desk, request)
    assert deciding.wait(20)
    done = suspend(practice)
    held.go_on.set()
    thread.join(20)
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.state(request) is RequestState.STOPPED
    assert practice.state(done.request) is RequestState.EXECUTED
    assert practice.access().epcs_suspended


def test_a_grant_whose_process_died_under_way_does_not_undo_it(practice: Practice) -> None:
    """It arrives at the EHR after the suspension, and nobody is there any more to see that."""
    request = practice.entered()
    factor = practice.factor(request)
    practice.ehr.moods = EhrMoods(cuts="before", only=frozenset({"grant_epcs"}))
    with pytest.raises(Exception, match="broke off"):
        requests.execute(practice.desk, factor, request.id)
    practice.ehr.moods = EhrMoods()
    done = suspend(practice)
    practice.ehr.grant_epcs("sue", entered_by="ada", executed_by="ray")
    assert not practice.access().epcs_suspended
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.access().epcs_suspended
    assert practice.state(done.request) is RequestState.EXECUTED


def test_somebody_who_is_no_longer_in_the_ehr_is_suspended_by_that(practice: Practice) -> None:
    gone = practice.desk.write(lambda c: _without_account(c, practice))
    done = suspensions.suspend(practice.desk, practice.ada, gone, REASON.LEFT)
    assert done.request.state is RequestState.EXECUTED


def _without_account(connection: sa.Connection, practice: Practice) -> Person:
    newcomer = people.Newcomer("Gus", Role.PRESCRIBER, ("RX1",), ehr="gus-who-left")
    return people.add(connection, practice.clock(), "console", newcomer, practice.desk.site.entropy)


def test_every_suspension_is_an_incident_to_report(practice: Practice) -> None:
    done = suspend(practice, REASON.STOLEN)
    assert [each.id for each in incidents.latest(practice.desk)] == [done.incident.id]
