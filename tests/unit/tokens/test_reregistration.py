"""The table of a soft token's run: its order cannot be broken, and every state has words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.reregistration import (
    FINAL,
    TABLE,
    Event,
    Kind,
    OutOfOrder,
    Run,
    State,
    Waits,
    Way,
    diagram,
    replay,
    step,
)
from renewagent.tokens.reregistration_words import Who, words
from renewagent.tokens.soft_causes import Cause

K, S = Kind, State
NEW = Run("r1", "p1", Cause.PASSWORD_CHANGED)
END = [Event(kind) for kind in (K.REGISTERED, K.ALLOWED, K.ENABLED, K.LIFTED, K.GRANTED, K.CHECKED)]


def noted(way: Way) -> Event:
    return Event(K.NOTED, {"username": "ann.lee", "way": way.value, "serial": "AA11"})


def invited(way: Way) -> Event:
    fields = {"invitation": "i1", "channels": "a...@clinic.example, phone ending 42", "ends": "29 November 2026"}
    return Event(K.INVITED, {"way": way.value, **fields})


def states(events: list[Event]) -> list[State]:
    run, seen = NEW, []
    for event in events:
        run = step(run, event)
        seen.append(run.state)
    return seen


def test_the_same_device_from_start_to_done() -> None:
    events = [noted(Way.SAME), Event(K.READY), Event(K.CLEARED), *END]
    rest = [S.OVERRIDE, S.ENABLE, S.LIFT, S.GRANT, S.CHECK, S.DONE]
    assert states(events) == [S.PREPARE, S.CLEAR, S.REGISTER, *rest]


def test_a_new_device_is_activated_before_the_old_one_is_removed_where_the_vendor_keeps_it() -> None:
    events = [noted(Way.NEW), invited(Way.KEEPS_OLD), Event(K.ACTIVATED), Event(K.CLEARED)]
    assert states(events) == [S.INVITE, S.ACTIVATE, S.CLEAR, S.REGISTER]


def test_an_old_device_that_ended_with_the_invitation_is_removed_meanwhile() -> None:
    events = [noted(Way.NEW), invited(Way.ENDS_OLD), Event(K.CLEARED), Event(K.ACTIVATED)]
    assert states(events) == [S.INVITE, S.CLEAR, S.ACTIVATE, S.REGISTER]


def test_an_invitation_that_nobody_used_is_sent_again() -> None:
    events = [noted(Way.NEW), invited(Way.KEEPS_OLD), Event(K.LAPSED), invited(Way.KEEPS_OLD)]
    assert states(events)[-2:] == [S.INVITE, S.ACTIVATE]
    assert "not used in time" in words(replay(NEW, events[:3])).happened


def test_rounds_of_clearing_are_counted() -> None:
    run = replay(NEW, [noted(Way.SAME), Event(K.READY), *[Event(K.STILL_SHOWN)] * 2])
    assert (run.state, run.rounds, run.removed) == (S.CLEAR, 2, True)
    assert "removed twice" in words(run).happened


def test_a_device_that_changed_again_is_cleared_again_by_the_same_way() -> None:
    events = [noted(Way.NEW), invited(Way.ENDS_OLD), Event(K.CLEARED), Event(K.ACTIVATED), Event(K.REGISTERED)]
    run = replay(NEW, [*events, Event(K.CHANGED), Event(K.READY), Event(K.CLEARED)])
    assert (run.state, run.way) == (S.REGISTER, Way.SAME)


def test_waiting_changes_nothing_but_the_words_and_ends_with_the_next_event() -> None:
    grant = replay(NEW, [noted(Way.SAME), Event(K.READY), Event(K.CLEARED), *END[:4]])
    waiting = step(grant, Event(K.WAITS, {"waits": Waits.EXECUTION.value}))
    assert (waiting.state, waiting.waits) == (S.GRANT, Waits.EXECUTION)
    assert "The grant has been entered" in words(waiting).happened
    assert step(waiting, Event(K.GRANTED)).waits is None


def test_the_name_is_noted_before_anything_is_removed() -> None:
    for state, row in TABLE.items():
        if K.CLEARED in row or K.STILL_SHOWN in row:
            assert state is S.CLEAR
    with pytest.raises(OutOfOrder):
        step(NEW, Event(K.CLEARED))


@pytest.mark.parametrize("state", [State.DONE, State.ABANDONED])
@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_follows_the_end(state: State, kind: Kind) -> None:
    with pytest.raises(OutOfOrder):
        step(replace(NEW, state=state), Event(kind))


def test_every_state_can_be_reached_and_left() -> None:
    reached = {target for row in TABLE.values() for target in row.values()} | {S.INVITE, S.ABANDONED, S.NOTE}
    assert reached == set(State)
    assert set(TABLE) == set(State) - FINAL


def test_no_override_is_asked_for_before_a_device_is_registered_and_none_is_left_behind() -> None:
    assert {state for state, row in TABLE.items() if K.ALLOWED in row} == {S.OVERRIDE}
    into_grant = {(state, kind) for state, row in TABLE.items() for kind, to in row.items() if to is S.GRANT}
    assert into_grant == {(S.LIFT, K.LIFTED), (S.CHECK, K.REVOKED)}


_FIELDS = {
    K.NOTED: [noted(Way.SAME), noted(Way.NEW)],
    K.INVITED: [invited(Way.KEEPS_OLD), invited(Way.ENDS_OLD)],
    K.ENDED: [Event(K.ENDED, {"way": Way.NEW.value})],
    K.WAITS: [Event(K.WAITS, {"waits": what.value}) for what in Waits],
    K.ABANDONED: [
        Event(K.ABANDONED, {"stands_device": device, "stands_enabled": "no", "stands_granted": "yes"})
        for device in ("yes", "no", "old")
    ],
}


@given(st.data())
def test_wherever_a_run_stands_the_words_say_what_happened_and_whose_turn_it_is(data: st.DataObject) -> None:
    run = NEW
    for _ in range(data.draw(st.integers(0, 25))):
        if run.over:
            break
        kinds = [*TABLE[run.state], K.WAITS, K.ABANDONED]
        kind = data.draw(st.sampled_from(kinds))
        run = step(run, data.draw(st.sampled_from(_FIELDS.get(kind, [Event(kind)]))))
        told, named = words(run), words(run, "Ann Lee")
        assert told.happened.endswith(".") and told.next.endswith(".") and named.who is told.who
        assert "  " not in told.happened and "{" not in told.happened + told.next + named.happened
        assert (told.who is Who.NOBODY) <= run.over
        assert " you " not in f" {named.happened} {named.next} " and " your " not in f" {named.happened} {named.next} "
        assert told.signs <= (run.state in (S.CHECK, S.DONE) or (run.state is S.ABANDONED and run.removed))
        if run.removed and not run.over:
            assert "Nothing has been removed" not in told.happened


def test_what_an_abandoned_run_leaves_is_said() -> None:
    run = replay(NEW, [noted(Way.SAME), Event(K.READY), Event(K.CLEARED)])
    stands = {"stands_device": "no", "stands_enabled": "yes", "stands_granted": "yes", "stands_override": "no"}
    told = words(step(run, Event(K.ABANDONED, stands)))
    assert told.happened == (
        "This was abandoned. No device is registered at the EHR; EPCS is enabled and granted. "
        "You cannot sign with the app like this."
    )
    assert "ann.lee" in told.next and not told.signs
    whole = words(step(run, Event(K.ABANDONED, {**stands, "stands_device": "yes", "stands_override": "yes"})))
    assert "still stands" in whole.happened and whole.signs


def test_an_administrator_permission_that_was_there_before_is_named_at_the_end() -> None:
    run = replay(NEW, [noted(Way.SAME), Event(K.READY), Event(K.CLEARED), *END])
    assert words(run).who is Who.NOBODY and "No override is left" in words(run).happened
    warned = words(replace(run, facts={**run.facts, "administrator": "yes"}))
    assert warned.who is Who.ADMINISTRATOR and "Administrator (Overrides" in warned.next


def test_the_diagram_in_the_docs_is_the_table() -> None:
    assert diagram() in (Path(__file__).parents[3] / "docs" / "softtoken.md").read_text()
