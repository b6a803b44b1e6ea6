"""The lists of single cards: who is left, oldest first, with filters, a page at a time.

A row is a standing, or a target that no workstation has seen. Pages go by key, not by number of row, so that the
thousandth is as quick as the first and none is missed while others move.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from renewagent.check_ins import CardState
from renewagent.console.people import visible
from renewagent.console.permissions import Person
from renewagent.console.standings import outstanding
from renewagent.console.tables import AGENT, CARD, STANDING, TARGET

PAGE = 50
EXPIRIES = (7, 30, 60, 90)
"""Days, as Care Identity Management offers them."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list. `states` empty: all that is outstanding. `expires_within` in days; `cards_held`: only holders with
    so many cards on the target list (2: two or more). What a target list does not tell of a card that was never seen
    (expiry, type) leaves it out."""

    states: frozenset[CardState] = frozenset()
    organisation: str = ""
    issued_from: datetime | None = None
    issued_before: datetime | None = None
    expires_within: int = 0
    model: str = ""
    cards_held: int = 0
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One card in one campaign. `state` as it is shown, `underlying` as it is kept; `email` None where no target list
    tells; `card` is "" for one that was never seen."""

    state: CardState
    underlying: CardState
    card: str
    since: datetime
    issuer: str
    serial: str
    organisation: str
    not_before: datetime | None
    not_after: datetime | None = None
    first: datetime | None = None
    heard: datetime | None = None
    told: datetime | None = None
    until: datetime | None = None
    put_off: int = 0
    failures: int = 0
    why: str = ""
    rule: str = ""
    model: str = ""
    machine: str = ""
    holder: str = ""
    email: str | None = None
    card_number: str = ""
    receipt: str = ""

    @property
    def key(self) -> tuple[int, str, str]:
        """Its place in the order: time in milliseconds, then whatever tells it from others of the same time."""
        at = round(self.since.timestamp() * 1000)
        return (at, "", self.card) if self.card else (at, self.issuer, self.serial)


@dataclass(frozen=True, slots=True)
class Page:
    """`after` leads to the next page, "" at the end."""

    rows: list[Row]
    after: str


def page(
    connection: sa.Connection,
    campaign: str,
    person: Person,
    wanted: Filter,
    now: datetime,
    shown: sa.ColumnElement[str],
    *,
    after: str = "",
    size: int = PAGE,
) -> Page:
    """The rows that follow `after`. Raises ValueError if that is none of ours."""
    key = _key(after) if after else None
    rows = [*_never_seen(connection, campaign, person, wanted, key, size + 1)]
    # Where those fill the page, nothing younger than the last of them comes onto it.
    until = rows[-1].since if len(rows) > size else None
    rows += _seen(connection, campaign, person, wanted, now, shown, key, until, size + 1)
    rows.sort(key=lambda row: row.key)
    rest = len(rows) > size
    return Page(rows[:size], _text(rows[size - 1].key) if rest else "")


def one(
    connection: sa.Connection, campaign: str, person: Person, card: str, shown: sa.ColumnElement[str]
) -> Row | None:
    """The standing of one card in a campaign."""
    question = _standing_rows(campaign, person, shown).where(STANDING.c.card == card)
    return next((_row(row) for row in connection.execute(question)), None)


def machine_for(person: Person) -> sa.ColumnElement[str]:
    """The name of an AGENT's computer, as far as it is this person's to know: a card goes where its holder goes."""
    return sa.case(
        (AGENT.c.id.is_(None), ""),
        (visible(person, AGENT.c.organisation), AGENT.c.machine),
        else_="another organisation's",
    )


def models(connection: sa.Connection, person: Person) -> list[str]:
    """The kinds of card that were ever seen in this person's organisations."""
    question = sa.select(CARD.c.model).where(visible(person, CARD.c.organisation), CARD.c.model != "")
    return list(connection.execute(question.distinct().order_by(CARD.c.model)).scalars())


def _seen(
    connection: sa.Connection,
    campaign: str,
    person: Person,
    wanted: Filter,
    now: datetime,
    shown: sa.ColumnElement[str],
    key: tuple[int, str, str] | None,
    until: datetime | None,
    most: int,
) -> Iterator[Row]:
    question = _standing_rows(campaign, person, shown).where(*_of_standing(wanted, now, shown))
    question = question.where(_about_holder(campaign, wanted))
    if key is not None:
        at, issuer, card = key
        same = STANDING.c.card > card if not issuer else sa.false()
        question = question.where(_later(STANDING.c.since, at, same))
    if until is not None:
        question = question.where(STANDING.c.since <= until)
    question = question.order_by(STANDING.c.since, STANDING.c.card).limit(most)
    return (_row(row) for row in connection.execute(question))


