"""The words of the responder: what it asks of the Registration Authority behind it, and how it says no. No behaviour.

`Authority` is the seam between the protocol (`cmp.responder`, which judges messages) and the world (keys, records,
policy). Certificates and public keys are DER; times are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from renewagent.cmp.private import TicketFor
from renewagent.cmp.wire import InfoValue

CertificateState = Literal["unconfirmed", "valid", "updated", "held", "revoked"]
TransactionState = Literal["waiting", "issued", "confirmed", "rejected", "expired", "replaced", "done"]
Outcome = Literal["confirmed", "rejected", "expired"]


class Refusal(Exception):
    """The answer is no: `failures` are names of RFC 9810 5.2.3, the message is for the statusString."""

    def __init__(self, text: str, *failures: str) -> None:
        super().__init__(text)
        self.text = text
        self.failures = frozenset(failures)


@dataclass(frozen=True, slots=True)
class Known:
    """A certificate that this authority issued. `updating`: an update of it is under way and not yet confirmed.
    `chain`: the certificates above it. `excused`: it may protect messages although it has expired."""

    state: CertificateState
    updating: bool = False
    chain: tuple[bytes, ...] = ()
    excused: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A request for a certificate that has passed every check of the protocol.

    `signer` is the certificate that protected it, None where `reference` names the shared secret that did. `old` is
    what oldCertID names, as (issuer's DER name, serial). `usages` is None where the template asks for no keyUsage.
    `alternative_names` is the DER of the extension's value. `implicit_confirm`: it was asked for. `ticket_for`: the
    certificate is to be kept under a ticket of the authority's own making.
    """

    body: Literal["ir", "cr", "kur", "p10cr"]
    transaction: bytes
    subject: bytes
    public_key: bytes
    usages: frozenset[str] | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    alternative_names: bytes | None = None
    signer: bytes | None = None
    reference: str = ""
    old: tuple[bytes, int] | None = None
    ticket: str | None = None
    ticket_for: TicketFor | None = None
    implicit_confirm: bool = False


@dataclass(frozen=True, slots=True)
class Issued:
    """The certificate, and its chain. `confirm_by` is None if certConf may take for ever."""

    certificate: bytes
    chain: tuple[bytes, ...] = ()
    confirm_by: datetime | None = None
    implicitly_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet: ask again after `check_after` seconds."""

    check_after: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One conversation, as it is kept between messages.

    `signer` is the SHA-256 of the protecting certificate (hex), or "" with `reference` for a MAC. `nonce` is the
    senderNonce of our last answer and `nonce_before` that of the one before (its answer may have been lost);
    `issuing_nonce` that of the answer that carried the certificate. `request` is the whole message while waiting.
    """

    id: bytes
    body: str
    state: TransactionState
    signer: str = ""
    reference: str = ""
    cert_req_id: int = 0
    nonce: bytes = b""
    nonce_before: bytes = b""
    issuing_nonce: bytes = b""
    request: bytes = field(default=b"", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    confirm_by: datetime | None = None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """An rr: `certificate` by issuer (DER name) and serial; `reason` an RFC 5280 name, "removeFromCRL" revives."""

    issuer: bytes
    serial: int
    reason: str
    signer: bytes


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One InfoTypeAndValue of a genm, and the certificate that protected it (None for a MAC)."""

    item: InfoValue
    transaction: bytes
    signer: bytes | None


class Transactions(Protocol):
    """Where conversations are kept. What `put` was given must outlive a crash before the answer is sent."""

    def get(self, identifier: bytes) -> Transaction | None:
        """The conversation of this transactionID, None for a new one."""
        ...

    def put(self, transaction: Transaction) -> None:
        """Keep it."""
        ...


class Authority(Protocol):
    """The world behind the responder. Every method may raise `Refusal`."""

    @property
    def transactions(self) -> Transactions:
        """Conversations."""
        ...

    def secret(self, reference: bytes) -> bytes | None:
        """The shared secret of a senderKID, None for an unknown one."""
        ...

    def known(self, certificate: bytes, now: datetime) -> Known | None:
        """What is known of a certificate; None if this authority did not issue it."""
        ...

    def certify(self, order: Order, now: datetime) -> Issued | Waiting:
        """Decide, and issue."""
        ...

    def conclude(self, transaction: Transaction, outcome: Outcome, now: datetime) -> None:
        """The certificate of this transaction was confirmed, rejected, or not confirmed in time."""
        ...

    def revoke(self, wish: Revocation, now: datetime) -> None:
        """Revoke, or revive, one certificate."""
        ...

    def inform(self, inquiry: Inquiry, now: datetime) -> tuple[InfoValue, ...] | None:
        """Answer a general message; None for a type that is not known."""
        ...
