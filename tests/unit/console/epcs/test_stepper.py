"""A run as a row of steps: in the order of its way, with one step at which it stands."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from renewagent.console.epcs.stepper import LABELS, Stand, steps
from renewagent.tokens.reregistration import BY_WAY, FINAL, TABLE, Kind, Run, State, Way
from renewagent.tokens.reregistration_words import Who
from renewagent.tokens.soft_causes import Cause

RUN = Run("1", "2", Cause.NEW_PHONE)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_every_run_stands_at_one_step_and_what_is_before_it_is_done(way: Way, state: State) -> None:
    found = steps(replace(RUN, state=state, way=way), Who.DESK)
    at = [step.state for step in found].index(state)
    assert [step.stand for step in found] == [Stand.DONE] * at + [Stand.NOW] + [Stand.TO_COME] * (len(found) - at - 1)
    assert all(step.label == LABELS[step.state] for step in found)


@pytest.mark.parametrize("way", Way)
def test_the_order_of_the_steps_is_that_of_the_table(way: Way) -> None:
    """Each step leads to the next one by some event that is neither a step back nor a change of way."""
    order = [step.state for step in steps(replace(RUN, way=way), Who.DESK)]
    # The vendor says whether it keeps the old app only when it is asked for the new one: all that need one begin alike.
    first = {State.PREPARE: State.INVITE} if order[1] is State.INVITE else {}
    for state, following in pairwise(order):
        row = {kind: BY_WAY.get((state, kind), {}).get(way, target) for kind, target in TABLE[state].items()}
        targets = {first.get(target, target) for kind, target in row.items() if kind is not Kind.CHANGED}
        assert following in targets, (state, following)


def test_somebody_who_has_to_act_is_waited_for() -> None:
    found = steps(replace(RUN, state=State.OVERRIDE, way=Way.SAME), Who.ADMINISTRATOR)
    assert [step.state for step in found if step.stand is Stand.WAITS] == [State.OVERRIDE]


def test_nothing_is_to_come_at_the_end() -> None:
    assert {step.stand for step in steps(replace(RUN, state=State.DONE, way=Way.NEW), Who.NOBODY)} == {Stand.DONE}
    assert steps(replace(RUN, state=State.ABANDONED), Who.PRESCRIBER) == ()
