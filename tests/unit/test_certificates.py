"""Certificates read whole: what rules ask about, also where cryptography refuses to look."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from renewagent.card.head import certificate_head
from renewagent.certificates import read_certificate
from renewagent.errors import CardDataError
from renewagent.names import format_name
from tests.fuzz.mutation import read
from tests.made import certificate, with_serial

RSA_KEY = rsa.generate_private_key(65537, 2048)


def test_what_a_certificate_says() -> None:
    der = certificate(RSA_KEY.public_key(), usage=("content_commitment", "digital_signature"), signer=RSA_KEY)
    found = read_certificate(der, "piv")
    assert found.head == certificate_head(der)
    assert format_name(found.subject) == "CN=Dr Ada Example,OU=People,O=nhs,C=GB"
    assert found.key_usage == frozenset({"contentCommitment", "digitalSignature"})
    assert (found.signature_algorithm, found.key_algorithm, found.key_bits) == ("sha256WithRSAEncryption", "rsa", 2048)
    assert (found.der, found.card_model, found.sha256) == (der, "piv", hashlib.sha256(der).hexdigest())


@pytest.mark.parametrize(
    ("key", "algorithm", "bits"),
    [
        (ec.generate_private_key(ec.SECP256R1()).public_key(), "ec", 256),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), "ec", 384),
        (rsa.generate_private_key(65537, 1024).public_key(), "rsa", 1024),  # noqa: S505
    ],
)
def test_kinds_of_key(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, algorithm: str, bits: int) -> None:
    found = read_certificate(certificate(key))
    assert (found.key_algorithm, found.key_bits) == (algorithm, bits)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        (hashes.SHA256(), "ecdsa-with-SHA256"),
        (hashes.SHA384(), "ecdsa-with-SHA384"),
        (hashes.SHA512(), "ecdsa-with-SHA512"),
    ],
)
def test_signature_algorithms_by_their_rfc_names(
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512, name: str
) -> None:
    assert read_certificate(certificate(hash_algorithm=algorithm)).signature_algorithm == name


def test_an_unknown_algorithm_is_its_oid() -> None:
    der = certificate().replace(bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d04037f"))
    assert read_certificate(der).signature_algorithm == "1.2.840.10045.4.3.127"


USAGES = [
    ("digital_signature", "digitalSignature"),
    ("content_commitment", "contentCommitment"),
    ("key_encipherment", "keyEncipherment"),
    ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"),
    ("key_cert_sign", "keyCertSign"),
    ("crl_sign", "cRLSign"),
]


@given(st.sets(st.sampled_from(USAGES), min_size=1))
def test_key_usages_by_their_rfc_names(usages: set[tuple[str, str]]) -> None:
    found = read_certificate(certificate(usage=[theirs for theirs, _ in usages]))
    assert found.key_usage == frozenset({ours for _, ours in usages})


@pytest.mark.parametrize(("theirs", "ours"), [("encipher_only", "encipherOnly"), ("decipher_only", "decipherOnly")])
def test_the_two_usages_that_go_with_key_agreement(theirs: str, ours: str) -> None:
    found = read_certificate(certificate(usage=("key_agreement", theirs)))
    assert found.key_usage == frozenset({"keyAgreement", ours})


def test_no_key_usage_is_not_the_same_as_an_empty_one() -> None:
    assert read_certificate(certificate(usage=None)).key_usage is None


@pytest.mark.parametrize("serial", [b"\xff\x01", b"\x80\x00"])
def test_a_negative_serial_is_read_like_any_other(serial: bytes) -> None:
    der = with_serial(certificate(serial=0x1A2B), b"\x1a\x2b", serial)
    found = read_certificate(der)
    assert found.head.serial == int.from_bytes(serial, "big", signed=True)
    assert found.key_usage == frozenset({"contentCommitment"})


@pytest.mark.parametrize(
    "refusal",
    [ValueError("no"), x509.InvalidVersion("no", 1), x509.DuplicateExtension("no", x509.ObjectIdentifier("1.2.3"))],
)
def test_what_cryptography_refuses_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    ders = [
        certificate(usage=("content_commitment", "key_agreement", "encipher_only")),
        certificate(RSA_KEY.public_key(), usage=None),
    ]
    expected = [read_certificate(der) for der in ders]

    def refuse(der: bytes) -> x509.Certificate:
        raise refusal

    monkeypatch.setattr(x509, "load_der_x509_certificate", refuse)
    assert [read_certificate(der) for der in ders] == expected


def test_a_key_that_cryptography_does_not_know_has_no_size() -> None:
    der = certificate().replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0209"))
    found = read_certificate(der)
    assert (found.key_algorithm, found.key_bits) == ("1.2.840.10045.2.9", 0)


def test_a_key_of_no_octets_has_no_size() -> None:
    """asn1crypto, which reads what cryptography refuses, stumbles over an empty BIT STRING."""
    elements = read(with_serial(certificate(RSA_KEY.public_key()), b"\x1a\x2b", b"\xff\x01"))
    assert elements is not None
    whole = elements[0]
    assert whole.parts is not None and whole.parts[0].parts is not None
    key = whole.parts[0].parts[6]
    assert key.parts is not None and key.parts[1].tag == b"\x03"
    key.parts[1].value = b""
    assert read_certificate(whole.encode()).key_bits == 0


@pytest.mark.parametrize("broken", [b"", b"\x30\x00", b"hello", certificate()[:-1], certificate() + b"\x00"])
def test_what_is_no_certificate(broken: bytes) -> None:
    with pytest.raises(CardDataError):
        read_certificate(broken)


@given(at=st.integers(0, 600), value=st.integers(0, 255))
def test_a_flipped_octet_never_ends_in_another_error(at: int, value: int) -> None:
    good = certificate(usage=("content_commitment",))
    bad = good[:at] + bytes((value,)) + good[at + 1 :]
    with contextlib.suppress(CardDataError):
        read_certificate(bad)
