"""What is told, and how often: over a screen that a test looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.agent.telling import ANEW, Heard, Notice, Telling
from renewagent.agent.words import Message

READER = "Reader 1"
AFFECTED = Notice(Message("affected", "Renew", "It was."), "Run it.")
ASKED = replace(AFFECTED, why=Message("affected-because", "Why", "It was last week."))
OTHER = Notice(Message("part-way", "Finish", "Half."), "Run it.")


class Bench:
    """A `Screen`, and all that is heard on this side of it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        self.shown: list[str] = []
        self.up: dict[str, Callable[[Heard], None]] = {}
        self.told: list[bool] = []
        self.wishes: list[str] = []
        self.telling = Telling(self, lambda reader: self.wishes.append(f"renew {reader}"), lambda: self.now)

    def show(self, reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        self.shown.append(notice.message.kind)
        self.up[reader] = heard

    def withdraw(self, reader: str) -> None:
        self.up.pop(reader, None)

    def tell(self, notice: Notice = AFFECTED, heard: Heard | None = Heard.SHOWN) -> Callable[[Heard], None]:
        count = len(self.shown)
        self.telling.tell(READER, notice, self.told.append, lambda: self.wishes.append("later"))
        if heard is not None and len(self.shown) > count:
            self.up[READER](heard)
        return self.up[READER]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_same_words_come_once_while_they_are_on_the_screen(bench: Bench) -> None:
    bench.tell()
    bench.now += 10 * ANEW
    bench.tell()
    assert (bench.shown, bench.told) == (["affected"], [True, True])
    bench.tell(OTHER)
    assert bench.shown == ["affected", "part-way"]


def test_closed_they_come_no_more_often_than_hourly(bench: Bench) -> None:
    bench.tell()(Heard.CLOSED)
    bench.now += ANEW - timedelta(seconds=1)
    bench.tell()
    assert (bench.shown, bench.told) == (["affected"], [True, True])
    bench.now += timedelta(seconds=1)
    bench.tell()
    assert bench.shown == ["affected"] * 2


def test_a_card_that_comes_back_is_told_of_again(bench: Bench) -> None:
    heard = bench.tell()
    bench.telling.gone(READER)
    assert not bench.up
    heard(Heard.RENEW)  # too late
    assert not bench.wishes
    bench.tell()
    assert bench.shown == ["affected"] * 2


def test_a_card_that_leaves_before_anybody_knows_counts_as_not_told(bench: Bench) -> None:
    heard = bench.tell(heard=None)
    assert bench.told == []
    bench.telling.gone(READER)
    heard(Heard.SHOWN)
    assert bench.told == [False]


def test_a_second_check_while_nobody_knows_yet_hears_in_place_of_the_first(bench: Bench) -> None:
    heard = bench.tell(heard=None)
    bench.tell(heard=None)
    heard(Heard.SHOWN)
    assert (bench.shown, bench.told) == (["affected"], [True])


def test_what_could_not_be_seen_comes_again_at_every_tick_until_it_can(bench: Bench) -> None:
    bench.telling.tick()
    bench.tell(heard=Heard.NOT_SHOWN)
    bench.tell()  # checked again meanwhile
    for _ in range(2):
        bench.telling.tick()
        bench.up[READER](Heard.NOT_SHOWN)
    assert (bench.shown, bench.told) == (["affected"] * 3, [False, False])
    bench.telling.tick()
    bench.up[READER](Heard.SHOWN)
    bench.telling.tick()
    assert (bench.shown, bench.told) == (["affected"] * 4, [False, False, True])


def test_what_was_lost_with_the_desktop_comes_again_and_was_seen_all_the_same(bench: Bench) -> None:
    bench.tell()(Heard.LOST)
    bench.telling.tick()
    bench.up[READER](Heard.NOT_SHOWN)
    bench.telling.tick()
    bench.up[READER](Heard.SHOWN)
    assert (bench.shown, bench.told) == (["affected"] * 3, [True])


def test_what_is_put_away_stays_away_and_counts_as_said(bench: Bench) -> None:
    heard = bench.tell()
    bench.telling.put_away(READER)
    heard(Heard.RENEW)
    bench.telling.tick()
    bench.telling.tell(READER, AFFECTED, bench.told.append)
    assert (bench.shown, bench.told, bench.wishes, bench.up) == (["affected"], [True, True], [], {})
    bench.telling.put_away("Reader 2")  # of which nothing was said


def test_the_buttons(bench: Bench) -> None:
    bench.tell()(Heard.RENEW)
    assert bench.wishes == [f"renew {READER}"]
    bench.now += ANEW
    bench.tell()(Heard.LATER)
    assert bench.wishes == [f"renew {READER}", "later"]
    bench.tell()  # its time is over sooner than in an hour: a deadline
    assert bench.shown == ["affected"] * 3


def test_whoever_asks_why_is_shown_that_in_its_place_and_may_still_press_what_they_like(bench: Bench) -> None:
    bench.tell(ASKED)(Heard.WHY)
    bench.up[READER](Heard.SHOWN)
    bench.tell(ASKED)  # checked again meanwhile: nothing new
    assert (bench.shown, bench.told) == (["affected", "affected-because"], [True, True])
    bench.up[READER](Heard.LOST)
    bench.telling.tick()
    assert bench.shown[2:] == ["affected-because"]
    bench.up[READER](Heard.SHOWN)
    bench.up[READER](Heard.LATER)
    assert bench.wishes == ["later"]
    bench.tell(ASKED)
    assert bench.shown[3:] == ["affected"]


def test_why_is_not_left_on_the_screen_for_a_card_that_leaves_at_that_moment(bench: Bench) -> None:
    heard, show = bench.tell(ASKED), bench.show

    def slowly(reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        bench.telling.gone(reader)
        show(reader, notice, heard)

    bench.show = slowly  # type: ignore[method-assign]
    heard(Heard.WHY)
    assert bench.up == {}
