"""What an rr asks for (RFC 9483 4.2)."""

from __future__ import annotations

from cryptography import x509

from renewagent.cmp import bodies, der
from renewagent.cmp.crmf import TemplateExtension
from renewagent.cmp.responder_header import Caller
from renewagent.cmp.responder_words import Refusal, Revocation
from renewagent.cmp.wire import Message

_REASON_CODE = x509.ObjectIdentifier("2.5.29.21")
_ENUMERATED = 0x0A
_REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}


def read_revocation(message: Message, caller: Caller) -> Revocation:
    """The one certificate to revoke. Raises Refusal."""
    if caller.certificate is None:
        raise Refusal("an rr is signed", "wrongIntegrity")
    try:
        details = bodies.read_revocations(message)
        if len(details) != 1:
            raise Refusal("one certificate at a time", "badRequest")
        template, extensions = details[0]
        reason = _reason(extensions)
    except ValueError as problem:
        raise Refusal(f"the rr cannot be read: {problem}", "badDataFormat") from problem
    if template.issuer is None or template.serial is None:
        raise Refusal("an rr names issuer and serial number", "badRequest")
    return Revocation(template.issuer, template.serial, reason, caller.der)


def _reason(extensions: tuple[TemplateExtension, ...]) -> str:
    value = next((e.value for e in extensions if e.oid == _REASON_CODE), None)
    if value is None:
        return "unspecified"
    name = _REASONS.get(int.from_bytes(der.unwrap(value, _ENUMERATED), "big", signed=True))
    if name is None:
        raise Refusal("an unknown reason code", "badRequest")
    return name
