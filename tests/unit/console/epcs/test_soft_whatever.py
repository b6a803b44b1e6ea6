"""Whatever happens in whatever order: what is said is so, no override stands that nothing explains, and once the world
is calm again the run comes to its end.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from renewagent.console import audit
from renewagent.console.epcs import overrides, scheduler, soft
from renewagent.console.epcs.soft import SoftRun
from renewagent.tokens.errors import TokenError
from renewagent.tokens.reregistration import State
from renewagent.tokens.reregistration_words import Who
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.mock_epcs.ehr_moods import CHANGES, EhrMoods
from renewagent_fixtures.mock_epcs.vendor_moods import VendorMoods
from renewagent_fixtures.virtual_tokens.phone import AppError
from tests.unit.console.epcs.mortal import Killed, Life, mortal
from tests.unit.console.epcs.soft_world import APP_PASSWORD, EMAIL, USERNAME, new_world

_CALLS = sorted(CHANGES - {"give_override"})
_MOODS = st.builds(
    EhrMoods,
    stale_clears=st.integers(0, 6),
    says_saved_and_is_not=st.frozensets(st.sampled_from(_CALLS), max_size=1),
    refuses=st.frozensets(st.sampled_from(_CALLS), max_size=1),
    cuts=st.sampled_from(("never", "never", "before", "after")),
)


class Whatever(RuleBasedStateMachine):
    """One prescriber, and all that can befall them."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # noqa: S108 - where there is one: many small writes
        self.folder = TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.world = new_world(Path(self.folder.name))
        self.hurt: Cause | None = None

    def teardown(self) -> None:
        self.calm_down()
        self.world.close()
        self.folder.cleanup()

    # --- The person and their phone

    @rule()
    def the_password_is_changed(self) -> None:
        try:
            app = self.world.phone
            app.change_password(app.kept()["password"], APP_PASSWORD + "!")
        except AppError:
            return
        self.hurt = self.hurt or Cause.PASSWORD_CHANGED

    @rule()
    def a_phone_is_bought(self) -> None:
        self.world.befall(Cause.NEW_PHONE)
        self.hurt = Cause.NEW_PHONE

    @precondition(lambda self: len(self.world.bench.vendor.outbox(EMAIL)) > 1)
    @rule()
    def the_app_is_activated(self) -> None:
        try:
            self.world.activate()
        except (AppError, TokenError):
            return

    # --- The desk

    @rule(cause=st.sampled_from(Cause))
    def somebody_begins(self, cause: Cause) -> None:
        try:
            self.world.begin(cause)
        except TokenError as refused:
            assert refused.message and refused.advice

    @rule(left=st.none() | st.integers(0, 40))
    def somebody_goes_on(self, left: int | None) -> None:
        run = self.run
        if run is None:
            return
        desk = self.world.desk if left is None else mortal(self.world.desk, Life(left))
        try:
            soft.go_on(desk, self.world.lee, run.id)
        except Killed:
            pass

    @rule()
    def somebody_gives_up(self) -> None:
        try:
            if self.run is not None:
                soft.abandon(self.world.desk, self.world.hale, self.run.id)
        except TokenError as refused:
            assert refused.message and refused.advice

    @rule(minutes=st.sampled_from((1, 2, 20, 60 * 24, 60 * 24 * 10)))
    def time_passes(self, minutes: int) -> None:
        self.world.bench.clock.move(timedelta(minutes=minutes))
        scheduler.look(self.world.desk)

    @rule()
    def an_administrator_lends_an_override(self) -> None:
        try:
            self.world.override()
        except TokenError:
            return

    @rule()
    def two_people_grant(self) -> None:
        try:
            self.world.grant()
        except TokenError:
            return

    # --- The outside

    @rule(moods=_MOODS)
    def the_ehr_has_a_mood(self, moods: EhrMoods) -> None:
        self.world.bench.ehr.moods = moods

    @rule(keeps=st.booleans())
    def the_vendor_has_a_mood(self, keeps: bool) -> None:
        self.world.bench.vendor.moods = VendorMoods(keeps_old_until_new=keeps)

    @rule()
    def somebody_removes_the_device_by_hand(self) -> None:
        try:
            self.world.bench.ehr.remove_device("lee")
            self.world.bench.ehr.refresh_shared_tables()
        except TokenError:
            return

    # --- What holds

    @property
    def run(self) -> SoftRun | None:
        runs = soft.runs_of(self.world.desk, self.world.lee)
        return runs[0] if runs and not runs[0].over else None

    @invariant()
    def no_override_stands_unexplained(self) -> None:
        moods, self.world.bench.ehr.moods = self.world.bench.ehr.moods, EhrMoods()
        access = self.world.bench.ehr.access("lee")
        self.world.bench.ehr.moods = moods
        assert not access.administrator or overrides.open_leases(self.world.desk)

    @invariant()
    def every_run_says_where_it_stands(self) -> None:
        runs = soft.runs_of(self.world.desk, self.world.lee)
        assert sum(not run.over for run in runs) <= 1
        assert all(run.happened and run.next and run.username for run in runs)

    def calm_down(self) -> None:
        """The world is kind again: whoever begins, or goes on, comes to the end."""
        self.world.bench.ehr.moods, self.world.bench.vendor.moods = EhrMoods(), VendorMoods()
        self.world.bench.clock.move(timedelta(minutes=20))
        scheduler.look(self.world.desk)
        assert not self.world.bench.ehr.access("lee").administrator
        if self.run is not None and self.run.cause is not Cause.NEW_PHONE:  # begun for another cause than the phone's
            soft.abandon(self.world.desk, self.world.hale, self.run.id)
        run = self.run or soft.begin(self.world.desk, self.world.hale, self.world.lee, Cause.NEW_PHONE, USERNAME)
        for _ in range(12):
            run = self.world.go_on(run)
            assert run.problem is None, run
            if run.over:
                break
            if run.who is Who.PRESCRIBER:
                self.world.phone.reinstall(APP_PASSWORD)
                self.world.activate()
            elif run.who is Who.ADMINISTRATOR:
                self.world.override()
            elif run.who is Who.TWO:
                self.world.grant()
        assert run.state is State.DONE, run
        assert audit.verify_chain(self.world.desk.read(audit.entries)) is None


def test_whatever_happens_it_ends_well() -> None:
    suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Whatever,
        settings=settings(max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=suppressed),
    )
