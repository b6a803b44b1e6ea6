"""A CA's database is asked, not exported: tables, queries, and a database that goes away in the middle."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.flows.inventories import WINDOW, rows_of, run_check, write_sqlite
from tests.inventory import FROM, Issuing
from tests.postgresql import server

COUNT = 1500


@pytest.fixture(scope="module")
def ders() -> list[bytes]:
    return list(Issuing(31).many(COUNT))


@pytest.fixture(scope="module")
def address(ders: list[bytes]) -> Iterator[str]:
    with server() as found:
        with psycopg.connect(found) as connection:
            connection.execute("CREATE TABLE issued (uid int PRIMARY KEY, organisation text, certificate bytea)")
            connection.execute('CREATE SCHEMA ca; CREATE TABLE ca."Of Text" (pem text, uid int)')
            with connection.cursor().copy("COPY issued FROM STDIN") as copy:
                for number, der in enumerate(ders):
                    copy.write_row((number, f"Ø{number % 7}", der))
            connection.execute("""INSERT INTO ca."Of Text" SELECT encode(certificate, 'base64'), uid FROM issued""")
        yield found


def expected(ders: list[bytes], tmp_path: Path) -> list[dict[str, object]]:
    (tmp_path / "all.der").write_bytes(b"".join(ders))
    run_check(tmp_path / "all.der", *WINDOW, "--out", tmp_path / "all.jsonl", "--all")
    return [{**row, "source": ""} for row in rows_of(tmp_path / "all.jsonl")]


def without_carried(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: row[name] if name != "source" else "" for name in OURS} for row in rows]


OURS = ("source", "index", "verdict", "rule", "serial", "issuer", "not_before", "why", "sha256")


@pytest.mark.parametrize(
    "words",
    [
        ("--table", "issued"),
        ("--table", "public.issued", "--column", "certificate"),
        ("--table", "ca.Of Text"),
        ("--query", "SELECT uid, organisation, certificate FROM issued ORDER BY uid"),
    ],
)
def test_postgresql(words: tuple[str, ...], address: str, ders: list[bytes], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    document, _ = run_check(address, *WINDOW, *words, "--out", out, "--all")
    rows = rows_of(out)
    assert document["checked"] == COUNT
    assert [row["index"] for row in rows] == list(range(COUNT))
    # A table has no order of its own.
    found = sorted(rows, key=lambda row: int(row["uid"]))
    for number, (row, wanted) in enumerate(zip(without_carried(found), expected(ders, tmp_path), strict=True)):
        assert {**row, "index": number} == wanted
    if "ca.Of Text" not in words:
        assert found[9]["organisation"] == "Ø2"


def test_postgresql_that_goes_away(address: str, tmp_path: Path) -> None:
    """What was read before is checked and told of; the exit status says that it was not all."""
    gone = "CASE WHEN uid = 1200 THEN pg_terminate_backend(pg_backend_pid()) END"
    query = f"SELECT certificate, uid, {gone} FROM issued ORDER BY uid"  # noqa: S608 - a test's own
    document, said = run_check(address, *WINDOW, "--query", query, "--out", tmp_path / "out.jsonl", "--all", status=1)
    assert 0 < document["checked"] < 1200
    assert len(rows_of(tmp_path / "out.jsonl")) == document["checked"]
    assert "cannot be read any further: terminating connection" in said
    assert document["problems"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Which table of"),
        (("--table", "nothing"), 'relation "nothing" does not exist'),
        (("--table", "issued", "--column", "der"), 'it has no column "der"; it has: uid, organisation, certificate'),
        (("--query", "SELECT uid FROM issued"), "nothing tells which of its columns"),
        (("--query", "DELETE FROM issued"), "cannot be read"),
        (("--query", "SELECT 1 WHERE false"), "It is empty"),
    ],
)
def test_slips_with_postgresql(words: tuple[str, ...], sentence: str, address: str) -> None:
    document, said = run_check(address, *WINDOW, *words, status=0 if "empty" in sentence else 1)
    assert document["checked"] == 0
    assert sentence in said


def test_no_server_and_no_password_told(tmp_path: Path) -> None:
    address = f"postgresql://me:secret@/x?host={tmp_path}"
    document, said = run_check(address, *WINDOW, "--table", "issued", status=1)
    assert document["checked"] == 0
    assert "secret" not in said + str(document)
    assert "cannot be read any further" in said


def test_sqlite_tables_and_queries(tmp_path: Path) -> None:
    good = [Issuing(n).certificate(FROM) for n in range(3)]
    path = tmp_path / "ca.db"
    write_sqlite(path, good)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (pem TEXT)")
        connection.execute("INSERT INTO other VALUES (?), (NULL), (7)", [good[0].hex()])
        connection.commit()
    assert run_check(path, *WINDOW)[0]["affected"] == 3
    document, _ = run_check(path, *WINDOW, "--table", "other")
    assert (document["affected"], document["unreadable"]) == (1, 2)
    assert run_check(path, *WINDOW, "--query", "SELECT cert FROM issued WHERE uid > 0")[0]["affected"] == 2
    _, said = run_check(path, *WINDOW, "--table", "none", status=1)
    assert "no such table" in said
    _, said = run_check(path, *WINDOW, "--table", "settings", "--column", "cert", status=1)
    assert "it has: name, value" in said
