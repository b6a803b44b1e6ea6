"""The description: valid OpenAPI, every address that programs use stands in it and nothing else, and what our own agent
sends and gets fits it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from starlette.routing import BaseRoute, Route

from renewagent.check_ins import CLAIMED, CardState, CertificateClaim, CheckIn
from renewagent.console import app
from renewagent.console.openapi import description
from renewagent.console.settings import Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
FOR_BROWSERS = re.compile(
    r"/|/static/\{name\}|/sign-in|/sign-in/finish|/sign-out|/cards|/cards/\{card:path\}|/campaigns|/campaigns/\{name\}"
    r"|/preview|/targets|/targets/drop|/check-now|/check-now/\{order\}|/agents|/agents/revoke|/fleet-codes"
    r"|/fleet-codes/end|/people|/people/change|/people/end|/audit|/audit/verify"
)
"""Pages and their forms, by name: a new address is put here or into the description."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()
    agents, people = (Listener("127.0.0.1", 0, f"https://{name}.example") for name in ("agents", "people"))
    settings = Settings(tmp_path, "", agents, people, tmp_path / "ra.pem", tmp_path / "anchor.pem")
    yield Site(settings, store, lambda: NOW, lambda n: b"0" * n)
    store.close()


def operations(routes: list[BaseRoute]) -> set[tuple[str, str]]:
    found = set()
    for route in routes:
        assert isinstance(route, Route)
        methods = (route.methods or {"GET"}) - {"HEAD"}
        found |= {(re.sub(r":\w+\}", "}", route.path), method.lower()) for method in methods if not _is_page(route)}
    return found


def _is_page(route: Route) -> bool:
    return FOR_BROWSERS.fullmatch(route.path) is not None


def described(document: Any, url: str) -> set[tuple[str, str]]:
    return {
        (path, method)
        for path, item in document["paths"].items()
        if {"url": url} in item["servers"]
        for method in item.keys() - {"servers"}
    }


def test_every_address_stands_in_it_and_nothing_else(site: Site) -> None:
    document = description(site.settings)
    assert described(document, "https://agents.example") == operations(app._agents(site))
    assert described(document, "https://people.example") == operations(app._people(site))
    known = set(document["paths"]) | {"/metrics"}
    assert {path for path, _ in operations(app._operations(site))} <= known


def test_every_page_is_a_route_that_there_is(site: Site) -> None:
    paths = {route.path for route in app._people(site) if isinstance(route, Route)}
    assert set(FOR_BROWSERS.pattern.replace("\\", "").split("|")) <= paths


def test_it_is_json_and_every_reference_leads_somewhere(site: Site) -> None:
    document = json.loads(json.dumps(description(site.settings)))
    assert document["openapi"] == "3.1.0"
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        found = document
        for part in reference.split("/"):
            found = found[part]
    for path, item in document["paths"].items():
        for method in item.keys() - {"servers"}:
            gaps = set(re.findall(r"\{(\w+)\}", path))
            told = {p["name"] for p in item[method].get("parameters", ()) if p["in"] == "path"}
            assert gaps == told, path
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("state", sorted(CLAIMED, key=str))
def test_what_our_agent_sends_fits_it(site: Site, state: CardState) -> None:
    certificate = CertificateClaim("CN=NHS Signing G2,O=nhs,C=GB", "1a2b", NOW, NOW, "a" * 64)
    whole = CheckIn(
        "0" * 32, NOW, "piv:" + "ab" * 8, state, certificate, "autumn/3", "batch", "piv", "RA-CARD", NOW, "1" * 32, b"x"
    )
    small = CheckIn("0" * 32, NOW, "-", state)
    document = description(site.settings)
    schema = {"$ref": "#/components/schemas/Delivery", "components": document["components"]}
    judge = jsonschema.Draft202012Validator(schema)
    delivery = {"check_ins": [whole.to_json(), small.to_json()]}
    judge.validate(delivery)
    for wrong in ({"x": 1}, {"state": "stuck"}, {"at": "now"}, {"id": "1"}):
        assert not judge.is_valid({"check_ins": [{**small.to_json(), **wrong}]})
