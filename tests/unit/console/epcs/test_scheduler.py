"""The scheduler: what it begins with, and that nothing stops it."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa

from renewagent.console.epcs import overrides, pulses, reminders, scheduler, tickets
from renewagent.console.epcs.desk import Desk
from tests.unit.console.epcs.practice import Practice


def test_a_part_that_fails_stops_no_other_and_is_told_of(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def fails(desk: Desk) -> None:
        raise ValueError("broken")

    parts = (("first", fails), ("second", lambda desk: done.append("second")))
    monkeypatch.setattr(scheduler, "_FIRST", parts)
    monkeypatch.setattr(scheduler, "_REST", parts)
    with caplog.at_level(logging.WARNING):
        scheduler.look(practice.desk)
    assert done == ["second", "second"]
    told = [vars(record)["fields"] for record in caplog.records]
    assert told == [{"part": "first", "why": "ValueError: broken"}] * 2


def test_every_part_is_there_and_overrides_come_first() -> None:
    first, rest = dict(scheduler._FIRST), dict(scheduler._REST)
    assert list(first)[:2] == ["pulse", "overrides"]
    assert first["overrides"] is overrides.tend
    assert {tickets.follow, reminders.remind} <= set(rest.values())


def test_the_pulse_tells_of_overrides_alone(practice: Practice) -> None:
    scheduler.look_at_rest(practice.desk)
    assert practice.desk.read(lambda c: pulses.last(c, overrides.PULSE)) is None
    scheduler.look_first(practice.desk)
    assert practice.desk.read(lambda c: pulses.last(c, overrides.PULSE)) == practice.clock()


def test_a_database_that_is_away_is_told_of_and_looked_at_again(
    practice: Practice, caplog: pytest.LogCaptureFixture
) -> None:
    practice.desk.write(lambda c: c.execute(sa.text("ALTER TABLE epcs_lease RENAME TO away")))
    with caplog.at_level(logging.WARNING):
        scheduler.look(practice.desk)
    assert "the EPCS scheduler could not do everything" in caplog.text
    practice.desk.write(lambda c: c.execute(sa.text("ALTER TABLE away RENAME TO epcs_lease")))
    caplog.clear()
    scheduler.look(practice.desk)
    assert caplog.text == ""
