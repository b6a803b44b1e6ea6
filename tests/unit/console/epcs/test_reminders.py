"""Reminders at the desk: everybody who has an app, once each, whatever was down or killed in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import reminders, soft
from renewagent.console.epcs.tables import EPCS_REMINDER
from renewagent.tokens.calendar import REMIND_BEFORE, What
from renewagent.tokens.errors import EhrUnreachable, TokenServerUnreachable
from renewagent.tokens.model import SoftToken
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.unit.console.epcs.mortal import Killed, Life, mortal
from tests.unit.console.epcs.soft_world import SoftWorld, new_world

DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SoftWorld]:
    made = new_world(tmp_path)
    yield made
    made.close()


def at_days_left(world: SoftWorld, days: float) -> None:
    ends = world.bench.vendor.soft_tokens(["lee.app"])["lee.app"].certificate_ends
    world.bench.clock.move(ends - timedelta(days=days) - world.bench.clock())


def heard(world: SoftWorld) -> list[tuple[str, What, int]]:
    given = reminders.remind(world.desk)
    return [(person.name, told.deadline.what, told.left) for person, told in given]


def test_each_is_given_once_to_whoever_has_an_app_and_is_in_the_log(world: SoftWorld) -> None:
    assert heard(world) == []
    for days in REMIND_BEFORE:
        at_days_left(world, days - 0.1)
        assert sorted(heard(world), key=str) == [
            ("Lee", What.CERTIFICATE, days),
            ("Lee", What.PASSWORD, days),
        ]
        world.bench.clock.move(reminders.EVERY)
        assert heard(world) == []
    log = [entry for entry in world.desk.read(audit.entries) if entry.event == "epcs.reminded"]
    assert len(log) == 12 and all(world.lee.id in entry.details for entry in log)


def test_after_a_week_in_which_nothing_ran_one_reminder_says_what_is_left(world: SoftWorld) -> None:
    at_days_left(world, 29)
    assert sorted(heard(world), key=str) == [("Lee", What.CERTIFICATE, 29), ("Lee", What.PASSWORD, 29)]
    at_days_left(world, 6)
    assert sorted(heard(world), key=str) == [("Lee", What.CERTIFICATE, 6), ("Lee", What.PASSWORD, 6)]
    rows = world.desk.read(lambda connection: connection.execute(sa.select(EPCS_REMINDER.c.days)).scalars().all())
    assert sorted(rows) == [7, 7, 14, 14, 30, 30, 60, 60, 90, 90]


def test_everybody_is_looked_at_every_few_hours_and_no_more_often(
    world: SoftWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = world.bench.vendor.soft_tokens

    def counted(names: Sequence[str]) -> dict[str, SoftToken]:
        asked.append(list(names))
        return ask(names)

    monkeypatch.setattr(world.bench.vendor, "soft_tokens", counted)
    for _ in range(24 * 4):
        reminders.remind(world.desk)
        world.bench.clock.move(timedelta(minutes=15))
    assert asked == [["lee.app"]] * 4


def test_a_new_password_begins_anew(world: SoftWorld) -> None:
    at_days_left(world, 1)
    assert len(heard(world)) == 2
    world.befall(Cause.PASSWORD_CHANGED)
    world.befall(Cause.CERTIFICATE_RENEWED)
    world.bench.clock.move(DAY)
    assert heard(world) == []
    assert reminders.due(world.desk, world.lee) == ()
    at_days_left(world, 90)
    assert [days for _, _, days in heard(world)] == [90, 90]


def test_an_outage_costs_a_quarter_of_an_hour_and_no_reminder(
    world: SoftWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_days_left(world, 60)
    world.bench.ehr.moods = EhrMoods(cuts="before")
    with pytest.raises(EhrUnreachable):
        reminders.remind(world.desk)
    world.bench.ehr.moods = EhrMoods()
    assert heard(world) == []
    world.bench.clock.move(timedelta(minutes=15))
    assert len(heard(world)) == 2


def test_killed_at_every_step_nobody_is_missed_and_nobody_told_twice(world: SoftWorld) -> None:
    steps = 0
    for days in range(90, 0, -1):
        at_days_left(world, days)
        try:
            reminders.remind(mortal(world.desk, Life(steps)))
        except Killed:
            steps += 1
            world.bench.clock.move(reminders.EVERY)
            reminders.remind(world.desk)
    assert steps >= 4
    rows = world.desk.read(lambda connection: connection.execute(sa.select(EPCS_REMINDER)).all())
    assert sorted((row.what, row.days) for row in rows) == sorted(
        (what, days) for days in REMIND_BEFORE for what in ("certificate", "password")
    )
    log = [entry for entry in world.desk.read(audit.entries) if entry.event == "epcs.reminded"]
    assert len(log) == 12


def test_one_sees_what_ends_soon_told_before_or_not(world: SoftWorld) -> None:
    assert reminders.due(world.desk, world.lee) == ()
    assert [one.what for one in reminders.deadlines(world.desk, world.lee)] == [What.PASSWORD, What.CERTIFICATE]
    at_days_left(world, 20)
    heard(world)
    assert [told.left for told in reminders.due(world.desk, world.lee)] == [20, 20]
    assert reminders.due(world.desk, world.hale) == () and reminders.deadlines(world.desk, world.reed) == ()


def test_the_name_is_known_from_a_run_while_the_screen_is_empty(world: SoftWorld) -> None:
    world.befall(Cause.PASSWORD_CHANGED)
    world.bench.ehr.moods = EhrMoods(refuses=frozenset({"register_device"}))
    world.go_on(world.begin(Cause.PASSWORD_CHANGED))
    assert world.bench.ehr.device("lee") is None
    assert len(reminders.deadlines(world.desk, world.lee)) == 2


def test_somebody_who_is_not_in_the_ehr_any_more_does_not_stop_the_others(world: SoftWorld) -> None:
    from renewagent.console.permissions import Role
    from tests.console import new_person

    new_person(world.bench.site, Role.PRESCRIBER, "RX1", account="", ehr="aaron", name="Aaron")
    at_days_left(world, 14)
    assert len(heard(world)) == 2


def test_a_vendor_that_does_not_answer_is_said_to_whoever_asks(
    world: SoftWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(names: object) -> None:
        raise TokenServerUnreachable("The vendor does not answer.")

    monkeypatch.setattr(world.bench.vendor, "soft_tokens", silent)
    with pytest.raises(TokenServerUnreachable):
        reminders.due(world.desk, world.lee)
    assert soft.diagnose(world.desk, world.lee, {"phone": "new"}).cause is Cause.NEW_PHONE
