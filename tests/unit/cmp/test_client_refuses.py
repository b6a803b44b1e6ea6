"""What the client must not believe, one row each, and that nothing of it is kept. A hostile RA is the writer here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.cmp import bodies, codec, der, signatures
from renewagent.cmp.client import CmpClient, Credential, Issued, MacCredential, Phase
from renewagent.cmp.client_checks import anyone_under_the_anchors
from renewagent.cmp.wire import (
    Algorithm,
    BodyType,
    CertRepMessage,
    CertResponse,
    ErrorContent,
    PkiStatus,
    PollReply,
    StatusInfo,
)
from renewagent.errors import ClockError, RaMisbehaved, RaRefused, RenewAgentError, Retry
from tests.unit.cmp import scripted_ra
from tests.unit.cmp.scripted_ra import NOW, RA, ROOT, Party, Recipe, Wrong, answer, certify, grant, new_key, pki

HOUR = timedelta(hours=1)


@dataclass
class Asked:
    """A key update that is out, with the certificate that would fit it."""

    talk: CmpClient
    request: bytes
    key: scripted_ra.SigningKey
    right: bytes

    def hears(self, octets: bytes, now: datetime = NOW) -> object:
        return self.talk.receive(now, octets)


def credential() -> Credential:
    return Credential(pki().holder.certificate, (), pki().holder.key)


@pytest.fixture
def asked() -> Asked:
    key, talk = new_key(), CmpClient([pki().root.certificate])
    request = talk.start_key_update(NOW, credential(), key, pki().holder.certificate)
    return Asked(talk, request, key, certify(Recipe(begins=NOW), pki().signing, key).der)


def nobody_special() -> Party:
    return certify(replace(RA, purposes=()), pki().root, new_key())


def by(recipe: Recipe, issuer: Party | None = None) -> Wrong:
    signer = certify(recipe, issuer or pki().root, new_key())
    return Wrong(signer=signer)


PROTECTION: dict[str, tuple[Callable[[], Wrong], str]] = {
    "no protection": (lambda: Wrong(protect=False), "not protected"),
    "tampered": (lambda: Wrong(tamper=True), "signature is wrong"),
    "signed with another key": (lambda: Wrong(key=new_key()), "signature is wrong"),
    "signed by a prescriber of the same CA": (lambda: Wrong(signer=pki().stranger), "may not speak"),
    "signed by the holder": (lambda: Wrong(signer=pki().holder), "may not speak"),
    "signed by nobody special under the root": (lambda: Wrong(signer=nobody_special()), "may not speak"),
    "signed by another RA": (lambda: Wrong(signer=pki().other_ra), "somebody unknown"),
    "another RA that brings its own root": (
        lambda: Wrong(signer=pki().other_ra, extra=[pki().other_ra.der, pki().other_root.der]),
        "somebody unknown",
    ),
    "an RA certified by a prescriber": (lambda: by(RA, pki().stranger), "somebody unknown"),
    "an RA that has expired": (lambda: by(replace(RA, ends=NOW - HOUR)), "somebody unknown"),
    "an RA that must not sign": (lambda: by(replace(RA, usage=("key_encipherment",))), "must not sign"),
    "self-signed": (lambda: Wrong(signer=certify(RA, None, new_key())), "somebody unknown"),
    "no certificate": (lambda: Wrong(extra=[]), "sender is not"),
    "another certificate": (lambda: Wrong(extra=[pki().stranger.der]), "sender is not"),
    "a certificate that is none": (lambda: Wrong(extra=[b"\x30\x03\x02\x01\x05"]), "cannot be read"),
    "too many certificates": (
        lambda: Wrong(extra=[der.sequence((bytes((2, 1, i)),)) for i in range(70)]),
        "too many",
    ),
    "another sender": (
        lambda: Wrong(header={"sender": codec.directory(scripted_ra.distinguished("someone"))}),
        "sender is not",
    ),
    "a sender that is no name": (lambda: Wrong(header={"sender": b"\x86\x01x"}), "sender is not"),
    "another key identifier": (lambda: Wrong(header={"sender_kid": b"x" * 20}), "sender is not"),
    "an unknown algorithm": (
        lambda: Wrong(header={"protection_alg": Algorithm(x509.ObjectIdentifier("1.2.3"))}),
        "1.2.3",
    ),
    "an algorithm of another key": (
        lambda: Wrong(header={"protection_alg": Algorithm(x509.ObjectIdentifier("1.2.840.113549.1.1.11"))}),
        "does not fit",
    ),
    "a MAC where nothing is shared": (lambda: Wrong(secret=b"guess"), "does not fit"),
}


@pytest.mark.parametrize("case", PROTECTION)
def test_protection(asked: Asked, case: str) -> None:
    wrong, words = PROTECTION[case]
    refused(asked, answer(asked.request, grant(asked.request, asked.right), wrong()), words)


def refused(asked: Asked, octets: bytes, words: str, now: datetime = NOW) -> None:
    """The answer is not believed, the transaction stands as before, and the right answer is still taken."""
    before = asked.talk.state
    with pytest.raises(RaMisbehaved, match=words):
        asked.hears(octets, now)
    assert asked.talk.state == before
    assert isinstance(asked.hears(answer(asked.request, grant(asked.request, asked.right))), Issued)


HEADER: dict[str, tuple[dict[str, object], str]] = {
    "another transaction": ({"transaction_id": b"x" * 16}, "another transaction"),
    "no transaction": ({"transaction_id": None}, "another transaction"),
    "another nonce": ({"recip_nonce": b"x" * 16}, "another message"),
    "no nonce": ({"recip_nonce": None}, "another message"),
    "no fresh nonce": ({"sender_nonce": None}, "no fresh nonce"),
    "a short fresh nonce": ({"sender_nonce": b"x" * 15}, "no fresh nonce"),
    "version 1": ({"pvno": 1}, "version"),
    "version 4": ({"pvno": 4}, "version"),
}


@pytest.mark.parametrize("case", HEADER)
def test_header(asked: Asked, case: str) -> None:
    fields, words = HEADER[case]
    refused(asked, answer(asked.request, grant(asked.request, asked.right), Wrong(header=fields)), words)


BODIES: dict[str, tuple[Callable[[Asked], bytes], str]] = {
    "pkiConf": (lambda a: bodies.write_pki_conf(), "another question"),
    "cp": (lambda a: bodies.write_cert_rep(BodyType.CP, rep(a.right)), "another question"),
    "ip": (lambda a: bodies.write_cert_rep(BodyType.IP, rep(a.right)), "another question"),
    "our own request": (lambda a: codec.decode_message(a.request).raw_body, "another question"),
    "pollRep before any pollReq": (lambda a: bodies.write_poll_replies([PollReply(0, 1)]), "another question"),
    "genp": (lambda a: bodies.write_info(BodyType.GENP, []), "another question"),
    "another certReqId": (lambda a: grant(a.request, a.right, cert_req_id=1), "another request"),
    "certReqId -1": (lambda a: grant(a.request, a.right, cert_req_id=-1), "another request"),
    "two certificates": (
        lambda a: bodies.write_cert_rep(BodyType.KUP, CertRepMessage(rep(a.right).responses * 2)),
        "another request",
    ),
    "no response": (lambda a: bodies.write_cert_rep(BodyType.KUP, CertRepMessage(())), "another request"),
    "granted, without a certificate": (lambda a: grant(a.request, None), "brings none"),
    "an odd status": (lambda a: grant(a.request, a.right, status=StatusInfo(4)), "neither grants"),
    "an unknown status": (lambda a: grant(a.request, a.right, status=StatusInfo(99)), "neither grants"),
    "no CertRepMessage at all": (lambda a: codec.encode_body(BodyType.KUP, b"\x04\x00"), "cannot be read"),
    "a private key": (lambda a: with_private_key(a.right), "private key"),
    "an encrypted certificate": (lambda a: encrypted(), "brings none"),
}


def rep(certificate: bytes) -> CertRepMessage:
    return CertRepMessage((CertResponse(0, StatusInfo(PkiStatus.ACCEPTED), certificate),))


def with_private_key(certificate: bytes) -> bytes:
    pair = der.sequence((der.tlv(0xA0, certificate), der.tlv(0xA0, b"\x30\x00")))
    return raw_kup(pair)


def encrypted() -> bytes:
    return raw_kup(der.sequence((der.tlv(0xA1, b"\x30\x00"),)))


def raw_kup(pair: bytes) -> bytes:
    status = der.sequence((b"\x02\x01\x00",))
    response = der.sequence((b"\x02\x01\x00", status, pair))
    return codec.encode_body(BodyType.KUP, der.sequence((der.sequence((response,)),)))


@pytest.mark.parametrize("case", BODIES)
def test_body(asked: Asked, case: str) -> None:
    make, words = BODIES[case]
    refused(asked, answer(asked.request, make(asked)), words)


UNKNOWN = x509.Extension(
    x509.ObjectIdentifier("1.2.3.4"), True, x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
)

CERTIFICATES: dict[str, tuple[Callable[[Asked], bytes], str]] = {
    "another key": (lambda a: certify(Recipe(), pki().signing, new_key()).der, "another key"),
    "the old key": (lambda a: certify(Recipe(), pki().signing, pki().holder.key).der, "another key"),
    "another subject": (lambda a: certify(Recipe("mallory"), pki().signing, a.key).der, "somebody else"),
    "another root": (lambda a: certify(Recipe(), pki().other_root, a.key).der, "cannot be trusted"),
    "issued by a prescriber": (lambda a: certify(Recipe(), pki().stranger, a.key).der, "cannot be trusted"),
    "self-signed": (lambda a: certify(Recipe(), None, a.key).der, "cannot be trusted"),
    "expired": (lambda a: certify(Recipe(ends=NOW - HOUR), pki().signing, a.key).der, "cannot be trusted"),
    "not begun": (lambda a: certify(Recipe(begins=NOW + HOUR), pki().signing, a.key).der, "cannot be trusted"),
    "an authority's": (lambda a: certify(replace(ROOT, name="holder"), pki().root, a.key).der, "authority's"),
    "one that signs certificates": (
        lambda a: certify(Recipe(usage=("content_commitment", "key_cert_sign")), pki().signing, a.key).der,
        "authority's",
    ),
    "an unknown critical extension": (
        lambda a: certify(Recipe(extra=(UNKNOWN,)), pki().signing, a.key).der,
        "1.2.3.4",
    ),
    "rubbish": (lambda a: b"\x30\x03\x02\x01\x05", "cannot be read"),
}


@pytest.mark.parametrize("case", CERTIFICATES)
def test_a_certificate_that_does_not_fit_can_only_be_rejected(asked: Asked, case: str) -> None:
    make, words = CERTIFICATES[case]
    with pytest.raises(RaMisbehaved, match=words):
        asked.hears(answer(asked.request, grant(asked.request, make(asked))))
    assert asked.talk.state.phase is Phase.UNFIT
    with pytest.raises(RuntimeError, match="cannot be accepted"):
        asked.talk.confirm(NOW, credential())
    rejection = asked.talk.confirm(NOW, credential(), accept=False, reason="it does not fit")
    (status,) = bodies.read_confirmations(codec.decode_message(rejection))
    assert status.status is not None and status.status.status == PkiStatus.REJECTION


def test_the_very_certificate_that_was_to_be_replaced() -> None:
    talk, old = CmpClient([pki().root.certificate]), pki().holder
    request = talk.start_key_update(NOW, credential(), old.key, old.certificate)
    with pytest.raises(RaMisbehaved, match="very one"):
        talk.receive(NOW, answer(request, grant(request, old.der)))
    assert talk.state.phase is Phase.UNFIT


@pytest.mark.parametrize("given", [("digital_signature",), ("digital_signature", "key_agreement")])
def test_a_certificate_that_may_not_be_used_for_what_was_asked(given: tuple[str, ...]) -> None:
    talk, old, key = CmpClient([pki().root.certificate]), pki().holder.certificate, new_key()
    mine = Credential(pki().authentication.certificate, (), pki().authentication.key)
    wanted = scripted_ra.key_usage("content_commitment")
    request = talk.start_certification(
        NOW, mine, key, subject=old.subject, old_certificate=old, ticket="t", key_usage=wanted
    )
    less = certify(Recipe(usage=given), pki().signing, key).der
    with pytest.raises(RaMisbehaved, match="may not be used"):
        talk.receive(NOW, answer(request, grant(request, less)))


def test_letters_of_another_case_are_the_same_subject(asked: Asked) -> None:
    same = certify(Recipe("HoLder"), pki().signing, asked.key).der
    assert isinstance(asked.hears(answer(asked.request, grant(asked.request, same))), Issued)


def test_whom_the_administrator_trusts_may_be_wider(asked: Asked) -> None:
    wider = CmpClient.resume(asked.talk.state.to_dict(), [pki().root.certificate], authorised=anyone_under_the_anchors)
    octets = answer(asked.request, grant(asked.request, asked.right), Wrong(signer=nobody_special()))
    assert isinstance(wider.receive(NOW, octets), Issued)


def test_the_ca_itself_may_speak(asked: Asked) -> None:
    usage = ("digital_signature", "key_cert_sign")
    ca = certify(replace(ROOT, name="speaking CA", usage=usage), pki().root, new_key())
    octets = answer(
        asked.request, grant(asked.request, asked.right), Wrong(signer=ca, extra=[ca.der, pki().signing.der])
    )
    assert isinstance(asked.hears(octets), Issued)


def test_a_replayed_answer_is_taken_once(asked: Asked) -> None:
    octets = answer(asked.request, grant(asked.request, asked.right))
    asked.hears(octets)
    with pytest.raises(RaMisbehaved, match="nothing was asked"):
        asked.hears(octets)
    asked.talk.confirm(NOW, credential())
    with pytest.raises(RaMisbehaved, match="another question"):
        asked.hears(octets)


def test_an_answer_to_an_earlier_transaction(asked: Asked) -> None:
    other = CmpClient([pki().root.certificate])
    request = other.start_key_update(NOW, credential(), asked.key, pki().holder.certificate)
    refused(asked, answer(request, grant(request, asked.right)), "another transaction")


def test_an_earlier_pki_conf_does_not_confirm(asked: Asked) -> None:
    asked.hears(answer(asked.request, grant(asked.request, asked.right)))
    early = answer(asked.request, bodies.write_pki_conf())  # made before the certConf that it claims to answer
    asked.talk.confirm(NOW, credential())
    with pytest.raises(RaMisbehaved, match="another message"):
        asked.hears(early)


def test_a_poll_reply_does_not_answer_the_original_request(asked: Asked) -> None:
    asked.hears(answer(asked.request, grant(asked.request, None, status=StatusInfo(PkiStatus.WAITING))))
    poll = asked.talk.poll(NOW, credential())
    for body, to, words in (
        (bodies.write_poll_replies([PollReply(0, 5)]), asked.request, "another message"),
        (bodies.write_poll_replies([PollReply(1, 5)]), poll, "another request"),
        (bodies.write_poll_replies([PollReply(0, -5)]), poll, "another request"),
        (bodies.write_poll_replies([PollReply(0, 5)] * 2), poll, "another request"),
    ):
        with pytest.raises(RaMisbehaved, match=words):
            asked.hears(answer(to, body))


@pytest.mark.parametrize(
    ("away", "words"),
    [
        (HOUR, "60 minutes behind"),
        (-HOUR, "60 minutes ahead of"),
        (timedelta(minutes=-6), "6 minutes ahead of"),
        (timedelta(hours=5), "5 hours behind"),
        (timedelta(days=-5), "5 days ahead of"),
    ],
)
def test_clocks_that_differ(asked: Asked, away: timedelta, words: str) -> None:
    theirs = NOW + away
    fresh = by(replace(RA, begins=theirs - HOUR / 60, ends=theirs + HOUR))
    octets = answer(asked.request, grant(asked.request, asked.right), fresh, now=theirs)
    before = asked.talk.state
    with pytest.raises(ClockError, match=words) as caught:
        asked.hears(octets)
    assert asked.talk.state == before and "clock" in caught.value.advice


def test_a_forged_time_blames_no_clock(asked: Asked) -> None:
    forged = Wrong(key=new_key(), header={"message_time": NOW + HOUR})
    refused(asked, answer(asked.request, grant(asked.request, asked.right), forged), "signature is wrong")


def test_an_answer_without_a_time_is_taken(asked: Asked) -> None:
    octets = answer(asked.request, grant(asked.request, asked.right), Wrong(header={"message_time": None}))
    assert isinstance(asked.hears(octets), Issued)


def rejection(*names: str, text: str = "") -> StatusInfo:
    return StatusInfo(PkiStatus.REJECTION, (text,) if text else (), frozenset(names))


REFUSALS: dict[str, tuple[StatusInfo, str, type[RenewAgentError], Retry]] = {
    "a reason that we know": (rejection("badPOP"), "not proven", RaRefused, Retry.NEVER),
    "none": (rejection(), "refused the request", RaRefused, Retry.NEVER),
    "its own words": (rejection(text="no\x1b[31m\nway"), r'It said: "no \[31m way"', RaRefused, Retry.NEVER),
    "not just now": (rejection("systemUnavail"), "not available just now", RaRefused, Retry.LATER),
    "the time": (rejection("badTime"), "clock is probably wrong", ClockError, Retry.LATER),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("way", ["error", "kup"])
def test_a_protected_no(asked: Asked, case: str, way: str) -> None:
    status, words, kind, retry = REFUSALS[case]
    body = bodies.write_error(ErrorContent(status)) if way == "error" else grant(asked.request, None, status=status)
    with pytest.raises(kind, match=words) as caught:
        asked.hears(answer(asked.request, body))
    assert caught.value.retry is retry and asked.talk.state.phase is Phase.DONE
    if isinstance(caught.value, RaRefused):
        assert caught.value.fail_info == status.fail_info


def test_an_unprotected_no_is_reported_and_changes_nothing(asked: Asked) -> None:
    body = bodies.write_error(ErrorContent(rejection("certRevoked", text="go away")))
    with pytest.raises(RaMisbehaved, match="go away") as caught:
        asked.hears(answer(asked.request, body, Wrong(protect=False)))
    assert caught.value.retry is Retry.LATER and not isinstance(caught.value, RaRefused)
    refused(asked, answer(asked.request, body, Wrong(protect=False)), "not signed")


def test_an_unprotected_wait_is_not_waited_for(asked: Asked) -> None:
    body = bodies.write_error(ErrorContent(StatusInfo(PkiStatus.WAITING)))
    refused(asked, answer(asked.request, body, Wrong(protect=False)), "not signed")


def test_a_wrong_secret() -> None:
    talk, key = CmpClient([pki().root.certificate]), new_key()
    subject = pki().holder.certificate.subject
    request = talk.start_initial(NOW, MacCredential("r", b"right"), key, subject=subject)
    new = certify(Recipe(), pki().signing, key).der
    for secret, words in ((b"wrong", "the secret that we share"),):
        with pytest.raises(RaMisbehaved, match=words):
            talk.receive(NOW, answer(request, grant(request, new), Wrong(secret=secret)))
    busy = Algorithm(x509.ObjectIdentifier("1.2.840.113533.7.66.13"), b"\x30\x00")
    wrong = Wrong(secret=b"right", mac=None, header={"protection_alg": busy})
    with pytest.raises(RaMisbehaved, match="makes no sense"):
        talk.receive(NOW, answer(request, grant(request, new), wrong))


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x00", b"<html></html>", b"\x30\x80\x00\x00", b"\xff" * 64])
def test_not_cmp_at_all(asked: Asked, octets: bytes) -> None:
    refused(asked, octets, "not a CMP message")


def test_nothing_may_follow_and_nothing_may_be_missing(asked: Asked) -> None:
    whole = answer(asked.request, grant(asked.request, asked.right))
    refused(asked, whole + b"\0", "not a CMP message")
    with pytest.raises(RaMisbehaved, match="nothing was asked"):
        asked.hears(whole)
    for cut in range(0, len(whole), 97):
        with pytest.raises(RaMisbehaved, match="not a CMP message"):
            asked.hears(whole[:cut])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_flipped_bit_is_believed(data: st.DataObject) -> None:
    talk, octets = _flipping()
    at = data.draw(st.integers(0, len(octets) * 8 - 1))
    flipped = bytearray(octets)
    flipped[at // 8] ^= 1 << at % 8
    again = CmpClient.resume(talk.state.to_dict(), [pki().root.certificate])
    try:
        found = again.receive(NOW, bytes(flipped))
    except (RaMisbehaved, ClockError):
        return
    # Only extraCerts lie outside the protection, and of those only what is not needed may be harmed.
    assert isinstance(found, Issued) and flipped.find(_tail(octets)) == -1


_MADE: list[tuple[CmpClient, bytes]] = []


def _flipping() -> tuple[CmpClient, bytes]:
    if not _MADE:
        key, talk = new_key(), CmpClient([pki().root.certificate])
        request = talk.start_key_update(NOW, credential(), key, pki().holder.certificate)
        new = certify(Recipe(begins=NOW), pki().signing, key).der
        _MADE.append((talk, answer(request, grant(request, new), Wrong(extra=[pki().ra.der, pki().signing.der]))))
    return _MADE[0]


def _tail(octets: bytes) -> bytes:
    message = codec.decode_message(octets)
    return b"".join(message.extra_certs)


def test_an_rsa_signature_without_parameters_is_known() -> None:
    data, key = b"data", scripted_ra.pki().ra.key
    algorithm = signatures.algorithm_for(key)
    assert signatures.verify(key.public_key(), algorithm, data, signatures.sign(key, algorithm, data))
