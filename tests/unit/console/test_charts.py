"""The charts: well-formed, to scale, and saying in words what they show."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.console import charts
from renewagent.console.reads import Day, Issued
from renewagent.rules import AffectedRule

FIRST = date(2026, 11, 14)
NOON = datetime(2026, 9, 28, 12, tzinfo=UTC)
DAYS = st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), min_size=1, max_size=120)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - made by us


def points(svg: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    line = next(one for one in svg.iter("polyline") if one.get("class") == kind)
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in (line.get("points") or "").split())]


def days(counts: list[tuple[int, int]]) -> list[Day]:
    return [Day(FIRST + timedelta(days=n), max(a, b), min(a, b)) for n, (a, b) in enumerate(counts)]


@given(DAYS, st.one_of(st.none(), st.integers(-20, 400)))
def test_the_line_of_the_burn_down_is_to_scale(counts: list[tuple[int, int]], due: int | None) -> None:
    deadline = None if due is None else datetime(2026, 11, 14, tzinfo=UTC) + timedelta(days=due)
    story = days(counts)
    svg = parsed(charts.burn_down(story, deadline))
    left, known = points(svg, "left"), points(svg, "known")
    assert len(left) == len(known) == len(story)
    ground = next(
        float(re.findall(r"[\d.]+", one.get("d") or "")[1]) for one in svg.iter("path") if one.get("class") == "axis"
    )
    for one, (x, y), (other, above) in zip(story, left, known, strict=True):
        assert 0 <= x <= 640 and x == other
        # Places are rounded to a tenth of a pixel.
        error = (ground - y) * one.known - (ground - above) * one.outstanding
        assert abs(error) <= 0.06 * (one.known + one.outstanding)


def test_what_it_says_in_words() -> None:
    svg = parsed(charts.burn_down(days([(480, 0), (480, 100)]), None))
    description = next(svg.iter("desc"))
    assert description.text == ("On 14 November 2026 480 of 480 were outstanding, on 15 November 2026 380 of 480.")
    assert set((svg.get("aria-labelledby") or "").split()) == {
        one.get("id") for tag in ("title", "desc") for one in svg.iter(tag)
    }


def test_a_deadline_that_is_near_is_drawn() -> None:
    story = days([(4, 0), (4, 1)])
    near = charts.burn_down(story, datetime(2026, 11, 20, tzinfo=UTC))
    far = charts.burn_down(story, datetime(2027, 11, 20, tzinfo=UTC))
    assert "deadline 20 Nov" in near and "deadline" not in far


def test_bars_lie_around_the_window() -> None:
    rule = AffectedRule("r", issued_from=NOON, issued_to=NOON + timedelta(days=3))
    found = {date(2026, 9, 29): Issued(3, 2, 0), date(2024, 1, 1): Issued(0, 0, 5)}
    shown = charts.histogram(found, [rule])
    assert shown.step == 1 and shown.outside == 5
    assert [(bar.first, bar.outstanding, bar.done) for bar in shown.bars if bar.most] == [(date(2026, 9, 29), 3, 2)]
    svg = parsed(charts.issued(shown, [rule]))
    window = next(one for one in svg.iter("rect") if one.get("class") == "window")
    day = float(window.get("width") or 0) / 3
    bar = next(one for one in svg.iter("rect") if one.get("class") == "done" and float(one.get("y") or 0) > 30)
    # It was issued on the day after the window opens at noon.
    assert float(bar.get("x") or 0) - float(window.get("x") or 0) == pytest.approx(day / 2, abs=2)


@given(
    st.dictionaries(
        st.dates(date(1990, 1, 1), date(2060, 1, 1)),
        st.builds(Issued, *[st.integers(0, 10_000)] * 3),
        min_size=1,
    ),
    st.lists(st.tuples(st.none() | st.integers(-3000, 3000), st.none() | st.integers(1, 3000)), max_size=3),
)
def test_every_certificate_is_in_a_bar_or_counted_as_outside(
    found: dict[date, Issued], windows: list[tuple[int | None, int | None]]
) -> None:
    rules = [
        AffectedRule(
            str(number),
            issued_from=None if start is None else NOON + timedelta(days=start),
            issued_to=None if length is None else NOON + timedelta(days=(start or 0) + length),
        )
        for number, (start, length) in enumerate(windows)
    ]
    shown = charts.histogram(found, rules)
    every = sum(one.outstanding + one.done + one.clear for one in found.values())
    assert sum(bar.most for bar in shown.bars) + shown.outside == every
    assert len(shown.bars) <= 500
    parsed(charts.issued(shown, rules))
    if not windows:
        assert shown.outside == 0
