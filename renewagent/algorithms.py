"""Algorithms by the names that certificates, rules and people use for them; an unknown one goes by its dotted OID.

Words only. Names of signature algorithms are those of the RFC that defines the OID.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SIGNATURE_ALGORITHMS: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.113549.1.1.2": "md2WithRSAEncryption",  # RFC 3279 2.2.1
        "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
        "1.3.14.3.2.29": "sha1WithRSAEncryption",  # the same by another OID, from the OSI Implementors' Workshop
        "1.2.840.113549.1.1.10": "id-RSASSA-PSS",  # RFC 4055 3.1
        "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",  # RFC 4055 5
        "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
        "1.2.840.10040.4.3": "id-dsa-with-sha1",  # RFC 3279 2.2.2
        "2.16.840.1.101.3.4.3.1": "id-dsa-with-sha224",  # RFC 5758 3.1
        "2.16.840.1.101.3.4.3.2": "id-dsa-with-sha256",
        "1.2.840.10045.4.1": "ecdsa-with-SHA1",  # RFC 3279 2.2.3
        "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",  # RFC 5758 3.2
        "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
        "1.3.101.112": "id-Ed25519",  # RFC 8410 3
        "1.3.101.113": "id-Ed448",
    }
)

KEY_ALGORITHMS: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.113549.1.1.1": "rsa",  # RFC 3279 2.3.1
        "1.2.840.113549.1.1.10": "rsa-pss",  # RFC 4055 1.2
        "1.2.840.10040.4.1": "dsa",  # RFC 3279 2.3.2
        "1.2.840.10045.2.1": "ec",  # RFC 5480 2.1.1
        "1.3.101.112": "ed25519",  # RFC 8410 3
        "1.3.101.113": "ed448",
    }
)

KEY_USAGES = (
    "digitalSignature",
    "contentCommitment",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
"""The names of RFC 5280 4.2.1.3, bit 0 first (contentCommitment was called nonRepudiation before)."""


def signature_algorithm(oid: str) -> str:
    """The RFC's name for a signature algorithm's dotted OID, or the OID itself."""
    return SIGNATURE_ALGORITHMS.get(oid, oid)


def key_algorithm(oid: str) -> str:
    """ "rsa", "ec", ... for a public key algorithm's dotted OID, or the OID itself."""
    return KEY_ALGORITHMS.get(oid, oid)
