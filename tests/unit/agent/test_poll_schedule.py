"""When agents poll: never together, never less often than they should, and left alone where they should be."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.poll_patience import Asked, PollPatience
from renewagent.agent.poll_schedule import PollSchedule
from renewagent.agent.polling import Polling
from renewagent.errors import AgentError
from tests.pcsc import until
from tests.unit.agent.place import NOW


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_ten_thousand_workstations_that_are_switched_on_at_eight_do_not_come_together() -> None:
    dice = random.Random(7)  # noqa: S311
    polls: Counter[int] = Counter()
    for _ in range(10_000):
        clock = Clock()
        schedule = PollSchedule(300, dice.random(), dice.random, clock)
        schedule.begin(at_once=False)
        while clock.now < 1200:
            clock.now += schedule.left()
            assert schedule.due()
            polls[int(clock.now // 10)] += 1
    assert max(polls[n] for n in range(120)) < 500  # 333 would be the same in all


def test_an_agent_keeps_its_place_among_the_others_from_one_day_to_the_next() -> None:
    firsts = []
    for _ in range(20):
        schedule = PollSchedule(300, 0.4, random.random, Clock())
        schedule.begin(at_once=False)
        firsts.append(schedule.left())
    assert all(120 <= first <= 150 for first in firsts) and len(set(firsts)) > 1


def test_whoever_has_never_polled_does_at_once() -> None:
    schedule = PollSchedule(300, 0.4, random.random, Clock())
    schedule.begin(at_once=True)
    assert schedule.due() and not schedule.due()


def test_a_poll_is_due_once_however_often_it_ticks() -> None:
    clock = Clock()
    schedule = PollSchedule(300, 0.0, lambda: 0.5, clock)
    schedule.begin(at_once=True)
    times = []
    for tick in range(0, 3600, 7):  # a watchdog's
        clock.now = float(tick)
        if schedule.due():
            times.append(tick)
    assert len(times) in (11, 12)


def test_a_timer_that_rings_a_little_early_is_on_time() -> None:
    clock = Clock()
    schedule = PollSchedule(300, 0.0, lambda: 0.5, clock)
    schedule.begin(at_once=True)
    assert schedule.due()
    clock.now += schedule.left() - 0.5
    assert schedule.due()


def test_the_console_says_how_often_and_somebody_who_rests_is_left_alone() -> None:
    clock = Clock()
    schedule = PollSchedule(300, 0.0, lambda: 0.5, clock)
    schedule.polled(60, None)
    assert schedule.left() == 60
    schedule.polled(None, 1800.0)
    assert schedule.left() == 1800
    schedule.polled(None, None)
    assert schedule.left() == 60


def test_polls_follow_one_another_and_what_is_wanted_meanwhile_is_not_lost() -> None:
    begun, go_on, taken = threading.Semaphore(0), threading.Semaphore(0), list[Any]()

    def ask() -> dict[str, Any]:
        begun.release()
        assert go_on.acquire(timeout=5)
        if len(taken) == 1:
            raise AgentError("It did not end in time.")
        return {"poll": 60, "rest": None}

    schedule = PollSchedule(300, 0.0, lambda: 0.5, time.monotonic)
    polling = Polling(schedule, ask, taken.append)
    polling.begin()
    assert begun.acquire(timeout=5)
    polling.begin()
    polling.begin()
    go_on.release(2)
    until(lambda: len(taken) == 2)
    assert taken == [{"poll": 60, "rest": None}, {"problem": "It did not end in time."}]
    assert 59 < schedule.left() <= 60
    go_on.release()
    polling.begin()
    until(lambda: len(taken) == 3)


@pytest.fixture
def patience(tmp_path: Path) -> PollPatience:
    return PollPatience(tmp_path, 300, lambda: 0.0)


def test_each_failure_doubles_the_rest_up_to_an_hour_and_one_answer_ends_it(patience: PollPatience) -> None:
    now, rests = NOW, []
    for _ in range(6):
        patience.failed("a", "It was not there.", now)
        rests.append((patience.of("a").until or now) - now)
        now = patience.of("a").until or now
    assert rests == [timedelta(seconds=s) for s in (450, 900, 1800, 2700, 2700, 2700)]  # chance takes up to a quarter
    assert not patience.of("a").rests(now)
    patience.well("a")
    assert patience.of("a") == Asked()


def test_what_is_kept_serves_the_next_process_and_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    first = PollPatience(tmp_path, 300, lambda: 0.0)
    first.failed("a", "It was not there.", NOW, retry_after=77)
    first.complained("b", "It is wrong.")
    first.well("console", reported=NOW)
    first.save()
    second = PollPatience(tmp_path, 300, lambda: 0.0)
    assert second.of("a") == Asked(1, NOW + timedelta(seconds=77), "It was not there.")
    assert (second.of("b").problem, second.of("console").reported) == ("It is wrong.", NOW)
    written = (tmp_path / "polls.json").stat().st_mtime_ns
    second.well("console")
    second.save()
    assert (tmp_path / "polls.json").stat().st_mtime_ns == written
    second.only(["b"])
    second.save()
    assert PollPatience(tmp_path, 300, lambda: 0.0).of("a") == Asked()


def test_there_is_nobody_to_ask_only_while_all_of_them_rest(patience: PollPatience) -> None:
    patience.failed("a", "", NOW, retry_after=100)
    assert patience.rest(["a", "b"], NOW) is None
    patience.failed("b", "", NOW, retry_after=60)
    assert patience.rest(["a", "b"], NOW) == 60
    assert patience.rest([], NOW) is None


def test_a_clock_that_was_set_back_keeps_nobody_waiting(patience: PollPatience) -> None:
    patience.failed("a", "", NOW, retry_after=3600)
    assert patience.of("a").rests(NOW)
    assert not patience.of("a").rests(NOW - timedelta(days=400))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 7}', '{"a": {"until": "soon"}}', '{"a": {"until": "2026-11-22T00:00:00"}}']
)
def test_a_file_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "polls.json").write_text(text)
    assert PollPatience(tmp_path, 300, lambda: 0.0).of("a") == Asked()
