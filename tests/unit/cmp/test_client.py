"""The client's transactions that go well, step by step, and what they look like on the wire."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.cmp import bodies, codec, crmf, der, macs, signatures
from renewagent.cmp.client import (
    CmpClient,
    Confirmed,
    Credential,
    GeneralAnswer,
    Issued,
    MacCredential,
    Phase,
    Waiting,
)
from renewagent.cmp.private import TICKET_CONTROL
from renewagent.cmp.wire import (
    BodyType,
    ErrorContent,
    InfoValue,
    Message,
    Oid,
    PkiStatus,
    PollReply,
    StatusInfo,
)
from renewagent.errors import RaRefused, RenewalImpossible
from tests.unit.cmp import scripted_ra
from tests.unit.cmp.scripted_ra import NOW, Recipe, Wrong, answer, certify, grant, new_key, pki

LATER = NOW + timedelta(hours=30)
WAIT = StatusInfo(PkiStatus.WAITING, ("an officer looks at it",))


def holder() -> Credential:
    return Credential(pki().holder.certificate, (pki().signing.certificate,), pki().holder.key)


def authentication() -> Credential:
    return Credential(pki().authentication.certificate, (), pki().authentication.key)


def client() -> CmpClient:
    return CmpClient([pki().root.certificate])


def updated(key: scripted_ra.SigningKey) -> bytes:
    return certify(Recipe(begins=NOW), pki().signing, key).der


def verified(octets: bytes, certificate: x509.Certificate) -> Message:
    message = codec.decode_message(octets)
    algorithm, covered = message.header.protection_alg, codec.protected_part(message.raw_header, message.raw_body)
    assert algorithm is not None and message.protection is not None
    assert signatures.verify(certificate.public_key(), algorithm, covered, message.protection)
    return message


def test_a_key_update_on_the_wire() -> None:
    key, old = new_key(), pki().holder.certificate
    message = verified(client().start_key_update(NOW, holder(), key, old), old)
    header = message.header
    assert message.body_type is BodyType.KUR and header.pvno == 2 and header.message_time == NOW
    assert codec.directory_name(header.sender) == old.subject.public_bytes()
    assert codec.directory_name(header.recipient) == old.issuer.public_bytes()
    assert header.sender_kid == x509.SubjectKeyIdentifier.from_public_key(old.public_key()).digest
    assert len(header.transaction_id or b"") == len(header.sender_nonce or b"") == 16
    assert header.recip_nonce is None and header.general_info == ()
    assert message.extra_certs == (pki().holder.der, pki().signing.der)
    (asked,) = bodies.read_cert_requests(message)
    assert asked.request.cert_req_id == 0
    assert asked.request.template.subject == old.subject.public_bytes()
    assert asked.request.controls == (crmf.old_cert_id(old),)
    assert isinstance(asked.popo, crmf.SignaturePopo)
    assert signatures.verify(key.public_key(), asked.popo.algorithm, asked.request.raw, asked.popo.signature)


def test_a_key_update_from_beginning_to_end() -> None:
    key, talk = new_key(), client()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    new = updated(key)
    issued = talk.receive(NOW, answer(request, grant(request, new)))
    assert isinstance(issued, Issued)
    assert issued.certificate == new and issued.chain == (new, pki().signing.der, pki().root.der)
    assert issued.response_time == NOW and len(issued.response_nonce) == 16 and not issued.ca_pubs
    confirmation = talk.confirm(NOW, holder())
    message = verified(confirmation, pki().holder.certificate)
    assert message.header.recip_nonce == issued.response_nonce
    assert message.header.transaction_id == codec.decode_message(request).header.transaction_id
    assert message.header.sender_nonce != codec.decode_message(request).header.sender_nonce
    (status,) = bodies.read_confirmations(message)
    assert status.cert_hash == hashlib.sha256(new).digest()
    assert (status.cert_req_id, status.status, status.hash_alg) == (0, None, None)
    assert talk.receive(NOW, answer(confirmation, bodies.write_pki_conf())) == Confirmed(True, NOW)
    assert talk.state.phase is Phase.DONE


@pytest.mark.parametrize("make", [lambda: rsa.generate_private_key(65537, 2048), lambda: new_key(384)])
def test_other_kinds_of_keys(make: object) -> None:
    assert callable(make)
    key, talk = make(), client()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    (asked,) = bodies.read_cert_requests(codec.decode_message(request))
    assert isinstance(asked.popo, crmf.SignaturePopo)
    assert signatures.verify(key.public_key(), asked.popo.algorithm, asked.request.raw, asked.popo.signature)
    assert isinstance(talk.receive(NOW, answer(request, grant(request, updated(key)))), Issued)


def test_the_old_key_may_be_certified_again() -> None:
    talk, old = client(), pki().holder
    request = talk.start_key_update(NOW, holder(), old.key, old.certificate)
    assert isinstance(talk.receive(NOW, answer(request, grant(request, updated(old.key)))), Issued)


def test_a_certification_with_a_ticket_on_the_wire() -> None:
    key, old = new_key(), pki().holder.certificate
    octets = client().start_certification(
        NOW,
        authentication(),
        key,
        subject=old.subject,
        old_certificate=old,
        ticket="a-ticket",
        key_usage=scripted_ra.key_usage("content_commitment"),
    )
    message = verified(octets, pki().authentication.certificate)
    assert message.body_type is BodyType.CR
    (asked,) = bodies.read_cert_requests(message)
    assert asked.request.controls == (crmf.old_cert_id(old), InfoValue(TICKET_CONTROL, der.utf8_string("a-ticket")))
    (usage,) = asked.request.template.extensions
    assert usage.critical and usage.value == b"\x03\x02\x06\x40"


def test_a_first_certificate_by_a_shared_secret() -> None:
    key, talk, mac = new_key(), client(), MacCredential("ref 1", b"a secret")
    validity = (NOW - timedelta(days=3), NOW + timedelta(days=300))
    name = pki().holder.certificate.subject
    request = talk.start_initial(NOW, mac, key, subject=name, validity=validity)
    message = codec.decode_message(request)
    assert message.header.protection_alg is not None and message.header.sender_kid == b"ref 1"
    covered = codec.protected_part(message.raw_header, message.raw_body)
    assert macs.verify(message.header.protection_alg, b"a secret", covered, message.protection or b"")
    template = bodies.read_cert_requests(message)[0].request.template
    assert (template.not_before, template.not_after) == validity
    by_mac = Wrong(secret=b"a secret")
    issued = talk.receive(NOW, answer(request, grant(request, updated(key)), by_mac))
    assert isinstance(issued, Issued)
    confirmation = talk.confirm(NOW, mac)
    assert talk.receive(NOW, answer(confirmation, bodies.write_pki_conf(), by_mac)) == Confirmed(True, NOW)


def test_pbmac1_and_a_signature_answer_a_shared_secret_too() -> None:
    name = pki().holder.certificate.subject
    for wrong in (Wrong(secret=b"s", mac=macs.pbmac1(b"0" * 16)), Wrong()):
        key, talk = new_key(), client()
        request = talk.start_initial(NOW, MacCredential("r", b"s"), key, subject=name)
        assert isinstance(talk.receive(NOW, answer(request, grant(request, updated(key)), wrong)), Issued)


def test_waiting_for_days_across_restarts() -> None:
    key, talk = new_key(), client()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    told = talk.receive(NOW, answer(request, grant(request, None, status=WAIT)))
    assert told == Waiting(0, "an officer looks at it")
    talk = restarted(talk)
    poll = talk.poll(NOW, holder())
    assert bodies.read_poll_requests(verified(poll, pki().holder.certificate)) == (0,)
    reply = bodies.write_poll_replies([PollReply(0, 3600, ("soon",))])
    assert talk.receive(NOW, answer(poll, reply)) == Waiting(3600, "soon")
    talk = restarted(talk)
    talk.poll(LATER, holder())
    # The answer that was put off may carry the nonce of the request that began it all.
    issued = talk.receive(LATER, answer(request, grant(request, updated(key)), now=LATER))
    assert isinstance(issued, Issued)
    talk = restarted(talk)
    confirmation = talk.confirm(LATER, holder())
    assert talk.receive(LATER, answer(confirmation, bodies.write_pki_conf(), now=LATER)) == Confirmed(True, LATER)


def restarted(talk: CmpClient) -> CmpClient:
    kept = json.loads(json.dumps(talk.state.to_dict()))
    again = CmpClient.resume(kept, [pki().root.certificate])
    assert again.state == talk.state
    return again


def test_any_request_may_be_put_off_by_an_error_message() -> None:
    talk = client()
    request = talk.general(NOW, authentication(), [(Oid.CA_CERTS, None)])
    assert talk.receive(NOW, answer(request, bodies.write_error(ErrorContent(WAIT)))) == Waiting(0, WAIT.text[0])
    poll = talk.poll(NOW, authentication())
    assert bodies.read_poll_requests(codec.decode_message(poll)) == (-1,)
    body = bodies.write_info(BodyType.GENP, [InfoValue(Oid.CA_CERTS, b"\x30\x00")])
    told = talk.receive(NOW, answer(poll, body))
    assert isinstance(told, GeneralAnswer) and told.values == ((Oid.CA_CERTS, b"\x30\x00"),)


def test_an_endless_wait_is_cut_and_its_words_are_one_short_line() -> None:
    talk = client()
    request = talk.start_key_update(NOW, holder(), new_key(), pki().holder.certificate)
    talk.receive(NOW, answer(request, grant(request, None, status=WAIT)))
    poll = talk.poll(NOW, holder())
    reply = bodies.write_poll_replies([PollReply(0, 10**12, ("a\x1b[2J\nb" + "c" * 999,))])
    told = talk.receive(NOW, answer(poll, reply))
    assert isinstance(told, Waiting)
    assert told.check_after == 14 * 86400 and told.reason.startswith("a [2J b") and len(told.reason) == 200


def test_implicit_confirmation_unasked_is_recorded_and_we_go_on() -> None:
    key, talk = new_key(), client()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    granted = Wrong(header={"general_info": scripted_ra.implicit_confirm()})
    issued = talk.receive(NOW, answer(request, grant(request, updated(key)), granted))
    assert isinstance(issued, Issued) and issued.implicitly_confirmed
    confirmation = talk.confirm(NOW, holder())
    refusal = ErrorContent(StatusInfo(PkiStatus.REJECTION, (), frozenset({"badRequest"})))
    assert talk.receive(NOW, answer(confirmation, bodies.write_error(refusal))) == Confirmed(True, NOW)


def test_a_lost_pki_conf() -> None:
    talk, request = client(), b""
    key = new_key()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    talk.receive(NOW, answer(request, grant(request, updated(key))))
    first = talk.confirm(NOW, holder())
    second = restarted(talk).confirm(NOW, holder())
    assert codec.decode_message(first).raw_body == codec.decode_message(second).raw_body
    talk = restarted(talk)
    again = talk.confirm(NOW, holder())
    known = ErrorContent(StatusInfo(PkiStatus.REJECTION, (), frozenset({"certConfirmed"})))
    assert talk.receive(NOW, answer(again, bodies.write_error(known))) == Confirmed(True, NOW)


def test_a_confirmation_that_was_refused_can_be_sent_again() -> None:
    talk, key = client(), new_key()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    talk.receive(NOW, answer(request, grant(request, updated(key))))
    busy = ErrorContent(StatusInfo(PkiStatus.REJECTION, (), frozenset({"systemUnavail"})))
    with pytest.raises(RaRefused, match="not available just now"):
        talk.receive(NOW, answer(talk.confirm(NOW, holder()), bodies.write_error(busy)))
    again = talk.confirm(NOW, holder())
    assert talk.receive(NOW, answer(again, bodies.write_pki_conf())) == Confirmed(True, NOW)


def test_a_certificate_that_would_not_sign_is_rejected() -> None:
    talk, key = client(), new_key()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    talk.receive(NOW, answer(request, grant(request, updated(key))))
    rejection = talk.confirm(NOW, holder(), accept=False, reason="the trial signature failed")
    (status,) = bodies.read_confirmations(codec.decode_message(rejection))
    assert status.status is not None and status.status.status == PkiStatus.REJECTION
    assert status.status.text == ("the trial signature failed",)
    assert talk.receive(NOW, answer(rejection, bodies.write_pki_conf())) == Confirmed(False, NOW)


def test_another_workstation_takes_over_at_the_confirmation() -> None:
    new = certify(Recipe(begins=NOW), pki().signing, new_key())
    talk = CmpClient.adopt([pki().root.certificate], b"t" * 16, b"n" * 16, new.certificate)
    confirmation = restarted(talk).confirm(NOW, authentication())
    header = verified(confirmation, pki().authentication.certificate).header
    assert (header.transaction_id, header.recip_nonce) == (b"t" * 16, b"n" * 16)
    talk.confirm(NOW, authentication())
    with pytest.raises(RuntimeError, match="credential"):
        talk.confirm(NOW, holder())


def test_a_first_clock_that_is_a_little_behind_still_sees_a_certificate_that_has_begun() -> None:
    theirs, talk, key = NOW + timedelta(minutes=4), client(), new_key()
    request = talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    new = certify(Recipe(begins=theirs), pki().signing, key).der
    assert isinstance(talk.receive(NOW, answer(request, grant(request, new), now=theirs)), Issued)


def test_an_eddsa_certificate_is_confirmed_by_its_own_hash() -> None:
    ca = ed25519.Ed25519PrivateKey.generate()
    builder = x509.CertificateBuilder().subject_name(scripted_ra.distinguished("x"))
    builder = builder.issuer_name(scripted_ra.distinguished("ca")).serial_number(1).public_key(new_key().public_key())
    certificate = builder.not_valid_before(NOW).not_valid_after(LATER).sign(ca, None)
    talk = CmpClient.adopt([pki().root.certificate], b"t" * 16, b"n" * 16, certificate)
    message = codec.decode_message(talk.confirm(NOW, authentication()))
    (status,) = bodies.read_confirmations(message)
    assert status.cert_hash == hashlib.sha512(certificate.public_bytes(Encoding.DER)).digest()
    assert status.hash_alg is None and message.header.pvno == 2


def test_a_certificate_that_may_not_protect_is_not_made_to() -> None:
    commitment = certify(Recipe(usage=("content_commitment",)), pki().signing, new_key())
    credential = Credential(commitment.certificate, (), commitment.key)
    with pytest.raises(RenewalImpossible, match="not allowed to sign messages"):
        client().start_key_update(NOW, credential, new_key(), commitment.certificate)


def test_misuse_is_the_callers_mistake() -> None:
    talk = client()
    with pytest.raises(RuntimeError, match="no CMP transaction"):
        _ = talk.state
    talk.start_key_update(NOW, holder(), new_key(), pki().holder.certificate)
    with pytest.raises(RuntimeError, match="one CMP transaction"):
        talk.start_key_update(NOW, holder(), new_key(), pki().holder.certificate)
    with pytest.raises(RuntimeError, match="no certificate"):
        talk.confirm(NOW, holder())
    with pytest.raises(RuntimeError, match="nothing is waiting"):
        talk.poll(NOW, holder())


def test_a_secret_is_in_no_text() -> None:
    mac = MacCredential("r", b"very secret")
    talk = client()
    talk.start_initial(NOW, mac, new_key(), subject=pki().holder.certificate.subject)
    assert "very secret" not in repr(mac) + json.dumps(talk.state.to_dict()) + repr(talk.state)
    assert "key" not in repr(holder()).replace("key_", "")


def test_nonces_come_from_the_source_that_was_given() -> None:
    given = iter(bytes((i,)) * 16 for i in range(9))
    talk = CmpClient([pki().root.certificate], random=lambda count: next(given)[:count])
    header = codec.decode_message(talk.start_key_update(NOW, holder(), new_key(), pki().holder.certificate)).header
    assert (header.transaction_id, header.sender_nonce) == (b"\0" * 16, b"\1" * 16)


def test_the_public_key_asked_for_is_the_new_one() -> None:
    key = new_key()
    talk = client()
    talk.start_key_update(NOW, holder(), key, pki().holder.certificate)
    assert talk.state.public_key == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert replace(talk.state, phase=Phase.DONE) != talk.state
    assert isinstance(key, ec.EllipticCurvePrivateKey)
