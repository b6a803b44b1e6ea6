"""What the dashboard counts: cards by state and organisation, day by day, and by day of issue.

Every question is asked for a person, so that nobody reads another organisation's numbers. A card's state is the one
that is kept, but for two that are found when read: NOT_SEEN (a target without a standing) and STUCK. Lists of single
cards are `renewagent.console.outstanding`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from renewagent.campaign.document import parse_campaign
from renewagent.check_ins import CardState
from renewagent.console.people import visible
from renewagent.console.permissions import Person
from renewagent.console.tables import CAMPAIGN, CARD, ORGANISATION, STANDING, TARGET
from renewagent.rules import Campaign

_PUBLISHED = (CAMPAIGN.c.document, CAMPAIGN.c.sha256, CAMPAIGN.c.signer, CAMPAIGN.c.received, CAMPAIGN.c.received_by)
_DAY = 86_400_000
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Published:
    """A campaign as it was accepted: its highest version, or one of those before."""

    campaign: Campaign
    sha256: str
    signer: str
    received: datetime
    received_by: str


@dataclass(frozen=True, slots=True)
class Day:
    """At the end of this day: how many certificates the campaign was known to hit, and how many of those were done."""

    day: date
    known: int
    done: int

    @property
    def outstanding(self) -> int:
        """What was left to do."""
        return self.known - self.done


@dataclass(frozen=True, slots=True)
class Issued:
    """Certificates issued on one day: outstanding, done, and such as no rule hits."""

    outstanding: int = 0
    done: int = 0
    clear: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """`counts`: cards by state, by organisation (code); CLEAR holds every card that was seen and that the campaign does
    not hit. `days`: from the first until today. A card that was hit without being a target counts from when it was
    first heard of; one that turned out to be clear counts no more from then on. `issued`: by day of issue of the
    certificate that was on the card when the campaign began."""

    counts: Mapping[str, Counter[CardState]]
    days: list[Day]
    issued: dict[date, Issued]

    @property
    def total(self) -> Counter[CardState]:
        """Over all organisations."""
        return sum(self.counts.values(), Counter())


def campaigns(connection: sa.Connection) -> list[Published]:
    """The highest version of each, the one published last first."""
    newest = sa.select(CAMPAIGN.c.id, sa.func.max(CAMPAIGN.c.version).label("version")).group_by(CAMPAIGN.c.id)
    top = newest.subquery()
    question = sa.select(*_PUBLISHED).join(top, (CAMPAIGN.c.id == top.c.id) & (CAMPAIGN.c.version == top.c.version))
    return [
        _published(row) for row in connection.execute(question.order_by(CAMPAIGN.c.published.desc(), CAMPAIGN.c.id))
    ]


def versions(connection: sa.Connection, campaign: str) -> list[Published]:
    """Every version of one campaign, the highest first."""
    question = sa.select(*_PUBLISHED).where(CAMPAIGN.c.id == campaign).order_by(CAMPAIGN.c.version.desc())
    return [_published(row) for row in connection.execute(question)]


def _published(row: Any) -> Published:
    return Published(_parsed(row.document), row.sha256, row.signer, row.received, row.received_by)


@lru_cache(maxsize=64)
def _parsed(document: bytes) -> Campaign:
    return parse_campaign(document)


def organisations(connection: sa.Connection, person: Person) -> dict[str, str]:
    """Names by code."""
    question = sa.select(ORGANISATION).where(visible(person, ORGANISATION.c.code)).order_by(ORGANISATION.c.code)
    return {row.code: row.name for row in connection.execute(question)}


def numbers(
    connection: sa.Connection, campaign: str, person: Person, shown: sa.ColumnElement[str], today: date
) -> Numbers:
    """Everything that the dashboard shows; `shown` is `standings.shown_state`. The database is asked once for each."""
    targets = _all(connection, _targets_by(campaign, person, TARGET.c.organisation, _ADDED, _TARGET_ISSUED))
    not_seen = _not_seen(connection, campaign, person, targets)
    standings = [_Standings(*row) for row in _all(connection, _standings(campaign, person, shown))]
    untouched = _all(connection, _untouched(campaign, person))
    counts: defaultdict[str, Counter[CardState]] = defaultdict(Counter)
    issued: defaultdict[date, Counter[str]] = defaultdict(Counter)
    rows = [(organisation, CardState.NOT_SEEN, day, count) for (organisation, day), count in not_seen.items()]
    rows += [(one.organisation, CardState(one.state), one.issued, one.cards) for one in standings]
    rows += [(organisation, CardState.CLEAR, day, count) for organisation, day, count in untouched]
    for organisation, state, day, count in rows:
        counts[organisation][state] += count
        if day is not None:
            issued[_date(day)][_KINDS.get(state, "outstanding")] += count
    return Numbers(
        {code: +counts[code] for code in sorted(counts) if +counts[code]},
        _burn_down(targets, standings, today),
        {day: Issued(**kinds) for day, kinds in sorted(issued.items()) if kinds.total()},
    )


def _burn_down(targets: list[Any], standings: list[_Standings], today: date) -> list[Day]:
    arrived, done = Counter[date](), Counter[date]()
    for _, added, _, count in targets:
        arrived[_date(added)] += count
    for one in standings:
        clear = one.state == CardState.CLEAR.value
        if not one.listed and not clear:
            arrived[_date(one.first)] += one.cards
        if one.state == CardState.DONE.value or (one.listed and clear):
            done[_date(one.since)] += one.cards
    days, known, finished = [], 0, 0
    first_day = min(arrived, default=today)
    for number in range((today - first_day).days + 1):
        day = first_day + timedelta(days=number)
        known, finished = known + arrived[day], finished + done[day]
        days.append(Day(day, known, finished))
    return days


def _all(connection: sa.Connection, question: sa.Select[Any]) -> list[Any]:
    return [tuple(row) for row in connection.execute(question)]


class _Standings(NamedTuple):
    """So many that are alike. Days count from 1970; `first` matters for those that are no targets, `since` for those
    that are settled: else both are 0."""

    organisation: str
    state: str
    issued: int | None
    first: int
    since: int
    listed: int
    cards: int


def _standings(campaign: str, person: Person, shown: sa.ColumnElement[str]) -> sa.Select[Any]:
    target = (
        (TARGET.c.campaign == STANDING.c.campaign)
        & (TARGET.c.issuer == STANDING.c.issuer)
        & (TARGET.c.serial == STANDING.c.serial)
    )
    listed = sa.case((TARGET.c.serial.is_not(None), 1), else_=0)
    first = sa.case((TARGET.c.serial.is_(None), _day(STANDING.c.first)), else_=0)
    settled = STANDING.c.state.in_([CardState.DONE.value, CardState.CLEAR.value])
    since = sa.case((settled, _day(STANDING.c.since)), else_=0)
    about: list[sa.ColumnElement[Any]] = [STANDING.c.organisation, shown, _day(STANDING.c.not_before)]
    columns = [*about, first, since, listed]
    names = _Standings._fields[:-1]
    rows = sa.select(*(column.label(name) for column, name in zip(columns, names, strict=True)))
    rows = rows.select_from(sa.outerjoin(STANDING, TARGET, target))
    each = rows.where(STANDING.c.campaign == campaign, visible(person, STANDING.c.organisation)).subquery()
    by = [each.c[name] for name in names]
    return sa.select(*by, sa.func.count()).group_by(*by)


def _targets_by(campaign: str, person: Person, *by: sa.ColumnElement[Any]) -> sa.Select[Any]:
    question = sa.select(*by, sa.func.count()).where(TARGET.c.campaign == campaign)
    return question.where(visible(person, TARGET.c.organisation)).group_by(*by)


def _not_seen(
    connection: sa.Connection, campaign: str, person: Person, targets: list[Any]
) -> Counter[tuple[str, int | None]]:
    """Targets without a standing, by organisation and day of issue: all targets less those with one, since there are
    many times more targets than cards that have been seen."""
    left = Counter[tuple[str, int | None]]()
    for organisation, _, day, count in targets:
        left[organisation, day] += count
    seen = sa.select(STANDING.c.issuer, STANDING.c.serial).where(STANDING.c.campaign == campaign).distinct().subquery()
    matched = _targets_by(campaign, person, TARGET.c.organisation, _TARGET_ISSUED).join_from(
        seen, TARGET, (TARGET.c.issuer == seen.c.issuer) & (TARGET.c.serial == seen.c.serial)
    )
    for organisation, day, count in _all(connection, matched):
        left[organisation, day] -= count
    return left


def _untouched(campaign: str, person: Person) -> sa.Select[Any]:
    """Cards that were seen and of which the campaign says nothing."""
    by = (CARD.c.organisation, _day(CARD.c.not_before))
    hit = sa.exists().where(STANDING.c.campaign == campaign, STANDING.c.card == CARD.c.identity)
    return sa.select(*by, sa.func.count()).where(~hit, visible(person, CARD.c.organisation)).group_by(*by)


def _day(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Days since 1970, rounded down by both databases for times after it."""
    return sa.type_coerce(column, sa.BigInteger).op("/")(sa.literal_column(str(_DAY)))


def _date(day: int | None) -> date:
    return _EPOCH + timedelta(days=int(day or 0))


_ADDED = _day(TARGET.c.added)
_TARGET_ISSUED = _day(TARGET.c.not_before)
_KINDS = {CardState.DONE: "done", CardState.CLEAR: "clear"}
