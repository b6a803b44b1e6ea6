"""Distinguished names: text to data and back, beside cryptography's RFC 4514 reader and writer, and openssl's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from renewagent.names import OIDS, Name, canonical, format_name, parse_name, same_name
from tests.made import certificate

VALUES = st.text(st.characters(codec="utf-8"), max_size=12)
TRICKY = st.text(' ,+"\\<>;=#aé\0\n', max_size=8)
DOTTED = st.lists(st.integers(0, 99999), min_size=1, max_size=5).map(lambda arcs: "1.3." + ".".join(map(str, arcs)))
TYPES = st.one_of(st.sampled_from(sorted(set(OIDS.values()))), DOTTED)
RDNS = st.dictionaries(TYPES, VALUES | TRICKY, min_size=1, max_size=3).map(lambda pairs: frozenset(pairs.items()))
NAMES = st.lists(RDNS, max_size=5).map(tuple)
THEIRS = NAMES.filter(  # cryptography wants values, countries of two letters, and is right to
    lambda name: all(value and oid != "2.5.4.6" for rdn in name for oid, value in rdn)
)


@given(NAMES)
@example((frozenset({("2.5.4.3", "ends in a backslash\\")}),))
@example((frozenset({("2.5.4.3", "a\\ ")}),))
@example((frozenset({("2.5.4.3", " ")}),))
@example((frozenset({("2.5.4.3", "")}),))
@example((frozenset({("2.5.4.3", "\\20")}),))
def test_what_is_written_reads_back_the_same(name: Name) -> None:
    assert parse_name(format_name(name)) == name


@given(THEIRS)
def test_cryptography_reads_what_we_write(name: Name) -> None:
    theirs = x509.Name.from_rfc4514_string(format_name(name))
    assert as_data(theirs) == name


@given(THEIRS)
def test_we_read_what_cryptography_writes(name: Name) -> None:
    theirs = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(x509.ObjectIdentifier(oid), value, _validate=False) for oid, value in rdn]
            )
            for rdn in name
        ]
    )
    assert parse_name(theirs.rfc4514_string()) == name


def as_data(name: x509.Name) -> Name:
    return tuple(frozenset((a.oid.dotted_string, str(a.value)) for a in rdn) for rdn in name.rdns)


@pytest.mark.parametrize("value", ["Plain", 'quo"te, plus+ semi;', "back\\slash", " lead and trail ", "#hash", "Zoë"])
def test_we_read_what_openssl_writes(value: str, tmp_path: Path) -> None:
    issuer = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "GB"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, value),
        ]
    )
    path = tmp_path / "certificate.der"
    path.write_bytes(certificate(issuer=issuer))
    shown = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", path, "-noout", "-issuer", "-nameopt", "RFC2253"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    text = shown.removeprefix("issuer=").removesuffix("\n")
    assert parse_name(text) == as_data(issuer)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ()),
        ("  ", ()),
        ("CN=x", (frozenset({("2.5.4.3", "x")}),)),
        ("cn=x", (frozenset({("2.5.4.3", "x")}),)),
        ("CN = x , O = y", (frozenset({("2.5.4.10", "y")}), frozenset({("2.5.4.3", "x")}))),
        ("OID.2.5.4.3=x", (frozenset({("2.5.4.3", "x")}),)),
        ("2.5.4.3=a=b", (frozenset({("2.5.4.3", "a=b")}),)),
        ("CN=a+O=b", (frozenset({("2.5.4.3", "a"), ("2.5.4.10", "b")}),)),
        (r"CN=Zo\C3\AB", (frozenset({("2.5.4.3", "Zoë")}),)),
        (r"CN=a\ ", (frozenset({("2.5.4.3", "a ")}),)),
        (r"CN=a\\ ", (frozenset({("2.5.4.3", "a\\")}),)),
        (r"CN=a\20", (frozenset({("2.5.4.3", "a ")}),)),
        ("CN=#0c0161", (frozenset({("2.5.4.3", "a")}),)),  # RFC 4514 2.4: the DER of the value
        ("1.3.6.1.4.1.99999.7=#130161", (frozenset({("1.3.6.1.4.1.99999.7", "a")}),)),
        ("2.5.4.45=#03020102", (frozenset({("2.5.4.45", "#03020102")}),)),
    ],
)
def test_reading(text: str, name: Name) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize("text", ["x", "CN", "CN=a,", ",CN=a", "XX=a", "CN=a,,O=b", "CN=a+", "=x", "CN=a\\", "CN=\\FF"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="distinguished name"):
        parse_name(text)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("CN=NHS Signing G2,O=nhs", "cn=nhs  signing g2 , o=NHS"),
        ("CN=Stra\\C3\\9Fe", "CN=STRASSE"),
        ("CN=a+O=b", "O=b+CN=a"),
        ("CN=\uff21", "CN=a"),
    ],
)
def test_names_that_rfc_5280_calls_the_same(a: str, b: str) -> None:
    assert same_name(parse_name(a), parse_name(b))
    assert canonical(parse_name(a)) == canonical(parse_name(b))


@pytest.mark.parametrize(
    ("a", "b"), [("CN=a,O=b", "O=b,CN=a"), ("CN=a", "O=a"), ("CN=a", "CN=a,O=b"), ("CN=ab", "CN=a b")]
)
def test_names_that_differ(a: str, b: str) -> None:
    assert not same_name(parse_name(a), parse_name(b))
