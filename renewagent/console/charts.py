"""Charts as SVG, drawn here: how what is outstanding goes down, and when the certificates were issued. Pure.

Colours come from the pages' style sheet by class, so that dark mode and print have their own; kinds of bars differ by
pattern as well. Every chart has a title and a description, and the page sets a table with the same numbers beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from xml.sax.saxutils import escape

from renewagent.rules import AffectedRule

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 34, 40
_FLOOR = _HEIGHT - _BOTTOM
_AHEAD = 30
"""Days of future that a chart makes room for, up to the deadline."""
_MOST_BARS = 62
_STEPS = (1, 7, 28, 91, 364)
_AROUND = 8
"""Days that are shown on either side of the affected window, at least."""


class OneDay(Protocol):
    """As `reads.Day`."""

    @property
    def day(self) -> date:
        """Which one."""

    @property
    def known(self) -> int:
        """Known to be hit by its end."""

    @property
    def outstanding(self) -> int:
        """Of these, not done."""


class OneIssue(Protocol):
    """As `reads.Issued`."""

    @property
    def outstanding(self) -> int:
        """Hit, not done."""

    @property
    def done(self) -> int:
        """Hit, done."""

    @property
    def clear(self) -> int:
        """Not hit."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Certificates issued in the days from `first` until before `end`."""

    first: date
    end: date
    outstanding: int
    done: int
    clear: int

    @property
    def most(self) -> int:
        """All of them."""
        return self.outstanding + self.done + self.clear


@dataclass(frozen=True, slots=True)
class Histogram:
    """What the chart of issue dates shows, and how many certificates lie outside of it."""

    bars: tuple[Bar, ...]
    outside: int
    step: int


@dataclass(frozen=True, slots=True)
class _Frame:
    first: date
    days: float
    top: int

    def x(self, day: float) -> float:
        return _LEFT + day / self.days * (_WIDTH - _LEFT - _RIGHT)

    def at(self, day: date) -> float:
        return self.x((day - self.first).days)

    def y(self, count: float) -> float:
        return _FLOOR - count / self.top * (_FLOOR - _TOP)


def burn_down(days: Sequence[OneDay], deadline: datetime | None) -> str:
    """Outstanding day by day; the deadline as a line, where it is not far off."""
    first, last = days[0].day, days[-1].day
    due = deadline.astimezone(UTC).date() if deadline else last
    end = max(last, due) if due - last <= timedelta(days=_AHEAD) else last
    top = _round_up(max(day.known for day in days))
    frame = _Frame(first, max((end - first).days, 1), top)
    line = " ".join(f"{frame.at(one.day):.1f},{frame.y(one.outstanding):.1f}" for one in days)
    known = " ".join(f"{frame.at(one.day):.1f},{frame.y(one.known):.1f}" for one in days)
    area = f"{frame.at(first):.1f},{_FLOOR} {line} {frame.at(last):.1f},{_FLOOR}"
    parts = [*_grid(frame), f'<polygon class="area" points="{area}"/>']
    parts += [f'<polyline class="known" points="{known}"/>', f'<polyline class="left" points="{line}"/>']
    parts += [
        f'<circle class="left-dot" cx="{frame.at(one.day):.1f}" cy="{frame.y(one.outstanding):.1f}" r="3"/>'
        for one in days
    ]
    if deadline and first <= due <= end:
        parts += _deadline(frame, due)
    parts += _day_ticks(frame, first, end)
    said = f"On {_words(first)} {days[0].outstanding:,} of {days[0].known:,} were outstanding"
    said += f", on {_words(last)} {days[-1].outstanding:,} of {days[-1].known:,}."
    legend = (("line left", "outstanding"), ("line known", "known to be affected"))
    return _svg("burn-down", "Outstanding smartcards day by day", said, [*parts, *_legend(legend)])


def histogram(days: Mapping[date, OneIssue], rules: Iterable[AffectedRule]) -> Histogram:
    """The bars around the affected window, or of all days where no rule has one."""
    first, last = _span(days, [*_windows(rules)])
    length = (last - first).days + 1
    step = next((step for step in _STEPS if length / step <= _MOST_BARS), _STEPS[-1])
    bars = []
    for number in range(math.ceil(length / step)):
        start = first + timedelta(days=number * step)
        end = start + timedelta(days=step)
        found = [one for day, one in days.items() if start <= day < end]
        kinds = (sum(x.outstanding for x in found), sum(x.done for x in found), sum(x.clear for x in found))
        bars.append(Bar(start, end, *kinds))
    every = sum(one.outstanding + one.done + one.clear for one in days.values())
    return Histogram(tuple(bars), every - sum(bar.most for bar in bars), step)


def issued(shown: Histogram, rules: Iterable[AffectedRule]) -> str:
    """The bars, with the affected window marked."""
    bars = shown.bars
    first, end = bars[0].first, bars[-1].end
    frame = _Frame(first, (end - first).days, _round_up(max(bar.most for bar in bars)))
    parts = ['<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse">']
    parts += ['<rect class="hatch-ground" width="6" height="6"/><path class="hatch" d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5"/>']
    parts += ["</pattern></defs>", *_window_bands(frame, rules), *_grid(frame)]
    for bar in bars:
        parts += _bar(frame, bar)
    parts += _day_ticks(frame, first, end)
    said = f"{sum(bar.outstanding for bar in bars):,} outstanding and {sum(bar.done for bar in bars):,} done"
    said += f" of the certificates issued between {_words(first)} and {_words(end - timedelta(days=1))}."
    legend = (
        ("box out", "outstanding"),
        ("box done", "done"),
        ("box clear", "not affected"),
        ("box window", "affected window"),
    )
    return _svg("issued", "Certificates by day of issue", said, [*parts, *_legend(legend)])


