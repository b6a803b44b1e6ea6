"""The RA's half of CMP: what it refuses, row by row with the failInfo of RFC 9810 5.2.3, and what it grants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.cmp import bodies, codec, crmf, der
from renewagent.cmp.wire import Algorithm, BodyType, CertStatus, ErrorContent, InfoValue, Oid, PkiStatus, StatusInfo
from renewagent_fixtures.mock_ra.office import Office
from tests.unit.mock_ra.peer import (
    AUTHENTICATION,
    BOTH,
    ECDSA_SHA256,
    HOLDER,
    NOW,
    SIGNING,
    Answer,
    Clock,
    Peer,
    Request,
    enrolled,
    p256,
    public,
    sign,
    stranger,
)
from tests.unit.mock_ra.peer import office as make_office

KUR, IR, CR = BodyType.KUR, BodyType.IR, BodyType.CR
NULL = b"\x05\x00"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One RA for all refusals: each uses people of its own."""
    made = make_office(tmp_path_factory.mktemp("ra"), Clock())
    yield made
    made.close()


@pytest.fixture(scope="module")
def somebody(standing: Office) -> Peer:
    return enrolled(standing, BOTH)


@pytest.fixture
def ra(tmp_path: Path, clock: Clock) -> Iterator[Office]:
    made = make_office(tmp_path / "ra", clock)
    yield made
    made.close()


@dataclass(frozen=True)
class Case:
    """One thing to get wrong: `provoke` does so at an RA where `peer` could have had a kur."""

    name: str
    failures: frozenset[str]
    provoke: Callable[[Peer], Answer]


def kur(peer: Peer, **changes: object) -> Request:
    return replace(Request(KUR, p256(), old=peer.certificate), **changes)  # type: ignore[arg-type]


def with_header(**changes: object) -> Callable[[Peer], Answer]:
    return lambda peer: peer.say(kur(peer).body(), **changes)


def with_request(**changes: object) -> Callable[[Peer], Answer]:
    return lambda peer: peer.say(kur(peer, **changes).body())


def with_info(*items: InfoValue) -> Callable[[Peer], Answer]:
    return with_header(general_info=items)


def unsigned(peer: Peer) -> Answer:
    header = replace(peer.header(), protection_alg=None)
    return peer.send(codec.encode_message(codec.encode_header(header), kur(peer).body(), None, (peer.certificate,)))


def tampered(peer: Peer) -> Answer:
    octets = bytearray(peer.protect(peer.header(), kur(peer).body()))
    at = bytes(octets).index(b"Surgery")
    octets[at] ^= 0x20
    return peer.send(bytes(octets))


def signed_by_another_key(peer: Peer) -> Answer:
    return replace(peer, key=p256()).say(kur(peer).body())


def other_algorithm(peer: Peer) -> Answer:
    return peer.say(kur(peer).body(), protection_alg=Algorithm(ObjectIdentifier("1.2.840.113549.1.1.11"), NULL))


def no_certificates(peer: Peer) -> Answer:
    header = codec.encode_header(peer.header())
    body = kur(peer).body()
    return peer.send(codec.encode_message(header, body, sign(peer.key, codec.protected_part(header, body))))


def wrong_order(peer: Peer) -> Answer:
    header = codec.encode_header(peer.header())
    body = kur(peer).body()
    signature = sign(peer.key, codec.protected_part(header, body))
    extra = (peer.office.pki.signing.der, peer.certificate)
    return peer.send(codec.encode_message(header, body, signature, extra))


def by_stranger(kind: BodyType, *, chain: bool = True) -> Callable[[Peer], Answer]:
    def provoke(peer: Peer) -> Answer:
        other = stranger(peer.office, chain=chain)
        return other.say(Request(kind, p256(), subject=subject_of(other.certificate)).body())

    return provoke


def subject_of(certificate: bytes) -> bytes:
    return x509.load_der_x509_certificate(certificate).subject.public_bytes()


def without_digital_signature(peer: Peer) -> Answer:
    other = enrolled(peer.office, SIGNING)
    return other.say(kur(other).body())


def in_use(peer: Peer) -> Answer:
    peer.confirm(peer.say(kur(peer).body()))
    return peer.say(kur(peer).body())


