""" "Check now": orders to workstations, and what they answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewagent.console import reads
from renewagent.console.gate import guard
from renewagent.console.orders import Order, give_order
from renewagent.console.pages import show, text_of
from renewagent.console.people import visible
from renewagent.console.permissions import Permission, Person
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.tables import AGENT, CHECK_ANSWER, CHECK_ORDER
from renewagent.console.words import STATES

_LISTED = 30
_ANSWERS = 200
_NO_CARD = "No smartcard inserted"


@dataclass(frozen=True, slots=True)
class Overview:
    """How far an order is, among the workstations that one person may see."""

    order: Order
    whom: str
    asked: int
    answered: int
    verdicts: Counter[str]


def routes(site: Site) -> list[Route]:
    """All orders, one order."""
    return [
        Route("/check-now", guard(site, Permission.ASK_FOR_CHECKS, orders), methods=["GET"]),
        Route("/check-now", guard(site, Permission.ASK_FOR_CHECKS, give), methods=["POST"]),
        Route("/check-now/{order}", guard(site, Permission.ASK_FOR_CHECKS, one), methods=["GET"]),
    ]


async def orders(site: Site, request: Request, visitor: Visitor) -> Response:
    """The form, and the newest orders."""
    person, agent = visitor.person, request.query_params.get("agent", "")

    def read(connection: sa.Connection) -> dict[str, Any]:
        newest = sa.select(CHECK_ORDER).where(_of(person)).order_by(CHECK_ORDER.c.asked.desc(), CHECK_ORDER.c.id)
        found = [Order(*row) for row in connection.execute(newest.limit(_LISTED))]
        return {
            "orders": [_overview(connection, person, order) for order in found],
            "organisations": reads.organisations(connection, person),
            "agent": _agent(connection, person, agent) if agent else None,
        }

    return show(site, request, visitor, "orders.html", await site.store.read(read))


async def give(site: Site, request: Request, visitor: Visitor) -> Response:
    """Ask all, those of an organisation, or one."""
    person = visitor.person
    organisation, agent = await text_of(request, "organisation"), await text_of(request, "agent")

    def write(connection: sa.Connection) -> str:
        if agent:
            _agent(connection, person, agent)
        elif not person.covers(organisation):
            raise HTTPException(403, "These workstations are not all yours.")
        whom = "" if agent else organisation
        return give_order(connection, site, person.actor, organisation=whom, agent=agent)

    return RedirectResponse(f"/check-now/{await site.store.write(write)}", 303)


async def one(site: Site, request: Request, visitor: Visitor) -> Response:
    """One order's answers: the newest first."""
    person, name = visitor.person, request.path_params["order"]

    def read(connection: sa.Connection) -> dict[str, Any]:
        row = connection.execute(sa.select(CHECK_ORDER).where(CHECK_ORDER.c.id == name, _of(person))).first()
        if row is None:
            raise HTTPException(404, "There is no such order.")
        answers = (
            sa.select(CHECK_ANSWER, AGENT.c.machine, AGENT.c.organisation)
            .join(AGENT, AGENT.c.id == CHECK_ANSWER.c.agent)
            .where(CHECK_ANSWER.c.order == name, visible(person, AGENT.c.organisation))
            .order_by(CHECK_ANSWER.c.at.desc(), CHECK_ANSWER.c.agent, CHECK_ANSWER.c.card)
        )
        overview = _overview(connection, person, Order(*row))
        return {"overview": overview, "answers": connection.execute(answers.limit(_ANSWERS)).all(), "most": _ANSWERS}

    context = await site.store.read(read)
    return show(site, request, visitor, "order.html", {**context, "verdict": verdict_in_words})


def verdict_in_words(verdict: str) -> str:
    """A card's state, or that there was no card."""
    known = {state.value: said.label for state, said in STATES.items()}
    return known.get(verdict, _NO_CARD if verdict == "no-card" else verdict)


def _of(person: Person) -> sa.ColumnElement[bool]:
    """Orders that concern a workstation of this person's."""
    theirs = sa.select(AGENT.c.id).where(visible(person, AGENT.c.organisation))
    to_all = sa.and_(CHECK_ORDER.c.organisation == "", CHECK_ORDER.c.agent == "")
    to_one = sa.and_(CHECK_ORDER.c.agent != "", CHECK_ORDER.c.agent.in_(theirs))
    to_some = sa.and_(CHECK_ORDER.c.organisation != "", visible(person, CHECK_ORDER.c.organisation))
    return sa.or_(to_all, to_one, to_some)


def _overview(connection: sa.Connection, person: Person, order: Order) -> Overview:
    agents = sa.select(sa.func.count()).select_from(AGENT)
    agents = agents.where(visible(person, AGENT.c.organisation), AGENT.c.revoked.is_(None), *_asked(order))
    answers = (
        sa.select(CHECK_ANSWER.c.verdict, CHECK_ANSWER.c.agent)
        .join(AGENT, AGENT.c.id == CHECK_ANSWER.c.agent)
        .where(CHECK_ANSWER.c.order == order.id, visible(person, AGENT.c.organisation))
        .subquery()
    )
    by_verdict = sa.select(answers.c.verdict, sa.func.count()).group_by(answers.c.verdict)
    return Overview(
        order,
        _whom(connection, order),
        connection.execute(agents).scalar_one(),
        connection.execute(sa.select(sa.func.count(sa.distinct(answers.c.agent)))).scalar_one(),
        Counter({verdict_in_words(verdict): count for verdict, count in connection.execute(by_verdict)}),
    )


def _asked(order: Order) -> list[sa.ColumnElement[bool]]:
    if order.agent:
        return [AGENT.c.id == order.agent]
    return [AGENT.c.organisation == order.organisation] if order.organisation else []


def _whom(connection: sa.Connection, order: Order) -> str:
    if order.agent:
        machine = connection.execute(sa.select(AGENT.c.machine).where(AGENT.c.id == order.agent)).scalar()
        return machine or order.agent
    return f"all workstations of {order.organisation}" if order.organisation else "all workstations"


def _agent(connection: sa.Connection, person: Person, agent: str) -> Any:
    mine = (AGENT.c.id == agent, AGENT.c.revoked.is_(None), visible(person, AGENT.c.organisation))
    found = connection.execute(sa.select(AGENT).where(*mine)).first()
    if found is None:
        raise HTTPException(404, "There is no such workstation.")
    return found
