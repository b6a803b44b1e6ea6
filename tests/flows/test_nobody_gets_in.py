"""Nobody gets in: every address of the people's listener, as it stands in the application itself, tried by nobody, by
every role, and by people of another organisation. A page that is added without a permission fails here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.routing import Route
from starlette.types import ASGIApp

from renewagent.console import app as applications
from renewagent.console.gate import Guarded
from renewagent.console.permissions import FOR_ALL, MAY, Permission, Person, Role
from renewagent.console.site import Site
from renewagent.console.tables import (
    AGENT,
    CARD,
    CHECK_ANSWER,
    CHECK_IN,
    CHECK_ORDER,
    FLEET_CODE,
    ORGANISATION,
    PERSON,
    STANDING,
    TARGET,
)
from tests.console import Answer, Browser, form_token, new_person, new_site, sign_in
from tests.flows import console_seed

OPEN = {
    ("GET", "/healthz"): "says no more than that the console is well",
    ("GET", "/static/{name}"): "style, script and icon of the product",
    ("GET", "/sign-in"): "how to sign in",
    ("POST", "/sign-in/challenge"): "a random number",
    ("POST", "/sign-in/card"): "takes the proof",
    ("GET", "/sign-in/finish"): "takes the link that the proof gave",
    ("POST", "/sign-in/finish"): "takes it again, from its own page",
    ("GET", "/openapi.json"): "describes the addresses",
}
"""What nobody has to sign in for, and why."""
STREAMS = {"/news"}
"""They do not end by themselves: tried at the gate only."""


@dataclass(frozen=True)
class Address:
    """One method at one path of the application; `path` with its gaps filled by what the seeded console has."""

    method: str
    pattern: str
    path: str
    guarded: Guarded | None

    @property
    def permission(self) -> Permission | None:
        assert self.guarded is not None
        return self.guarded.permission


@dataclass
class Place:
    """A console in the middle of a campaign, and its application for people."""

    site: Site
    app: ASGIApp
    addresses: list[Address]
    numbers: Iterator[int] = field(default_factory=count)

    def person(self, role: Role, organisations: str) -> Browser:
        """Somebody new, in their browser."""
        number = next(self.numbers)
        new = new_person(self.site, role, organisations, name=f"Person {number}", account=f"account-{number}")
        return Browser(self.app, sign_in(self.site, new))

    def guarded(self, *methods: str) -> list[Address]:
        return [one for one in self.addresses if one.guarded is not None and one.method in methods]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return new_place(tmp_path_factory.mktemp("console"))


def new_place(folder: Path) -> Place:
    site = new_site(folder)
    site.settings.campaign_anchor.write_bytes(console_seed.anchor_pem())
    console_seed.seed(site.store, site.now(), targets=96, others=24)
    return Place(site, applications.people_app(site), addresses(site))


def addresses(site: Site) -> list[Address]:
    found = []
    for route in applications._people(site):
        assert isinstance(route, Route), f"{route} is no plain route: its parts would not be tried"
        guarded = route.endpoint if isinstance(route.endpoint, Guarded) else None
        assert route.methods, f"{route.path} takes every method there is"
        for method in sorted(route.methods - {"HEAD"}):
            found.append(Address(method, route.path, filled(route.path, site), guarded))
    return found


def filled(pattern: str, site: Site) -> str:
    """The path with something that exists in every gap."""

    there = gaps(site) | ({"name": "style.css"} if pattern.startswith("/static/") else {})

    def known(found: re.Match[str]) -> str:
        return there[found.group(1)]

    return re.sub(r"\{(\w+)(?::\w+)?\}", known, pattern)


def gaps(site: Site, organisation: str = "RX1") -> dict[str, str]:
    """Something of one organisation's for every gap that a path may have. One without is named by the KeyError."""

    def look(connection: sa.Connection) -> dict[str, str]:
        card = connection.execute(sa.select(STANDING.c.card).where(STANDING.c.organisation == organisation)).scalar()
        agent = connection.execute(sa.select(AGENT.c.id).where(AGENT.c.organisation == organisation)).scalar()
        code = connection.execute(sa.select(FLEET_CODE.c.digest).where(FLEET_CODE.c.organisation == organisation))
        order = connection.execute(sa.select(CHECK_ORDER.c.id).where(CHECK_ORDER.c.organisation == organisation))
        known = {
            "order": order.scalar(),
            "card": card,
            "agent": agent,
            "code": code.scalar(),
            "id": console_seed.CAMPAIGN_ID,
        }
        more = {
            "campaign": console_seed.CAMPAIGN_ID,
            "version": "1",
            "person": "sponsor",
            "name": console_seed.CAMPAIGN_ID,
            "step": "pause",
        }
        return {name: str(value) for name, value in {**known, **more}.items()}

    return site.store.reading(look)


