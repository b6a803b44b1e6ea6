"""A soft token brought back to signing: the five causes to the end, by whoever goes on, and what does not go well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from renewagent.console import audit, people
from renewagent.console.epcs import overrides, soft, soft_rows
from renewagent.console.epcs.documents import told
from renewagent.console.permissions import Role
from renewagent.tokens.errors import DeskRefused, EhrUnreachable, FormError, TokenServerUnreachable
from renewagent.tokens.reregistration import State
from renewagent.tokens.reregistration_words import Who
from renewagent.tokens.soft_causes import Cause, Sureness
from renewagent_fixtures.mock_epcs.ehr import EXPIRED
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from renewagent_fixtures.mock_epcs.vendor_moods import VendorMoods
from tests.unit.console.epcs.soft_world import APP_PASSWORD, EMAIL, NEW_PASSWORD, PHONE, USERNAME, SoftWorld, new_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SoftWorld]:
    made = new_world(tmp_path)
    yield made
    made.close()


def silent(usernames: object) -> dict[str, object]:
    raise TokenServerUnreachable("The vendor does not answer.")


def to_override(world: SoftWorld, cause: Cause = Cause.PASSWORD_CHANGED) -> soft.SoftRun:
    """Until the run waits for an override."""
    world.befall(cause)
    run = world.go_on(world.begin(cause))
    assert run.state is State.OVERRIDE, run
    return run


def test_the_world_signs_at_first(world: SoftWorld) -> None:
    assert world.signs() == ""


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_is_told_and_brought_back_to_signing(world: SoftWorld, cause: Cause) -> None:
    world.befall(cause)
    if cause is Cause.NEW_PHONE or cause is Cause.REINSTALLED:
        answers = {"phone": "new"} if cause is Cause.NEW_PHONE else {"phone": "same", "app": "reinstalled"}
        assert soft.diagnose(world.desk, world.lee, answers).cause is cause
    else:
        assert world.signs() == EXPIRED
        known = soft.diagnose(world.desk, world.lee, {"password": "expired"} if cause is Cause.PASSWORD_EXPIRED else {})
        assert (known.cause is cause and known.certain) or cause is Cause.PASSWORD_EXPIRED

    run = world.go_on(world.begin(cause))
    if run.who is Who.PRESCRIBER:
        assert run.state in (State.ACTIVATE, State.PREPARE)
        assert world.bench.ehr.device("lee") is not None, "the old one stays until the new one works"
        world.act(cause)
        run = world.go_on(run)
    assert (run.state, run.who, run.signs) == (State.OVERRIDE, Who.ADMINISTRATOR, False)
    world.override()
    run = world.go_on(run)
    assert (run.state, run.who) == (State.GRANT, Who.TWO)
    assert not world.bench.ehr.access("lee").administrator
    assert overrides.open_leases(world.desk) == []
    world.grant()
    run = world.go_on(run)
    assert (run.state, run.who, run.signs, run.over) == (State.DONE, Who.NOBODY, True, True)
    assert run.finished is not None and run.problem is None
    assert world.signs() == ""


def test_a_stale_screen_takes_two_rounds(world: SoftWorld) -> None:
    run = to_override(world)
    assert run.rounds == 1  # the round after which it was still shown
    removals = [line for line in world.bench.ehr.audit() if line.what == "remove_device"]
    assert len(removals) == 2


def test_the_name_is_kept_before_anything_is_removed(world: SoftWorld) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    run = world.begin(Cause.PASSWORD_CHANGED)
    assert (run.state, run.username) == (State.PREPARE, USERNAME)
    assert "Nothing has been removed" in run.happened
    assert not [line for line in world.bench.ehr.audit() if line.what == "remove_device"]


def test_there_is_one_open_run_and_anybody_allowed_goes_on_with_it(world: SoftWorld) -> None:
    run = to_override(world)
    assert world.begin(Cause.PASSWORD_CHANGED).id == run.id
    with pytest.raises(DeskRefused, match="under way already, begun by Lee"):
        world.begin(Cause.NEW_PHONE)
    world.override()
    there = world.go_on(run, by=world.hale)
    assert there.state is State.GRANT and "Lee" in there.next
    with pytest.raises(DeskRefused):
        world.go_on(run, by=world.reed)
    with pytest.raises(DeskRefused):
        soft.run_of(world.desk, world.bench.person("far", Role.EPCS_ADMINISTRATOR, organisations="RX9"), run.id)
    assert [one.id for one in soft.runs_of(world.desk, world.lee)] == [run.id]


def test_a_vendor_that_ends_the_old_app_with_the_invitation_has_the_old_device_removed_meanwhile(
    world: SoftWorld,
) -> None:
    world.bench.vendor.moods = VendorMoods(keeps_old_until_new=False)
    world.befall(Cause.NEW_PHONE)
    run = world.go_on(world.begin(Cause.NEW_PHONE))
    assert (run.state, run.signs) == (State.ACTIVATE, False)
    assert world.bench.ehr.device("lee") is None
    assert "cannot sign with the app for now" in run.happened
    world.activate()
    assert world.go_on(run).state is State.OVERRIDE


def test_codes_go_out_once_by_two_channels_and_only_when_a_person_is_there(world: SoftWorld) -> None:
    world.befall(Cause.NEW_PHONE)
    before = len(world.bench.vendor.outbox(EMAIL))
    run = world.begin(Cause.NEW_PHONE)
    world.bench.clock.move(timedelta(minutes=1))
    assert soft.tend(world.desk) == []
    assert len(world.bench.vendor.outbox(EMAIL)) == before
    assert "Continue" in soft.run_of(world.desk, world.lee, run.id).next
    for _ in range(2):
        run = world.go_on(run)
    assert len(world.bench.vendor.outbox(EMAIL)) == before + 1
    codes = [world.bench.vendor.outbox(address)[-1].text.split()[-1] for address in (EMAIL, PHONE)]
    shown = str(told(run)) + str(world.desk.read(audit.entries))
    assert not any(code in shown for code in codes)


def test_an_invitation_that_lapsed_is_sent_anew_when_the_person_is_back(world: SoftWorld) -> None:
    world.befall(Cause.REINSTALLED)
    run = world.go_on(world.begin(Cause.REINSTALLED))
    world.bench.clock.move(timedelta(days=8))
    assert [one.state for one in soft.tend(world.desk)] == [State.INVITE]
    run = world.go_on(run)
    assert run.state is State.ACTIVATE
    world.activate()
    assert world.go_on(run).state is State.OVERRIDE


def test_an_app_that_has_ended_at_the_vendor_is_activated_anew_whatever_cause_was_given(world: SoftWorld) -> None:
    world.phone.delete_service()
    run = world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    assert run.state is State.ACTIVATE
    world.phone.reinstall(APP_PASSWORD)
    world.activate()
    assert world.go_on(run).state is State.OVERRIDE


def test_the_scheduler_goes_on_where_nobody_has_to_act_any_more(world: SoftWorld) -> None:
    run = to_override(world)
    world.override()
    world.bench.clock.move(timedelta(seconds=20))
    assert [(one.id, one.state) for one in soft.tend(world.desk)] == [(run.id, State.GRANT)]
    assert not world.bench.ehr.access("lee").administrator
    assert soft.tend(world.desk) == []  # looked at a moment ago
    world.grant()
    world.bench.clock.move(timedelta(minutes=10))
    assert [one.state for one in soft.tend(world.desk)] == [State.DONE]
    assert soft.tend(world.desk) == []


def test_what_has_waited_for_long_is_looked_at_more_seldom(world: SoftWorld) -> None:
    to_override(world)
    looks = 0
    for _ in range(240):
        world.bench.clock.move(timedelta(seconds=15))
        before = soft.runs_of(world.desk, world.lee)[0]
        kept_before = world.desk.read(soft_rows.open_ones)[0].looked
        soft.tend(world.desk)
        looks += world.desk.read(soft_rows.open_ones)[0].looked != kept_before
        assert before.state is State.OVERRIDE
    assert 20 < looks < 60


def test_an_override_that_ended_too_early_is_asked_for_again(world: SoftWorld) -> None:
    run = to_override(world)
    world.override()
    world.bench.ehr.moods = EhrMoods(refuses=frozenset({"enable_epcs"}))
    run = world.go_on(run)
    assert run.state is State.ENABLE and run.problem is not None
    assert "does not allow this" in run.problem.error
    world.bench.clock.move(timedelta(minutes=16))
    world.bench.ehr.moods = EhrMoods()
    run = world.go_on(run)
    assert (run.state, run.problem) == (State.OVERRIDE, None)


@pytest.mark.parametrize(
    ("call", "state", "said"),
    [
        ("remove_device", State.CLEAR, "after 5 rounds it still shows it"),
        ("register_device", State.REGISTER, "does not show it"),
        ("enable_epcs", State.ENABLE, "EPCS is enabled, and it is not"),
        ("remove_override", State.LIFT, "still shows it"),
    ],
)
def test_an_ehr_that_says_saved_and_is_not_is_told_from_one_that_is(
    world: SoftWorld, call: str, state: State, said: str
) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    world.bench.ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({call}))
    run = world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    if run.state is State.OVERRIDE:
        world.override()
        run = world.go_on(run)
    assert run.state is state and run.problem is not None
    assert said in run.problem.error and run.problem.advice
    world.bench.ehr.moods = EhrMoods()
    run = world.go_on(run)
    if run.state is State.OVERRIDE:
        world.override()
        run = world.go_on(run)
    world.grant()
    assert world.go_on(run).state is State.DONE
    assert world.signs() == ""


def test_an_ehr_that_does_not_answer_changes_nothing_and_is_said(world: SoftWorld) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    run = world.begin(Cause.PASSWORD_CHANGED)
    world.bench.ehr.moods = EhrMoods(cuts="after")
    run = world.go_on(run)
    assert run.problem is not None and run.problem.code == "RA-EHR-UNREACHABLE"
    assert "cannot sign with the app until" in run.happened
    with pytest.raises(EhrUnreachable):
        soft.abandon(world.desk, world.lee, run.id)
    world.bench.ehr.moods = EhrMoods()
    assert world.go_on(run).state is State.OVERRIDE


def test_a_registration_that_changes_meanwhile_is_registered_again(world: SoftWorld) -> None:
    run = to_override(world)
    world.phone.change_password(NEW_PASSWORD, APP_PASSWORD)
    world.override()
    run = world.go_on(run)
    assert run.state is State.GRANT
    world.phone.change_password(APP_PASSWORD, NEW_PASSWORD)
    run = world.go_on(run)
    assert run.state is State.OVERRIDE  # the mock EHR takes EPCS away with the device
    world.override()
    run = world.go_on(run)
    world.grant()
    assert world.go_on(run).state is State.DONE
    assert world.signs() == ""


def test_a_device_that_is_removed_by_hand_in_the_meantime_is_no_obstacle(world: SoftWorld) -> None:
    world.befall(Cause.CERTIFICATE_RENEWED)
    run = world.begin(Cause.CERTIFICATE_RENEWED)
    for _ in range(2):
        world.bench.ehr.remove_device("lee")
        world.bench.ehr.refresh_shared_tables()
    assert world.go_on(run).state is State.OVERRIDE


def test_a_grant_that_was_entered_is_named(world: SoftWorld) -> None:
    from renewagent.console.epcs import requests
    from renewagent.tokens.grants import Action

    run = to_override(world)
    world.override()
    run = world.go_on(run)
    assert "EPCS administrator enters the grant" in run.next
    requests.enter(world.desk, world.hale, world.lee, Action.GRANT, "new phone")
    run = world.go_on(run)
    assert "The grant has been entered" in run.happened
    assert "A DEA registrant executes it" in run.next


def test_an_administrator_for_good_needs_no_override_and_is_named_at_the_end(world: SoftWorld) -> None:
    staff = world.bench.ehr.staff("lee")
    assert staff is not None
    world.bench.ehr.add_staff(replace(staff), "", administrator=True)
    world.befall(Cause.PASSWORD_CHANGED)
    run = world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    assert run.state is State.GRANT
    world.grant()
    run = world.go_on(run)
    assert run.state is State.DONE and run.who is Who.ADMINISTRATOR
    assert "Administrator (Overrides Role Based Permissions)" in run.next


# --- Abandoned


def test_an_abandoned_run_says_what_stands_and_leaves_no_override(world: SoftWorld) -> None:
    run = to_override(world)
    world.override()
    gone = soft.abandon(world.desk, world.hale, run.id)
    assert gone.state is State.ABANDONED and gone.over and not gone.signs
    assert "A device is registered at the EHR; EPCS is not enabled and not granted." in gone.happened
    assert not world.bench.ehr.access("lee").administrator
    assert soft.abandon(world.desk, world.lee, run.id).state is State.ABANDONED
    assert world.go_on(run).state is State.ABANDONED
    again = world.begin(Cause.NEW_PHONE)
    assert again.id != run.id


def test_a_run_abandoned_before_anything_was_removed_leaves_all_as_it_was(world: SoftWorld) -> None:
    run = world.begin(Cause.PASSWORD_CHANGED)
    gone = soft.abandon(world.desk, world.lee, run.id)
    assert "A device is registered at the EHR; EPCS is enabled and granted." in gone.happened
    assert world.signs() == ""


def test_a_vendor_that_does_not_answer_stops_nobody_who_gives_up(
    world: SoftWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = to_override(world)
    monkeypatch.setattr(world.bench.vendor, "soft_tokens", silent)
    gone = soft.abandon(world.desk, world.lee, run.id)
    assert "A device is registered at the EHR" in gone.happened and "at the vendor" not in gone.happened


def test_an_app_that_ended_with_an_invitation_is_named_when_the_run_is_given_up(world: SoftWorld) -> None:
    world.bench.vendor.moods = VendorMoods(keeps_old_until_new=False)
    world.befall(Cause.NEW_PHONE)
    run = world.go_on(world.begin(Cause.NEW_PHONE))
    gone = soft.abandon(world.desk, world.lee, run.id)
    assert "No device is registered" in gone.happened and "The app is not active at the vendor." in gone.happened


def test_a_run_abandoned_while_the_screen_is_stale_does_not_take_what_it_shows_for_a_device(world: SoftWorld) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    world.bench.ehr.moods = EhrMoods(stale_clears=9)
    run = world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    assert run.state is State.CLEAR and run.problem is not None and USERNAME in run.problem.advice
    assert world.bench.ehr.device("lee") is not None
    gone = soft.abandon(world.desk, world.lee, run.id)
    assert "still shows the old device, which may be removed already" in gone.happened
    assert not gone.signs and USERNAME in gone.next


def test_after_a_run_was_abandoned_the_next_one_knows_the_name_though_the_screen_is_empty(world: SoftWorld) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    world.bench.ehr.moods = EhrMoods(refuses=frozenset({"register_device"}))
    run = world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    assert run.state is State.REGISTER and run.problem is not None
    soft.abandon(world.desk, world.lee, run.id)
    assert world.bench.ehr.device("lee") is None
    world.bench.ehr.moods = EhrMoods()
    assert soft.diagnose(world.desk, world.lee, {}).cause is Cause.PASSWORD_CHANGED
    run = world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    assert (run.state, run.username) == (State.OVERRIDE, USERNAME)


# --- The name, and who may say it


def test_without_a_device_and_without_an_earlier_run_an_administrator_says_the_name(world: SoftWorld) -> None:
    for _ in range(2):
        world.bench.ehr.remove_device("lee")
        world.bench.ehr.refresh_shared_tables()
    with pytest.raises(FormError) as asked:
        world.begin(Cause.PASSWORD_CHANGED)
    assert asked.value.field == "username"
    with pytest.raises(DeskRefused, match="Only an EPCS administrator"):
        soft.begin(world.desk, world.lee, world.lee, Cause.PASSWORD_CHANGED, USERNAME)
    with pytest.raises(FormError, match="knows no"):
        soft.begin(world.desk, world.hale, world.lee, Cause.PASSWORD_CHANGED, "nobody.app")
    assert soft.begin(world.desk, world.hale, world.lee, Cause.PASSWORD_CHANGED, USERNAME).username == USERNAME


def test_a_name_that_was_somebody_elses_is_not_taken(world: SoftWorld) -> None:
    to_override(world)
    with pytest.raises(FormError, match="somebody else"):
        soft.begin(world.desk, world.hale, world.reed, Cause.PASSWORD_CHANGED, USERNAME)


def test_a_name_that_nobody_has_is_found_out_when_codes_are_to_be_sent(world: SoftWorld) -> None:
    run = soft.begin(world.desk, world.hale, world.reed, Cause.NEW_PHONE, "reed.app")
    run = soft.go_on(world.desk, world.hale, run.id)
    assert run.state is State.INVITE and "knows no" in run.happened
    world.bench.vendor.enrol("reed.app", "reed@clinic.example", "+1 555 0177")
    assert soft.go_on(world.desk, world.hale, run.id).state is State.ACTIVATE


def test_somebody_without_an_account_in_the_ehr_is_told_so(world: SoftWorld) -> None:
    nobody = replace(world.lee, ehr="")
    with pytest.raises(DeskRefused, match="no account in the EHR"):
        soft.begin(world.desk, nobody, nobody, Cause.NEW_PHONE)


def test_nothing_is_registered_for_somebody_who_has_left(world: SoftWorld) -> None:
    run = to_override(world)
    world.desk.write(lambda connection: people.end(connection, world.desk.now(), "tests", world.lee))
    world.bench.clock.move(timedelta(hours=1))
    assert soft.tend(world.desk) == []
    with pytest.raises(DeskRefused, match="Lee may not sign in any more"):
        world.go_on(run, by=world.hale)
    assert soft.abandon(world.desk, world.hale, run.id).over


# --- Two at once, and the log


def test_a_second_who_goes_on_at_the_same_time_is_told_so(world: SoftWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    run = world.begin(Cause.PASSWORD_CHANGED)
    seen = []
    remove = world.bench.ehr.remove_device

    def meanwhile(user: str) -> None:
        seen.append(world.go_on(run, by=world.hale))
        with pytest.raises(DeskRefused, match="at this moment"):
            soft.abandon(world.desk, world.hale, run.id)
        remove(user)

    monkeypatch.setattr(world.bench.ehr, "remove_device", meanwhile)
    assert world.go_on(run).state is State.OVERRIDE
    assert seen and all(one.busy and one.state is State.CLEAR for one in seen)


def test_one_who_was_held_up_for_too_long_asks_for_nothing_more(
    world: SoftWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    run = world.begin(Cause.PASSWORD_CHANGED)
    refresh, slow = world.bench.ehr.refresh_shared_tables, [True]

    def meanwhile() -> None:
        if slow:
            slow.clear()
            world.bench.clock.move(timedelta(minutes=2))
            assert world.go_on(run, by=world.hale).state is State.OVERRIDE
        refresh()

    monkeypatch.setattr(world.bench.ehr, "refresh_shared_tables", meanwhile)
    run = world.go_on(run)
    assert (run.state, run.problem) == (State.OVERRIDE, None)
    assert world.bench.ehr.device("lee") is not None


def test_every_change_is_in_the_audit_log_whose_chain_holds(world: SoftWorld) -> None:
    run = to_override(world)
    world.override()
    run = world.go_on(run)
    world.grant()
    world.go_on(run)
    log = world.desk.read(audit.entries)
    assert audit.verify_chain(log) is None
    events = [entry.event for entry in log if entry.event.startswith("epcs.soft-")]
    assert events == [
        f"epcs.soft-{event}"
        for event in (
            "begun ready removal-asked still-shown removal-asked cleared registration-asked registered waits allowed "
            "enabling-asked enabled lifted waits granted checked"
        ).split()
    ]
    assert all(run.id in entry.details for entry in log if entry.event.startswith("epcs.soft-"))


def test_a_run_and_a_diagnosis_are_told_as_json(world: SoftWorld) -> None:
    run = told(to_override(world))
    assert run["state"] == "override" and run["who"] == "administrator" and run["owner"]["user"] == "lee"
    found = told(soft.diagnose(world.desk, world.lee, {}))
    assert set(found) == {"likely", "ask", "plan", "minutes", "first", "new_device", "warning"}


def test_without_the_vendor_the_answers_alone_are_judged(world: SoftWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.bench.vendor, "soft_tokens", silent)
    found = soft.diagnose(world.desk, world.lee, {"password": "changed"})
    assert (found.cause, found.likely[0].sureness) == (Cause.PASSWORD_CHANGED, Sureness.LIKELY)