def replayed(peer: Peer) -> Answer:
    octets = peer.protect(peer.header(), kur(peer).body())
    assert peer.send(octets).kind is BodyType.KUP
    return peer.send(octets)


def template(**changes: object) -> Callable[[Peer], Answer]:
    return with_request(template=changes)


def weak_rsa(peer: Peer) -> Answer:
    return peer.say(kur(peer, key=rsa.generate_private_key(65537, 1024)).body())  # noqa: S505


def dsa_key(peer: Peer) -> Answer:
    key = dsa.generate_private_key(1024)  # noqa: S505
    return peer.say(kur(peer, template={"public_key": public(key)}).body())


def small_curve(peer: Peer) -> Answer:
    return peer.say(kur(peer, key=ec.generate_private_key(ec.SECP224R1())).body())


def popo_by_other_key(peer: Peer) -> Answer:
    return peer.say(kur(peer, popo=lambda raw: crmf.encode_popo(ECDSA_SHA256, sign(p256(), raw))).body())


def popo_by_unknown_algorithm(peer: Peer) -> Answer:
    unknown = Algorithm(ObjectIdentifier("1.2.3.4"))
    return peer.say(kur(peer, popo=lambda raw: crmf.encode_popo(unknown, b"x" * 64)).body())


def old_serial(peer: Peer) -> Answer:
    return peer.say(kur(peer, old=enrolled(peer.office, BOTH).certificate).body())


def old_issuer(peer: Peer) -> Answer:
    return peer.say(kur(peer, old=enrolled(peer.office, AUTHENTICATION).certificate).body())


def old_incomplete(peer: Peer) -> Answer:
    empty = InfoValue(Oid.OLD_CERT_ID, der.sequence(()))
    return peer.say(kur(peer, old=None, controls=(empty,)).body())


def second_kur(peer: Peer) -> Answer:
    assert peer.say(kur(peer).body()).kind is BodyType.KUP
    return peer.anew().say(kur(peer).body())


def after_update(kind: BodyType) -> Callable[[Peer], Answer]:
    def provoke(peer: Peer) -> Answer:
        assert peer.confirm(peer.say(kur(peer).body())).kind is BodyType.PKICONF
        return peer.anew().say(kur(peer, kind=kind).body())

    return provoke


def after_revocation(peer: Peer) -> Answer:
    assert revoke(peer).kind is BodyType.RP
    return peer.anew().say(kur(peer).body())


def revoke(peer: Peer, certificate: bytes | None = None, **changes: object) -> Answer:
    named = x509.load_der_x509_certificate(certificate or peer.certificate)
    plain = {"issuer": named.issuer.public_bytes(), "serial": named.serial_number}
    return peer.say(bodies.write_revocation(crmf.CertTemplate(**(plain | changes))))  # type: ignore[arg-type]


def revoke_unconfirmed(peer: Peer) -> Answer:
    new = p256()
    answer = peer.say(kur(peer, key=new).body())
    return revoke(Peer(peer.office, new, answer.certificate))


def revoke_twice(peer: Peer) -> Answer:
    revoke(peer)
    return revoke(peer.anew())


def confirming(*, body: Callable[[bytes], bytes] | None = None, **changes: object) -> Callable[[Peer], Answer]:
    def provoke(peer: Peer) -> Answer:
        answer = peer.say(kur(peer).body())
        digest = hashlib.sha256(answer.certificate).digest()
        return peer.confirm(answer, body=body(digest) if body else None, **changes)

    return provoke


def statuses(*items: CertStatus) -> bytes:
    return bodies.write_confirmations(items)


def confirmed_twice(peer: Peer) -> Answer:
    answer = peer.say(kur(peer).body())
    assert peer.confirm(answer).kind is BodyType.PKICONF
    return peer.confirm(answer)


def confirmed_by_new(peer: Peer) -> Answer:
    new = p256()
    answer = peer.say(kur(peer, key=new).body())
    return Peer(peer.office, new, answer.certificate, transaction=peer.transaction).confirm(answer)


def confirmed_by_mac(peer: Peer) -> Answer:
    answer = peer.say(kur(peer).body())
    return Peer(peer.office, transaction=peer.transaction).confirm(answer)


def by_mac(peer: Peer) -> Answer:
    return Peer(peer.office).say(kur(peer).body())


