"""Exports are rarely perfect: each kind of damage is counted, located and told in plain words; the rest is checked."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

from tests.flows.inventories import (
    WINDOW,
    csv_text,
    ldif_entry,
    pem,
    rows_of,
    run_check,
    write_arrow,
    write_json_lines,
    write_parquet,
    write_sqlite,
)
from tests.inventory import FROM, Issuing

GOOD = [Issuing(20 + number).certificate(FROM) for number in range(5)]
AFFECTED = ["affected"] * 5


def check(path: Path, *words: str, status: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    out = path.with_name("out.jsonl")
    document, said = run_check(path, *WINDOW, "--out", out, "--all", *words, status=status)
    rows = rows_of(out) if out.exists() else []
    assert (
        document["checked"]
        == len(rows)
        == sum(document[v] for v in ("affected", "unaffected", "damaged", "unreadable"))
    )
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return rows, document, said


def verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["verdict"] for row in rows]


def lengthened(der: bytes, more: int) -> bytes:
    length = int.from_bytes(der[2:4], "big") + more
    return der[:2] + length.to_bytes(2, "big") + der[4:]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"\xde\xad\xbe\xef" * 8, "32 bytes that are not a certificate"),
        (b"30" * 100, "bytes that are not a certificate"),
        (lengthened(GOOD[2], 11), "length makes no sense"),
        (lengthened(GOOD[2], 5000), "length makes no sense"),
        (bytes.fromhex("3084ffffffff") + GOOD[2][4:], "bytes that are not a certificate"),
        (bytes(1000), "1,000 bytes that are not a certificate"),
        (GOOD[2][:-20], "length makes no sense"),
    ],
    ids=["rubbish", "digits", "a little long", "very long", "4 GiB", "zeros", "an end that is missing"],
)
def test_der_with_something_bad_in_the_middle(bad: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.der").write_bytes(b"".join([*GOOD[:2], bad, *GOOD[3:]]))
    rows, _, said = check(tmp_path / "a.der")
    assert [row["verdict"] for row in rows if row["verdict"] == "affected"] == ["affected"] * 4
    [broken] = [row for row in rows if row["verdict"] != "affected"]
    assert broken["index"] == 2
    assert broken["verdict"] in ("damaged", "unreadable")
    assert words in broken["why"]
    assert f"At byte {len(GOOD[0] + GOOD[1]):,}" in broken["why"]
    assert f"a.der, number 2 ({broken['verdict']}): At byte" in said


def test_der_that_ends_inside_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "a.der").write_bytes(b"".join(GOOD)[:-30])
    rows, _, _ = check(tmp_path / "a.der")
    assert verdicts(rows) == ["affected"] * 4 + ["damaged"]
    assert "the file ends inside it" in rows[4]["why"]
    assert rows[4]["not_before"] == "2020-09-28T00:00:00Z"


def test_damaged_certificates_in_a_sound_file(tmp_path: Path) -> None:
    at = GOOD[1].index(bytes.fromhex("a003020102"))
    other_version = GOOD[1][:at] + bytes.fromhex("a003020101") + GOOD[1][at + 5 :]
    old = GOOD[2].replace(b"2009280", b"2013280")
    (tmp_path / "a.der").write_bytes(GOOD[0] + other_version + old + GOOD[3])
    rows, _, _ = check(tmp_path / "a.der")
    assert verdicts(rows) == ["affected", "damaged", "unreadable", "affected"]
    assert rows[1]["why"] == "Its version number is none that there is."
    assert rows[1]["serial"]
    assert rows[1]["rule"] == "command-line"
    assert "date" in rows[2]["why"]


def bad_pem(at: int) -> str:
    text = pem(GOOD[2])
    return text[:at] + "!" + text[at + 1 :]


@pytest.mark.parametrize(
    ("bad", "verdict", "words"),
    [
        (bad_pem(40), "unreadable", "there is a wrong character after 12 good ones"),
        (bad_pem(600), "damaged", "there is a wrong character after"),
        (pem(GOOD[2]).replace("-----END CERTIFICATE-----\n", ""), "damaged", "The END line is missing"),
        (pem(GOOD[2])[:700] + "\n", "damaged", "The END line is missing"),
        (pem(GOOD[2]).replace("END CERT", "END OTHER CERT"), "damaged", "does not fit the BEGIN line"),
        (pem(GOOD[2])[:-30].rstrip("=\n-") + "\n-----END CERTIFICATE-----\n", "damaged", "It is"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "unreadable", "no certificate here"),
        ("-----BEGIN CERTIFICATE\n", "unreadable", "The BEGIN line is not whole"),
    ],
)
def test_pem_with_something_bad_in_the_middle(bad: str, verdict: str, words: str, tmp_path: Path) -> None:
    front = "".join(map(pem, GOOD[:2]))
    (tmp_path / "a.pem").write_text(front + bad + "".join(map(pem, GOOD[3:])))
    rows, _, said = check(tmp_path / "a.pem")
    assert verdicts(rows) == ["affected", "affected", verdict, "affected", "affected"]
    assert words.lower() in rows[2]["why"].lower()
    if "no certificate" not in words and verdict == "damaged" and "It is" != words:
        line = front.count("\n") + 1
        assert rows[2]["why"].startswith(f"Line {line:,}: ")
        assert f"number 2 (damaged): Line {line:,}: " in said


def test_the_hash_is_of_what_lies_in_the_source(tmp_path: Path) -> None:
    """Also of what cryptography refuses; and none where the octets cannot be had whole."""
    refused = GOOD[2].replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)  # its version
    (tmp_path / "a.pem").write_text("".join([pem(GOOD[0]), bad_pem(600), pem(refused)]))
    rows, _, _ = check(tmp_path / "a.pem")
    assert verdicts(rows) == ["affected", "damaged", "damaged"]
    assert [row["sha256"] for row in rows] == [sha256(GOOD[0]).hexdigest(), "", sha256(refused).hexdigest()]


def test_pem_with_other_things_in_it(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"
    text = "Bag Attributes\n    friendlyName: x\n".join([pem(GOOD[0]), key + pem(GOOD[1]), pem(GOOD[2], "\r\n")])
    (tmp_path / "a.pem").write_text(text, newline="")
    rows, _, said = check(tmp_path / "a.pem")
    assert verdicts(rows) == AFFECTED[:3]
    assert "Passed over what is not a certificate: 1 PRIVATE KEY." in said


def test_ldif(tmp_path: Path) -> None:
    entries = [ldif_entry(number, der) for number, der in enumerate(GOOD)]
    entries[1] = entries[1].replace("userCertificate;binary:: MI", "userCertificate;binary:: M!")
    entries[2] = entries[2].replace("binary::", "binary:")
    entries[3] = "dn: uid=3\nuserCertificate:< file:///x.der\n\n"
    (tmp_path / "a.ldif").write_text("version: 1\n\n" + "".join(entries)[:-40])
    rows, _, said = check(tmp_path / "a.ldif")
    assert verdicts(rows) == ["affected", "unreadable", "unreadable", "unreadable", "damaged"]
    assert rows[1]["why"].startswith(
        f"Line {2 + 1 + entries[0].count(chr(10)):,}: in uid=1,ou=people,o=nhs: it is not base64"
    )
    assert "one colon where two belong" in rows[2]["why"]
    assert "not followed" in rows[3]["why"]
    assert "uid=4,ou=people,o=nhs" in said or "cut short" in rows[4]["why"]


def test_csv(tmp_path: Path) -> None:
    lines = csv_text(GOOD).encode().split(b"\n")
    lines[2] = b"1,too few"
    lines[3] += b",too many,columns"
    lines[4] = lines[4].replace(b"MI", b"M?", 1)
    lines[5] = lines[5].replace("é".encode(), b"\xe9")
    lines += [b"", b'9,"never closed,' + base64.b64encode(GOOD[0]) + b",", b"10,x," + base64.b64encode(GOOD[1]) + b","]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    rows, _, said = check(tmp_path / "a.csv")
    assert verdicts(rows) == ["affected", "unreadable", "damaged", "unreadable", "affected", "unreadable", "affected"]
    assert rows[1]["why"] == "Line 3: this line has 2 columns where 4 belong."
    assert rows[2]["why"] == "Line 4: this line has 6 columns where 4 belong."
    assert rows[3]["why"].startswith("Line 5: it is not base64")
    assert rows[4]["cn"] == "Pérson 4"
    assert rows[5]["why"] == "Line 9: a quote is opened in this line and never closed."
    assert "a.csv, number 1 (unreadable): Line 3: this line has 2 columns" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--column", "zertifikat"), 'it has no column "zertifikat"; it has: uid, cn, certificate, note.'),
        (("--column", "cn"), ""),
    ],
)
def test_the_wrong_column(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(csv_text(GOOD))
    (tmp_path / "b.csv").write_text(csv_text(GOOD).replace("certificate", "zertifikat"))
    if sentence:
        document, said = run_check(tmp_path / "a.csv", tmp_path / "b.csv", *WINDOW, *words, status=1)
        assert document["checked"] == document["affected"] == 5
        assert sentence in said
    else:
        document, _ = run_check(tmp_path / "a.csv", *WINDOW, *words)
        assert document["unreadable"] == 5


def test_no_column_of_certificates(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("uid,cn\n1,x\n2,y\n")
    document, said = run_check(tmp_path / "a.csv", *WINDOW, status=1)
    assert document["problems"] == [said.splitlines()[0]]
    assert "nothing tells which of its columns holds the certificates (uid, cn); name it with --column" in said


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_json_lines(path, GOOD)
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:-30]
    lines[2] = "[1, 2]"
    lines[3] = json.dumps({"uid": 3})
    path.write_text("\n".join([lines[0], "", *lines[1:]]))
    rows, _, _ = check(path)
    assert verdicts(rows) == ["affected", "unreadable", "unreadable", "unreadable", "affected"]
    assert [row["why"] for row in rows[1:4]] == [
        "Line 3: this line is not JSON.",
        "Line 4: this line is not a JSON object.",
        'Line 5: there is no "cert" in this line.',
    ]


@pytest.mark.parametrize("name", ["a.der", "a.pem", "a.csv", "a.ldif", "a.jsonl", "a.parquet", "nothing"])
def test_an_empty_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    rows, _, said = check(tmp_path / name)
    assert rows == []
    assert f"{name}: It is empty." in said


@pytest.mark.parametrize("name", ["a.der", "a.pem", "a.csv", "a.ldif", "nothing"])
def test_binary_rubbish(name: str, tmp_path: Path) -> None:
    octets = bytes(range(256)) * 50
    (tmp_path / name).write_bytes(octets)
    rows, document, _ = check(tmp_path / name)
    assert document["unreadable"] == len(rows) == 1
    assert "12,800 bytes that are not a certificate" in rows[0]["why"]


def test_text_that_is_no_inventory(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("Dear colleague,\nhere is the export.\n" * 20)
    document, said = run_check(tmp_path / "readme.md", *WINDOW, status=1)
    assert document["checked"] == 0
    assert "name it with --column" in said


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_packed_file_that_ends_early(pack: Any, tmp_path: Path) -> None:
    many = list(Issuing(9).many(3000))
    (tmp_path / "a.bin").write_bytes(pack(b"".join(many))[:-2000])
    rows, document, said = check(tmp_path / "a.bin", status=1)
    assert "ends too early" in said
    assert document["problems"]
    assert 0 < len(rows) < 3000


def test_two_packed_files_in_one(tmp_path: Path) -> None:
    for pack in (gzip.compress, zstandard.compress):
        (tmp_path / "a.bin").write_bytes(pack(b"".join(GOOD[:2])) + pack(b"".join(GOOD[2:])))
        assert verdicts(check(tmp_path / "a.bin")[0]) == AFFECTED


@pytest.mark.parametrize(
    ("name", "write"), [("a.parquet", write_parquet), ("a.arrow", write_arrow), ("a.db", write_sqlite)]
)
def test_files_with_a_structure_that_are_cut(name: str, write: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path, GOOD * 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "good.pem").write_text(pem(GOOD[0]))
    document, said = run_check(path, tmp_path / "good.pem", *WINDOW, status=1)
    assert document["sources"][str(tmp_path / "good.pem")] == 1
    assert f"{name} cannot be read" in said


def test_a_row_group_that_is_spoilt(tmp_path: Path) -> None:
    """Its rows are counted and told; those of the others are checked."""
    path = tmp_path / "a.parquet"
    table = pa.table({"der": pa.array(list(Issuing(3).many(90)), pa.binary())})
    pyarrow.parquet.write_table(table, path, row_group_size=30, compression="zstd")
    with pyarrow.parquet.ParquetFile(path) as file:
        column = file.metadata.row_group(1).column(0)
        at = column.dictionary_page_offset or column.data_page_offset
    octets = bytearray(path.read_bytes())
    octets[at : at + 400] = bytes(400)
    path.write_bytes(octets)
    rows, document, _ = check(path)
    assert len(rows) == 90
    assert document["unreadable"] == 30
    assert {row["verdict"] for row in rows[30:60]} == {"unreadable"}
    assert "row group 1" in rows[30]["why"]


def test_holes_in_a_table(tmp_path: Path) -> None:
    cells = [GOOD[0], None, b"", base64.b64encode(GOOD[1]), GOOD[2]]
    for kind in (pa.binary(), pa.large_binary()):
        pyarrow.parquet.write_table(pa.table({"der": pa.array(cells, kind)}), tmp_path / "a.parquet")
        rows, _, _ = check(tmp_path / "a.parquet")
        assert verdicts(rows) == ["affected", "unreadable", "unreadable", "unreadable", "affected"]


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.pem").write_text(pem(GOOD[0]))
    words = (tmp_path / "no.der", tmp_path / "no*.der", tmp_path / "empty", tmp_path / "good.pem")
    document, said = run_check(*words, *WINDOW, status=1)
    assert len(document["problems"]) == 3
    assert document["affected"] == 1
    for sentence in ("There is no file", "No file fits", "There is no file in the folder"):
        assert sentence in said


def test_much_damage_is_told_in_a_few_lines(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 500)
    document, said = run_check(tmp_path / "a.pem", *WINDOW)
    assert document["unreadable"] == 500
    assert said.count("a.pem, number") == 5
    assert "there are more; all of them are counted" in said
