"""Orders to workstations: "check now". Given on a page, fetched by agents, answered by check-ins.

An order is for all workstations, for those of one organisation, or for one agent; agents that were not on when it was
given answer when they come, until it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.store import raise_revision
from renewagent.console.tables import AGENT, CHECK_ANSWER, CHECK_ORDER
from renewagent.console.upserts import pieces, put

if TYPE_CHECKING:
    from renewagent.console.site import Site
    from renewagent.console.standings import Heard

LASTS = timedelta(days=1)
NO_CARD = "no-card"
"""The verdict of a workstation without any card."""
UNREADABLE = "unreadable"
"""That of one with a card of which nothing can be said."""


@dataclass(frozen=True, slots=True)
class Order:
    """`organisation` and `agent` both "" means all workstations."""

    id: str
    organisation: str
    agent: str
    campaign: str
    asked_by: str
    asked: datetime
    ends: datetime

    def is_for(self, agent: str, organisation: str) -> bool:
        """True if it is for this agent."""
        if self.agent:
            return self.agent == agent
        return not self.organisation or self.organisation == organisation


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an order is: agents it is for, how many of them have answered, and cards by what was found on them."""

    asked: int
    answered: int
    verdicts: Mapping[str, int]


def give_order(
    connection: sa.Connection,
    site: Site,
    actor: str,
    *,
    organisation: str = "",
    agent: str = "",
    campaign: str = "",
    lasts: timedelta = LASTS,
) -> str:
    """Have workstations check their cards now; the order's id. Whether `actor` may is the caller's to know."""
    now, name = site.now(), site.entropy(16).hex()
    whom = {"organisation": organisation, "agent": agent, "campaign": campaign}
    row = {"id": name, **whom, "asked_by": actor, "asked": now, "ends": now + lasts}
    connection.execute(sa.insert(CHECK_ORDER).values(**row))
    raise_revision(connection, "orders")
    audit.record(connection, now, actor, "order.given", {"order": name, **whom})
    return name


def progress(connection: sa.Connection, order: str) -> Progress | None:
    """How far it is; None for none such."""
    row = connection.execute(sa.select(CHECK_ORDER).where(CHECK_ORDER.c.id == order)).first()
    if row is None:
        return None
    found = Order(*row)
    asked = sa.select(sa.func.count()).select_from(AGENT).where(AGENT.c.revoked.is_(None))
    if found.agent:
        asked = asked.where(AGENT.c.id == found.agent)
    elif found.organisation:
        asked = asked.where(AGENT.c.organisation == found.organisation)
    of_it = CHECK_ANSWER.c.order == order
    answered = sa.select(sa.func.count(sa.distinct(CHECK_ANSWER.c.agent))).where(of_it)
    verdicts = sa.select(CHECK_ANSWER.c.verdict, sa.func.count()).where(of_it).group_by(CHECK_ANSWER.c.verdict)
    return Progress(
        connection.execute(asked).scalar_one(),
        connection.execute(answered).scalar_one(),
        {row[0]: row[1] for row in connection.execute(verdicts)},
    )


def orders_for(connection: sa.Connection, agents: Mapping[str, str], now: datetime) -> dict[str, list[str]]:
    """By agent: the orders that it has not answered, oldest first. `agents`: organisations by agent."""
    standing = sa.select(CHECK_ORDER).where(CHECK_ORDER.c.ends > now).order_by(CHECK_ORDER.c.asked)
    orders = [Order(*row) for row in connection.execute(standing)]
    wanted = {name: [o.id for o in orders if o.is_for(name, place)] for name, place in agents.items()}
    wanted = {name: ids for name, ids in wanted.items() if ids}
    answered = _answered(connection, [order.id for order in orders], sorted(wanted))
    return {name: [one for one in ids if (one, name) not in answered] for name, ids in wanted.items()}


def note_answers(connection: sa.Connection, fresh: Sequence[Heard], now: datetime) -> None:
    """Count the check-ins that answer an order to their own agent."""
    named = {one.check_in.order for one in fresh if one.check_in.order}
    if not named:
        return
    known = sa.select(CHECK_ORDER).where(CHECK_ORDER.c.id.in_(named))
    orders = {row.id: Order(*row) for row in connection.execute(known)}
    rows = {}
    for one in fresh:
        order, card = orders.get(one.check_in.order), one.check_in.card
        if order is not None and order.is_for(one.agent, one.organisation):
            verdict = _without_card(one.check_in.why) if card == "-" else one.check_in.state.value
            key = {"order": order.id, "agent": one.agent, "card": card}
            rows[order.id, one.agent, card] = {**key, "verdict": verdict, "at": now}
    put(connection, CHECK_ANSWER, list(rows.values()))


def _without_card(why: str) -> str:
    return NO_CARD if why in ("", NO_CARD) else UNREADABLE


def _answered(connection: sa.Connection, orders: list[str], agents: list[str]) -> set[tuple[str, str]]:
    answered: set[tuple[str, str]] = set()
    for some in pieces(agents):
        of_them = sa.and_(CHECK_ANSWER.c.order.in_(orders), CHECK_ANSWER.c.agent.in_(some))
        query = sa.select(CHECK_ANSWER.c.order, CHECK_ANSWER.c.agent).where(of_them).distinct()
        answered.update((row.order, row.agent) for row in connection.execute(query))
    return answered
