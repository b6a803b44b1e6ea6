"""What a certificate request asks for, once its message is believed: read, judged by RFC 9483 4.1, made an `Order`."""

from __future__ import annotations

from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.cmp import bodies, codec, crmf, der
from renewagent.cmp.private import TICKET_CONTROL, TICKET_FOR, TicketFor
from renewagent.cmp.responder_header import Caller, refuse_unless_usable
from renewagent.cmp.responder_names import read_name, same_name_der
from renewagent.cmp.responder_signature import acceptable_key, algorithm_known, signature_fits
from renewagent.cmp.responder_words import Order, Refusal
from renewagent.cmp.wire import BodyType, Message, Oid

KEY_USAGE = x509.ObjectIdentifier("2.5.29.15")
ALTERNATIVE_NAMES = x509.ObjectIdentifier("2.5.29.17")
USAGES = (
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
_FOR_AUTHORITIES = frozenset({"keyCertSign", "cRLSign"})
CERT_REQ_ID = {BodyType.P10CR: -1}
"""The certReqId of an answer, where it is not 0 (RFC 9483 4.1.4 with erratum 8806)."""


@asn1.sequence
class _Bits:
    bits: asn1.BitString


def read_order(message: Message, caller: Caller) -> Order:
    """The order in an ir, cr, kur or p10cr. Raises Refusal."""
    if message.body_type is BodyType.KUR and caller.certificate is None:
        raise Refusal("a kur is signed by the certificate that it updates", "wrongIntegrity")
    refuse_unless_usable(caller)
    try:
        if message.body_type is BodyType.P10CR:
            return _from_pkcs10(message, caller)
        return _from_crmf(message, caller)
    except ValueError as problem:
        raise Refusal(f"the request cannot be read: {problem}", "badDataFormat") from problem


def _from_crmf(message: Message, caller: Caller) -> Order:
    requests = bodies.read_cert_requests(message)
    if len(requests) != 1:
        raise Refusal("one request at a time", "badRequest")
    request = requests[0].request
    if request.cert_req_id != 0:
        raise Refusal("the certReqId is 0", "badRequest")
    subject, public_key = _check_template(request.template)
    _check_possession(requests[0], public_key)
    old = _old_certificate(message, caller, request)
    if message.body_type is BodyType.KUR:
        _check_same_subject(subject, caller)
    return Order(
        body=_BODIES[message.body_type],
        transaction=message.header.transaction_id or b"",
        subject=subject,
        public_key=public_key,
        usages=_usages(request.template.extensions),
        not_before=request.template.not_before,
        not_after=request.template.not_after,
        alternative_names=_extension(request.template.extensions, ALTERNATIVE_NAMES),
        signer=caller.der or None,
        reference=caller.reference,
        old=old,
        ticket=_ticket(request),
        ticket_for=_ticket_for(request),
        implicit_confirm=_asks_implicit(message),
    )


_BODIES: dict[BodyType, Literal["ir", "cr", "kur"]] = {BodyType.IR: "ir", BodyType.CR: "cr", BodyType.KUR: "kur"}


def _check_template(template: crmf.CertTemplate) -> tuple[bytes, bytes]:
    if template.serial is not None or template.signing_algorithm is not None:
        raise Refusal("serial number and signing algorithm are the CA's to choose", "badCertTemplate")  # RFC 4211 5
    if template.version not in (None, 2):
        raise Refusal("only X.509 version 3 is issued here", "badCertTemplate")
    if template.public_key is None:
        raise Refusal("the template has no public key; keys are not generated here", "badCertTemplate")
    if template.not_before and template.not_after and template.not_before >= template.not_after:
        raise Refusal("the validity asked for is empty", "badCertTemplate")
    return _checked_subject(template.subject), template.public_key


def _checked_subject(subject: bytes | None) -> bytes:
    if subject is None:
        raise Refusal("the template has no subject", "badCertTemplate")
    try:
        name = read_name(subject)
    except ValueError as problem:
        raise Refusal("the subject cannot be read", "badCertTemplate") from problem
    if not name:
        raise Refusal("the subject is empty", "badCertTemplate")
    return subject


def _check_possession(request: crmf.CertReqMsg, public_key: bytes) -> None:
    key = acceptable_key(public_key)
    popo = request.popo
    if isinstance(popo, crmf.OtherPopo) and popo.ra_verified:
        raise Refusal("only an RA can say raVerified", "notAuthorized")
    if not isinstance(popo, crmf.SignaturePopo):
        raise Refusal("the proof of possession is missing, or is no signature", "badPOP")
    if popo.key_input is not None:  # RFC 4211 4.1: only where subject or key are not in the template
        raise Refusal("the proof of possession is over the whole CertRequest", "badPOP")
    if not algorithm_known(popo.algorithm):
        raise Refusal("the algorithm of the proof of possession is not supported", "badAlg", "badPOP")
    if not signature_fits(popo.algorithm, key, popo.signature, request.request.raw):
        raise Refusal("the proof of possession does not verify under the new key", "badPOP")


def _old_certificate(message: Message, caller: Caller, request: crmf.CertRequest) -> tuple[bytes, int] | None:
    control = next((c for c in request.controls if c.oid == Oid.OLD_CERT_ID), None)
    if control is None:
        if message.body_type is BodyType.KUR:
            raise Refusal("oldCertID is missing", "badRequest")
        return None
    try:
        named = crmf.read_cert_id(control.value or b"")
        issuer = codec.directory_name(named.issuer)
        if issuer is None or not read_name(issuer):
            raise ValueError("an issuer without a name")
    except ValueError as problem:
        raise Refusal("oldCertID is not complete", "badRequest") from problem
    if message.body_type is BodyType.KUR:
        _check_names_signer(issuer, named.serial, caller)
    return issuer, named.serial


def _check_names_signer(issuer: bytes, serial: int, caller: Caller) -> None:
    certificate = caller.certificate
    if certificate is None or serial != certificate.serial_number or not same_name_der(issuer, caller.issuer):
        raise Refusal("oldCertID names another certificate than the one that protects the kur", "badCertId")


def _check_same_subject(subject: bytes, caller: Caller) -> None:
    if caller.certificate is not None and not same_name_der(subject, caller.subject):
        raise Refusal("an update keeps the subject", "badCertTemplate")


def _ticket(request: crmf.CertRequest) -> str | None:
    control = next((c for c in request.controls if c.oid == TICKET_CONTROL), None)
    return None if control is None else der.utf8_text(control.value or b"")


def _ticket_for(request: crmf.CertRequest) -> TicketFor | None:
    control = next((c for c in request.controls if c.oid == TICKET_FOR), None)
    return None if control is None else asn1.decode_der(TicketFor, control.value or b"")


def _extension(extensions: tuple[crmf.TemplateExtension, ...], oid: x509.ObjectIdentifier) -> bytes | None:
    return next((e.value for e in extensions if e.oid == oid), None)


def _usages(extensions: tuple[crmf.TemplateExtension, ...]) -> frozenset[str] | None:
    value = _extension(extensions, KEY_USAGE)
    if value is None:
        return None
    try:
        octets = asn1.decode_der(_Bits, der.tlv(der.SEQUENCE, value)).bits.as_bytes()
    except ValueError as problem:
        raise Refusal("keyUsage cannot be read", "badCertTemplate") from problem
    return _end_entity(
        {name for i, name in enumerate(USAGES) if i // 8 < len(octets) and octets[i // 8] & 0x80 >> i % 8}
    )


def _end_entity(usages: set[str]) -> frozenset[str]:
    if not usages or usages & _FOR_AUTHORITIES:
        raise Refusal("this keyUsage is not for a person's certificate", "badCertTemplate")
    return frozenset(usages)


def _asks_implicit(message: Message) -> bool:
    return any(item.oid == Oid.IMPLICIT_CONFIRM for item in message.header.general_info)


def _from_pkcs10(message: Message, caller: Caller) -> Order:
    request = _loaded(bodies.read_pkcs10(message))
    public_key = request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    acceptable_key(public_key)
    if not request.is_signature_valid:
        raise Refusal("the signature of the PKCS #10 request does not verify", "badPOP")
    return Order(
        body="p10cr",
        transaction=message.header.transaction_id or b"",
        subject=_checked_subject(request.subject.public_bytes()),
        public_key=public_key,
        usages=_requested_usages(request),
        alternative_names=_requested_names(request),
        signer=caller.der or None,
        reference=caller.reference,
        implicit_confirm=_asks_implicit(message),
    )


def _loaded(octets: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_der_x509_csr(octets)
        request.public_key()
        _ = request.subject, request.extensions
    except UnsupportedAlgorithm as problem:
        raise Refusal("a key of this algorithm is not certified here", "badCertTemplate") from problem
    except x509.DuplicateExtension as problem:
        raise ValueError("an extension is there twice") from problem
    return request


def _requested_usages(request: x509.CertificateSigningRequest) -> frozenset[str] | None:
    try:
        usage = request.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    return _usages((crmf.key_usage_extension(usage),))


def _requested_names(request: x509.CertificateSigningRequest) -> bytes | None:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.public_bytes()
    except x509.ExtensionNotFound:
        return None
