"""Everything that is known of one card: its certificate, how far it is in each campaign, its check-ins and receipts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from renewagent.check_ins import CardState, CheckIn
from renewagent.console import outstanding
from renewagent.console.outstanding import Row
from renewagent.console.people import visible
from renewagent.console.permissions import Person
from renewagent.console.tables import AGENT, CARD, CHECK_IN, RECEIPT, STANDING

_MOST = 200


@dataclass(frozen=True, slots=True)
class Heard:
    """One check-in and where it came from."""

    at: datetime
    received: datetime
    state: CardState
    campaign: str
    why: str
    until: datetime | None
    receipt: bool
    machine: str


@dataclass(frozen=True, slots=True)
class Story:
    """`known`: the card's own row, None if only check-ins are left of it; `standings`: campaign and row; `heard`: the
    newest first, at most 200; `receipts`: rows, without the octets."""

    known: Any
    standings: list[tuple[str, Row]]
    heard: list[Heard]
    receipts: list[Any]
    machine: str


def story(connection: sa.Connection, person: Person, card: str, shown: sa.ColumnElement[str]) -> Story | None:
    """None where `person` may not know of it, or nobody does."""
    known = connection.execute(
        sa.select(CARD, outstanding.machine_for(person).label("machine"))
        .outerjoin(AGENT, AGENT.c.id == CARD.c.agent)
        .where(CARD.c.identity == card, visible(person, CARD.c.organisation))
    ).first()
    standings = _standings(connection, person, card, shown)
    if known is None and not standings:
        return None
    heard = _heard(connection, person, card)
    return Story(known, standings, heard, _receipts(connection, card), known.machine if known else "")


def _standings(
    connection: sa.Connection, person: Person, card: str, shown: sa.ColumnElement[str]
) -> list[tuple[str, Row]]:
    question = sa.select(STANDING.c.campaign).where(STANDING.c.card == card).order_by(STANDING.c.since.desc())
    campaigns = [campaign for (campaign,) in connection.execute(question)]
    found = ((campaign, outstanding.one(connection, campaign, person, card, shown)) for campaign in campaigns)
    return [(campaign, row) for campaign, row in found if row is not None]


def _heard(connection: sa.Connection, person: Person, card: str) -> list[Heard]:
    question = (
        sa.select(CHECK_IN.c.received, CHECK_IN.c.document, outstanding.machine_for(person))
        .outerjoin(AGENT, AGENT.c.id == CHECK_IN.c.agent)
        .where(CHECK_IN.c.card == card)
        .order_by(CHECK_IN.c.at.desc(), CHECK_IN.c.received.desc())
        .limit(_MOST)
    )
    return [_one(*row) for row in connection.execute(question)]


def _one(received: datetime, document: str, machine: str) -> Heard:
    said = CheckIn.from_json(json.loads(document))
    return Heard(
        at=said.at,
        received=received,
        state=said.state,
        campaign=said.campaign,
        why=said.why,
        until=said.until,
        receipt=bool(said.receipt),
        machine=machine,
    )


def _receipts(connection: sa.Connection, card: str) -> list[Any]:
    columns = (RECEIPT.c.sha256, RECEIPT.c.campaign, RECEIPT.c.old, RECEIPT.c.new, RECEIPT.c.at, RECEIPT.c.received)
    return list(connection.execute(sa.select(*columns).where(RECEIPT.c.card == card).order_by(RECEIPT.c.at.desc())))
