"""The life of an administrator override, which is lent and never given away (`Lease`).

given -> (served | over | withdrawn | ...) -> ended, and outlived where the EHR still shows it after it had to go. Pure:
who asks the EHR and writes rows is `renewagent.console.epcs.overrides`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

LONGEST = timedelta(hours=1)
SHORTEST = timedelta(minutes=1)
GRACE = timedelta(minutes=1)
"""How long it may take to remove an override that is over, before somebody is alarmed."""
ON_ITS_WAY = timedelta(minutes=2)
"""How long an EHR may take to do what nobody waits for any more."""
BEATS = 4
"""A scheduler that has missed so many looks is taken for dead."""


class End(Enum):
    """Why a lease ends."""

    SERVED = "served"
    OVER = "over"
    WITHDRAWN = "withdrawn"
    SUSPENDED = "suspended"
    NOT_ENFORCED = "not-enforced"
    FAILED = "failed"


class Life(Enum):
    """GIVEN: it may stand. DUE: it must go now. OUTLIVED: it should have gone a while ago. ENDED: the EHR has shown
    that it is gone."""

    GIVEN = "given"
    DUE = "due"
    OUTLIVED = "outlived"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Lease:
    """One override: `subject`, `given_by` are ids of people, `ends` when it must be gone: earlier than it was given for
    once its purpose is served. `known`: the EHR has answered that it gave it; `enforced`: it ends it by itself. `why`
    says what ended it, or "" while it may stand."""

    id: str
    subject: str
    purpose: str
    given_by: str
    given: datetime
    ends: datetime
    known: bool = False
    enforced: bool = False
    ended: datetime | None = None
    why: str = ""
    alarmed: datetime | None = None


def is_length(length: timedelta) -> bool:
    """Nobody is lent an override for longer than an hour."""
    return SHORTEST <= length <= LONGEST


def life(lease: Lease, now: datetime) -> Life:
    """Where it stands, as far as rows tell."""
    if lease.ended is not None:
        return Life.ENDED
    if now < lease.ends:
        return Life.GIVEN
    return Life.OUTLIVED if now >= lease.ends + GRACE else Life.DUE


def can_end(lease: Lease, now: datetime) -> bool:
    """What the EHR does not show is really gone: no "give" is on its way there any more, which would come after it."""
    return lease.known or now >= lease.given + ON_ITS_WAY


def is_enforced(lease: Lease, promised: bool, shown: datetime | None) -> bool:
    """The EHR ends it by itself: it says so, and what it shows as the end is no later than ours (it may know whole
    minutes alone)."""
    return promised and shown is not None and shown <= lease.ends + GRACE


def pulse_is_fresh(last: datetime | None, now: datetime, look_every: float) -> bool:
    """A scheduler lives that will take overrides back: its last look was a moment ago."""
    return last is not None and abs(now - last) <= BEATS * timedelta(seconds=look_every)


def is_alarming(lease: Lease, now: datetime, *, still_there: bool | None) -> bool:
    """Somebody must be told, once: the EHR still had it a while after it should have gone; or gave no answer (None),
    and is none that ends it by itself."""
    is_there = not lease.enforced if still_there is None else still_there
    return is_there and lease.alarmed is None and life(lease, now) is Life.OUTLIVED
