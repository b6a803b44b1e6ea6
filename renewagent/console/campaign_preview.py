"""How many would a campaign hit? Asked of the cards that have been seen and of the certificates on target lists.

The console keeps issuer, serial and dates of a certificate and the kind of its card. What else a rule looks at (its
keys, its algorithms) only the workstation can tell: then a count is the most that it can be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from renewagent.console.people import visible
from renewagent.console.permissions import Person
from renewagent.console.tables import CARD, TARGET
from renewagent.names import Name, parse_name
from renewagent.rules import AffectedRule, Campaign

_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Hit:
    """In one organisation: cards that were seen, and certificates on target lists."""

    cards: int
    cards_hit: int
    targets: int
    targets_hit: int


@dataclass(frozen=True, slots=True)
class Preview:
    """`by_rule`: cards and targets by the first rule that hits; `exact` False where a count is the most it can be."""

    by_organisation: dict[str, Hit]
    by_rule: Counter[str]
    exact: bool

    @property
    def total(self) -> Hit:
        """Over all organisations."""
        hits = self.by_organisation.values()
        names = ("cards", "cards_hit", "targets", "targets_hit")
        return Hit(*(sum(getattr(hit, name) for hit in hits) for name in names))


def preview(connection: sa.Connection, person: Person, campaign: Campaign) -> Preview:
    """As if the campaign were in force, whatever its dates. Reads everything that `person` may read once."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_rule: Counter[str] = Counter()
    for table, model in ((CARD, CARD.c.model), (TARGET, sa.literal(""))):
        for row in _rows(connection, person, table, model):
            counts[row.organisation][table.name] += 1
            rule = next((rule for rule in campaign.rules if _may_hit(rule, row)), None)
            if rule is not None:
                counts[row.organisation][f"{table.name} hit"] += 1
                by_rule[rule.name] += 1
    names = ("card", "card hit", "target", "target hit")
    found = {code: Hit(*(count[name] for name in names)) for code, count in sorted(counts.items())}
    return Preview(found, by_rule, all(_is_exact(rule) for rule in campaign.rules))


def _rows(
    connection: sa.Connection, person: Person, table: sa.Table, model: sa.ColumnElement[str]
) -> Iterator[sa.Row[Any]]:
    columns = (table.c.organisation, table.c.issuer, table.c.serial, table.c.not_before, model.label("model"))
    question = sa.select(*columns).where(visible(person, table.c.organisation))
    # A certificate that is on the lists of several campaigns is one certificate.
    question = question.distinct() if table is TARGET else question
    yield from connection.execution_options(yield_per=_AT_ONCE).execute(question)


def _may_hit(rule: AffectedRule, row: sa.Row[Any]) -> bool:
    at: datetime | None = row.not_before
    dated = rule.issued_from is not None or rule.issued_to is not None
    if (dated and at is None) or (at is not None and not rule.holds_date(at)):
        return False
    if rule.card_models and row.model and row.model not in rule.card_models:
        return False
    return _holds_issuer(rule, row.issuer) and _holds_serial(rule, row.serial)


def _holds_issuer(rule: AffectedRule, issuer: str) -> bool:
    if rule.issuer is None:
        return True
    name = _name(issuer)
    return name is not None and rule.holds_issuer(name)


def _holds_serial(rule: AffectedRule, serial: str) -> bool:
    return not rule.serials or (serial != "" and rule.holds_serial(int(serial, 16)))


@lru_cache(maxsize=1000)
def _name(text: str) -> Name | None:
    try:
        return parse_name(text)
    except ValueError:
        return None


def _is_exact(rule: AffectedRule) -> bool:
    asks_for_more = rule.signature_algorithms or rule.key_algorithms or rule.key_bits_below is not None
    return not asks_for_more
