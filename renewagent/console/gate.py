"""The gate before every page: who is signed in, whether they may, and whether it is they who ask.

A page is a function of the site, the request and its visitor; `guard` makes an endpoint of it that lets nobody else in:

    Route("/cards", guard(site, Permission.SEE_CARDS, cards), methods=["GET"])

A request that changes something must come from a page of our own origin (Sec-Fetch-Site and Origin) and carry the
session's form token. Bodies are bounded in size and in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from renewagent.console import people, sessions
from renewagent.console.guards import allow
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor
from renewagent.console.single_sign_on import account_of
from renewagent.console.site import Site

Page = Callable[[Site, Request, Visitor], Awaitable[Response]]

LARGEST_FORM = 64 * 1024
"""Octets, where a page does not say otherwise."""
PATIENCE = 30.0
"""Seconds for a body to arrive whole, where a page does not say otherwise."""
_READS = frozenset({"GET", "HEAD"})
_SIGN_IN, _EPCS = "/sign-in", "/epcs"


@dataclass(frozen=True, slots=True)
class Guarded:
    """An endpoint (an ASGI application) that only `permission` opens; None: whoever is signed in."""

    site: Site
    permission: Permission | None
    page: Page
    largest: int
    patience: float

    @property
    def __name__(self) -> str:
        """The page's, for the name of its route."""
        return str(getattr(self.page, "__name__", "page"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in or raise HTTPException."""
        request = Request(scope, in_time(receive, self.patience), send)
        visitor = await require(self.site, request, self.permission)
        allow(request, self.largest)
        try:
            if request.method not in _READS:
                await _check_form(request, visitor)
            response = await self.page(self.site, request, visitor)
            await response(scope, receive, send)
        finally:
            await request.close()


def guard(
    site: Site,
    permission: Permission | None,
    page: Page,
    *,
    largest: int = LARGEST_FORM,
    patience: float = PATIENCE,
) -> Any:
    """The endpoint of a route. `largest` and `patience` bound the body: octets, and seconds until it has arrived."""
    return Guarded(site, permission, page, largest, patience)


async def require(site: Site, request: Request, permission: Permission | None) -> Visitor:
    """Who asks, if they may. Raises HTTPException: 303 to the sign-in page for a page that is looked at, 401 for
    anything else by nobody, 403 for what this person may not, or what another site had the browser ask."""
    if request.method not in _READS and not is_ours(request, site):
        raise HTTPException(403, "This was not asked by a page of the console.")
    visitor = await visitor_of(site, request)
    if visitor is None:
        raise _nobody(request)
    if permission is not None and not visitor.person.may(permission):
        if request.url.path == "/" and site.settings.epcs is not None and visitor.person.may(Permission.USE_EPCS):
            raise HTTPException(303, headers={"Location": _EPCS})  # the first page of those who have no part in the RA
        raise HTTPException(403, f"Your role ({visitor.person.role.words}) does not let you {permission.value}.")
    return visitor


async def visitor_of(site: Site, request: Request) -> Visitor | None:
    """Who is signed in, if anyone; a request that the person made themselves keeps the session awake."""
    token = request.cookies.get(sessions.COOKIE, "")
    if not token:
        return None
    now, account = site.now(), account_of(request, site.settings)

    def look(connection: sa.Connection) -> tuple[Visitor, bool] | None:
        visitor = sessions.find(connection, site.settings, now, token)
        if (
            visitor is None
            or visitor.how == sessions.PROGRAM
            or (visitor.how == "sso" and people.by_account(connection, account or "") != visitor.person)
        ):
            return None  # signed out, or another person by now, at the proxy
        return visitor, _by_hand(request) and sessions.use_is_due(connection, now, visitor)

    found = await site.store.read(look)
    if found is None:
        return None
    visitor, due = found
    if due:
        await site.store.write(lambda connection: sessions.note_use(connection, now, visitor))
    return visitor


def in_time(receive: Receive, patience: float) -> Receive:
    """`receive` for a body that arrives within so many seconds. Raises HTTPException 408 beyond."""
    end, whole = asyncio.get_running_loop().time() + patience, False

    async def within() -> Message:
        nonlocal whole
        if whole:
            return await receive()  # the client going away, whenever that is
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "What was sent did not arrive in time.", _CLOSE) from None
        whole = not message.get("more_body", False)
        return message

    return within


_CLOSE = {"Connection": "close"}
"""Nothing more is to be read from this connection."""


async def _check_form(request: Request, visitor: Visitor) -> None:
    form = await request.form(max_files=4, max_fields=100)
    if not sessions.is_form_token(visitor, form.get("csrf")):
        raise HTTPException(403, "This form was not made for your session. Open the page again, then repeat it.")


def is_ours(request: Request, site: Site) -> bool:
    """The browser says that a page of ours asks. One that says nothing at all is no browser, and has no business."""
    fetched, origin = request.headers.getlist("sec-fetch-site"), request.headers.getlist("origin")
    return (
        all(one == "same-origin" for one in fetched)
        and all(one == site.settings.people.url for one in origin)
        and bool(fetched or origin)
    )


def _by_hand(request: Request) -> bool:
    """A person did this, as far as their browser says: what a page fetches or reloads by itself is not marked so."""
    fetched = request.headers.get("sec-fetch-site")
    return fetched is None or request.method not in _READS or request.headers.get("sec-fetch-user") == "?1"


def _nobody(request: Request) -> HTTPException:
    looks = request.method in _READS and "text/html" in request.headers.get("accept", "")
    if not looks:
        return HTTPException(401, "Sign in first.", {"WWW-Authenticate": "Renewagent-Card"})
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return HTTPException(303, "Sign in first.", {"Location": f"{_SIGN_IN}?next={quote(wanted, safe='')}"})
