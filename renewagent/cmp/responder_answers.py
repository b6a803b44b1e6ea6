"""Answers: header, body and protection put together. Each repeats the request's version, transactionID and senderNonce,
and is protected in the way that the request was (RFC 9483 3.1, 3.6.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from renewagent.cmp import bodies, codec, der
from renewagent.cmp.responder_header import Caller
from renewagent.cmp.responder_signature import MessageSigner
from renewagent.cmp.responder_words import Refusal
from renewagent.cmp.wire import (
    NULL_DN,
    BodyType,
    CertRepMessage,
    CertResponse,
    ErrorContent,
    Header,
    InfoValue,
    Oid,
    PkiStatus,
    StatusInfo,
)

ANSWER_TO = {
    BodyType.IR: BodyType.IP,
    BodyType.CR: BodyType.CP,
    BodyType.KUR: BodyType.KUP,
    BodyType.P10CR: BodyType.CP,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer is made of, apart from its protection. `nonce` is its senderNonce."""

    body: bytes
    nonce: bytes
    info: tuple[InfoValue, ...] = ()
    extra: tuple[bytes, ...] = ()


def seal(reply: Reply, request: Header | None, caller: Caller | None, signer: MessageSigner, now: datetime) -> bytes:
    """The whole PKIMessage. `request` is None where it could not even be read."""
    scheme = caller.scheme if caller is not None else None
    header = codec.encode_header(
        Header(
            sender=codec.directory(signer.name),
            recipient=request.sender if request is not None else codec.directory(NULL_DN),
            pvno=request.pvno if request is not None and request.pvno in (2, 3) else 2,
            message_time=now,
            protection_alg=scheme.algorithm if scheme is not None else signer.algorithm,
            sender_kid=request.sender_kid if scheme is not None and request is not None else signer.key_identifier,
            transaction_id=request.transaction_id if request is not None else None,
            sender_nonce=reply.nonce,
            recip_nonce=request.sender_nonce if request is not None else None,
            general_info=reply.info,
        )
    )
    covered = codec.protected_part(header, reply.body)
    protection = scheme.tag(covered) if scheme is not None else signer.sign(covered)
    return _joined(header, reply.body, protection, (signer.certificate, *signer.chain, *reply.extra))


def _joined(header: bytes, body: bytes, protection: bytes, certificates: Sequence[bytes]) -> bytes:
    # All parts are whole elements already: no need to take them apart again (`codec.encode_message` does).
    bits = der.tlv(0xA0, der.tlv(0x03, b"\0" + protection))
    extra = der.tlv(0xA1, der.sequence(dict.fromkeys(certificates)))
    return der.sequence((header, body, bits, extra))


def error_body(refusal: Refusal) -> bytes:
    """An error message that names every failure."""
    status = StatusInfo(PkiStatus.REJECTION, (refusal.text,), refusal.failures)
    return bodies.write_error(ErrorContent(status))


def certificate_body(kind: BodyType, cert_req_id: int, certificate: bytes, ca_pubs: tuple[bytes, ...] = ()) -> bytes:
    """ip, cp or kup with the certificate."""
    response = CertResponse(cert_req_id, StatusInfo(PkiStatus.ACCEPTED), certificate)
    return bodies.write_cert_rep(kind, CertRepMessage((response,), ca_pubs))


def waiting_body(kind: BodyType, cert_req_id: int) -> bytes:
    """ip, cp or kup with the status `waiting` (RFC 9483 4.4)."""
    status = StatusInfo(PkiStatus.WAITING, ("the request waits for approval",))
    return bodies.write_cert_rep(kind, CertRepMessage((CertResponse(cert_req_id, status),)))


@lru_cache(maxsize=16)  # all answers of one second say the same
def confirm_wait_time(at: datetime) -> InfoValue:
    """Until when the RA waits for the certConf (RFC 9810 5.1.1.2)."""
    return InfoValue(Oid.CONFIRM_WAIT_TIME, der.generalized_time(at))


IMPLICIT_CONFIRM = InfoValue(Oid.IMPLICIT_CONFIRM, der.NULL)
