"""Sign-in, status, general questions, approval, CRLs and the audit log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from renewagent.cmp import bodies, codec, der
from renewagent.cmp.wire import BodyType, InfoValue, Oid, PkiStatus
from renewagent.statements import Purpose
from renewagent_fixtures.mock_ra.audit import verify_chain
from renewagent_fixtures.mock_ra.ca import sha256_hex
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office
from renewagent_fixtures.mock_ra.rows import AuditRow
from tests.unit.mock_ra.peer import AUTHENTICATION, BOTH, Answer, Clock, Peer, Request, enrolled, office, p256
from tests.unit.mock_ra.person import Person, person, signed_by, state_of, ticket_of

OTHER = x509.Name.from_rfc4514_string("CN=Dr Other,O=Surgery,C=GB").public_bytes()


def sign_in(somebody: Person, signer: Peer | None = None, **changes: Any) -> dict[str, object]:
    by = signer or somebody.card
    statement = somebody.statement(Purpose.SIGN_IN, **changes)
    return somebody.office.sign_in.sign_in(signed_by(by.key, by.certificate, statement.encode()), somebody.office.now())


def test_sign_in(ra: Office) -> None:
    assert sign_in(person(ra)) == {"signed_in": True, "name": "Dr Ada Example", "roles": ["Prescriber"]}


def test_who_is_not_signed_in(ra: Office, clock: Clock) -> None:
    ada, bob = person(ra), person(ra, subject=OTHER)
    nonce = ra.nonces.issue(ra.now())
    assert sign_in(ada, nonce=nonce)["signed_in"]
    refused = (
        sign_in(ada, nonce=nonce),
        sign_in(ada, nonce="00" * 32),
        sign_in(ada, origin="https://elsewhere:443"),
        sign_in(ada, certificate="00" * 32),
        sign_in(ada, certificate=sha256_hex(bob.pen.certificate)),
        sign_in(ada, at=ra.now() - timedelta(minutes=6)),
        sign_in(ada, signer=bob.card),
        sign_in(ada, signer=enrolled(ra, BOTH)),
        ra.sign_in.sign_in(b"nonsense", ra.now()),
    )
    assert [answer["signed_in"] for answer in refused] == [False] * len(refused)
    assert all(answer["why"] for answer in refused)
    ra.revoke(sha256_hex(ada.pen.certificate), "keyCompromise")
    assert not sign_in(ada)["signed_in"]
    ra.revoke(sha256_hex(bob.card.certificate), "keyCompromise")
    assert not sign_in(bob)["signed_in"]


def test_a_challenge_serves_for_ten_minutes(ra: Office, clock: Clock) -> None:
    ada = person(ra)
    nonce = ra.nonces.issue(ra.now())
    clock.forward(minutes=10, seconds=1)
    assert not sign_in(ada, nonce=nonce)["signed_in"]


def look_up(ra: Office, certificate: bytes) -> dict[str, object]:
    parsed = x509.load_der_x509_certificate(certificate)
    return ra.status.look_up(parsed.issuer.rfc4514_string(), format(parsed.serial_number, "x"), ra.now())


NOTHING_ELSE = {"come_back": None, "in_person": False, "more_affected": 0}
QUIET = {"revoked": False, "waiting": None, "pair": None, **NOTHING_ELSE}


def test_status_around_a_ticket(ra: Office) -> None:
    """The same word for the old certificate and the new one, all the way."""
    ada, key = person(ra), p256()
    seen = [look_up(ra, ada.pen.certificate)["state"]]
    ticket = ticket_of(ada.request_ticket()).ticket
    seen.append(look_up(ra, ada.pen.certificate)["state"])
    ada.arm(ticket, key)
    seen.append(look_up(ra, ada.pen.certificate)["state"])
    peer = ada.card.anew()
    issued = ada.certify(ticket, key, peer)
    seen.append(look_up(ra, ada.pen.certificate)["state"])
    assert look_up(ra, issued.certificate)["state"] == "issued"
    peer.confirm(issued)
    seen.append(look_up(ra, ada.pen.certificate)["state"])
    assert look_up(ra, issued.certificate) == {"known": True, "state": "confirmed", **QUIET}
    ada.deliver(ada.receipt(issued.certificate, issued.nonce, key))
    seen.append(look_up(ra, ada.pen.certificate)["state"])
    assert seen == [None, "open", "armed", "issued", "confirmed", "closed"]
    assert look_up(ra, ada.pen.certificate)["revoked"]
    assert look_up(ra, issued.certificate) == {"known": True, "state": "closed", **QUIET}


def test_status_around_a_kur(ra: Office, clock: Clock) -> None:
    ada, key = person(ra, BOTH), p256()
    answer = ada.pen.say(Request(BodyType.KUR, key, old=ada.pen.certificate).body())
    assert look_up(ra, ada.pen.certificate)["state"] == "issued"
    ada.pen.confirm(answer)
    assert look_up(ra, ada.pen.certificate)["state"] == "confirmed"
    assert look_up(ra, answer.certificate)["state"] == "confirmed"
    ada.deliver(ada.receipt(answer.certificate, answer.nonce, key))
    assert look_up(ra, answer.certificate)["state"] == "closed"


def test_status_of_strangers(ra: Office) -> None:
    unknown = {"known": False, "state": None, **QUIET}
    assert ra.status.look_up("CN=Nobody", "1a", ra.now()) == unknown
    ada = person(ra)
    serial = format(x509.load_der_x509_certificate(ada.pen.certificate).serial_number, "x")
    assert ra.status.look_up("CN=Nobody", serial, ra.now()) == unknown
    for issuer, number in (("nonsense", "1a"), ("CN=Nobody", "xyz")):
        with pytest.raises(ValueError, match=r"."):
            ra.status.look_up(issuer, number, ra.now())


def poll(peer: Peer, answer: Answer) -> Answer:
    return peer.say(bodies.write_poll_requests((0,)), recip_nonce=answer.nonce)


def test_a_request_that_waits_for_approval(ra: Office, clock: Clock) -> None:
    """waiting, pollRep, approval, the certificate, certConf; and it all outlives a restart in the middle."""
    ra.turn(replace(Knobs(), approval=True, check_after=7))
    ada = person(ra, BOTH)
    peer = ada.pen
    waiting = peer.say(Request(BodyType.KUR, p256(), old=peer.certificate).body())
    assert bodies.read_cert_rep(waiting.message).responses[0].status.status == PkiStatus.WAITING
    expected = {"transaction": peer.transaction.hex(), "ready": False, "check_after": 7}
    assert look_up(ra, peer.certificate)["waiting"] == expected
    later = poll(peer, waiting)
    assert bodies.read_poll_replies(later.message)[0].check_after == 7
    ra.close()
    again = office(ra.folder, clock, Knobs(approval=True))
    try:
        peer = replace(peer, office=again)
        assert poll(peer, waiting).kind is BodyType.POLLREP  # our last answer may have been lost: the nonce before
        assert again.approve(None) == 1
        assert look_up(again, peer.certificate)["waiting"] == expected | {"ready": True, "check_after": 1}
        issued = poll(peer, poll_nonce(again, peer))
        assert issued.kind is BodyType.KUP
        assert peer.confirm(issued).kind is BodyType.PKICONF
        assert look_up(again, peer.certificate)["waiting"] is None
    finally:
        again.close()


def poll_nonce(ra: Office, peer: Peer) -> Answer:
    """An answer whose nonce is the last one that the RA gave in this conversation."""
    transaction = ra.authority.transactions.get(peer.transaction)
    assert transaction is not None
    header = replace(peer.header(), sender_nonce=transaction.nonce)
    octets = codec.encode_message(codec.encode_header(header), bodies.write_pki_conf(), b"x")
    return Answer(codec.decode_message(octets))


def test_approval_by_time(ra: Office, clock: Clock) -> None:
    ra.turn(replace(Knobs(), approval=True, approve_after=30.0))
    peer = person(ra, BOTH).pen
    waiting = peer.say(Request(BodyType.KUR, p256(), old=peer.certificate).body())
    clock.forward(seconds=31)
    assert poll(peer, waiting).kind is BodyType.KUP


@pytest.mark.parametrize("oid", ["1.3.6.1.5.5.7.4.17", "1.3.6.1.5.5.7.4.20", "1.3.6.1.5.5.7.4.19"])
def test_general_questions(ra: Office, oid: str) -> None:
    answer = ask(ra, InfoValue(x509.ObjectIdentifier(oid)))
    assert len(answer.info) == 1


def ask(ra: Office, item: InfoValue) -> Answer:
    return Peer(ra).say(bodies.write_info(BodyType.GENM, (item,)))


def test_ca_certificates(ra: Office) -> None:
    (item,) = ask(ra, InfoValue(Oid.CA_CERTS)).info
    found = [der.raw(e) for e in der.elements(der.unwrap(item.value or b"", der.SEQUENCE))]
    assert found == [ra.pki.authentication.der, ra.pki.signing.der]


def test_crls_by_cmp(ra: Office) -> None:
    """The CRL of the CA that is named, with what was revoked in it."""
    somebody = enrolled(ra, AUTHENTICATION)
    ra.revoke(sha256_hex(somebody.certificate), "keyCompromise")
    issuer = der.tlv(0xA1, der.sequence((codec.directory(ra.pki.authentication.name),)))
    (item,) = ask(ra, InfoValue(Oid.CRL_STATUS_LIST, der.sequence((der.sequence((issuer,)),)))).info
    assert item.oid == Oid.CRLS
    crl = x509.load_der_x509_crl(der.unwrap(item.value or b"", der.SEQUENCE))
    assert crl.issuer == ra.pki.authentication.certificate.subject
    assert len(list(crl)) == 1


def test_an_unknown_question_gets_an_empty_answer(ra: Office) -> None:
    assert ask(ra, InfoValue(x509.ObjectIdentifier("1.2.3.4"))).info == ()


def test_an_ra_that_knows_no_tickets(ra: Office) -> None:
    ra.turn(Knobs(knows_no_tickets=True))
    assert person(ra).request_ticket().info == ()
    ra.turn(Knobs(no_receipts=True))
    ada = person(ra)
    assert ada.request_ticket().info
    assert ada.deliver(b"").info == ()


def test_an_ra_that_refuses(ra: Office) -> None:
    ra.turn(Knobs(refuse="systemUnavail"))
    assert Peer(ra).say(Request(BodyType.IR, p256()).body()).failures == {"systemUnavail"}


def test_an_ra_whose_clock_is_wrong(ra: Office, clock: Clock) -> None:
    ra.turn(Knobs(clock_offset=3600.0))
    peer = Peer(ra)
    answer = peer.say(Request(BodyType.IR, p256()).body(), message_time=clock.now)
    assert answer.failures == {"badTime"}


@pytest.mark.parametrize(("mode", "asks", "granted"), [("asked", True, 1), ("asked", False, 0), ("always", False, 1)])
def test_implicit_confirmation(ra: Office, mode: Any, asks: bool, granted: int) -> None:
    ra.turn(Knobs(implicit_confirm=mode))
    info = (InfoValue(Oid.IMPLICIT_CONFIRM, der.NULL),) if asks else ()
    peer = Peer(ra)
    answer = peer.say(Request(BodyType.IR, p256()).body(), general_info=info)
    assert sum(i.oid == Oid.IMPLICIT_CONFIRM for i in answer.message.header.general_info) == granted
    assert state_of(ra, answer.certificate) == ("valid" if granted else "unconfirmed")


def test_the_audit_log_shows_every_change(ra: Office) -> None:
    person(ra)
    rows = ra.store.find(AuditRow)
    assert verify_chain(rows) is None
    assert verify_chain([*rows[:-1], replace(rows[-1], details="{}")]) == f"entry {len(rows)} was changed"
    assert verify_chain(rows[1:]) == "entry 1 is missing"
    forged = [rows[0], replace(rows[1], previous="0" * 64)]
    assert verify_chain(forged) == "entry 2 does not follow from the one before"


def test_the_audit_log_goes_on_after_a_restart(ra: Office, clock: Clock) -> None:
    person(ra)
    before = len(ra.store.find(AuditRow))
    again = office(ra.folder, clock)
    try:
        person(again)
        assert len(again.store.find(AuditRow)) == before + 2
        assert again.check_audit() is None
    finally:
        again.close()


def test_crl_files_appear(ra: Office) -> None:
    ra.tidy()
    names = {f.stem for f in (ra.folder / "crl").iterdir()}
    assert names == {"root", "authentication", "signing", "campaign"}
