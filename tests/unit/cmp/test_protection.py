"""Signatures and MACs, with what other people's programs and the RFCs say of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import SignatureAlgorithmOID as Signature

from renewagent.cmp import codec, der, macs, signatures
from renewagent.cmp.wire import Algorithm

RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, tuple[Callable[[], signatures.PrivateKey], ObjectIdentifier]] = {
    "RSA": (lambda: RSA, Signature.RSA_WITH_SHA256),
    "P-256": (lambda: ec.generate_private_key(ec.SECP256R1()), Signature.ECDSA_WITH_SHA256),
    "P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), Signature.ECDSA_WITH_SHA384),
    "P-521": (lambda: ec.generate_private_key(ec.SECP521R1()), Signature.ECDSA_WITH_SHA512),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate, Signature.ED25519),
    "Ed448": (ed448.Ed448PrivateKey.generate, Signature.ED448),
}
DATA = b"header and body"


@pytest.mark.parametrize("kind", KEYS)
def test_signing_and_verifying(kind: str) -> None:
    make, oid = KEYS[kind]
    key = make()
    algorithm = signatures.algorithm_for(key)
    assert algorithm.oid == oid
    signature = signatures.sign(key, algorithm, DATA)
    assert signatures.verify(key.public_key(), algorithm, DATA, signature)
    assert not signatures.verify(key.public_key(), algorithm, DATA + b"!", signature)
    assert not signatures.verify(key.public_key(), algorithm, DATA, signature[:-1])


@pytest.mark.parametrize("parameters", [None, der.NULL])
@pytest.mark.parametrize("oid", signatures.RSA_WITH)
def test_rsa_with_and_without_parameters(oid: ObjectIdentifier, parameters: bytes | None) -> None:
    signature = RSA.sign(DATA, padding.PKCS1v15(), signatures.RSA_WITH[oid])
    assert signatures.verify(RSA.public_key(), Algorithm(oid, parameters), DATA, signature)


@pytest.mark.parametrize(
    ("oid", "parameters"),
    [
        (Signature.RSA_WITH_SHA1, None),
        (Signature.RSA_WITH_SHA256, b"\x30\x00"),
        (Signature.ECDSA_WITH_SHA256, None),
        (Signature.ED25519, None),
        (Signature.RSASSA_PSS, None),
        (ObjectIdentifier("1.2.3"), None),
    ],
)
def test_algorithms_that_are_not_for_this_key(oid: ObjectIdentifier, parameters: bytes | None) -> None:
    with pytest.raises(ValueError):
        signatures.verify(RSA.public_key(), Algorithm(oid, parameters), DATA, b"x" * 256)


def pss_parameters(digest: str, mask: str, salt: int) -> bytes:
    def identifier(oid: str, parameters: bytes | None) -> bytes:
        return codec.encode_algorithm(Algorithm(ObjectIdentifier(oid), parameters))

    return der.sequence(
        (
            der.tlv(0xA0, identifier(digest, der.NULL)),
            der.tlv(0xA1, identifier("1.2.840.113549.1.1.8", identifier(mask, der.NULL))),
            der.tlv(0xA2, bytes((2, 1, salt))),
        )
    )


def test_pss_is_verified() -> None:
    sha256, sha384 = "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2"
    signature = RSA.sign(DATA, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    right = Algorithm(Signature.RSASSA_PSS, pss_parameters(sha256, sha256, 32))
    assert signatures.verify(RSA.public_key(), right, DATA, signature)
    for other in ((sha384, sha256, 32), (sha256, sha384, 32), (sha256, sha256, 21)):
        wrong = Algorithm(Signature.RSASSA_PSS, pss_parameters(*other))
        assert not signatures.verify(RSA.public_key(), wrong, DATA, signature)
    default = Algorithm(Signature.RSASSA_PSS, pss_parameters(sha256, sha256, 20))  # in DER a DEFAULT is left out
    with pytest.raises(ValueError):
        signatures.verify(RSA.public_key(), default, DATA, signature)


def pbm(owf: str, iterations: int, mac: str, salt: bytes = b"salt") -> Algorithm:
    def identifier(oid: str) -> bytes:
        return codec.encode_algorithm(Algorithm(ObjectIdentifier(oid)))

    count = bytes.fromhex(f"{iterations:08x}")
    parts = (der.tlv(4, salt), identifier(owf), der.tlv(2, count.lstrip(b"\0") or b"\0"), identifier(mac))
    return Algorithm(macs.PASSWORD_BASED_MAC, der.sequence(parts))


@pytest.mark.parametrize("owf", [("1.3.14.3.2.26", "sha1"), ("2.16.840.1.101.3.4.2.1", "sha256")])
@pytest.mark.parametrize("mac", [("1.3.6.1.5.5.8.1.2", "sha1"), ("1.2.840.113549.2.9", "sha256")])
def test_password_based_mac(owf: tuple[str, str], mac: tuple[str, str]) -> None:
    key = b"secretsalt"
    for _ in range(500):
        key = hashlib.new(owf[1], key).digest()
    wanted = hmac.digest(key, DATA, mac[1])
    algorithm = pbm(owf[0], 500, mac[0])
    assert macs.compute(algorithm, b"secret", DATA) == wanted
    assert macs.verify(algorithm, b"secret", DATA, wanted)
    assert not macs.verify(algorithm, b"Secret", DATA, wanted)
    assert not macs.verify(algorithm, b"secret", DATA, wanted[:-1])


def test_pbmac1() -> None:
    algorithm = macs.pbmac1(b"salt", 1000)
    wanted = hmac.digest(hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 1000, 32), DATA, "sha256")
    assert macs.verify(algorithm, b"secret", DATA, wanted)
    assert not macs.verify(algorithm, b"other", DATA, wanted)


def test_our_own_password_based_mac() -> None:
    algorithm = macs.password_based_mac(b"0" * 16)
    assert macs.is_mac(algorithm) and not macs.is_mac(signatures.algorithm_for(RSA))
    assert macs.verify(algorithm, b"s", DATA, macs.compute(algorithm, b"s", DATA))


SHA256, HMAC = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.2.9"


@pytest.mark.parametrize(
    "algorithm",
    [
        pbm(SHA256, 100_001, HMAC),
        pbm(SHA256, 0x7FFFFFFF, HMAC),
        pbm(SHA256, 1, HMAC),
        pbm("1.2.3", 500, HMAC),
        pbm(SHA256, 500, "1.2.3"),
        Algorithm(macs.PASSWORD_BASED_MAC),
        Algorithm(macs.PBMAC1),
        macs.pbmac1(b"salt", 1_000_001),
        Algorithm(ObjectIdentifier("1.2.3")),
        Algorithm(macs.PBMAC1, der.sequence((codec.encode_algorithm(Algorithm(ObjectIdentifier("1.2.3"))),) * 2)),
    ],
)
def test_macs_that_are_unknown_or_made_to_keep_us_busy(algorithm: Algorithm) -> None:
    with pytest.raises(ValueError):
        macs.compute(algorithm, b"secret", DATA)
