"""One soft token registered anew, as a table: states, events, `step`. Pure; everything about the order lives here.

The state names the one thing to do next. Whoever does it looks at the EHR and the vendor first, so that doing it twice
does no more than once; what was found or done is the event. A run that waits for somebody stays in its state. The words
of each state are in `reregistration_words`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from renewagent.tokens.soft_causes import Cause


class State(Enum):
    """What is to be done next. Final: DONE and ABANDONED."""

    NOTE = "note"
    """Look at the EHR and note the "Device Username", before anything is removed."""
    INVITE = "invite"
    """Have the vendor send two codes by two ways."""
    ACTIVATE = "activate"
    """The person activates the app on their phone."""
    PREPARE = "prepare"
    """The vendor has to show the app as working: a password or a certificate may have to be renewed first."""
    CLEAR = "clear"
    """Remove the old device at the EHR, and read back until it is gone."""
    REGISTER = "register"
    """Register the device, and read back."""
    OVERRIDE = "override"
    """An administrator gives the override that enabling needs."""
    ENABLE = "enable"
    """Enable EPCS, and read back."""
    LIFT = "lift"
    """The override is taken away at once, and read back."""
    GRANT = "grant"
    """Two people grant EPCS."""
    CHECK = "check"
    """Look at all of it once more."""
    DONE = "done"
    ABANDONED = "abandoned"


class Way(Enum):
    """Which device is registered."""

    SAME = "same"
    """The one that works at the vendor already."""
    NEW = "new"
    """One that is to be activated; the vendor has not said yet what becomes of the old one."""
    KEEPS_OLD = "keeps-old"
    """One that is to be activated; the old one works until then, so it stays registered as well."""
    ENDS_OLD = "ends-old"
    """One that is to be activated; the old one ended with the invitation."""


class Waits(Enum):
    """What a run waits for, where somebody has to do something."""

    START = "start"
    """A person to go on: codes are not sent to a phone that nobody is holding."""
    ACTIVATION = "activation"
    PASSWORD = "password"  # noqa: S105 - a word, not a password
    CERTIFICATE = "certificate"
    UNKNOWN = "unknown"
    """The vendor knows no soft token of this user name."""
    OVERRIDE = "override"
    REQUEST = "request"
    """Nobody has entered a grant."""
    EXECUTION = "execution"
    """A grant was entered and waits for the second person."""
    SUSPENDED = "suspended"


class Kind(Enum):
    """What happened. The fields that an event carries stand behind each."""

    NOTED = "noted"
    """username, way; device, serial, registered: the old device's name, serial and time of registration, "" for none"""
    WAITS = "waits"
    """waits: for whom or what; the state stays"""
    INVITED = "invited"
    """way, invitation, channels, ends (in words), until"""
    LAPSED = "lapsed"
    """The invitation ended before anybody used it."""
    ACTIVATED = "activated"
    """serial_now"""
    READY = "ready"
    """serial_now"""
    ENDED = "ended"
    """way: the vendor has the app as no longer active: it has to be activated anew."""
    STILL_SHOWN = "still-shown"
    """The device was removed, the tables were refreshed, and the EHR shows the old device as before."""
    CLEARED = "cleared"
    REGISTERED = "registered"
    """registration: the vendor's, as it was before the EHR was asked"""
    ALLOWED = "allowed"
    """There is an override, or the permission was there before."""
    WITHDRAWN = "withdrawn"
    """The override ended before EPCS was enabled."""
    DISABLED = "disabled"
    """EPCS was enabled, and is no longer."""
    REVOKED = "revoked"
    """EPCS was granted, and is no longer."""
    ENABLED = "enabled"
    LIFTED = "lifted"
    """administrator: "yes" where the permission stands all the same, because it was not lent here; or "no" """
    GRANTED = "granted"
    CHANGED = "changed"
    """The device is not, or no longer, what the vendor has: clear and register it again."""
    CHECKED = "checked"
    ABANDONED = "abandoned"
    """by; stands_device, stands_enabled, stands_granted, stands_override: what the EHR shows then, "yes" or "no"; of a
    device also "old", for the one that was to be removed. stands_app: the vendor has it as working ("" if not known)"""


S, K = State, Kind