def test_every_address_has_a_permission_or_a_reason_to_have_none(place: Place) -> None:
    without = {(one.method, one.pattern) for one in place.addresses if one.guarded is None}
    assert without <= OPEN.keys(), "give it gate.guard"
    assert len(place.guarded("GET")) >= 5, "the application was not walked"
    signed_in_is_enough = {one.pattern for one in place.guarded("GET", "POST") if one.permission is None}
    assert signed_in_is_enough == {"/sign-out"}


def test_nobody_sees_or_does_anything(place: Place) -> None:
    for address in place.guarded("GET", "POST", "PUT", "DELETE", "PATCH"):
        for browser in (Browser(place.app), Browser(place.app, "x" * 43), Browser(place.app, headers=[])):
            answer = browser.ask(address.method, address.path)
            if address.method == "GET":
                assert answer.status in (303, 401), address
                assert answer.status == 401 or answer.header("location").startswith("/sign-in?next=%2F")
            else:
                assert answer.status in (401, 403), address
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST", "GET"])
def test_no_other_method_is_a_way_round(place: Place, method: str) -> None:
    taken = {(one.method, one.pattern) for one in place.addresses}
    for address in place.addresses:
        if (method, address.pattern) not in taken:
            assert Browser(place.app).ask(method, address.path).status == 405, address


@pytest.mark.parametrize("scope", ["*", "RX1"])
@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_each_role_gets_in_where_it_may_and_nowhere_else(place: Place, role: Role, scope: str) -> None:
    browser = place.person(role, scope)
    person = Person("", "", role, frozenset({scope}))
    for address in place.guarded("GET"):
        if address.permission is not None and not person.may(address.permission):
            refused = browser.get(address.path)
            assert refused.status == 403, address
            assert address.permission.value in refused.text
        elif address.pattern not in STREAMS:
            assert browser.get(address.path).status == 200, address
    for address in place.guarded("POST", "PUT", "DELETE", "PATCH"):
        allowed = address.permission is None or person.may(address.permission)
        form = {} if allowed else {"csrf": form_token(place.site, browser.token)}
        assert browser.post(address.path, form).status == 403, address  # without the token, or without the role


def test_every_permission_of_a_page_is_one_that_somebody_lacks_or_that_all_have(place: Place) -> None:
    """So that the test above has something to refuse: the table itself is in test_permissions."""
    used = {one.permission for one in place.guarded("GET", "POST")} - {None}
    assert used <= MAY.keys() and any(MAY[one] != frozenset(Role) for one in used if one is not None)
    assert FOR_ALL <= MAY.keys()


def test_a_form_from_another_site_does_nothing(place: Place) -> None:
    manager = place.person(Role.RA_MANAGER, "*")
    token = form_token(place.site, manager.token)
    before = contents(place.site)
    for address in place.guarded("POST", "PUT", "DELETE", "PATCH"):
        for headers in ([("origin", "https://evil.test")], [("sec-fetch-site", "cross-site")], []):
            forged = Browser(place.app, manager.token, headers=headers)
            assert forged.post(address.path, {"csrf": token}).status == 403, address
        assert manager.post(address.path, {"csrf": "0" * 64}).status == 403, address
    assert contents(place.site) == before


def contents(site: Site) -> dict[str, Any]:
    """Everything that the console keeps."""

    def look(connection: sa.Connection) -> dict[str, Any]:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        return {name: connection.execute(sa.select(table)).fetchall() for name, table in metadata.tables.items()}

    return site.store.reading(look)


