"""Nobody gets in at the EPCS desk: every address for programs, as it stands in the application itself, tried by nobody,
by every role, by people of another organisation, and with things that are somebody else's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.routing import Route

from renewagent.console import app as applications
from renewagent.console import sessions
from renewagent.console.epcs import incidents, overrides, requests, soft, tickets
from renewagent.console.epcs.program_gate import Programmed
from renewagent.console.gate import Guarded
from renewagent.console.permissions import Permission, Person, Role
from renewagent.tokens.grants import Action
from renewagent.tokens.soft_causes import Cause
from tests.console import Browser, form_token, new_person, sign_in
from tests.epcs_desk import PROGRAM, Bench, Program, new_bench, npi

OPEN = {
    ("POST", "/sign-in/ehr"): "takes the password, from its own page",
    ("POST", "/epcs/api/sign-in"): "takes the password",
    ("POST", "/epcs/api/sign-out"): "takes whoever has a token: tried in the unit tests",
}
SERIAL, LOOSE = "GAHE00000017", "GAHE00000025"
ADDRESS_OF_CLINIC = {
    "company": "Clinic",
    "attention": "Dr Osei",
    "street1": "1 Main St",
    "city": "Springfield",
    "state": "IL",
    "postal_code": "62701",
    "country": "US",
    "phone": "+1 217 555 0100",
    "tracking_email": "osei@clinic.example",
}


@dataclass(frozen=True)
class Address:
    """One method at one path; `work` the endpoint, None where anybody may ask."""

    method: str
    pattern: str
    work: Programmed | None


@dataclass
class Place:
    """A desk with one of everything that is Osei's, of RX1."""

    bench: Bench
    osei: Person
    addresses: list[Address]
    there: dict[str, str]
    numbers: Iterator[int] = field(default_factory=count)

    def program(self, role: Role, organisations: str = "RX1", *, dea: str = "") -> Program:
        """Somebody new's, as if they had signed in."""
        user = f"user{next(self.numbers)}"
        person = new_person(self.bench.site, role, organisations, account="", ehr=user, dea=dea)
        token = sign_in(self.bench.site, person, sessions.PROGRAM)
        return Program(Browser(self.bench.app, headers=PROGRAM), token)

    def path(self, pattern: str, there: dict[str, str] | None = None) -> str:
        known = self.there if there is None else there
        kind = next((name for name in ("tickets", "runs", "requests", "overrides", "incidents") if name in pattern), "")
        known = {**known, "id": known.get(kind, "0" * 16)}
        return re.sub(r"\{(\w+)\}", lambda gap: known[gap.group(1)], pattern)

    def guarded(self, *methods: str) -> list[Address]:
        return [one for one in self.addresses if one.work is not None and one.method in methods]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    bench = new_bench(tmp_path_factory.mktemp("desk"))
    osei = bench.person("osei", dea="BO1234563")
    boss = bench.person("boss", Role.EPCS_ADMINISTRATOR, organisations="*")
    there = seed(bench, osei, boss)
    yield Place(bench, osei, addresses(bench), there)
    bench.close()


def addresses(bench: Bench) -> list[Address]:
    found = []
    for route in applications._epcs(bench.desk):
        assert isinstance(route, Route) and route.methods, f"{route} is no plain route: its parts would not be tried"
        if isinstance(route.endpoint, Guarded):
            continue  # a page
        work = route.endpoint if isinstance(route.endpoint, Programmed) else None
        found += [Address(method, route.path, work) for method in sorted(route.methods - {"HEAD"})]
    return found


def seed(bench: Bench, osei: Person, boss: Person) -> dict[str, str]:
    from renewagent.console.epcs import hardware

    desk = bench.desk
    bench.token(SERIAL)
    hardware.register(desk, osei, osei, SERIAL, SERIAL)
    form = {"kind": "spare", "provider": "Nadia Osei", "email": "osei@clinic.example", **ADDRESS_OF_CLINIC}
    ticket = tickets.order(desk, osei, osei, form).ticket
    bench.vendor.enrol("osei.soft", "osei@clinic.test", "+15550100")
    run = soft.begin(desk, boss, osei, Cause.NEW_PHONE, "osei.soft")
    request = requests.enter(desk, boss, osei, Action.GRANT, "New.")
    lease = overrides.give(desk, boss, osei, "enable EPCS")
    incident = incidents.found(desk, boss, "note", osei, "Something was odd.")
    return {
        "serial": SERIAL,
        "tickets": ticket.id,
        "runs": run.id,
        "requests": request.id,
        "overrides": lease.id,
        "incidents": incident.id,
        "day": f"{bench.clock():%Y-%m-%d}",
    }


