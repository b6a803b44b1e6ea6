"""The Registration Authority as a renewal sees it: CMP conversations, and the addresses that need no PIN.

Building a message signs it and sends nothing; sending touches no card. So a renewal signs in one short card
transaction what it then sends over the network with no transaction held. Runs in the short-lived child.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.agent.words import NOTHING_CHANGED
from renewagent.chains import issuers_among
from renewagent.cmp import der, private
from renewagent.cmp.client import CmpClient, Credential, GeneralAnswer, Result
from renewagent.cmp.client_answers import LONGEST_WAIT
from renewagent.cmp.client_checks import Trust, Wanted, certificates, check_certificate
from renewagent.cmp.client_template import CertifiedKeys, read_certified_keys
from renewagent.cmp.wire import Oid
from renewagent.errors import ClockError, RaMisbehaved, RaRefused, RaUnreachable
from renewagent.language import N_, _, ngettext
from renewagent.names import Name, format_name
from renewagent.ra_transport import RaTransport

T = TypeVar("T")
_UNEXPECTED = N_("The Registration Authority did not answer as expected.")
_NOT_SIGNED_IN = N_("Your smartcard is renewed. Contact your Registration Authority about signing in.")
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
LONGEST_TURN = timedelta(days=366)
"""An RA cannot put a card off for ever: then it is asked again."""
_MOST_CARDS = 99
REFUSED_FOR_CAUSE = frozenset(
    {
        "notAuthorized",
        "signerNotTrusted",
        "certRevoked",
        "badMessageCheck",
        "badTime",
        "badCertId",
        "badRecipientNonce",
        "systemUnavail",
    }
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
    """What the RA says of a certificate without a PIN. `state` is None where nothing is open; `pair` is the state of
    a renewal of the authentication certificate beside this signing certificate. `come_back`: not to be renewed before,
    by this computer's clock; `in_person`: only by the RA; `more_affected`: how many more cards of the holder's are due.
    """

    known: bool
    state: str | None
    revoked: bool
    waiting: bool
    ready: bool
    check_after: int
    pair: str | None = None
    come_back: datetime | None = None
    in_person: bool = False
    more_affected: int = 0

    @property
    def looked_at_for(self) -> int | None:
        """Seconds that a request about it is to wait still; None for one that is ready, and where there is none."""
        return max(1, self.check_after) if self.waiting and not self.ready else None


@dataclass(frozen=True, slots=True)
class Policy:
    """What an RA says of itself: its CA certificates (caCerts, RFC 9483 4.3.1), and the keys that it certifies."""

    authorities: Sequence[x509.Certificate] = ()
    keys: CertifiedKeys = None


POLICY = (Oid.CA_CERTS, Oid.CERT_REQ_TEMPLATE)


class RaDesk:
    """One RA. `now` gives the current time, aware UTC."""

    def __init__(
        self,
        transport: RaTransport,
        anchors: tuple[x509.Certificate, ...],
        sign_in_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self.anchors = anchors
        self._sign_in_url = sign_in_url
        self._sent_along: dict[bytes, None] = {}
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
        if answer.status == 404:
            return None
        if answer.status != 200 or answer.document is None:  # whoever that was, it cannot say what the RA knows
            raise RaUnreachable(_(_UNEXPECTED))
        nonce = answer.document.get("nonce")
        if answer.document.get("origin") != self.origin:
            raise RaMisbehaved(
                _("The Registration Authority answered with another address than the one that was asked.")
            )
        if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
            raise RaMisbehaved(_("The Registration Authority sent something else than a fresh number to be signed."))
        return nonce

    def standing(self, issuer: Name, serial: int, *, begin: bool = False) -> Standing | None:
        """What the RA knows of this certificate; None from an RA that has no such address. `begin`: somebody wants to
        renew it, and may have to wait for their turn. Raises RaUnreachable, also where whatever answered is no RA:
        that nothing is open, nobody but the RA can say."""
        query = f"issuer={quote(format_name(issuer))}&serial={format(serial, 'x')}{'&begin=yes' if begin else ''}"
        answer = self._transport.get_json(f"{self.origin}/status?{query}")
        if answer.status == 404:
            return None
        if answer.status != 200 or answer.document is None or not {"known", "state"} <= answer.document.keys():
            raise RaUnreachable(_(_UNEXPECTED))
        state, waiting = answer.document.get("state"), answer.document.get("waiting")
        waiting, pair = waiting if isinstance(waiting, dict) else {}, answer.document.get("pair")
        more = answer.document.get("more_affected")
        return Standing(
            known=bool(answer.document.get("known")),
            state=state if isinstance(state, str) else None,
            revoked=bool(answer.document.get("revoked")),
            waiting=bool(waiting),
            ready=bool(waiting.get("ready")),
            check_after=_seconds(waiting.get("check_after")),
            pair=pair if isinstance(pair, str) else None,
            come_back=self._by_our_clock(answer.document.get("come_back"), answer.date),
            in_person=answer.document.get("in_person") is True,
            more_affected=more if isinstance(more, int) and 0 < more <= _MOST_CARDS else 0,
        )

    def _by_our_clock(self, when: object, theirs: datetime | None) -> datetime | None:
        """A time that the RA named, or the longest that is waited for; None for one that makes no sense."""
        try:
            named = datetime.strptime(str(when), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None
        now = self.now()
        return min(now + (named - theirs if theirs is not None else named - now), now + LONGEST_TURN)

    def conversation(self, state: dict[str, Any] | None = None) -> CmpClient:
        """A new CMP transaction, or one that goes on from `state`."""
        return CmpClient.resume(state, self.anchors) if state is not None else CmpClient(self.anchors)

    def enquiry(
        self, credential: Credential, kind: x509.ObjectIdentifier, value: object, *also: x509.ObjectIdentifier
    ) -> Outgoing:
        """A genm of our own, a transaction of its own; `also` are questions without a value that go along."""
        client, asked = self.conversation(), [(kind, asn1.encode_der(value))]
        return Outgoing(client, client.general(self.now(), credential, [*asked, *((oid, None) for oid in also)]))

    def send(self, outgoing: Outgoing) -> Result:
        """Deliver, and what the checked answer says. Raises RaUnreachable, RaRefused, RaMisbehaved, ClockError."""
        octets = self._transport.exchange(outgoing.octets)
        result = outgoing.client.receive(self.now(), octets)
        self._sent_along.update(dict.fromkeys(outgoing.client.state.ra_certs))
        return result

    def issuers(self, certificate: x509.Certificate, known: Sequence[bytes] = ()) -> list[x509.Certificate]:
        """What leads up from a certificate, among what the RA has sent along and `known` (DER)."""
        return issuers_among(certificate, certificates([*known, *self._sent_along]))

    def ticket(self, enquiry: Outgoing, *, knows_us: bool = False) -> private.TicketAnswer | None:
        """Send one of the ticket enquiries; None where the RA knows no tickets, or none for this card.

        `knows_us`: it has shown that it knows them, so that any error is a refusal and no lack of understanding.
        """
        return self._ticket(self._values(enquiry, knows_us=knows_us))

    def ticket_and_policy(self, enquiry: Outgoing) -> tuple[private.TicketAnswer | None, Policy]:
        """The same, with what the RA says of itself where the enquiry asks for it (`POLICY`)."""
        values = self._values(enquiry)
        policy = _policy(values)
        self._sent_along.update(dict.fromkeys(one.public_bytes(Encoding.DER) for one in policy.authorities))
        return self._ticket(values), policy

    def policy_enquiry(self, credential: Credential) -> Outgoing:
        """Which keys the RA certifies, asked in a message of its own, as RFC 9483 4.3.3 has it."""
        client = self.conversation()
        return Outgoing(client, client.general(self.now(), credential, [(Oid.CERT_REQ_TEMPLATE, None)]))

    def policy(self, enquiry: Outgoing) -> Policy:
        """Send it. An RA that does not know the question says nothing, and that is no obstacle."""
        return _policy(self._values(enquiry))

    def deliver(self, enquiry: Outgoing, *, knows_us: bool = False) -> private.ReceiptAnswer | None:
        """Send a receipt; None where the RA knows no receipts. `knows_us` as for `ticket`."""
        value = self._values(enquiry, knows_us=knows_us).get(private.RECEIPT_ANSWER)
        return None if value is None else _decode(private.ReceiptAnswer, value)

    def key_leave(self, enquiry: Outgoing) -> private.KeyLeave | None:
        """Send a request to have the card opened for changes; None from an RA that keeps no management keys."""
        value = self._values(enquiry).get(private.KEY_LEAVE_ANSWER)
        leave = None if value is None else _decode(private.KeyLeave, value)
        if leave is not None and (len(leave.session) < 16 or len(leave.algorithm) != 1):
            raise RaMisbehaved(_(_NONSENSE))
        return leave

    def order(self, enquiry: Outgoing) -> private.OrderAnswer | None:
        """Send an officer's order; None from an RA that takes none."""
        value = self._values(enquiry, knows_us=True).get(private.ORDER_ANSWER)
        return None if value is None else _decode(private.OrderAnswer, value)

    def vet(self, certificate: bytes, wanted: Wanted, pool: Sequence[x509.Certificate]) -> None:
        """Judge a certificate from outside an issuing response like one in it. Raises RaMisbehaved."""
        check_certificate(certificate, wanted, pool, Trust(self.anchors), self.now())

    def challenge(self) -> str:
        """The nonce (hex) for a sign-in statement."""
        answer = self._transport.get_json(f"{self._sign_in_url}/challenge")
        document = answer.document or {}
        nonce = document.get("nonce")
        if answer.status != 200 or not isinstance(nonce, str):
            raise RaUnreachable(_("The sign-in service did not answer as expected."))
        if document.get("origin") != self.sign_in_origin or not _NONCE.fullmatch(nonce):
            raise RaMisbehaved(
                _("The sign-in service asked for a signature that is not for it."), advice=_(_NOT_SIGNED_IN)
            )
        return nonce

    @property
    def sign_in_origin(self) -> str:
        """Scheme, host and port of the sign-in service."""
        parts = urlsplit(self._sign_in_url)
        return f"{parts.scheme}://{parts.netloc}"

    def sign_in(self, statement: bytes) -> None:
        """Deliver a signed sign-in statement. Raises RaRefused where it is not accepted, RaUnreachable where whatever
        answered is no sign-in service."""
        answer = self._transport.post(self._sign_in_url, statement, "application/pkcs7-mime")
        if answer.document is None:  # a portal's page, or half an answer, is nobody's refusal: it is tried again
            raise RaUnreachable(_("The sign-in service did not answer as expected."))
        if answer.status != 200 or answer.document.get("signed_in") is not True:
            why = str(answer.document.get("why") or _("No reason was given."))
            said = _("The sign-in was not accepted.")
            raise RaRefused(f"{said} {why}", status_text=why)

    def _values(self, enquiry: Outgoing, *, knows_us: bool = False) -> Mapping[x509.ObjectIdentifier, bytes]:
        """What a genp says, by type; nothing from an RA that does not know the question."""
        try:
            result = self.send(enquiry)
        except RaRefused as error:
            if knows_us or error.fail_info & REFUSED_FOR_CAUSE:
                raise
            return {}
        if not isinstance(result, GeneralAnswer):
            raise RaMisbehaved(_("The Registration Authority answered another question than the one that was asked."))
        return {oid: value for oid, value in result.values if value is not None}

    @staticmethod
    def _ticket(values: Mapping[x509.ObjectIdentifier, bytes]) -> private.TicketAnswer | None:
        value = values.get(private.TICKET)
        if value is None:
            return None
        answer = _decode(private.TicketAnswer, value)
        if answer.old_certificate and hashlib.sha256(answer.old_certificate).hexdigest() != answer.old:
            raise RaMisbehaved(_(_NONSENSE))
        if not _SHA256.fullmatch(answer.old) or not _CAMPAIGN.fullmatch(answer.campaign):
            raise RaMisbehaved(_(_NONSENSE))
        if answer.certificate and not _NONCE.fullmatch(answer.nonce.hex()):
            raise RaMisbehaved(_(_NONSENSE))
        return answer

    def _check_clock(self, theirs: datetime) -> None:
        difference = self.now() - theirs
        if abs(difference) > MAX_CLOCK_DIFFERENCE:
            minutes = round(abs(difference).total_seconds() / 60)
            raise ClockError(f"{_wrong_clock(minutes, fast=difference > timedelta())} {_(NOTHING_CHANGED)}")


