"""The press budget (H4): said in presses and days, louder the nearer the end is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from renewagent.tokens.advice import KEEP_SAFE, Weight, after_clock_drift, after_refusal, after_resynchronising


@pytest.mark.parametrize(
    ("drift", "weight", "said"),
    [
        (0, Weight.FINE, "in step"),
        (1, Weight.FINE, "1 press ahead"),
        (3, Weight.FINE, "3 presses ahead"),
        (24, Weight.FINE, "51 presses more"),
        (25, Weight.WARN, "50 presses more"),
        (40, Weight.WARN, "35 presses more"),
        (51, Weight.URGENT, "24 presses more"),
        (74, Weight.URGENT, "1 press more"),
        (75, Weight.URGENT, "One more, and only the vendor"),
    ],
)
def test_the_budget_is_said_in_presses(drift: int, weight: Weight, said: str) -> None:
    found = after_resynchronising(drift)
    assert found.weight is weight and said in found.said
    assert found.advice == (KEEP_SAFE if drift > 3 else "")


def test_where_it_is_known_since_when_the_rate_is_said() -> None:
    assert "out of reach within 18 days" in after_resynchronising(40, timedelta(days=10)).said
    assert "out of reach" not in after_resynchronising(40, timedelta(days=400)).said
    assert "pressed very often" in after_resynchronising(40, timedelta(hours=2)).said
    assert "rate" not in after_resynchronising(40, timedelta(minutes=2)).said
    assert after_resynchronising(10, timedelta(days=3)).weight is Weight.WARN
    assert after_resynchronising(10, timedelta(days=90)).weight is Weight.FINE


def test_a_pocket_and_a_purse_are_named() -> None:
    assert "pocket" in KEEP_SAFE and "purse" in KEEP_SAFE


@pytest.mark.parametrize(
    ("steps", "weight", "said"),
    [
        (0, Weight.FINE, "right"),
        (1, Weight.FINE, "30 seconds fast"),
        (-4, Weight.WARN, "2 minutes slow"),
        (20, Weight.WARN, "10 minutes fast"),
    ],
)
def test_a_clock_is_said_in_minutes(steps: int, weight: Weight, said: str) -> None:
    assert after_clock_drift(steps).weight is weight and said in after_clock_drift(steps).said


def test_a_second_refusal_speaks_of_the_vendor() -> None:
    assert "vendor" not in after_refusal(1).advice
    assert "second time" in after_refusal(2).said and "vendor" in after_refusal(2).advice
    assert "7th time" in after_refusal(7).said
