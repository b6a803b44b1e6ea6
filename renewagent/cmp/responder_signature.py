"""Signature protection as the responder checks and makes it, and the keys it takes. Its own reading of RFC 9481."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp.responder_words import Refusal
from renewagent.cmp.wire import Algorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

_NULL = b"\x05\x00"
_RSA = "1.2.840.113549.1.1."
_ECDSA = "1.2.840.10045.4.3."
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    _RSA + "11": hashes.SHA256(),
    _RSA + "12": hashes.SHA384(),
    _RSA + "13": hashes.SHA512(),
}
_ECDSA_WITH: dict[str, ec.ECDSA] = {
    _ECDSA + "2": ec.ECDSA(hashes.SHA256()),
    _ECDSA + "3": ec.ECDSA(hashes.SHA384()),
    _ECDSA + "4": ec.ECDSA(hashes.SHA512()),
}
_ED25519, _ED448 = "1.3.101.112", "1.3.101.113"
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def algorithm_known(algorithm: Algorithm) -> bool:
    """Whether we take this signature algorithm, with these parameters."""
    name, parameters = algorithm.oid.dotted_string, algorithm.parameters
    if name in _RSA_HASHES:
        return parameters in (None, _NULL)  # openssl leaves the NULL out
    return parameters is None and (name in _ECDSA_WITH or name in (_ED25519, _ED448))


def signature_fits(algorithm: Algorithm, key: object, signature: bytes, signed: bytes) -> bool:
    """Whether a signature by a known algorithm verifies; False also where the algorithm is not one for this key."""
    name = algorithm.oid.dotted_string
    try:
        if name in _RSA_HASHES and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), _RSA_HASHES[name])
        elif name in _ECDSA_WITH and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, _ECDSA_WITH[name])
        elif isinstance(key, ed25519.Ed25519PublicKey) and name == _ED25519:
            key.verify(signature, signed)
        elif isinstance(key, ed448.Ed448PublicKey) and name == _ED448:
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True


def acceptable_key(public_key: bytes) -> PublicKey:
    """The key of a request. Raises Refusal(badCertTemplate) for one that we would not certify."""
    try:
        key: Any = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm, TypeError) as problem:
        raise Refusal("the public key cannot be read", "badCertTemplate") from problem
    if isinstance(key, rsa.RSAPublicKey):
        _refuse_weak_rsa(key)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise Refusal(f"the curve {key.curve.name} is not certified here", "badCertTemplate")
    elif not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        raise Refusal("a key of this algorithm is not certified here", "badCertTemplate")
    return cast(PublicKey, key)


def _refuse_weak_rsa(key: rsa.RSAPublicKey) -> None:
    # The upper bound keeps a request from making us verify with a monstrous modulus.
    if not 2048 <= key.key_size <= 8192 or key.public_numbers().e < 65537:
        raise Refusal("an RSA key has 2048 to 8192 bits and an exponent of at least 65537", "badCertTemplate")


def may_sign_messages(certificate: x509.Certificate) -> bool:
    """RFC 9483 3.2: where there is a keyUsage, it has digitalSignature."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.digital_signature


@dataclass(frozen=True, slots=True)
class MessageSigner:
    """The RA's own key, with its certificate and the chain that goes with every answer."""

    key: PrivateKey
    certificate: bytes
    chain: tuple[bytes, ...]
    name: bytes
    key_identifier: bytes
    algorithm: Algorithm
    """The protectionAlg of its signatures."""

    def sign(self, protected: bytes) -> bytes:
        """A signature over ProtectedPart."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(protected, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(protected, _ECDSA_WITH[_ECDSA + "2"])


def load_signer(key: object, certificates: tuple[bytes, ...]) -> MessageSigner:
    """The RA's signer from its private key and its chain, own certificate first."""
    own = x509.load_der_x509_certificate(certificates[0])
    identifier = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("an RA signs with RSA or ECDSA")
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = Algorithm(ObjectIdentifier(_RSA + "11"), _NULL)
    else:
        algorithm = Algorithm(ObjectIdentifier(_ECDSA + "2"))
    return MessageSigner(key, certificates[0], certificates[1:], own.subject.public_bytes(), identifier, algorithm)
