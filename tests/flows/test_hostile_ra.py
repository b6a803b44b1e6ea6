"""An RA that lies, with its own good key: nothing of what it says is installed, and the card signs nothing for it that
we have not built ourselves."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.agent import renewing
from renewagent.agent.ra_desk import utc_now
from renewagent.cmp import bodies, codec, private, responder, responder_answers
from renewagent.cmp.responder_words import Issued, Order
from renewagent.cmp.wire import BodyType, InfoValue
from renewagent.errors import RaMisbehaved, RaUnreachable, RenewAgentError
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from renewagent.statements import Purpose, Statement
from renewagent_fixtures.mock_ra.ca import CertificationAuthority, Ordered
from tests.flows.workshop import (
    AUTHENTICATION,
    SIGNING,
    Tape,
    Workshop,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
)


@dataclass
class Recorder:
    """The way to the RA, with all that was sent kept. `plain` may answer for the plain addresses instead."""

    inner: HttpRaTransport
    sent: list[bytes] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    plain: Callable[[str, PlainAnswer], PlainAnswer] = lambda url, answer: answer
    answer: Callable[[bytes], bytes] = lambda octets: octets

    @property
    def url(self) -> str:
        """As the transport's."""
        return self.inner.url

    def exchange(self, octets: bytes) -> bytes:
        """As the transport's."""
        self.sent.append(octets)
        return self.answer(self.inner.exchange(octets))

    def get_json(self, url: str) -> PlainAnswer:
        """As the transport's."""
        return self.plain(url, self.inner.get_json(url))

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        """As the transport's."""
        self.posted.append(body)
        return self.inner.post(url, body, content_type)

    def close(self) -> None:
        """As the transport's."""
        self.inner.close()


@pytest.fixture
def recorder(workshop: Workshop) -> Recorder:
    return Recorder(HttpRaTransport(workshop.ra.url, timeout=5))


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.01)


# -- what the card signs ----------------------------------------------------------------------------------------------


def signed_by_the_card(tape: Tape) -> list[bytes]:
    """Every digest that a P-256 key on the card was given to sign."""
    found = []
    for command, response in tape.exchanges:
        if command[1] == 0x87 and command[3] in (AUTHENTICATION, SIGNING) and response[-2:] == b"\x90\x00":
            assert command[2] == 0x11
            assert command[5:11] == bytes.fromhex("7c2482008120")
            found.append(command[11:43])
    return found


def accounted_for(recorder: Recorder) -> set[bytes]:
    """Digests of what we built: CMP messages' protected parts, requests under their proof of possession, and signed
    attributes over statements of ours."""
    found = set()
    for octets in recorder.sent:
        message = codec.decode_message(octets)
        found.add(codec.protected_part(message.raw_header, message.raw_body))
        if message.body_type in (BodyType.KUR, BodyType.CR):
            found |= {request.request.raw for request in bodies.read_cert_requests(message)}
        if message.body_type is BodyType.GENM:
            for item in bodies.read_info(message):
                found |= _attributes_in(item)
    found |= {_attributes(octets) for octets in recorder.posted}
    return {hashlib.sha256(octets).digest() for octets in found}


def _attributes_in(item: InfoValue) -> set[bytes]:
    if item.oid == private.TICKET_REQUEST:
        request = asn1.decode_der(private.TicketRequest, item.value or b"")
        return {_attributes(request.statement)} if request.signed else set()
    if item.oid == private.RECEIPT:
        return {_attributes(asn1.decode_der(private.ReceiptDelivery, item.value or b"").receipt)}
    return set()


def _attributes(octets: bytes) -> bytes:
    """The signed attributes of CMS SignedData over one of our statements."""
    signed = asn1_cms.ContentInfo.load(octets)["content"]
    content = signed["encap_content_info"]["content"].native
    assert content.startswith(b"renewagent ")
    assert Statement.decode(content).purpose in Purpose
    (signer,) = signed["signer_infos"]
    attributes = {a["type"].native: a["values"] for a in signer["signed_attrs"]}
    assert attributes["message_digest"][0].native == hashlib.sha256(content).digest()
    return bytes(signer["signed_attrs"].untag().dump())


