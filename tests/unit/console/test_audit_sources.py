"""`audit verify`: every hash-chained log that there is, wherever it lies, and what is wrong with it by its number."""

from __future__ import annotations

import functools
import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.cli import main
from renewagent.console import audit, retention
from renewagent.console.settings import Listener, Settings
from renewagent.console.store import Store
from renewagent_fixtures.mock_ra import MockRa
from tests import postgresql

NOW = datetime(2026, 11, 22, 9, 0, 0, 123_456, tzinfo=UTC)
ENTRIES = 25


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What `audit verify` is given: a database with entries 1 to 25, one a day, the last one yesterday."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/console.db" if is_sqlite else request.getfixturevalue("server")
    store = Store(url)
    store.migrate()
    for number in range(ENTRIES):
        at = NOW - timedelta(days=ENTRIES - number)
        store.writing(lambda c: audit.record(c, at, "Ada Example", "campaign.added", {"id": f"Ä{number}"}))  # noqa: B023
    yield f"{tmp_path}/console.db" if is_sqlite else url
    if not is_sqlite:
        store.writing(lambda c: c.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    store.close()


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["audit", "verify", "--json", *words])
    return status, json.loads(capsys.readouterr().out)


def store_of(place: str) -> Store:
    return Store(place if "://" in place else f"sqlite:///{place}")


def change(place: str, statement: str) -> None:
    store = store_of(place)
    store.writing(lambda connection: connection.exec_driver_sql(statement))
    store.close()


def settings(folder: Path, **more: Any) -> Settings:
    listener = Listener("127.0.0.1", 0, "")
    return replace(Settings(folder, "", listener, listener, folder, folder), **more)


def exported(place: str, file: Path) -> Path:
    store = store_of(place)
    with store.engine.connect() as connection:
        file.write_text("".join(f"{entry.to_line()}\n" for entry in audit.entries(connection)))
    store.close()
    return file


def test_a_whole_log(capsys: pytest.CaptureFixture[str], place: str) -> None:
    status, said = verify(capsys, place)
    digest = said.pop("digest")
    assert (status, said) == (0, {"ok": True, "entries": ENTRIES, "first": 1, "last": ENTRIES})
    assert verify(capsys, place, "--noted", f"{ENTRIES}:{digest}")[0] == 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE audit SET actor = 'Eve' WHERE number = 7", "Entry 7 was changed."),
        ("UPDATE audit SET details = '{}' WHERE number = 25", "Entry 25 was changed."),
        ("UPDATE audit SET at = at + 1 WHERE number = 9", "Entry 9 was changed."),
        ("DELETE FROM audit WHERE number = 7", "Entry 7 is missing."),
        ("DELETE FROM audit WHERE number < 4", "Entry 1 is missing."),
        ("UPDATE audit SET digest = previous WHERE number = 3", "Entry 3 was changed."),
        ("UPDATE audit SET previous = digest WHERE number = 3", "Entry 3 does not follow from the one before."),
    ],
)
def test_a_damaged_log_names_the_entry(capsys: pytest.CaptureFixture[str], place: str, damage: str, said: str) -> None:
    change(place, damage)
    status, answer = verify(capsys, place)
    assert (status, answer["error"]["code"], answer["error"]["message"]) == (1, "RA-AUDIT", said)


def test_a_log_made_anew_is_found_out_by_what_was_noted(capsys: pytest.CaptureFixture[str], place: str) -> None:
    digest = verify(capsys, place)[1]["digest"]
    change(place, "DELETE FROM audit WHERE number = 25")
    assert verify(capsys, place)[0] == 0  # nobody can know
    status, answer = verify(capsys, place, "--noted", f"25:{digest}")
    assert status == 1
    assert "Entry 25 is not in the log" in answer["error"]["message"]


def test_an_exported_log_in_a_file_and_at_an_address(
    capsys: pytest.CaptureFixture[str], place: str, tmp_path: Path
) -> None:
    file = exported(place, tmp_path / "log.jsonl")
    digest = verify(capsys, place)[1]["digest"]
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=tmp_path)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        for source in (str(file), f"http://127.0.0.1:{web.server_port}/log.jsonl"):
            status, said = verify(capsys, source)
            assert (status, said["entries"], said["digest"]) == (0, ENTRIES, digest)
        assert verify(capsys, f"http://127.0.0.1:{web.server_port}/none")[0] == 1
        web.shutdown()


