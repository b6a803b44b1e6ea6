"""Card keys in the hands of cryptography's builders: what comes out verifies, and only what is meant comes out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from renewagent.card.key import card_key
from renewagent.model import Slot
from tests.made import HOLDER, ISSUER, certificate

KEYS: list[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = [
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
]
HASHES = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
BY_NAME = {algorithm.name: algorithm for algorithm in HASHES}


class SoftSession:
    """A signing session whose card is a key in memory."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.asked: list[tuple[Slot, bytes, str]] = []

    def sign(self, slot: Slot, data: bytes, hash_name: str) -> bytes:
        assert type(data) is bytes
        self.asked.append((slot, data, hash_name))
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), BY_NAME[hash_name])
        return self._key.sign(data, ec.ECDSA(BY_NAME[hash_name]))


@pytest.fixture(params=KEYS, ids=["rsa2048", "p256", "p384"])
def session(request: pytest.FixtureRequest) -> SoftSession:
    return SoftSession(request.param)


@pytest.fixture
def key(session: SoftSession) -> Any:
    return card_key(session, Slot("9c"), session._key.public_key())


def verify(key: Any, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), algorithm)
    else:
        key.verify(signature, data, ec.ECDSA(algorithm))


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda a: a.name)
def test_a_certificate_request(key: Any, session: SoftSession, algorithm: Any) -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(HOLDER).sign(key, algorithm)
    assert request.is_signature_valid
    assert session.asked == [(Slot("9c"), request.tbs_certrequest_bytes, algorithm.name)]


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda a: a.name)
def test_cms_signed_data(key: Any, session: SoftSession, algorithm: Any) -> None:
    signer = x509.load_der_x509_certificate(certificate(key.public_key()))
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"statement").add_signer(signer, key, algorithm)
    signed = cms.ContentInfo.load(builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary]))["content"]
    info = signed["signer_infos"][0]
    assert signed["encap_content_info"]["content"].native == b"statement"
    assert info["signature"].native and len(session.asked) == 1
    verify(key.public_key(), info["signature"].native, info["signed_attrs"].untag().dump(), algorithm)


def test_a_certificate(key: Any) -> None:
    issuer = x509.load_der_x509_certificate(certificate(key.public_key(), subject=ISSUER))
    issued = x509.load_der_x509_certificate(certificate(issuer=ISSUER, signer=key))
    issued.verify_directly_issued_by(issuer)


def test_it_looks_like_the_key_that_it_is(key: Any, session: SoftSession) -> None:
    assert key.public_key() == session._key.public_key()
    assert key.key_size == session._key.key_size
    if isinstance(session._key, ec.EllipticCurvePrivateKey):
        assert isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == session._key.curve.name
    else:
        assert isinstance(key, rsa.RSAPrivateKey)
    assert copy.copy(key) is key and copy.deepcopy(key) is key


RSA_REFUSALS: list[Callable[[Any], object]] = [
    lambda k: k.sign(b"x", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    lambda k: k.sign(b"x", padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303
    lambda k: k.sign(b"x", padding.PKCS1v15(), hashes.SHA224()),
    lambda k: k.sign(bytes(32), padding.PKCS1v15(), Prehashed(hashes.SHA256())),
    lambda k: k.sign(b"x", padding.PKCS1v15(), None),
    lambda k: k.decrypt(b"x", padding.PKCS1v15()),
]
EC_REFUSALS: list[Callable[[Any], object]] = [
    lambda k: k.sign(b"x", ec.ECDSA(hashes.SHA1())),  # noqa: S303
    lambda k: k.sign(bytes(32), ec.ECDSA(Prehashed(hashes.SHA256()))),
    lambda k: k.sign(b"x", ec.ECDSA(hashes.SHA256(), deterministic_signing=True)),
    lambda k: k.exchange(ec.ECDH(), KEYS[1].public_key()),
]
REFUSALS: list[Callable[[Any], object]] = [
    lambda k: k.private_numbers(),
    lambda k: k.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
]


def test_everything_else_is_refused_before_the_card_is_asked(key: Any, session: SoftSession) -> None:
    for refusal in REFUSALS + (RSA_REFUSALS if isinstance(key, rsa.RSAPrivateKey) else EC_REFUSALS):
        with pytest.raises(UnsupportedAlgorithm):
            refusal(key)
    assert session.asked == []
