"""The same certificates written in every way that `renewagent check` reads, and the command itself."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import zstandard

from renewagent.cli import main

WINDOW = ("--issued-from", "2020-09-28", "--issued-to", "2020-10-01T12:00:00Z")
COMMAND = (sys.executable, "-m", "renewagent", "check")


def pem(der: bytes, end: str = "\n") -> str:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return end.join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def ldif_entry(number: int, der: bytes, end: str = "\n", option: str = ";binary") -> str:
    line = f"userCertificate{option}:: {base64.b64encode(der).decode()}"
    folded = [line[:76], *(f" {line[at : at + 75]}" for at in range(76, len(line), 75))]
    name = base64.b64encode(f"Pérson {number}".encode()).decode()
    head = [f"dn: uid={number},ou=people,o=nhs", "objectClass: person", f"uid: {number}", f"cn:: {name}"]
    return end.join([*head, *folded, "", ""])


def write_der(path: Path, ders: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(ders))


def write_pem(path: Path, ders: Sequence[bytes]) -> None:
    path.write_text("".join(f"subject=/CN={number}\n{pem(der)}" for number, der in enumerate(ders)))


def write_pem_crlf(path: Path, ders: Sequence[bytes]) -> None:
    path.write_bytes("".join(pem(der, "\r\n") for der in ders).encode())


def write_ldif(path: Path, ders: Sequence[bytes]) -> None:
    path.write_text("version: 1\n\n" + "".join(ldif_entry(number, der) for number, der in enumerate(ders)))


def write_ldif_crlf(path: Path, ders: Sequence[bytes]) -> None:
    entries = (ldif_entry(number, der, "\r\n", "") for number, der in enumerate(ders))
    path.write_bytes(("version: 1\r\n\r\n" + "".join(entries)).encode())


def csv_text(ders: Sequence[bytes], separator: str = ",", *, digits: bool = False) -> str:
    rows = [separator.join(("uid", "cn", "certificate", "note"))]
    for number, der in enumerate(ders):
        cell = der.hex() if digits else base64.b64encode(der).decode()
        name = f'"Pérson{separator} ""P"" {number}"' if number % 3 == 0 else f"Pérson {number}"
        rows.append(separator.join((str(number), name, cell, "")))
    return "\n".join(rows) + "\n"


def write_csv(path: Path, ders: Sequence[bytes]) -> None:
    path.write_text(csv_text(ders))


def write_csv_hex(path: Path, ders: Sequence[bytes]) -> None:
    path.write_text(csv_text(ders, ";", digits=True))


def write_csv_quoted(path: Path, ders: Sequence[bytes]) -> None:
    rows = [f'"{number}","Pérson {number}","{pem(der).strip()}"\r\n' for number, der in enumerate(ders)]
    path.write_text('"uid","cn","PEM"\r\n' + "".join(rows), newline="")


def write_json_lines(path: Path, ders: Sequence[bytes]) -> None:
    objects = ({"uid": number, "cert": base64.b64encode(der).decode()} for number, der in enumerate(ders))
    path.write_text("".join(json.dumps(one) + "\n" for one in objects))


def table(ders: Sequence[bytes]) -> pa.Table:
    return pa.table({"uid": list(range(len(ders))), "der": pa.array(ders, pa.binary())})


def write_parquet(path: Path, ders: Sequence[bytes]) -> None:
    pyarrow.parquet.write_table(table(ders), path, row_group_size=max(len(ders) // 3, 1))


def write_arrow(path: Path, ders: Sequence[bytes]) -> None:
    made = table(ders)
    with pa.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, made.schema) as writer:
        writer.write_table(made, max_chunksize=max(len(ders) // 3, 1))


def write_sqlite(path: Path, ders: Sequence[bytes]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE settings (name TEXT, value TEXT)")
        connection.execute("CREATE TABLE issued (uid INTEGER, cert BLOB)")
        connection.executemany("INSERT INTO issued VALUES (?, ?)", enumerate(ders))
        connection.commit()


def write_gzip(path: Path, ders: Sequence[bytes]) -> None:
    path.write_bytes(gzip.compress("".join(map(pem, ders)).encode(), 1))


def write_zstd(path: Path, ders: Sequence[bytes]) -> None:
    path.write_bytes(zstandard.compress(csv_text(ders).encode()))


def write_utf16(path: Path, ders: Sequence[bytes]) -> None:
    path.write_bytes(csv_text(ders, "\t").encode("utf-16"))


WRITERS: Mapping[str, Callable[[Path, Sequence[bytes]], None]] = MappingProxyType(
    {
        "a.der": write_der,
        "a.pem": write_pem,
        "crlf.pem": write_pem_crlf,
        "a.ldif": write_ldif,
        "crlf.ldif": write_ldif_crlf,
        "a.csv": write_csv,
        "hex.csv": write_csv_hex,
        "quoted.csv": write_csv_quoted,
        "utf16.csv": write_utf16,
        "a.jsonl": write_json_lines,
        "a.parquet": write_parquet,
        "a.arrow": write_arrow,
        "a.sqlite": write_sqlite,
        "a.pem.gz": write_gzip,
        "a.csv.zst": write_zstd,
        "no-ending": write_ldif,
    }
)


def run_check(*words: str | Path, status: int = 0, stdin: bytes = b"") -> tuple[dict[str, Any], str]:
    """What `renewagent check WORDS --json` says on standard output, and on standard error."""
    out, err = io.StringIO(), io.StringIO()
    given = mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    with given, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = main(["check", *map(str, words), "--json"])
    assert found == status, err.getvalue()
    return json.loads(out.getvalue()), err.getvalue()


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
