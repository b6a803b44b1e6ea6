"""Base64, digits and CSV by the standard library's own reading of them."""

from __future__ import annotations

import base64
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.bulk.sources import delimited, der, ldif, pem
from renewagent.bulk.sources.base64 import decoded, decoded_lines, value
from renewagent.bulk.sources.delimited import boundary, fields, heading, split_rows
from tests.inventory import Issuing

CELLS = st.text(st.sampled_from('ab",;\n é'), max_size=6)


@given(st.binary(max_size=200), st.integers(1, 80), st.sampled_from(["\n", "\r\n", "\n "]))
def test_base64_in_lines_of_any_width(octets: bytes, width: int, end: str) -> None:
    text = base64.b64encode(octets).decode()
    lines = end.join(text[at : at + width] for at in range(0, len(text), width)).encode()
    assert decoded(lines) == (octets, "")
    assert decoded_lines(lines) == (octets, "")
    assert decoded_lines(b"\n" + lines, lines.count(b"\n") * len(end) + 1) == (octets, "")


@given(st.binary(min_size=3, max_size=200), st.data())
def test_a_wrong_character_is_noticed(octets: bytes, data: st.DataObject) -> None:
    text = base64.b64encode(octets)
    at = data.draw(st.integers(0, len(text) - 1))
    for wrong in (text[:at] + b"!" + text[at + 1 :], text[:at] + b"!" + text[at:]):
        for read in (decoded, decoded_lines, lambda one: decoded_lines(one, 0)):
            found, why = read(wrong)
            assert "not base64" in why
            assert octets.startswith(found[: at // 4 * 3])


@pytest.mark.parametrize("text", [b"AAA", b"A", b"AAAA=", b"AA=A", b"====", b"AAAA====", b"AA==AA=="])
def test_base64_that_ends_wrongly(text: bytes) -> None:
    assert decoded(text)[1]
    assert decoded_lines(text)[1]


def test_what_stands_in_a_column() -> None:
    certificate = Issuing(1).certificate()
    block = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(certificate).decode()}-----END CERTIFICATE-----\n"
    for text in (
        base64.b64encode(certificate),
        base64.encodebytes(certificate),
        certificate.hex().encode(),
        certificate.hex().upper().encode(),
        b"\\x" + certificate.hex().encode(),
        b"0x" + certificate.hex().encode(),
        certificate.hex(":").encode(),
        block.encode(),
    ):
        assert value(text) == (certificate, "")
    assert value(b"")[1] == "There is no certificate here."


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=8), st.sampled_from(",;"))
def test_csv_as_the_standard_library_reads_it(rows: list[list[str]], separator: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
    found = [fields(line, separator.encode()) for _, line, why in split_rows(out.getvalue().encode()) if not why]
    read = [row for row in csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=separator)]
    read = [row for row in read if row and not (len(row) == 1 and not row[0].strip())]
    assert [[cell.decode() for cell in row] for row in found] == read


@given(st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=8))
def test_csv_is_cut_between_rows(rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    text = out.getvalue().encode()
    for size in range(1, len(text)):
        at = boundary(text[:size])
        assert at == 0 or text[:at].endswith(b"\r\n")
        assert text.count(b'"', 0, at) % 2 == 0


def test_headings() -> None:
    certificate = base64.b64encode(Issuing(1).certificate()).decode()
    reading, end = heading(f"\ufeffid;Zertifikat;name\n1;{certificate};x\n".encode(), None)
    assert (reading.column, reading.separator, reading.names) == ("Zertifikat", ";", ("id", "Zertifikat", "name"))
    assert end == len("\ufeffid;Zertifikat;name\n".encode())
    reading, end = heading(f"1,{certificate}\n".encode(), None)
    assert (reading.column, end) == ("column 2", 0)
    reading, _ = heading(b"name,name,,certificate\n", None)
    assert reading.names == ("name", "name (2)", "column 3", "certificate")
    reading, end = heading(b'"a\nb",cert\n1,2\n', None)
    assert (reading.names, reading.heading, end) == (("a\nb", "cert"), 2, 11)


def test_cuts_of_the_other_kinds() -> None:
    assert pem.boundary(b"x\n-----BEGIN A-----\nx\n-----BEGIN B-----\n") == 22
    assert pem.boundary(b"no -----BEGIN") == 0
    assert ldif.boundary(b"dn: x\n\ndn: y\n") == 7
    assert ldif.boundary(b"dn: x\r\n\r\ndn: y\r\n") == 9
    ders = list(Issuing(2).many(5))
    whole = b"".join(ders)
    at, places = der.cut(whole[:-3], last=False)
    assert at == len(whole) - len(ders[-1])
    assert len(places) == 4 * 8
    assert der.cut(b"", last=False)[0] == 0
    assert delimited.boundary(b'a,"b\nc\nd') == 0
    assert delimited.boundary(b'a,"b\n' + b"c\n" * 300 + b"d") == 605  # a quote that nobody closed