@pytest.mark.parametrize(
    ("rekey", "protects", "signatures"),
    [("required", False, 10), ("allowed", True, 6), ("allowed", False, 6)],
    ids=["D", "A-kur", "A-cr"],
)
def test_in_a_whole_renewal_the_card_signs_what_we_built_and_nothing_else(
    workshop: Workshop, workstation: Workstations, recorder: Recorder, rekey: str, protects: bool, signatures: int
) -> None:
    card = workshop.card(protects=protects)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey), transport=recorder)
    desk.renew(card)
    assert_renewed(workshop, card, old)
    signed = signed_by_the_card(desk.tape)
    assert len(signed) == signatures
    assert set(signed) == accounted_for(recorder)


def cmp_message(workshop: Workshop) -> bytes:
    """A message that somebody would like to have signed: another person's certConf, say, or a whole request."""
    return codec.protected_part(b"\x30\x03\x02\x01\x02", b"\xb8\x02\x30\x00")


@pytest.mark.parametrize("where", ["/nonce", "/sign-in/challenge"])
@pytest.mark.parametrize(
    "wish",
    ["a CMP message", "a CMP message, short", "a receipt", "lines", "upper case", "a number", "much"],
)
def test_a_nonce_that_is_something_else_is_not_signed(
    workshop: Workshop, workstation: Workstations, recorder: Recorder, where: str, wish: str
) -> None:
    receipt = Statement(Purpose.RECEIPT, workshop.ra.origin, "chuid:00", "00" * 32, utc_now(), "00" * 16)
    nonce = {
        "a CMP message": (cmp_message(workshop) * 10).hex(),
        "a CMP message, short": cmp_message(workshop).decode("latin-1"),
        "a receipt": receipt.encode().decode(),
        "lines": "00" * 16 + "\nnonce: " + "00" * 16,
        "upper case": "AB" * 16,
        "a number": 7,
        "much": "ab" * 65,
    }[wish]

    def answer(url: str, honest: PlainAnswer) -> PlainAnswer:
        wanted = url.endswith(where) and honest.document is not None
        return replace(honest, document={**(honest.document or {}), "nonce": nonce}) if wanted else honest

    recorder.plain = answer
    card = workshop.card()
    before, old = card.image, certificate(card)
    desk = workstation(workshop.campaign(), transport=recorder)
    with pytest.raises(RenewAgentError) as told:
        desk.renew(card)
    assert told.value.code in ("RA-MISBEHAVED", "RA-UNREACHABLE")
    assert set(signed_by_the_card(desk.tape)) <= accounted_for(recorder)
    if where == "/nonce":
        assert signed_by_the_card(desk.tape) == []
        assert_untouched(workshop, card, before)
    else:  # all is done but the sign-in
        assert_renewed(workshop, card, old)
        assert len(recorder.posted) == 0


@pytest.mark.parametrize("where", ["/nonce", "/sign-in/challenge"])
def test_a_nonce_for_somewhere_else_is_not_signed(
    workshop: Workshop, workstation: Workstations, recorder: Recorder, where: str
) -> None:
    def answer(url: str, honest: PlainAnswer) -> PlainAnswer:
        elsewhere = {**(honest.document or {}), "origin": "https://bank.example"}
        return replace(honest, document=elsewhere) if url.endswith(where) else honest

    recorder.plain = answer
    card = workshop.card()
    desk = workstation(workshop.campaign(), transport=recorder)
    with pytest.raises(RaMisbehaved):
        desk.renew(card)
    assert set(signed_by_the_card(desk.tape)) <= accounted_for(recorder)
    assert recorder.posted == []
    for octets in recorder.sent:
        assert b"bank.example" not in octets


# -- certificates that were not asked for -----------------------------------------------------------------------------


def evil_certificate(workshop: Workshop, order: Order, kind: str, old: bytes) -> bytes:
    """What the RA issues instead of what was asked for."""
    pki, now = workshop.ra.office.pki, utc_now()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    somebody = x509.Name.from_rfc4514_string("CN=Dr Mallory,O=Mock Hospital,C=GB").public_bytes()
    plain = Ordered(order.subject, order.public_key, order.usages or USAGES, now, now + timedelta(days=300))
    wishes = {
        "another key": replace(plain, public_key=spki),
        "another subject": replace(plain, subject=somebody),
        "an authority": replace(plain, authority=True),
        "over already": replace(plain, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)),
        "another use": replace(plain, usages=frozenset({"keyAgreement"})),
    }
    if kind == "the old one":
        return old
    if kind == "another chain":
        stranger = CertificationAuthority.self_signed("signing", "Mock Signing CA", "p256", now)
        return stranger.sign(plain)[1]
    return pki.signing.sign(wishes[kind])[1]


