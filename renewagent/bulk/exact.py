"""One certificate as `cryptography` reads it, and as far as it can be read where `cryptography` refuses it. Pure.

`cryptography` accepts a certificate here if it loads it and gives its serial number, issuer, dates, extensions,
signature algorithm and public key. If anything of that fails, the certificate is refused, whatever the rest is like.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from renewagent.algorithms import key_algorithm, signature_algorithm
from renewagent.card.der import SEQUENCE as _SEQUENCE
from renewagent.card.der import Der, Truncated, read_name
from renewagent.card.head import certificate_head
from renewagent.certificates import read_certificate, stated_key_usage
from renewagent.errors import CardDataError
from renewagent.model import CertificateHead, SigningCertificate
from renewagent.names import Name, format_name

_SIZED = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, dsa.DSAPublicKey)
_PLACES = (
    ("not_before", "the date it was issued"),
    ("not_after", "the date it ends"),
    ("validity", "its dates"),
    ("serial", "its serial number"),
    ("issuer", "the name of its issuer"),
    ("subject_unique_id", "an identifier in it"),
    ("subject", "the name of its holder"),
    ("spki", "its public key"),
    ("raw_extensions", "its extensions"),
    ("signature_alg", "its signature algorithm"),
    ("Certificate::signature", "its signature"),
    ("version", "its version"),
)
_SAID: Mapping[type[Exception], str] = MappingProxyType(
    {
        UnsupportedAlgorithm: "Its public key is of a kind that cannot be read.",
        x509.DuplicateExtension: "It has the same extension twice.",
        x509.InvalidVersion: "Its version number is none that there is.",
    }
)
_KIND = re.compile(r"kind: (\w+)")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A certificate with the values that `cryptography` gives, and its issuer in RFC 4514 as that writes it."""

    certificate: SigningCertificate
    issuer: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Octets that `cryptography` refuses, with why in a sentence; what lies at their front, if that can be read; and
    the whole, if a more lenient reader makes sense of it."""

    why: str
    head: CertificateHead | None = None
    issuer: str = ""
    certificate: SigningCertificate | None = None


def read_exactly(der: bytes) -> Accepted | Refused:
    """What `cryptography` says of `der`, at once and in full."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it deprecates today it still accepts
            return _accepted(x509.load_der_x509_certificate(der), der)
    except Exception as problem:  # anything that it raises is a refusal; its documents name no full list
        claimed = _claimed(der)
        return _left(der if claimed is None else der[:claimed], _why(der, claimed, problem))


def read_remains(octets: bytes, why: str) -> Refused:
    """What can be read of octets that are known to be damaged, as `why` says."""
    claimed = _claimed(octets)
    return _left(octets if claimed is None else octets[:claimed], why)


def _accepted(certificate: x509.Certificate, der: bytes) -> Accepted:
    issuer, name = _told(certificate.issuer)
    usage = stated_key_usage(certificate)
    key = certificate.public_key()
    head = CertificateHead(
        certificate.serial_number,
        name,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    whole = SigningCertificate(
        head=head,
        subject=(),  # no rule asks for it
        key_usage=usage,
        signature_algorithm=signature_algorithm(certificate.signature_algorithm_oid.dotted_string),
        key_algorithm=key_algorithm(certificate.public_key_algorithm_oid.dotted_string),
        key_bits=key.key_size if isinstance(key, _SIZED) else 0,
        der=der,
    )
    return Accepted(whole, issuer)


@lru_cache(maxsize=4096)
def _told(issuer: x509.Name) -> tuple[str, Name]:
    """RFC 4514 as `cryptography` writes it; and the name as a card's reader gives it, or else as that does."""
    try:
        name = read_name(Der(issuer.public_bytes()).take(_SEQUENCE))
    except (ValueError, Truncated):
        name = tuple(frozenset((one.oid.dotted_string, _text(one.value)) for one in rdn) for rdn in issuer.rdns)
    return issuer.rfc4514_string(), name


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else f"#{value.hex()}"


def _left(octets: bytes, why: str) -> Refused:
    try:
        head = certificate_head(octets)
    except (CardDataError, OverflowError):
        head = None
    if head is None:
        return Refused(why)
    try:
        certificate = read_certificate(octets)
    except Exception:  # asn1crypto is as free with exceptions; then the head alone is known
        certificate = None
    return Refused(why, head, format_name(head.issuer), certificate)


def _claimed(der: bytes) -> int | None:
    """How long the octets say that they are, or None if they do not begin as a certificate does."""
    if len(der) < 2 or der[0] != _SEQUENCE or der[1] == 0x80:
        return None
    if der[1] < 0x80:
        return 2 + der[1]
    count = der[1] & 0x7F
    return 2 + count + int.from_bytes(der[2 : 2 + count], "big") if 2 + count <= len(der) else None


def _why(der: bytes, claimed: int | None, problem: Exception) -> str:
    if not der:
        return "There is no certificate here."
    if claimed is None:
        return "This is not a certificate: it does not begin as one."
    if claimed > len(der):
        return f"It is cut short: it should be {claimed:,} bytes long, and {len(der):,} are there."
    if claimed < len(der):
        return f"{len(der) - claimed:,} bytes follow where the certificate should end."
    return _SAID.get(type(problem)) or _place(str(problem))


def _place(said: str) -> str:
    """Where it makes no sense, from what `cryptography` says."""
    kind = _KIND.search(said)
    if kind is None:
        return "Its public key or one of its extensions makes no sense."
    place = next((place for word, place in _PLACES if word in said), "some place inside")
    return f"It makes no sense at {place} ({kind.group(1)})."