def sha512() -> Algorithm:
    return Algorithm(ObjectIdentifier("2.16.840.1.101.3.4.2.3"))


def fails(name: str, failures: str, provoke: Callable[[Peer], Answer]) -> Case:
    return Case(name, frozenset(failures.split()), provoke)


UTC_TIME = der.tlv(0x17, b"260302093000Z")
WAIT = InfoValue(Oid.CONFIRM_WAIT_TIME, der.tlv(0x18, b"20260302103000Z"))
REFUSALS = (
    fails("pvno 1", "unsupportedVersion", with_header(pvno=1)),
    fails("pvno 4", "unsupportedVersion", with_header(pvno=4)),
    fails("no messageTime", "badTime", with_header(message_time=None)),
    fails("an old messageTime", "badTime", with_header(message_time=NOW - timedelta(minutes=6))),
    fails("a messageTime to come", "badTime", with_header(message_time=NOW + timedelta(minutes=6))),
    fails("no transactionID", "badDataFormat", with_header(transaction_id=None)),
    fails("a transactionID in use", "transactionIdInUse", in_use),
    fails("a replay", "transactionIdInUse", replayed),
    fails("no senderNonce", "badSenderNonce", with_header(sender_nonce=None)),
    fails("a short senderNonce", "badSenderNonce", with_header(sender_nonce=b"x" * 15)),
    fails("a recipNonce at first", "badRecipientNonce", with_header(recip_nonce=b"x" * 16)),
    fails("no protection", "badMessageCheck", unsigned),
    fails("a changed byte", "badMessageCheck", tampered),
    fails("another key", "badMessageCheck", signed_by_another_key),
    fails("an algorithm of another key", "badMessageCheck", other_algorithm),
    fails("an unknown algorithm", "badAlg", with_header(protection_alg=Algorithm(ObjectIdentifier("1.2.3.4")))),
    fails("no senderKID", "badMessageCheck", with_header(sender_kid=None)),
    fails("another's senderKID", "badMessageCheck", with_header(sender_kid=b"x" * 20)),
    fails("another's name", "badMessageCheck", with_header(sender=codec.directory(b"\x30\x00"))),
    fails("no extraCerts", "badMessageCheck", no_certificates),
    fails("extraCerts in another order", "badMessageCheck", wrong_order),
    fails("no digitalSignature", "badMessageCheck", without_digital_signature),
    fails("an incomplete chain", "badMessageCheck signerNotTrusted", by_stranger(IR, chain=False)),
    fails("another PKI", "signerNotTrusted", by_stranger(IR)),
    fails("another PKI's kur", "signerNotTrusted", by_stranger(KUR)),
    fails("another PKI's cr", "notAuthorized", by_stranger(CR)),
    fails("implicitConfirm not NULL", "badRequest", with_info(InfoValue(Oid.IMPLICIT_CONFIRM, der.utf8_string("yes")))),
    fails("implicitConfirm without value", "badRequest", with_info(InfoValue(Oid.IMPLICIT_CONFIRM))),
    fails("both confirmations", "badRequest", with_info(InfoValue(Oid.IMPLICIT_CONFIRM, NULL), WAIT)),
    fails("UTCTime to wait", "badRequest", with_info(InfoValue(Oid.CONFIRM_WAIT_TIME, UTC_TIME))),
    fails("no proof of possession", "badPOP", with_request(popo=lambda raw: None)),
    fails("another key's proof", "badPOP", popo_by_other_key),
    fails("a proof by an unknown algorithm", "badAlg badPOP", popo_by_unknown_algorithm),
    fails("raVerified", "notAuthorized", with_request(popo=lambda raw: b"\x80\x00")),
    fails("no subject", "badCertTemplate", template(subject=None)),
    fails("an empty subject", "badCertTemplate", template(subject=b"\x30\x00")),
    fails("a subject that is none", "badCertTemplate", template(subject=der.sequence((NULL,)))),
    fails(
        "another subject",
        "badCertTemplate",
        template(subject=x509.Name.from_rfc4514_string("CN=Somebody Else").public_bytes()),
    ),
    fails("no key", "badCertTemplate", template(public_key=None)),
    fails("a weak RSA key", "badCertTemplate", weak_rsa),
    fails("a DSA key", "badCertTemplate", dsa_key),
    fails("a small curve", "badCertTemplate", small_curve),
    fails("a serial number of one's own", "badCertTemplate", template(serial=5)),
    fails("a validity that ends first", "badCertTemplate", template(not_before=NOW, not_after=NOW)),
    fails("another key usage", "badCertTemplate", with_request(usages=AUTHENTICATION)),
    fails("a CA's key usage", "badCertTemplate", with_request(usages=frozenset({"keyCertSign"}))),
    fails("another certReqId", "badRequest", with_request(req_id=1)),
    fails("two requests", "badRequest", with_request(times=2)),
    fails("oldCertID with another serial", "badCertId", old_serial),
    fails("oldCertID with another issuer", "badCertId", old_issuer),
    fails("no oldCertID", "badRequest", with_request(old=None)),
    fails("an incomplete oldCertID", "badRequest", old_incomplete),
    fails("kur by MAC", "wrongIntegrity", by_mac),
    fails("kur of an updated certificate", "certRevoked", after_update(KUR)),
    fails("ir under an updated certificate", "certRevoked", after_update(IR)),
    fails("cr under an updated certificate", "certRevoked", after_update(CR)),
    fails("kur of a revoked certificate", "certRevoked", after_revocation),
    fails("a second kur", "badRequest", second_kur),
    fails("certConf again", "certConfirmed", confirmed_twice),
    fails("certConf without recipNonce", "badRecipientNonce", confirming(recip_nonce=None)),
    fails("certConf with another recipNonce", "badRecipientNonce", confirming(recip_nonce=b"x" * 16)),
    fails("certConf for another request", "badRequest", confirming(body=lambda d: statuses(CertStatus(d, 1)))),
    fails(
        "certConf with two statuses",
        "badRequest",
        confirming(body=lambda d: statuses(CertStatus(d, 0), CertStatus(d, 0))),
    ),
    fails(
        "certConf accepted with a failure",
        "badRequest",
        confirming(
            body=lambda d: statuses(CertStatus(d, 0, StatusInfo(PkiStatus.ACCEPTED, (), frozenset({"badPOP"}))))
        ),
    ),
    fails(
        "certConf with a hash of one's own in version 2",
        "badCertId",
        confirming(body=lambda d: statuses(CertStatus(d, 0, None, sha512()))),
    ),
    fails(
        "certConf of another certificate",
        "badCertId",
        confirming(body=lambda d: statuses(CertStatus(b"x" * 32, 0))),
    ),
    fails(
        "certConf with implicitConfirm",
        "badRequest",
        confirming(general_info=(InfoValue(Oid.IMPLICIT_CONFIRM, NULL),)),
    ),
    fails("certConf by the new key", "badMessageCheck", confirmed_by_new),
    fails("certConf by MAC", "wrongIntegrity", confirmed_by_mac),
    fails("certConf for nothing", "badRequest", lambda p: p.say(statuses(CertStatus(b"x" * 32, 0)))),
    fails("rr of an unknown serial", "badCertId", lambda p: revoke(p, serial=1)),
    fails("rr of another's", "notAuthorized", lambda p: revoke(p, enrolled(p.office, BOTH).certificate)),
    fails("rr without a serial", "badRequest", lambda p: revoke(p, serial=None)),
    fails("rr of an unconfirmed certificate", "badRequest", revoke_unconfirmed),
    fails("rr again", "certRevoked", revoke_twice),
    fails("a pkiConf", "badRequest", lambda p: p.say(bodies.write_pki_conf())),
)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_refuses(standing: Office, case: Case) -> None:
    """The failInfo names the fault, and the answer is protected, with the request's transactionID and nonce."""
    answer = case.provoke(enrolled(standing, BOTH))
    assert answer.kind is BodyType.ERROR
    assert answer.failures == case.failures, answer.why
    assert answer.why


