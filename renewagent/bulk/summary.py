"""The counts of a whole check: as one JSON document, and in words for a terminal. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from renewagent.bulk.tally import NO_DAY, Tally
from renewagent.bulk.verdicts import VERDICTS
from renewagent.rules import AffectedRule

_TOLD = 12


@dataclass(slots=True)
class Summary:
    """What was found. `problems` are sentences about sources that could not be read to their end; `examples` the first
    affected rows, as many as were wanted."""

    rules: tuple[AffectedRule, ...]
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    sources: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    out: str | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def checked(self) -> int:
        """Certificates and what stood in their places."""
        return self.tally.verdicts.total()

    def document(self) -> dict[str, object]:
        """For scripts. The four verdicts add up to `checked`, the rules to `affected`."""
        tally = self.tally
        return {
            "ok": not self.problems,
            "checked": self.checked,
            **{
                verdict: tally.verdicts[VERDICTS.index(verdict)]
                for verdict in ("affected", "unaffected", "damaged", "unreadable")
            },
            "seconds": round(self.seconds, 3),
            "by_rule": self.by_rule(),
            "by_issuer": _by(tally.issuers),
            "by_month": _by(self.by_month()),
            "by_column": {name: _by(counts) for name, counts in tally.columns.items()},
            "sources": dict(self.sources),
            "problems": list(self.problems),
            "out": self.out,
        }

    def by_rule(self) -> dict[str, int]:
        """Affected certificates by the first rule that hit them; rules that hit none are there with 0."""
        counts: dict[str, int] = {}
        for number, rule in enumerate(self.rules):
            counts[rule.name] = counts.get(rule.name, 0) + self.tally.rules[number]
        return counts

    def by_month(self) -> Counter[tuple[str, int]]:
        """By month of issue, "" where that is not known."""
        counts: Counter[tuple[str, int]] = Counter()
        for (day, verdict), count in self.tally.days.items():
            counts[month_of(day), verdict] += count
        return counts

    def lines(self) -> list[str]:
        """For people."""
        per_second = f", {self.checked / self.seconds:,.0f} a second" if self.seconds > 0.01 else ""
        found = [f"Checked {_counted(self.checked, 'certificate')} in {self.seconds:.1f} s{per_second}."]
        found += _table([(verdict, self.tally.verdicts[VERDICTS.index(verdict)]) for verdict in _ORDER])
        found += ["By rule:", *_table(self.by_rule().items())]
        for title, counts in (("issuer", self.tally.issuers), ("month of issue", self.by_month())):
            found += _section(f"By {title}", counts, in_order=title != "issuer")
        for name, counts in self.tally.columns.items():
            found += _section(f"By {name}", counts)
        return found


_ORDER = ("affected", "unaffected", "damaged", "unreadable")


def month_of(day: int) -> str:
    """ "2020-09" for a day since 1970."""
    return "" if day == NO_DAY else str(np.datetime64(day, "D").astype("M8[M]"))


def _by(counts: Mapping[tuple[str, int], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_ORDER, 0))
    for (what, verdict), count in sorted(counts.items()):
        found[what][VERDICTS[verdict]] += count
    return dict(found)


def _section(title: str, counts: Mapping[tuple[str, int], int], *, in_order: bool = False) -> list[str]:
    """The affected ones of each; the most first, or all in order."""
    by = _by(counts)
    rows = [(what or "(not known)", one["affected"], sum(one.values())) for what, one in by.items()]
    hit = [row for row in rows if row[1]]
    if not in_order:
        hit.sort(key=lambda row: -row[1])
    if not hit:
        return []
    lines = [f"{title}, affected of all:"]
    lines += [f"  {affected:>12,} of {count:>12,}  {what}" for what, affected, count in hit[:_TOLD]]
    if len(hit) > _TOLD:
        lines.append(f"  and {len(hit) - _TOLD} more (--json has them all)")
    return lines


def _table(rows: Iterable[tuple[str, int]]) -> Sequence[str]:
    return [f"  {count:>12,}  {what}" for what, count in rows]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
