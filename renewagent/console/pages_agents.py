"""The pages of workstations (their agents) and of the fleet codes that let new ones enrol."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewagent.console import enrolment, reads
from renewagent.console.gate import guard
from renewagent.console.pages import show, text_of
from renewagent.console.people import visible
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.store import raise_revision
from renewagent.console.tables import AGENT, FLEET_CODE
from renewagent.errors import ConfigurationError

_PAGE = 100
_SHUT_OUT = "/agents?said=shut-out"


def routes(site: Site) -> list[Route]:
    """Workstations, and codes."""
    return [
        Route("/agents", guard(site, Permission.SEE_AGENTS, agents), methods=["GET"]),
        Route("/agents/revoke", guard(site, Permission.REVOKE_AGENT, revoke), methods=["POST"]),
        Route("/fleet-codes", guard(site, Permission.MAKE_FLEET_CODES, codes), methods=["GET"]),
        Route("/fleet-codes", guard(site, Permission.MAKE_FLEET_CODES, make), methods=["POST"]),
        Route("/fleet-codes/end", guard(site, Permission.MAKE_FLEET_CODES, end), methods=["POST"]),
    ]


async def agents(site: Site, request: Request, visitor: Visitor) -> Response:
    """Workstations by name, a page at a time."""
    person, query = visitor.person, request.query_params
    fields = {name: query.get(name, "").strip()[:200] for name in ("organisation", "machine")}
    after = (query.get("after", ""), query.get("id", ""))

    def read(connection: sa.Connection) -> dict[str, Any]:
        mine = sa.select(AGENT).where(visible(person, AGENT.c.organisation))
        if fields["organisation"]:
            mine = mine.where(AGENT.c.organisation == fields["organisation"])
        if fields["machine"]:
            mine = mine.where(AGENT.c.machine.icontains(fields["machine"], autoescape=True))
        key = sa.tuple_(AGENT.c.machine, AGENT.c.id)
        page = mine.where(key > sa.tuple_(sa.literal(after[0]), sa.literal(after[1])))
        rows = connection.execute(page.order_by(AGENT.c.machine, AGENT.c.id).limit(_PAGE + 1)).all()
        total = connection.execute(sa.select(sa.func.count()).select_from(mine.subquery())).scalar_one()
        return {"rows": rows[:_PAGE], "more": len(rows) > _PAGE, "total": total, **_frame(connection, visitor)}

    context = await site.store.read(read)
    rows = context["rows"]
    given = {name: value for name, value in fields.items() if value}
    place = {"after": rows[-1].machine, "id": rows[-1].id} if context["more"] else {}
    return show(
        site,
        request,
        visitor,
        "agents.html",
        {
            **context,
            "fields": fields,
            "said": query.get("said", ""),
            "next": f"/agents?{urlencode({**given, **place})}" if place else "",
            "first": f"/agents?{urlencode(given)}" if any(after) else "",
        },
    )


async def revoke(site: Site, request: Request, visitor: Visitor) -> Response:
    """Hear a workstation no more."""
    agent = await text_of(request, "agent")

    def write(connection: sa.Connection) -> bool:
        mine = (AGENT.c.id == agent, visible(visitor.person, AGENT.c.organisation))
        if connection.execute(sa.select(AGENT.c.id).where(*mine)).first() is None:
            return False
        enrolment.revoke_agent(connection, site.now(), visitor.person.actor, agent)
        raise_revision(connection, "agents")
        return True

    if not await site.store.write(write):
        raise HTTPException(404, "There is no such workstation.")
    return RedirectResponse(_SHUT_OUT, 303)


async def codes(site: Site, request: Request, visitor: Visitor) -> Response:
    """Which organisations have a code, and until when."""
    return await _codes(site, request, visitor, {})


async def make(site: Site, request: Request, visitor: Visitor) -> Response:
    """A new code, shown this once."""
    organisation = (await text_of(request, "organisation")).strip().upper()
    name, days = (await text_of(request, "name")).strip(), await text_of(request, "days")
    if not visitor.person.covers(organisation):
        raise HTTPException(403, "This organisation is not one of yours.")

    def write(connection: sa.Connection) -> str:
        number = int(days) if days.isascii() and days.isdigit() and len(days) < 5 else 0
        actor = visitor.person.actor
        return enrolment.make_code(
            connection, site.now(), site.entropy, organisation, name=name, days=number, made_by=actor
        )

    try:
        code = await site.store.write(write)
    except ConfigurationError as problem:
        return await _codes(site, request, visitor, {"problem": problem}, 422)
    return await _codes(site, request, visitor, {"code": code, "made_for": organisation})


async def end(site: Site, request: Request, visitor: Visitor) -> Response:
    """End every code of an organisation: one got about."""
    organisation = await text_of(request, "organisation")
    if not visitor.person.covers(organisation):
        raise HTTPException(403, "This organisation is not one of yours.")
    actor = visitor.person.actor
    await site.store.write(lambda connection: enrolment.end_codes(connection, site.now(), actor, organisation))
    return RedirectResponse("/fleet-codes?said=ended", 303)


async def _codes(
    site: Site, request: Request, visitor: Visitor, context: dict[str, Any], status: int = 200
) -> Response:
    def read(connection: sa.Connection) -> dict[str, Any]:
        mine = sa.select(FLEET_CODE).where(
            visible(visitor.person, FLEET_CODE.c.organisation), FLEET_CODE.c.ends > site.now()
        )
        order = (FLEET_CODE.c.organisation, FLEET_CODE.c.ends.desc())
        return {"rows": connection.execute(mine.order_by(*order)).all(), **_frame(connection, visitor)}

    found = await site.store.read(read)
    blank = {"code": "", "made_for": "", "problem": None, "said": request.query_params.get("said", "")}
    days = {"days": enrolment.CODE_LASTS.days, "most_days": enrolment.LONGEST_CODE_LASTS}
    return show(site, request, visitor, "fleet_codes.html", {**blank, **days, **found, **context}, status)


def _frame(connection: sa.Connection, visitor: Visitor) -> dict[str, Any]:
    return {"organisations": reads.organisations(connection, visitor.person)}
