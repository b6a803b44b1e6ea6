"""Attempts are counted once, whoever counts: also by two server processes at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from renewagent.console.rate_limits import KEEP, allow, forget_old_attempts, give_back
from renewagent.console.store import Store
from renewagent.console.tables import ATTEMPT
from tests import postgresql
from tests.console import NOW

WINDOW = timedelta(minutes=10)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/console.db"
        return
    with postgresql.server() as address:
        yield address


def test_the_limit_holds_until_the_window_is_over(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()

    def ask(key: str, after: timedelta = timedelta()) -> int:
        return store.writing(lambda connection: allow(connection, "sign-in", key, 3, WINDOW, NOW + after))

    assert [ask("a") for _ in range(5)] == [0, 0, 0, 600, 600]
    assert ask("b") == 0
    assert ask("a", timedelta(minutes=9, seconds=59.5)) == 1
    assert ask("a", WINDOW) == 0
    store.writing(lambda connection: forget_old_attempts(connection, NOW + KEEP + WINDOW))
    left = store.reading(
        lambda connection: connection.execute(sa.select(sa.func.count()).select_from(ATTEMPT)).scalar()
    )
    assert left == 1


def test_a_longer_key_is_no_way_round(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()

    def ask(key: str) -> int:
        return store.writing(lambda connection: allow(connection, "code", key, 1, WINDOW, NOW))

    waits = [ask("x" * length) for length in (1000, 1001)]
    assert waits == [0, 600]


def test_several_servers_count_together(url: str) -> None:
    stores = [Store(url) for _ in range(4)]
    stores[0].migrate()
    waits: list[int] = []

    def hammer(store: Store) -> None:
        for _ in range(25):
            waits.append(store.writing(lambda connection: allow(connection, "enrol", "k", 10, WINDOW, NOW)))

    threads = [threading.Thread(target=hammer, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(waits) == [0] * 10 + [600] * 90


def test_what_turned_out_to_be_none_does_not_count(url: str) -> None:
    store = Store(url)
    store.migrate()

    def ask(key: str = "a") -> int:
        return store.writing(lambda connection: allow(connection, "sign-in", key, 3, WINDOW, NOW))

    def back(key: str = "a") -> None:
        store.writing(lambda connection: give_back(connection, "sign-in", key, WINDOW, NOW))

    for _ in range(5):
        assert ask() == 0
        back()
    assert [ask() for _ in range(4)] == [0, 0, 0, 600]
    back("b")  # never counted
    assert [ask("b") for _ in range(4)] == [0, 0, 0, 600], "no credit is given"
    store.close()
