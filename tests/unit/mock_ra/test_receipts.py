"""Receipts: only the new key's own word, after the certConf, revokes the certificate that was replaced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509

from renewagent.cmp.wire import BodyType
from renewagent.statements import Purpose
from renewagent_fixtures.mock_ra.ca import sha256_hex
from renewagent_fixtures.mock_ra.office import Office
from tests.unit.mock_ra.peer import BOTH, Answer, Clock, Key, Peer, Request, p256
from tests.unit.mock_ra.person import Person, person, receipt_answer_of, signed_by, state_of, ticket_of

OTHER = x509.Name.from_rfc4514_string("CN=Dr Other,O=Surgery,C=GB").public_bytes()


@dataclass(frozen=True)
class Renewed:
    """A person whose new certificate is confirmed, and no receipt sent."""

    who: Person
    key: Key
    issued: Answer

    def receipt(self, **changes: object) -> bytes:
        return self.who.receipt(self.issued.certificate, self.issued.nonce, self.key, **changes)


def renewed(ra: Office, *, confirm: bool = True) -> Renewed:
    ada, key = person(ra), p256()
    ticket, peer = ticket_of(ada.request_ticket()).ticket, ada.card.anew()
    issued = ada.certify(ticket, key, peer)
    if confirm:
        assert peer.confirm(issued).kind is BodyType.PKICONF
    return Renewed(ada, key, issued)


def test_the_old_certificate_is_revoked_by_the_receipt_and_not_before(ra: Office) -> None:
    done = renewed(ra)
    old = done.who.pen.certificate
    assert state_of(ra, old) == "updated"
    receipt = done.receipt()
    answer = receipt_answer_of(done.who.deliver(receipt))
    assert answer.revoked == sha256_hex(old)
    assert answer.receipt.hex() == sha256_hex(receipt)
    assert state_of(ra, old) == "revoked"
    assert [row.receipt for row in ra.all_receipts()] == [receipt]
    crl = x509.load_der_x509_crl(ra.publisher.crl("signing", ra.now()))
    entry = crl.get_revoked_certificate_by_serial_number(x509.load_der_x509_certificate(old).serial_number)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded


def test_delivering_again_changes_nothing(ra: Office) -> None:
    done = renewed(ra)
    receipt = done.receipt()
    first = receipt_answer_of(done.who.deliver(receipt))
    second = receipt_answer_of(done.who.deliver(receipt))
    assert (first.receipt, first.revoked) == (second.receipt, second.revoked)
    assert len(ra.all_receipts()) == 1


def test_a_receipt_comes_after_the_cert_conf(ra: Office) -> None:
    early = renewed(ra, confirm=False)
    assert early.who.deliver(early.receipt()).failures == {"badRequest"}
    assert state_of(ra, early.who.pen.certificate) == "valid"


@pytest.mark.parametrize(
    ("field", "value", "failure"),
    [
        ("origin", "https://elsewhere:443", "badRequest"),
        ("card", "chuid:ffff", "badRequest"),
        ("campaign", "other/9", "badRequest"),
        ("certificate", "00" * 32, "badCertId"),
        ("old", "00" * 32, "badCertId"),
        ("nonce", "00" * 16, "badRecipientNonce"),
        ("purpose", Purpose.TICKET, "badRequest"),
    ],
)
def test_each_field_counts(ra: Office, field: str, value: object, failure: str) -> None:
    done = renewed(ra)
    if field == "purpose":
        statement = done.who.statement(certificate=sha256_hex(done.issued.certificate), nonce=done.issued.nonce.hex())
        receipt = signed_by(done.key, done.issued.certificate, statement.encode())
    else:
        receipt = done.receipt(**{field: value})
    assert done.who.deliver(receipt).failures == {failure}
    assert state_of(ra, done.who.pen.certificate) == "updated"


def test_a_receipt_may_come_late_but_not_from_before_or_the_future(ra: Office, clock: Clock) -> None:
    done = renewed(ra)
    begun, receipt = ra.now(), done.receipt()
    clock.forward(days=3)
    for at in (begun - timedelta(minutes=6), ra.now() + timedelta(minutes=6)):
        assert done.who.deliver(done.receipt(at=at)).failures == {"badTime"}
    assert done.who.deliver(receipt).kind is BodyType.GENP


def test_only_the_new_key_gives_a_receipt(ra: Office) -> None:
    done = renewed(ra)
    by_old = signed_by(
        done.who.pen.key,
        done.who.pen.certificate,
        done.who.statement(
            Purpose.RECEIPT,
            certificate=sha256_hex(done.issued.certificate),
            old=sha256_hex(done.who.pen.certificate),
            nonce=done.issued.nonce.hex(),
        ).encode(),
    )
    assert done.who.deliver(by_old).failures == {"badCertId"}
    forged = done.who.receipt(done.issued.certificate, done.issued.nonce, p256())
    assert done.who.deliver(forged).failures == {"badMessageCheck"}


def test_nobody_else_delivers_it(ra: Office) -> None:
    done, bob = renewed(ra), person(ra, subject=OTHER)
    assert bob.deliver(done.receipt()).failures == {"notAuthorized"}


def test_after_a_kur_too(ra: Office) -> None:
    """Ways A and B go without a ticket: the receipt is matched by the conversation."""
    ada = person(ra, BOTH)
    key = p256()
    answer = ada.pen.say(Request(BodyType.KUR, key, old=ada.pen.certificate).body())
    assert ada.pen.confirm(answer).kind is BodyType.PKICONF
    receipt = ada.receipt(answer.certificate, answer.nonce, key, campaign="trial/1")
    assert ada.deliver(receipt).kind is BodyType.GENP
    assert state_of(ra, ada.pen.certificate) == "revoked"


def test_a_cmp_message_is_no_receipt(ra: Office) -> None:
    """What was signed for one purpose is good for no other."""
    done = renewed(ra)
    other = Peer(ra, done.key, done.issued.certificate)
    message = signed_by(done.key, done.issued.certificate, (other.key and Request(BodyType.CR, p256()).body()) or b"")
    assert done.who.deliver(message).failures == {"badDataFormat"}
