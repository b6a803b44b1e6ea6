"""Our own information types, control and key purpose, under a UUID-derived arc (X.667: 2.25.<uuid>).

They travel as the infoValue of genm and genp messages (RFC 9810 5.3.19) and as a CRMF control (RFC 4211 6). An RA that
does not know them answers with an empty genp, unsupportedOIDs or an error, which we take as "knows no tickets".
"""

from __future__ import annotations

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

ARC = "2.25.121167259750945964798349809467425150670"

TICKET_REQUEST = ObjectIdentifier(f"{ARC}.1")
"""genm: `TicketRequest`. Answered by TICKET."""
TICKET_FETCH = ObjectIdentifier(f"{ARC}.2")
"""genm: `TicketFetch`. Answered by TICKET, or by an empty genp where the card has no ticket."""
TICKET_ARM = ObjectIdentifier(f"{ARC}.3")
"""genm: `TicketArm`, "GENERATE comes now", or "has been done". Answered by TICKET."""
TICKET = ObjectIdentifier(f"{ARC}.4")
"""genp: `TicketAnswer`."""
RECEIPT = ObjectIdentifier(f"{ARC}.5")
"""genm: `ReceiptDelivery`. Answered by RECEIPT_ANSWER."""
RECEIPT_ANSWER = ObjectIdentifier(f"{ARC}.6")
"""genp: `ReceiptAnswer`."""
TICKET_CONTROL = ObjectIdentifier(f"{ARC}.7")
"""CRMF control in a `cr`: the ticket as a UTF8String."""
CAMPAIGN_SIGNER = ObjectIdentifier(f"{ARC}.8")
"""Extended key usage of a campaign signer's certificate."""
TICKET_FOR = ObjectIdentifier(f"{ARC}.9")
"""CRMF control in a `kur` or `cr` that keeps the old public key: `TicketFor`."""
ORDER = ObjectIdentifier(f"{ARC}.10")
"""genm, protected by an officer's 9A: `OrderDelivery`. Answered by ORDER_ANSWER."""
ORDER_ANSWER = ObjectIdentifier(f"{ARC}.11")
"""genp: `OrderAnswer`."""
KEY_LEAVE = ObjectIdentifier(f"{ARC}.20")
"""genm: `KeyLeaveRequest`. Answered by KEY_LEAVE_ANSWER."""
KEY_LEAVE_ANSWER = ObjectIdentifier(f"{ARC}.21")
"""genp: `KeyLeave`."""


@asn1.sequence
class TicketRequest:
    """`statement`: CMS SignedData over a "renewagent ticket v1" statement, by the old signing key (`signed` true), or
    the bare statement where that key no longer signs. `campaign`: the signed campaign document, empty for none."""

    statement: bytes
    signed: bool
    campaign: bytes


@asn1.sequence
class TicketFetch:
    """`card`: `str(CardIdentity)`. The RA finds the holder by the 9A certificate that protects the genm."""

    card: str


@asn1.sequence
class TicketArm:
    """`ticket`: empty for the one granted last to the 9A certificate that protects the genm. `public_key`: DER
    SubjectPublicKeyInfo of the key just generated; empty when GENERATE has yet to come: arming before it means that the
    ticket cannot end by time between GENERATE and the report, however long the card then lies in a drawer."""

    ticket: str
    public_key: bytes


@asn1.sequence
class TicketFor:
    """Way A needs no leave, but whoever finds the card half done must be able to go on: the RA keeps what it issues
    under a ticket for this card (`str(CardIdentity)`), authentication certificate (SHA-256, hex) and campaign
    ("id/version"). The proof of possession is by the old signing key and covers the control, as that key's statement
    does in a `TicketRequest`."""

    card: str
    authentication: str
    campaign: str


@asn1.sequence
class TicketAnswer:
    """`state`: a `statements.TicketState`. `old`: SHA-256 of the certificate to replace, `old_certificate` its DER, so
    that a workstation which never saw it knows what oldCertID to send. `campaign`: "id/version", "-".
    `public_key`: the key that is armed or certified, empty for none. `certificate`: the DER issued under the
    ticket and not revoked, empty for none. `transaction`: that issuance's transactionID, `nonce`: the senderNonce of
    its issuing response (for the receipt); both empty for none."""

    ticket: str
    state: str
    expires: asn1.GeneralizedTime
    old: str
    campaign: str
    public_key: bytes
    certificate: bytes
    transaction: bytes
    nonce: bytes
    old_certificate: bytes


@asn1.sequence
class OrderDelivery:
    """`order`: CMS SignedData over a "renewagent order v1" statement, by the officer's authentication key."""

    order: bytes


@asn1.sequence
class OrderAnswer:
    """`order`: SHA-256 of the order as delivered. The renewal must have begun by `until`. `role`: the officer's."""

    order: bytes
    until: asn1.GeneralizedTime
    role: str


@asn1.sequence
class ReceiptDelivery:
    """`receipt`: CMS SignedData over a "renewagent receipt v1" statement, by the new signing key."""

    receipt: bytes


@asn1.sequence
class ReceiptAnswer:
    """`receipt`: SHA-256 of the receipt as delivered. `revoked`: SHA-256 (hex) of the certificate now revoked."""

    receipt: bytes
    at: asn1.GeneralizedTime
    revoked: str


@asn1.sequence
class KeyLeaveRequest:
    """`card`: `str(CardIdentity)`. `step`: what the card is to be changed for, a `renewal.State` by value. The 9A
    certificate that protects the genm says whose card it is."""

    card: str
    step: str


@asn1.sequence
class KeyLeave:
    """The RA answers one challenge of this card until `expires`. `session`: 32 random octets, to be named when the
    challenge is passed on. `algorithm`: one octet, the kind of management key (SP 800-78-4 table 6-2)."""

    session: bytes
    algorithm: bytes
    expires: asn1.GeneralizedTime
