"""Dates, times of day and spans as a person reads them, in words without any locale. Pure functions of data."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewagent.language import N_, _, ngettext
from renewagent.reasons import MONTHS

_DAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)


def date_in_words(when: datetime) -> str:
    """`28 September 2020`."""
    return _("{day} {month} {year}").format(day=when.day, month=_month(when), year=when.year)


def time_in_words(when: datetime, now: datetime) -> str:
    """`today at 09:12`, or `on 28 September 2020 at 09:12`; both in the zone that `when` carries."""
    if when.date() == now.astimezone(when.tzinfo).date():
        return _("today at {time}").format(time=_clock(when))
    return _("on {date} at {time}").format(date=date_in_words(when), time=_clock(when))


def moment_in_words(when: datetime, now: datetime) -> str:
    """When something will be: `in a few seconds`, `after 14:30 today`, `on Tuesday 24 November after 09:00`; in the
    zone that `when` carries."""
    if when - now < timedelta(minutes=1):
        return _("in a few seconds")
    today = now.astimezone(when.tzinfo).date()
    if when.date() == today:
        return _("after {time} today").format(time=_clock(when))
    same_year = _("on {weekday} {day} {month} after {time}")
    sentence = same_year if when.year == today.year else _("on {weekday} {day} {month} {year} after {time}")
    weekday = _(_DAYS[when.weekday()])
    return sentence.format(weekday=weekday, day=when.day, month=_month(when), year=when.year, time=_clock(when))


def dates_in_words(first: datetime | None, end: datetime | None) -> str:
    """Days of issue from `first` (included) to `end` (excluded): `between 28 and 30 September 2020`, and so on."""
    last = end - timedelta(microseconds=1) if end else None
    if first is None:
        return _("until {date}").format(date=date_in_words(last)) if last is not None else ""
    if last is None:
        return _("from {date}").format(date=date_in_words(first))
    if first.date() == last.date():
        return _("on {date}").format(date=date_in_words(first))
    if first.year != last.year:
        return _("between {first} and {last}").format(first=date_in_words(first), last=date_in_words(last))
    if first.month != last.month:
        sentence = _("between {first_day} {first_month} and {day} {month} {year}")
    else:
        sentence = _("between {first_day} and {day} {month} {year}")
    days = {"first_day": first.day, "first_month": _month(first)}
    return sentence.format(**days, day=last.day, month=_month(last), year=last.year)


def left_in_words(seconds: float) -> str:
    """`About 1 minute left.`, `A few seconds left.`"""
    if seconds < 15:
        return _("A few seconds left.")
    if seconds < 45:
        return _("About half a minute left.")
    minutes = max(1, round(seconds / 60))
    return ngettext("About {number} minute left.", "About {number} minutes left.", minutes).format(number=minutes)


def _month(when: datetime) -> str:
    return _(MONTHS[when.month - 1])


def _clock(when: datetime) -> str:
    return f"{when.hour:02}:{when.minute:02}"
