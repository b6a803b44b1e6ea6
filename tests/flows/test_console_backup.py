"""Backup of a console that serves and is written to; restore, and everything that it refuses."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.console import audit, migrations
from renewagent.console.store import Store
from renewagent.console.tables import CHECK_IN, SESSION
from tests.consoles import console, settings_text, started

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


class Place:
    """A folder with settings; the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.backup = folder / "console.toml", folder / "console.backup"
        self.database = folder / "data" / "console.db"
        self.config.write_text(settings_text(folder))
        (folder / "data").mkdir(exist_ok=True)

    def run(self, command: str, *more: str) -> tuple[int, dict[str, Any]]:
        words = ("console", command, "--config", str(self.config), "--json", str(self.backup), *more)
        with started(*words) as process:
            out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return process.returncode, json.loads(out)

    def fill(self, entries: int) -> None:
        store = Store(f"sqlite:///{self.database}")
        store.migrate()
        for number in range(entries):
            store.writing(lambda c: audit.record(c, NOW, "x", "y", {"n": number}))  # noqa: B023
        when = {"begun": NOW, "seen": NOW, "ends": NOW.replace(year=2099)}
        store.writing(lambda c: c.execute(sa.insert(SESSION).values(digest="d", person="p", how="card", **when)))
        store.close()

    def count(self, table: str, file: Path | None = None) -> int:
        with sqlite3.connect(file or self.database) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def writing_all_the_time(place: Place) -> Iterator[list[int]]:
    """Pairs of rows, each pair in one transaction: half a pair would be a torn copy."""
    written, done = [0], threading.Event()
    store = Store(f"sqlite:///{place.database}")

    def pair(connection: sa.Connection) -> None:
        for half in "ab":
            row = {"id": f"{written[0]}{half}", "at": NOW, "received": NOW, "document": "x" * 2000}
            connection.execute(sa.insert(CHECK_IN).values(**row))
        audit.record(connection, NOW, "x", "pair", {"n": written[0]})

    def write() -> None:
        while not done.is_set():
            store.writing(pair)
            written[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        done.set()
        thread.join()
        store.close()


def test_a_backup_of_a_console_that_is_written_to_is_one_moments_and_comes_back(place: Place) -> None:
    with console(place.folder) as one:
        place.fill(3)
        with writing_all_the_time(place) as written:
            while written[0] < 50:
                time.sleep(0.01)
            before = written[0]
            status, said = place.run("backup")
            assert one.get(f"{one.people}/healthz").status == 200
        assert (status, said["ok"], said["file"]) == (0, True, str(place.backup))
        assert written[0] > before  # nobody waited
    rows = place.count("check_in", place.backup)
    assert rows % 2 == 0 and rows >= 2 * before
    assert place.backup.stat().st_mode & 0o077 == 0
    assert not list(place.folder.glob("console.backup-*")) and not list(place.folder.glob(".console.backup*"))
    status, said = place.run("restore", "--replace")
    assert (status, said["ok"]) == (0, True)
    assert place.count("check_in") == rows
    assert place.count("check_in", Path(said["put_aside"])) == 2 * written[0]
    assert place.count("session") == 0
    with started("audit", "verify", "--json", str(place.database)) as process:
        assert json.loads(process.communicate(timeout=60)[0])["ok"]
    with console(place.folder) as one:
        assert one.get(f"{one.people}/healthz").status == 200


def test_restore_refuses_over_a_running_console_and_over_what_is_there(place: Place) -> None:
    place.fill(3)
    assert place.run("backup")[0] == 0
    with console(place.folder) as one:
        status, said = place.run("restore", "--replace")
        assert (status, said["error"]["code"]) == (1, "RA-CONSOLE-RUNS")
        assert one.get(f"{one.people}/healthz").status == 200
    before = place.database.read_bytes()
    status, said = place.run("restore")
    assert (status, "There is a database already" in said["error"]["message"]) == (2, True)
    assert place.database.read_bytes() == before


def test_restore_into_an_empty_folder(place: Place, tmp_path: Path) -> None:
    place.fill(5)
    assert place.run("backup")[0] == 0
    (tmp_path / "new").mkdir()
    other = Place(tmp_path / "new")
    other.backup = place.backup
    status, said = other.run("restore")
    assert (status, said) == (0, {"ok": True, "put_aside": None})
    assert other.count("audit") == 6  # and one that says that it was restored
    assert other.database.stat().st_mode & 0o077 == 0


def test_a_damaged_database_can_be_replaced(place: Place) -> None:
    place.fill(5)
    assert place.run("backup")[0] == 0
    place.database.write_bytes(b"\x00" * 5000)
    place.database.with_name("console.db-wal").write_bytes(b"nonsense")
    status, said = place.run("restore", "--replace")
    assert status == 0
    assert place.count("audit") == 6
    assert Path(said["put_aside"]).read_bytes() == b"\x00" * 5000


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda octets: b"", "is no backup of a console"),
        (lambda octets: b"x" * 1000, "is no backup of a console"),
        (lambda octets: octets[: len(octets) // 2], "cannot be"),
        (lambda octets: octets[:8192] + b"\xff" * 4096 + octets[12288:], ""),
    ],
)
def test_a_damaged_backup_is_refused_and_nothing_touched(place: Place, damage: Any, said: str) -> None:
    place.fill(40)
    assert place.run("backup")[0] == 0
    place.backup.write_bytes(damage(place.backup.read_bytes()))
    before = place.database.read_bytes()
    status, answer = place.run("restore", "--replace")
    assert status == 1
    assert said in answer["error"]["message"]
    assert place.database.read_bytes() == before
    assert not list(place.database.parent.glob(".*"))


def test_a_backup_whose_audit_log_was_changed_is_refused(place: Place) -> None:
    place.fill(5)
    assert place.run("backup")[0] == 0
    with sqlite3.connect(place.backup) as connection:
        connection.execute("UPDATE audit SET actor = 'Eve' WHERE number = 2")
    status, said = place.run("restore", "--replace")
    assert (status, said["error"]["message"]) == (1, "Entry 2 was changed.")


def test_a_backup_by_a_newer_version_is_refused(place: Place) -> None:
    place.fill(5)
    assert place.run("backup")[0] == 0
    with sqlite3.connect(place.backup) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
    status, said = place.run("restore", "--replace")
    assert (status, "newer version" in said["error"]["message"]) == (1, True)
    assert place.count("session") == 1


def test_a_backup_replaces_no_file_and_wants_a_database(place: Place, tmp_path: Path) -> None:
    assert place.run("backup")[0] == 2  # there is none yet
    place.fill(1)
    place.backup.write_text("mine")
    status, said = place.run("backup")
    assert (status, "is not replaced" in said["error"]["message"]) == (2, True)
    assert place.backup.read_text() == "mine"


def test_a_full_disk_leaves_nothing(place: Place) -> None:
    place.fill(1)
    place.backup = Path("/dev/full/backup")
    status, said = place.run("backup")
    assert status == 1
    assert "Not a directory" in said["error"]["message"]


@pytest.mark.parametrize(("command", "instead"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_with_postgresql_it_says_what_to_use(place: Place, command: str, instead: str) -> None:
    place.config.write_text(settings_text(place.folder, console='database = "postgresql:///console"'))
    status, said = place.run(command)
    assert status == 2
    assert instead in said["error"]["message"]


def test_head_is_what_a_backup_holds(place: Place) -> None:
    place.fill(1)
    assert place.run("backup")[0] == 0
    with sqlite3.connect(place.backup) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (migrations.head(),)
