"""/metrics: in the format that Prometheus reads, with the numbers that the database holds, and nothing of anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.routing import Route

from renewagent.check_ins import CardState
from renewagent.console import metrics
from renewagent.console.settings import Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store
from renewagent.console.tables import AGENT, CAMPAIGN, STANDING, TARGET

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/console.db" if is_sqlite else request.getfixturevalue("postgresql_database")
    store = Store(url)
    store.migrate()
    listener = Listener("127.0.0.1", 0, "https://console.example")
    yield Site(Settings(tmp_path, url, listener, listener, tmp_path, tmp_path), store, lambda: NOW, lambda n: b"")
    store.close()


def standing(card: str, state: str, days: float = 0.1, **more: Any) -> dict[str, Any]:
    at = NOW - timedelta(days=days)
    row = {"campaign": "autumn", "card": card, "state": state, "issuer": "CN=i", "serial": card}
    return row | {"first": at, "since": at, "heard": at} | more


def fill(connection: sa.Connection) -> None:
    rows = [
        standing("1", "affected"),
        standing("2", "affected", days=9),
        standing("3", "done", days=9),
        standing("4", "told", failures=0),
        standing("5", "told", campaign="made-up"),
    ]
    connection.execute(sa.insert(STANDING), [{"failures": 0, **row} for row in rows])
    target = {"campaign": "autumn", "issuer": "CN=i", "added": NOW}
    connection.execute(sa.insert(TARGET), [target | {"serial": "3"}, target | {"serial": "77"}])
    connection.execute(sa.insert(TARGET), [target | {"campaign": "~on-its-way", "serial": "78"}])
    when = {"published": NOW, "expires": NOW, "received": NOW}
    octets = {"signed": b"", "document": b""}
    connection.execute(
        sa.insert(CAMPAIGN),
        [
            {"id": name, "version": version, **octets, **when}
            for name, version in [("autumn", 1), ("autumn", 2), ("new", 1)]
        ],
    )
    agents = [("a", NOW, None), ("b", NOW - timedelta(days=3), None), ("c", NOW, NOW)]
    connection.execute(
        sa.insert(AGENT), [{"id": i, "enrolled": NOW, "last_seen": seen, "revoked": end} for i, seen, end in agents]
    )


def read(site: Site) -> dict[tuple[str, ...], float]:
    [route] = metrics.routes(site)
    assert isinstance(route, Route) and route.path == "/metrics"
    answer = asyncio.run(route.endpoint(Request({"type": "http"})))
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_what_the_database_holds(site: Site) -> None:
    site.store.writing(fill)
    site.meters.check_ins.labels("accepted").inc(3)
    site.meters.refusals.labels("rate").inc()
    found = read(site)
    none = {(name, state.value): 0 for name in ("autumn", "new") for state in CardState}
    assert {key[1:]: value for key, value in found.items() if key[0] == "renewagent_cards"} == none | {
        ("autumn", "affected"): 1,
        ("autumn", "stuck"): 1,
        ("autumn", "done"): 1,
        ("autumn", "told"): 1,
        ("autumn", "not-seen"): 1,
    }
    assert (found[("renewagent_agents",)], found[("renewagent_agents_seen",)]) == (2, 1)
    assert found[("renewagent_streams_held",)] == 0
    assert found["renewagent_check_ins_total", "accepted"] == 3
    assert found["renewagent_refusals_total", "rate"] == 1


def test_an_empty_console_has_metrics(site: Site) -> None:
    assert read(site)[("renewagent_agents",)] == 0
