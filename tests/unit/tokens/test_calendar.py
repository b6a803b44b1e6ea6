"""Two years of a password and of a certificate: nobody is caught short, and nobody is told twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.calendar import (
    REMIND_BEFORE,
    RUN_BOOK,
    Deadline,
    What,
    day_words,
    deadlines,
    escape,
    fold,
    ics,
    reminder,
    upcoming,
)
from renewagent.tokens.model import SoftToken

BEGUN = datetime(2026, 11, 22, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SOFT = SoftToken("ann.lee", "AA11", "r1", BEGUN, BEGUN, BEGUN, BEGUN + 729 * DAY, True)
CERTIFICATE = Deadline(What.CERTIFICATE, "ann.lee", BEGUN + 730 * DAY)


def test_both_end_after_two_years_and_the_earlier_comes_first() -> None:
    first, second = deadlines(SOFT)
    assert (first.what, first.ends) == (What.CERTIFICATE, BEGUN + 729 * DAY)
    assert (second.what, second.ends, second.key) == (What.PASSWORD, BEGUN + 730 * DAY, "2028-11-21")


def told(looks: list[datetime]) -> list[tuple[tuple[int, ...], int]]:
    given_before: set[int] = set()
    heard = []
    for look in looks:
        found = reminder(CERTIFICATE, look, given_before)
        if found is not None:
            given_before.update(found.days)
            heard.append((found.days, found.left))
    return heard


def test_who_looks_every_day_hears_six_times_on_the_day() -> None:
    looks = [BEGUN + n * DAY for n in range(740)]
    assert told(looks) == [((days,), days) for days in REMIND_BEFORE]


def test_a_day_on_which_nobody_looked_is_made_up_for_on_the_next() -> None:
    looks = [BEGUN + n * DAY for n in range(740) if n not in (730 - 30, 730 - 1)]
    assert told(looks) == [((90,), 90), ((60,), 60), ((30,), 29), ((14,), 14), ((7,), 7), ((1,), 0)]


def test_after_months_without_a_look_one_reminder_stands_for_all() -> None:
    assert told([BEGUN + 700 * DAY, BEGUN + 700 * DAY]) == [((90, 60, 30), 30)]
    assert told([BEGUN + 800 * DAY]) == [(REMIND_BEFORE, -70)]


@given(st.lists(st.integers(0, 24 * 760), max_size=60).map(sorted))
def test_each_is_given_once_and_none_is_left_out(hours: list[int]) -> None:
    heard = [days for look, _ in told([BEGUN + timedelta(hours=hour) for hour in hours]) for days in look]
    assert sorted(heard, reverse=True) == heard and len(set(heard)) == len(heard)
    last = max(hours, default=0)
    assert set(heard) == {days for days in REMIND_BEFORE if last >= 24 * (730 - days)}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (30 * DAY, "Your certificate ends on 21 November 2028, in 30 days."),
        (DAY, "Your certificate ends on 21 November 2028, in 1 day."),
        (timedelta(hours=2), "Your certificate ends on 21 November 2028, in 1 day."),
        (-DAY, "Your certificate ended on 21 November 2028."),
    ],
)
def test_the_words_have_the_days_that_are_left(before: timedelta, said: str) -> None:
    found = reminder(CERTIFICATE, CERTIFICATE.ends - before, ())
    assert found is not None and found.said == said


def test_the_advice_is_to_renew_when_not_prescribing() -> None:
    soon = upcoming(SOFT, BEGUN + 720 * DAY)
    assert [one.deadline.what for one in soon] == [What.CERTIFICATE, What.PASSWORD]
    assert all("when you do not prescribe" in one.advice for one in soon)
    assert upcoming(SOFT, BEGUN) == ()


def test_the_run_book_begins_when_not_prescribing_and_ends_with_the_ehr() -> None:
    assert "when you do not prescribe" in RUN_BOOK[0] and "old one ends" in RUN_BOOK[0]
    at_vendor = next(n for n, step in enumerate(RUN_BOOK) if "authenticate your device anew" in step)
    at_ehr = next(n for n, step in enumerate(RUN_BOOK) if "softtoken reregister" in step)
    assert at_vendor < at_ehr


def test_a_day_is_written_in_the_same_words_whatever_the_computers_language() -> None:
    assert day_words(datetime(2028, 2, 3, 23, 30, tzinfo=UTC)) == "3 February 2028"


# --- RFC 5545


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")[:-1]


def test_the_calendar_has_a_day_for_each_deadline_and_six_alarms() -> None:
    lines = unfolded(ics(deadlines(SOFT), BEGUN))
    assert lines[0] == "BEGIN:VCALENDAR" and lines[-1] == "END:VCALENDAR"
    assert [line for line in lines if line.startswith("DTSTART")] == [
        "DTSTART;VALUE=DATE:20281120",
        "DTSTART;VALUE=DATE:20281121",
    ]
    triggers = [line for line in lines if line.startswith("TRIGGER")]
    assert triggers == [f"TRIGGER:-P{days}D" for days in REMIND_BEFORE] * 2
    assert lines.count("BEGIN:VALARM") == lines.count("END:VALARM") == 12
    assert "DTSTAMP:20261122T090000Z" in lines
    uids = [line for line in lines if line.startswith("UID:")]
    assert uids == ["UID:certificate-20281120-ann-2e-lee@renewagent", "UID:password-20281121-ann-2e-lee@renewagent"]


def test_no_line_of_it_is_longer_than_75_octets_and_every_one_ends_with_cr_lf() -> None:
    text = ics([Deadline(What.CERTIFICATE, "rené;müller,\\9", CERTIFICATE.ends)], BEGUN)
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", "")
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    assert any("User Name: rené\\;müller\\,\\\\9\\n" in line for line in unfolded(text))


@given(st.text(max_size=300).filter(lambda text: "\r" not in text and "\n" not in text))
def test_folding_loses_nothing_and_cuts_no_character(line: str) -> None:
    pieces = fold(line)
    assert all(len(piece.encode()) <= 75 for piece in pieces)
    assert all(piece.startswith(" ") for piece in pieces[1:])
    assert pieces[0] + "".join(piece[1:] for piece in pieces[1:]) == line


def test_text_is_escaped_as_the_standard_has_it() -> None:
    assert escape("a\\b;c,d\ne\r\nf") == "a\\\\b\\;c\\,d\\ne\\nf"