def test_what_is_refused_above_is_granted_when_it_is_right(ra: Office) -> None:
    """The table's starting point is a request that works: else it would prove nothing."""
    peer = enrolled(ra, BOTH)
    answer = peer.say(kur(peer).body())
    assert answer.kind is BodyType.KUP
    assert peer.confirm(answer).kind is BodyType.PKICONF


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"GET / HTTP/1.1", b"\x30\x84\xff\xff\xff\xff", bytes(2000)])
def test_what_is_no_pki_message_is_answered_with_one(standing: Office, octets: bytes) -> None:
    answer = Peer(standing).send(octets)
    assert answer.failures == {"badDataFormat"}


@settings(max_examples=300, deadline=None)
@given(at=st.integers(min_value=0, max_value=2000), flip=st.integers(min_value=1, max_value=255))
def test_no_byte_of_a_message_can_be_changed(somebody: Peer, at: int, flip: int) -> None:
    """One changed byte anywhere: an error, never a certificate, never an exception."""
    peer = somebody
    octets = bytearray(peer.protect(peer.anew().header(), kur(peer).body()))
    octets[at % len(octets)] ^= flip
    answer = peer.send(bytes(octets))
    assert answer.kind is BodyType.ERROR
    assert answer.failures


def test_an_error_is_protected_as_the_request_was(ra: Office) -> None:
    signed = enrolled(ra, BOTH).say(b"\xa7\x02\x30\x00")
    assert signed.failures == {"badRequest"}
    assert signed.message.header.protection_alg != Peer(ra).header().protection_alg
    secret = Peer(ra).say(Request(IR, p256(), req_id=7).body())
    assert secret.failures == {"badRequest"}
    assert secret.message.header.protection_alg == Peer(ra).header().protection_alg


