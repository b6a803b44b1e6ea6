"""A soft token brought back to signing: why it has expired, and its registration anew, from any place, by whoever may.

`go_on` does as many steps as can be done now; a run waits in its state where somebody has to act, and says who. What a
step does stands in `soft_steps`, what is kept in `soft_rows`, the order in `renewagent.tokens.reregistration`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from renewagent.console.epcs import overrides, pulses, soft_rows
from renewagent.console.epcs.asked import is_at_hand
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.soft_noting import known, note
from renewagent.console.epcs.soft_rows import Kept, Overtaken, Problem
from renewagent.console.epcs.soft_steps import Step, is_new, take
from renewagent.console.permissions import Permission, Person
from renewagent.tokens import soft_causes
from renewagent.tokens.errors import (
    DeskRefused,
    EhrMisbehaved,
    TokenError,
    TokenServerMisbehaved,
    TokenServerUnreachable,
)
from renewagent.tokens.leases import End
from renewagent.tokens.model import Device
from renewagent.tokens.reregistration import Event, Kind, Run, State
from renewagent.tokens.reregistration_words import Who, words
from renewagent.tokens.soft_causes import Cause, Diagnosis

MOST_ROUNDS = 5
"""Of clearing, before it is given up for now."""
_MOST_STEPS = 40
_HOLD = timedelta(seconds=90)
"""How long one process may be at a step: longer than any answer of an EHR is waited for."""
_LOOK_AGAIN = timedelta(seconds=15)
_LOOK_AT_LEAST = timedelta(minutes=10)
_ALONE = "console"


@dataclass(frozen=True, slots=True)
class SoftRun:
    """A run as people see it: what has happened, whose turn it is, what comes next. `signs`: the app signs meanwhile,
    as far as it did before; `busy`: somebody else is going on with it at this moment; `problem`: what went wrong in the
    last step."""

    id: str
    owner: Person
    cause: Cause
    state: State
    over: bool
    username: str
    happened: str
    who: Who
    next: str
    signs: bool
    rounds: int
    begun_by: str
    begun: datetime
    changed: datetime
    finished: datetime | None
    problem: Problem | None = None
    busy: bool = False


def diagnose(desk: Desk, owner: Person, answers: Mapping[str, str]) -> Diagnosis:
    """Why the EHR says "Soft Token Expired". Raises FormError for an answer that is none, and the EHR's errors; without
    the vendor, what it knows is left out."""
    device, soft = known(desk, owner)
    return soft_causes.diagnose(device, soft, answers, desk.now())


def begin(desk: Desk, by: Person, owner: Person, cause: Cause, username: str = "") -> SoftRun:
    """Note the Device Username, before anything is removed. Begun before for the same cause, that one goes on.
    `username`: where the EHR shows none. Raises FormError, DeskRefused and the outside's errors."""
    _may(by, owner)
    if (kept := _open(desk, owner)) is not None:
        return _begun_before(kept, by, cause)
    run = note(desk, by, owner, cause, username)
    if not desk.write(lambda connection: soft_rows.add(connection, run, owner, by, desk.now())):
        kept = _open(desk, owner)  # somebody was quicker
        return begin(desk, by, owner, cause, username) if kept is None else _begun_before(kept, by, cause)
    return _told(desk.read(lambda connection: soft_rows.load(connection, run.id)), by)


def go_on(desk: Desk, by: Person, run_id: str) -> SoftRun:
    """Do what can be done now. What goes wrong outside is in the answer's `problem`; raises DeskRefused alone."""
    kept = _mine(desk, by, run_id)
    if not kept.here and not kept.run.over:
        raise DeskRefused(f"{kept.owner.name} may not sign in any more.", advice="Abandon this registration.")
    return _go_on(desk, kept, by)


