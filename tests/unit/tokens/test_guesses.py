"""A hundred thousand guesses get nowhere: the throttle looks at a handful of them. Without it they would."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.tokens.model import Answer
from renewagent.tokens.throttle import Throttle
from renewagent.tokens.validation import USUAL_PROFILE, CodeProfile, Position, resynchronise, sign_in

SEED = b"12345678901234567890"
START = datetime(2026, 3, 1, tzinfo=UTC)
GUESSES = 100_000
PATIENT = timedelta(days=30) / GUESSES
# Five for nothing, one after each of 1, 2, ... 1024 minutes (34 hours), then one a day.
LOOKED_AT = {timedelta(milliseconds=100): 5 + 7, timedelta(seconds=1): 5 + 10, PATIENT: 5 + 11 + 28}


def _guess(seed: int, every: timedelta, profile: CodeProfile, *, pairs: bool) -> Counter[Answer]:
    """The answers to a hundred thousand guesses, `every` so often."""
    dice = random.Random(seed)  # noqa: S311
    position, answers, now = Position(1000), Counter[Answer](), START
    for _ in range(GUESSES):
        first, second = f"{dice.randrange(10**6):06}", f"{dice.randrange(10**6):06}"
        if pairs:
            checked, position = resynchronise(SEED, profile, position, first, second, now)
        else:
            checked, position = sign_in(SEED, profile, position, first, now)
        answers[checked.answer] += 1
        now += every
    return answers


@pytest.mark.parametrize("pairs", [False, True], ids=["sign-in", "resynchronisation"])
@pytest.mark.parametrize("every", LOOKED_AT, ids=str)
def test_of_a_hundred_thousand_guesses_a_handful_is_looked_at_and_none_succeeds(every: timedelta, pairs: bool) -> None:
    answers = _guess(1, every, USUAL_PROFILE, pairs=pairs)
    looked_at = GUESSES - answers[Answer.LOCKED]
    assert answers[Answer.ACCEPTED] == 0
    assert looked_at == LOOKED_AT[every]


def test_the_same_guesses_would_succeed_if_all_were_looked_at() -> None:
    careless = replace(USUAL_PROFILE, throttle=Throttle(free=GUESSES + 1))
    assert _guess(SUCCEEDS, PATIENT, careless, pairs=False)[Answer.ACCEPTED] > 0
    assert _guess(SUCCEEDS, PATIENT, USUAL_PROFILE, pairs=False)[Answer.ACCEPTED] == 0


SUCCEEDS = 1
"""A seed of the dice with which one guess in the hundred thousand is right."""
