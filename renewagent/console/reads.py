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
from typing import Any

import sqlalchemy as sa

from renewagent.campaign.document import parse_campaign
from renewagent.check_ins import CardState
from renewagent.console.people import visible
from renewagent.console.permissions import Person
from renewagent.console.tables import CAMPAIGN, CARD, ORGANISATION, REVISION, STANDING, TARGET
from renewagent.rules import Campaign

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
class Counts:
    """How many cards are in which state, by organisation (code)."""

    by_organisation: Mapping[str, Counter[CardState]]

    @property
    def total(self) -> Counter[CardState]:
        """Over all organisations."""
        return sum(self.by_organisation.values(), Counter())


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


def campaigns(connection: sa.Connection) -> list[Published]:
    """The highest version of each, the one published last first."""
    newest = sa.select(CAMPAIGN.c.id, sa.func.max(CAMPAIGN.c.version).label("version")).group_by(CAMPAIGN.c.id)
    top = newest.subquery()
    question = sa.select(CAMPAIGN).join(top, (CAMPAIGN.c.id == top.c.id) & (CAMPAIGN.c.version == top.c.version))
    return [
        _published(row) for row in connection.execute(question.order_by(CAMPAIGN.c.published.desc(), CAMPAIGN.c.id))
    ]


def versions(connection: sa.Connection, campaign: str) -> list[Published]:
    """Every version of one campaign, the highest first."""
    question = sa.select(CAMPAIGN).where(CAMPAIGN.c.id == campaign).order_by(CAMPAIGN.c.version.desc())
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


def revision(connection: sa.Connection, name: str) -> int:
    """The number of this kind of news."""
    return connection.execute(sa.select(REVISION.c.number).where(REVISION.c.name == name)).scalar() or 0


def counts(connection: sa.Connection, campaign: str, person: Person, shown: sa.ColumnElement[str]) -> Counts:
    """How many cards are how far; `shown` is `standings.shown_state`. CLEAR holds every card that was seen and that the
    campaign does not hit."""
    found: defaultdict[str, Counter[CardState]] = defaultdict(Counter)
    for organisation, state, count in connection.execute(_standings(campaign, person, shown)):
        found[organisation][CardState(state)] += count
    for organisation, *_, count in _not_seen(connection, campaign, person):
        found[organisation][CardState.NOT_SEEN] += count
    for organisation, count in connection.execute(_untouched(campaign, person, CARD.c.organisation)):
        found[organisation][CardState.CLEAR] += count
    return Counts({code: +found[code] for code in sorted(found) if +found[code]})


def burn_down(connection: sa.Connection, campaign: str, person: Person, today: date) -> list[Day]:
    """Day by day from the first until `today`. A card that was hit without being a target counts from when it was
    first heard of; one that turned out to be clear counts no more from then on."""
    arrived, done = Counter[date](), Counter[date]()
    for day, count in connection.execute(_targets_by(campaign, person, _day(TARGET.c.added))):
        arrived[_date(day)] += count
    for first, since, state, target, count in connection.execute(_steps(campaign, person)):
        if not target and state != CardState.CLEAR.value:
            arrived[_date(first)] += count
        if state == CardState.DONE.value or (target and state == CardState.CLEAR.value):
            done[_date(since)] += count
    days, known, finished = [], 0, 0
    first_day = min(arrived, default=today)
    for number in range((today - first_day).days + 1):
        day = first_day + timedelta(days=number)
        known, finished = known + arrived[day], finished + done[day]
        days.append(Day(day, known, finished))
    return days


def issue_days(connection: sa.Connection, campaign: str, person: Person) -> dict[date, Issued]:
    """By day of issue of the certificate that was on the card when the campaign began."""
    found: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for _, day, count in _not_seen(connection, campaign, person):
        found[_date(day)]["outstanding"] += count if day is not None else 0
    by = _day(STANDING.c.not_before)
    question = (
        sa.select(by, STANDING.c.state, sa.func.count()).where(*_of(campaign, person)).group_by(by, STANDING.c.state)
    )
    for day, state, count in connection.execute(question):
        kind = state if state in ("done", "clear") else "outstanding"
        found[_date(day)][kind] += count if day is not None else 0
    for day, count in connection.execute(_untouched(campaign, person, _day(CARD.c.not_before))):
        found[_date(day)]["clear"] += count if day is not None else 0
    return {day: Issued(**kinds) for day, kinds in sorted(found.items()) if kinds.total()}


def _of(campaign: str, person: Person) -> tuple[sa.ColumnElement[bool], ...]:
    return STANDING.c.campaign == campaign, visible(person, STANDING.c.organisation)


def _standings(campaign: str, person: Person, shown: sa.ColumnElement[str]) -> sa.Select[Any]:
    question = sa.select(STANDING.c.organisation, shown, sa.func.count())
    return question.where(*_of(campaign, person)).group_by(STANDING.c.organisation, shown)


def _targets_by(campaign: str, person: Person, *by: sa.ColumnElement[Any]) -> sa.Select[Any]:
    question = sa.select(*by, sa.func.count()).where(TARGET.c.campaign == campaign)
    return question.where(visible(person, TARGET.c.organisation)).group_by(*by)


def _not_seen(connection: sa.Connection, campaign: str, person: Person) -> list[tuple[str, int | None, int]]:
    """Targets without a standing: organisation, day of issue, count. All targets less those with one, since there are
    many times more targets than cards that have been seen."""
    by = (TARGET.c.organisation, _day(TARGET.c.not_before))
    left = Counter[tuple[str, int | None]]()
    for organisation, day, count in connection.execute(_targets_by(campaign, person, *by)):
        left[organisation, day] += count
    seen = sa.select(STANDING.c.issuer, STANDING.c.serial).where(STANDING.c.campaign == campaign).distinct().subquery()
    matched = _targets_by(campaign, person, *by).join_from(
        seen, TARGET, (TARGET.c.issuer == seen.c.issuer) & (TARGET.c.serial == seen.c.serial)
    )
    for organisation, day, count in connection.execute(matched):
        left[organisation, day] -= count
    return [(organisation, day, count) for (organisation, day), count in left.items()]


def _untouched(campaign: str, person: Person, by: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Cards that were seen and of which the campaign says nothing."""
    hit = sa.exists().where(STANDING.c.campaign == campaign, STANDING.c.card == CARD.c.identity)
    return sa.select(by, sa.func.count()).where(~hit, visible(person, CARD.c.organisation)).group_by(by)


def _steps(campaign: str, person: Person) -> sa.Select[Any]:
    same = (TARGET.c.campaign == campaign, TARGET.c.issuer == STANDING.c.issuer, TARGET.c.serial == STANDING.c.serial)
    by = (_day(STANDING.c.first), _day(STANDING.c.since), STANDING.c.state, sa.exists().where(*same))
    return sa.select(*by, sa.func.count()).where(*_of(campaign, person)).group_by(*by)


def _day(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Days since 1970, rounded down by both databases for times after it."""
    return sa.type_coerce(column, sa.BigInteger).op("/")(sa.literal_column(str(_DAY)))


def _date(day: int | None) -> date:
    return _EPOCH + timedelta(days=int(day or 0))
