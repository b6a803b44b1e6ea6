"""Signing in and out: the addresses that the command `renewagent console sign-in` talks to, and the pages around them.

A card's proof (`card_sign_in`) gives a link that is good for one use within a minute and kept hashed. The link leads to
a page that says who is about to be signed in; a form on it, sent by the person from that page, begins the session. So
nobody is signed in as somebody else by following a link, and nothing that looks at links ahead of people uses one up.
"""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from renewagent.console import audit, challenges, people, sessions
from renewagent.console.card_sign_in import LARGEST, Shown, SignInRefused, read_sign_in
from renewagent.console.enrolment import network
from renewagent.console.gate import guard, in_time, is_ours, visitor_of
from renewagent.console.guards import allow as allow_octets
from renewagent.console.mishaps import answer
from renewagent.console.pages import show
from renewagent.console.permissions import Person
from renewagent.console.rate_limits import allow
from renewagent.console.sessions import Visitor
from renewagent.console.single_sign_on import account_of, address_of
from renewagent.console.site import Site
from renewagent.console.tables import CHALLENGE

LINK_LASTS = timedelta(seconds=60)
_LOG = logging.getLogger(__name__)
_PATIENCE = 10.0
_WINDOW = timedelta(minutes=10)
_MOST = 60
"""How often one address may ask for one thing in ten minutes: several people behind it, each with a slip or two."""
_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]{0,2000}")
"""An address on this host, and nothing that browsers take for another one."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to be signed in by, and whose it is."""

    token: str
    person: Person


def routes(site: Site) -> list[Route]:
    """All of them; signing out alone takes somebody who is signed in."""
    return [
        Route("/sign-in", partial(_sign_in_page, site), methods=["GET"]),
        Route("/sign-in/challenge", partial(_challenge, site), methods=["POST"]),
        Route("/sign-in/card", partial(_card, site), methods=["POST"]),
        Route("/sign-in/finish", partial(_finish_page, site), methods=["GET"]),
        Route("/sign-in/finish", partial(_finish, site), methods=["POST"]),
        Route("/sign-out", guard(site, None, _sign_out), methods=["POST"]),
    ]


def new_nonce(connection: sa.Connection, site: Site, now: datetime) -> str:
    """A nonce (hex) for one sign-in by card within `challenges.WINDOW`."""
    return challenges.give(connection, site.entropy, now, "card")


def new_link(connection: sa.Connection, site: Site, now: datetime, shown: Shown) -> Link | None:
    """A link for whoever's card has shown it; None where that is nobody. The nonce is used up either way. Raises
    SignInRefused where it is none of ours, or was used before."""
    if not challenges.take(connection, now, shown.nonce, "card"):
        raise SignInRefused("That sign-in was used before, or took longer than five minutes.")
    person = people.by_subject(connection, shown.subject)
    if person is None:
        return None
    token = base64.urlsafe_b64encode(site.entropy(32)).rstrip(b"=").decode()
    connection.execute(
        sa.insert(CHALLENGE).values(nonce=challenges.digest(token), kind="link", person=person.id, made=now)
    )
    audit.record(
        connection, now, person.actor, "sign-in.proved", {"card": shown.card, "certificate": shown.certificate}
    )
    return Link(token, person)


def whose_link(connection: sa.Connection, now: datetime, token: str) -> Person | None:
    """Who would be signed in by it; it is not used up."""
    row = connection.execute(sa.select(CHALLENGE.c.person).where(*_link(token, now))).first()
    return None if row is None else people.by_id(connection, row.person)


def follow_link(connection: sa.Connection, site: Site, now: datetime, token: str) -> str | None:
    """Use it up: the number of a new session; None for a link that is not good, or no longer."""
    person = whose_link(connection, now, token)
    if person is None or not connection.execute(sa.delete(CHALLENGE).where(*_link(token, now))).rowcount:
        return None
    return sessions.begin(connection, site.settings, now, person, "card", site.entropy)


def sign_in_form(
    site: Site, request: Request, wanted: str, problem: str = "", advice: str = "", *, user: str = "", status: int = 200
) -> Response:
    """The page of how to sign in. `wanted`: where the person goes then; `problem`, `advice`: what was wrong with the
    last try, by `user`."""
    context = {"url": site.settings.people.url, "wanted": wanted, "ehr": site.settings.epcs is not None}
    context |= {"problem": problem, "advice": advice, "user": user}
    return show(site, request, None, "sign_in.html", context, status)


def path_on_this_host(wanted: str) -> str:
    """An address that may be gone to after signing in: on this host, or the first page."""
    return wanted if _PATH.fullmatch(wanted) else "/"


