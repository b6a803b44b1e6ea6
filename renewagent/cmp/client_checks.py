"""What the client checks in an answer: who protected it, and whether the certificate in it is the one asked for.

The RA's own checks (`cmp.responder*`) share nothing with these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.chains import build_chain
from renewagent.cmp import codec, macs, signatures
from renewagent.cmp.client_words import CLOCK_TOLERANCE, misbehaved
from renewagent.cmp.wire import Message, Oid
from renewagent.language import _
from renewagent.loading import UNREADABLE, load_certificate
from renewagent.names import Name, same_name

MOST_EXTRA_CERTS = 32
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

Authorisation = Callable[[x509.Certificate, Sequence[x509.Certificate]], bool]
"""May the holder of this certificate (with its chain up to an anchor) speak for the RA?"""


def ra_or_ca(signer: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """The default: extended key usage id-kp-cmcRA or id-kp-cmcCA (RFC 9810 4.5), or a CA of the hierarchy itself, which
    could certify itself an RA. A prescriber's certificate under the same root does not do."""
    usage = _extension(signer, x509.ExtendedKeyUsage)
    if usage is not None and any(oid in usage for oid in (Oid.CMC_RA, Oid.CMC_CA)):
        return True
    return is_authority(signer)


def anyone_under_the_anchors(signer: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
    """For an RA that has an anchor of its own, and a certificate without extended key usage."""
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """basicConstraints says CA."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def may_protect(certificate: x509.Certificate) -> bool:
    """digitalSignature is required of a certificate that has a keyUsage (RFC 9483 3.5)."""
    usage = _extension(certificate, x509.KeyUsage)
    return usage is None or usage.digital_signature


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the client believes: `anchors`, and `authorised`, which says who under them may speak for the RA."""

    anchors: tuple[x509.Certificate, ...]
    authorised: Authorisation = ra_or_ca


def check_mac(message: Message, secret: bytes) -> None:
    """Protection by the shared secret. Raises RaMisbehaved."""
    algorithm = message.header.protection_alg
    covered = codec.protected_part(message.raw_header, message.raw_body)
    try:
        right = algorithm is not None and macs.verify(algorithm, secret, covered, message.protection or b"")
    except ValueError as error:
        raise misbehaved(_("its protection makes no sense ({why})").format(why=error)) from error
    if not right:
        raise misbehaved(_("it was not protected with the secret that we share"))


def check_signature(message: Message, trust: Trust, known: Iterable[bytes], now: datetime) -> None:
    """Protection by a signature of somebody who may speak for the RA (RFC 9483 3.2 to 3.5). Raises RaMisbehaved.

    `known` are certificates from earlier answers, for one that leaves them out.
    """
    pool = certificates([*message.extra_certs, *known])
    signer = _signer(message, [*pool, *trust.anchors])
    _check_signer(signer, pool, trust, now)
    algorithm, covered = message.header.protection_alg, codec.protected_part(message.raw_header, message.raw_body)
    try:
        right = algorithm is not None and signatures.verify(
            signer.public_key(), algorithm, covered, message.protection or b""
        )
    except ValueError as error:
        raise misbehaved(str(error)) from error
    if not right:
        raise misbehaved(_("its signature is wrong"))


def certificates(ders: Sequence[bytes]) -> list[x509.Certificate]:
    """Certificates from an answer. Raises RaMisbehaved for too many, or one that does not parse."""
    if len(ders) > 2 * MOST_EXTRA_CERTS:
        raise misbehaved(_("it brings too many certificates"))
    try:
        return [load_certificate(der) for der in dict.fromkeys(ders)]
    except ValueError as error:
        raise misbehaved(_("it brings a certificate that cannot be read")) from error


def _signer(message: Message, pool: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate that the header names: sender its subject, senderKID its key identifier (RFC 9483 3.1)."""
    name = codec.directory_name(message.header.sender)
    for certificate in pool:
        if certificate.subject.public_bytes() == name and _fits_key_identifier(certificate, message.header.sender_kid):
            return certificate
    raise misbehaved(_("its sender is not the one whose certificate it brings"))


def _fits_key_identifier(certificate: x509.Certificate, wanted: bytes | None) -> bool:
    identifier = _extension(certificate, x509.SubjectKeyIdentifier)
    return wanted is None or identifier is None or identifier.digest == wanted


def _check_signer(signer: x509.Certificate, pool: Sequence[x509.Certificate], trust: Trust, now: datetime) -> None:
    try:
        chain = build_chain(signer, pool, trust.anchors, now)
    except ValueError as error:
        raise misbehaved(_("it was signed by somebody unknown ({why})").format(why=error)) from error
    if not may_protect(signer):
        raise misbehaved(_("it was signed with a certificate that must not sign messages"))
    if not trust.authorised(signer, chain):
        raise misbehaved(_("it was signed by somebody who may not speak for the Registration Authority"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The certificate that was asked for: `public_key` and `subject` DER, `old` SHA-256 of the one to be replaced,
    `key_usage` DER of the extension, empty where none was asked for."""

    public_key: bytes
    subject: bytes
    old: bytes = b""
    key_usage: bytes = b""


def check_certificate(
    der: bytes, wanted: Wanted, pool: Sequence[x509.Certificate], trust: Trust, now: datetime
) -> list[x509.Certificate]:
    """The chain of a new certificate that is the one asked for, in date, and trusted. Raises RaMisbehaved.

    The two clocks may differ by five minutes: a certificate that begins within them is taken as begun.
    """
    (certificate,) = certificates([der])
    if public_key_of(certificate) != wanted.public_key:
        raise misbehaved(_("the certificate is for another key"))
    if not same_name(as_name(certificate.subject), as_name(x509.Name.from_bytes(wanted.subject))):
        raise misbehaved(_("the certificate is for somebody else"))
    if wanted.old and certificate.fingerprint(hashes.SHA256()) == wanted.old:
        raise misbehaved(_("the certificate is the very one that was to be replaced"))
    _check_use(certificate, wanted.key_usage)
    begun = min(max(now, certificate.not_valid_before_utc), now + CLOCK_TOLERANCE)
    try:
        return build_chain(certificate, pool, trust.anchors, begun)
    except ValueError as error:
        raise misbehaved(_("the certificate cannot be trusted ({why})").format(why=error)) from error


def _check_use(certificate: x509.Certificate, asked: bytes) -> None:
    usage = _extension(certificate, x509.KeyUsage)
    if is_authority(certificate) or (usage is not None and usage.key_cert_sign):
        raise misbehaved(_("the certificate is an authority's"))
    if asked and usage is not None and _bits(asked) & ~_bits(usage.public_bytes()):
        raise misbehaved(_("the certificate may not be used for what it was asked for"))


def _bits(key_usage: bytes) -> int:
    octets = key_usage[3:].ljust(2, b"\0")  # BIT STRING: tag, length, unused bits
    return int.from_bytes(octets[:2], "big")


def public_key_of(certificate: x509.Certificate) -> bytes:
    """DER of the SubjectPublicKeyInfo. Raises RaMisbehaved for a key that cannot be read."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UNREADABLE as error:
        raise misbehaved(_("the certificate's key cannot be read")) from error


def as_name(name: x509.Name) -> Name:
    """In the words of `renewagent.names`."""
    return tuple(frozenset((a.oid.dotted_string, str(a.value)) for a in rdn) for rdn in name.rdns)
