"""The gate: no page without a session, without the permission, or at another site's bidding."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from renewagent.console import people, sessions
from renewagent.console.doorkeeper import Doorkeeper
from renewagent.console.gate import guard, in_time
from renewagent.console.guards import Bounded
from renewagent.console.mishaps import HANDLERS
from renewagent.console.permissions import Permission, Role
from renewagent.console.sessions import Visitor
from renewagent.console.settings import SingleSignOn
from renewagent.console.site import Site
from tests.console import URL, Browser, Clock, form_token, new_person, new_site, sign_in

SSO = SingleSignOn(("192.0.2.9",), "x-account", "x-proxy-secret", "s" * 32)
FROM_PROXY = [("x-proxy-secret", "s" * 32), ("x-account", "nadia")]


async def page(site: Site, request: Request, visitor: Visitor) -> Response:
    form = await request.form()
    return PlainTextResponse(f"{request.method} {visitor.person.name} {form.get('what', '')}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Site:
    return new_site(tmp_path, clock, sso=SSO)


@pytest.fixture
def app(site: Site) -> Any:
    routes = [
        Route("/cards", guard(site, Permission.SEE_CARDS, page)),
        Route("/campaigns", guard(site, Permission.PUBLISH_CAMPAIGN, page, largest=200), methods=["GET", "POST"]),
    ]
    return Doorkeeper(Bounded(Starlette(routes=routes, exception_handlers=HANDLERS), 1000), site.settings)


@pytest.fixture
def manager(site: Site, app: Any) -> Browser:
    return Browser(app, sign_in(site, new_person(site, name="Nadia")))


def test_a_person_sees_what_they_may(site: Site, app: Any, manager: Browser) -> None:
    assert manager.get("/cards").text == "GET Nadia "
    assert manager.ask("HEAD", "/cards").status == 200
    agent = Browser(app, sign_in(site, new_person(site, Role.RA_AGENT)))
    assert agent.get("/cards").status == 200
    refused = agent.get("/campaigns")
    assert refused.status == 403 and "publish a signed campaign" in refused.text
    assert agent.post("/campaigns", {"csrf": form_token(site, agent.token)}).status == 403


def test_nobody_is_sent_to_sign_in_and_back(app: Any) -> None:
    answer = Browser(app).get("/cards?state=told&x=%2F%2Fevil")
    assert (answer.status, answer.header("location")) == (
        303,
        "/sign-in?next=%2Fcards%3Fstate%3Dtold%26x%3D%252F%252Fevil",
    )
    assert Browser(app, headers=[("accept", "text/csv")]).get("/cards").status == 401
    assert Browser(app).post("/campaigns", {}).status == 401


@pytest.mark.parametrize("token", ["x", "x" * 43, "x" * 10_000, "\u00e9", '"'])
def test_a_made_up_session_is_none(app: Any, token: str) -> None:
    assert Browser(app, token).get("/cards").status == 303


def test_a_session_ends_by_idleness_by_age_and_by_signing_out(site: Site, app: Any, clock: Clock) -> None:
    person = new_person(site)
    used = Browser(app, sign_in(site, person))
    left = Browser(app, sign_in(site, person))
    for _ in range(60):
        clock.move(timedelta(minutes=10) - timedelta(seconds=1))
        assert used.get("/cards").status == 200
    assert left.get("/cards").status == 303
    clock.move(timedelta(minutes=2))
    assert used.get("/cards").status == 303  # ten hours
    third = Browser(app, sign_in(site, person))

    def sign_out(connection: Any) -> None:
        visitor = sessions.find(connection, site.settings, clock(), third.token)
        assert visitor is not None
        sessions.end(connection, clock(), visitor)

    site.store.writing(sign_out)
    assert third.get("/cards").status == 303


def test_what_refreshes_itself_does_not_keep_a_session_awake(site: Site, app: Any, clock: Clock) -> None:
    by_itself = [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")]
    browser = Browser(app, sign_in(site, new_person(site)), headers=by_itself)
    for _ in range(2):
        clock.move(timedelta(minutes=14))
        assert browser.get("/cards").status == 200
    clock.move(timedelta(minutes=3))
    assert browser.get("/cards").status == 303


def test_only_hashes_are_kept(site: Site, manager: Browser) -> None:
    assert manager.token.encode() not in (site.settings.data / "console.db").read_bytes()
    assert form_token(site, manager.token).encode() not in (site.settings.data / "console.db").read_bytes()


SAME, OTHER = ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")


@pytest.mark.parametrize(
    "headers, expected",
    [
        ([SAME, ("origin", URL)], 200),
        ([SAME], 200),
        ([("origin", URL)], 200),
        ([], 403),
        ([OTHER, ("origin", URL)], 403),
        ([OTHER], 403),
        ([("sec-fetch-site", "same-site"), ("origin", URL)], 403),
        ([("sec-fetch-site", "none")], 403),
        ([SAME, ("origin", "null")], 403),
        ([("origin", "https://evil.test")], 403),
        ([("origin", "https://console.test")], 403),
        ([("origin", "http://console.test:8443")], 403),
        ([("origin", URL + ".evil.test")], 403),
        ([("origin", URL), ("origin", "https://evil.test")], 403),
        ([SAME, OTHER], 403),
    ],
)
def test_only_our_own_pages_send_forms(site: Site, manager: Browser, headers: Any, expected: int) -> None:
    browser = Browser(manager.app, manager.token, headers=headers)
    form = {"csrf": form_token(site, manager.token), "what": "publish"}
    answer = browser.post("/campaigns", form)
    assert answer.status == expected
    assert ("publish" in answer.text) is (expected == 200)


def test_a_form_needs_the_token_of_its_own_session(site: Site, manager: Browser) -> None:
    other = sign_in(site, new_person(site, Role.RA_AGENT))
    for wrong in ({}, {"csrf": ""}, {"csrf": form_token(site, other)}, {"csrf": manager.token}, {"csrf": "\u00e9"}):
        assert manager.post("/campaigns", wrong).status == 403
    right = form_token(site, manager.token)
    assert manager.post("/campaigns", {"csrf": right}).status == 200
    assert manager.post(f"/campaigns?csrf={right}", {}).status == 403
    file = (
        b'--b\r\nContent-Disposition: form-data; name="csrf"; filename="x"\r\n\r\n' + right.encode() + b"\r\n--b--\r\n"
    )
    assert manager.post("/campaigns", file, ("content-type", "multipart/form-data; boundary=b")).status == 403


def test_a_body_is_bounded_in_size(site: Site, manager: Browser) -> None:
    form = {"csrf": form_token(site, manager.token), "what": "x" * 150}
    assert manager.post("/campaigns", form).status == 413
    assert Browser(manager.app).ask("POST", "/campaigns", (), [b"x"] * 2000).status == 401


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def silence() -> Any:
        await asyncio.sleep(60)

    async def wait() -> None:
        receive = in_time(silence, 0.05)
        with pytest.raises(HTTPException) as refused:
            await receive()
        assert refused.value.status_code == 408

    asyncio.run(wait())


def test_a_page_that_streams_is_not_cut_off_after_its_request_has_come() -> None:
    async def slow() -> Any:
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def wait() -> None:
        messages = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Any:
            return next(messages, None) or await slow()

        patient = in_time(receive, 0.05)
        assert [(await patient())["type"] for _ in range(2)] == ["http.request", "http.disconnect"]

    asyncio.run(wait())


@pytest.mark.parametrize("host", ["evil.test", "console.test", "console.test:443", "localhost:8443", "", URL[8:] + "."])
def test_another_host_is_not_answered(manager: Browser, host: str) -> None:
    manager.host = host
    answer = manager.get("/cards")
    assert answer.status == 421 and "Nadia" not in answer.text


def test_two_hosts_are_none_and_capitals_are_the_same(manager: Browser) -> None:
    assert manager.get("/cards", ("host", "evil.test")).status == 421
    manager.host = manager.host.upper()
    assert manager.get("/cards").status == 200


@pytest.mark.parametrize("path", ["/cards", "/campaigns", "/nothing"])
def test_every_answer_says_what_browsers_may_do_with_it(manager: Browser, path: str) -> None:
    for browser in (manager, Browser(manager.app), Browser(manager.app, host="evil.test")):
        answer = browser.get(path)
        policy = answer.header("content-security-policy")
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("strict-transport-security").startswith("max-age=")
        assert answer.header("referrer-policy") == "same-origin"


def test_the_proxys_session_is_good_through_the_proxy_alone(site: Site, app: Any) -> None:
    nadia = new_person(site, name="Nadia", account="nadia")
    browser = Browser(app, sign_in(site, nadia, "sso"), address="192.0.2.9")
    assert browser.get("/cards", *FROM_PROXY).status == 200
    assert browser.get("/cards").status == 303
    assert browser.get("/cards", FROM_PROXY[0], ("x-account", "somebody")).status == 303
    direct = Browser(app, browser.token)
    assert direct.get("/cards", *FROM_PROXY).status == 303
    site.store.writing(lambda connection: people.end(connection, site.now(), "tests", nadia))
    assert browser.get("/cards", *FROM_PROXY).status == 303