async def _challenge(site: Site, request: Request) -> Response:
    await _not_too_often(site, request, "challenge")
    now = site.now()
    nonce = await site.store.write(lambda connection: new_nonce(connection, site, now))
    return JSONResponse({"nonce": nonce, "origin": site.settings.people.url})


async def _card(site: Site, request: Request) -> Response:
    await _not_too_often(site, request, "card")
    allow_octets(request, LARGEST)
    octets = await Request(request.scope, in_time(request.receive, _PATIENCE)).body()
    now = site.now()
    try:
        shown = await run_in_threadpool(read_sign_in, octets, site.settings, now)
        link = await site.store.write(lambda connection: new_link(connection, site, now, shown))
    except SignInRefused as refused:
        told = {"client": address_of(request, site.settings), "why": refused.message}
        if refused.__cause__ is not None:  # such as the chain that was not found: for whoever set console.ra_root
            told["because"] = str(refused.__cause__)
        _LOG.info("a sign-in was refused", extra={"fields": told})
        return answer(request, 403, refused.message, advice=refused.advice)
    if link is None:
        _LOG.info("a card of nobody's", extra={"fields": {"client": address_of(request, site.settings)}})
        return answer(
            request,
            403,
            "Nobody may use this console with that smartcard.",
            advice=f"Ask an RA Manager: {shown.subject}",
        )
    address = f"{site.settings.people.url}/sign-in/finish?link={link.token}"
    person = {"name": link.person.name, "role": link.person.role.words}
    return JSONResponse({"link": address, "seconds": int(LINK_LASTS.total_seconds()), **person})


async def _sign_in_page(site: Site, request: Request) -> Response:
    wanted = path_on_this_host(request.query_params.get("next", "/"))
    if await visitor_of(site, request) is not None:
        return RedirectResponse(wanted, 303)
    account = account_of(request, site.settings)
    if account is None:
        return sign_in_form(site, request, wanted)
    token = await _by_proxy(site, account)
    if token is None:
        raise HTTPException(403, "Your account may not use this console. Ask an RA Manager.")
    return begun(token, wanted)


async def _by_proxy(site: Site, account: str) -> str | None:
    now = site.now()

    def begin(connection: sa.Connection) -> str | None:
        person = people.by_account(connection, account)
        if person is None:
            return None
        return sessions.begin(connection, site.settings, now, person, "sso", site.entropy)

    return await site.store.write(begin)


async def _finish_page(site: Site, request: Request) -> Response:
    await _not_too_often(site, request, "link")
    token, now = request.query_params.get("link", ""), site.now()
    person = await site.store.read(lambda connection: whose_link(connection, now, token))
    status = 200 if person is not None else 410
    return show(site, request, None, "sign_in_finish.html", {"whose": person, "link": token}, status)


async def _finish(site: Site, request: Request) -> Response:
    if not is_ours(request, site):
        raise HTTPException(403, "This was not asked by a page of the console.")
    await _not_too_often(site, request, "link")
    allow_octets(request, 4096)
    before = await visitor_of(site, request)
    async with Request(request.scope, in_time(request.receive, _PATIENCE)).form(max_files=0, max_fields=5) as form:
        token, now = form.get("link"), site.now()

    def begin(connection: sa.Connection) -> str | None:
        session = follow_link(connection, site, now, token if isinstance(token, str) else "")
        if session is not None and before is not None:  # another person at the same browser
            sessions.end(connection, now, before)
        return session

    session = await site.store.write(begin)
    if session is None:
        return show(site, request, None, "sign_in_finish.html", {"whose": None, "link": ""}, 410)
    return begun(session, "/")


async def _sign_out(site: Site, request: Request, visitor: Visitor) -> Response:
    now = site.now()
    await site.store.write(lambda connection: sessions.end(connection, now, visitor))
    response = show(site, request, None, "signed_out.html", {})
    sessions.drop_cookie(response)
    response.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return response


def begun(token: str, wanted: str) -> Response:
    """Hand over a new session, and go where the person wanted to."""
    response = RedirectResponse(wanted, 303)
    sessions.set_cookie(response, token)
    return response


async def _not_too_often(site: Site, request: Request, kind: str) -> None:
    """Raises HTTPException 429."""
    now, address = site.now(), network(address_of(request, site.settings))
    count = partial(allow, kind=f"sign-in {kind}", key=address, limit=_MOST, window=_WINDOW, now=now)
    wait = await site.store.write(count)
    if wait:
        raise HTTPException(429, headers={"Retry-After": str(wait)})


def _link(token: str, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    mine = CHALLENGE.c.nonce == challenges.digest(token)
    return (mine, CHALLENGE.c.kind == "link", CHALLENGE.c.made > now - LINK_LASTS)
