"""The Registration Authority as a renewal sees it: CMP conversations, and the addresses that need no PIN.

Building a message signs it and sends nothing; sending touches no card. So a renewal signs in one short card
transaction what it then sends over the network with no transaction held. Runs in the short-lived child.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat import asn1

from renewagent.cmp import private
from renewagent.cmp.client import CmpClient, Credential, GeneralAnswer, Result
from renewagent.cmp.client_checks import Trust, Wanted, certificates, check_certificate
from renewagent.errors import ClockError, RaMisbehaved, RaRefused, RaUnreachable
from renewagent.names import Name, format_name
from renewagent.ra_transport import HttpRaTransport

T = TypeVar("T")
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
REFUSED_FOR_CAUSE = frozenset(
    {"notAuthorized", "signerNotTrusted", "certRevoked", "badMessageCheck", "badTime", "badCertId", "systemUnavail"}
)
"""Failures that say no to us; any other answer to one of our own genm types means that the RA does not know it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to send, with the conversation that will understand the answer."""

    client: CmpClient
    octets: bytes

    @property
    def conversation(self) -> str:
        """The conversation as the journal keeps it."""
        return json.dumps(self.client.state.to_dict())


@dataclass(frozen=True, slots=True)
class Standing:
    """What the RA says of a certificate without a PIN. `state` is None where nothing is open."""

    known: bool
    state: str | None
    revoked: bool
    ready: bool
    check_after: int


class RaDesk:
    """One RA. `now` gives the current time, aware UTC."""

    def __init__(
        self,
        transport: HttpRaTransport,
        anchors: tuple[x509.Certificate, ...],
        sign_in_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self.anchors = anchors
        self._sign_in_url = sign_in_url
        self.now = now

    @property
    def origin(self) -> str:
        """Scheme, host and port of the RA: what a card's statements to it are bound to."""
        parts = urlsplit(self._transport.url)
        return f"{parts.scheme}://{parts.netloc}"

    def nonce(self) -> str | None:
        """A fresh nonce (hex) for a ticket statement, or None from an RA that knows no tickets.

        Raises RaUnreachable; ClockError where this computer's clock and the RA's differ by more than five minutes.
        """
        answer = self._transport.get_json(f"{self.origin}/nonce")
        if answer.date is not None:
            self._check_clock(answer.date)
        if answer.status == 404 or answer.document is None:
            return None
        nonce = answer.document.get("nonce")
        if answer.document.get("origin") != self.origin or not isinstance(nonce, str):
            raise RaMisbehaved("The Registration Authority answered with another address than the one that was asked.")
        return nonce

    def standing(self, issuer: Name, serial: int) -> Standing | None:
        """What the RA knows of this certificate; None from an RA that has no such address."""
        query = f"issuer={quote(format_name(issuer))}&serial={format(serial, 'x')}"
        answer = self._transport.get_json(f"{self.origin}/status?{query}")
        if answer.status != 200 or answer.document is None:
            return None
        waiting = answer.document.get("waiting") or {}
        return Standing(
            known=bool(answer.document.get("known")),
            state=answer.document.get("state"),
            revoked=bool(answer.document.get("revoked")),
            ready=bool(waiting.get("ready")),
            check_after=int(waiting.get("check_after") or 0),
        )

    def conversation(self, state: dict[str, Any] | None = None) -> CmpClient:
        """A new CMP transaction, or one that goes on from `state`."""
        return CmpClient.resume(state, self.anchors) if state is not None else CmpClient(self.anchors)

    def enquiry(self, credential: Credential, kind: x509.ObjectIdentifier, value: object) -> Outgoing:
        """A genm of our own, a transaction of its own."""
        client = self.conversation()
        return Outgoing(client, client.general(self.now(), credential, [(kind, asn1.encode_der(value))]))

    def send(self, outgoing: Outgoing) -> Result:
        """Deliver, and what the checked answer says. Raises RaUnreachable, RaRefused, RaMisbehaved, ClockError."""
        octets = self._transport.exchange(outgoing.octets)
        return outgoing.client.receive(self.now(), octets)

    def ticket(self, enquiry: Outgoing) -> private.TicketAnswer | None:
        """Send one of the ticket enquiries; None where the RA knows no tickets, or none for this card."""
        return self._answer(enquiry, private.TICKET, private.TicketAnswer)

    def deliver(self, enquiry: Outgoing) -> private.ReceiptAnswer | None:
        """Send a receipt; None where the RA knows no receipts."""
        return self._answer(enquiry, private.RECEIPT_ANSWER, private.ReceiptAnswer)

    def vet(self, certificate: bytes, wanted: Wanted, enquiry: Outgoing) -> None:
        """Judge a certificate from outside an issuing response like one in it. Raises RaMisbehaved."""
        pool = certificates(enquiry.client.state.ra_certs)
        check_certificate(certificate, wanted, pool, Trust(self.anchors), self.now())

    def challenge(self) -> str:
        """The nonce (hex) for a sign-in statement."""
        answer = self._transport.get_json(f"{self._sign_in_url}/challenge")
        document = answer.document or {}
        nonce = document.get("nonce")
        if answer.status != 200 or not isinstance(nonce, str) or document.get("origin") != self.sign_in_origin:
            raise RaUnreachable("The sign-in service did not answer as expected.")
        return nonce

    @property
    def sign_in_origin(self) -> str:
        """Scheme, host and port of the sign-in service."""
        parts = urlsplit(self._sign_in_url)
        return f"{parts.scheme}://{parts.netloc}"

    def sign_in(self, statement: bytes) -> None:
        """Deliver a signed sign-in statement. Raises RaRefused where it is not accepted."""
        answer = self._transport.post(self._sign_in_url, statement, "application/pkcs7-mime")
        document = answer.document or {}
        if answer.status != 200 or document.get("signed_in") is not True:
            why = str(document.get("why") or "No reason was given.")
            raise RaRefused(f"The sign-in was not accepted. {why}", status_text=why)

    def _answer(self, enquiry: Outgoing, kind: x509.ObjectIdentifier, shape: type[T]) -> T | None:
        try:
            result = self.send(enquiry)
        except RaRefused as error:
            if error.fail_info & REFUSED_FOR_CAUSE:
                raise
            return None
        if not isinstance(result, GeneralAnswer):
            raise RaMisbehaved("The Registration Authority answered another question than the one that was asked.")
        for oid, value in result.values:
            if oid == kind and value is not None:
                return _decode(shape, value)
        return None

    def _check_clock(self, theirs: datetime) -> None:
        difference = self.now() - theirs
        if abs(difference) > MAX_CLOCK_DIFFERENCE:
            minutes = round(abs(difference).total_seconds() / 60)
            side = "ahead of" if difference > timedelta() else "behind"
            raise ClockError(
                f"This computer's clock is about {minutes} minutes {side} the Registration Authority's. "
                "Nothing was changed on the smartcard."
            )


def _decode(shape: type[T], value: bytes) -> T:
    try:
        return asn1.decode_der(shape, value)
    except ValueError as error:
        raise RaMisbehaved("The Registration Authority's answer cannot be understood.") from error


def utc_now() -> datetime:
    """The current time, for the edges to hand down."""
    return datetime.now(UTC)