def test_another_host_gets_nothing(place: Place) -> None:
    manager = place.person(Role.RA_MANAGER, "*")
    for host in ("evil.test", "console.test:8443.evil.test", "127.0.0.1:8443"):
        for address in place.guarded("GET"):
            assert replace(manager, host=host).get(address.path).status == 421, address


# --- other organisations


MINE, MARK = "RX1", "zz-of-others"
SEES = Permission.SEE_DASHBOARD
"""Whoever may see anything may see this: those of the EPCS desk have no part in the RA."""


def pages(place: Place, browser: Browser) -> dict[str, Answer]:
    """Everything that this person may look at."""
    found = {}
    for address in place.guarded("GET"):
        if address.pattern not in STREAMS:
            answer = browser.get(address.path)
            if answer.status == 200:
                found[address.path] = answer
    return found


def disturb(connection: sa.Connection) -> None:
    """Change what belongs to other organisations, or to none: half of it goes, and all the rest gets a mark."""
    other = {table: table.c.organisation.not_in([MINE]) for table in (TARGET, CARD, STANDING, AGENT, FLEET_CODE)}
    for table, column in ((TARGET, "serial"), (STANDING, "card"), (CARD, "identity"), (AGENT, "id")):
        keys = [key for (key,) in connection.execute(sa.select(table.c[column]).where(other[table]))]
        connection.execute(sa.delete(table).where(table.c[column].in_(keys[::2]), other[table]))
    marked: tuple[tuple[sa.Table, tuple[str, ...]], ...] = (
        (TARGET, ("holder", "email", "card_number", "rule", "serial")),
        (STANDING, ("why", "serial")),
        (CARD, ("serial", "model")),
        (AGENT, ("machine", "version")),
        (FLEET_CODE, ("made_by",)),
    )
    for table, columns in marked:
        values = {name: sa.literal(MARK) + table.c[name] for name in columns}
        changed = connection.execute(sa.update(table).where(other[table]).values(values))
        assert changed.rowcount, table
    connection.execute(sa.update(PERSON).where(PERSON.c.organisations == "Y90").values(name=MARK, account=MARK))
    connection.execute(sa.update(ORGANISATION).where(ORGANISATION.c.code != MINE).values(name=MARK))
    cards = sa.select(STANDING.c.card).where(STANDING.c.organisation == MINE)
    connection.execute(sa.delete(CHECK_IN).where(CHECK_IN.c.card.not_in(cards)))
    agents = sa.select(AGENT.c.id).where(AGENT.c.organisation == MINE)
    connection.execute(sa.delete(CHECK_ANSWER).where(CHECK_ANSWER.c.agent.not_in(agents)))


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What people saw before and after others' data changed, by role and scope."""
    place = new_place(tmp_path_factory.mktemp("disturbed"))
    people = {(role, scope): place.person(role, scope) for role in Role for scope in (MINE, "*")}
    before = {who: pages(place, browser) for who, browser in people.items()}
    place.site.store.writing(disturb)
    yield {who: (before[who], pages(place, browser)) for who, browser in people.items()}


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_nobody_learns_anything_of_other_organisations(disturbed: Any, role: Role) -> None:
    """Not a name, not a count, not an order: whatever happens there, each page stays as it is to the letter."""
    before, after = disturbed[(role, MINE)]
    assert before.keys() == after.keys() and bool(before) is Person("", "", role, frozenset()).may(SEES)
    for path, answer in before.items():
        assert MARK.encode() not in after[path].body, path
        assert after[path].body == answer.body, path
    seen = disturbed[(role, "*")][1]
    assert not before or any(MARK.encode() in answer.body for answer in seen.values()), (
        "nobody at all sees what was changed"
    )


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_one_thing_of_another_organisation_is_as_if_it_did_not_exist(place: Place, role: Role) -> None:
    browser, others = place.person(role, "RX1"), gaps(place.site, "Y90")
    for address in place.guarded("GET", "POST"):
        used = set(re.findall(r"\{(\w+)", address.pattern)) & {"card", "agent", "code"}
        if not used or not browser_may(role, address):
            continue
        path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: others[found.group(1)], address.pattern)
        missing = re.sub(r"\{(\w+)(?::\w+)?\}", "no-such-thing", address.pattern)
        form = {"csrf": form_token(place.site, browser.token)}
        there, nothing = (
            browser.get(one) if address.method == "GET" else browser.post(one, form) for one in (path, missing)
        )
        assert there.status == nothing.status == 404, address
        assert there.text.replace(others[next(iter(used))], "") == nothing.text.replace("no-such-thing", ""), address


