"""CMP messages: the codec, and both ends of a conversation.

An input to either end begins with an octet that says what it is: a whole message, as it is, or (so that more than the
check of protection is reached) the kind and content of a body, which is then put into a header and protected as it
should be. Both ends stand at several places of a conversation; each input finds them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1

from renewagent.cmp import bodies, codec, der, private
from renewagent.cmp.client import CmpClient, Credential
from renewagent.cmp.crmf import CertTemplate
from renewagent.cmp.wire import (
    BodyType,
    CertStatus,
    ErrorContent,
    InfoValue,
    Message,
    Oid,
    PkiStatus,
    PollReply,
    StatusInfo,
)
from renewagent.errors import ClockError, RaMisbehaved, RaRefused
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office
from tests.fuzz.mutation import change_elements, elements_after
from tests.fuzz.target import Ready, Target
from tests.unit.cmp import scripted_ra
from tests.unit.cmp.scripted_ra import NOW, Recipe, certify, grant, new_key, pki
from tests.unit.mock_ra import peer

_READERS: tuple[Callable[[Message], object], ...] = (
    bodies.read_cert_requests,
    bodies.read_pkcs10,
    bodies.read_cert_rep,
    bodies.read_confirmations,
    bodies.read_pki_conf,
    bodies.read_error,
    bodies.read_info,
    bodies.read_poll_requests,
    bodies.read_poll_replies,
    bodies.read_revocations,
    bodies.read_revocation_answer,
    bodies.read_nested,
)


def _message(octets: bytes) -> None:
    try:
        message = codec.decode_message(octets)
    except ValueError:
        return
    again = codec.encode_message(message.raw_header, message.raw_body, message.protection, message.extra_certs)
    assert codec.decode_message(again) == message
    for read in _READERS:
        try:
            read(message)
        except ValueError:
            pass


def _messages(folder: Path) -> Ready:
    return Ready(_message, (*_conversation().said, *_answers()))


# -- the client --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Conversation:
    """States of a client, each with the message that it has just sent, and answers in the order of `states`."""

    states: tuple[dict[str, Any], ...]
    said: tuple[bytes, ...]
    certificate: bytes


def _conversation() -> _Conversation:
    """kur, then pollReq while the RA takes its time, certConf; and a genm."""
    old, key = pki().holder, new_key()
    credential = Credential(old.certificate, (pki().signing.certificate,), old.key)
    certificate = certify(Recipe(begins=NOW), pki().signing, key).der
    client = CmpClient([pki().root.certificate])
    said, states = [client.start_key_update(NOW, credential, key, old.certificate)], []

    def keep() -> None:
        states.append(client.state.to_dict())

    keep()
    wait = grant(said[0], None, status=StatusInfo(PkiStatus.WAITING))
    client.receive(NOW, scripted_ra.answer(said[0], wait))
    said.append(client.poll(NOW, credential))
    keep()
    response = bodies.write_cert_rep(BodyType.KUP, bodies.read_cert_rep(_granted(said[0], certificate)))
    client.receive(NOW, scripted_ra.answer(said[1], response))
    said.append(client.confirm(NOW, credential))
    keep()
    client = CmpClient([pki().root.certificate])
    said.append(client.general(NOW, credential, [(private.TICKET_FETCH, None)]))
    keep()
    return _Conversation(tuple(states), tuple(said), certificate)


def _granted(request: bytes, certificate: bytes) -> Message:
    return codec.decode_message(scripted_ra.answer(request, grant(request, certificate)))


def _bodies(conversation: _Conversation) -> tuple[tuple[int, bytes], ...]:
    """Bodies of answers, each with the state that it is for."""
    kur = conversation.said[0]
    return (
        (0, grant(kur, conversation.certificate)),
        (0, grant(kur, None, status=StatusInfo(PkiStatus.WAITING, ("later",)))),
        (0, bodies.write_error(ErrorContent(StatusInfo(PkiStatus.REJECTION, ("no",), frozenset({"badPOP"})), 3))),
        (1, bodies.write_poll_replies((PollReply(0, 60, ("patience",)),))),
        (1, grant(kur, conversation.certificate)),
        (2, bodies.write_pki_conf()),
        (3, bodies.write_info(BodyType.GENP, (InfoValue(private.TICKET, der.octet_string(b"\7" * 16)),))),
    )


def _answers() -> tuple[bytes, ...]:
    conversation = _conversation()
    return tuple(scripted_ra.answer(conversation.said[state], body) for state, body in _bodies(conversation))


def _client(folder: Path) -> Ready:
    conversation = _conversation()
    anchors = [pki().root.certificate]
    wrap = [_wrapper(said) for said in conversation.said]

    def run(octets: bytes) -> None:
        if not octets:
            return
        state, whole = octets[0] % len(wrap), octets[0] & 0x80
        client = CmpClient.resume(conversation.states[state], anchors)
        try:
            client.receive(NOW, octets[1:] if whole else wrap[state](octets[1:]))
        except (RaRefused, RaMisbehaved, ClockError):
            pass
        client.state.to_dict()

    seeds = []
    for state, body in _bodies(conversation):
        seeds.append(bytes((state,)) + body)
        seeds.append(bytes((0x80 + state,)) + scripted_ra.answer(conversation.said[state], body))
    return Ready(run, tuple(seeds))


def _wrapper(said: bytes) -> Callable[[bytes], bytes]:
    """Puts a body into a proper answer to `said`. The header is made once: what varies is the body."""
    made = codec.decode_message(scripted_ra.answer(said, bodies.write_pki_conf()))

    def wrap(body: bytes) -> bytes:
        covered = codec.protected_part(made.raw_header, body)
        return _put_together(made.raw_header, body, peer.sign(pki().ra.key, covered), made.extra_certs)

    return wrap


def _put_together(raw_header: bytes, body: bytes, protection: bytes, extra: Iterable[bytes]) -> bytes:
    """As `codec.encode_message`, for a body that need not be DER."""
    bits = der.tlv(0xA0, der.tlv(0x03, b"\0" + protection))
    return der.sequence((raw_header, body, bits, der.tlv(0xA1, der.sequence(extra))))


# -- the RA ------------------------------------------------------------------------------------------------------------


def _responder(folder: Path) -> Ready:
    clock = peer.Clock()
    office = Office(folder, Knobs(), "sqlite://", clock)
    office.reached_at(frozenset({peer.ORIGIN}), f"{peer.ORIGIN}/crl")
    signer = peer.enrolled(office, peer.BOTH)
    request = peer.Request(BodyType.KUR, peer.p256(), old=signer.certificate)
    fresh, issued, waiting = signer.anew(), signer.anew(), peer.enrolled(office, peer.BOTH)
    answer = issued.say(request.body())
    office.turn(Knobs(approval=True))
    put_off = waiting.say(peer.Request(BodyType.KUR, peer.p256(), old=waiting.certificate).body())
    other = peer.enrolled(office, peer.AUTHENTICATION)
    office.turn(Knobs())
    office.flush()
    wrap = (
        _by(fresh),
        _by(issued, recip_nonce=answer.nonce),
        _by(waiting, recip_nonce=put_off.nonce),
        _by(other),
        _by(peer.Peer(office)),
    )

    def run(octets: bytes) -> None:
        if not octets:
            return
        at, whole = octets[0] % len(wrap), octets[0] & 0x80
        said = office.responder.respond(octets[1:] if whole else wrap[at](octets[1:]), clock())
        office.store.abandon()
        codec.decode_message(said)

    status = CertStatus(b"\0" * 32, 0)
    info = bodies.write_info(BodyType.GENM, _questions(signer.certificate, request))
    said = (
        (0, request.body()),
        (0, info),
        (1, bodies.write_confirmations((status,))),
        (1, bodies.write_error(ErrorContent(StatusInfo(PkiStatus.REJECTION)))),
        (2, bodies.write_poll_requests((0,))),
        (3, replace(request, kind=BodyType.CR, ticket="a ticket").body()),
        *((3, bodies.write_info(BodyType.GENM, (one,))) for one in _questions(signer.certificate, request)),
        (4, replace(request, kind=BodyType.IR, old=None).body()),
        (4, bodies.write_revocation(_to_revoke(signer.certificate))),
    )
    seeds = [bytes((at,)) + body for at, body in said]
    seeds += [bytes((0x80,)) + wrap[at](body) for at, body in said]
    return Ready(run, tuple(seeds))


def _by(who: peer.Peer, **changes: Any) -> Callable[[bytes], bytes]:
    """Puts a body into a message of theirs."""
    header = replace(who.header(), **changes)
    raw = codec.encode_header(header)

    def wrap(body: bytes) -> bytes:
        covered = codec.protected_part(raw, body)
        if who.key is not None:
            return _put_together(raw, body, peer.sign(who.key, covered), (who.certificate,))
        return _put_together(raw, body, peer.pbm(who.office.pki.secret.encode(), header.protection_alg, covered), ())

    return wrap


def _questions(certificate: bytes, request: peer.Request) -> tuple[InfoValue, ...]:
    key = peer.public(request.key)
    asked = {
        private.TICKET_REQUEST: private.TicketRequest(statement=b"renewagent ticket v1", signed=False, campaign=b""),
        private.TICKET_FETCH: private.TicketFetch(card="chuid:00112233445566778899aabbccddeeff"),
        private.TICKET_ARM: private.TicketArm(ticket="a ticket", public_key=key),
        private.RECEIPT: private.ReceiptDelivery(receipt=certificate),
    }
    plain = (Oid.CA_CERTS, Oid.CERT_REQ_TEMPLATE, Oid.ROOT_CA_CERT)
    ours = tuple(InfoValue(oid, asn1.encode_der(value)) for oid, value in asked.items())
    return (*(InfoValue(oid) for oid in plain), *ours)


def _to_revoke(certificate: bytes) -> Any:
    parsed = x509.load_der_x509_certificate(certificate)
    return CertTemplate(issuer=parsed.issuer.public_bytes(), serial=parsed.serial_number)


TARGETS = (
    Target("cmp-message", "a CMP message, read and written again", _messages, change=change_elements),
    Target("cmp-client", "what the RA answers", _client, change=elements_after(1)),
    Target("cmp-responder", "what is sent to the RA", _responder, change=elements_after(1)),
)