def test_an_unknown_reference_and_a_wrong_secret(ra: Office) -> None:
    assert Peer(ra).say(Request(IR, p256()).body(), sender_kid=b"nobody").failures == {"badMessageCheck"}
    assert Peer(ra, secret=b"wrong").say(Request(IR, p256()).body()).failures == {"badMessageCheck"}


def test_the_answer_mirrors_the_request(ra: Office) -> None:
    """Version, transactionID, nonces, recipient, time, RA certificate with its purpose, and the chain."""
    peer = enrolled(ra, BOTH)
    header = replace(peer.header(), pvno=3)
    answer = peer.send(peer.protect(header, kur(peer).body()))
    got = answer.message.header
    assert (got.pvno, got.transaction_id, got.recip_nonce) == (3, header.transaction_id, header.sender_nonce)
    assert got.recipient == header.sender
    assert got.message_time == NOW
    assert len(got.sender_nonce or b"") == 16
    assert got.sender_nonce != header.sender_nonce
    signer = x509.load_der_x509_certificate(answer.message.extra_certs[0])
    assert Oid.CMC_RA in signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ra.pki.root.der in answer.message.extra_certs
    assert bodies.read_cert_rep(answer.message).ca_pubs == ()


def test_an_ir_gets_what_it_asks_for(ra: Office) -> None:
    """Subject, key, and a validity that began long ago: it is a mock."""
    key, start, end = p256(), NOW - timedelta(days=500), NOW + timedelta(days=20)
    peer = Peer(ra)
    answer = peer.say(Request(IR, key, template={"not_before": start, "not_after": end}).body())
    made = x509.load_der_x509_certificate(answer.certificate)
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (start, end)
    assert made.subject.public_bytes() == HOLDER
    assert made.issuer.rfc4514_string() == "CN=Mock Signing CA,O=renewagent,C=GB"
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert peer.confirm(answer).kind is BodyType.PKICONF


def test_an_ir_for_the_end_of_time(ra: Office) -> None:
    late = datetime(9999, 12, 31, tzinfo=UTC)
    assert Peer(ra).say(Request(IR, p256(), template={"not_before": late}).body()).failures == {"badCertTemplate"}


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60), kind=st.sampled_from([k for k in BodyType if k is not BodyType.NESTED]))
def test_no_body_is_more_than_refused(standing: Office, content: bytes, kind: BodyType) -> None:
    """Well protected nonsense in any body: an error that names a failure, or an answer; never an exception."""
    answer = Peer(standing).say(codec.encode_body(kind, der.tlv(0x30, content)))
    assert answer.failures or answer.kind in (BodyType.GENP, BodyType.PKICONF)


def test_digital_signature_alone_is_the_authentication_cas(ra: Office) -> None:
    answer = Peer(ra).say(Request(IR, p256(), usages=AUTHENTICATION).body())
    assert b"Mock Authentication CA" in answer.certificate


