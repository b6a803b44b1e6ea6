"""Schemathesis over /openapi.json of a running console: whatever it makes up, nobody gets a 500, and answers are as the
description says. On both listeners; as nobody, as a person who is signed in, and as an agent with its certificate."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from renewagent.console import people, sessions
from renewagent.console.settings_file import load_settings
from renewagent.console.store import Store
from tests.consoles import Console, console
from tests.flows import console_seed
from tests.flows.stations import Station

EXAMPLES = 25
"""For each address, each time."""
STREAMS = {"/agents/v1/stream", "/news"}
"""They do not end by themselves for whoever is let in."""
CHECKS: Any = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@schemathesis.serializer("application/cms")
def _octets(_: Any, value: Any) -> bytes:
    """Whatever was made up, as octets."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@dataclass
class Place:
    """A console in the middle of a campaign, its description, and how each of its clients shows who they are."""

    console: Console
    description: dict[str, Any]
    clients: dict[str, requests.Session] = field(default_factory=dict)

    def operations(self, listener: str) -> list[Any]:
        """What is tried on one listener."""
        url = {"agents": self.console.agents, "people": self.console.people}[listener]
        paths = {
            path: methods
            for path, methods in self.description["paths"].items()
            if url in {server["url"] for server in methods["servers"]}
        }
        schema = schemathesis.openapi.from_dict({**self.description, "paths": paths})
        found: Any = schema.get_all_operations()
        return [one.ok() for one in found]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("console")
    with console(folder) as served:
        found = Place(served, json.loads(served.get(f"{served.people}/openapi.json").data))
        with closing(Store(f"sqlite:///{folder}/data/console.db")) as store:
            console_seed.seed(store, datetime.now(UTC), targets=48, others=12)
            cookie = signed_in(store, served.config)
        found.clients = {
            "nobody": client(served),
            "manager": client(served, cookie=cookie),
            "agent": client(served, pair=enrolled(served, folder)),
        }
        yield found
        for one in found.clients.values():
            one.close()


def signed_in(store: Store, config: Path) -> str:
    def begin(connection: Any) -> str:
        manager = people.by_id(connection, "manager")
        assert manager is not None
        return sessions.begin(
            connection, load_settings(config), datetime.now(UTC), manager, "card", secrets.token_bytes
        )

    return store.writing(begin)


def enrolled(served: Console, folder: Path) -> tuple[str, str]:
    command = [sys.executable, "-m", "renewagent", "console", "enrol", "--config", str(served.config), "--json"]
    made = subprocess.run([*command, "--organisation", "RX1"], capture_output=True, check=True, timeout=60)
    station = Station(served.certificate)
    station.enrol(served.agents, str(json.loads(made.stdout)["code"]))
    chain, key = folder / "agent.pem", folder / "agent.key"
    chain.write_text(station.chain)
    key.write_bytes(station.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(chain), str(key)


def client(served: Console, *, cookie: str = "", pair: tuple[str, str] | None = None) -> requests.Session:
    session = requests.Session()
    session.verify, session.cert = str(served.certificate), pair
    if cookie:
        session.headers["Cookie"] = f"{sessions.COOKIE}={cookie}"
    return session


@pytest.mark.parametrize(
    "listener, who", [("people", "nobody"), ("people", "manager"), ("agents", "nobody"), ("agents", "agent")]
)
def test_whatever_is_asked_the_answer_is_as_described(place: Place, listener: str, who: str) -> None:
    url = {"agents": place.console.agents, "people": place.console.people}[listener]
    session, tried = place.clients[who], 0
    for operation in place.operations(listener):
        if operation.path in STREAMS and who != "nobody":
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
                base_url=url,
                session=session,
                verify=session.verify,
                cert=session.cert,
                allow_redirects=False,
                timeout=20,
            )
            case.validate_response(response, checks=CHECKS)

        ask()
    assert tried >= 5
    assert place.console.process.poll() is None
    assert not [line for line in place.console.lines() if line["level"] in ("error", "critical")]
