"""A soft token's run as a row of steps: what is done, what is next and whose turn it is, what is to come. Pure; the
order of the steps follows from the run's way in `renewagent.tokens.reregistration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from renewagent.tokens.reregistration import Run, State, Way
from renewagent.tokens.reregistration_words import Who


class Stand(Enum):
    """How far a step is."""

    DONE = "done"
    NOW = "now"
    """The desk does it as soon as somebody selects "Continue"."""
    WAITS = "waits"
    """Somebody has to act."""
    TO_COME = "to-come"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `label`: what happens in it, with the EHR's own names."""

    state: State
    label: str
    stand: Stand


LABELS: Mapping[State, str] = MappingProxyType(
    {
        State.NOTE: 'Note the "Device Username"',
        State.INVITE: "Have the vendor send two codes",
        State.ACTIVATE: "Activate the app on the phone",
        State.PREPARE: "See that the app works at the vendor",
        State.CLEAR: 'Clear "EPCS Device Registration", then "Refresh Shared Tables"',
        State.REGISTER: "Register the device by its Soft Token User Name",
        State.OVERRIDE: "An administrator lends the override",
        State.ENABLE: "Enable EPCS",
        State.LIFT: "Take the override back",
        State.GRANT: "Two people grant EPCS",
        State.CHECK: "Look at all of it once more",
    }
)
_LAST = (State.OVERRIDE, State.ENABLE, State.LIFT, State.GRANT, State.CHECK)
_SAME = (State.NOTE, State.PREPARE, State.CLEAR, State.REGISTER, *_LAST)
_NEW = (State.NOTE, State.INVITE, State.ACTIVATE, State.CLEAR, State.REGISTER, *_LAST)
_BY_WAY: Mapping[Way, tuple[State, ...]] = MappingProxyType(
    {
        Way.SAME: _SAME,
        Way.NEW: _NEW,
        Way.KEEPS_OLD: _NEW,
        Way.ENDS_OLD: (State.NOTE, State.INVITE, State.CLEAR, State.ACTIVATE, State.REGISTER, *_LAST),
    }
)


def steps(run: Run, who: Who) -> tuple[Step, ...]:
    """All of them in their order; none for a run that was abandoned, since nothing of it is to come."""
    if run.state is State.ABANDONED:
        return ()
    order = _BY_WAY[run.way or Way.SAME]
    if run.state is not State.DONE and run.state not in order:
        order = _NEW if run.state in _NEW else _SAME  # another way was taken since
    at = len(order) if run.state is State.DONE else order.index(run.state)
    here = Stand.NOW if who is Who.DESK else Stand.WAITS
    return tuple(
        Step(state, LABELS[state], Stand.DONE if number < at else here if number == at else Stand.TO_COME)
        for number, state in enumerate(order)
    )
