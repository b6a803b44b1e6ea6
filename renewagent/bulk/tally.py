"""Counts: by verdict, by rule, by issuer, by day of issue, by any column. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NO_DAY = -(10**7)
MOST_VALUES = 100_000
"""Issuers, or values of a column, that are counted one by one; the rest are counted together."""
OTHERS = "(others)"


@dataclass(slots=True)
class Tally:
    """Counts. Those by issuer, by day of issue (days since 1970, NO_DAY where unknown) and by column count each verdict
    by itself: the key is (what, number of the verdict)."""

    verdicts: Counter[int] = field(default_factory=Counter)
    rules: Counter[int] = field(default_factory=Counter)
    issuers: Counter[tuple[str, int]] = field(default_factory=Counter)
    days: Counter[tuple[int, int]] = field(default_factory=Counter)
    columns: dict[str, Counter[tuple[str, int]]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Count what another counted."""
        self.verdicts.update(other.verdicts)
        self.rules.update(other.rules)
        count_values(self.issuers, other.issuers)
        self.days.update(other.days)
        for name, counts in other.columns.items():
            count_values(self.columns.setdefault(name, Counter()), counts)


def count_values(counts: Counter[tuple[str, int]], more: Counter[tuple[str, int]]) -> None:
    """Add `more`; what there is no room for any more is counted as OTHERS."""
    if len(counts) + len(more) < MOST_VALUES:
        counts.update(more)
        return
    for (value, verdict), count in more.items():
        known = (value, verdict) in counts or len(counts) < MOST_VALUES
        counts[value if known else OTHERS, verdict] += count
