"""Dates, times of day and spans as a person reads them, in words without any locale. Pure functions of data."""

from __future__ import annotations

from datetime import datetime, timedelta

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def date_in_words(when: datetime) -> str:
    """`28 September 2020`."""
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def time_in_words(when: datetime, now: datetime) -> str:
    """`today at 09:12`, or `on 28 September 2020 at 09:12`; both in the zone that `when` carries."""
    day = "today" if when.date() == now.astimezone(when.tzinfo).date() else f"on {date_in_words(when)}"
    return f"{day} at {when.hour:02}:{when.minute:02}"


def moment_in_words(when: datetime, now: datetime) -> str:
    """When something will be: `in a few seconds`, `after 14:30 today`, `on Tuesday 24 November after 09:00`; in the
    zone that `when` carries."""
    if when - now < timedelta(minutes=1):
        return "in a few seconds"
    today, clock = now.astimezone(when.tzinfo).date(), f"after {when.hour:02}:{when.minute:02}"
    if when.date() == today:
        return f"{clock} today"
    year = f" {when.year}" if when.year != today.year else ""
    return f"on {_DAYS[when.weekday()]} {when.day} {_MONTHS[when.month - 1]}{year} {clock}"


def dates_in_words(first: datetime | None, end: datetime | None) -> str:
    """Days of issue from `first` (included) to `end` (excluded): `between 28 and 30 September 2020`, and so on."""
    last = end - timedelta(microseconds=1) if end else None
    if first is None and last is None:
        return ""
    if first is None or last is None:
        only = first or last
        assert only is not None  # noqa: S101  for the type checker
        return f"{'from' if first else 'until'} {date_in_words(only)}"
    if first.date() == last.date():
        return f"on {date_in_words(first)}"
    if first.year != last.year:
        return f"between {date_in_words(first)} and {date_in_words(last)}"
    start = str(first.day) if first.month == last.month else f"{first.day} {_MONTHS[first.month - 1]}"
    return f"between {start} and {date_in_words(last)}"


def duration_in_words(seconds: float) -> str:
    """`about 1 minute`, `a few seconds`."""
    if seconds < 15:
        return "a few seconds"
    if seconds < 45:
        return "about half a minute"
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} minute{'s' if minutes > 1 else ''}"
