"""Federal holidays as the Office of Personnel Management lists them, and what "within one business day" means."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens import business_days

NEW_YORK = ZoneInfo("America/New_York")
LISTED = {
    2020: "01-01 01-20 02-17 05-25 07-03 09-07 10-12 11-11 11-26 12-25",
    2021: "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31",
    2022: "01-17 02-21 05-30 06-20 07-04 09-05 10-10 11-11 11-24 12-26",
    2023: "01-02 01-16 02-20 05-29 06-19 07-04 09-04 10-09 11-10 11-23 12-25",
    2026: "01-01 01-19 02-16 05-25 06-19 07-03 09-07 10-12 11-11 11-26 12-25",
    2027: "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31",
}


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("year", LISTED)
def test_holidays_are_kept_on_the_days_that_are_listed(year: int) -> None:
    assert business_days.holidays(year) == {date.fromisoformat(f"{year}-{day}") for day in LISTED[year].split()}


@pytest.mark.parametrize(
    ("found", "due"),
    [
        ("2026-11-23T09:00", "2026-11-24"),  # Monday
        ("2026-11-25T16:00", "2026-11-27"),  # the day before Thanksgiving
        ("2026-11-20T23:59", "2026-11-23"),  # Friday
        ("2026-11-21T00:00", "2026-11-23"),  # Saturday
        ("2026-11-22T12:00", "2026-11-23"),  # Sunday
        ("2026-07-02T09:00", "2026-07-06"),  # 4 July 2026 is a Saturday, kept on Friday
        ("2021-12-30T09:00", "2022-01-03"),  # 1 January 2022 is a Saturday, kept on Friday of the year before
        ("2026-12-24T09:00", "2026-12-28"),
    ],
)
def test_what_is_due_within_one_is_due_at_the_end_of_the_next(found: str, due: str) -> None:
    moment = datetime.fromisoformat(found).replace(tzinfo=NEW_YORK)
    ends = business_days.within_one(moment, NEW_YORK)
    assert ends == datetime.fromisoformat(f"{due}T23:59:59").replace(tzinfo=NEW_YORK)
    assert ends.utcoffset() == timedelta()


def test_the_day_is_that_of_the_place() -> None:
    moment = datetime(2026, 11, 24, 2, tzinfo=UTC)  # in New York it is still Monday, nine in the evening
    assert business_days.day_of(moment, NEW_YORK) == date(2026, 11, 23)
    assert business_days.within_one(moment, NEW_YORK) == datetime(2026, 11, 25, 4, 59, 59, tzinfo=UTC)
    assert business_days.within_one(moment, UTC) == datetime(2026, 11, 25, 23, 59, 59, tzinfo=UTC)


def test_without_a_zone_it_is_this_computers(in_new_york: None) -> None:
    for day in (date(2026, 3, 8), date(2026, 11, 1), date(2026, 7, 1)):  # 23, 25 and 24 hours
        assert business_days.bounds(day) == business_days.bounds(day, NEW_YORK)
    begins, ends = business_days.bounds(date(2026, 3, 8))
    assert ends - begins == timedelta(hours=23)
    moment = datetime(2026, 11, 24, 2, tzinfo=UTC)
    assert business_days.within_one(moment) == business_days.within_one(moment, NEW_YORK)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_it_is_a_business_day_between_one_and_five_days_later(moment: datetime) -> None:
    due = business_days.within_one(moment, NEW_YORK)
    day, found = business_days.day_of(due, NEW_YORK), business_days.day_of(moment, NEW_YORK)
    assert business_days.is_business_day(day)
    assert timedelta(days=1) <= day - found <= timedelta(days=5)
    between = (found + timedelta(days=n) for n in range(1, (day - found).days))
    assert not any(business_days.is_business_day(each) for each in between)


@given(st.integers(1972, 2200))
def test_a_year_has_nine_to_twelve_and_none_at_a_weekend(year: int) -> None:
    days = business_days.holidays(year)
    assert 9 <= len(days) <= 12
    assert all(day.weekday() < 5 for day in days)
