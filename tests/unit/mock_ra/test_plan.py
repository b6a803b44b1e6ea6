"""The rate plan, without an RA: 140,000 cards that fall due on one day are spread, and nobody's desk is overrun."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent_fixtures.mock_ra.plan import Plan, read_plan

MONDAY = datetime(2022, 6, 27, tzinfo=UTC)
OFFICE = Plan(opens=9 * 3600, closes=17 * 3600, days=frozenset(range(5)))


def turns(plan: Plan, limit: int, asked: list[datetime]) -> list[datetime]:
    last, given = None, []
    for now in asked:
        last = plan.next_turn(limit, last, now)
        given.append(last)
    return given


def test_a_day_is_spread_evenly_over_the_opening_hours() -> None:
    given = turns(OFFICE, 8, [MONDAY] * 10)
    assert [turn.hour for turn in given[:8]] == [9, 10, 11, 12, 13, 14, 15, 16]
    assert [(turn.day, turn.hour) for turn in given[8:]] == [(28, 9), (28, 10)]


def test_whoever_comes_when_nobody_waits_may_begin_at_once() -> None:
    now = MONDAY + timedelta(hours=11, minutes=20)
    assert turns(OFFICE, 8, [now, now])[0] <= now < turns(OFFICE, 8, [now, now])[1]
    assert OFFICE.next_turn(8, MONDAY + timedelta(hours=9), now) == MONDAY + timedelta(hours=11)


@pytest.mark.parametrize(
    ("now", "turn"),
    [
        (MONDAY + timedelta(hours=8), MONDAY + timedelta(hours=9)),
        (MONDAY + timedelta(hours=17), MONDAY + timedelta(days=1, hours=9)),
        (MONDAY + timedelta(days=4, hours=17, minutes=1), MONDAY + timedelta(days=7, hours=9)),
        (MONDAY + timedelta(days=5, hours=12), MONDAY + timedelta(days=7, hours=9)),
    ],
)
def test_a_closed_desk_opens_again(now: datetime, turn: datetime) -> None:
    assert OFFICE.next_turn(40, None, now) == turn


def test_140000_cards_on_one_day() -> None:
    """As on 27 June 2022. Every holder asks in the morning, in any order; 240 organisations have a desk each."""
    chance = random.Random(2022)  # noqa: S311
    plan = Plan(40, {"ORG1": 100, "ORG2": 1}, OFFICE.opens, OFFICE.closes, OFFICE.days)
    cards = [f"ORG{chance.randrange(240)}" for _ in range(140_000)]
    last: dict[str, datetime] = {}
    booked: Counter[tuple[str, datetime]] = Counter()
    at: set[tuple[str, datetime]] = set()
    for number, card in enumerate(cards):
        now = MONDAY + timedelta(hours=7, seconds=number * 0.1)
        named = plan.limit([card])
        assert named is not None
        turn = plan.next_turn(named[1], last.get(card), now)
        assert card not in last or turn > last[card]
        last[card] = turn
        at.add((card, turn))
        booked[card, turn.replace(hour=0, minute=0, second=0)] += 1
    assert len(at) == len(cards)
    for (card, day), count in booked.items():
        assert day.weekday() < 5
        assert count <= plan.organisations.get(card, 40)
    for card in {"ORG0", "ORG1", "ORG2"}:
        days = [count for (name, _), count in sorted(booked.items(), key=lambda one: one[0][1]) if name == card]
        assert set(days[1:-1]) == {plan.organisations.get(card, 40)}  # no day between is left empty


@given(
    limit=st.integers(1, 28_800),
    asked=st.lists(st.integers(0, 14 * 86400), min_size=1, max_size=40).map(sorted),
)
def test_turns_rise_are_within_opening_hours_and_never_too_many(limit: int, asked: list[int]) -> None:
    given_turns = turns(OFFICE, limit, [MONDAY + timedelta(seconds=second) for second in asked])
    assert given_turns == sorted(set(given_turns))
    assert all(turn.weekday() < 5 and 9 <= turn.hour < 17 for turn in given_turns)
    assert max(Counter(turn.date() for turn in given_turns).values()) <= limit


def test_a_plan_that_was_changed_takes_up_where_the_other_left() -> None:
    last = turns(OFFICE, 7, [MONDAY] * 4)[-1]
    for limit in (3, 7, 11, 28_800):
        after = OFFICE.next_turn(limit, last, MONDAY)
        assert after > last
        assert after - last <= timedelta(hours=8) / limit + timedelta(seconds=1) or after.day > last.day


def test_a_plan_is_read() -> None:
    text = 'per_day = 50\nopens = "08:30"\ncloses = "18:00"\ndays = ["mon", "fri"]\n[organisations]\nRX1 = 5\n'
    plan = read_plan(text)
    assert (plan.per_day, plan.opens, plan.closes, plan.days) == (50, 30_600, 64_800, frozenset({0, 4}))
    assert plan.limit(["Ward 3", "RX1"]) == ("RX1", 5)
    assert plan.limit(["Ward 3", "RX2"]) == ("Ward 3", 50)
    assert read_plan("[organisations]\nRX1 = 5").limit(["RX2"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "per_day = 0",
        "per_day = true",
        'per_day = "5"',
        "per_day = 86401",
        'opens = "9"',
        'opens = "25:00"',
        'opens = "12:00"\ncloses = "11:00"',
        'days = ["sunday"]',
        "days = []",
        "organisations = 5",
        "[organisations]\nRX1 = 0",
        "perday = 5",
        "per_day",
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_plan(text)