USAGES = frozenset({"digitalSignature", "contentCommitment"})
KINDS = [
    "another key",
    "another subject",
    "another chain",
    "an authority",
    "over already",
    "another use",
    "the old one",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rekey", "protects"), [("allowed", True), ("required", False)], ids=["A", "D"])
def test_a_certificate_that_was_not_asked_for_is_not_installed(
    workshop: Workshop,
    workstation: Workstations,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    rekey: str,
    protects: bool,
) -> None:
    card = workshop.card(protects=protects)
    old, before, desk = certificate(card), card.image, workstation(workshop.campaign(rekey=rekey))
    chain = (workshop.ra.office.pki.signing.der, workshop.ra.office.pki.root.der)
    with monkeypatch.context() as lying:
        lying.setattr(
            workshop.ra.office.authority,
            "certify",
            lambda order, now: Issued(evil_certificate(workshop, order, kind, old), chain),
        )
        with pytest.raises(RaMisbehaved) as told:
            desk.renew(card)
    assert told.value.code == "RA-MISBEHAVED"
    assert "Nothing was installed" in told.value.advice
    assert certificate(card) == old
    assert desk.tape.wrote == 0
    if rekey == "allowed":
        assert_untouched(workshop, card, before)
    else:
        assert workshop.tickets(card)[0].state == "armed"
    desk.renew(card)  # an honest day
    assert_renewed(workshop, card, old)


# -- messages that answer something else ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["another nonce", "another transaction", "the old key", "no fresh nonce"])
@pytest.mark.parametrize("at", [BodyType.GENM, BodyType.CR, BodyType.CERTCONF])
def test_an_answer_to_another_message_is_not_believed(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, kind: str, at: BodyType
) -> None:
    card = workshop.card()
    old, before, desk = certificate(card), card.image, workstation(workshop.campaign())
    honest = responder_answers.seal
    lies: list[str] = []

    def seal(reply: Any, request: Any, caller: Any, signer: Any, now: Any) -> bytes:
        if request is None or current[-1] is not at or lies:
            return honest(reply, request, caller, signer, now)
        lies.append(kind)
        if kind == "another nonce":
            request = replace(request, sender_nonce=os.urandom(16))
        elif kind == "another transaction":
            request = replace(request, transaction_id=os.urandom(16))
        elif kind == "no fresh nonce":
            reply = replace(reply, nonce=b"")
        else:  # of somebody else under the same root: a prescriber
            signer = somebody
        return honest(reply, request, caller, signer, now)

    current: list[BodyType] = []
    transport = Recorder(HttpRaTransport(workshop.ra.url, timeout=5))
    inner, transport.exchange = transport.exchange, None  # type: ignore[assignment]

    def exchange(octets: bytes) -> bytes:
        current.append(codec.decode_message(octets).body_type)
        return inner(octets)

    transport.exchange = exchange  # type: ignore[method-assign]
    desk = workstation(workshop.campaign(), transport=transport)
    somebody = prescriber(workshop)
    monkeypatch.setattr(responder, "seal", seal)
    with pytest.raises(RaMisbehaved):
        desk.renew(card)
    assert lies == [kind]
    if at is BodyType.GENM:
        assert_untouched(workshop, card, before)
    elif at is BodyType.CR:
        assert certificate(card) == old
    desk.renew(card)
    assert_renewed(workshop, card, old)


def prescriber(workshop: Workshop) -> Any:
    """A message signer under the RA's root who may not speak for the RA."""
    from renewagent.cmp.responder_signature import load_signer

    key = ec.generate_private_key(ec.SECP256R1())
    der = workshop.ra.issue(key.public_key(), "CN=Dr Mallory,O=Mock Hospital,C=GB", "signing-with-digital-signature")
    pki = workshop.ra.office.pki
    return load_signer(key, (der, pki.signing.der, pki.root.der))


def test_yesterdays_answer_is_not_believed_today(
    workshop: Workshop, workstation: Workstations, recorder: Recorder
) -> None:
    card = workshop.card()
    old, kept = certificate(card), []
    first = workstation(workshop.campaign(), transport=recorder)

    def keep(octets: bytes) -> bytes:
        kept.append(octets)
        return octets

    recorder.answer = keep
    first.renew(card)
    other = workshop.card()
    before = other.image
    replaying = Recorder(HttpRaTransport(workshop.ra.url, timeout=5))
    answers = iter(kept)
    replaying.answer = lambda octets: next(answers)
    desk = workstation(workshop.campaign(), transport=replaying)
    with pytest.raises(RaMisbehaved):
        desk.renew(other)
    assert_untouched(workshop, other, before)
    assert_renewed(workshop, card, old)


# -- tickets ----------------------------------------------------------------------------------------------------------


def lying_about_tickets(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, lie: Callable[[Any], Any]) -> None:
    """The RA's ticket answers come out as `lie` makes them."""
    honest = workshop.ra.office.authority.answerer

    def answer(inquiry: Any, now: Any) -> Any:
        values = honest(inquiry, now)
        return tuple(
            InfoValue(v.oid, asn1.encode_der(lie(asn1.decode_der(private.TicketAnswer, v.value or b""))))
            if v.oid == private.TICKET
            else v
            for v in values or ()
        )

    monkeypatch.setattr(workshop.ra.office.authority, "answerer", answer)


def altered(**fields: Any) -> Callable[[Any], Any]:
    """A lie that changes these fields of a TicketAnswer."""

    def lie(answer: Any) -> Any:
        names = private.TicketAnswer.__annotations__
        return private.TicketAnswer(**{**{name: getattr(answer, name) for name in names}, **fields})

    return lie


@pytest.mark.parametrize(
    "fields",
    [
        {"old": "ab" * 32},
        {"old": "ab" * 32 + "\nnonce: 00"},
        {"campaign": "x\ny/1"},
        {"campaign": ""},
    ],
    ids=["another certificate", "two lines", "campaign in two lines", "no campaign"],
)
def test_a_ticket_for_something_else_is_not_used(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign())
    lying_about_tickets(workshop, monkeypatch, altered(**fields))
    with pytest.raises(RaMisbehaved):
        desk.renew(card)
    assert (desk.kinds[-1], desk.tape.generated) == ("stopped", 0)
    assert_untouched(workshop, card, before)


def test_a_ticket_with_somebody_elses_certificate_is_not_installed(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.flows.test_resumed_elsewhere import killed

    card, campaign = workshop.card(), workshop.campaign()
    old = certificate(card)
    killed(workstation(campaign), card, 5, "journalled")
    mallory = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = workshop.ra.issue(mallory, "CN=Dr Mallory,O=Mock Hospital,C=GB", "signing")
    spki = mallory.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    elsewhere = workstation(campaign)
    with monkeypatch.context() as lying:
        lie = altered(certificate=der, public_key=spki, transaction=os.urandom(16), nonce=os.urandom(16))
        lying_about_tickets(workshop, lying, lie)
        with pytest.raises(RaMisbehaved):
            elsewhere.renew(card)
    assert (certificate(card), elsewhere.tape.wrote) == (old, 0)
    elsewhere.renew(card)
    assert_renewed(workshop, card, old)


# -- the way there ----------------------------------------------------------------------------------------------------


class Redirecting(http.server.BaseHTTPRequestHandler):
    """Sends everybody to the true RA, which would then be believed to be the one that was configured."""

    goal = ""

    def do_GET(self) -> None:
        self.send_response(307)
        self.send_header("Location", f"{self.goal}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def redirecting(workshop: Workshop) -> Iterator[str]:
    handler = type("Handler", (Redirecting,), {"goal": workshop.ra.origin})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/.well-known/cmp"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("rekey", ["required", "allowed"])
def test_nobody_is_followed_to_another_address(
    workshop: Workshop, workstation: Workstations, redirecting: str, rekey: str
) -> None:
    card = workshop.card(protects=True)
    before = card.image
    desk = workstation(workshop.campaign(rekey=rekey), transport=HttpRaTransport(redirecting, timeout=5))
    with pytest.raises(RaUnreachable) as told:
        desk.renew(card)
    assert told.value.code == "RA-UNREACHABLE"
    assert_untouched(workshop, card, before)
