"""A console for tests: a site on a new SQLite database with a clock and dice of its own, people, and a browser's
manners. `tests.flows.console_seed` fills it with a campaign; `renewagent console serve` is tried in tests/flows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.types import ASGIApp

from renewagent.console import people, sessions
from renewagent.console.people import Newcomer
from renewagent.console.permissions import Person, Role
from renewagent.console.settings import Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store

URL = "https://console.test:8443"
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BY_HAND = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-user": "?1", "origin": URL}
"""What a browser says of a form that somebody sends from one of our pages."""


@dataclass(slots=True)
class Clock:
    """Stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        """Forward, or back."""
        self.now += by


@dataclass(slots=True)
class Dice:
    """The same numbers in every run, and never one twice."""

    _thrown: Any = field(default_factory=itertools.count)

    def __call__(self, octets: int) -> bytes:
        return sha256(f"dice {next(self._thrown)}".encode()).digest()[:octets].ljust(octets, b"\0")


def new_site(folder: Path, clock: Callable[[], datetime] | None = None, **settings: Any) -> Site:
    """A console with nobody in it. `settings` take the place of what `Settings` has otherwise."""
    given = {
        "data": folder,
        "database": f"sqlite:///{folder}/console.db",
        "agents": Listener("127.0.0.1", 0, "https://agents.test:8444"),
        "people": Listener("127.0.0.1", 0, URL),
        "ra_root": folder / "ra-root.pem",
        "campaign_anchor": folder / "anchor.pem",
        **settings,
    }
    chosen = Settings(**given)
    store = Store(chosen.database)
    store.migrate()
    return Site(chosen, store, clock or Clock(), Dice())


def new_person(site: Site, role: Role = Role.RA_MANAGER, organisations: str = "*", **more: str) -> Person:
    """Somebody who may sign in; `more`: name, subject, account."""
    name = more.pop("name", role.words)
    given = {"account": f"{role.value}-{organisations}".lower().replace(" ", "-").replace("*", "all"), **more}
    newcomer = Newcomer(name, role, tuple(organisations.split()), **given)
    return site.store.writing(lambda connection: people.add(connection, site.now(), "tests", newcomer, site.entropy))


def sign_in(site: Site, person: Person, how: str = "card") -> str:
    """A new session's number, as the cookie carries it."""
    return site.store.writing(
        lambda connection: sessions.begin(connection, site.settings, site.now(), person, how, site.entropy)
    )


def form_token(site: Site, token: str) -> str:
    """What the forms of a session carry as `csrf`."""
    visitor = site.store.reading(lambda connection: sessions.find(connection, site.settings, site.now(), token))
    assert visitor is not None
    return sessions.csrf_token(visitor)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers`: by lowercase name, each with all its values."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    def header(self, name: str) -> str:
        """The one of this name; "" for none."""
        values = self.headers.get(name, [""])
        assert len(values) == 1, values
        return values[0]

    @property
    def cookie(self) -> str:
        """The session's number that it hands over; "" for none, and for one that it takes back."""
        return SimpleCookie(self.header("set-cookie"))[sessions.COOKIE].value if "set-cookie" in self.headers else ""


@dataclass(slots=True)
class Browser:
    """Somebody's browser, straight at an ASGI application; it follows no redirect. `token`: the session's number.
    `headers` are sent with everything, as they stand: a list may name one twice."""

    app: ASGIApp
    token: str = ""
    address: str = "198.51.100.7"
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("accept", "text/html"), *BY_HAND.items()])
    host: str = URL.removeprefix("https://")

    def get(self, path: str, *headers: tuple[str, str]) -> Answer:
        """GET."""
        return self.ask("GET", path, headers)

    def post(self, path: str, form: Mapping[str, str] | bytes, *headers: tuple[str, str]) -> Answer:
        """POST a form, or some octets."""
        if isinstance(form, bytes):
            return self.ask("POST", path, headers, [form])
        kind = ("content-type", "application/x-www-form-urlencoded")
        return self.ask("POST", path, [kind, *headers], [urlencode(form).encode()])

    def ask(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: Iterable[bytes] = ()
    ) -> Answer:
        """Anything. `body` in the pieces that it arrives in."""
        return asyncio.run(self._ask(method, path, headers, iter(body)))

    async def _ask(self, method: str, path: str, headers: Iterable[tuple[str, str]], pieces: Iterator[bytes]) -> Answer:
        sent: list[Any] = []
        answered = asyncio.Event()
        whole = False

        async def receive() -> Any:
            nonlocal whole
            if whole:
                await answered.wait()
                return {"type": "http.disconnect"}
            piece = next(pieces, None)
            whole = piece is None
            return {"type": "http.request", "body": piece or b"", "more_body": not whole}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

        await self.app(self._scope(method, path, headers), receive, send)
        said: dict[str, list[str]] = {}
        for name, value in sent[0]["headers"]:
            said.setdefault(name.decode().lower(), []).append(value.decode("latin-1"))
        return Answer(sent[0]["status"], said, b"".join(m.get("body", b"") for m in sent[1:]))

    def _scope(self, method: str, path: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
        route, _, query = path.partition("?")
        given = [("host", self.host), *self.headers, *headers]
        if self.token:
            given.append(("cookie", f"{sessions.COOKIE}={self.token}"))
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote(route),
            "raw_path": route.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given],
            "client": (self.address, 50000),
            "server": ("192.0.2.1", 8443),
            "state": {},
        }
