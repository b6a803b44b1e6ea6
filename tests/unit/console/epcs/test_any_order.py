"""Grants, revocations, suspensions, overrides, schedulers, moods and mishaps in any order that hypothesis can think of:
two people for every grant, suspended is suspended, and no override outlives its end."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from renewagent.console import audit
from renewagent.console.epcs import overrides, requests, scheduler, suspensions
from renewagent.errors import RenewAgentError
from renewagent.tokens.grants import Action, RequestState, SuspensionReason
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.unit.console.databases import in_file
from tests.unit.console.epcs.practice import Practice, new_practice
from tests.unit.console.epcs.test_killed import Countdown, Killed, mortal

PEOPLE = ("ada", "amy", "ray", "sue", "ned", "kim")
MOODS = (
    EhrMoods(),
    EhrMoods(enforces_override=False),
    EhrMoods(cuts="before"),
    EhrMoods(cuts="after", enforces_override=False),
    EhrMoods(says_saved_and_is_not=frozenset({"grant_epcs", "suspend_epcs"})),
    EhrMoods(says_saved_and_is_not=frozenset({"remove_override", "give_override"}), enforces_override=False),
    EhrMoods(refuses=frozenset({"grant_epcs", "give_override"})),
)


class Desks(RuleBasedStateMachine):
    """`suspended_since`: how many grants the EHR had been asked for when Sue was last suspended."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="renewagent-order-"))
        self.practice: Practice = new_practice(self.folder, in_file(self.folder))
        self.left = 10_000

    def teardown(self) -> None:
        self.practice.close()
        shutil.rmtree(self.folder)

    def attempt(self, work: object) -> None:
        """What is refused, or killed, is a way for things to go."""
        desk = mortal(self.practice.desk, Countdown(self.left))
        self.left = 10_000
        with suppress(RenewAgentError, Killed):
            work(desk)  # type: ignore[operator]

    @initialize(mood=st.sampled_from(MOODS))
    def begin(self, mood: EhrMoods) -> None:
        self.practice.ehr.moods = mood
        scheduler.look_first(self.practice.desk)

    @rule(mood=st.sampled_from(MOODS))
    def another_mood(self, mood: EhrMoods) -> None:
        self.practice.ehr.moods = mood

    @rule(moments=st.integers(0, 12))
    def will_be_killed(self, moments: int) -> None:
        self.left = moments

    @rule(seconds=st.sampled_from([1, 20, 121, 1_000, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.practice.clock.forward(timedelta(seconds=seconds))

    @rule()
    def looks(self) -> None:
        self.attempt(scheduler.look_first)

    @rule(by=st.sampled_from(PEOPLE), action=st.sampled_from([Action.GRANT, Action.REVOKE]))
    def enters(self, by: str, action: Action) -> None:
        person = getattr(self.practice, by)
        self.attempt(lambda desk: requests.enter(desk, person, self.practice.sue, action, "So"))

    @rule(by=st.sampled_from(PEOPLE))
    def executes(self, by: str) -> None:
        person = getattr(self.practice, by)
        for request in requests.waiting(self.practice.desk, self.practice.ada):
            factor = self.practice.factor(request, person)
            self.attempt(lambda desk, f=factor, r=request: requests.execute(desk, f, r.id))

    @rule(by=st.sampled_from(PEOPLE))
    def suspends(self, by: str) -> None:
        person = getattr(self.practice, by)
        self.attempt(lambda d: suspensions.suspend(d, person, self.practice.sue, SuspensionReason.LOST))

    @rule(by=st.sampled_from(PEOPLE), minutes=st.sampled_from([1, 15, 60]))
    def lends(self, by: str, minutes: int) -> None:
        person = getattr(self.practice, by)
        self.attempt(lambda desk: overrides.give(desk, person, self.practice.sue, "enable EPCS", minutes))

    @rule()
    def serves(self) -> None:
        self.attempt(lambda desk: overrides.serve_purpose(desk, self.practice.sue, "enable EPCS"))

    @precondition(lambda self: "remove_override" not in self.practice.ehr.moods.says_saved_and_is_not)
    @rule()
    def enables(self) -> None:
        with suppress(RenewAgentError):
            self.practice.ehr.enable_epcs("sue")

    @invariant()
    def two_people_for_every_grant(self) -> None:
        for what in ("grant_epcs", "revoke_epcs"):
            for executed_by, said in self.practice.ehr_did(what):
                assert executed_by == "ray" and said in ("entered by ada", "entered by amy")

    @invariant()
    def an_override_has_its_row(self) -> None:
        if self.practice.ehr.moods.cuts == "never" and self.practice.access().administrator:
            assert overrides.open_leases(self.practice.desk, self.practice.sue)

    @rule()
    def all_is_well_again(self) -> None:
        """A willing EHR, and a console that looks for a while: everything comes to its end, and is explained."""
        self.practice.ehr.moods = EhrMoods(enforces_override=False)
        desk = self.practice.desk
        under_way = [r for r in requests.waiting(desk, self.practice.ada) if r.state is RequestState.EXECUTING]
        for seconds in (0, 121, 121, 4_000, 121):
            self.practice.clock.forward(timedelta(seconds=seconds))
            scheduler.look_first(desk)
        assert overrides.open_leases(desk) == []
        access = self.practice.access()
        assert not access.administrator
        assert all(r.state is RequestState.WAITING for r in requests.waiting(desk, self.practice.ada))
        latest = [r for r in requests.of(desk, self.practice.sue) if r.state is RequestState.EXECUTED]
        last = max(latest, key=lambda r: r.executed or r.entered, default=None)
        if last is not None and last.action is Action.SUSPEND:
            assert access.epcs_suspended or not access.epcs_granted
        assert access.epcs_granted <= any(r.action is Action.GRANT for r in latest)
        assert all(requests.find(desk, r.id).state is not RequestState.EXECUTING for r in under_way)
        assert audit.verify_chain(desk.read(audit.entries)) is None


TestDesks = Desks.TestCase
TestDesks.settings = settings(
    max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
