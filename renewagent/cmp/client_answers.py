"""How an answer is judged: header, protection, time, then the body that the phase of the transaction allows.

Pure: in go an answer and the conversation so far; out come a result (or the error to raise) and the conversation as it
then stands. An answer that is not believed leaves the conversation as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.cmp import bodies, codec, macs
from renewagent.cmp.client_checks import (
    MOST_EXTRA_CERTS,
    Trust,
    Wanted,
    certificates,
    check_certificate,
    check_mac,
    check_signature,
)
from renewagent.cmp.client_words import check_clock, clocks_agree, misbehaved, plain, refused, unprotected
from renewagent.cmp.conversation import Conversation, Phase
from renewagent.cmp.wire import BodyType, CertResponse, Message, Oid, PkiStatus
from renewagent.errors import RaMisbehaved, RenewAgentError
from renewagent.language import _

LONGEST_WAIT = 14 * 86400
"""Seconds. A longer checkAfter is cut to this: an RA cannot put us off for ever."""
_MOST_REASON = 5


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate (DER) that is the one asked for. `chain`: DER, the certificate first, the anchor last.

    `extra_certs` are whatever else the RA sent, `ca_pubs` only in an ip. `response_nonce` is for the receipt.
    `implicitly_confirmed`: the RA granted implicitConfirm unasked.
    """

    certificate: bytes = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    extra_certs: tuple[bytes, ...] = field(repr=False)
    ca_pubs: tuple[bytes, ...] = field(repr=False)
    response_nonce: bytes
    response_time: datetime | None
    implicitly_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Ask again with `poll` after `check_after` seconds (0: at once)."""

    check_after: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The RA has our certConf. `accepted` is false where it was a rejection."""

    accepted: bool
    at: datetime | None


@dataclass(frozen=True, slots=True)
class GeneralAnswer:
    """genp: (information type, DER or None) pairs. `extra_certs`: the certificates that came with it."""

    values: tuple[tuple[x509.ObjectIdentifier, bytes | None], ...]
    at: datetime | None
    extra_certs: tuple[bytes, ...] = field(default=(), repr=False)


Result = Issued | Waiting | Confirmed | GeneralAnswer


@dataclass(frozen=True, slots=True)
class Answer:
    """Octets that claim to answer our last message. `secret` where a shared secret protects."""

    octets: bytes
    state: Conversation
    trust: Trust
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Judged:
    """What an answer means (an exception is to be raised), and the conversation as it then stands."""

    result: Result | RenewAgentError
    state: Conversation


def judge(answer: Answer, now: datetime) -> Judged:
    """The whole judgement. Raises RaMisbehaved and ClockError for what is not believed at all."""
    try:
        message = codec.decode_message(answer.octets)
    except ValueError as error:
        raise misbehaved(_("it is not a CMP message")) from error
    _check_due(answer.state, message)
    _check_belongs(answer.state, message)
    try:
        return _judge(answer, message, now)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise misbehaved(_("its contents cannot be read")) from error


def _judge(answer: Answer, message: Message, now: datetime) -> Judged:
    theirs = message.header.message_time or now
    # Where the clocks differ, the answer is still verified, at its own time, before anybody is told to mend a clock.
    _check_protection(answer, message, max(now, theirs) if clocks_agree(now, theirs) else theirs)
    check_clock(now, theirs)
    state = replace(
        answer.state,
        recip_nonce=message.header.sender_nonce,
        ra_certs=message.extra_certs[:MOST_EXTRA_CERTS] or answer.state.ra_certs,
    )
    return _JUDGES[message.body_type](answer, state, message, now)


_RESPONSE = {
    BodyType.IR: BodyType.IP,
    BodyType.CR: BodyType.CP,
    BodyType.KUR: BodyType.KUP,
    BodyType.CERTCONF: BodyType.PKICONF,
    BodyType.GENM: BodyType.GENP,
}


def _check_due(state: Conversation, message: Message) -> None:
    if state.phase not in (Phase.SENT, Phase.POLLED):
        raise misbehaved(_("nothing was asked that it could answer"))
    allowed = {_RESPONSE[state.asked], BodyType.ERROR}
    if state.phase is Phase.POLLED:
        allowed.add(BodyType.POLLREP)
    if message.body_type not in allowed:
        raise misbehaved(_("it answers another question than the one that was asked"))


def _check_belongs(state: Conversation, message: Message) -> None:
    header = message.header
    if header.pvno not in (2, 3):
        raise misbehaved(_("it is in another version of the protocol"))
    if header.transaction_id != state.transaction_id:
        raise misbehaved(_("it belongs to another transaction"))
    fresh = {state.sender_nonce}
    if message.body_type is not BodyType.POLLREP:
        fresh.add(state.request_nonce)  # the delayed answer may name the original request (RFC 9483 4.4)
    if header.recip_nonce not in fresh:
        raise misbehaved(_("it answers another message than ours"))


def _check_protection(answer: Answer, message: Message, now: datetime) -> None:
    algorithm = message.header.protection_alg
    if message.protection is None or algorithm is None:
        if message.body_type is BodyType.ERROR:
            raise _unprotected_error(message)
        raise misbehaved(_("it is not protected"))
    if answer.secret is not None and macs.is_mac(algorithm):
        check_mac(message, answer.secret)
    else:
        check_signature(message, answer.trust, answer.state.ra_certs, now)
    if len(message.header.sender_nonce or b"") < 16:  # RFC 9483 3.1: 128 bits
        raise misbehaved(_("it bears no fresh nonce"))


