"""Schemathesis over the EPCS desk's part of /openapi.json, on a running console with a mock vendor and a mock EHR:
whatever it makes up, nobody gets a 500, and answers are as the description says. As nobody, as a prescriber who is a
DEA registrant, and as an administrator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from tests.epcs_world import TOKENS, Story, story
from tests.flows.desk import office

EXAMPLES = 6
"""For each address, each time."""
CHECKS: Any = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
ENDS_THE_SESSION = "/epcs/api/sign-out"


@dataclass
class Place:
    """The desk's operations, and each client's session."""

    here: Story
    operations: list[Any]
    clients: dict[str, requests.Session]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        office(tmp_path_factory.mktemp("office")) as ra,
        story(tmp_path_factory.mktemp("epcs"), ra) as here,
    ):
        here.register("reed", TOKENS[0])
        description = json.loads(here.console.get(f"{here.console.people}/openapi.json").data)
        paths = {path: one for path, one in description["paths"].items() if path.startswith("/epcs/api/")}
        schema = schemathesis.openapi.from_dict({**description, "paths": paths})
        found: Any = schema.get_all_operations()
        clients = {user: client(here, user) for user in ("", "reed", "hale")}
        yield Place(here, [one.ok() for one in found], clients)
        for one in clients.values():
            one.close()


def client(here: Story, user: str) -> requests.Session:
    session = requests.Session()
    session.verify = str(here.console.certificate)
    if user:
        body = {"user": user, "password": here.world.password(user)}
        answer = session.post(f"{here.console.people}/epcs/api/sign-in", json=body, verify=session.verify, timeout=20)
        session.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return session


@pytest.mark.parametrize("who", ["", "reed", "hale"])
def test_whatever_is_asked_the_answer_is_as_described(place: Place, who: str) -> None:
    session, tried = place.clients[who], 0
    for operation in place.operations:
        if who and operation.path == ENDS_THE_SESSION:
            continue
        tried += 1

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            response = case.call(
                base_url=place.here.console.people,
                session=session,
                verify=session.verify,
                allow_redirects=False,
                timeout=20,
            )
            case.validate_response(response, checks=CHECKS)

        ask()
    assert tried >= 25
    assert place.here.console.process.poll() is None
    bad = [line for line in place.here.console.lines() if line["level"] in ("error", "critical")]
    assert not bad, bad[:3]
