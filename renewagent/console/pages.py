"""The frame of every page: templates, the way about, static files, and the stream that says what has changed.

What a page shows is its own module's business (`pages_*`). Everything is drawn by the server and works without scripts;
`static/live.js` only fetches the same page again when the stream says so, and puts in what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import Any

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from renewagent.check_ins import CardState
from renewagent.console import words
from renewagent.console.gate import guard
from renewagent.console.news import event
from renewagent.console.permissions import Permission, Person
from renewagent.console.sessions import Visitor, csrf_token
from renewagent.console.site import Site

NEWS = ("agents", "campaigns", "orders", "people", "standings", "targets")
"""What a page of the RA's may follow; those of EPCS have a stream of their own."""
_STREAM_LASTS = 300.0
"""Seconds: then the browser comes back through the gate, if its session goes on."""
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Way:
    """An entry of the menu. `for_all`: only for those who answer for every organisation."""

    path: str
    label: str
    permission: Permission
    for_all: bool = False

    def is_open_to(self, person: Person) -> bool:
        """Whether it is in this person's menu."""
        return person.may(self.permission) and (person.answers_for_all or not self.for_all)


WAYS = (
    Way("/", "Dashboard", Permission.SEE_DASHBOARD),
    Way("/cards", "Smartcards", Permission.SEE_CARDS),
    Way("/campaigns", "Campaigns", Permission.SEE_CAMPAIGNS),
    Way("/targets", "Targets", Permission.UPLOAD_TARGETS),
    Way("/check-now", "Check now", Permission.ASK_FOR_CHECKS),
    Way("/agents", "Workstations", Permission.SEE_AGENTS),
    Way("/fleet-codes", "Fleet codes", Permission.MAKE_FLEET_CODES),
    Way("/people", "People", Permission.MANAGE_PEOPLE),
    Way("/audit", "Audit log", Permission.SEE_AUDIT),
)
WAYS_OF_EPCS = (
    Way("/epcs", "Can I sign?", Permission.USE_EPCS),
    Way("/epcs/tokens", "Tokens", Permission.USE_EPCS),
    Way("/epcs/soft", "Soft token", Permission.USE_EPCS),
    Way("/epcs/tickets", "Tickets and orders", Permission.USE_EPCS),
    Way("/epcs/requests", "Requests", Permission.USE_EPCS),
    Way("/epcs/people", "Prescribers", Permission.ADMINISTER_EPCS),
    Way("/epcs/overrides", "Overrides", Permission.ADMINISTER_EPCS),
    Way("/epcs/incidents", "Incidents", Permission.ADMINISTER_EPCS),
    Way("/epcs/reports", "Daily report", Permission.ADMINISTER_EPCS, for_all=True),
)
"""Where there is a desk for EPCS."""


def show(
    site: Site,
    request: Request,
    visitor: Visitor | None,
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> Response:
    """The page, for whoever is signed in, or for nobody."""
    person = visitor.person if visitor else None
    frame = {
        "person": person,
        "csrf": csrf_token(visitor) if visitor else "",
        "ways": [way for way in _ways(site) if person and way.is_open_to(person)],
        "path": request.url.path,
        "here": str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
        "now": site.now(),
        "idle_minutes": int(site.settings.idle.total_seconds() // 60),
        "may": partial(_may, person),
        "static": _addresses(),
        "news": "/epcs/news" if person and person.may(Permission.USE_EPCS) else "/news",
        "State": CardState,
    }
    text = _environment().get_template(template).render({**frame, **context})
    return HTMLResponse(text, status)


def routes(site: Site) -> list[Route]:
    """What all pages use."""
    return [
        Route("/static/{name}", _static, methods=["GET"]),
        Route("/news", guard(site, Permission.SEE_DASHBOARD, _news), methods=["GET"]),
    ]


async def text_of(request: Request, name: str) -> str:
    """A field of the form, "" if it is not there."""
    value = (await request.form()).get(name)
    return value if isinstance(value, str) else ""


def _ways(site: Site) -> tuple[Way, ...]:
    return WAYS + (WAYS_OF_EPCS if site.settings.epcs is not None else ())


def _may(person: Person | None, name: str) -> bool:
    return person is not None and person.may(Permission[name])


async def _news(site: Site, request: Request, visitor: Visitor) -> Response:
    """Only what kind of thing has changed: the page asks again, and sees what its visitor may see."""
    return news_of(site, NEWS)


def news_of(site: Site, names: Iterable[str]) -> Response:
    """The stream of these kinds, for `static/live.js`."""
    return site.news.stream(names, _changed, lasts=_STREAM_LASTS)


def _changed(names: frozenset[str]) -> bytes:
    return event("changed", " ".join(sorted(names)))


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _files():
        raise HTTPException(404)
    kind = _TYPES[name[name.rindex(".") :]]
    # The address carries the content's hash, so it may be kept.
    return Response(_files()[name], media_type=kind, headers={"Cache-Control": "public, max-age=86400"})


@cache
def _files() -> Mapping[str, bytes]:
    folder = resources.files("renewagent.console") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))}


@cache
def _addresses() -> Mapping[str, str]:
    return {name: f"/static/{name}?{hashlib.sha256(octets).hexdigest()[:12]}" for name, octets in _files().items()}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("renewagent.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        moment=words.moment,
        day=words.day,
        ending=words.ending,
        why=words.why,
        number="{:,}".format,
    )
    labels = {state.value: one.label for state, one in words.STATES.items()}
    labels |= {group.key: group.label for group in words.GROUPS}
    environment.globals.update(
        STATES=words.STATES,
        GROUPS=words.GROUPS,
        STATE_LABELS=labels,
        ago=words.ago,
        until=words.until,
        what_next=words.what_next,
    )
    return environment
