"""Who sent a message, and whether its header and protection may be believed (RFC 9483 3.1 to 3.5). Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from renewagent.cmp import codec
from renewagent.cmp.responder_mac import MacScheme, is_mac, mac_scheme
from renewagent.cmp.responder_names import names_in
from renewagent.cmp.responder_signature import algorithm_known, may_sign_messages, signature_fits
from renewagent.cmp.responder_words import Authority, Known, Refusal
from renewagent.cmp.wire import BodyType, Header, Message, Oid
from renewagent.loading import load_certificate

FIRST_BODIES = frozenset(
    {BodyType.IR, BodyType.CR, BodyType.P10CR, BodyType.KUR, BodyType.RR, BodyType.GENM, BodyType.NESTED}
)
_SHORTEST_NONCE = 16
_NULL = b"\x05\x00"
_GENERALIZED_TIME = 0x18


@dataclass(frozen=True, slots=True)
class Caller:
    """Who protected a message: `certificate`, with what the RA knows of it, or `scheme` for a shared secret."""

    certificate: x509.Certificate | None = None
    der: bytes = b""
    known: Known | None = None
    scheme: MacScheme | None = None
    reference: str = ""
    subject: bytes = b""
    issuer: bytes = b""
    mark: str = ""
    """SHA-256 of the certificate in hex, "" for a shared secret: how a transaction knows its own again."""


def check_header(message: Message, now: datetime, window: timedelta) -> None:
    """All that can be said of a header on its own."""
    header = message.header
    if header.pvno not in (2, 3):
        raise Refusal("only versions 2 and 3 of CMP are spoken here", "unsupportedVersion")
    if not header.transaction_id:
        raise Refusal("the transactionID is missing", "badDataFormat")
    if len(header.sender_nonce or b"") < _SHORTEST_NONCE:
        raise Refusal("the senderNonce is missing or shorter than 16 bytes", "badSenderNonce")
    if message.body_type in FIRST_BODIES and header.recip_nonce is not None:
        raise Refusal("a first message has no recipNonce", "badRecipientNonce")
    _check_time(header, now, window)
    _check_general_info(message)


def _check_time(header: Header, now: datetime, window: timedelta) -> None:
    if header.message_time is None:
        raise Refusal("the messageTime is missing", "badTime")
    if abs(header.message_time - now) > window:
        raise Refusal("the messageTime is too far from the time here: check your clock", "badTime")


def _check_general_info(message: Message) -> None:
    items = {item.oid: item.value for item in message.header.general_info}
    implicit = Oid.IMPLICIT_CONFIRM in items
    if implicit and items[Oid.IMPLICIT_CONFIRM] != _NULL:
        raise Refusal("implicitConfirm holds NULL", "badRequest")
    if implicit and message.body_type is BodyType.CERTCONF:
        raise Refusal("a certConf cannot ask for implicitConfirm", "badRequest")  # RFC 9483 4.1.1
    if Oid.CONFIRM_WAIT_TIME in items:
        if implicit:
            raise Refusal("implicitConfirm and confirmWaitTime exclude each other", "badRequest")
        if not (items[Oid.CONFIRM_WAIT_TIME] or b"\0")[0] == _GENERALIZED_TIME:
            raise Refusal("confirmWaitTime holds a GeneralizedTime", "badRequest")


def find_secret(message: Message, authority: Authority) -> Caller | None:
    """For a message under a shared secret that exists: the caller it claims to be, nothing verified. Else None.

    Also serves to protect the answer to a message that fails its checks.
    """
    algorithm, reference = message.header.protection_alg, message.header.sender_kid
    if algorithm is None or reference is None or not is_mac(algorithm):
        return None
    secret = authority.secret(reference)
    if secret is None:
        return None
    return Caller(scheme=mac_scheme(algorithm, secret), reference=reference.decode("utf-8", errors="replace"))


def authenticate(message: Message, authority: Authority, now: datetime) -> Caller:
    """Verify the protection. Raises Refusal."""
    algorithm = message.header.protection_alg
    if message.protection is None or algorithm is None:
        raise Refusal("the message is not protected", "badMessageCheck")
    if is_mac(algorithm):
        return _by_secret(message, authority)
    if not algorithm_known(algorithm):
        raise Refusal("this protection algorithm is not supported", "badAlg")
    return _by_signature(message, authority, now)


def _by_secret(message: Message, authority: Authority) -> Caller:
    caller = find_secret(message, authority)
    if caller is None or caller.scheme is None:
        raise Refusal("no shared secret has this reference", "badMessageCheck")
    expected = caller.scheme.tag(codec.protected_part(message.raw_header, message.raw_body))
    if not hmac.compare_digest(expected, message.protection or b""):
        raise Refusal("the protection does not verify under the shared secret", "badMessageCheck")
    return caller


def _by_signature(message: Message, authority: Authority, now: datetime) -> Caller:
    if not message.extra_certs:
        raise Refusal("extraCerts begins with the certificate that protects the message", "badMessageCheck")
    first = message.extra_certs[0]
    known = authority.known(first, now)
    signer = _signer(first, ours=known is not None)
    certificate = signer.certificate
    _check_signer(message.header, signer)
    covered = codec.protected_part(message.raw_header, message.raw_body)
    algorithm = message.header.protection_alg
    assert algorithm is not None  # noqa: S101  # the caller of this has looked
    if not signature_fits(algorithm, signer.key, message.protection or b"", covered):
        raise Refusal("the protection does not verify under the first certificate of extraCerts", "badMessageCheck")
    if known is None:
        _refuse_stranger(message)
    excused = known is not None and known.excused
    if now < signer.begins or (now > signer.ends and not excused):
        raise Refusal("the certificate that protects the message is not in date", "signerNotTrusted")
    return Caller(certificate, first, known, subject=signer.subject, issuer=signer.issuer, mark=signer.mark)


def _loaded(certificate: bytes) -> x509.Certificate:
    try:
        return load_certificate(certificate)
    except ValueError as problem:
        raise Refusal("a certificate in extraCerts cannot be read", "badMessageCheck") from problem


@dataclass(frozen=True, slots=True)
class _Signer:
    """A protecting certificate, taken apart."""

    certificate: x509.Certificate
    key: object
    subject: bytes
    issuer: bytes
    sender: bytes
    mark: str
    identifier: bytes | None
    may_sign: bool
    begins: datetime
    ends: datetime


@lru_cache(maxsize=4096)  # the certConf comes under the same certificate as its request
def _signer(certificate: bytes, *, ours: bool) -> _Signer:
    loaded = x509.load_der_x509_certificate(certificate) if ours else _loaded(certificate)
    try:
        identifier = loaded.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        identifier = None
    subject, issuer = names_in(certificate)
    return _Signer(
        certificate=loaded,
        key=loaded.public_key(),
        subject=subject,
        issuer=issuer,
        sender=codec.directory(subject),
        mark=hashlib.sha256(certificate).hexdigest(),
        identifier=identifier,
        may_sign=may_sign_messages(loaded),
        begins=loaded.not_valid_before_utc,
        ends=loaded.not_valid_after_utc,
    )


def _check_signer(header: Header, signer: _Signer) -> None:
    if header.sender_kid is None:
        raise Refusal("the senderKID is missing", "badMessageCheck")
    # Without a subjectKeyIdentifier there is nothing to hold it against (RFC 9483 3.1).
    if signer.identifier not in (None, header.sender_kid):
        raise Refusal("the senderKID is not that of the first certificate of extraCerts", "badMessageCheck")
    if header.sender != signer.sender:
        raise Refusal("the sender is not the subject of the certificate that protects the message", "badMessageCheck")
    if not signer.may_sign:
        raise Refusal("a certificate without digitalSignature cannot protect messages", "badMessageCheck")


def _refuse_stranger(message: Message) -> None:
    """A certificate that is not ours: say whether its chain is broken, or whole and not trusted."""
    another = "notAuthorized" if message.body_type is BodyType.CR else "signerNotTrusted"  # RFC 9483 4.1.2
    if not chain_is_whole(message.extra_certs):
        raise Refusal("the chain of the certificate in extraCerts is not complete", "badMessageCheck", another)
    raise Refusal("the certificate that protects the message belongs to another PKI", another)


def chain_is_whole(certificates: Sequence[bytes]) -> bool:
    """Whether the first certificate's chain is there, link by link, up to a self-signed one."""
    pool = [_loaded(c) for c in certificates]
    current = pool[0]
    for _ in range(len(pool)):
        if current.issuer == current.subject:
            return True
        issuer = next((c for c in pool if c.subject == current.issuer and _issued(c, current)), None)
        if issuer is None:
            return False
        current = issuer
    return False


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def refuse_unless_usable(caller: Caller) -> None:
    """For enrolments: a certificate that is revoked, was updated or is not confirmed authenticates none."""
    if caller.known is None:
        return
    if caller.known.state in ("revoked", "held", "updated"):
        raise Refusal("the certificate that protects the message was revoked or updated", "certRevoked")
    if caller.known.state == "unconfirmed":
        raise Refusal("the certificate that protects the message is not confirmed yet", "notAuthorized")


def refuse_unless_unrevoked(caller: Caller) -> None:
    """For questions: an updated certificate may still ask, a revoked one may not."""
    if caller.known is not None and caller.known.state in ("revoked", "held"):
        raise Refusal("the certificate that protects the message was revoked", "certRevoked")