BODIES: dict[str, dict[str, Any]] = {
    "/epcs/api/tokens": {"serial": LOOSE, "back": LOOSE},
    "/epcs/api/tokens/{serial}/resync": {"back": SERIAL, "codes": ["123456", "654321"]},
    "/epcs/api/tokens/{serial}/lost": {"reason": "lost"},
    "/epcs/api/tokens/{serial}/activate": {},
    "/epcs/api/tokens/{serial}/retire": {},
    "/epcs/api/tickets": {
        "kind": "reset",
        "provider": "A B",
        "npi": npi("osei"),
        "serial": SERIAL,
        "first": "123456",
        "second": "654321",
    },
    "/epcs/api/tickets/{id}/seen": {},
    "/epcs/api/soft/runs": {"cause": "reinstalled"},
    "/epcs/api/soft/runs/{id}": {},
    "/epcs/api/soft/runs/{id}/abandon": {},
    "/epcs/api/enable": {},
    "/epcs/api/requests": {"action": "revoke", "reason": "x"},
    "/epcs/api/requests/{id}/challenge": {},
    "/epcs/api/requests/{id}/execute": {"otp": {"serial": SERIAL, "code": "123456"}},
    "/epcs/api/requests/{id}/withdraw": {},
    "/epcs/api/overrides": {"purpose": "enable EPCS"},
    "/epcs/api/overrides/{id}/end": {},
    "/epcs/api/suspensions": {"reason": "left"},
    "/epcs/api/incidents/{id}/report": {"text": "Told."},
    "/epcs/api/reports/{day}/seen": {},
}
"""What would do something, from somebody who may; `user` is put in where it is taken."""


def test_every_address_has_a_permission_or_a_reason_to_have_none(place: Place) -> None:
    without = {(one.method, one.pattern) for one in place.addresses if one.work is None}
    assert without == OPEN.keys(), "give it program_gate.guard_program"
    assert {one.work.permission for one in place.guarded("GET", "POST") if one.work} <= {
        Permission.USE_EPCS,
        Permission.ADMINISTER_EPCS,
        Permission.EXECUTE_EPCS,
    }
    assert {one.pattern for one in place.guarded("POST")} == BODIES.keys(), "an address that is not tried here"


def test_nobody_sees_or_does_anything(place: Place) -> None:
    before = contents(place)
    cookie = sign_in(place.bench.site, place.osei, "card")
    for address in place.guarded("GET", "POST"):
        path = place.path(address.pattern)
        for program in (place.bench.program(), Program(place.bench.program().client, "x" * 43)):
            answer = program.ask(address.method, path, [], [b"{}"])
            assert answer.status == 401 and answer.header("www-authenticate") == "Bearer", address
        by_page = Browser(place.bench.app, cookie)
        assert by_page.ask(address.method, path).status == 400, address
    assert contents(place) == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST", "GET"])
def test_no_other_method_is_a_way_round(place: Place, method: str) -> None:
    taken = {(one.method, one.pattern) for one in place.addresses}
    for address in place.addresses:
        if (method, address.pattern) not in taken:
            assert place.bench.program().ask(method, place.path(address.pattern)).status == 405, address


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_each_role_gets_in_where_it_may_and_nowhere_else(place: Place, role: Role) -> None:
    program, person = place.program(role), Person("", "", role, frozenset({"RX1"}))
    before, refused = contents(place), 0
    for address in place.guarded("GET", "POST"):
        assert address.work is not None
        if person.may(address.work.permission):
            continue
        refused += 1
        answer = program.ask(address.method, place.path(address.pattern), [], [b"{}"])
        assert answer.status == 403 and address.work.permission.value in answer.text, address
    assert contents(place) == before
    assert refused >= (2 if role is Role.EPCS_ADMINISTRATOR else 5)  # nobody executes without a registration


WHO = {
    "a colleague": (Role.PRESCRIBER, "RX1", ""),
    "a registrant elsewhere": (Role.PRESCRIBER, "Y90", "AF1234563"),
    "an administrator elsewhere": (Role.EPCS_ADMINISTRATOR, "Y90", ""),
    "an administrator and registrant elsewhere": (Role.EPCS_ADMINISTRATOR, "Y90 Y91", "BF1234563"),
}


