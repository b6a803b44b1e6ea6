"""The page of the people who may sign in: added, changed, ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewagent.console import people
from renewagent.console.gate import guard
from renewagent.console.pages import show, text_of
from renewagent.console.people import Newcomer, PeopleError
from renewagent.console.permissions import Permission, Person, Role
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.store import raise_revision


def routes(site: Site) -> list[Route]:
    """One page, three things to do on it."""
    return [
        Route("/people", guard(site, Permission.MANAGE_PEOPLE, everybody), methods=["GET"]),
        Route("/people", guard(site, Permission.MANAGE_PEOPLE, add), methods=["POST"]),
        Route("/people/change", guard(site, Permission.MANAGE_PEOPLE, change), methods=["POST"]),
        Route("/people/end", guard(site, Permission.MANAGE_PEOPLE, end), methods=["POST"]),
    ]


async def everybody(site: Site, request: Request, visitor: Visitor) -> Response:
    """The list, and the form for a newcomer."""
    return await _page(site, request, visitor, None, {})


async def add(site: Site, request: Request, visitor: Visitor) -> Response:
    """Let somebody in."""
    names = ("name", "role", "organisations", "subject", "account", "ehr", "dea")
    given = {name: (await text_of(request, name)).strip() for name in names}
    newcomer = Newcomer(
        name=given["name"],
        role=_role(given["role"]),
        organisations=tuple(given["organisations"].replace(",", " ").split()),
        subject=given["subject"],
        account=given["account"],
        ehr=given["ehr"],
        dea=given["dea"],
    )

    def write(connection: sa.Connection) -> None:
        _check(visitor.person, people.organisation_codes(newcomer.organisations))
        _check_epcs(newcomer.role, newcomer.ehr, newcomer.subject or newcomer.account)
        people.add(connection, site.now(), visitor.person.actor, newcomer, site.entropy)

    return await _done(site, request, visitor, write, "added", given)


async def change(site: Site, request: Request, visitor: Visitor) -> Response:
    """Another role, or other organisations."""
    identity, role = await text_of(request, "id"), _role(await text_of(request, "role"))
    codes = (await text_of(request, "organisations")).replace(",", " ").split()

    def write(connection: sa.Connection) -> None:
        person = _known(connection, visitor.person, identity)
        _check(visitor.person, people.organisation_codes(codes))
        if not _is_of_epcs(person.role) and (entry := people.ever(connection, identity)) is not None:
            _check_epcs(role, person.ehr, entry.subject or entry.account)
        people.change(connection, site.now(), visitor.person.actor, person, role, codes)

    return await _done(site, request, visitor, write, "changed", {})


async def end(site: Site, request: Request, visitor: Visitor) -> Response:
    """Let somebody in no more."""
    identity = await text_of(request, "id")

    def write(connection: sa.Connection) -> None:
        person = _known(connection, visitor.person, identity)
        if person.id == visitor.person.id:
            raise PeopleError("You cannot end yourself.", advice="Ask another RA Manager to do it.")
        people.end(connection, site.now(), visitor.person.actor, person)

    return await _done(site, request, visitor, write, "ended", {})


async def _done(
    site: Site,
    request: Request,
    visitor: Visitor,
    write: Callable[[sa.Connection], None],
    said: str,
    given: dict[str, str],
) -> Response:
    def whole(connection: sa.Connection) -> None:
        write(connection)
        raise_revision(connection, "people")

    try:
        await site.store.write(whole)
    except PeopleError as problem:
        return await _page(site, request, visitor, problem, given, 422)
    return RedirectResponse(f"/people?said={said}", 303)


async def _page(
    site: Site,
    request: Request,
    visitor: Visitor,
    problem: PeopleError | None,
    given: dict[str, str],
    status: int = 200,
) -> Response:
    entries, epcs = await site.store.read(people.everybody), site.settings.epcs is not None
    mine = [one for one in entries if visitor.person.may_appoint(one.person.organisations)]
    context: dict[str, Any] = {
        "entries": [one for one in mine if one.ended is None],
        "former": [one for one in mine if one.ended is not None],
        "roles": [role for role in Role if epcs or not _is_of_epcs(role)],
        "epcs": epcs,
        "problem": problem,
        "given": given,
        "said": request.query_params.get("said", ""),
    }
    return show(site, request, visitor, "people.html", context, status)


def _known(connection: sa.Connection, manager: Person, identity: str) -> Person:
    person = people.by_id(connection, identity)
    if person is None or not manager.may_appoint(person.organisations):
        raise HTTPException(404, "There is no such person.")
    return person


def _check(manager: Person, codes: frozenset[str]) -> None:
    if not manager.may_appoint(codes):
        raise HTTPException(403, "These organisations are not all yours.")


def _check_epcs(role: Role, ehr: str, card_or_account: str) -> None:
    """Whoever names the card or the account by which somebody comes in may name their own: one RA Manager were two
    people at the EPCS desk then (21 CFR 1311.125). The password in the EHR is nobody's but theirs."""
    if _is_of_epcs(role) and (card_or_account or not ehr):
        raise PeopleError(
            "People of the EPCS desk are let in here by their user name in the EHR alone.",
            advice="Leave the smartcard and the sign-on account empty. Whoever looks after the server can give them "
            "those as well: renewagent console person add.",
        )


def _is_of_epcs(role: Role) -> bool:
    return Person("", "", role, frozenset()).may(Permission.USE_EPCS)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise HTTPException(400, "There is no such role.") from None