def browser_may(role: Role, address: Address) -> bool:
    person = Person("", "", role, frozenset({"RX1"}))
    return address.permission is None or person.may(address.permission)


def test_nobody_does_anything_to_another_organisation(place: Place) -> None:
    """Every form, as a page of another organisation's person would send it: nothing changes but sessions in use."""
    here, others = place.person(Role.RA_MANAGER, "RX1"), gaps(place.site, "Y90")
    newcomer = {"name": "Eve", "role": "ra-manager", "account": "eve"}
    forms = [
        ("/agents/revoke", {"agent": others["agent"]}, 404),
        ("/fleet-codes", {"organisation": "Y90", "days": "30"}, 403),
        ("/fleet-codes", {"organisation": "y90", "days": "30"}, 403),
        ("/fleet-codes", {"organisation": "*", "days": "30"}, 403),
        ("/fleet-codes/end", {"organisation": "Y90"}, 403),
        ("/fleet-codes/end", {"organisation": ""}, 403),
        ("/check-now", {"organisation": "Y90"}, 403),
        ("/check-now", {"organisation": ""}, 403),
        ("/check-now", {"organisation": "RX1", "agent": others["agent"]}, 404),
        ("/people", {**newcomer, "organisations": "Y90"}, 403),
        ("/people", {**newcomer, "organisations": "RX1 Y90"}, 403),
        ("/people", {**newcomer, "organisations": "*"}, 403),
        ("/people/change", {"id": "sponsor", "role": "sponsor", "organisations": "RX1"}, 404),
        ("/people/change", {"id": "agent", "role": "sponsor", "organisations": "RX1"}, 404),
        ("/people/end", {"id": "manager"}, 404),
        ("/people/end", {"id": "sponsor"}, 404),
        ("/campaigns", {}, 403),
        ("/targets", {"campaign": console_seed.CAMPAIGN_ID, "name": "x"}, 403),
        ("/targets/drop", {"campaign": console_seed.CAMPAIGN_ID}, 403),
    ]
    tried = {path for path, _, _ in forms} | {"/sign-out", "/preview"}
    assert {one.path for one in place.guarded("POST")} <= tried, "a form that is not tried here"
    before = contents(place.site)
    for path, form, status in forms:
        answer = here.post(path, {**form, "csrf": form_token(place.site, here.token)})
        assert answer.status == status, (path, form, answer.text)
    assert contents(place.site) == before


@pytest.mark.parametrize(
    "query", ["organisation=Y90", "organisation=RX1&organisation=Y90", "organisation=*", "organisation="]
)
def test_no_filter_widens_what_is_seen(place: Place, query: str) -> None:
    browser = place.person(Role.RA_MANAGER, "RX1")
    names = place.site.store.reading(
        lambda c: (
            {row.holder for row in c.execute(sa.select(TARGET.c.holder).where(TARGET.c.organisation == "Y90"))}
            - {row.holder for row in c.execute(sa.select(TARGET.c.holder).where(TARGET.c.organisation == "RX1"))}
        )
    )
    assert names
    for address in place.guarded("GET"):
        if address.pattern not in STREAMS:
            body = browser.get(f"{address.path}?{query}").body
            assert not [name for name in names if name.encode() in body], address


def test_news_names_kinds_and_nothing_else(place: Place) -> None:
    from renewagent.console.pages import NEWS

    assert all(re.fullmatch("[a-z]+", kind) for kind in NEWS)
    assert json.dumps(NEWS).count("RX") == 0