@pytest.mark.parametrize("line", ["", "{", "[]", '{"number": 1}', "[" * 5000, "\x00\xff"])
def test_a_line_that_is_no_entry_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str) -> None:
    (tmp_path / "log").write_text(f"{line}\n")
    status, answer = verify(capsys, str(tmp_path / "log"))
    assert (status, answer["error"]["message"]) == (
        1,
        f"Line 1 of {tmp_path}/log is not an entry of a console's audit log.",
    )


def test_the_beginning_is_put_away_into_files_that_verify_alone_and_together(
    capsys: pytest.CaptureFixture[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ENTRIES", 6)
    whole = verify(capsys, place)[1]["digest"]
    store = store_of(place)
    retention.forget(store, settings(tmp_path, keep_audit=timedelta(days=10.5)), NOW)
    retention.forget(store, settings(tmp_path, keep_audit=timedelta(days=10.5)), NOW)
    store.close()
    files = [str(file) for file in sorted((tmp_path / "audit").iterdir())]
    assert [Path(file).name for file in files] == [
        "audit-000000001-000000006.jsonl",
        "audit-000000007-000000012.jsonl",
        "audit-000000013-000000015.jsonl",
    ]
    assert verify(capsys, files[1])[1] | {"digest": ""} == {
        "ok": True, "entries": 6, "first": 7, "last": 12, "digest": "",
    }  # fmt: skip
    status, said = verify(capsys, place)
    assert (status, said["first"], said["last"]) == (0, 16, ENTRIES + 3)  # three say what was put away
    status, said = verify(capsys, *files, place, "--noted", f"{ENTRIES}:{whole}")
    assert (status, said["first"], said["entries"]) == (0, 1, ENTRIES + 3)
    status, answer = verify(capsys, files[0], place)
    assert (status, answer["error"]["message"]) == (1, "Entry 7 is missing.")


def test_the_last_entry_is_never_put_away(place: str, tmp_path: Path) -> None:
    store = store_of(place)
    retention.forget(store, settings(tmp_path, keep_audit=timedelta(0)), NOW + timedelta(days=9))
    with store.engine.connect() as connection:
        left = audit.entries(connection)
    store.writing(lambda c: audit.record(c, NOW, "x", "y", {}))
    with store.engine.connect() as connection:
        start = audit.beginning(connection)
        assert audit.verify_chain(audit.entries(connection), start.digest, start.number) is None
    store.close()
    assert [entry.number for entry in left] == [ENTRIES, ENTRIES + 1]


def test_a_log_that_forgets_where_it_began_is_not_whole(
    capsys: pytest.CaptureFixture[str], place: str, tmp_path: Path
) -> None:
    store = store_of(place)
    retention.forget(store, settings(tmp_path, keep_audit=timedelta(days=10.5)), NOW)
    store.close()
    change(place, "DELETE FROM fact")
    assert verify(capsys, place)[1]["error"]["message"] == "Entry 1 is missing."


def test_the_mock_ras_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with MockRa(tmp_path / "ra") as ra:
        with ra.office.lock:
            ra.office.audit.record("one", NOW, why="a test")
            ra.office.audit.record("two", NOW)
    database = next((tmp_path / "ra").glob("*.db"))
    with sqlite3.connect(database) as connection:
        count = connection.execute("SELECT count(*) FROM audit").fetchone()[0]
    status, said = verify(capsys, str(database))
    assert (status, said["ok"], said["entries"]) == (0, True, count)
    assert count
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE audit SET event = 'other' WHERE number = 1")
    status, answer = verify(capsys, str(database))
    assert (status, answer["error"]["message"]) == (1, "Entry 1 was changed.")


@pytest.mark.parametrize(
    ("source", "status"),
    [("/nowhere.db", 2), ("postgresql:///x?host=/nowhere", 1), ("{}/empty.db", 1), ("{}/cut.db", 1)],
)
def test_what_cannot_be_read_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, source: str, status: int
) -> None:
    with sqlite3.connect(tmp_path / "empty.db") as connection:
        connection.execute("CREATE TABLE other (x)")
    (tmp_path / "cut.db").write_bytes((tmp_path / "empty.db").read_bytes()[:100])
    answered = verify(capsys, source.format(tmp_path))
    assert answered[0] == status
    assert "Traceback" not in str(answered)


def test_reading_changes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()
    store.writing(lambda c: audit.record(c, NOW, "x", "y", {}))
    store.close()
    before = (tmp_path / "console.db").read_bytes()
    assert verify(capsys, f"{tmp_path}/console.db")[0] == 0
    assert (tmp_path / "console.db").read_bytes() == before
