"""Signature algorithms of CMP messages and proofs of possession: identifiers, signing, verifying. Pure arithmetic;
which certificate may sign what is for each end to judge.

RSA's parameters are accepted both absent and NULL (openssl's test server leaves them out). SHA-1 is not accepted.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import SignatureAlgorithmOID as Signature

from renewagent.cmp import codec, der
from renewagent.cmp.wire import Algorithm
from renewagent.language import _

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
PublicKey = PublicKeyTypes | CertificatePublicKeyTypes

RSA_WITH: dict[ObjectIdentifier, hashes.HashAlgorithm] = {
    Signature.RSA_WITH_SHA256: hashes.SHA256(),
    Signature.RSA_WITH_SHA384: hashes.SHA384(),
    Signature.RSA_WITH_SHA512: hashes.SHA512(),
}
ECDSA_WITH: dict[ObjectIdentifier, hashes.HashAlgorithm] = {
    Signature.ECDSA_WITH_SHA256: hashes.SHA256(),
    Signature.ECDSA_WITH_SHA384: hashes.SHA384(),
    Signature.ECDSA_WITH_SHA512: hashes.SHA512(),
}
_MGF1 = ObjectIdentifier("1.2.840.113549.1.1.8")
_SHA2: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}


@asn1.sequence
class _PssParameters:
    hash: Annotated[list[asn1.TLV] | None, asn1.Explicit(0)]
    mask: Annotated[list[asn1.TLV] | None, asn1.Explicit(1)]
    salt_length: Annotated[int, asn1.Explicit(2), asn1.Default(20)]
    trailer: Annotated[int, asn1.Explicit(3), asn1.Default(1)]


def algorithm_for(key: PrivateKey) -> Algorithm:
    """The algorithm that this key's own size asks for. Raises ValueError for a kind of key that cannot sign."""
    if isinstance(key, rsa.RSAPrivateKey):
        return Algorithm(Signature.RSA_WITH_SHA256, der.NULL)  # RFC 8017 A.2.4
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = key.curve.key_size
        return Algorithm(
            Signature.ECDSA_WITH_SHA256
            if size <= 256
            else Signature.ECDSA_WITH_SHA384
            if size <= 384
            else Signature.ECDSA_WITH_SHA512
        )
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Algorithm(Signature.ED25519)
    if isinstance(key, ed448.Ed448PrivateKey):
        return Algorithm(Signature.ED448)
    raise ValueError(_("a kind of key that cannot sign CMP messages"))


def sign(key: PrivateKey, algorithm: Algorithm, data: bytes) -> bytes:
    """Sign `data` as `algorithm_for(key)` said. A card's key answers with whatever the card's errors are."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), RSA_WITH[algorithm.oid])
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(ECDSA_WITH[algorithm.oid]))
    return key.sign(data)


def verify(key: PublicKey, algorithm: Algorithm, data: bytes, signature: bytes) -> bool:
    """Whether the signature is right. Raises ValueError for an algorithm that is unknown or does not fit the key."""
    try:
        _verify(key, algorithm, data, signature)
    except InvalidSignature:
        return False
    return True


def _verify(key: PublicKey, algorithm: Algorithm, data: bytes, signature: bytes) -> None:
    oid = algorithm.oid
    if isinstance(key, rsa.RSAPublicKey) and oid in RSA_WITH and algorithm.parameters in (None, der.NULL):
        key.verify(signature, data, padding.PKCS1v15(), RSA_WITH[oid])
    elif isinstance(key, rsa.RSAPublicKey) and oid == Signature.RSASSA_PSS:
        pss, digest = _pss(algorithm.parameters)
        key.verify(signature, data, pss, digest)
    elif isinstance(key, ec.EllipticCurvePublicKey) and oid in ECDSA_WITH and algorithm.parameters is None:
        key.verify(signature, data, ec.ECDSA(ECDSA_WITH[oid]))
    elif isinstance(key, ed25519.Ed25519PublicKey) and oid == Signature.ED25519 and algorithm.parameters is None:
        key.verify(signature, data)
    elif isinstance(key, ed448.Ed448PublicKey) and oid == Signature.ED448 and algorithm.parameters is None:
        key.verify(signature, data)
    else:
        raise ValueError(
            _("signature algorithm {oid} is unknown or does not fit the key").format(oid=oid.dotted_string)
        )


def _pss(parameters: bytes | None) -> tuple[padding.PSS, hashes.HashAlgorithm]:
    node = asn1.decode_der(_PssParameters, parameters or b"\x30\x00")
    if node.hash is None or node.mask is None or node.trailer != 1:
        raise ValueError(_("RSASSA-PSS with SHA-1 is not accepted"))
    digest, mask = _digest(codec.algorithm(node.hash)), codec.algorithm(node.mask)
    if mask.oid != _MGF1 or mask.parameters is None:
        raise ValueError(_("RSASSA-PSS with an unknown mask function"))
    mask_digest = _digest(codec.read_algorithm(mask.parameters))
    return padding.PSS(padding.MGF1(mask_digest), node.salt_length), digest


def _digest(algorithm: Algorithm) -> hashes.HashAlgorithm:
    digest = _SHA2.get(algorithm.oid.dotted_string)
    if digest is None:
        raise ValueError(_("hash {oid} is not accepted").format(oid=algorithm.oid.dotted_string))
    return digest
