"""What a real browser makes of sessions: the file that leads it to a sign-in link, a cookie that it keeps from other
sites' requests, and which requests it calls a person's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser as Chromium

from renewagent.agent.browser import leading_to
from renewagent.console import people, sign_in
from renewagent.console.card_sign_in import Shown
from renewagent.console.people import Newcomer
from renewagent.console.permissions import Role
from renewagent.console.sessions import COOKIE
from renewagent.console.store import Store
from renewagent.console.tables import PERSON, SESSION
from tests import browser as browsers
from tests.browser import Console

SUBJECT = people.canonical_subject("CN=Nadia Osei,O=nhs")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with browsers.chromium() as one:
        yield one


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()
    with browsers.console(tmp_path, store) as one:
        nadia = Newcomer("Nadia Osei", Role.RA_MANAGER, ("*",), SUBJECT, "nadia")
        store.writing(lambda connection: people.add(connection, one.site.now(), "tests", nadia, one.site.entropy))
        yield one
    store.close()


def nadia(console: Console) -> str:
    return console.site.store.reading(people.everybody)[0].person.id


def link(console: Console) -> str:
    """As the console gives it for the proof of a card."""

    def make(connection: sa.Connection) -> str:
        now = console.site.now()
        nonce = sign_in.new_nonce(connection, console.site, now)
        found = sign_in.new_link(connection, console.site, now, Shown(SUBJECT, "ab" * 32, "piv:1", nonce))
        assert found is not None
        return found.token

    token = console.site.store.writing(make)
    return f"{console.url}/sign-in/finish?link={token}"


def test_the_file_leads_to_a_page_that_names_the_person_and_that_to_the_console(
    chromium: Chromium, console: Console, tmp_path: Path
) -> None:
    with console.context(chromium, None) as context, leading_to(link(console), "Signing in", tmp_path) as file:
        page = context.new_page()
        page.goto(file.as_uri())
        page.wait_for_url("**/sign-in/finish?link=*")
        assert page.evaluate("document.referrer") == ""
        assert not context.cookies()
        page.get_by_role("button", name="Sign in as Nadia Osei").click()
        page.wait_for_url(console.url + "/")
        assert page.get_by_text("Nadia Osei").first.is_visible()
        (cookie,) = context.cookies()
        facts = (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"])
        assert facts == (COOKIE, True, True, "Strict", "/") and cookie["expires"] == -1
        assert page.evaluate("document.cookie") == ""
        page.go_back()
        assert page.get_by_text("This link is no longer good").first.is_visible() or page.url == console.url + "/"
        page.goto(console.url + "/")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="You are signed out").wait_for()
        assert not context.cookies()


class Evil(BaseHTTPRequestHandler):
    """Another site: a page that sends a form, one that frames the console, one that fetches it."""

    pages: dict[str, str]

    def do_GET(self) -> None:
        octets = self.pages.get(self.path, "").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def evil(console: Console) -> Iterator[str]:
    fields = f'<input name="id" value="{nadia(console)}"><input name="csrf" value="{"0" * 64}">'
    form = f'<form method="post" action="{console.url}/people/end">{fields}<button>x</button></form>'

    class Own(Evil):
        pages = {  # noqa: RUF012
            "/form": f"<body>{form}<script>document.forms[0].submit()</script>",
            "/frame": f'<body><iframe src="{console.url}/sign-in" width="800" height="600"></iframe>',
            "/link": f'<body><a href="{console.url}/people">look</a>',
        }

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_another_site_has_no_use_of_somebodys_session(chromium: Chromium, console: Console, evil: str) -> None:
    with console.context(chromium, nadia(console)) as context:
        page = context.new_page()
        page.goto(f"{console.url}/")
        assert page.get_by_text("Nadia Osei").first.is_visible()
        with page.expect_response(f"{console.url}/people/end") as posted:
            page.goto(f"{evil}/form")
        assert posted.value.status == 403
        page.goto(f"{evil}/link")
        page.get_by_text("look").click()
        # A link from elsewhere brings no session along.
        page.get_by_role("heading", name="Sign in with your smartcard").wait_for()
        page.get_by_role("link", name="go on").click()
        page.get_by_role("heading", name="People").first.wait_for()
        page.goto(f"{evil}/frame")
        page.wait_for_load_state()
        frame = page.frames[1]
        assert "Sign in" not in frame.content()
        fetched = page.evaluate(
            f"fetch('{console.url}/people', {{credentials: 'include'}}).then(r => r.status, e => 'refused')"
        )
        assert fetched == "refused"
    ended = console.site.store.reading(lambda c: c.execute(sa.select(PERSON.c.ended)).scalar())
    assert ended is None


def test_only_what_a_person_does_keeps_a_session_awake(chromium: Chromium, console: Console) -> None:
    """Chromium's own word for it (Sec-Fetch-User): a click is a person's, what a script fetches is not."""

    def woken(act: Any) -> bool:
        begun = datetime.now(UTC) - timedelta(minutes=5)
        console.site.store.writing(lambda c: c.execute(sa.update(SESSION).values(seen=begun)))
        act()
        seen = console.site.store.reading(lambda c: c.execute(sa.select(SESSION.c.seen)).scalar())
        return bool(seen is not None and seen > begun + timedelta(minutes=1))

    with console.context(chromium, nadia(console)) as context:
        page = context.new_page()
        page.goto(f"{console.url}/")
        assert not woken(lambda: page.evaluate("fetch('/', {headers: {Accept: 'text/html'}}).then(r => r.text())"))

        def click() -> None:
            page.get_by_role("link", name="People").click()
            page.wait_for_url("**/people")

        assert woken(click)
