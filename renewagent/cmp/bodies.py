"""What each PKIBody holds, to bytes and back.

`read_*` takes a `Message` of the kind and raises ValueError; `write_*` gives a whole PKIBody for
`codec.encode_message`. Parse a body only after its message's protection was checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cryptography.hazmat import asn1

from renewagent.cmp import codec, crmf, der
from renewagent.cmp.wire import (
    BodyType,
    CertId,
    CertRepMessage,
    CertResponse,
    CertStatus,
    ErrorContent,
    InfoValue,
    Message,
    PollReply,
    RevocationAnswer,
    StatusInfo,
)

REQUESTS = frozenset({BodyType.IR, BodyType.CR, BodyType.KUR, BodyType.KRR, BodyType.CCR})
RESPONSES = frozenset({BodyType.IP, BodyType.CP, BodyType.KUP, BodyType.CCP})


@asn1.sequence
class _CertResponse:
    cert_req_id: int
    status: codec.Status
    key_pair: list[asn1.TLV] | None
    rsp_info: bytes | None


@asn1.sequence
class _CertRep:
    ca_pubs: Annotated[list[asn1.TLV] | None, asn1.Explicit(1)]
    responses: list[_CertResponse]


@asn1.sequence
class _CertStatus:
    cert_hash: bytes
    cert_req_id: int
    status: codec.Status | None
    hash_alg: Annotated[list[asn1.TLV] | None, asn1.Explicit(0)]


@asn1.sequence
class _CertStatuses:
    items: list[_CertStatus]


@asn1.sequence
class _Error:
    status: codec.Status
    code: int | None
    details: list[str] | None


@asn1.sequence
class _PollRequest:
    cert_req_id: int


@asn1.sequence
class _PollRequests:
    items: list[_PollRequest]


@asn1.sequence
class _PollReply:
    cert_req_id: int
    check_after: int
    reason: list[str] | None


@asn1.sequence
class _PollReplies:
    items: list[_PollReply]


@asn1.sequence
class _InfoValues:
    items: list[list[asn1.TLV]]


@asn1.sequence
class _RevDetails:
    template: asn1.TLV
    extensions: list[asn1.TLV] | None


@asn1.sequence
class _RevRequests:
    items: list[_RevDetails]


@asn1.sequence
class _RevAnswer:
    statuses: list[codec.Status]
    certificates: Annotated[list[asn1.TLV] | None, asn1.Explicit(0)]
    crls: Annotated[list[asn1.TLV] | None, asn1.Explicit(1)]


def _content(message: Message, *kinds: BodyType) -> bytes:
    if message.body_type not in kinds:
        raise ValueError(f"a {message.body_type.name} where another body belongs")
    return codec.body_content(message)


def _boxed(content: bytes) -> bytes:
    return der.tlv(der.SEQUENCE, content)  # a root must be a SEQUENCE with fields: box a SEQUENCE OF


def read_cert_requests(message: Message) -> tuple[crmf.CertReqMsg, ...]:
    """ir, cr, kur (and krr, ccr)."""
    content = der.unwrap(_content(message, *REQUESTS), der.SEQUENCE)
    return tuple(crmf.read_req_msg(element) for element in der.split(content))


def write_cert_requests(kind: BodyType, messages: Sequence[bytes]) -> bytes:
    """ir, cr, kur from CertReqMsgs as `crmf.encode_req_msg` makes them."""
    return codec.encode_body(kind, der.sequence(messages))


def read_pkcs10(message: Message) -> bytes:
    """p10cr: the request's DER, unparsed."""
    content = _content(message, BodyType.P10CR)
    der.unwrap(content, der.SEQUENCE)
    return content


def write_pkcs10(request: bytes) -> bytes:
    """p10cr."""
    return codec.encode_body(BodyType.P10CR, request)


def read_cert_rep(message: Message) -> CertRepMessage:
    """ip, cp, kup (and ccp)."""
    node = asn1.decode_der(_CertRep, _content(message, *RESPONSES))
    ca_pubs = tuple(codec.read_certificate(c) for c in node.ca_pubs or ())
    return CertRepMessage(tuple(_response(r) for r in node.responses), ca_pubs)


def _response(node: _CertResponse) -> CertResponse:
    certificate = encrypted = private_key = None
    for i, part in enumerate(node.key_pair or ()):
        tag = der.tag_of(part)
        if i == 0 and tag == 0xA0:
            certificate = codec.read_certificate(der.node(bytes(part.data)))
        elif i == 0 and tag == 0xA1:
            encrypted = der.raw(part)
        elif i > 0 and tag == 0xA0 and private_key is None:
            private_key = der.raw(part)
        elif i == 0 or tag != 0xA1:
            raise ValueError("not a CertifiedKeyPair")
    status = codec.status_info(node.status)
    return CertResponse(node.cert_req_id, status, certificate, encrypted, private_key, node.rsp_info)


def write_cert_rep(kind: BodyType, rep: CertRepMessage) -> bytes:
    """ip, cp, kup with plain certificates."""
    node = _CertRep(
        ca_pubs=[der.node(c) for c in rep.ca_pubs] or None,
        responses=[
            _CertResponse(
                cert_req_id=r.cert_req_id,
                status=codec.status_node(r.status),
                key_pair=None if r.certificate is None else der.elements(der.tlv(0xA0, r.certificate)),
                rsp_info=r.rsp_info,
            )
            for r in rep.responses
        ],
    )
    return codec.encode_body(kind, asn1.encode_der(node))


