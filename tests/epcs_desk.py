"""An EPCS desk for tests: a console with the mock vendor and the mock EHR in one process, on one clock, and people with
accounts at both. `renewagent mock-epcs serve` and the desk over HTTP are tried in tests/flows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from starlette.types import ASGIApp

from renewagent.console.app import people_app
from renewagent.console.epcs.desk import Desk
from renewagent.console.openapi import description
from renewagent.console.permissions import Person, Role
from renewagent.console.settings import EpcsSettings, Listener, Settings
from renewagent.console.site import Site
from renewagent.tokens.model import Staff
from renewagent.tokens.npi import luhn_sum
from renewagent_fixtures.mock_epcs.ehr import MockEhr
from renewagent_fixtures.mock_epcs.vendor import MockVendor
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.console import Answer, Browser, Clock, Dice, new_person, new_site

EPCS = EpcsSettings("https://vendor.test", "v" * 32, "https://ehr.test", "e" * 32)
PROGRAM = [("accept", "application/json")]


@dataclass
class Bench:
    """A desk, the world around it, and the console's application for people."""

    site: Site
    clock: Clock
    vendor: MockVendor
    ehr: MockEhr
    desk: Desk
    app: ASGIApp = field(init=False)

    def __post_init__(self) -> None:
        self.app = people_app(self.site, self.desk)

    def person(
        self, user: str, role: Role = Role.PRESCRIBER, *, dea: str = "", organisations: str = "RX1", **more: str
    ) -> Person:
        """Somebody at the console and in the EHR, whose password is `password(user)`."""
        self.ehr.add_staff(Staff(user, user.title(), npi=npi(user) if dea else "", dea=dea), password(user))
        return new_person(self.site, role, organisations, account="", ehr=user, dea=dea, name=user.title(), **more)

    def token(self, serial: str, account: str = "") -> ButtonToken:
        """A hardware token from the factory; at the vendor it is `account`'s, if somebody's."""
        seed = sha256(serial.encode()).digest()[:20]
        self.vendor.add_hardware(serial, seed)
        if account:
            self.vendor.register(serial, account)
        return ButtonToken(serial, seed)

    def program(self, user: str = "", address: str = "198.51.100.7") -> Program:
        """A program of this person's, signed in; of nobody's for ""."""
        made = Program(Browser(self.app, address=address, headers=PROGRAM))
        return made.signed_in(user) if user else made

    def close(self) -> None:
        self.site.store.close()
        self.vendor.close()
        self.ehr.close()


@dataclass
class Program:
    """What talks to the desk's addresses for programs."""

    client: Browser
    token: str = ""

    def signed_in(self, user: str, given: str = "") -> Program:
        """As this person, by their password."""
        answer = self.post("/epcs/api/sign-in", {"user": user, "password": given or password(user)})
        assert answer.status == 200, answer.text
        return Program(self.client, json.loads(answer.body)["token"])

    def get(self, path: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("GET", path, headers)

    def post(self, path: str, document: Any = None, *headers: tuple[str, str]) -> Answer:
        body = json.dumps({} if document is None else document).encode()
        return self.ask("POST", path, [("content-type", "application/json"), *headers], [body])

    def ask(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: Iterable[bytes] = ()
    ) -> Answer:
        bearer = [("authorization", f"Bearer {self.token}")] if self.token else []
        answer = self.client.ask(method, path, [*bearer, *headers], body)
        check_described(method, path, answer)
        return answer


def check_described(method: str, path: str, answer: Answer) -> None:
    """Every answer to a program is as /openapi.json says."""
    document = described()
    route = next((one for one in document["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", one), _bare(path))), None)
    known = document["paths"].get(route, {}).get(method.lower())
    if known is None:
        assert answer.status in (404, 405), f"{method} {path} is described nowhere"
        return
    responses = known["responses"]
    name = next(one for one in (str(answer.status), f"{answer.status // 100}XX") if one in responses)
    found = responses[name]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    schema = {**found["content"]["application/json"]["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(json.loads(answer.body))


def _bare(path: str) -> str:
    return path.partition("?")[0]


@cache
def described() -> Any:
    """/openapi.json of a console with a desk."""
    place = Listener("127.0.0.1", 0, "https://console.test")
    return description(Settings(Path(), "", place, place, Path(), Path(), epcs=EPCS))


def npi(user: str) -> str:
    """A good one, and everybody has their own."""
    digits = f"1{int(sha256(user.encode()).hexdigest(), 16) % 10**8:08}"
    return next(f"{digits}{last}" for last in range(10) if luhn_sum(f"80840{digits}{last}") % 10 == 0)


def password(user: str) -> str:
    """Of everybody in the mock EHR."""
    return f"{user}'s own password"


def said(answer: Answer, status: int = 200) -> Any:
    """The document in an answer of this status."""
    assert answer.status == status, answer.text
    assert answer.header("content-type") == "application/json"
    return json.loads(answer.body)


def new_bench(folder: Path, **settings: Any) -> Bench:
    """Nobody in it. Close it."""
    clock = Clock()
    site = new_site(folder, clock, epcs=EPCS, **settings)
    vendor = MockVendor(f"sqlite:///{folder}/vendor.db", now=clock, entropy=Dice())
    ehr = MockEhr(f"sqlite:///{folder}/ehr.db", vendor=vendor, now=clock, entropy=Dice())
    desk = Desk(site, authority=vendor, support=vendor, soft=vendor, ehr=ehr)
    return Bench(site, clock, vendor, ehr, desk)