def abandon(desk: Desk, by: Person, run_id: str) -> SoftRun:
    """Give it up: an override is taken away, and what stands at the EHR is looked at and kept. Raises DeskRefused
    and the EHR's errors; it is then not abandoned."""
    kept = _mine(desk, by, run_id)
    if kept.run.over:
        return _told(kept, by)
    with _held(desk, kept) as mine:
        if not mine:
            raise DeskRefused("Somebody is going on with this at this moment.", advice="Look again in a minute.")
        kept = desk.read(lambda connection: soft_rows.load(connection, run_id))
        if not kept.run.over:
            event = Event(Kind.ABANDONED, {"by": by.name, **_stands(desk, kept)})
            kept = soft_rows.advance(desk, kept, by.actor, event)
    return _told(kept, by)


def runs_of(desk: Desk, owner: Person, by: Person | None = None) -> list[SoftRun]:
    """Somebody's, the newest first, in words for `by` (the owner, where left out)."""
    return [_told(kept, by or owner) for kept in desk.read(lambda connection: soft_rows.of(connection, owner))]


def run_of(desk: Desk, by: Person, run_id: str) -> SoftRun:
    """One, as it stands; nothing is done. Raises DeskRefused."""
    return _told(_mine(desk, by, run_id), by)


def tend(desk: Desk) -> list[SoftRun]:
    """For the scheduler: go on with whatever no longer waits for anybody. Those that moved."""
    moved = []
    for kept in desk.read(soft_rows.open_ones):
        if kept.here and desk.now() >= _next_look(kept):
            told = _go_on(desk, kept, None)
            if told.state is not kept.run.state:
                moved.append(told)
    return moved


# --- Beginning


def _begun_before(kept: Kept, by: Person, cause: Cause) -> SoftRun:
    if kept.run.cause is not cause:
        raise DeskRefused(
            f"A registration is under way already, begun by {kept.begun_by} for another cause: {kept.run.cause.words}",
            advice="Go on with that one. If it was begun for the wrong cause, abandon it, then begin again.",
        )
    return _told(kept, by)


# --- Going on


def _go_on(desk: Desk, kept: Kept, by: Person | None) -> SoftRun:
    if kept.run.over:
        return _told(kept, by)
    with _held(desk, kept) as mine:
        if mine:
            _steps(desk, kept.run.id, by)
    return _told(desk.read(lambda connection: soft_rows.load(connection, kept.run.id)), by, busy=not mine)


def _steps(desk: Desk, run_id: str, by: Person | None) -> None:
    """Until the run is over, waits, or something goes wrong outside."""
    journal = _Journal(desk, desk.read(lambda connection: soft_rows.load(connection, run_id)), by)
    try:
        while not journal.kept.run.over:
            event = take(Step(desk, journal.kept.run, journal.kept.owner, by is not None, journal.intend))
            journal.advance(event)
            if event.kind is Kind.WAITS:
                return
    except TokenError as problem:
        journal.fail(problem)
    except Overtaken:
        return  # whoever was quicker goes on


class _Journal:
    """The run's row, as this process goes on with it, and how often it went in circles."""

    def __init__(self, desk: Desk, kept: Kept, by: Person | None) -> None:
        self._desk = desk
        self._actor = by.actor if by is not None else _ALONE
        self._seen: dict[Kind, int] = {}
        self.kept = kept

    def intend(self, what: str, facts: Mapping[str, str]) -> None:
        """As `Step.intend`."""
        self.kept = soft_rows.intend(self._desk, self.kept, self._actor, what, facts)

    def advance(self, event: Event) -> None:
        """Keep what happened. Raises EhrMisbehaved for what has happened too often."""
        self.kept = soft_rows.advance(self._desk, self.kept, self._actor, event)
        self._seen[event.kind] = self._seen.get(event.kind, 0) + 1
        if self._seen.get(Kind.STILL_SHOWN, 0) >= MOST_ROUNDS:
            raise EhrMisbehaved(
                f"The EHR says that the old device is removed, and after {MOST_ROUNDS} rounds it still shows it.",
                advice="Wait some minutes, then go on. If it stays, have your EHR's support clear \"EPCS Device "
                f'Registration" for this user; the "Soft Token User Name" to register again is {self._name}.',
            )
        if self._seen.get(Kind.CHANGED, 0) > 1 or sum(self._seen.values()) >= _MOST_STEPS:
            raise EhrMisbehaved("The EHR and the vendor go on showing different devices.")

    def fail(self, problem: TokenError) -> None:
        """Keep what went wrong."""
        self.kept = soft_rows.fail(self._desk, self.kept, problem)

    @property
    def _name(self) -> str:
        return self.kept.run.username


