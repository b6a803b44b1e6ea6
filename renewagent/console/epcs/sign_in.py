"""Signing in to the EPCS desk with the user name and password that somebody has in the EHR: on the sign-in page, and by
programs, which get a bearer token.

The password is one factor and goes to the EHR alone; it is not kept and stands in no message. Whoever may do nothing at
this desk is not let in by it, so that it opens no part of the RA. Nobody learns whether it was the name or the password
that was wrong: an EHR is asked in either case.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from renewagent.console import audit, people, sessions
from renewagent.console.enrolment import network
from renewagent.console.epcs.asked import USER
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import person_document
from renewagent.console.epcs.program_gate import document_in, refuse_cookies, require_program
from renewagent.console.gate import in_time, is_ours, visitor_of
from renewagent.console.guards import allow as allow_octets
from renewagent.console.permissions import Permission, Person
from renewagent.console.rate_limits import allow, give_back
from renewagent.console.sessions import Visitor
from renewagent.console.sign_in import begun, path_on_this_host, sign_in_form
from renewagent.console.single_sign_on import address_of
from renewagent.tokens.errors import DeskRefused, EhrRefused, TokenError

_LOG = logging.getLogger(__name__)
_PATIENCE = 10.0
_LARGEST = 4096
_LONGEST_PASSWORD = 1000
_WINDOW = timedelta(minutes=10)
_MOST = {"ehr address": 60, "ehr user": 10}
"""Sign-ins that fail, in ten minutes, before nobody is asked any more: of an address, and for a user name."""


def routes(desk: Desk) -> list[Route]:
    """The form's address, and the programs'."""
    return [
        Route("/sign-in/ehr", partial(_by_form, desk), methods=["POST"]),
        Route("/epcs/api/sign-in", partial(_by_program, desk), methods=["POST"]),
        Route("/epcs/api/sign-out", partial(_sign_out, desk), methods=["POST"]),
    ]


async def _by_form(desk: Desk, request: Request) -> Response:
    site = desk.site
    if not is_ours(request, site):
        raise HTTPException(403, "This was not asked by a page of the console.")
    allow_octets(request, _LARGEST)
    before = await visitor_of(site, request)
    async with Request(request.scope, in_time(request.receive, _PATIENCE)).form(max_files=0, max_fields=5) as form:
        user, password, wanted = (str(form.get(name, "")) for name in ("user", "password", "next"))
    wanted = path_on_this_host(wanted)
    try:
        token, _ = await _begin(desk, request, user, password, "ehr", before)
    except HTTPException as problem:
        return sign_in_form(site, request, wanted, problem.detail, user=user, status=problem.status_code)
    except TokenError as problem:
        status = 403 if isinstance(problem, DeskRefused) else 503
        return sign_in_form(site, request, wanted, problem.message, problem.advice, user=user, status=status)
    return begun(token, wanted)


async def _by_program(desk: Desk, request: Request) -> Response:
    refuse_cookies(request)
    allow_octets(request, _LARGEST)
    said = document_in(request, await Request(request.scope, in_time(request.receive, _PATIENCE)).body())
    user, password = (str(said.get(name, "")) for name in ("user", "password"))
    token, person = await _begin(desk, request, user, password, sessions.PROGRAM, None)
    seconds = int(desk.site.settings.idle.total_seconds())
    return JSONResponse({"token": token, "person": person_document(person), "seconds": seconds})


async def _sign_out(desk: Desk, request: Request) -> Response:
    visitor, now = await require_program(desk, request, None), desk.now()
    await desk.site.store.write(lambda connection: sessions.end(connection, now, visitor))
    return JSONResponse({"ok": True})


async def _begin(
    desk: Desk, request: Request, user: str, password: str, how: str, before: Visitor | None
) -> tuple[str, Person]:
    """The number of a new session, and whose it is. Raises HTTPException 429, DeskRefused, EhrUnreachable,
    EhrMisbehaved."""
    now, place = desk.now(), address_of(request, desk.site.settings)
    name = hashlib.sha256(user.casefold().encode("utf-8", "surrogatepass")).hexdigest()
    counted = {"ehr address": network(place), "ehr user": name}
    wait = await desk.site.store.write(lambda connection: _count(connection, counted, now))
    if wait:
        raise HTTPException(429, "That was too often. Try again later.", {"Retry-After": str(wait)})
    right = await desk.door.do(lambda: _is_right(desk, user, password))

    def begin(connection: sa.Connection) -> tuple[str, Person] | None:
        person = people.by_ehr(connection, user) if USER.fullmatch(user) else None
        if not right or person is None or not person.may(Permission.USE_EPCS):
            told = {"how": "ehr", "client": place}
            audit.record(connection, now, person.actor if person else "nobody", "sign-in.refused", told)
            return None
        for kind, key in counted.items():
            give_back(connection, f"sign-in {kind}", key, _WINDOW, now)
        if before is not None:  # another person at the same browser
            sessions.end(connection, now, before)
        return sessions.begin(connection, desk.site.settings, now, person, how, desk.site.entropy), person

    found = await desk.site.store.write(begin)
    if found is None:
        _LOG.info("a sign-in was refused", extra={"fields": {"client": place, "how": "ehr"}})
        raise DeskRefused(
            "Nobody is signed in with that user name and password.",
            advice="Type them as you do in the EHR. If they are right there, ask your EPCS administrator to let you in "
            "here.",
        )
    return found


def _is_right(desk: Desk, user: str, password: str) -> bool:
    if not USER.fullmatch(user) or not 0 < len(password) <= _LONGEST_PASSWORD:
        return False
    try:
        return desk.ehr.sign_in(user, password)
    except EhrRefused:
        return False  # such as an account that is locked: not said to whoever has not shown that it is theirs


def _count(connection: sa.Connection, counted: dict[str, str], now: datetime) -> int:
    """The address first: one that is over its limit uses up nobody's tries."""
    waits = (allow(connection, f"sign-in {kind}", key, _MOST[kind], _WINDOW, now) for kind, key in counted.items())
    return next((wait for wait in waits if wait), 0)
