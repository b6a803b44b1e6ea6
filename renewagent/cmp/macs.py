"""MAC protection by a shared secret: PasswordBasedMac (RFC 9810 5.1.3.1) and PBMAC1 (RFC 8018 A.5). Pure arithmetic."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp import codec, der
from renewagent.cmp.wire import Algorithm
from renewagent.language import _

PASSWORD_BASED_MAC = ObjectIdentifier("1.2.840.113533.7.66.13")
PBMAC1 = ObjectIdentifier("1.2.840.113549.1.5.14")
_PBKDF2 = ObjectIdentifier("1.2.840.113549.1.5.12")
_SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_HMAC_SHA256 = ObjectIdentifier("1.2.840.113549.2.9")
_HASHES = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_HMACS = {
    "1.3.6.1.5.5.8.1.2": "sha1",
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
_MOST_HASHES = 100_000
_MOST_PBKDF2 = 1_000_000
_LEAST = 100
_DEFAULT_PRF = Algorithm(ObjectIdentifier("1.2.840.113549.2.7"), der.NULL)  # RFC 8018 A.2


@asn1.sequence
class _PbmParameters:
    salt: bytes
    owf: list[asn1.TLV]
    iterations: int
    mac: list[asn1.TLV]


@asn1.sequence
class _Pbmac1Parameters:
    derivation: list[asn1.TLV]
    mac: list[asn1.TLV]


@asn1.sequence
class _Pbkdf2Parameters:
    salt: bytes
    iterations: int
    key_length: int | None
    prf: list[asn1.TLV] | None


def password_based_mac(salt: bytes, iterations: int = 10_000) -> Algorithm:
    """PasswordBasedMac with SHA-256 and HMAC-SHA256. `salt`: 16 random bytes."""
    node = _PbmParameters(
        salt=salt,
        owf=codec.algorithm_nodes(Algorithm(_SHA256)),
        iterations=iterations,
        mac=codec.algorithm_nodes(Algorithm(_HMAC_SHA256)),
    )
    return Algorithm(PASSWORD_BASED_MAC, asn1.encode_der(node))


def pbmac1(salt: bytes, iterations: int = 10_000) -> Algorithm:
    """PBMAC1 with PBKDF2 and HMAC-SHA256 throughout. `salt`: 16 random bytes."""
    hmac_sha256 = Algorithm(_HMAC_SHA256, der.NULL)
    derivation = _Pbkdf2Parameters(
        salt=salt, iterations=iterations, key_length=32, prf=codec.algorithm_nodes(hmac_sha256)
    )
    node = _Pbmac1Parameters(
        derivation=codec.algorithm_nodes(Algorithm(_PBKDF2, asn1.encode_der(derivation))),
        mac=codec.algorithm_nodes(hmac_sha256),
    )
    return Algorithm(PBMAC1, asn1.encode_der(node))


def is_mac(algorithm: Algorithm) -> bool:
    """Whether this is protection by a shared secret."""
    return algorithm.oid in (PASSWORD_BASED_MAC, PBMAC1)


def compute(algorithm: Algorithm, secret: bytes, data: bytes) -> bytes:
    """The MAC. Raises ValueError for an unknown algorithm, or one made to keep us busy."""
    if algorithm.oid == PASSWORD_BASED_MAC:
        return _password_based(algorithm.parameters or b"", secret, data)
    if algorithm.oid == PBMAC1:
        return _pbmac1(algorithm.parameters or b"", secret, data)
    raise ValueError(_("MAC algorithm {oid} is unknown").format(oid=algorithm.oid.dotted_string))


def verify(algorithm: Algorithm, secret: bytes, data: bytes, value: bytes) -> bool:
    """Whether the MAC is right, in constant time. Raises ValueError as `compute` does."""
    return hmac.compare_digest(compute(algorithm, secret, data), value)


def _password_based(parameters: bytes, secret: bytes, data: bytes) -> bytes:
    node = asn1.decode_der(_PbmParameters, parameters)
    owf = _named(_HASHES, codec.algorithm(node.owf))
    _bound(node.iterations, _MOST_HASHES)
    key = secret + node.salt
    for _round in range(node.iterations):
        key = hashlib.new(owf, key).digest()
    return hmac.digest(key, data, _named(_HMACS, codec.algorithm(node.mac)))


def _pbmac1(parameters: bytes, secret: bytes, data: bytes) -> bytes:
    node = asn1.decode_der(_Pbmac1Parameters, parameters)
    derivation = codec.algorithm(node.derivation)
    if derivation.oid != _PBKDF2:
        raise ValueError(_("PBMAC1 with a key derivation other than PBKDF2"))
    kdf = asn1.decode_der(_Pbkdf2Parameters, derivation.parameters or b"")
    _bound(kdf.iterations, _MOST_PBKDF2)
    prf = _named(_HMACS, _DEFAULT_PRF if kdf.prf is None else codec.algorithm(kdf.prf))
    mac = _named(_HMACS, codec.algorithm(node.mac))
    length = hashlib.new(mac).digest_size if kdf.key_length is None else kdf.key_length
    if not 16 <= length <= 64:
        raise ValueError(_("PBMAC1 with a key length out of bounds"))
    return hmac.digest(hashlib.pbkdf2_hmac(prf, secret, kdf.salt, kdf.iterations, length), data, mac)


def _named(names: dict[str, str], algorithm: Algorithm) -> str:
    if algorithm.parameters not in (None, der.NULL) or algorithm.oid.dotted_string not in names:
        raise ValueError(_("algorithm {oid} is not accepted in a MAC").format(oid=algorithm.oid.dotted_string))
    return names[algorithm.oid.dotted_string]


def _bound(iterations: int, most: int) -> None:
    if not _LEAST <= iterations <= most:
        raise ValueError(_("a MAC with {iterations} iterations").format(iterations=iterations))
