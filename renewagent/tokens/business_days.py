"""Which days are business days in the United States, and until when something is to be done that is due within one.

Pure. Federal holidays are those of 5 U.S.C. 6103(a), on the days on which offices keep them: one that falls on a
Saturday is kept on the Friday before, on a Sunday the Monday after (6103(b), Executive Order 11582). Inauguration Day
is kept around Washington alone and is left out. A zone of None is this computer's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)
_END = time(23, 59, 59)
_MONDAY, _THURSDAY = 0, 3
_SATURDAY, _SUNDAY = 5, 6
_FIRST_JUNETEENTH = 2021  # Public Law 117-17


def is_business_day(day: date) -> bool:
    """Neither a weekend nor a federal holiday as it is kept."""
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def holidays(year: int) -> frozenset[date]:
    """The days of this year on which federal offices are closed. New Year's Day of the next year may be one of them."""
    kept = {_kept(day) for each in (year, year + 1) for day in _by_law(each)}
    return frozenset(day for day in kept if day.year == year)


def next_business_day(day: date) -> date:
    """The first one after this day, whatever this day is."""
    day += _DAY
    while not is_business_day(day):
        day += _DAY
    return day


def within_one(moment: datetime, zone: tzinfo | None = None) -> datetime:
    """The last second (UTC) of what is due within one business day of `moment`. The day itself does not count, the next
    business day does until its end."""
    return _moment(next_business_day(day_of(moment, zone)), _END, zone)


def day_of(moment: datetime, zone: tzinfo | None = None) -> date:
    """The calendar day there."""
    return moment.astimezone(zone).date()


def bounds(day: date, zone: tzinfo | None = None) -> tuple[datetime, datetime]:
    """When this calendar day begins there, and the next one (UTC)."""
    return _moment(day, time(), zone), _moment(day + _DAY, time(), zone)


def _moment(day: date, at: time, zone: tzinfo | None) -> datetime:
    """Without a zone `astimezone` takes it for this computer's time, with the summer time of that day."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def _by_law(year: int) -> Iterator[date]:
    yield date(year, 1, 1)  # New Year's Day
    yield _nth(year, 1, _MONDAY, 3)  # Birthday of Martin Luther King, Jr.
    yield _nth(year, 2, _MONDAY, 3)  # Washington's Birthday
    yield _nth(year, 6, _MONDAY, 1) - 7 * _DAY  # Memorial Day, May's last Monday
    if year >= _FIRST_JUNETEENTH:
        yield date(year, 6, 19)
    yield date(year, 7, 4)  # Independence Day
    yield _nth(year, 9, _MONDAY, 1)  # Labor Day
    yield _nth(year, 10, _MONDAY, 2)  # Columbus Day
    yield date(year, 11, 11)  # Veterans Day
    yield _nth(year, 11, _THURSDAY, 4)  # Thanksgiving Day
    yield date(year, 12, 25)  # Christmas Day


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (number - 1))


def _kept(day: date) -> date:
    return day + {_SATURDAY: -_DAY, _SUNDAY: _DAY}.get(day.weekday(), timedelta())
