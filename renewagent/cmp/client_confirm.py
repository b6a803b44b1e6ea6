"""The CertStatus of a certConf: which hash names the certificate, and what accepts or rejects it. Pure."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import SignatureAlgorithmOID

from renewagent.cmp.wire import Algorithm, CertStatus, PkiStatus, StatusInfo

_SHA256 = Algorithm(x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1"))
_OWN_HASH: dict[x509.ObjectIdentifier, hashes.HashAlgorithm] = {
    SignatureAlgorithmOID.ED25519: hashes.SHA512(),  # RFC 9481 3.3
    SignatureAlgorithmOID.ED448: hashes.SHAKE256(64),
}


def cert_status(certificate: bytes, *, accept: bool, reason: str) -> tuple[CertStatus, int]:
    """CertStatus for certReqId 0, and the pvno that it needs: 3 where hashAlg must name the hash (RFC 9810 5.3.18)."""
    algorithm = _hash_of(certificate)
    digest = hashes.Hash(algorithm or hashes.SHA256())
    digest.update(certificate)
    status = None if accept else _rejection(reason)
    return CertStatus(digest.finalize(), 0, status, None if algorithm else _SHA256), 2 if algorithm else 3


def _rejection(reason: str) -> StatusInfo:
    text = (reason,) if reason else ()
    return StatusInfo(PkiStatus.REJECTION, text, frozenset({"incorrectData"}))


def _hash_of(certificate: bytes) -> hashes.HashAlgorithm | None:
    try:
        found = x509.load_der_x509_certificate(certificate)
        return _OWN_HASH.get(found.signature_algorithm_oid) or found.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None  # what cannot be read can still be rejected
