"""Tickets: the table of their states, and that the authentication key alone fetches no signing certificate."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.cmp import bodies, private
from renewagent.cmp.wire import BodyType, CertStatus, PkiStatus, StatusInfo
from renewagent.statements import Purpose
from renewagent_fixtures.mock_ra.authority import public_key_of
from renewagent_fixtures.mock_ra.ca import sha256_hex
from renewagent_fixtures.mock_ra.certificates import Wanted
from renewagent_fixtures.mock_ra.office import Office
from renewagent_fixtures.mock_ra.rows import AuditRow, TicketRow
from tests.unit.mock_ra.peer import AUTHENTICATION, BOTH, SIGNING, Clock, Peer, Request, enrolled, office, p256, public
from tests.unit.mock_ra.person import CARD, Person, campaign, person, signed_by, state_of, ticket_of

OTHER = x509.Name.from_rfc4514_string("CN=Dr Other,O=Surgery,C=GB").public_bytes()


def opened(somebody: Person) -> str:
    return ticket_of(somebody.request_ticket()).ticket


def test_a_ticket_from_its_request_to_the_receipt(ra: Office) -> None:
    """open, armed, issued, confirmed, closed: each step is seen in a fetch, and the certificates follow."""
    ada, new = person(ra), p256()
    first = ticket_of(ada.request_ticket())
    assert first.state == "open"
    assert first.old == sha256_hex(ada.pen.certificate)
    assert len(first.ticket) * 6 >= 128
    assert ticket_of(ada.arm(first.ticket, new)).state == "armed"
    peer = ada.card.anew()
    issued = ada.certify(first.ticket, new, peer)
    seen = ticket_of(ada.fetch())
    assert (seen.state, seen.certificate) == ("issued", issued.certificate)
    assert (seen.transaction, seen.nonce) == (peer.transaction, issued.nonce)
    assert seen.public_key == public(new)
    assert state_of(ra, ada.pen.certificate) == "valid"
    assert peer.confirm(issued).kind is BodyType.PKICONF
    assert ticket_of(ada.fetch()).state == "confirmed"
    assert (state_of(ra, issued.certificate), state_of(ra, ada.pen.certificate)) == ("valid", "updated")
    receipt = ada.receipt(issued.certificate, issued.nonce, new)
    assert ada.deliver(receipt).kind is BodyType.GENP
    assert ada.fetch().info == ()
    assert state_of(ra, ada.pen.certificate) == "revoked"
    assert ra.check_audit() is None


def test_a_signing_certificate_for_a_new_key_needs_a_ticket(ra: Office) -> None:
    ada = person(ra)
    for kind in (BodyType.CR, BodyType.IR):
        for usages in (SIGNING, BOTH, None, frozenset({"keyEncipherment"})):
            refused = ada.card.anew().say(Request(kind, p256(), usages=usages).body())
            assert refused.failures == {"notAuthorized"}, (kind, usages)
    name = x509.load_der_x509_certificate(ada.card.certificate).subject
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(p256(), hashes.SHA256())
    pkcs10 = bodies.write_pkcs10(request.public_bytes(Encoding.DER))
    assert ada.card.anew().say(pkcs10).failures == {"notAuthorized"}
    own_kur = Request(BodyType.KUR, p256(), old=ada.card.certificate, usages=SIGNING)
    assert ada.card.anew().say(own_kur.body()).failures == {"badCertTemplate"}
    refused = ada.certify(None, p256())
    assert refused.failures == {"notAuthorized"}
    assert ra.counters()["issued"] == 2


def test_the_old_certificates_own_key_needs_none(ra: Office) -> None:
    """Way A by cr: another certificate over the key that signs already."""
    ada = person(ra)
    peer = ada.card.anew()
    issued = ada.certify(None, ada.pen.key, peer)  # type: ignore[arg-type]
    assert peer.confirm(issued).kind is BodyType.PKICONF
    assert state_of(ra, ada.pen.certificate) == "updated"
    assert ada.certify(None, ada.pen.key).failures == {"certRevoked"}  # type: ignore[arg-type]


def test_a_certificate_of_ones_own_is_still_had_by_cr(ra: Office) -> None:
    """What a general RA grants: a further authentication certificate; and to a signing key, a signing certificate."""
    ada, eve = person(ra), enrolled(ra, BOTH)
    assert ada.card.anew().say(Request(BodyType.CR, p256(), usages=AUTHENTICATION).body()).kind is BodyType.CP
    assert eve.anew().say(Request(BodyType.CR, p256()).body()).kind is BodyType.CP
    assert eve.anew().say(Request(BodyType.CR, p256(), subject=OTHER).body()).failures == {"notAuthorized"}


def test_nobody_elses_card_can_use_a_ticket(ra: Office) -> None:
    ada, bob = person(ra), person(ra, subject=OTHER)
    twin = enrolled(ra, AUTHENTICATION)  # the same person's, but another certificate than the one in the ticket
    ticket = opened(ada)
    assert bob.certify(ticket, p256(), subject=OTHER).failures == {"notAuthorized"}
    assert ada.certify(ticket, p256(), twin).failures == {"notAuthorized"}
    assert ada.certify(ticket[:-1] + "!", p256()).failures == {"notAuthorized"}
    assert bob.arm(ticket, p256()).failures == {"notAuthorized"}
    assert bob.fetch().info == ()
    mac = Peer(ra).say(bodies.write_info(BodyType.GENM, ()))
    assert mac.kind is BodyType.GENP


@pytest.mark.parametrize("body", [BodyType.IR, BodyType.KUR])
def test_a_ticket_is_good_in_a_cr_only(ra: Office, body: BodyType) -> None:
    ada = person(ra)
    old = ada.card.certificate
    answer = ada.card.anew().say(Request(body, p256(), old=old, ticket=opened(ada)).body())
    assert answer.failures == {"badRequest"}


def test_the_cr_names_the_old_certificate_and_keeps_its_usage(ra: Office) -> None:
    ada = person(ra)
    ticket, other = opened(ada), enrolled(ra, SIGNING)
    assert ada.certify(ticket, p256(), old=None).failures == {"badRequest"}
    assert ada.certify(ticket, p256(), old=other.certificate).failures == {"badCertId"}
    assert ada.certify(ticket, p256(), usages=BOTH).failures == {"badCertTemplate"}
    assert ada.certify(ticket, p256(), usages=AUTHENTICATION).failures == {"badCertTemplate"}
    made = x509.load_der_x509_certificate(ada.certify(ticket, p256(), usages=None).certificate)
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value.content_commitment


def test_an_open_ticket_ends_after_fourteen_days_and_an_armed_one_never(ra: Office, clock: Clock) -> None:
    ada, bob = person(ra), person(ra, subject=OTHER)
    unused, used, key = opened(ada), ticket_of(bob.request_ticket()).ticket, p256()
    bob.arm(used, key)
    clock.forward(days=14, minutes=1)
    assert ada.fetch().info == ()
    assert ada.certify(unused, p256()).failures == {"notAuthorized"}
    assert ticket_of(bob.fetch()).state == "armed"
    assert bob.certify(used, key, subject=OTHER).kind is BodyType.CP


def test_a_second_key_while_armed_takes_the_first_ones_place(ra: Office) -> None:
    ada, first, second = person(ra), p256(), p256()
    ticket = opened(ada)
    ada.arm(ticket, first)
    assert ticket_of(ada.arm(ticket, second)).public_key == public(second)
    issued = ada.certify(ticket, second)
    assert public_of(issued.certificate) == public(second)


def public_of(certificate: bytes) -> bytes:
    return public_key_of(certificate)


def test_a_lost_answer_gives_the_same_certificate_again(ra: Office) -> None:
    """One certificate per ticket: asked twice for one key, the RA issues once, and the first conversation is over."""
    ada, key = person(ra), p256()
    ticket, lost, again = opened(ada), ada.card.anew(), ada.card.anew()
    first = ada.certify(ticket, key, lost)
    second = ada.certify(ticket, key, again)
    assert first.certificate == second.certificate
    assert lost.confirm(first).failures == {"badRequest"}
    assert again.confirm(second).kind is BodyType.PKICONF
    assert ra.counters()["issued"] == 3


def test_a_second_key_once_issued_revokes_the_first_at_once(ra: Office) -> None:
    ada = person(ra)
    ticket, before = opened(ada), ada.card.anew()
    first = ada.certify(ticket, p256(), before)
    second = ada.certify(ticket, p256())
    assert state_of(ra, first.certificate) == "revoked"
    assert state_of(ra, second.certificate) == "unconfirmed"
    assert before.confirm(first).failures == {"badRequest"}
    events = [row.event for row in ra.store.find(AuditRow)]
    assert "ticket.second-key" in events


def test_a_second_key_once_confirmed_is_refused(ra: Office) -> None:
    ada, key = person(ra), p256()
    ticket, peer = opened(ada), ada.card.anew()
    peer.confirm(ada.certify(ticket, key, peer))
    assert ada.certify(ticket, p256()).failures & {"notAuthorized", "certRevoked"}
    assert ada.certify(ticket, key).failures & {"notAuthorized", "certRevoked"}


def test_no_timeout_withdraws_a_tickets_certificate(ra: Office, clock: Clock) -> None:
    ada, key = person(ra), p256()
    peer = ada.card.anew()
    issued = ada.certify(opened(ada), key, peer)
    clock.forward(days=30)
    ra.tidy()
    assert state_of(ra, issued.certificate) == "unconfirmed"
    assert peer.confirm(issued).kind is BodyType.PKICONF


def test_a_rejected_certificate_leaves_the_ticket_armed(ra: Office) -> None:
    ada = person(ra)
    ticket, peer = opened(ada), ada.card.anew()
    issued = ada.certify(ticket, p256(), peer)
    no = CertStatus(hashlib.sha256(issued.certificate).digest(), 0, StatusInfo(PkiStatus.REJECTION))
    assert peer.confirm(issued, body=bodies.write_confirmations((no,))).kind is BodyType.PKICONF
    assert state_of(ra, issued.certificate) == "withdrawn"
    seen = ticket_of(ada.fetch())
    assert (seen.state, seen.certificate) == ("armed", b"")
    assert ada.certify(ticket, p256()).kind is BodyType.CP


def test_an_officers_revocation_ends_the_ticket(ra: Office) -> None:
    ada = person(ra)
    issued = ada.certify(opened(ada), p256())
    assert ra.revoke(sha256_hex(issued.certificate), "keyCompromise")
    assert ada.fetch().info == ()


def test_asking_again_gives_the_ticket_that_stands(ra: Office) -> None:
    ada = person(ra)
    assert opened(ada) == opened(ada)
    assert len(ra.all_tickets()) == 1


def test_the_ticket_itself_is_not_in_the_store(ra: Office) -> None:
    ticket = opened(person(ra)).encode()
    (row,) = ra.store.find(TicketRow)
    assert row.digest == sha256_hex(ticket)
    ra.store.flush()
    files = [f for f in ra.folder.rglob("*") if f.is_file()]
    assert not [f for f in files if ticket in f.read_bytes()]


@pytest.mark.parametrize(
    ("field", "value", "failure"),
    [
        ("origin", "https://ra.example:443", "badRequest"),
        ("card", "-", "badRequest"),
        ("certificate", "00" * 32, "badCertId"),
        ("nonce", "00" * 32, "badRecipientNonce"),
        ("purpose", Purpose.SIGN_IN, "badRequest"),
    ],
)
def test_each_field_of_the_statement_counts(ra: Office, field: str, value: Any, failure: str) -> None:
    ada = person(ra)
    assert ada.request_ticket(ada.statement(**{field: value})).failures == {failure}
    assert ra.all_tickets() == []


def test_the_statements_time_and_nonce(ra: Office) -> None:
    ada = person(ra)
    for minutes in (-6, 6):
        late = ada.statement(at=ra.now() + timedelta(minutes=minutes))
        assert ada.request_ticket(late).failures == {"badTime"}
    statement = ada.statement()
    assert ada.request_ticket(statement).kind is BodyType.GENP
    assert ada.request_ticket(statement).failures == {"badRecipientNonce"}


def test_the_statement_is_signed_by_the_key_it_is_about(ra: Office) -> None:
    """The card's fault may be that the old key does not fit its certificate; then, and for 9A's key, there is no
    ticket this way."""
    ada = person(ra)
    assert ada.request_ticket(key=p256()).failures == {"badMessageCheck"}
    by_card = signed_by(ada.card.key, ada.card.certificate, ada.statement().encode())
    request = private.TicketRequest(statement=by_card, signed=True, campaign=b"")
    assert ada.ask(private.TICKET_REQUEST, request).failures == {"badCertId"}
    bob = person(ra, subject=OTHER)
    stolen = signed_by(bob.pen.key, bob.pen.certificate, bob.statement().encode())
    request = private.TicketRequest(statement=stolen, signed=True, campaign=b"")
    assert ada.ask(private.TICKET_REQUEST, request).failures == {"badCertId"}


def test_a_signing_certificate_asks_for_no_ticket(ra: Office) -> None:
    pen = enrolled(ra, BOTH)
    somebody = Person(ra, pen, pen)
    assert somebody.request_ticket().failures == {"notAuthorized"}
    answer = somebody.fetch()  # it may ask about the certificate beside it, of which nothing is open
    assert answer.failures == frozenset()
    assert answer.info == ()


def test_without_the_old_key_only_if_the_campaign_says_so(ra: Office) -> None:
    ada = person(ra)

    def asked(document: bytes, name: str = "trial/1") -> frozenset[str]:
        return ada.request_excused(document, ada.statement(campaign=name)).failures

    assert asked(b"") == {"notAuthorized"}
    assert asked(campaign(ra, old_key="usable")) == {"notAuthorized"}
    assert asked(campaign(ra, withdrawn=True)) == {"notAuthorized"}
    assert asked(campaign(ra, paused=True)) == {"notAuthorized"}
    assert asked(campaign(ra, expires="2026-01-01T00:00:00Z")) == {"notAuthorized"}
    assert asked(campaign(ra, rules=[{"name": "old", "issued_to": "2020-01-01T00:00:00Z"}])) == {"notAuthorized"}
    assert asked(campaign(ra, rules=[{"name": "x", "issuer": "CN=Somebody"}])) == {"notAuthorized"}
    assert asked(campaign(ra, rules=[{"name": "x", "serials": ["1", "2-3"]}])) == {"notAuthorized"}
    assert asked(campaign(ra, rules=[{"name": "x", "key_algorithms": ["rsa"]}])) == {"notAuthorized"}
    assert asked(campaign(ra), name="trial/2") == {"notAuthorized"}
    assert asked(campaign(ra, signer=(ada.pen.certificate, ada.pen.key))) == {"notAuthorized"}
    assert ra.all_tickets() == []
    answer = ada.request_excused(campaign(ra), ada.statement(campaign="trial/1"))
    assert ticket_of(answer).campaign == "trial/1"


def test_a_revoked_campaign_signer_excuses_nobody(ra: Office) -> None:
    ada = person(ra)
    assert ra.revoke(sha256_hex(ra.pki.campaign_signer[0]), "keyCompromise")
    answer = ada.request_excused(campaign(ra), ada.statement(campaign="trial/1"))
    assert answer.failures == {"notAuthorized"}
    crl = x509.load_der_x509_crl(ra.publisher.crl("campaign", ra.now()))
    assert len(list(crl)) == 1


def test_an_updated_certificate_gets_no_ticket(ra: Office) -> None:
    ada = person(ra)
    peer = ada.card.anew()
    peer.confirm(ada.certify(None, ada.pen.key, peer))  # type: ignore[arg-type]
    assert ada.request_ticket().failures == {"certRevoked"}


def test_a_ticket_outlives_a_restart(ra: Office, clock: Clock) -> None:
    ada, key = person(ra), p256()
    ticket = opened(ada)
    ada.arm(ticket, key)
    again = office(ra.folder, clock)
    try:
        later = Person(again, Peer(again, ada.card.key, ada.card.certificate), ada.pen)
        assert ticket_of(later.fetch(CARD)).ticket == ticket
        assert later.certify(ticket, key).kind is BodyType.CP
    finally:
        again.close()


def test_direct_issue_is_known_like_any_other(ra: Office) -> None:
    made = ra.issue(Wanted(OTHER, public(p256()), SIGNING))
    assert state_of(ra, made) == "valid"
