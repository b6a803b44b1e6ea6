"""The frame of the EPCS desk's pages: who asks, whom it is about, what went wrong, and where a form leads.

A page is drawn by a plain function of what is `Asked`, and what a form does is another, which gives the address to go
to then (303). Both run in the desk's own threads, since they wait for vendors and EHRs. What a flow refuses is said on
the form's own page, beside the field that it is about, and what was typed is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.gate import LARGEST_FORM, PATIENCE, guard
from renewagent.console.mishaps import status_of
from renewagent.console.pages import show
from renewagent.console.permissions import Permission, Person
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.tokens.errors import FormError, TokenError

_COMMAND = re.compile(r":? renewagent .*?(?=\.(?:\s|$)|$)")
_SENTENCE = re.compile(r"(?:(?<=[.!?] )|^)renewagent .*?\.(?:\s|$)")
_FORM_TOKEN = "csrf"  # noqa: S105  # its name
_ONCE = frozenset({"first", "second", "code"})
"""Codes: not typed again once they were looked at."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A page to be drawn. `faults`: what is wrong with which field, where a form has several things wrong."""

    template: str
    context: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, TokenError] = field(default_factory=dict)


Draw = Callable[[Asked], Shown | Response]
Do = Callable[[Asked], str]


def look(desk: Desk, path: str, permission: Permission, draw: Draw) -> Route:
    """A page that is looked at."""

    async def page(site: Site, request: Request, visitor: Visitor) -> Response:
        asked = Asked(desk, visitor.person, _gaps(request), dict(request.query_params))
        return _drawn(site, request, visitor, asked, await desk.hands.do(lambda: draw(asked)))

    return Route(path, guard(desk.site, permission, page), methods=["GET"])


def deed(
    desk: Desk,
    path: str,
    permission: Permission,
    do: Do,
    draw: Draw,
    *,
    largest: int = LARGEST_FORM,
    patience: float = PATIENCE,
) -> Route:
    """What a form does. `draw`: the page that the form stands on, for when it is refused; `largest`, `patience` as in
    `gate.guard`."""

    async def page(site: Site, request: Request, visitor: Visitor) -> Response:
        said = await _fields(await request.form())
        asked = Asked(desk, visitor.person, _gaps(request), dict(request.query_params), said)
        try:
            return RedirectResponse(await desk.hands.do(lambda: do(asked)), 303)
        except TokenError as problem:
            shown = await desk.hands.do(lambda: draw(asked))
            return _drawn(site, request, visitor, asked, shown, problem)

    return Route(path, guard(desk.site, permission, page, largest=largest, patience=patience), methods=["POST"])


def address(path: str, asked: Asked, owner: Person | None = None, **query: str) -> str:
    """One of the desk's, about the same person."""
    about = {"user": owner.ehr} if owner is not None and owner.id != asked.person.id else {}
    given = {name: value for name, value in (about | query).items() if value}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def without_commands(text: str) -> str:
    """Advice that names a command, for somebody who has the page before them."""
    return _COMMAND.sub("", _SENTENCE.sub("", text)).strip()


def _gaps(request: Request) -> dict[str, str]:
    return {name: str(value) for name, value in request.path_params.items()}


async def _fields(form: FormData) -> dict[str, Any]:
    """Texts with their line ends as we have them, and files' octets; a file that nobody chose is none."""
    said: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if value.filename:
                said[name] = await value.read()
        elif name != _FORM_TOKEN:
            said[name] = value.replace("\r\n", "\n")
    return said


def _drawn(
    site: Site,
    request: Request,
    visitor: Visitor,
    asked: Asked,
    shown: Shown | Response,
    problem: TokenError | None = None,
) -> Response:
    if isinstance(shown, Response):
        return shown
    frame = {
        "problem": problem,
        "errors": shown.faults or ({problem.field: problem} if isinstance(problem, FormError) else {}),
        "typed": _kept(asked, problem),
        "done": asked.query.get("said", ""),
        "owner": visitor.person,
        "plain": without_commands,
    }
    context = {**frame, **shown.context}
    owner = context["owner"]
    context["others"] = owner.id != visitor.person.id
    context["to"] = lambda path, **query: address(path, asked, owner, **query)
    return show(site, request, visitor, shown.template, context, status_of(problem) if problem is not None else 200)


def _kept(asked: Asked, problem: TokenError | None) -> dict[str, str]:
    gone = frozenset[str]() if isinstance(problem, FormError) else _ONCE
    return {name: value for name, value in asked.said.items() if isinstance(value, str) and name not in gone}