def _standing_rows(campaign: str, person: Person, shown: sa.ColumnElement[str]) -> sa.Select[Any]:
    target = (
        (TARGET.c.campaign == STANDING.c.campaign)
        & (TARGET.c.issuer == STANDING.c.issuer)
        & (TARGET.c.serial == STANDING.c.serial)
    )
    joined = (
        sa.outerjoin(STANDING, CARD, CARD.c.identity == STANDING.c.card)
        .outerjoin(TARGET, target)
        .outerjoin(AGENT, AGENT.c.id == STANDING.c.agent)
    )
    machine = machine_for(person).label("machine")
    columns = (CARD.c.not_after, CARD.c.model, machine, TARGET.c.holder, TARGET.c.email, TARGET.c.card_number)
    question = sa.select(STANDING, shown.label("shown"), *columns).select_from(joined)
    return question.where(STANDING.c.campaign == campaign, visible(person, STANDING.c.organisation))


def _of_standing(wanted: Filter, now: datetime, shown: sa.ColumnElement[str]) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.states:
        yield shown.in_([state.value for state in wanted.states])
    else:
        yield outstanding()
    if wanted.organisation:
        yield STANDING.c.organisation == wanted.organisation
    yield from _issued(STANDING.c.not_before, wanted)
    if wanted.expires_within:
        yield CARD.c.not_after.between(now, now + timedelta(days=wanted.expires_within))
    if wanted.model:
        yield CARD.c.model == wanted.model


def _never_seen(
    connection: sa.Connection,
    campaign: str,
    person: Person,
    wanted: Filter,
    key: tuple[int, str, str] | None,
    most: int,
) -> Iterator[Row]:
    if (wanted.states and CardState.NOT_SEEN not in wanted.states) or wanted.expires_within or wanted.model:
        return
    seen = sa.exists().where(
        STANDING.c.campaign == TARGET.c.campaign,
        STANDING.c.issuer == TARGET.c.issuer,
        STANDING.c.serial == TARGET.c.serial,
    )
    question = sa.select(TARGET).where(TARGET.c.campaign == campaign, visible(person, TARGET.c.organisation), ~seen)
    question = question.where(_about_holder(campaign, wanted), *_issued(TARGET.c.not_before, wanted))
    if wanted.organisation:
        question = question.where(TARGET.c.organisation == wanted.organisation)
    if key is not None:
        same = sa.tuple_(TARGET.c.issuer, TARGET.c.serial) > sa.tuple_(sa.literal(key[1]), sa.literal(key[2]))
        question = question.where(_later(TARGET.c.added, key[0], same if key[1] else sa.true()))
    question = question.order_by(TARGET.c.added, TARGET.c.issuer, TARGET.c.serial).limit(most)
    for row in connection.execute(question):
        yield Row(
            state=CardState.NOT_SEEN,
            underlying=CardState.NOT_SEEN,
            card="",
            since=row.added,
            issuer=row.issuer,
            serial=row.serial,
            organisation=row.organisation,
            not_before=row.not_before,
            rule=row.rule,
            holder=row.holder,
            email=row.email,
            card_number=row.card_number,
        )


def _later(column: sa.ColumnElement[Any], at: int, same: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    number = sa.type_coerce(column, sa.BigInteger)
    return sa.and_(number >= at, sa.or_(number > at, same))


def _issued(column: sa.ColumnElement[Any], wanted: Filter) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.issued_from is not None:
        yield column >= wanted.issued_from
    if wanted.issued_before is not None:
        yield column < wanted.issued_before


def _about_holder(campaign: str, wanted: Filter) -> sa.ColumnElement[bool]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.holder:
        conditions.append(TARGET.c.holder == wanted.holder)
    if wanted.cards_held:
        others = TARGET.alias()
        held = (
            sa.select(sa.func.count())
            .where(others.c.campaign == campaign, others.c.holder == TARGET.c.holder)
            .scalar_subquery()
        )
        enough = held >= wanted.cards_held if wanted.cards_held > 1 else held == 1
        conditions += [TARGET.c.holder != "", enough]
    return sa.and_(sa.true(), *conditions)


def _row(row: Any) -> Row:
    return Row(
        state=CardState(row.shown),
        underlying=CardState(row.state),
        card=row.card,
        since=row.since,
        issuer=row.issuer,
        serial=row.serial,
        organisation=row.organisation,
        not_before=row.not_before,
        not_after=row.not_after,
        first=row.first,
        heard=row.heard,
        told=row.told,
        until=row.until,
        put_off=row.put_off,
        failures=row.failures,
        why=row.why,
        rule=row.rule,
        model=row.model or "",
        machine=row.machine or "",
        holder=row.holder or "",
        email=row.email,
        card_number=row.card_number or "",
        receipt=row.receipt,
    )


def without_holder(row: Row) -> Row:
    """The row for somebody who may know of cards, but not of people."""
    return replace(row, holder="", email=None, card_number="")


def _text(key: tuple[int, str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")


def _key(text: str) -> tuple[int, str, str]:
    try:
        at, issuer, rest = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, TypeError) as problem:
        raise ValueError("not a place in this list") from problem
    if type(at) is not int or not (0 <= at < 2**53) or not isinstance(issuer, str) or not isinstance(rest, str):
        raise ValueError("not a place in this list")
    return at, issuer, rest