def _wrong_clock(minutes: int, *, fast: bool) -> str:
    if fast:
        said = ngettext(
            "This computer's clock is about {number} minute ahead of the Registration Authority's.",
            "This computer's clock is about {number} minutes ahead of the Registration Authority's.",
            minutes,
        )
    else:
        said = ngettext(
            "This computer's clock is about {number} minute behind the Registration Authority's.",
            "This computer's clock is about {number} minutes behind the Registration Authority's.",
            minutes,
        )
    return said.format(number=minutes)


_NONSENSE = N_("The Registration Authority's answer cannot be understood.")
_NONCE = re.compile(r"(?:[0-9a-f]{2}){8,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CAMPAIGN = re.compile(r"[\x21-\x7e]{1,200}")
"""What of an answer goes into a statement that the card signs; `renewagent.statements` takes no other."""


def _decode(shape: type[T], value: bytes) -> T:
    try:
        return asn1.decode_der(shape, value)
    except ValueError as error:
        raise RaMisbehaved(_(_NONSENSE)) from error


def _policy(values: Mapping[x509.ObjectIdentifier, bytes]) -> Policy:
    certified, sequence = values.get(Oid.CERT_REQ_TEMPLATE), values.get(Oid.CA_CERTS, der.sequence(()))
    try:
        found = [der.raw(element) for element in der.elements(der.unwrap(sequence, der.SEQUENCE))]
        return Policy(certificates(found), read_certified_keys(certified))
    except ValueError as error:
        raise RaMisbehaved(_(_NONSENSE)) from error


def _seconds(value: object) -> int:
    """A waiting time from a plain address, 0 for none that makes sense."""
    return min(int(value), LONGEST_WAIT) if isinstance(value, int | float) and value > 0 else 0


def utc_now() -> datetime:
    """The current time, for the edges to hand down."""
    return datetime.now(UTC)
