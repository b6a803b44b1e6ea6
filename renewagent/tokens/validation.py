"""What a validating server accepts: sign-in with one code, and resynchronisation with two consecutive ones.

Data in, new data out: whoever calls stores the new `Position` before it believes the answer, in one transaction that
no other may have overtaken. The counter only goes up, so that no code is good twice. Each refusal looks alike and costs
alike, whether the code is wrong, used, or right but outside the window: all codes of the window are made and compared
each time.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from renewagent.tokens import throttle
from renewagent.tokens.codes import FEWEST_DIGITS, LAST_COUNTER, MOST_DIGITS, Hash, codes_of, step_of
from renewagent.tokens.model import Answer, Checked
from renewagent.tokens.throttle import NO_TRIES, USUAL_THROTTLE, Throttle, Tries


class Moving(Enum):
    """What moves a token on: a press (HOTP) or time (TOTP)."""

    PRESS = "hotp"
    TIME = "totp"


@dataclass(frozen=True, slots=True)
class CodeProfile:
    """How a kind of token makes codes, and how far a server looks for them. `look_ahead`: counters beyond the expected
    one at sign-in (HOTP); `clock_skew`: steps to either side of the expected one at sign-in (TOTP); `window`: the same
    at a resynchronisation, ahead for HOTP and to either side for TOTP; `period` in seconds."""

    moving: Moving = Moving.PRESS
    digits: int = FEWEST_DIGITS
    hash: Hash = Hash.SHA1
    period: int = 30
    look_ahead: int = 3
    clock_skew: int = 1
    window: int = 75
    throttle: Throttle = USUAL_THROTTLE

    def __post_init__(self) -> None:
        if not FEWEST_DIGITS <= self.digits <= MOST_DIGITS:
            raise ValueError(f"codes have {FEWEST_DIGITS} to {MOST_DIGITS} digits, not {self.digits}")
        if not 1 <= self.period <= 3600:
            raise ValueError(f"a code lasts 1 to 3600 seconds, not {self.period}")
        if min(self.look_ahead, self.clock_skew, self.window) < 0:
            raise ValueError("a window cannot be negative")


USUAL_PROFILE = CodeProfile()
"""HOTP of six digits, as buttons have it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a server is with a token. `counter`: the lowest counter (HOTP) or time step (TOTP) whose code was not used
    yet; `drift`: by how many steps the token's clock is ahead of ours (TOTP)."""

    counter: int = 0
    drift: int = 0
    sign_in: Tries = NO_TRIES
    resync: Tries = NO_TRIES


Judged = tuple[Checked, Position]


def sign_in(seed: bytes, profile: CodeProfile, position: Position, code: str, now: datetime) -> Judged:
    """Use one code up."""
    if throttle.locked(position.sign_in, now):
        return Checked(Answer.LOCKED, position.sign_in.until), position
    if profile.moving is Moving.PRESS:
        counters = range(position.counter, position.counter + profile.look_ahead + 1)
    else:
        counters = _around(step_of(now, profile.period) + position.drift, profile.clock_skew)
    used = _lowest(counters, _matches(seed, profile, counters, code), position.counter)
    if used is None:
        return sign_in_refused(profile, position, now)
    return Checked(Answer.ACCEPTED), _after(profile, position, used, now, sign_in=NO_TRIES)


def resynchronise(
    seed: bytes, profile: CodeProfile, position: Position, first: str, second: str, now: datetime
) -> Judged:
    """Set the counter behind two consecutive codes. The answer's drift: how many presses were never shown to us (HOTP),
    or by how many steps the token's clock is ahead (TOTP).

    Whoever shows two codes in a row has the token, so that refusals before that count no more, at sign-in neither."""
    if throttle.locked(position.resync, now):
        return Checked(Answer.LOCKED, position.resync.until), position
    firsts = _window(profile, position, now)
    used = _lowest(firsts, _pairs(seed, profile, firsts, first, second), position.counter)
    if used is None or first == second:  # two equal codes are one that was typed twice, but for one time in a million
        return resync_refused(profile, position, now)
    after = _after(profile, position, used + 1, now, sign_in=NO_TRIES, resync=NO_TRIES)
    drift = used - position.counter if profile.moving is Moving.PRESS else after.drift
    return Checked(Answer.ACCEPTED, drift=drift), after


def sign_in_refused(profile: CodeProfile, position: Position, now: datetime) -> Judged:
    """What a wrong code leads to; also for a token that may not be used whatever the code."""
    tries = throttle.refused(position.sign_in, now, profile.throttle)
    return Checked(Answer.REFUSED), replace(position, sign_in=tries)


def resync_refused(profile: CodeProfile, position: Position, now: datetime) -> Judged:
    """The same for two codes."""
    tries = throttle.refused(position.resync, now, profile.throttle)
    return Checked(Answer.REFUSED), replace(position, resync=tries)


# --- Windows


def _around(middle: int, reach: int) -> range:
    return range(max(0, middle - reach), max(0, middle + reach) + 1)


def _window(profile: CodeProfile, position: Position, now: datetime) -> range:
    """The counters that the first code of two may have."""
    if profile.moving is Moving.PRESS:
        return range(position.counter, position.counter + profile.window + 1)
    # The second code is the one that the token shows as it is typed; the first was shown a step before.
    return _around(step_of(now, profile.period) + position.drift - 1, profile.window)


def _matches(seed: bytes, profile: CodeProfile, counters: range, code: str) -> list[bool]:
    """Which of them have this code. All are made and compared, whichever fits."""
    return [_equal(made, code) for made in codes_of(seed, counters, profile.digits, profile.hash)]


def _pairs(seed: bytes, profile: CodeProfile, firsts: range, first: str, second: str) -> list[bool]:
    """Which of them have the first code, and the second one next."""
    codes = codes_of(seed, range(firsts.start, firsts.stop + 1), profile.digits, profile.hash)
    first_fits = [_equal(made, first) for made in codes[:-1]]
    second_fits = [_equal(made, second) for made in codes[1:]]
    return [a & b for a, b in zip(first_fits, second_fits, strict=True)]


def _equal(made: str, typed: str) -> bool:
    return hmac.compare_digest(made.encode(), typed.encode("utf-8", "surrogatepass"))


def _lowest(counters: Iterable[int], fits: list[bool], least: int) -> int | None:
    """The lowest that fits and was not used: the counter never runs further ahead than it must."""
    return min((c for c, fit in zip(counters, fits, strict=True) if fit and least <= c < LAST_COUNTER), default=None)


def _after(profile: CodeProfile, position: Position, used: int, now: datetime, **tries: Tries) -> Position:
    # RFC 6238 6: the drift that was seen is where the next code is looked for.
    drift = used - step_of(now, profile.period) if profile.moving is Moving.TIME else 0
    return replace(position, counter=used + 1, drift=drift, **tries)
