"""What a person is told of how far a token has drifted, and how to keep it from drifting. Pure.

Above 75 presses that were not used two codes no longer help and the vendor must reset the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

WINDOW = 75
"""Presses: as the vendor has it."""
KEEP_SAFE = (
    "Keep the token where nothing presses its button: not in a pocket, and not loose in a purse or a bag. "
    "Press it only when you need a code."
)
_A_FEW = 3
_WARN_FROM = WINDOW // 3
_SOON = timedelta(days=30)
_FORESEEN = timedelta(days=180)


class Weight(Enum):
    """How much the person needs to hear it."""

    FINE = "ok"
    WARN = "warn"
    URGENT = "fail"


@dataclass(frozen=True, slots=True)
class Advice:
    """What was found, and what to do about it: "" where there is nothing."""

    weight: Weight
    said: str
    advice: str = ""


def after_resynchronising(drift: int, since: timedelta | None = None, *, window: int = WINDOW) -> Advice:
    """Of a button token that was found `drift` presses ahead. `since`: how long that took at the most, if it is known:
    the time since it was last seen in step."""
    if drift <= 0:
        return Advice(Weight.FINE, "Your token was in step: none of its codes had been left unused.")
    left = window - drift
    said = f"Your token was {_presses(drift)} ahead. It is in step again."
    if drift <= _A_FEW:
        return Advice(Weight.FINE, said)
    limit = (
        f" It could have taken {_presses(left)} more before only the vendor could help."
        if left
        else " One more, and only the vendor could have helped."
    )
    if drift < _WARN_FROM and not _soon_again(drift, since, window):
        return Advice(Weight.FINE, said + limit, KEEP_SAFE)
    weight = Weight.URGENT if drift > 2 * _WARN_FROM else Weight.WARN
    return Advice(weight, said + limit + _rate(drift, since, window), KEEP_SAFE)


def after_clock_drift(steps: int, period: int = 30) -> Advice:
    """Of a phone's codes that were found `steps` time steps away, ahead (positive) or behind."""
    if steps == 0:
        return Advice(Weight.FINE, "The phone's clock was right.")
    way = "fast" if steps > 0 else "slow"
    said = f"The phone's clock is about {_seconds(abs(steps) * period)} {way}."
    return Advice(
        Weight.WARN if abs(steps) > 1 else Weight.FINE, said, "Let the phone set its date and time by itself."
    )


def after_refusal(refusals: int) -> Advice:
    """Of a resynchronisation that was refused, `refusals` in a row. It is not known why, and nobody says."""
    said = "The two codes were not accepted."
    if refusals <= 1:
        return Advice(
            Weight.WARN,
            said,
            "Press the button, type that code, press once more and type the next one, in this order. Then try again.",
        )
    return Advice(
        Weight.URGENT,
        f"{said} That was the {_ordinal(refusals)} time.",
        "If you typed two codes in a row each time, the token is too far ahead for that: have the vendor reset it.",
    )


def _soon_again(drift: int, since: timedelta | None, window: int) -> bool:
    return since is not None and since * (window / drift) < _SOON


def _rate(drift: int, since: timedelta | None, window: int) -> str:
    if since is None or since < timedelta(hours=1) or since * (window / drift) > _FORESEEN:
        return ""
    days = int(since * (window / drift) / timedelta(days=1))
    return f" At this rate it is out of reach within {days} days." if days > 1 else " It is pressed very often."


def _presses(count: int) -> str:
    return f"{count} press{'' if count == 1 else 'es'}"


def _seconds(count: int) -> str:
    return f"{count} seconds" if count < 120 else f"{count // 60} minutes"


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third", 4: "fourth", 5: "fifth"}.get(number, f"{number}th")
