"""The store: what was promised is on disk, what was put is seen at once, and a failure is told and overcome."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

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
    store.commit().result(timeout=5)
    with sqlite3.connect(path) as other:
        assert other.execute("select value from fact where name = 'a'").fetchall() == [("1",)]
    assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_commit_of_nothing_waits_for_what_is_under_way(store: Store) -> None:
    store.put(FactRow("a", "1"))
    first = store.commit()
    second = store.commit()
    second.result(timeout=5)
    assert first.done()
    assert store.commit().done()


def test_many_units_share_transactions(store: Store) -> None:
    """Group commit: a thousand units are not a thousand transactions."""
    commits = []
    sa.event.listen(store._engine, "commit", lambda connection: commits.append(1))
    futures = []
    for number in range(1000):
        store.put(NonceRow(f"{number:04}", float(number)))
        futures.append(store.commit())
    for future in futures:
        future.result(timeout=10)
    assert store.count(NonceRow) == 1000
    assert len(commits) < 500


def test_a_failure_is_told_and_nothing_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a while: whoever waited is told, and the rows are written once there is room again."""
    real, tries = store._write, []

    def full(connection: sa.Connection, batch: object) -> None:
        tries.append(batch)
        if len(tries) < 3:
            raise OSError("no space left on device")
        real(connection, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_write", full)
    store.put(FactRow("a", "1"))
    with pytest.raises(OSError, match="no space"):
        store.commit().result(timeout=5)
    store.put(FactRow("b", "2"))
    later = store.commit()
    with pytest.raises(OSError, match="no space"):
        later.result(timeout=5)
    store.flush()
    assert {row.name for row in store.find(FactRow)} >= {"a", "b"}


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
