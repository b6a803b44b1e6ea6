"""The resident's DER reader beside cryptography's: the same values, from as few octets as hold them."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from hypothesis import given
from hypothesis import strategies as st

from renewagent.card.der import Der, Truncated, read_integer, read_oid, read_time
from renewagent.card.head import (
    KeyKind,
    certificate_algorithms,
    certificate_head,
    certificate_key,
    certificate_names,
    public_key_kind,
)
from renewagent.errors import CardDataError
from renewagent.model import CertificateHead
from renewagent.names import Name
from tests.made import HOLDER_KEY, certificate, with_serial

PRINTABLE = "ABCXYZabcxyz0189 '()+,-./:=?"
BASIC_PLANE = st.characters(max_codepoint=0xFFFF, codec="utf-8")
TYPED_TEXT = st.one_of(
    st.tuples(st.just(_ASN1Type.UTF8String), st.text(min_size=1, max_size=16)),  # of at most 64 octets
    st.tuples(st.just(_ASN1Type.PrintableString), st.text(PRINTABLE, min_size=1, max_size=40)),
    st.tuples(st.just(_ASN1Type.BMPString), st.text(BASIC_PLANE, min_size=1, max_size=20)),
    st.tuples(st.just(_ASN1Type.UniversalString), st.text(min_size=1, max_size=10)),
    st.tuples(st.just(_ASN1Type.IA5String), st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=40)),
    st.tuples(st.just(_ASN1Type.T61String), st.text(PRINTABLE, min_size=1, max_size=40)),
)
ATTRIBUTE_TYPES = ("2.5.4.3", "2.5.4.10", "2.5.4.11", "2.5.4.12", "0.9.2342.19200300.100.1.1", "1.3.6.1.4.1.99999.7")


@st.composite
def attributes(draw: st.DrawFn) -> x509.NameAttribute[str | bytes]:
    kind, text = draw(TYPED_TEXT)
    oid = x509.ObjectIdentifier(draw(st.sampled_from(ATTRIBUTE_TYPES)))
    return x509.NameAttribute(oid, text, _type=kind, _validate=False)


RDNS = st.lists(attributes(), min_size=1, max_size=3, unique_by=lambda a: a.oid)
NAMES = st.lists(RDNS.map(x509.RelativeDistinguishedName), max_size=6).map(x509.Name)
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda t: t.replace(microsecond=0)
)
SERIALS = st.integers(1, (1 << 159) - 1)


def as_name(name: x509.Name) -> Name:
    return tuple(frozenset((a.oid.dotted_string, str(a.value)) for a in rdn) for rdn in name.rdns)


@given(serial=SERIALS, issuer=NAMES, start=MOMENTS, life=st.integers(0, 5_000_000_000))
def test_any_certificate_reads_as_cryptography_reads_it(
    serial: int, issuer: x509.Name, start: datetime, life: int
) -> None:
    der = certificate(serial=serial, issuer=issuer, not_before=start, not_after=start + timedelta(seconds=life))
    expected = x509.load_der_x509_certificate(der)
    assert certificate_head(der, len(der)) == CertificateHead(
        expected.serial_number, as_name(expected.issuer), expected.not_valid_before_utc, expected.not_valid_after_utc
    )
    assert certificate_names(der) == (as_name(expected.issuer), as_name(expected.subject))


@given(issuer=NAMES, cut=st.floats(0, 1))
def test_a_front_is_enough_or_is_not_and_never_reads_differently(issuer: x509.Name, cut: float) -> None:
    der = certificate(issuer=issuer)
    whole = certificate_head(der, len(der))
    assert certificate_head(der[: int(cut * len(der))], len(der)) in (None, whole)


def test_the_head_is_known_as_soon_as_the_dates_have_arrived() -> None:
    der = certificate()
    end = der.index(b"230928083000Z") + len(b"230928083000Z")
    assert certificate_head(der[: end - 1], len(der)) is None
    assert certificate_head(der[:end], len(der)) == certificate_head(der, len(der))


@given(at=st.integers(0, 200), value=st.integers(0, 255))
def test_a_flipped_octet_gives_a_head_or_an_error_and_agrees_with_cryptography_where_it_reads(
    at: int, value: int
) -> None:
    good = certificate()
    bad = good[:at] + bytes((value,)) + good[at + 1 :]
    try:
        head = certificate_head(bad, len(bad))
    except CardDataError:
        return
    if head is None:
        pytest.fail("a whole certificate is never too short")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography dislikes negative serials
        try:
            expected = x509.load_der_x509_certificate(bad)
            seen = (expected.serial_number, expected.not_valid_before_utc, expected.not_valid_after_utc)
        except (ValueError, x509.InvalidVersion):
            return  # it reads more than the head, and may find fault with that
    assert (head.serial, head.not_before, head.not_after) == seen


@given(st.binary(max_size=300))
def test_garbage_is_an_error_or_wants_more(octets: bytes) -> None:
    try:
        assert certificate_head(octets) is None
    except CardDataError as error:
        assert "certificate" in error.message


@pytest.mark.parametrize(
    ("octets", "value"), [(b"\xff\xff", None), (b"\x80\x00", -32768), (b"\xff\x01", -255), (b"\x00\x01", None)]
)
def test_odd_serials(octets: bytes, value: int | None) -> None:
    der = with_serial(certificate(serial=0x1A2B), b"\x1a\x2b", octets)
    if value is None:  # not the fewest octets: not DER
        with pytest.raises(CardDataError):
            certificate_head(der, len(der))
    else:
        head = certificate_head(der, len(der))
        assert head is not None and head.serial == value
        assert head.serial_hex == f"-{-value:x}"


def test_a_container_that_tells_another_length_is_caught_at_once() -> None:
    der = certificate()
    for lie in (len(der) - 1, len(der) + 1, 10):
        with pytest.raises(CardDataError):
            certificate_head(der[:100] if lie > 100 else der[:10], lie)


def test_inner_lengths_may_not_reach_beyond_what_holds_them() -> None:
    der = bytearray(certificate())
    issuer = der.index(bytes.fromhex("310b3009060355040613024742"))  # C=GB
    der[issuer + 1] += 1
    with pytest.raises(CardDataError):
        certificate_head(bytes(der), len(der))


def test_names_of_every_string_type_and_of_none() -> None:
    der = certificate(
        issuer=x509.Name(
            [
                x509.NameAttribute(x509.NameOID.COMMON_NAME, "Zoë 🙂", _type=_ASN1Type.UniversalString),
                x509.NameAttribute(x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\x01\x02", _type=_ASN1Type.BitString),
            ]
        )
    )
    head = certificate_head(der, len(der))
    assert head is not None
    assert head.issuer == (frozenset({("2.5.4.3", "Zoë 🙂")}), frozenset({("2.5.4.45", "#03020102")}))


def test_latin_letters_in_a_teletex_string() -> None:
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Zo3", _type=_ASN1Type.T61String)])
    der = certificate(issuer=named).replace(b"Zo3", b"Zo\xeb")
    head = certificate_head(der, len(der))
    assert head is not None and head.issuer == (frozenset({("2.5.4.3", "Zoë")}),)


@pytest.mark.parametrize(
    ("encoded", "moment"),
    [
        ("170d3439313233313233353935395a", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("170d3530303130313030303030305a", datetime(1950, 1, 1, tzinfo=UTC)),
        ("180f32303530303130313030303030305a", datetime(2050, 1, 1, tzinfo=UTC)),
        ("180f39393939313233313233353935395a", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times(encoded: str, moment: datetime) -> None:
    assert read_time(Der(bytes.fromhex(encoded)).take()) == moment


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x17\x0b2001010000Z",  # without seconds
        b"\x17\x0d200101000000+",
        b"\x17\x0d200230000000Z",
        b"\x17\x0d200101000060Z",
        b"\x17\x0d20010100 000Z",
        b"\x18\x1120500101000000.5Z",
        b"\x18\x0f00000101000000Z",
        b"\x16\x0d200101000000Z",
    ],
)
def test_what_is_no_time(encoded: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_time(Der(encoded).take())


@pytest.mark.parametrize("length", ["80", "8100", "817f", "820080", "8400000001", "ff"])
def test_lengths_that_are_not_der(length: str) -> None:
    with pytest.raises(ValueError, match="not DER"):
        Der(bytes.fromhex("04" + length) + bytes(300)).take()


def test_an_element_that_has_not_arrived() -> None:
    run = Der(b"\x04\x05ab", 0, 7)
    element = run.take()
    assert run.empty
    for read in (element.content, element.encoded, lambda: read_integer(element)):
        with pytest.raises(Truncated):
            read()


@given(st.lists(st.integers(0, 1 << 70), min_size=1, max_size=8), st.integers(0, 2), st.integers(0, 39))
def test_object_identifiers(arcs: list[int], top: int, second: int) -> None:
    dotted = ".".join(map(str, (top, second, *arcs)))
    body = b"".join(_base128(arc) for arc in (40 * top + second, *arcs))
    if len(body) < 128:
        assert read_oid(Der(bytes((6, len(body))) + body).take()) == dotted


def _base128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(0x80 | value & 0x7F)
    return bytes(reversed(octets))


@pytest.mark.parametrize("encoded", ["0600", "060280", "06032a8001", "06022a80"])
def test_what_is_no_object_identifier(encoded: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_oid(Der(bytes.fromhex(encoded)).take())


@pytest.mark.parametrize("bits", [1024, 2048, 3072])
def test_rsa_keys(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits).public_key()
    der = certificate(key)
    assert certificate_key(der) == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_kind(certificate_key(der)) == KeyKind("rsa", bits)
    assert certificate_algorithms(der) == ("1.2.840.10045.4.3.2", "1.2.840.113549.1.1.1")


@pytest.mark.parametrize(("curve", "bits"), [(ec.SECP256R1(), 256), (ec.SECP384R1(), 384), (ec.SECP256K1(), None)])
def test_ec_keys(curve: ec.EllipticCurve, bits: int | None) -> None:
    key = ec.generate_private_key(curve).public_key()
    kind = public_key_kind(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert kind == (bits and KeyKind("ec", bits))


def test_other_keys_and_broken_ones() -> None:
    spki = HOLDER_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_kind(spki.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0209"))) is None
    for broken in (b"", spki[:-1], b"\x30\x00"):
        with pytest.raises(CardDataError):
            public_key_kind(broken)
    for read in (certificate_key, certificate_names, certificate_algorithms):
        with pytest.raises(CardDataError):
            read(certificate()[:-1])