# fmt: off
TABLE: Mapping[State, Mapping[Kind, State]] = MappingProxyType({
    S.NOTE:     {K.NOTED: S.PREPARE},
    S.INVITE:   {K.INVITED: S.ACTIVATE},
    S.ACTIVATE: {K.ACTIVATED: S.CLEAR, K.LAPSED: S.INVITE},
    S.PREPARE:  {K.READY: S.CLEAR, K.ENDED: S.INVITE},
    S.CLEAR:    {K.STILL_SHOWN: S.CLEAR, K.CLEARED: S.REGISTER},
    S.REGISTER: {K.REGISTERED: S.OVERRIDE, K.CHANGED: S.PREPARE},
    S.OVERRIDE: {K.ALLOWED: S.ENABLE, K.ENABLED: S.LIFT, K.CHANGED: S.PREPARE},
    S.ENABLE:   {K.ENABLED: S.LIFT, K.WITHDRAWN: S.OVERRIDE},
    S.LIFT:     {K.LIFTED: S.GRANT},
    S.GRANT:    {K.GRANTED: S.CHECK, K.DISABLED: S.OVERRIDE, K.CHANGED: S.PREPARE},
    S.CHECK:    {K.CHECKED: S.DONE, K.REVOKED: S.GRANT, K.DISABLED: S.OVERRIDE, K.CHANGED: S.PREPARE},
})
# fmt: on
"""state -> event -> next state. WAITS changes nothing; ABANDONED leads to ABANDONED from all but the final states."""

BY_WAY: Mapping[tuple[State, Kind], Mapping[Way, State]] = MappingProxyType(
    {
        (S.NOTE, K.NOTED): {Way.NEW: S.INVITE},
        # What ended with the invitation is good for nothing: it is cleared while the person activates the next.
        (S.INVITE, K.INVITED): {Way.ENDS_OLD: S.CLEAR},
        (S.CLEAR, K.CLEARED): {Way.ENDS_OLD: S.ACTIVATE},
        (S.ACTIVATE, K.ACTIVATED): {Way.ENDS_OLD: S.REGISTER},
    }
)
"""Where the ways part: the next state for those that do not go as `TABLE` says."""

FINAL = frozenset({S.DONE, S.ABANDONED})
REMOVES = frozenset({K.STILL_SHOWN, K.CLEARED})
"""After these the device that was noted is no longer the one that the EHR has, whatever it shows."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `fields` are text only."""

    kind: Kind
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its events left it. `facts` gathers the fields of the events, the latest of each name; `rounds`: how
    often the old device was removed and shown all the same."""

    id: str
    owner: str
    cause: Cause
    state: State = State.NOTE
    way: Way | None = None
    rounds: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Nothing more will happen to it."""
        return self.state in FINAL

    @property
    def removed(self) -> bool:
        """The old device was removed at the EHR."""
        return self.facts.get("removed") == "yes"

    @property
    def waits(self) -> Waits | None:
        """What it waits for in this state, as far as anybody has looked."""
        return Waits(self.facts["waits"]) if self.facts.get("waits") else None

    @property
    def username(self) -> str:
        """The Soft Token User Name, which the EHR calls "Device Username"; noted before anything was removed."""
        return self.facts.get("username", "")


class OutOfOrder(Exception):
    """An event that the table does not foresee in this state: a fault of ours, never of the person."""


def step(run: Run, event: Event) -> Run:
    """The run after `event`. Raises OutOfOrder."""
    way = Way(event.fields["way"]) if "way" in event.fields else run.way
    if event.kind is Kind.CHANGED:
        way = Way.SAME  # whatever was activated is the device that there is now
    return replace(
        run,
        state=_next_state(run, event, way),
        way=way,
        rounds=run.rounds + (event.kind is Kind.STILL_SHOWN),
        facts={**run.facts, "waits": "", **_marks(event), **event.fields},
    )


def _marks(event: Event) -> dict[str, str]:
    """What was asked for (`asked`, written before it is) is answered by whatever happens, but for waiting."""
    if event.kind is Kind.WAITS:
        return {}
    return {"asked": "", "removed": "yes"} if event.kind in REMOVES else {"asked": ""}


def replay(run: Run, events: Iterable[Event]) -> Run:
    """`step` over all of them."""
    for event in events:
        run = step(run, event)
    return run


def _next_state(run: Run, event: Event, way: Way | None) -> State:
    if event.kind is Kind.ABANDONED and not run.over:
        return State.ABANDONED
    if event.kind is Kind.WAITS and not run.over:
        return run.state
    try:
        straight = TABLE[run.state][event.kind]
    except KeyError:
        raise OutOfOrder(f"{event.kind.value} in state {run.state.value}") from None
    return BY_WAY.get((run.state, event.kind), {}).get(way, straight) if way is not None else straight


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/softtoken.md carries it and a test keeps the two the same."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.NOTE.value}"]
    for state, row in TABLE.items():
        lines += [f"    {state.value} --> {target.value}: {kind.value}" for kind, target in row.items()]
    for (state, kind), parted in BY_WAY.items():
        lines += [f"    {state.value} --> {to.value}: {kind.value} (way {way.value})" for way, to in parted.items()]
    lines += [f"    {state.value} --> [*]" for state in sorted(FINAL, key=lambda state: state.value)]
    return "\n".join(lines) + "\n"
