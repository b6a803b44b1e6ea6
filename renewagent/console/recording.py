"""Deliveries of check-ins into the records: many at once, in one transaction (`renewagent.console.intake` gathers).

Everything here runs in a thread. A check-in counts once, by its id; second deliveries are as good as the first. On
PostgreSQL several server processes do this at the same moment: each takes a lock per card first, always in one order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from renewagent.check_ins import CardState, CheckIn
from renewagent.console.orders import note_answers, orders_for
from renewagent.console.receipts import Proof
from renewagent.console.standings import Heard, canonical_issuer, hear_all, issuer_text
from renewagent.console.states import believable
from renewagent.console.store import raise_revision
from renewagent.console.tables import AGENT, CARD, CHECK_IN
from renewagent.console.upserts import insert, pieces, put

NO_CARD = "-"
"""In the answer of a workstation without any card to an order."""
NOTED_EVERY = timedelta(minutes=1)
"""How often it is written down that an agent was there."""
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one agent brings, each check-in with the proof in it if there is one. Nothing, for one that only asks."""

    agent: str
    brought: tuple[tuple[CheckIn, Proof | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a delivery; `known` is False for an agent that is not, or no more, one of ours. `orders`: ids of
    those that the agent has not answered yet."""

    known: bool
    accepted: tuple[str, ...] = ()
    again: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    orders: tuple[str, ...] = ()


def record(connection: sa.Connection, now: datetime, deliveries: Sequence[Delivery]) -> list[Taken]:
    """All deliveries into the records, and an answer to each, in their order."""
    agents = _live_agents(connection, {delivery.agent for delivery in deliveries})
    brought = [
        Heard(check_in, proof, one.agent, agents[one.agent].organisation)
        for one in deliveries
        if one.agent in agents
        for check_in, proof in one.brought
    ]
    _take_turns(connection, brought)
    fresh, owners = _once_each(connection, brought, now)
    if fresh:
        _note_cards(connection, fresh, now)
        hear_all(connection, fresh, now)
        note_answers(connection, fresh, now)
        raise_revision(connection, "standings")
    _note_seen(connection, agents, now)
    orders = orders_for(connection, {name: row.organisation for name, row in agents.items()}, now)
    return [_taken(one, one.agent in agents, fresh, owners, orders) for one in deliveries]


def _live_agents(connection: sa.Connection, names: set[str]) -> dict[str, Any]:
    found = {}
    for some in pieces(sorted(names)):
        live = sa.and_(AGENT.c.id.in_(some), AGENT.c.revoked.is_(None))
        for row in connection.execute(sa.select(AGENT.c.id, AGENT.c.organisation, AGENT.c.last_seen).where(live)):
            found[row.id] = row
    return found


def _take_turns(connection: sa.Connection, brought: Iterable[Heard]) -> None:
    if connection.dialect.name != "postgresql":
        return
    names = {one.check_in.card for one in brought} | {f"new {one.proof.new}" for one in brought if one.proof}
    if names:
        numbers = sorted(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") for name in names)
        each = sa.select(sa.func.unnest(sa.literal(numbers, sa.ARRAY(sa.BigInteger))).label("number")).subquery()
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(each.c.number))).all()


def _once_each(
    connection: sa.Connection, brought: Sequence[Heard], now: datetime
) -> tuple[list[Heard], dict[str, str]]:
    """Those that were not heard before; and whose each check-in is."""
    first: dict[str, Heard] = {}
    for one in brought:
        first.setdefault(one.check_in.id, one)
    rows = [_check_in_row(one, now) for one in first.values()]
    if not rows:
        return [], {}
    statement = insert(connection, CHECK_IN).on_conflict_do_nothing().returning(CHECK_IN.c.id)
    new = set(connection.execute(statement, rows).scalars())
    owners = {name: one.agent for name, one in first.items()}
    for some in pieces(sorted(owners.keys() - new)):
        known = sa.select(CHECK_IN.c.id, CHECK_IN.c.agent).where(CHECK_IN.c.id.in_(some))
        owners.update((row.id, row.agent) for row in connection.execute(known))
    return [one for name, one in first.items() if name in new], owners


def _check_in_row(heard: Heard, now: datetime) -> dict[str, Any]:
    check_in = heard.check_in
    document = replace(check_in, receipt=b"").to_json()
    if check_in.receipt:
        document["receipt"] = hashlib.sha256(check_in.receipt).hexdigest()
    return {
        "id": check_in.id,
        "agent": heard.agent,
        "card": check_in.card,
        "at": check_in.at,
        "received": now,
        "document": _JSON.encode(document),
    }


def _note_cards(connection: sa.Connection, fresh: Sequence[Heard], now: datetime) -> None:
    seen = [one for one in fresh if one.check_in.card != NO_CARD]
    cards: dict[str, dict[str, Any]] = {}
    for some in pieces(sorted({one.check_in.card for one in seen})):
        known = sa.select(CARD).where(CARD.c.identity.in_(some))
        cards.update((row["identity"], dict(row)) for row in connection.execute(known).mappings())
    for one in seen:
        cards[one.check_in.card] = _card(cards.get(one.check_in.card), one, now)
    put(connection, CARD, list(cards.values()))


def _card(before: dict[str, Any] | None, heard: Heard, now: datetime) -> dict[str, Any]:
    check_in = heard.check_in
    at = believable(check_in.at, now)
    if before is not None and at < before["last_seen"]:
        return {**before, "first_seen": min(at, before["first_seen"])}
    row = before or {"issuer": "", "serial": "", "sha256": "", "not_before": None, "not_after": None, "first_seen": at}
    return {
        **row,
        **_certificate_on(check_in, heard),
        "identity": check_in.card,
        "model": check_in.model or row.get("model", ""),
        "organisation": heard.organisation,
        "agent": heard.agent,
        "last_seen": at,
    }


def _certificate_on(check_in: CheckIn, heard: Heard) -> dict[str, Any]:
    """The signing certificate on the card: what is claimed is the affected one, also when it is there no more."""
    if heard.proof is not None:
        new, head = heard.proof.certificate, heard.proof.certificate.head
        named = {"issuer": issuer_text(head.issuer), "serial": head.serial_hex, "sha256": new.sha256}
        return {**named, "not_before": head.not_before, "not_after": head.not_after}
    if check_in.certificate is None or check_in.state in (CardState.RENEWED, CardState.DONE):
        return {}
    one = check_in.certificate
    named = {"issuer": canonical_issuer(one.issuer), "serial": one.serial, "sha256": one.sha256}
    return {**named, "not_before": one.not_before, "not_after": one.not_after}


def _note_seen(connection: sa.Connection, agents: dict[str, Any], now: datetime) -> None:
    """Once a minute is enough."""
    late = [n for n, row in agents.items() if row.last_seen is None or now - row.last_seen >= NOTED_EVERY]
    for some in pieces(sorted(late)):
        connection.execute(sa.update(AGENT).where(AGENT.c.id.in_(some)).values(last_seen=now))


def _taken(
    delivery: Delivery, known: bool, fresh: Sequence[Heard], owners: dict[str, str], orders: dict[str, list[str]]
) -> Taken:
    if not known:
        return Taken(known=False)
    ids = [check_in.id for check_in, _ in delivery.brought]
    new = {one.check_in.id for one in fresh if one.agent == delivery.agent}
    own = tuple(one for one in ids if owners.get(one) == delivery.agent)
    others = tuple((one, "another workstation has used this id") for one in ids if owners.get(one) != delivery.agent)
    return Taken(True, own, sum(one not in new for one in own), others, tuple(orders.get(delivery.agent, ())))
