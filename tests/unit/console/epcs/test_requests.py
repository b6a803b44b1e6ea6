"""One enters, another executes: whoever else tries, whatever the EHR says, however often."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.epcs import carrying_out, requests, scheduler, suspensions
from renewagent.console.epcs.tables import EPCS_REQUEST
from renewagent.console.permissions import Person, Role
from renewagent.tokens.errors import DeskRefused, EhrMisbehaved, EhrRefused, EhrUnreachable, FormError
from renewagent.tokens.grants import Action, Factor, Request, RequestState, SuspensionReason
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.unit.console.epcs.practice import Practice


def test_two_people_grant(practice: Practice) -> None:
    request = practice.entered()
    assert practice.access().epcs_granted is False
    done = requests.execute(practice.desk, practice.factor(request), request.id)
    assert (done.state, done.executed) == (RequestState.EXECUTED, practice.clock())
    assert practice.access().epcs_granted
    assert practice.ehr_did("grant_epcs") == [("ray", "entered by ada")]
    assert practice.events("epcs.grant") == ["epcs.grant-entered", "epcs.grant-executing", "epcs.grant-executed"]
    assert requests.find(practice.desk, request.id).decided_by.person == practice.ray  # type: ignore[union-attr]
    assert requests.waiting(practice.desk, practice.ada) == []


def test_two_people_revoke(practice: Practice) -> None:
    practice.grant()
    request = practice.entered(Action.REVOKE)
    assert requests.execute(practice.desk, practice.factor(request), request.id).state is RequestState.EXECUTED
    assert not practice.access().epcs_granted


def test_what_is_granted_already_is_not_asked_for_again(practice: Practice) -> None:
    practice.grant()
    request = practice.entered()
    assert requests.execute(practice.desk, practice.factor(request), request.id).state is RequestState.EXECUTED
    assert len(practice.ehr_did("grant_epcs")) == 1


@pytest.mark.parametrize("who", ["ada", "sue", "ned", "amy", "kim"])
def test_nobody_else_executes(practice: Practice, who: str) -> None:
    """Who entered it, whom it is about, a prescriber without registration, another administrator; and somebody who is
    a registrant here and not in the EHR."""
    request = practice.entered()
    person = getattr(practice, who)
    with pytest.raises(DeskRefused):
        requests.execute(practice.desk, practice.factor(request, person), request.id)
    assert practice.state(request) is RequestState.WAITING
    assert not practice.access().epcs_granted
    assert practice.events("epcs.grant") == ["epcs.grant-entered", "epcs.grant-execute-refused"]


@pytest.mark.parametrize("who", ["sue", "ray", "ned"])
def test_nobody_enters_who_is_no_administrator_or_concerned(practice: Practice, who: str) -> None:
    with pytest.raises(DeskRefused):
        requests.enter(practice.desk, getattr(practice, who), practice.sue, Action.GRANT, "New phone")
    with pytest.raises(DeskRefused):
        requests.enter(practice.desk, practice.ada, practice.ada, Action.GRANT, "New phone")
    assert practice.events("epcs.grant") == ["epcs.grant-enter-refused"] * 2
    assert requests.waiting(practice.desk, practice.ada) == []


def test_another_account_of_one_human_being_is_no_second_person(practice: Practice) -> None:
    """The old account was ended, and a new one has the same card or EHR user name; or the same NPI in the EHR."""
    request = practice.entered()

    def again(connection: sa.Connection) -> Person:
        people.end(connection, practice.clock(), "console", practice.ada)
        newcomer = people.Newcomer("Ada B", Role.PRESCRIBER, ("RX1",), ehr="ada", dea="BA1111119")
        return people.add(connection, practice.clock(), "console", newcomer, secrets.token_bytes)

    twin = practice.desk.write(again)
    with pytest.raises(DeskRefused, match="entered this yourself: another person has to do it"):
        requests.execute(practice.desk, practice.factor(request, twin), request.id)
    assert not practice.access().epcs_granted


def test_two_accounts_with_one_npi_are_one_person(practice: Practice) -> None:
    other = practice.somebody("ada2", Role.PRESCRIBER, dea="BA1111119", npi=practice.npi("ada"))
    request = practice.entered()
    with pytest.raises(DeskRefused, match="are one person in the EHR"):
        requests.execute(practice.desk, practice.factor(request, other), request.id)
    assert practice.state(request) is RequestState.WAITING


def test_an_administrator_who_has_gone_has_entered_nothing(practice: Practice) -> None:
    request = practice.entered()
    practice.desk.write(lambda c: people.end(c, practice.clock(), "console", practice.ada))
    with pytest.raises(DeskRefused, match="Ada, who entered this, may not do so any more"):
        requests.execute(practice.desk, practice.factor(request), request.id)


@pytest.mark.parametrize("moods", [EhrMoods(), EhrMoods(cuts="before")])
def test_somebody_who_is_suspended_decides_about_nobody(practice: Practice, moods: EhrMoods) -> None:
    """Whoever has their token, or the EHR does not know of it yet."""
    request = practice.entered()
    practice.ehr.moods = moods
    suspensions.suspend(practice.desk, practice.ada, practice.ray, SuspensionReason.STOLEN)
    practice.ehr.moods = EhrMoods()
    with pytest.raises(DeskRefused, match="The EPCS access of Ray is suspended"):
        requests.execute(practice.desk, practice.factor(request), request.id)
    assert not practice.access().epcs_granted


@pytest.mark.parametrize("moods", [EhrMoods(), EhrMoods(cuts="before")])
def test_an_administrator_who_is_suspended_enters_nothing(practice: Practice, moods: EhrMoods) -> None:
    """Nor does what they entered before count any more."""
    before = practice.entered()
    practice.ehr.moods = moods
    suspensions.suspend(practice.desk, practice.amy, practice.ada, SuspensionReason.STOLEN)
    practice.ehr.moods = EhrMoods()
    with pytest.raises(DeskRefused, match="The EPCS access of Ada is suspended"):
        requests.enter(practice.desk, practice.ada, practice.kim, Action.GRANT, "New phone")
    with pytest.raises(DeskRefused, match="The EPCS access of Ada is suspended"):
        requests.execute(practice.desk, practice.factor(before), before.id)
    assert practice.events("epcs.grant")[-2:] == ["epcs.grant-enter-refused", "epcs.grant-execute-refused"]


def test_nothing_is_granted_while_a_suspension_is_not_through(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(cuts="before")
    suspensions.suspend(practice.desk, practice.ada, practice.sue, SuspensionReason.COMPROMISED)
    practice.ehr.moods = EhrMoods()
    request = practice.entered()
    with pytest.raises(DeskRefused, match="not through yet"):
        requests.execute(practice.desk, practice.factor(request), request.id)
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    requests.execute(practice.desk, practice.factor(request), request.id)
    assert practice.access().epcs_granted
    assert not practice.access().epcs_suspended


@pytest.mark.parametrize("what", ["another request", "no factor", "no evidence"])
def test_a_factor_for_something_else_is_none(practice: Practice, what: str) -> None:
    request = practice.entered()
    factor = practice.factor(request)
    other = {
        "another request": replace(factor, request=practice.entered(Action.REVOKE).id),
        "no factor": replace(factor, how="password"),
        "no evidence": replace(factor, evidence=""),
    }
    with pytest.raises(DeskRefused):
        requests.execute(practice.desk, other[what], request.id)
    assert practice.state(request) is RequestState.WAITING


def test_a_stale_factor_is_none(practice: Practice) -> None:
    request = practice.entered()
    factor = practice.factor(request)
    practice.clock.forward(timedelta(minutes=5, seconds=1))
    with pytest.raises(DeskRefused, match="not shown just now"):
        requests.execute(practice.desk, factor, request.id)


def test_a_request_ends_after_a_day(practice: Practice) -> None:
    request = practice.entered()
    practice.clock.forward(timedelta(hours=24))
    with pytest.raises(DeskRefused, match="waited for more than a day"):
        requests.execute(practice.desk, practice.factor(request), request.id)
    scheduler.look(practice.desk)
    assert practice.state(request) is RequestState.OVER


def test_withdrawn_it_is_gone(practice: Practice) -> None:
    request = practice.entered()
    with pytest.raises(DeskRefused):
        requests.withdraw(practice.desk, practice.sue, request.id)
    assert requests.withdraw(practice.desk, practice.amy, request.id).state is RequestState.WITHDRAWN
    with pytest.raises(DeskRefused):
        requests.withdraw(practice.desk, practice.amy, request.id)
    with pytest.raises(DeskRefused, match="does not wait"):
        requests.execute(practice.desk, practice.factor(request), request.id)
    with pytest.raises(DeskRefused, match="no such request"):
        requests.withdraw(practice.desk, practice.amy, "no-such")


def test_one_of_a_kind_is_open_at_a_time(practice: Practice) -> None:
    practice.entered()
    with pytest.raises(DeskRefused, match="is open already"):
        practice.entered()
    practice.entered(Action.REVOKE)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x00b"])
def test_a_reason_is_text(practice: Practice, reason: str) -> None:
    with pytest.raises(FormError):
        requests.enter(practice.desk, practice.ada, practice.sue, Action.GRANT, reason)


def test_who_sees_what_is_open(practice: Practice) -> None:
    request = practice.entered()
    for person in (practice.ada, practice.amy, practice.ray, practice.sue):
        assert [each.id for each in requests.waiting(practice.desk, person)] == [request.id]
    assert requests.waiting(practice.desk, practice.ned) == []
    assert requests.objection(practice.desk, practice.ray, request) is None
    assert "yourself" in str(requests.objection(practice.desk, practice.sue, request))
    assert [each.id for each in requests.of(practice.desk, practice.sue)] == [request.id]


def test_what_the_ehr_refuses_is_over_and_says_why(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(refuses=frozenset({"grant_epcs"}))
    request = practice.entered()
    with pytest.raises(EhrRefused):
        requests.execute(practice.desk, practice.factor(request), request.id)
    after = requests.find(practice.desk, request.id)
    assert (after.state, after.outcome) == (RequestState.REFUSED, "The EHR does not allow this.")


def test_an_ehr_that_says_granted_and_is_not_is_asked_again_later(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({"grant_epcs"}))
    request = practice.entered()
    with pytest.raises(EhrMisbehaved, match="does not show it"):
        requests.execute(practice.desk, practice.factor(request), request.id)
    assert practice.state(request) is RequestState.EXECUTING
    practice.ehr.moods = EhrMoods()
    scheduler.look(practice.desk)
    assert practice.state(request) is RequestState.EXECUTING  # the first process may still be at it
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.state(request) is RequestState.EXECUTED
    assert practice.access().epcs_granted


@pytest.mark.parametrize("cuts", ["before", "after"])
def test_a_connection_that_breaks_leaves_it_decided(practice: Practice, cuts: str) -> None:
    request = practice.entered()
    factor = practice.factor(request)
    practice.ehr.moods = EhrMoods(cuts=cuts, only=frozenset({"grant_epcs"}))
    with pytest.raises(EhrUnreachable):
        requests.execute(practice.desk, factor, request.id)
    assert practice.state(request) is RequestState.EXECUTING
    practice.ehr.moods = EhrMoods()
    practice.clock.forward(carrying_out.HOLD)
    scheduler.look(practice.desk)
    assert practice.state(request) is RequestState.EXECUTED
    assert len(practice.ehr_did("grant_epcs")) == 1


def test_an_ehr_that_is_away_before_it_is_decided_decides_nothing(practice: Practice) -> None:
    request = practice.entered()
    practice.ehr.moods = EhrMoods(cuts="before")
    with pytest.raises(EhrUnreachable):
        requests.execute(practice.desk, practice.factor(request), request.id)
    assert practice.state(request) is RequestState.WAITING


def test_a_grant_that_could_not_be_carried_out_in_its_day_is_explained(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({"grant_epcs"}))
    request = practice.entered()
    with pytest.raises(EhrMisbehaved):
        requests.execute(practice.desk, practice.factor(request), request.id)
    practice.ehr.moods = EhrMoods()
    practice.clock.forward(timedelta(days=1))
    scheduler.look(practice.desk)
    after = requests.find(practice.desk, request.id)
    assert (after.state, after.outcome[:15]) == (RequestState.FAILED, "It could not be")
    assert not practice.access().epcs_granted


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_two_who_execute_at_once_execute_once(practice: Practice) -> None:
    tom = practice.somebody("tom", Role.PRESCRIBER, dea="BT1111119")
    for _ in range(5):
        request = practice.entered()
        practice.ehr.moods = EhrMoods(slow=0.05, only=frozenset({"grant_epcs"}))
        factors = [practice.factor(request), practice.factor(request, tom)] * 2

        def run(factor: Factor, request: Request = request) -> bool:
            try:
                return requests.execute(practice.desk, factor, request.id).state is RequestState.EXECUTED
            except DeskRefused:
                return False

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(run, factors)) == [False, False, False, True]
        assert len(practice.ehr_did("grant_epcs")) == 1
        practice.ehr.moods = EhrMoods()
        practice.revoke()
        practice.forget_ehr_log()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_two_schedulers_at_once_finish_once(practice: Practice) -> None:
    request = practice.entered()
    factor = practice.factor(request)
    practice.ehr.moods = EhrMoods(cuts="before", only=frozenset({"grant_epcs"}))
    with pytest.raises(EhrUnreachable):
        requests.execute(practice.desk, factor, request.id)
    practice.ehr.moods = EhrMoods(slow=0.1, only=frozenset({"grant_epcs"}))
    practice.clock.forward(carrying_out.HOLD)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: scheduler.look(practice.desk), range(4)))
    assert practice.state(request) is RequestState.EXECUTED
    assert len(practice.ehr_did("grant_epcs")) == 1
    assert practice.events("epcs.grant").count("epcs.grant-executed") == 1


def test_the_audit_log_tells_who_and_on_what_and_is_whole(practice: Practice) -> None:
    request = practice.grant()
    entries = practice.desk.read(audit.entries)
    executing = next(json.loads(e.details) for e in entries if e.event == "epcs.grant-executing")
    assert executing["factor"] == "otp GALH00000001"
    assert executing["subject"] == practice.sue.actor
    assert audit.verify_chain(entries) is None
    assert practice.desk.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(EPCS_REQUEST)).scalar()) == 1
    assert request.state is RequestState.EXECUTED
