"""The gate before every address of the EPCS desk that programs use: who asks, by a bearer token (RFC 6750), and whether
they may.

An endpoint is a plain function of what is `Asked` and gives a JSON object; `guard_program` lets nobody else in:

    Route("/epcs/api/standing", guard_program(desk, Permission.USE_EPCS, standing), methods=["GET"])

A browser sends no such token by itself, so there is no form token; and whatever sends a cookie is turned away, so that
nothing here is ever done in the name of a page's session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from renewagent.console import sessions
from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.gate import PATIENCE, in_time
from renewagent.console.guards import allow
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor

Work = Callable[[Asked], Mapping[str, Any]]

LARGEST = 16 * 1024
"""Octets of a body, where an address does not say otherwise."""
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Programmed:
    """An endpoint (an ASGI application) that only `permission` opens."""

    desk: Desk
    permission: Permission
    work: Work
    largest: int
    patience: float

    @property
    def __name__(self) -> str:
        """The function's, for the name of its route."""
        return str(getattr(self.work, "__name__", "work"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in and answer, or raise HTTPException or one of our errors."""
        request = Request(scope, in_time(receive, self.patience), send)
        visitor = await require_program(self.desk, request, self.permission)
        allow(request, self.largest)
        body = await request.body()
        path, query = {name: str(value) for name, value in request.path_params.items()}, dict(request.query_params)

        def work() -> Mapping[str, Any]:
            return self.work(Asked(self.desk, visitor.person, path, query, document_in(request, body)))

        await JSONResponse(await self.desk.hands.do(work))(scope, receive, send)


def guard_program(
    desk: Desk, permission: Permission, work: Work, *, largest: int = LARGEST, patience: float = PATIENCE
) -> Any:
    """The endpoint of a route. `largest` and `patience` bound the body: octets, and seconds until it has arrived."""
    return Programmed(desk, permission, work, largest, patience)


async def require_program(desk: Desk, request: Request, permission: Permission | None) -> Visitor:
    """Who asks, if they may. Raises HTTPException: 400 for a cookie, 401 for nobody, 403 for what they may not."""
    refuse_cookies(request)
    visitor = await _visitor_of(desk, _token_of(request))
    if visitor is None:
        raise HTTPException(401, "Sign in first.", _CHALLENGE)
    if permission is not None and not visitor.person.may(permission):
        raise HTTPException(403, f"Your role ({visitor.person.role.words}) does not let you {permission.value}.")
    return visitor


def refuse_cookies(request: Request) -> None:
    """Raises HTTPException 400 for whatever may be a browser that was led here."""
    if "cookie" in request.headers:
        raise HTTPException(400, "This address is for programs, which send no cookies.")


def document_in(request: Request, body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body; an empty body is an empty one. Raises HTTPException."""
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "What is sent here is JSON (application/json).")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise HTTPException(400, "What was sent is not JSON.") from problem
    if not isinstance(document, dict):
        raise HTTPException(400, "What was sent is no JSON object.")
    return document


def _token_of(request: Request) -> str:
    given = request.headers.getlist("authorization")
    kind, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def _visitor_of(desk: Desk, token: str) -> Visitor | None:
    site, now = desk.site, desk.now()

    def look(connection: sa.Connection) -> tuple[Visitor, bool] | None:
        visitor = sessions.find(connection, site.settings, now, token)
        if visitor is None or visitor.how != sessions.PROGRAM:
            return None
        return visitor, sessions.use_is_due(connection, now, visitor)

    visitor, due = await site.store.read(look) or (None, False)
    if visitor is not None and due:
        used = visitor
        await site.store.write(lambda connection: sessions.note_use(connection, now, used))
    return visitor
