"""The mock EHR's server to whoever asks it wrongly, and to people with their own password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from renewagent.tokens.ehr_http import EhrClient
from renewagent.tokens.errors import EhrMisbehaved, EhrUnreachable
from renewagent_fixtures.mock_epcs.ehr import MockEhr
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from renewagent_fixtures.mock_epcs.ehr_server import ehr_app
from renewagent_fixtures.mock_epcs.serving import Served
from tests.unit.mock_epcs.stand_in import PASSWORDS, Clock, StandInVendor, phone, staffed

KEY = "the-key-of-the-console"
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def ehr() -> Iterator[MockEhr]:
    made = staffed(StandInVendor({"lamb-phone": phone("lamb-phone")}), Clock())
    yield made
    made.close()


@pytest.fixture
def served(ehr: MockEhr) -> Iterator[Served]:
    with Served(ehr_app(ehr, KEY)) as one:
        yield one


def ask(
    served: Served, path: str, asked: object, *, method: str = "POST", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    shown = WITH_KEY if headers is None else headers
    with urllib3.PoolManager() as http:
        response = http.request(method, served.url + path, body=body, headers=shown, retries=False)
        return response.status, json.loads(response.data)


@pytest.mark.parametrize("headers", [{}, {"Authorization": KEY}, {"Authorization": "Bearer "}, {"Authorization": "é"}])
def test_nothing_without_the_key(served: Served, ehr: MockEhr, headers: dict[str, str]) -> None:
    status, said = ask(served, "/ehr/v1/suspend_epcs", {"user": "lamb"}, headers=headers)
    assert (status, list(said)) == (401, ["error"])
    assert not ehr.access("lamb").epcs_suspended


@pytest.mark.parametrize(
    ("path", "asked", "method", "status"),
    [
        ("/ehr/v1/access", {"user": "lamb"}, "GET", 405),
        ("/ehr/v1/unknown", {}, "POST", 404),
        ("/ehr/v1/", {}, "POST", 404),
        ("/", {}, "POST", 404),
        ("/access", {"user": "lamb"}, "POST", 404),
        ("/ehr/v1/ehr/v1/access", {"user": "lamb"}, "POST", 404),
        ("/ehr/v1/access", {}, "POST", 400),
        ("/ehr/v1/access", {"user": "lamb", "more": ""}, "POST", 400),
        ("/ehr/v1/access", {"user": None}, "POST", 400),
        ("/ehr/v1/access", ["lamb"], "POST", 400),
        ("/ehr/v1/access", b"", "POST", 400),
        ("/ehr/v1/access", b"[" * 60_000, "POST", 400),
        ("/ehr/v1/access", b"\xff", "POST", 400),
        ("/ehr/v1/access", b" " * 70_000, "POST", 400),
        ("/ehr/v1/give_override", {"user": "lamb", "ends": "soon"}, "POST", 400),
        ("/ehr/v1/give_override", {"user": "lamb", "ends": "2026-11-22T09:15:00"}, "POST", 400),
        ("/ehr/v1/access", {"user": "nobody"}, "POST", 403),
    ],
)
def test_a_wrong_question(served: Served, path: str, asked: object, method: str, status: int) -> None:
    answered, said = ask(served, path, asked, method=method)
    assert answered == status
    assert isinstance(said["error"], str) and said["error"]


def test_people_sign_in_and_prescribe_without_the_key(served: Served, ehr: MockEhr) -> None:
    person = {"user": "lamb", "password": PASSWORDS["lamb"]}
    assert ask(served, "/sign_in", person, headers={}) == (200, {"signed_in": True})
    assert ask(served, "/sign_in", person | {"password": "x"}, headers={}) == (200, {"signed_in": False})
    prescription = person | {"code": "123456", "serial": ""}
    status, said = ask(served, "/prescribe", prescription, headers={})
    assert status == 403 and "EPCS permission" in said["error"]
    ehr.register_device("lamb", "lamb-phone")
    ehr.give_override("lamb", Clock()() + timedelta(minutes=5))
    ehr.enable_epcs("lamb")
    ehr.grant_epcs("lamb", entered_by="hale", executed_by="reed")
    status, said = ask(served, "/prescribe", prescription, headers={})
    assert status == 200 and said["prescription"].startswith("RX")


def test_what_comes_too_late_is_done_all_the_same(served: Served, ehr: MockEhr) -> None:
    client = EhrClient(served.url, KEY, longest=0.3)
    ehr.moods = EhrMoods(slow=0.8)
    with pytest.raises(EhrUnreachable, match="did not answer in time"):
        client.suspend_epcs("lamb")
    served.stop()  # which waits for what is under way
    client.close()
    ehr.moods = EhrMoods()
    assert ehr.access("lamb").epcs_suspended


def test_another_key_is_another_console(served: Served) -> None:
    client = EhrClient(served.url, "another-key")
    with pytest.raises(EhrMisbehaved, match="key"):
        client.access("lamb")
    client.close()
