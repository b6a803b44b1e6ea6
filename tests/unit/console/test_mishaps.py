"""What goes wrong is answered in one sentence, to programs and to people, and nothing of the inside gets out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from renewagent.console import app
from renewagent.console.guards import Measured, allow
from renewagent.console.settings import Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store
from renewagent.errors import CampaignError

SECRET = "hunter2"


async def _fail(request: Request) -> Response:
    raise {
        "bug": ValueError(SECRET),
        "ours": CampaignError("It is not <signed>.", advice="Sign it."),
        "database": OperationalError("SELECT", {"code": SECRET}, Exception("gone")),
        "plain": HTTPException(404),
        "said": HTTPException(429, "Later, please.", {"Retry-After": "7"}),
    }[request.path_params["how"]]


async def _read(request: Request) -> Response:
    if request.query_params.get("more"):
        allow(request, 5000)
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    listener = Listener("127.0.0.1", 0, "https://console.example")
    settings = Settings(tmp_path, "", listener, listener, tmp_path, tmp_path)
    yield Site(settings, store, lambda: datetime.now(UTC), lambda n: b"")
    store.close()


def ask(site: Site, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    routes = [Route("/api/{how}", _fail), Route("/pages/{how}", _fail), Route("/read", _read, methods=["POST"])]
    whole = Measured(app._put_together([*routes], 1000), "people", site)
    sent: list[Any] = []
    parts = [body[i : i + 100] for i in range(0, len(body), 100)] or [b""]
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "POST" if path == "/read" else "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 1),
    }
    try:
        asyncio.run(whole(scope, receive, send))
    except ValueError as problem:
        assert str(problem) == SECRET  # the server logs it
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:])


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("bug", 500, {"error": "Something went wrong inside the console. Its log says what."}),
        ("ours", 400, {"error": "It is not <signed>.", "advice": "Sign it."}),
        ("database", 503, {"error": "The console cannot reach its records. Try again in a moment."}),
        ("plain", 404, {"error": "There is nothing at this address."}),
        ("said", 429, {"error": "Later, please."}),
    ],
)
def test_programs_and_people_get_the_same_sentence(site: Site, how: str, status: int, said: dict[str, str]) -> None:
    program = ask(site, f"/api/{how}", accept="text/html")
    assert (program[0], json.loads(program[2])) == (status, said)
    page = ask(site, f"/pages/{how}", accept="text/html")
    text = page[2].decode()
    assert page[0] == status
    assert page[1]["content-type"].startswith("text/html")
    assert f"<h1>{said['error'].replace('<', '&lt;').replace('>', '&gt;')}</h1>" in text
    for octets in (program[2], page[2]):
        assert SECRET.encode() not in octets and b"Traceback" not in octets
    assert page[1]["cache-control"] == "no-store"


def test_a_header_that_goes_with_it_goes_along(site: Site) -> None:
    assert ask(site, "/api/said")[1]["retry-after"] == "7"
    assert ask(site, "/api/database")[1]["retry-after"] == "10"


def test_the_log_has_what_the_answer_has_not(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    ask(site, "/api/database")
    assert [record.message for record in caplog.records] == ["the database did not do what was asked"]


@pytest.mark.parametrize(("octets", "more", "status"), [(1000, "", 200), (1001, "", 413), (4999, "?more=1", 200)])
@pytest.mark.parametrize("announced", [True, False])
def test_bodies_are_bounded(site: Site, octets: int, more: str, status: int, announced: bool) -> None:
    length = {"content_length": str(octets)} if announced else {}
    answered, headers, said = ask(site, f"/read{more}", b"x" * octets, **length)
    assert answered == status
    assert said == str(octets).encode() if status == 200 else headers["connection"] == "close"


def test_every_request_is_measured_by_its_route_and_not_by_its_path(site: Site) -> None:
    ask(site, "/api/plain")
    ask(site, "/nowhere/secret-link")
    samples = {
        (sample.labels["address"], sample.labels["status"])
        for metric in site.meters.requests.collect()
        for sample in metric.samples
    }
    assert samples == {("/api/{how}", "404"), ("-", "404")}
