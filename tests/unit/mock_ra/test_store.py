"""The store: what was promised is on disk, what was put is seen at once, and a failure is told and overcome."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent_fixtures.mock_ra.rows import FactRow, NonceRow
from renewagent_fixtures.mock_ra.store import Store, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ra.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{path}")
    yield made
    made.close()


def test_what_was_put_is_seen_before_it_is_written(store: Store) -> None:
    store.put(FactRow("a", "1"))
    assert store.get(FactRow, "a") == FactRow("a", "1")
    store.put(FactRow("a", "2"))
    assert store.get(FactRow, "a") == FactRow("a", "2")
    assert store.find(FactRow, name="a") == [FactRow("a", "2")]


def test_a_promise_is_on_disk(store: Store, path: Path) -> None:
    store.put(FactRow("a", "1"))
    assert store.find(FactRow, name="a") == [FactRow("a", "1")]
    other = sqlite3.connect(path)
    assert other.execute("select value from fact where name = 'a'").fetchall() == []  # seen, not yet promised
    store.flush()
    assert other.execute("select value from fact where name = 'a'").fetchall() == [("1",)]
    assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    other.close()


def test_many_units_share_one_transaction(store: Store) -> None:
    statements: list[str] = []
    driver: sqlite3.Connection = store._driver.dbapi_connection  # type: ignore[assignment]
    driver.set_trace_callback(statements.append)
    for number in range(1000):
        store.put(NonceRow(f"{number:04}", float(number)))
        store.commit()
    store.flush()
    assert len(store.find(NonceRow)) == 1000
    assert statements.count("COMMIT") == 1


def test_a_unit_that_went_wrong_leaves_nothing(store: Store) -> None:
    """Not even what a look-up in its middle made it write; the unit before it stays."""
    store.put(FactRow("before", "1"))
    store.commit()
    store.put(FactRow("half", "1"))
    assert len(store.find(FactRow)) == 3
    store.abandon()
    store.flush()
    assert {row.name for row in store.find(FactRow)} == {"schema", "before"}


def test_a_failure_is_told_and_nothing_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a while: whoever waited is told, and the rows are written once there is room again."""

    def full(statement: str, parameters: object) -> None:
        raise OSError("no space left on device")

    store.put(FactRow("a", "1"))
    with monkeypatch.context() as trouble:
        trouble.setattr(store, "_execute", full)
        with pytest.raises(OSError, match="no space"):
            store.flush()
    store.put(FactRow("b", "2"))
    store.flush()
    assert {row.name for row in store.find(FactRow)} == {"schema", "a", "b"}


def test_another_version_is_refused(path: Path) -> None:
    first = Store(f"sqlite:///{path}")
    first.put(FactRow("schema", "99"))
    first.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(f"sqlite:///{path}")


def test_what_was_promised_outlives_kill_9(path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from renewagent_fixtures.mock_ra.store import Store\n"
        "from renewagent_fixtures.mock_ra.rows import FactRow\n"
        "store = Store(sys.argv[1])\n"
        "store.put(FactRow('promise', 'kept'))\n"
        "store.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, f"sqlite:///{path}"], check=False, timeout=30)
    again = Store(f"sqlite:///{path}")
    assert again.get(FactRow, "promise") == FactRow("promise", "kept")
    again.close()
