"""A person with a card, as the RA meets one: two certificates, statements, tickets and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1

from renewagent import cms
from renewagent.cmp import bodies, private
from renewagent.cmp.wire import BodyType, InfoValue
from renewagent.statements import Purpose, Statement
from renewagent_fixtures.mock_ra.ca import sha256_hex
from renewagent_fixtures.mock_ra.office import Office
from tests.unit.mock_ra.peer import (
    AUTHENTICATION,
    ORIGIN,
    SIGNING,
    Answer,
    Key,
    Peer,
    Request,
    enrolled,
    public,
)

CARD = "chuid:00112233445566778899aabbccddeeff"


@dataclass(frozen=True)
class Person:
    """`card` is 9A, `pen` is 9C."""

    office: Office
    card: Peer
    pen: Peer

    def ask(self, oid: x509.ObjectIdentifier, value: Any) -> Answer:
        """A genm protected by 9A."""
        item = InfoValue(oid, asn1.encode_der(value))
        return self.card.anew().say(bodies.write_info(BodyType.GENM, (item,)))

    def statement(self, purpose: Purpose = Purpose.TICKET, **changes: Any) -> Statement:
        plain: dict[str, Any] = {
            "purpose": purpose,
            "origin": ORIGIN,
            "card": CARD,
            "certificate": sha256_hex(self.pen.certificate),
            "at": self.office.now(),
            "nonce": self.office.nonces.issue(self.office.now()),
        }
        return Statement(**(plain | changes))

    def request_ticket(self, statement: Statement | None = None, key: Key | None = None) -> Answer:
        signed = signed_by(key or self.pen.key, self.pen.certificate, (statement or self.statement()).encode())
        return self.ask(private.TICKET_REQUEST, private.TicketRequest(statement=signed, signed=True, campaign=b""))

    def request_excused(self, campaign: bytes, statement: Statement) -> Answer:
        request = private.TicketRequest(statement=statement.encode(), signed=False, campaign=campaign)
        return self.ask(private.TICKET_REQUEST, request)

    def fetch(self, card: str = CARD) -> Answer:
        return self.ask(private.TICKET_FETCH, private.TicketFetch(card=card))

    def arm(self, ticket: str, key: Key) -> Answer:
        return self.ask(private.TICKET_ARM, private.TicketArm(ticket=ticket, public_key=public(key)))

    def certify(self, ticket: str | None, key: Key, peer: Peer | None = None, **changes: Any) -> Answer:
        plain: dict[str, Any] = {"old": self.pen.certificate, "ticket": ticket, "usages": SIGNING}
        return (peer or self.card.anew()).say(Request(BodyType.CR, key, **(plain | changes)).body())

    def deliver(self, receipt: bytes) -> Answer:
        return self.ask(private.RECEIPT, private.ReceiptDelivery(receipt=receipt))

    def receipt(self, new: bytes, issuing_nonce: bytes, key: Key, **changes: Any) -> bytes:
        plain = {"certificate": sha256_hex(new), "old": sha256_hex(self.pen.certificate), "nonce": issuing_nonce.hex()}
        return signed_by(key, new, self.statement(Purpose.RECEIPT, **(plain | changes)).encode())


def person(office: Office, usages: frozenset[str] = SIGNING, subject: bytes | None = None) -> Person:
    more = {} if subject is None else {"subject": subject}
    return Person(office, enrolled(office, AUTHENTICATION, **more), enrolled(office, usages, **more))  # type: ignore[arg-type]


def signed_by(key: Any, certificate: bytes, content: bytes) -> bytes:
    return cms.sign(content, x509.load_der_x509_certificate(certificate), key)


def ticket_of(answer: Answer) -> private.TicketAnswer:
    """The ticket in a genp."""
    (item,) = answer.info
    assert item.oid == private.TICKET
    return asn1.decode_der(private.TicketAnswer, item.value or b"")


def receipt_answer_of(answer: Answer) -> private.ReceiptAnswer:
    (item,) = answer.info
    assert item.oid == private.RECEIPT_ANSWER
    return asn1.decode_der(private.ReceiptAnswer, item.value or b"")


def state_of(office: Office, certificate: bytes) -> str:
    row = office.book.get(sha256_hex(certificate))
    assert row is not None
    return row.state


def campaign(office: Office, signer: tuple[bytes, Any] | None = None, **changes: Any) -> bytes:
    """A signed campaign that says that old keys may be unusable."""
    import json

    document: dict[str, Any] = {
        "id": "trial",
        "version": 1,
        "published": _text(office.now().replace(hour=0)),
        "expires": _text(office.now().replace(year=office.now().year + 1)),
        "reason": {"en": "A trial."},
        "rules": [{"name": "all"}],
        "remedy": "renew",
        "rekey": "required",
        "old_key": "may-be-unusable",
    }
    certificate, key = signer or office.pki.campaign_signer
    return signed_by(key, certificate, json.dumps(document | changes).encode())


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
