"""An override is lent for one purpose, and is gone when that is served, when its time is over, or when nobody would
take it back: whatever the EHR and the scheduler do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from renewagent.console.epcs import incidents, overrides, scheduler, suspensions
from renewagent.console.epcs.tables import EPCS_RUN
from renewagent.console.permissions import Role
from renewagent.tokens import leases
from renewagent.tokens.errors import DeskRefused, EhrMisbehaved, EhrRefused, EhrUnreachable, FormError
from renewagent.tokens.grants import SuspensionReason
from renewagent.tokens.leases import Lease
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from renewagent_fixtures.mock_epcs.ehr_tables import STAFF
from tests.unit.console.epcs.practice import Practice

TASK = "enable EPCS"
STANDS = EhrMoods(enforces_override=False)
REMOVING = frozenset({"remove_override"})


def give(practice: Practice, purpose: str = TASK, minutes: float | None = None) -> Lease:
    return overrides.give(practice.desk, practice.ada, practice.sue, purpose, minutes)


def has_it(practice: Practice) -> bool:
    return practice.access().administrator


def test_it_is_given_for_a_quarter_of_an_hour(practice: Practice) -> None:
    lease = give(practice)
    assert (lease.known, lease.enforced, lease.ends - lease.given) == (True, True, timedelta(minutes=15))
    assert practice.access().override_ends == lease.ends
    assert overrides.open_leases(practice.desk, practice.sue) == [lease]


def test_an_administrator_who_is_suspended_lends_none(practice: Practice) -> None:
    suspensions.suspend(practice.desk, practice.amy, practice.ada, SuspensionReason.LOST)
    with pytest.raises(DeskRefused, match="The EPCS access of Ada is suspended"):
        give(practice)
    assert not has_it(practice) and overrides.open_leases(practice.desk) == []
    assert practice.events("epcs.override") == ["epcs.override-refused"]


def test_it_ends_with_the_account_that_had_it(practice: Practice) -> None:
    lease = give(practice)
    with practice.ehr._store.open() as connection:
        connection.execute(sa.delete(STAFF).where(STAFF.c.user == "sue"))
    scheduler.look(practice.desk)
    assert overrides.open_leases(practice.desk) == []
    assert practice.events("epcs.override")[-1] == "epcs.override-ended"
    practice.clock.forward(lease.ends - lease.given + timedelta(hours=1))
    scheduler.look(practice.desk)
    assert incidents.latest(practice.desk) == []


@pytest.mark.parametrize("moods", [EhrMoods(), STANDS])
def test_it_is_gone_at_its_end(practice: Practice, moods: EhrMoods) -> None:
    practice.ehr.moods = moods
    scheduler.look(practice.desk)
    lease = give(practice, minutes=10)
    assert lease.enforced is moods.enforces_override
    practice.clock.forward(timedelta(minutes=10, milliseconds=-1))
    scheduler.look(practice.desk)
    assert has_it(practice)
    practice.clock.forward(timedelta(milliseconds=1))
    scheduler.look(practice.desk)
    assert not has_it(practice)
    assert overrides.open_leases(practice.desk) == []
    assert incidents.latest(practice.desk) == []
    assert practice.events("epcs.override") == [
        "epcs.override-wanted",
        "epcs.override-given",
        "epcs.override-ending",
        "epcs.override-ended",
    ]


@pytest.mark.parametrize("moods", [EhrMoods(), STANDS])
def test_it_goes_the_moment_its_purpose_is_served(practice: Practice, moods: EhrMoods) -> None:
    practice.ehr.moods = moods
    scheduler.look(practice.desk)
    give(practice)
    practice.ehr.enable_epcs("sue")
    done = overrides.serve_purpose(practice.desk, practice.sue, TASK)
    assert [(lease.why, lease.ended) for lease in done] == [("served", practice.clock())]
    assert not has_it(practice)
    assert overrides.serve_purpose(practice.desk, practice.sue, TASK) == []


def test_the_scheduler_sees_that_it_is_served_when_nobody_says_so(practice: Practice) -> None:
    give(practice)
    practice.ehr.enable_epcs("sue")
    scheduler.look(practice.desk)
    assert not has_it(practice)
    assert "epcs.override-ended" in practice.events()


def test_it_goes_with_the_run_that_it_was_for(practice: Practice) -> None:
    row = {"id": "run1", "owner": practice.sue.id, "begun": practice.clock(), "changed": practice.clock()}
    practice.desk.write(lambda c: c.execute(sa.insert(EPCS_RUN).values(**row)))
    give(practice, "run1")
    scheduler.look(practice.desk)
    assert has_it(practice)
    practice.desk.write(lambda c: c.execute(sa.update(EPCS_RUN).values(finished=practice.clock())))
    scheduler.look(practice.desk)
    assert not has_it(practice)
    with pytest.raises(DeskRefused, match="not a run of theirs"):
        give(practice, "run1")
    practice.desk.write(lambda c: c.execute(sa.update(EPCS_RUN).values(finished=None, owner=practice.ned.id)))
    with pytest.raises(DeskRefused, match="not a run of theirs"):
        give(practice, "run1")


def test_an_administrator_or_the_person_gives_it_back(practice: Practice) -> None:
    lease = give(practice)
    with pytest.raises(DeskRefused):
        overrides.end(practice.desk, practice.ray, lease.id)
    assert overrides.end(practice.desk, practice.sue, lease.id).why == "withdrawn"
    assert not has_it(practice)
    assert overrides.end(practice.desk, practice.amy, give(practice).id).ended
    with pytest.raises(DeskRefused):
        overrides.end(practice.desk, practice.amy, "no-such")


@pytest.mark.parametrize("minutes", [0, 0.5, 60.5, -1, 10_000])
def test_its_length_has_bounds(practice: Practice, minutes: float) -> None:
    with pytest.raises(FormError, match="1 to 60 minutes"):
        give(practice, minutes=minutes)


@pytest.mark.parametrize("purpose", ["", "  x ", "a" * 101, "a\x07b c"])
def test_it_is_for_something(practice: Practice, purpose: str) -> None:
    with pytest.raises(FormError):
        give(practice, purpose)


@pytest.mark.parametrize(
    ("by", "subject"), [("ada", "ada"), ("sue", "sue"), ("ray", "sue"), ("sue", "ned"), ("ned", "sue")]
)
def test_nobody_lends_one_to_themself_and_no_prescriber_to_another(practice: Practice, by: str, subject: str) -> None:
    with pytest.raises(DeskRefused):
        overrides.give(practice.desk, getattr(practice, by), getattr(practice, subject), TASK)
    assert practice.events("epcs.override") == ["epcs.override-refused"]
    assert practice.ehr_did("give_override") == []


def test_nobody_lends_one_to_another_account_of_their_own(practice: Practice) -> None:
    """The EHR has both under one NPI."""
    twin = practice.somebody("ada2", Role.PRESCRIBER, npi=practice.npi("ada"))
    with pytest.raises(DeskRefused, match="are one person in the EHR"):
        overrides.give(practice.desk, practice.ada, twin, TASK)
    assert practice.events("epcs.override") == ["epcs.override-refused"]
    assert practice.ehr_did("give_override") == []


def test_it_is_not_given_where_it_is_not_needed(practice: Practice) -> None:
    practice.ehr.add_staff(practice.ehr.staff("ned"), "", administrator=True)  # type: ignore[arg-type]
    with pytest.raises(DeskRefused, match="an administrator in the EHR already"):
        overrides.give(practice.desk, practice.ada, practice.ned, TASK)
    assert practice.access(practice.ned).administrator
    give(practice)
    practice.ehr.enable_epcs("sue")
    with pytest.raises(DeskRefused, match="EPCS is enabled for Sue already"):
        give(practice)


def test_again_is_as_good_as_once(practice: Practice) -> None:
    lease = give(practice)
    practice.clock.forward(timedelta(minutes=5))
    again = give(practice)
    assert (again.id, again.ends) == (lease.id, lease.ends)
    with pytest.raises(DeskRefused, match="not gone yet"):
        give(practice, "another task")


def test_without_a_scheduler_and_an_ehr_that_ends_it_none_is_left(practice: Practice) -> None:
    """The first one is taken back when the EHR turns out not to end it; from then on none is given at all."""
    practice.ehr.moods = STANDS
    with pytest.raises(DeskRefused, match="nothing runs here that would"):
        give(practice)
    assert not has_it(practice)
    assert overrides.open_leases(practice.desk) == []
    with pytest.raises(DeskRefused, match="nothing runs here that would"):
        give(practice)
    assert len(practice.ehr_did("give_override")) == 1
    scheduler.look(practice.desk)
    give(practice)
    assert has_it(practice)


@pytest.mark.parametrize(("late", "is_given"), [(timedelta(seconds=20), True), (timedelta(seconds=21), False)])
def test_a_scheduler_that_has_not_looked_for_long_is_none(practice: Practice, late: timedelta, is_given: bool) -> None:
    practice.ehr.moods = STANDS
    scheduler.look(practice.desk)
    practice.clock.forward(late)
    if is_given:
        give(practice)
    else:
        with pytest.raises(DeskRefused):
            give(practice)
    assert has_it(practice) is is_given


class Lying:
    """An EHR that promises to end an override, and shows another end or none."""

    def __init__(self, practice: Practice) -> None:
        self.real = practice.ehr

    def give_override(self, user: str, ends: object) -> bool:
        self.real.give_override(user, ends)  # type: ignore[arg-type]
        return True

    def __getattr__(self, name: str) -> Callable[..., object]:
        found: Callable[..., object] = getattr(self.real, name)
        return found


def test_a_promise_that_the_ehr_does_not_show_is_none(practice: Practice) -> None:
    practice.ehr.moods = STANDS
    practice.meet(ehr=Lying(practice))
    with pytest.raises(DeskRefused, match="nothing runs here"):
        give(practice)
    assert not has_it(practice)


def test_an_override_outlives_a_dead_scheduler_and_goes_first_thing_afterwards(
    practice: Practice, caplog: pytest.LogCaptureFixture
) -> None:
    practice.ehr.moods = STANDS
    scheduler.look(practice.desk)
    give(practice)
    practice.clock.forward(timedelta(hours=3))
    assert has_it(practice)
    with caplog.at_level(logging.WARNING):
        scheduler.look(practice.desk)
        scheduler.look(practice.desk)
    assert not has_it(practice)
    assert overrides.open_leases(practice.desk) == []
    (incident,) = incidents.latest(practice.desk)
    assert (incident.kind, incident.subject, incident.found_by) == ("override", practice.sue.id, "console")
    assert practice.events().count("epcs.override-alarm") == 1
    assert [r.message for r in caplog.records].count("an override outlives its end") == 1


def test_where_the_ehr_ended_it_a_dead_scheduler_is_no_incident(practice: Practice) -> None:
    give(practice)
    practice.clock.forward(timedelta(hours=3))
    scheduler.look(practice.desk)
    assert overrides.open_leases(practice.desk) == []
    assert incidents.latest(practice.desk) == []


def test_an_ehr_that_says_removed_and_is_not_alarms_and_is_asked_until_it_is(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(says_saved_and_is_not=REMOVING)
    lease = give(practice)
    with pytest.raises(EhrMisbehaved):
        overrides.serve_purpose(practice.desk, practice.sue, TASK)
    assert [each.id for each in overrides.open_leases(practice.desk)] == [lease.id]
    assert practice.events().count("epcs.override-alarm") == 1
    scheduler.look(practice.desk)
    practice.ehr.moods = EhrMoods()
    scheduler.look(practice.desk)
    assert not has_it(practice)
    assert overrides.open_leases(practice.desk) == []
    assert len(incidents.latest(practice.desk)) == 1


def test_an_ehr_that_is_away_alarms_once_if_it_ends_nothing_by_itself(practice: Practice) -> None:
    practice.ehr.moods = STANDS
    scheduler.look(practice.desk)
    give(practice)
    practice.ehr.moods = EhrMoods(cuts="before")
    with pytest.raises(EhrUnreachable):
        overrides.serve_purpose(practice.desk, practice.sue, TASK)
    for seconds, alarms in ((30, 0), (31, 1), (31, 1)):
        practice.clock.forward(timedelta(seconds=seconds))
        scheduler.look(practice.desk)
        assert practice.events().count("epcs.override-alarm") == alarms
    practice.ehr.moods = STANDS
    scheduler.look(practice.desk)
    assert not has_it(practice)
    assert overrides.open_leases(practice.desk) == []


@pytest.mark.parametrize("cuts", ["before", "after"])
def test_an_answer_that_never_came_leaves_nothing(practice: Practice, cuts: str) -> None:
    practice.ehr.moods = EhrMoods(cuts=cuts, only=frozenset({"give_override"}))
    with pytest.raises(EhrUnreachable):
        give(practice)
    assert not has_it(practice)
    (lease,) = overrides.open_leases(practice.desk)
    assert lease.why == "failed"
    practice.ehr.moods = EhrMoods()
    practice.ehr.give_override("sue", practice.clock() + timedelta(hours=1))  # what was on its way arrives
    practice.clock.forward(timedelta(seconds=30))
    scheduler.look(practice.desk)
    assert not has_it(practice)
    practice.clock.forward(leases.ON_ITS_WAY)
    scheduler.look(practice.desk)
    assert overrides.open_leases(practice.desk) == []


def test_what_the_ehr_refuses_was_never_there(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(refuses=frozenset({"give_override"}))
    with pytest.raises(EhrRefused):
        give(practice)
    assert overrides.open_leases(practice.desk) == []


def test_an_ehr_that_says_given_and_is_not_is_not_believed(practice: Practice) -> None:
    practice.ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({"give_override"}))
    with pytest.raises(EhrMisbehaved, match="does not show it"):
        give(practice)
    practice.clock.forward(leases.ON_ITS_WAY)
    scheduler.look(practice.desk)
    assert overrides.open_leases(practice.desk) == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_two_at_once_are_one(practice: Practice) -> None:
    scheduler.look(practice.desk)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: give(practice).id, range(8)))
    assert len(set(found)) == 1
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: overrides.serve_purpose(practice.desk, practice.sue, TASK), range(4)))
    assert not has_it(practice)
    assert practice.events().count("epcs.override-ended") == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_schedulers_at_once_alarm_once(practice: Practice) -> None:
    practice.ehr.moods = STANDS
    scheduler.look(practice.desk)
    give(practice)
    practice.clock.forward(timedelta(hours=1))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: scheduler.look(practice.desk), range(4)))
    assert not has_it(practice)
    assert overrides.open_leases(practice.desk) == []
    assert practice.events().count("epcs.override-alarm") == len(incidents.latest(practice.desk)) == 1


def test_the_most_overdue_goes_first(practice: Practice) -> None:
    practice.ehr.moods = STANDS
    scheduler.look(practice.desk)
    overrides.give(practice.desk, practice.ada, practice.ned, TASK, 60)
    give(practice, minutes=5)
    practice.clock.forward(timedelta(hours=2))
    practice.forget_ehr_log()
    scheduler.look(practice.desk)
    removed = [entry.user for entry in practice.ehr.audit() if entry.what == "remove_override"]
    assert removed == ["sue", "ned"]
