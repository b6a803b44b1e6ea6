"""Shared-secret protection as the responder checks and makes it: PasswordBasedMac (RFC 9810 5.1.3.1) and PBMAC1
(RFC 9481 6.1.2). Its own reading of the standards: nothing here comes from the client.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp import codec
from renewagent.cmp.responder_words import Refusal
from renewagent.cmp.wire import Algorithm

PASSWORD_BASED_MAC = ObjectIdentifier("1.2.840.113533.7.66.13")
PBMAC1 = ObjectIdentifier("1.2.840.113549.1.5.14")
_PBKDF2 = ObjectIdentifier("1.2.840.113549.1.5.12")
_MOST_ITERATIONS = 100_000  # whoever asks is not known yet, and must not be able to keep us busy

_HASHES = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_MACS = {
    "1.3.6.1.5.5.8.1.2": "sha1",  # RFC 4210's own name for HMAC-SHA1
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.8": "sha224",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}


@asn1.sequence
class _Pbm:
    salt: bytes
    owf: list[asn1.TLV]
    iterations: int
    mac: list[asn1.TLV]


@asn1.sequence
class _Pbkdf2:
    salt: bytes
    iterations: int
    key_length: int | None
    prf: list[asn1.TLV] | None


@asn1.sequence
class _KeyDerivation:
    oid: x509.ObjectIdentifier
    parameters: _Pbkdf2


@asn1.sequence
class _Pbmac1:
    derivation: _KeyDerivation
    mac: list[asn1.TLV]


@dataclass(frozen=True, slots=True)
class MacScheme:
    """One way to make a MAC key out of a secret, and the MAC's hash."""

    algorithm: Algorithm
    key: bytes
    digest: str

    def tag(self, protected: bytes) -> bytes:
        """The protection of these bytes."""
        return hmac.new(self.key, protected, self.digest).digest()


def is_mac(algorithm: Algorithm) -> bool:
    """Whether a protectionAlg is one of the two."""
    return algorithm.oid in (PASSWORD_BASED_MAC, PBMAC1)


def mac_scheme(algorithm: Algorithm, secret: bytes) -> MacScheme:
    """The scheme that a protectionAlg names. Raises Refusal(badAlg) for parameters we do not take."""
    try:
        if algorithm.oid == PASSWORD_BASED_MAC:
            return _password_based(algorithm, secret)
        return _pbmac1(algorithm, secret)
    except (ValueError, KeyError) as problem:
        raise Refusal("the parameters of the MAC are not supported", "badAlg") from problem


def _password_based(algorithm: Algorithm, secret: bytes) -> MacScheme:
    parameters = asn1.decode_der(_Pbm, algorithm.parameters or b"")
    digest = _HASHES[_name(parameters.owf)]
    key = secret + parameters.salt
    for _ in range(_bounded(parameters.iterations)):
        key = hashlib.new(digest, key).digest()
    return MacScheme(algorithm, key, _MACS[_name(parameters.mac)])


def _pbmac1(algorithm: Algorithm, secret: bytes) -> MacScheme:
    parameters = asn1.decode_der(_Pbmac1, algorithm.parameters or b"")
    if parameters.derivation.oid != _PBKDF2:
        raise ValueError("a key derivation other than PBKDF2")
    kdf = parameters.derivation.parameters
    digest = _MACS[_name(parameters.mac)]
    prf = "sha1" if kdf.prf is None else _MACS[_name(kdf.prf)]
    length = kdf.key_length or hashlib.new(digest).digest_size
    if not 16 <= length <= 128:
        raise ValueError("an unreasonable key length")
    key = hashlib.pbkdf2_hmac(prf, secret, kdf.salt, _bounded(kdf.iterations), length)
    return MacScheme(algorithm, key, digest)


def _name(nodes: list[asn1.TLV]) -> str:
    return codec.algorithm(nodes).oid.dotted_string


def _bounded(iterations: int) -> int:
    if not 1 <= iterations <= _MOST_ITERATIONS:
        raise ValueError("an unreasonable iteration count")
    return iterations
