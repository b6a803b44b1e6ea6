"""What lies at the front of a certificate, read from its first octets: the resident agent's own reader.

It holds to RFC 5280 4.1 and stops at the validity; the key follows in `public_key_kind`, for cards that do not tell
what kind of key a slot holds. Judging what is read is `renewagent.rules`' business, reading a certificate in full
`renewagent.certificates`'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from renewagent.card.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OID,
    SEQUENCE,
    UTC_TIME,
    Der,
    Truncated,
    read_integer,
    read_name,
    read_oid,
    read_time,
)
from renewagent.errors import CardDataError
from renewagent.language import _
from renewagent.model import CertificateHead
from renewagent.names import Name

_VERSION = 0xA0
_RSA = "1.2.840.113549.1.1.1"
_EC = "1.2.840.10045.2.1"
_CURVE_BITS = {"1.2.840.10045.3.1.7": 256, "1.3.132.0.34": 384, "1.3.132.0.35": 521}


@dataclass(frozen=True, slots=True)
class KeyKind:
    """What kind of key: for "rsa" the modulus, for "ec" the curve of that many bits (NIST's)."""

    algorithm: Literal["rsa", "ec"]
    bits: int


def certificate_head(octets: bytes, total: int | None = None) -> CertificateHead | None:
    """Serial, issuer and dates of the certificate that begins with `octets`; None when more of it is needed.

    `total` is how long its container says the certificate is. Raises CardDataError when the octets cannot be the
    front of a certificate: a wrong tag, a length that lies, a time that is none.
    """
    try:
        return _read_head(_to_be_signed(octets, total))
    except Truncated:
        return None
    except ValueError as e:
        raise CardDataError(_("The certificate on the smartcard cannot be read: {why}.").format(why=e)) from e


def certificate_names(certificate: bytes) -> tuple[Name, Name]:
    """Issuer and subject of a whole certificate. Raises CardDataError."""
    try:
        tbs = _to_be_signed(certificate, len(certificate))
        head = _read_head(tbs)
        return head.issuer, read_name(tbs.take(SEQUENCE))
    except (Truncated, ValueError) as e:
        raise CardDataError(_("The certificate on the smartcard cannot be read.")) from e


def certificate_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) of a whole certificate. Raises CardDataError."""
    try:
        tbs = _to_be_signed(certificate, len(certificate))
        _read_head(tbs)
        tbs.take(SEQUENCE)
        return tbs.take(SEQUENCE).encoded()
    except (Truncated, ValueError) as e:
        raise CardDataError(_("The certificate on the smartcard cannot be read.")) from e


def certificate_algorithms(certificate: bytes) -> tuple[str, str]:
    """The dotted OIDs of a whole certificate's signature algorithm and of its key's. Raises CardDataError."""
    try:
        whole = Der(certificate).take(SEQUENCE)
        whole.take(SEQUENCE)
        signature = read_oid(whole.take(SEQUENCE).take(OID))
        key = Der(certificate_key(certificate)).take(SEQUENCE)
        return signature, read_oid(key.take(SEQUENCE).take(OID))
    except (Truncated, ValueError) as e:
        raise CardDataError(_("The certificate on the smartcard cannot be read.")) from e


def public_key_kind(public_key: bytes) -> KeyKind | None:
    """What a SubjectPublicKeyInfo (DER) holds; None for kinds that we do not know. Raises CardDataError."""
    try:
        return _read_key(Der(public_key).take(SEQUENCE))
    except (Truncated, ValueError) as e:
        raise CardDataError(_("The public key in the certificate on the smartcard cannot be read.")) from e


def _to_be_signed(octets: bytes, total: int | None) -> Der:
    end = _claimed(octets) if total is None else total
    if len(octets) > end:
        raise ValueError(_("it is longer than it should be"))
    whole = Der(octets, 0, end)
    certificate = whole.take(SEQUENCE)
    if total is not None:
        whole.finish()
    return certificate.take(SEQUENCE)


def _claimed(octets: bytes) -> int:
    return Der(octets, 0, 1 << 24).take(SEQUENCE).end


def _read_head(tbs: Der) -> CertificateHead:
    if tbs.peek() == _VERSION:
        tbs.take(_VERSION)
    serial = read_integer(tbs.take(INTEGER))
    tbs.take(SEQUENCE)
    issuer = read_name(tbs.take(SEQUENCE))
    validity = tbs.take(SEQUENCE)
    not_before = read_time(validity.take(UTC_TIME, GENERALIZED_TIME))
    not_after = read_time(validity.take(UTC_TIME, GENERALIZED_TIME))
    validity.finish()
    return CertificateHead(serial, issuer, not_before, not_after)


def _read_key(key: Der) -> KeyKind | None:
    algorithm = key.take(SEQUENCE)
    kind = read_oid(algorithm.take(OID))
    bits = key.take(BIT_STRING).content()
    if kind == _RSA:
        modulus = read_integer(Der(bits, 1).take(SEQUENCE).take(INTEGER))
        return KeyKind("rsa", modulus.bit_length())
    if kind == _EC and algorithm.peek() == OID:
        size = _CURVE_BITS.get(read_oid(algorithm.take(OID)))
        return KeyKind("ec", size) if size else None
    return None