def read_confirmations(message: Message) -> tuple[CertStatus, ...]:
    """certConf."""
    node = asn1.decode_der(_CertStatuses, _boxed(_content(message, BodyType.CERTCONF)))
    return tuple(
        CertStatus(
            s.cert_hash,
            s.cert_req_id,
            None if s.status is None else codec.status_info(s.status),
            None if s.hash_alg is None else codec.algorithm(s.hash_alg),
        )
        for s in node.items
    )


def write_confirmations(statuses: Sequence[CertStatus]) -> bytes:
    """certConf."""
    items = [
        _CertStatus(
            cert_hash=s.cert_hash,
            cert_req_id=s.cert_req_id,
            status=None if s.status is None else codec.status_node(s.status),
            hash_alg=None if s.hash_alg is None else codec.algorithm_nodes(s.hash_alg),
        )
        for s in statuses
    ]
    return _list_body(BodyType.CERTCONF, asn1.encode_der(_CertStatuses(items=items)))


def _list_body(kind: BodyType, boxed: bytes) -> bytes:
    return codec.encode_body(kind, der.unwrap(boxed, der.SEQUENCE))


def read_pki_conf(message: Message) -> None:
    """pkiConf holds NULL."""
    if _content(message, BodyType.PKICONF) != der.NULL:
        raise ValueError("a pkiConf that is not empty")


def write_pki_conf() -> bytes:
    """pkiConf."""
    return codec.encode_body(BodyType.PKICONF, der.NULL)


def read_error(message: Message) -> ErrorContent:
    """error."""
    node = asn1.decode_der(_Error, _content(message, BodyType.ERROR))
    return ErrorContent(codec.status_info(node.status), node.code, tuple(node.details or ()))


def write_error(error: ErrorContent) -> bytes:
    """error."""
    status = codec.status_node(error.status)
    node = _Error(status=status, code=error.code, details=list(error.details) or None)
    return codec.encode_body(BodyType.ERROR, asn1.encode_der(node))


def read_info(message: Message) -> tuple[InfoValue, ...]:
    """genm and genp."""
    content = _content(message, BodyType.GENM, BodyType.GENP)
    return codec.info_values(asn1.decode_der(_InfoValues, _boxed(content)).items)


def write_info(kind: BodyType, items: Sequence[InfoValue]) -> bytes:
    """genm and genp."""
    return codec.encode_body(kind, der.sequence(codec.encode_info_value(i) for i in items))


def read_poll_requests(message: Message) -> tuple[int, ...]:
    """pollReq: the certReqIds asked for."""
    node = asn1.decode_der(_PollRequests, _boxed(_content(message, BodyType.POLLREQ)))
    return tuple(item.cert_req_id for item in node.items)


def write_poll_requests(cert_req_ids: Sequence[int]) -> bytes:
    """pollReq."""
    items = [_PollRequest(cert_req_id=i) for i in cert_req_ids]
    return _list_body(BodyType.POLLREQ, asn1.encode_der(_PollRequests(items=items)))


def read_poll_replies(message: Message) -> tuple[PollReply, ...]:
    """pollRep."""
    node = asn1.decode_der(_PollReplies, _boxed(_content(message, BodyType.POLLREP)))
    return tuple(PollReply(i.cert_req_id, i.check_after, tuple(i.reason or ())) for i in node.items)


def write_poll_replies(replies: Sequence[PollReply]) -> bytes:
    """pollRep."""
    items = [
        _PollReply(cert_req_id=r.cert_req_id, check_after=r.check_after, reason=list(r.reason) or None) for r in replies
    ]
    return _list_body(BodyType.POLLREP, asn1.encode_der(_PollReplies(items=items)))


def read_revocations(message: Message) -> tuple[tuple[crmf.CertTemplate, tuple[crmf.TemplateExtension, ...]], ...]:
    """rr: each certificate asked for, with the CRL entry extensions (the reason code among them)."""
    node = asn1.decode_der(_RevRequests, _boxed(_content(message, BodyType.RR)))
    return tuple((crmf.template(der.raw(i.template)), crmf.read_extensions(i.extensions or ())) for i in node.items)


def write_revocation(template: crmf.CertTemplate, extensions: Sequence[crmf.TemplateExtension] = ()) -> bytes:
    """rr for one certificate."""
    node = _RevDetails(
        template=der.node(crmf.encode_template(template)), extensions=crmf.extension_nodes(extensions) or None
    )
    return codec.encode_body(BodyType.RR, der.sequence((asn1.encode_der(node),)))


def read_revocation_answer(message: Message) -> RevocationAnswer:
    """rp."""
    node = asn1.decode_der(_RevAnswer, _content(message, BodyType.RP))
    return RevocationAnswer(
        tuple(codec.status_info(s) for s in node.statuses),
        tuple(crmf.read_cert_id(der.raw(c)) for c in node.certificates or ()),
        tuple(der.raw(c) for c in node.crls or ()),
    )


def write_revocation_answer(statuses: Sequence[StatusInfo], certificates: Sequence[CertId] = ()) -> bytes:
    """rp."""
    node = _RevAnswer(
        statuses=[codec.status_node(s) for s in statuses],
        certificates=[der.node(crmf.encode_cert_id(c)) for c in certificates] or None,
        crls=None,
    )
    return codec.encode_body(BodyType.RP, asn1.encode_der(node))


def read_nested(message: Message) -> tuple[bytes, ...]:
    """nested: each PKIMessage, undecoded."""
    content = der.unwrap(_content(message, BodyType.NESTED), der.SEQUENCE)
    return tuple(der.raw(element) for element in der.elements(content))


def write_nested(messages: Sequence[bytes]) -> bytes:
    """nested."""
    return codec.encode_body(BodyType.NESTED, der.sequence(messages))
