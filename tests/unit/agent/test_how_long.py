"""The time that is left falls with every step, and an RSA key is given its time."""

from __future__ import annotations

import pytest

from renewagent.agent.how_long import seconds_left
from renewagent.agent.renewing import _SHOWN
from renewagent.agent.times_in_words import left_in_words
from renewagent.renewal import State, Way


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("algorithm", ["rsa", "ec"])
def test_less_is_left_with_every_step(way: Way, algorithm: str) -> None:
    left = [seconds_left(_SHOWN[way][at:], algorithm) for at in range(len(_SHOWN[way]))]
    assert left == sorted(left, reverse=True) and len(set(left)) == len(left)
    assert 0 < left[-1] < left[0] < 180  # what is told beforehand: about 3 minutes


def test_what_is_said() -> None:
    steps = _SHOWN[Way.D]
    assert left_in_words(seconds_left(steps, "rsa")) == "About 1 minute left."
    assert left_in_words(seconds_left(steps, "ec")) == "About half a minute left."
    assert left_in_words(seconds_left([State.RECEIPT], "rsa")) == "A few seconds left."
    assert seconds_left([State.STORE], "rsa") == seconds_left([State.STORE], "ec")