def _unprotected_error(message: Message) -> RaMisbehaved:
    try:
        return unprotected(bodies.read_error(message))
    except ValueError:
        return misbehaved(_("it is not protected"))


def _error(answer: Answer, state: Conversation, message: Message, now: datetime) -> Judged:
    error = bodies.read_error(message)
    if error.status.status == PkiStatus.WAITING:  # any request can be put off (RFC 9810 5.3.22): poll for the whole
        return Judged(Waiting(0, plain(" ".join(error.status.text))), replace(state, phase=Phase.WAITING, poll_id=-1))
    known = "certConfirmed" in error.status.fail_info or state.implicitly_confirmed
    if state.asked is BodyType.CERTCONF and state.accepted and known:
        # Our first certConf arrived and its pkiConf was lost, or the RA never waited for one.
        return Judged(Confirmed(True, message.header.message_time), replace(state, phase=Phase.DONE))
    return Judged(refused(error.status, error.details), replace(state, phase=_after_refusal(state)))


def _after_refusal(state: Conversation) -> Phase:
    if state.asked is not BodyType.CERTCONF:
        return Phase.DONE
    return Phase.ISSUED if state.accepted else Phase.UNFIT  # certConf may be sent again


def _poll_reply(answer: Answer, state: Conversation, message: Message, now: datetime) -> Judged:
    replies = bodies.read_poll_replies(message)
    if len(replies) != 1 or replies[0].cert_req_id != state.poll_id or replies[0].check_after < 0:
        raise misbehaved(_("it speaks of another request than ours"))
    seconds, reason = min(replies[0].check_after, LONGEST_WAIT), plain(" ".join(replies[0].reason[:_MOST_REASON]))
    return Judged(Waiting(seconds, reason), replace(state, phase=Phase.WAITING))


def _pki_conf(answer: Answer, state: Conversation, message: Message, now: datetime) -> Judged:
    bodies.read_pki_conf(message)
    return Judged(Confirmed(state.accepted, message.header.message_time), replace(state, phase=Phase.DONE))


def _general(answer: Answer, state: Conversation, message: Message, now: datetime) -> Judged:
    values = tuple((item.oid, item.value) for item in bodies.read_info(message))
    result = GeneralAnswer(values, message.header.message_time, message.extra_certs)
    return Judged(result, replace(state, phase=Phase.DONE))


def _certificate(answer: Answer, state: Conversation, message: Message, now: datetime) -> Judged:
    rep = bodies.read_cert_rep(message)
    if len(rep.responses) != 1 or rep.responses[0].cert_req_id != 0:
        raise misbehaved(_("it speaks of another request than ours"))
    response = rep.responses[0]
    if response.status.status == PkiStatus.WAITING:
        return Judged(Waiting(0, plain(" ".join(response.status.text))), replace(state, phase=Phase.WAITING, poll_id=0))
    if response.status.status == PkiStatus.REJECTION:
        return Judged(refused(response.status), replace(state, phase=Phase.DONE))
    certificate = _granted(response)
    state = replace(
        state,
        certificate=certificate,
        response_nonce=message.header.sender_nonce or b"",
        response_time=message.header.message_time,
        implicitly_confirmed=any(i.oid == Oid.IMPLICIT_CONFIRM for i in message.header.general_info),
    )
    wanted = Wanted(state.public_key, state.subject, state.old, state.key_usage)
    try:
        pool = certificates([*message.extra_certs, *answer.state.ra_certs])
        chain = check_certificate(certificate, wanted, pool, answer.trust, now)
    except RaMisbehaved as error:
        return Judged(error, replace(state, phase=Phase.UNFIT, accepted=False))
    ca_pubs = rep.ca_pubs if message.body_type is BodyType.IP else ()  # RFC 9810 5.3.4: in an ip alone
    return Judged(_issued(state, chain, message, ca_pubs), replace(state, phase=Phase.ISSUED))


def _granted(response: CertResponse) -> bytes:
    if response.status.status not in (PkiStatus.ACCEPTED, PkiStatus.GRANTED_WITH_MODS):
        raise misbehaved(_("it neither grants nor refuses"))
    if response.certificate is None:
        raise misbehaved(_("it grants a certificate and brings none that can be read"))
    if response.private_key is not None:
        raise misbehaved(_("it brings a private key, which nobody asked for"))
    return response.certificate


def _issued(state: Conversation, chain: list[x509.Certificate], message: Message, ca_pubs: tuple[bytes, ...]) -> Issued:
    return Issued(
        certificate=state.certificate,
        chain=tuple(c.public_bytes(Encoding.DER) for c in chain),
        extra_certs=message.extra_certs,
        ca_pubs=ca_pubs,
        response_nonce=state.response_nonce,
        response_time=state.response_time,
        implicitly_confirmed=state.implicitly_confirmed,
    )


_JUDGES = {
    BodyType.ERROR: _error,
    BodyType.POLLREP: _poll_reply,
    BodyType.PKICONF: _pki_conf,
    BodyType.GENP: _general,
    BodyType.IP: _certificate,
    BodyType.CP: _certificate,
    BodyType.KUP: _certificate,
}
