"""What is old is forgotten, and nothing else. (The audit log's beginning: test_audit_sources.)"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from renewagent.console import retention
from renewagent.console.settings import Listener, Settings
from renewagent.console.store import Store
from renewagent.console.tables import ATTEMPT, CHECK_ANSWER, CHECK_IN, CHECK_ORDER, FLEET_CODE, SESSION

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    is_sqlite = request.param == "sqlite"
    store = Store(f"sqlite:///{tmp_path}/c.db" if is_sqlite else request.getfixturevalue("postgresql_database"))
    store.migrate()
    yield store
    store.close()


def fill(connection: sa.Connection) -> None:
    def days(count: float) -> datetime:
        return NOW - timedelta(days=count)

    for number in range(2_500):
        age = 89 if number % 2 else 91
        row = {"id": str(number), "at": days(age), "received": days(age)}
        connection.execute(sa.insert(CHECK_IN).values(**row))
    for name, age in (("old", 31), ("new", 29)):
        connection.execute(sa.insert(CHECK_ORDER).values(id=name, asked=days(40), ends=days(age)))
        connection.execute(sa.insert(CHECK_ANSWER).values(order=name, agent="a", card="-", at=days(age)))
        connection.execute(sa.insert(FLEET_CODE).values(digest=name, made=days(60), ends=days(age)))
    for name, ends in (("old", days(1)), ("new", days(-1))):
        connection.execute(sa.insert(SESSION).values(digest=name, begun=days(1), seen=NOW, ends=ends))
    for window in (0, int(NOW.timestamp())):
        connection.execute(sa.insert(ATTEMPT).values(kind="k", key="k", window=window, count=1))


def test_what_is_old_is_forgotten_and_nothing_else(store: Store, tmp_path: Path) -> None:
    store.writing(fill)
    listener = Listener("127.0.0.1", 0, "")
    settings = Settings(tmp_path, "", listener, listener, tmp_path, tmp_path)
    for _ in range(2):
        retention.forget(store, settings, NOW)
        assert store.reading(count) == [1250, 1, 1, 1, 1, 1]
    for table in (CHECK_ORDER, FLEET_CODE, SESSION):
        key = next(iter(table.primary_key.columns))
        assert store.reading(lambda c: c.execute(sa.select(key)).scalars().all()) == ["new"]  # noqa: B023


def count(connection: sa.Connection) -> list[int]:
    tables = (CHECK_IN, CHECK_ORDER, CHECK_ANSWER, FLEET_CODE, SESSION, ATTEMPT)
    return [connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables]
