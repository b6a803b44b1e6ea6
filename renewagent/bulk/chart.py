"""A picture of when certificates were issued, with the affected window marked: SVG, for a report or a browser. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from xml.sax.saxutils import escape

from renewagent.bulk.tally import NO_DAY
from renewagent.bulk.verdicts import AFFECTED, DAMAGED
from renewagent.rules import AffectedRule

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 60, 60
_MOST_BARS = 130
_EPOCH = date(1970, 1, 1)
_STEPS = (1, 7, 30.436875, 91.310625, 365.2425, 3652.425)  # days in a bar: day, week, month, quarter, year, decade
_NAMES = ("day", "week", "month", "quarter", "year", "decade")
_UNAFFECTED_COLOUR, _AFFECTED_COLOUR, _WINDOW_COLOUR = "#9db4c8", "#c0392b", "#fbe3df"


@dataclass(frozen=True, slots=True)
class _Scale:
    first: float
    step: float
    bars: int
    name: str

    def bar_of(self, day: float) -> int:
        return min(max(int((day - self.first) / self.step), 0), self.bars - 1)

    def x(self, day: float) -> float:
        share = (day - self.first) / (self.step * self.bars)
        return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def day(self, bar: int) -> date:
        return _EPOCH + timedelta(days=self.first + bar * self.step)


def draw(days: Mapping[tuple[int, int], int], rules: tuple[AffectedRule, ...]) -> str:
    """`days` counts (day since 1970, verdict); those of unknown date are left out."""
    known = {key: count for key, count in days.items() if key[0] != NO_DAY}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    if not known:
        parts.append(
            _text(_WIDTH / 2, _HEIGHT / 2, "There is no certificate whose date of issue is known.", anchor="middle")
        )
        return "\n".join([*parts, "</svg>\n"])
    scale = _scale(min(day for day, _ in known), max(day for day, _ in known))
    every, hit = _bars(known, scale)
    most = max(every.values())
    parts += _windows(rules, scale)
    parts += _columns(scale, every, hit, most)
    parts += _axes(scale, most)
    parts += _legend(scale, sum(every.values()), sum(hit.values()))
    return "\n".join([*parts, "</svg>\n"])


def _scale(first: int, last: int) -> _Scale:
    span = last - first + 1
    step, name = next(
        ((s, n) for s, n in zip(_STEPS, _NAMES, strict=True) if span / s <= _MOST_BARS), (_STEPS[-1], "decade")
    )
    return _Scale(first, step, max(int(span / step) + (span % step > 0), 1), name)


def _bars(days: Mapping[tuple[int, int], int], scale: _Scale) -> tuple[Counter[int], Counter[int]]:
    every: Counter[int] = Counter()
    hit: Counter[int] = Counter()
    for (day, verdict), count in days.items():
        every[scale.bar_of(day)] += count
        if verdict in (AFFECTED, DAMAGED):
            hit[scale.bar_of(day)] += count
    return every, hit


def _windows(rules: tuple[AffectedRule, ...], scale: _Scale) -> list[str]:
    """A band for each window, one that has no end up to the margin."""
    parts = []
    for start, end in dict.fromkeys((rule.issued_from, rule.issued_to) for rule in rules):
        if start is None and end is None:
            continue
        left = scale.x(_day(start)) if start else _LEFT
        right = scale.x(_day(end)) if end else _WIDTH - _RIGHT
        parts.append(
            f'<rect class="window" x="{left:.1f}" y="{_TOP}" width="{max(right - left, 1.5):.1f}" '
            f'height="{_HEIGHT - _TOP - _BOTTOM}" fill="{_WINDOW_COLOUR}"/>'
        )
    return parts


def _day(at: datetime) -> float:
    return at.astimezone(UTC).timestamp() / 86_400


def _columns(scale: _Scale, every: Counter[int], hit: Counter[int], most: int) -> list[str]:
    width = (_WIDTH - _LEFT - _RIGHT) / scale.bars
    parts = []
    for bar, count in sorted(every.items()):
        title = f"<title>from {scale.day(bar)}: {hit[bar]:,} affected of {count:,}</title>"
        for amount, colour in ((count, _UNAFFECTED_COLOUR), (hit[bar], _AFFECTED_COLOUR)):
            height = max(amount / most * (_HEIGHT - _TOP - _BOTTOM), 1)
            place = f'x="{_LEFT + bar * width:.2f}" y="{_HEIGHT - _BOTTOM - height:.2f}" width="{width * 0.9:.2f}"'
            if amount:
                parts.append(f'<rect {place} height="{height:.2f}" fill="{colour}">{title}</rect>')
    return parts


def _axes(scale: _Scale, most: int) -> list[str]:
    floor = _HEIGHT - _BOTTOM
    parts = [f'<path d="M{_LEFT} {_TOP}V{floor}H{_WIDTH - _RIGHT}" fill="none" stroke="#444444"/>']
    for share in (0, 0.5, 1):
        y = floor - share * (floor - _TOP)
        parts.append(_text(_LEFT - 8, y + 4, f"{round(most * share):,}", anchor="end"))
    ticks = min(scale.bars, 7)
    for tick in range(ticks + 1):
        bar = round(tick * scale.bars / ticks)
        x = _LEFT + bar / scale.bars * (_WIDTH - _LEFT - _RIGHT)
        parts.append(f'<path d="M{x:.1f} {floor}v5" stroke="#444444"/>')
        parts.append(
            _text(
                x,
                floor + 20,
                str(scale.day(bar)),
                anchor="middle" if 0 < tick < ticks else ("start" if tick == 0 else "end"),
            )
        )
    return parts


def _legend(scale: _Scale, every: int, hit: int) -> list[str]:
    return [
        _text(_LEFT, 24, f"Certificates by {scale.name} of issue: {hit:,} affected of {every:,}", size=16),
        f'<rect x="{_LEFT}" y="36" width="12" height="12" fill="{_AFFECTED_COLOUR}"/>',
        _text(_LEFT + 18, 46, "affected"),
        f'<rect x="{_LEFT + 100}" y="36" width="12" height="12" fill="{_UNAFFECTED_COLOUR}"/>',
        _text(_LEFT + 118, 46, "all others"),
        f'<rect x="{_LEFT + 210}" y="36" width="12" height="12" fill="{_WINDOW_COLOUR}" stroke="#d0a8a2"/>',
        _text(_LEFT + 228, 46, "affected window"),
    ]


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 13) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'
