"""Five for nothing, then a minute, doubling up to a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.throttle import NO_TRIES, USUAL_THROTTLE, Throttle, Tries, locked, refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _after(count: int) -> Tries:
    tries = NO_TRIES
    for _ in range(count):
        tries = refused(tries, NOW, USUAL_THROTTLE)
    return tries


def test_four_refusals_cost_nothing() -> None:
    assert _after(4) == Tries(4)
    assert not locked(_after(4), NOW)


def test_the_fifth_locks_for_a_minute_and_each_further_one_for_twice_as_long() -> None:
    waits = [_after(count).until for count in range(5, 19)]
    minutes = [(until - NOW) / timedelta(minutes=1) for until in waits if until is not None]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440]


def test_a_lock_ends_at_its_very_moment() -> None:
    tries = _after(5)
    assert locked(tries, NOW + timedelta(seconds=59.999))
    assert not locked(tries, NOW + timedelta(minutes=1))


def test_refusals_without_end_lock_for_a_day() -> None:
    assert refused(Tries(10**9), NOW, USUAL_THROTTLE) == Tries(10**9 + 1, NOW + timedelta(days=1))


@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 10_000), st.integers(1, 100_000))
def test_no_wait_is_shorter_than_the_one_before(count: int, free: int, first: int, longest: int) -> None:
    throttle = Throttle(free, timedelta(seconds=first), timedelta(seconds=longest))
    one, two = (refused(Tries(n), NOW, throttle).until or NOW for n in (count, count + 1))
    assert NOW <= one <= two <= NOW + timedelta(seconds=longest)