@pytest.mark.parametrize(("role", "organisations", "dea"), WHO.values(), ids=WHO)
def test_what_is_somebody_else_s_is_as_if_it_did_not_exist(
    place: Place, role: Role, organisations: str, dea: str
) -> None:
    """With Osei's ids and Osei's name: nothing is done, and nothing learnt that made-up ones would not tell."""
    program, before = place.program(role, organisations, dea=dea), contents(place)
    person, nothing = Person("", "", role, frozenset(), "", dea), dict.fromkeys(place.there, "0" * 16)
    for address in place.guarded("POST"):
        assert address.work is not None
        for user in ({}, {"user": "osei"}):
            if not person.may(address.work.permission) or (not user and "{" not in address.pattern):
                continue
            body = {**BODIES[address.pattern], **user}
            answer = program.post(place.path(address.pattern), body)
            assert answer.status in (403, 404, 422) and "Osei" not in answer.text, (address, answer.text)
            made_up = {**body, "user": "zoe"} if user else body
            none = program.post(place.path(address.pattern, {**nothing, "serial": "GAHE00000099"}), made_up)
            told = none.text.replace("zoe", "osei").replace("GAHE00000099", SERIAL)
            assert (none.status, told) == (answer.status, answer.text), address
    for address in place.guarded("GET"):
        assert address.work is not None
        if person.may(address.work.permission):
            answer = program.get(f"{place.path(address.pattern)}?user=osei")
            assert answer.status in (403, 422) or "osei" not in answer.text.lower(), (address, answer.text)
    assert contents(place) == before


def test_another_host_gets_nothing(place: Place) -> None:
    program = place.program(Role.EPCS_ADMINISTRATOR, "*")
    for host in ("evil.test", "console.test:8443.evil.test", "127.0.0.1:8443"):
        program.client.host = host
        for address in place.guarded("GET"):
            assert program.client.get(place.path(address.pattern), ("authorization", "Bearer x")).status == 421, address


def test_bodies_are_bounded_and_only_for_whoever_is_signed_in(place: Place) -> None:
    program = place.program(Role.EPCS_ADMINISTRATOR, "*", dea="BB1234563")
    json_type = ("content-type", "application/json")
    for address in place.guarded("POST"):
        assert address.work is not None
        path = place.path(address.pattern)
        pieces = [b" " * (address.work.largest // 4 + 1)] * 5
        assert program.ask("POST", path, [json_type], pieces).status == 413, address
        nobody = place.bench.program().ask("POST", path, [json_type], pieces)
        assert nobody.status == 401, address
        assert program.ask("POST", path, [json_type, ("content-length", "99999999999")]).status == 413, address


def test_a_body_arrives_in_time_or_not_at_all(place: Place) -> None:
    """The head is there, a token too, and then nothing more comes."""
    program = place.program(Role.EPCS_ADMINISTRATOR, "*", dea="BC1234563")
    bearer = [(b"authorization", f"Bearer {program.token}".encode())]

    async def nothing(*_: Any) -> Any:
        await asyncio.sleep(5)

    async def wait(work: Programmed) -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": bearer, "state": {}}
        with pytest.raises(HTTPException) as refused:
            await replace(work, patience=0.05)({**scope, "path_params": {}}, nothing, nothing)
        assert refused.value.status_code == 408

    for address in place.guarded("POST"):
        assert address.work is not None
        assert address.work.patience <= 300
        asyncio.run(wait(address.work))


def test_no_form_of_the_console_takes_a_program_s_token(place: Place) -> None:
    program = place.program(Role.EPCS_ADMINISTRATOR, "*")
    bearer = ("authorization", f"Bearer {program.token}")
    page = Browser(place.bench.app)
    for path in ("/people", "/sign-out", "/agents/revoke", "/campaigns"):
        assert page.post(path, {"csrf": form_token(place.bench.site, program.token)}, bearer).status in (401, 403), path


def contents(place: Place) -> dict[str, Any]:
    """Everything that the desk keeps, but for who signs in when, and what the log says of attempts."""

    def look(connection: sa.Connection) -> dict[str, Any]:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        kept = [table for name, table in metadata.tables.items() if name.startswith("epcs_") or name == "challenge"]
        return {table.name: connection.execute(sa.select(table)).fetchall() for table in kept}

    ehr = place.bench.ehr
    outside = (ehr.access("osei"), ehr.device("osei"), place.bench.vendor.standing(SERIAL))
    return {**place.bench.site.store.reading(look), "outside": outside}