def test_a_rejected_certificate_is_withdrawn_and_the_old_one_stays(ra: Office) -> None:
    peer = enrolled(ra, BOTH)
    answer = peer.say(kur(peer).body())
    no = StatusInfo(PkiStatus.REJECTION, ("the trial signature failed",), frozenset({"badPOP"}))
    digest = hashlib.sha256(answer.certificate).digest()
    assert peer.confirm(answer, body=statuses(CertStatus(digest, 0, no))).kind is BodyType.PKICONF
    assert state_of(ra, answer.certificate) == "withdrawn"
    assert peer.anew().say(kur(peer).body()).kind is BodyType.KUP


def state_of(office: Office, certificate: bytes) -> str:
    row = office.book.get(hashlib.sha256(certificate).hexdigest())
    assert row is not None
    return row.state


def test_what_is_not_confirmed_in_time_is_withdrawn(ra: Office, clock: Clock) -> None:
    peer = enrolled(ra, BOTH)
    answer = peer.say(kur(peer).body())
    clock.forward(seconds=601)
    assert peer.confirm(answer).failures == {"badRequest"}
    assert state_of(ra, answer.certificate) == "withdrawn"
    assert state_of(ra, peer.certificate) == "valid"
    assert peer.anew().say(kur(peer).body()).kind is BodyType.KUP


def test_whoever_lost_the_answer_can_give_up_and_begin_again(ra: Office) -> None:
    """An error message from the end entity ends its transaction, without the nonce that it never saw."""
    peer = enrolled(ra, BOTH)
    lost = peer.say(kur(peer).body())
    give_up = bodies.write_error(ErrorContent(StatusInfo(PkiStatus.REJECTION, ("the answer was lost",))))
    assert peer.say(give_up).kind is BodyType.PKICONF
    assert state_of(ra, lost.certificate) == "withdrawn"
    assert peer.anew().say(kur(peer).body()).kind is BodyType.KUP


def test_whoever_lost_the_answer_can_ask_for_it_again(ra: Office) -> None:
    peer = enrolled(ra, BOTH)
    lost = peer.say(kur(peer).body())
    again = peer.say(bodies.write_poll_requests((0,)))
    assert again.certificate == lost.certificate
    assert peer.confirm(again).kind is BodyType.PKICONF


def test_a_hash_of_ones_own_is_taken_in_version_3(ra: Office) -> None:
    peer = enrolled(ra, BOTH)
    answer = peer.say(kur(peer).body(), pvno=3)
    digest = hashlib.sha512(answer.certificate).digest()
    conf = peer.confirm(answer, body=statuses(CertStatus(digest, 0, None, sha512())), pvno=3)
    assert conf.kind is BodyType.PKICONF
    assert conf.message.header.pvno == 3


def test_a_pkcs10_request_has_cert_req_id_minus_1(ra: Office) -> None:
    name = x509.Name.from_rfc4514_string("CN=Dr Ten")
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(p256(), hashes.SHA256())
    octets = csr.public_bytes(Encoding.DER)
    peer = Peer(ra)
    answer = peer.say(bodies.write_pkcs10(octets))
    assert bodies.read_cert_rep(answer.message).responses[0].cert_req_id == -1
    assert peer.confirm(answer).kind is BodyType.PKICONF
    broken = bytearray(octets)
    broken[-1] ^= 1
    assert Peer(ra).say(bodies.write_pkcs10(bytes(broken))).failures <= {"badPOP"}


def test_hold_and_revive(ra: Office) -> None:
    peer = enrolled(ra, BOTH)
    reason = ObjectIdentifier("2.5.29.21")

    def ask(code: int) -> Answer:
        named = x509.load_der_x509_certificate(peer.certificate)
        template = crmf.CertTemplate(issuer=named.issuer.public_bytes(), serial=named.serial_number)
        extension = crmf.TemplateExtension(reason, bytes((0x0A, 1, code)))
        return peer.anew().say(bodies.write_revocation(template, (extension,)))

    assert ask(8).failures == {"badRequest"}
    assert ask(6).kind is BodyType.RP
    assert state_of(ra, peer.certificate) == "held"
    assert peer.anew().say(kur(peer).body()).failures == {"certRevoked"}
    assert ask(8).kind is BodyType.RP
    assert peer.anew().say(kur(peer).body()).kind is BodyType.KUP
