"""The audit log: its newest entries, whether it is whole, and all of it as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from renewagent.console import audit
from renewagent.console.audit import Entry
from renewagent.console.audit_sources import AuditBroken, Whole, entries_in, verify
from renewagent.console.gate import guard
from renewagent.console.pages import show
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.tables import AUDIT

_PAGE = 100
_EXPORTED_AT_ONCE = 1000


def routes(site: Site) -> list[Route]:
    """The page, the check, the file."""
    return [
        Route("/audit", guard(site, Permission.SEE_AUDIT, log), methods=["GET"]),
        Route("/audit/verify", guard(site, Permission.SEE_AUDIT, check), methods=["GET"]),
        Route("/audit.jsonl", guard(site, Permission.SEE_AUDIT, export), methods=["GET"]),
    ]


async def log(site: Site, request: Request, visitor: Visitor) -> Response:
    """The newest first."""
    return await _page(site, request, visitor, {})


async def check(site: Site, request: Request, visitor: Visitor) -> Response:
    """Look at every entry; the page says what came of it."""

    def read(connection: sa.Connection) -> Whole:
        return verify([entries_in(connection)], audit.beginning(connection), {})

    try:
        return await _page(site, request, visitor, {"whole": await site.store.read(read)})
    except AuditBroken as problem:
        return await _page(site, request, visitor, {"broken": problem})


async def export(site: Site, request: Request, visitor: Visitor) -> Response:
    """One entry per line: what `renewagent audit verify` reads."""
    headers = {"Content-Disposition": f'attachment; filename="audit-{site.now():%Y-%m-%d}.jsonl"'}
    return StreamingResponse(_lines(site), media_type="application/jsonl", headers=headers)


async def _lines(site: Site) -> AsyncIterator[str]:
    last = 0
    while True:
        page = sa.select(AUDIT).where(AUDIT.c.number > last).order_by(AUDIT.c.number).limit(_EXPORTED_AT_ONCE)

        def read(connection: sa.Connection, page: sa.Select[Any] = page) -> list[Entry]:
            return [Entry(*row) for row in connection.execute(page)]

        found = await site.store.read(read)
        if not found:
            return
        yield "".join(f"{entry.to_line()}\n" for entry in found)
        last = found[-1].number


async def _page(site: Site, request: Request, visitor: Visitor, context: dict[str, Any]) -> Response:
    before = request.query_params.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) < 16):
        raise HTTPException(400, "There is no such page of the log.")

    def read(connection: sa.Connection) -> list[Entry]:
        question = sa.select(AUDIT).order_by(AUDIT.c.number.desc()).limit(_PAGE + 1)
        if before:
            question = question.where(AUDIT.c.number < int(before))
        return [Entry(*row) for row in connection.execute(question)]

    found = await site.store.read(read)
    rows = [(entry, json.loads(entry.details)) for entry in found[:_PAGE]]
    older = f"/audit?before={found[_PAGE - 1].number}" if len(found) > _PAGE else ""
    blank = {"whole": None, "broken": None, "rows": rows, "older": older, "newest": "/audit" if before else ""}
    return show(site, request, visitor, "audit.html", {**blank, **context})
