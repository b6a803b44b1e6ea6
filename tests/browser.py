"""A real browser and a console to look at: Debian's Chromium by playwright, and the people's listener over TLS.

The browser is one for the whole session of tests; each page gets a context of its own, with or without scripts. Where
Chromium is missing the tests are skipped, but in CI that is a failure.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from starlette.types import ASGIApp

from renewagent.console import people, sessions
from renewagent.console.app import people_app
from renewagent.console.settings import Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store
from tests.programs import missing

AXE: dict[str, Any] = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, headless."""
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


def check(page: Page, options: dict[str, Any] = AXE) -> None:
    """axe finds nothing."""
    loaded = page.evaluate("typeof axe !== 'undefined'")  # half a megabyte: once for each page
    found = Axe("" if loaded else AXE_SCRIPT).run(page, options=options)
    assert found.violations_count == 0, f"{page.url} {page.title()}\n{found.generate_report()}"


def check_in_light_and_dark(page: Page) -> None:
    """axe finds nothing, nor in the dark, where only colours are others."""
    check(page)
    page.emulate_media(color_scheme="dark")
    check(page, {**AXE, "runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")


@dataclass(frozen=True, slots=True)
class Console:
    """The people's listener of one site, running in a thread."""

    site: Site
    url: str

    def session(self, person: str) -> str:
        """A session of somebody in the store (by id), as the cookie carries it."""

        def begin(connection: Any) -> str:
            found = people.by_id(connection, person)
            assert found is not None, person
            return sessions.begin(connection, self.site.settings, self.site.now(), found, "card", secrets.token_bytes)

        return self.site.store.writing(begin)

    def context(self, browser: Browser, person: str | None, **options: Any) -> BrowserContext:
        """A browser's context, signed in as somebody, or as nobody."""
        context = browser.new_context(ignore_https_errors=True, **{"base_url": self.url, **options})
        context.set_default_timeout(15_000)
        if person is not None:
            token = self.session(person)
            cookie = {"name": sessions.COOKIE, "value": token, "url": self.url, "secure": True, "sameSite": "Strict"}
            context.add_cookies([cookie])  # type: ignore[list-item]  # as the console sets it
        return context


@contextmanager
def console(folder: Path, store: Store, now: datetime | None = None) -> Iterator[Console]:
    """Serve the people's listener over TLS for the block. `now`: the time stands still; else it is the real one."""
    clock = (lambda: now) if now else (lambda: datetime.now(UTC))

    def made(url: str) -> tuple[Site, ASGIApp]:
        site = Site(settings(folder, url), store, clock, secrets.token_bytes)
        return site, people_app(site)

    with served(folder, made) as running:
        yield running


@contextmanager
def served(folder: Path, made: Callable[[str], tuple[Site, ASGIApp]]) -> Iterator[Console]:
    """Serve an application over TLS for the block: `made` for the address that it gets."""
    certificate, key = _self_signed(folder)
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    site, app = made(url)
    config = uvicorn.Config(
        app, ssl_certfile=certificate, ssl_keyfile=key, log_config=None, lifespan="off", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(_serve(server, site, listening)))
    thread.start()
    try:
        yield Console(site, url)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive()


def settings(folder: Path, url: str = "https://127.0.0.1:8443") -> Settings:
    """Settings of a console whose pages stand at `url`."""
    people_at = Listener("127.0.0.1", int(url.rpartition(":")[2]), url)
    anchor = folder / "anchor.pem"
    if not anchor.exists():
        anchor.touch()
    return Settings(
        data=folder,
        database=f"sqlite:///{folder / 'console.db'}",
        agents=replace(people_at, url="https://127.0.0.1:9"),
        people=people_at,
        ra_root=anchor,
        campaign_anchor=anchor,
        log_requests=False,
    )


def at(page: Page, path: str) -> Page:
    """The page, gone to `path`; whatever the console answers must be a page, and no error of the browser's."""
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    response = page.goto(path)
    assert response is not None and response.status == 200, f"{path}: {response and response.status}"
    assert not problems, f"{path}: {problems}"
    return page


async def _serve(server: uvicorn.Server, site: Site, listening: socket.socket) -> None:
    watching = asyncio.create_task(site.news.watch(site.store))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.should_exit and not serving.done():
        await asyncio.sleep(0.05)
    await site.news.close()
    await serving
    watching.cancel()


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=127.0.0.1")
    begun = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.pem", folder / "tls.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