def _bar(frame: _Frame, bar: Bar) -> Iterable[str]:
    left, right = frame.at(bar.first), frame.at(bar.end)
    gap = min(1.5, (right - left) / 6)
    level = 0
    for kind, count in (("out", bar.outstanding), ("done", bar.done), ("clear", bar.clear)):
        if count:
            height = frame.y(level) - frame.y(level + count)
            place = f'x="{left + gap:.1f}" y="{frame.y(level + count):.1f}" width="{right - left - 2 * gap:.1f}"'
            yield f'<rect class="{kind}" {place} height="{max(height, 0.8):.1f}"/>'
            level += count


def _windows(rules: Iterable[AffectedRule]) -> Iterable[tuple[datetime | None, datetime | None]]:
    pairs = dict.fromkeys((rule.issued_from, rule.issued_to) for rule in rules)
    return [pair for pair in pairs if pair != (None, None)]


def _span(
    days: Mapping[date, OneIssue], windows: Sequence[tuple[datetime | None, datetime | None]]
) -> tuple[date, date]:
    edges = [at.astimezone(UTC).date() for pair in windows for at in pair if at is not None]
    all_closed = bool(edges) and all(start and end for start, end in windows)
    if not all_closed:
        edges += days
    if not edges:
        return date(1970, 1, 1), date(1970, 1, 1)
    around = timedelta(days=max((max(edges) - min(edges)).days * 2, _AROUND) if all_closed else 0)
    return min(edges) - around, max(edges) + around


def _window_bands(frame: _Frame, rules: Iterable[AffectedRule]) -> Iterable[str]:
    for start, end in _windows(rules):
        left = frame.x(_days_from(frame.first, start)) if start else _LEFT
        right = frame.x(_days_from(frame.first, end)) if end else _WIDTH - _RIGHT
        left, right = max(left, _LEFT), min(right, _WIDTH - _RIGHT)
        if right > left:
            place = f'x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}"'
            yield f'<rect class="window" {place} height="{_FLOOR - _TOP}"/>'
            yield f'<path class="window-edge" d="M{left:.1f} {_TOP}V{_FLOOR}M{right:.1f} {_TOP}V{_FLOOR}"/>'


def _days_from(first: date, at: datetime) -> float:
    return (at - datetime(first.year, first.month, first.day, tzinfo=UTC)).total_seconds() / 86_400


def _deadline(frame: _Frame, due: date) -> list[str]:
    x = frame.at(due)
    anchor = "end" if x > _WIDTH / 2 else "start"
    place = x - 6 if anchor == "end" else x + 6
    line = f'<path class="deadline" d="M{x:.1f} {_TOP}V{_FLOOR}"/>'
    return [line, _text(place, _TOP + 12, f"deadline {_short(due)}", anchor, "deadline-text")]


def _grid(frame: _Frame) -> list[str]:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = frame.y(frame.top * share)
        kind = "axis" if share == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{frame.top * share:,.0f}", "end"))
    return parts


def _day_ticks(frame: _Frame, first: date, end: date) -> list[str]:
    length = (end - first).days or 1
    every = max(math.ceil(length / 7), 1)
    years = first.year != end.year
    parts = []
    for number in range(0, length + 1, every):
        day, x = first + timedelta(days=number), frame.x(number)
        anchor = "middle" if _LEFT + 20 < x < _WIDTH - _RIGHT - 24 else ("start" if x < _WIDTH / 2 else "end")
        parts.append(f'<path class="axis" d="M{x:.1f} {_FLOOR}v5"/>')
        parts.append(_text(x, _FLOOR + 20, f"{day:%b} {day.year}" if years else _short(day), anchor))
    return parts


def _legend(entries: Iterable[tuple[str, str]]) -> Iterable[str]:
    x = float(_LEFT)
    for kind, words in entries:
        shape, name = kind.split()
        if shape == "line":
            yield f'<path class="{name}" d="M{x:.1f} 14h22"/>'
        else:
            yield f'<rect class="{name}" x="{x + 6:.1f}" y="7" width="14" height="14"/>'
        yield _text(x + 28, 19, words)
        x += 28 + 7.2 * len(words) + 20


def _svg(key: str, title: str, description: str, parts: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{key}-t {key}-d">',
            f'<title id="{key}-t">{escape(title)}</title><desc id="{key}-d">{escape(description)}</desc>',
            *parts,
            "</svg>",
        ]
    )


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _round_up(count: int) -> int:
    """A top whose quarters people like to read: 4, 8, 12, 16, 20, 40, 60, 80, 100, 200, 400, 500, 600 ..."""
    size = 1
    while True:
        for step in (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8):
            quarter = step * size
            if quarter == int(quarter) and 4 * quarter >= count:
                return 4 * int(quarter)
        size *= 10


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"


def _words(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"
