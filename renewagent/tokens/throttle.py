"""How often wrong codes may be tried (RFC 4226 7.3): five in a row for nothing, then each further one doubles the time
for which no code is looked at. Data in, new data out; sign-in and resynchronisation each have their own count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Tries:
    """`refused`: how many in a row; `until`: nothing is looked at before."""

    refused: int = 0
    until: datetime | None = None


NO_TRIES = Tries()


@dataclass(frozen=True, slots=True)
class Throttle:
    """`free` refusals cost nothing; the last of them locks for `first`, each after it for twice as long, up to
    `longest`."""

    free: int = 5
    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=24)


USUAL_THROTTLE = Throttle()


def locked(tries: Tries, now: datetime) -> bool:
    """True if a code must not be looked at."""
    return tries.until is not None and now < tries.until


def refused(tries: Tries, now: datetime, throttle: Throttle) -> Tries:
    """After one more refusal at `now`."""
    count = tries.refused + 1
    beyond = count - throttle.free
    if beyond < 0:
        return Tries(count)
    # 2**60 minutes are more than a day, and no timedelta.
    wait = throttle.first * 2**beyond if beyond < 32 else throttle.longest
    return Tries(count, now + min(wait, throttle.longest))