@contextmanager
def _held(desk: Desk, kept: Kept) -> Iterator[bool]:
    """True while this process, and no other, goes on with the run. A process that dies lets go after a while."""
    name = soft_rows.claimed(kept.run)
    if not desk.write(lambda connection: pulses.claim(connection, name, desk.now(), _HOLD)):
        yield False
        return
    try:
        yield True
    finally:
        desk.write(lambda connection: pulses.drop(connection, name))


def _next_look(kept: Kept) -> datetime:
    """The longer nothing has happened, the more seldom it is looked at."""
    pause = (kept.looked - kept.changed) / 10
    return kept.looked + min(max(pause, _LOOK_AGAIN), _LOOK_AT_LEAST)


# --- What stands, and who may see it


def _stands(desk: Desk, kept: Kept) -> dict[str, str]:
    """What the EHR shows when a run is abandoned, its override taken away."""
    for lease in overrides.open_leases(desk, kept.owner):
        overrides.take_back(desk, lease, End.WITHDRAWN)
    device, access = desk.ehr.device(kept.owner.ehr), desk.ehr.access(kept.owner.ehr)
    found = {"enabled": access.epcs_enabled, "override": access.administrator}
    found["granted"] = access.epcs_granted and not access.epcs_suspended
    stands = {f"stands_{what}": "yes" if so else "no" for what, so in found.items()}
    return {**stands, "stands_device": _device_stands(kept.run, device), "stands_app": _app_stands(desk, kept.run)}


def _app_stands(desk: Desk, run: Run) -> str:
    """ "" where the vendor does not answer: that stops nobody who gives up."""
    try:
        soft = desk.soft.soft_tokens([run.username]).get(run.username)
    except (TokenServerUnreachable, TokenServerMisbehaved):
        return ""
    return "yes" if soft is not None and soft.working else "no"


def _device_stands(run: Run, device: Device | None) -> str:
    """ "old": the screen shows the one that was to be removed, which may be gone all the same."""
    if device is None or not device.authenticated:
        return "no"
    return "old" if run.facts.get("removing") and not is_new(run, device) else "yes"


def _told(kept: Kept, by: Person | None, *, busy: bool = False) -> SoftRun:
    run = kept.run
    said = words(run, "" if by is not None and by.id == kept.owner.id else kept.owner.name)
    return SoftRun(
        id=run.id,
        owner=kept.owner,
        cause=run.cause,
        state=run.state,
        over=run.over,
        username=run.username,
        happened=said.happened,
        who=said.who,
        next=said.next,
        signs=said.signs,
        rounds=run.rounds,
        begun_by=kept.begun_by,
        begun=kept.begun,
        changed=kept.changed,
        finished=kept.finished,
        problem=kept.problem,
        busy=busy,
    )


def _may(by: Person, owner: Person) -> None:
    """Their own, or somebody's of their organisations for an administrator. Raises DeskRefused."""
    own = by.id == owner.id and by.may(Permission.USE_EPCS)
    if not own and not (by.may(Permission.ADMINISTER_EPCS) and is_at_hand(by, owner)):
        raise DeskRefused("There is no such thing, or it is not yours.", advice="Look at the list once more.")


def _mine(desk: Desk, by: Person, run_id: str) -> Kept:
    kept = desk.read(lambda connection: soft_rows.load(connection, run_id))
    _may(by, kept.owner)
    return kept


def _open(desk: Desk, owner: Person) -> Kept | None:
    return next((kept for kept in desk.read(_of(owner)) if not kept.run.over), None)


def _of(owner: Person) -> Callable[[sa.Connection], list[Kept]]:
    return lambda connection: soft_rows.of(connection, owner)
