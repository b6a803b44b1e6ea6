"""/healthz: 200 only while the database answers and is this version's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.routing import Route

from renewagent.console import health
from renewagent.console.settings import Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()
    listener = Listener("127.0.0.1", 0, "https://console.example")
    settings = Settings(tmp_path, "", listener, listener, tmp_path, tmp_path)
    yield Site(settings, store, lambda: datetime.now(UTC), lambda n: b"")
    store.close()


def asked(site: Site) -> tuple[int, Any]:
    [route] = health.routes(site)
    assert isinstance(route, Route)
    answer = asyncio.run(route.endpoint(Request({"type": "http"})))
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, json.loads(answer.body)


def test_all_is_well(site: Site) -> None:
    assert asked(site) == (200, {"ok": True})


def test_another_version(site: Site) -> None:
    site.store.writing(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = 'other'"))
    status, said = asked(site)
    assert (status, said["ok"]) == (503, False)
    assert "another version" in said["why"]


def test_no_database(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.store.close()
    (site.settings.data / "console.db").write_bytes(b"not a database" * 100)
    assert asked(site)[0] == 503
    assert caplog.records
