"""PKIMessage and PKIHeader to bytes and back, strictly (DER, nothing may follow).

Shared nodes (AlgorithmIdentifier, InfoTypeAndValue, PKIStatusInfo, GeneralName) have their codecs here too. Whatever
bytes are given, reading raises ValueError and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

from renewagent.cmp import der
from renewagent.cmp.wire import FAIL_INFO, Algorithm, BodyType, Header, InfoValue, Message, StatusInfo

_DIRECTORY_NAME = 0xA4  # GeneralName, [4] EXPLICIT since Name is a CHOICE (RFC 5280 4.2.1.6)
_CONTEXT = 0xA0
_EXTRA = 0xA1
_ALGORITHM, _INFO = 0xA1, 0xA8
_LAST_BODY = max(BodyType)


@asn1.sequence
class _Header:
    pvno: int
    sender: asn1.TLV
    recipient: asn1.TLV
    message_time: Annotated[asn1.GeneralizedTime | None, asn1.Explicit(0)]
    protection_alg: Annotated[list[asn1.TLV] | None, asn1.Explicit(1)]
    sender_kid: Annotated[bytes | None, asn1.Explicit(2)]
    recip_kid: Annotated[bytes | None, asn1.Explicit(3)]
    transaction_id: Annotated[bytes | None, asn1.Explicit(4)]
    sender_nonce: Annotated[bytes | None, asn1.Explicit(5)]
    recip_nonce: Annotated[bytes | None, asn1.Explicit(6)]
    free_text: Annotated[list[str] | None, asn1.Explicit(7)]
    general_info: Annotated[list[list[asn1.TLV]] | None, asn1.Explicit(8)]


@asn1.sequence
class _Message:
    header: asn1.TLV
    body: asn1.TLV
    protection: Annotated[asn1.BitString | None, asn1.Explicit(0)]
    extra_certs: Annotated[list[asn1.TLV] | None, asn1.Explicit(1)]


@asn1.sequence
class _TypeAndValue:
    oid: x509.ObjectIdentifier


@asn1.sequence
class Status:
    """PKIStatusInfo as other declarative types embed it; `status_info` and `status_node` convert."""

    status: int
    text: list[str] | None
    fail_info: asn1.BitString | None


def decode_message(octets: bytes) -> Message:
    """One PKIMessage. Raises ValueError."""
    message = asn1.decode_der(_Message, octets)
    raw_header, raw_body, *rest = der.split(der.unwrap(octets, der.SEQUENCE))
    kind = raw_body[0] - _CONTEXT
    if not 0 <= kind <= _LAST_BODY:
        raise ValueError("a PKIMessage whose body is of no known type")
    if len(der.split(der.unwrap(raw_body, raw_body[0]))) != 1:
        raise ValueError("a PKIBody that is not one element")
    extra = () if message.extra_certs is None else der.split(der.unwrap(der.unwrap(rest[-1], _EXTRA), der.SEQUENCE))
    return Message(
        header=_header(raw_header),
        body_type=BodyType(kind),
        raw_header=raw_header,
        raw_body=raw_body,
        protection=None if message.protection is None else whole_bits(message.protection),
        extra_certs=tuple(_x509_certificate(c) for c in extra),
    )


def encode_message(raw_header: bytes, raw_body: bytes, protection: bytes | None, extra: Sequence[bytes] = ()) -> bytes:
    """A PKIMessage around the very bytes that `protected_part` showed to the protection."""
    message = _Message(
        header=der.node(raw_header),
        body=der.node(raw_body),
        protection=None if protection is None else asn1.BitString(protection, 0),
        extra_certs=[der.node(c) for c in extra] or None,
    )
    return asn1.encode_der(message)


def protected_part(raw_header: bytes, raw_body: bytes) -> bytes:
    """DER of ProtectedPart, what a signature or MAC covers (RFC 9810 5.1.3)."""
    return der.sequence((raw_header, raw_body))


def encode_body(kind: BodyType, content: bytes) -> bytes:
    """PKIBody: `content` (a whole element, see `cmp.bodies`) in the explicit tag of its kind."""
    return der.tlv(_CONTEXT + kind, content)


def body_content(message: Message) -> bytes:
    """The whole element inside the body's tag."""
    return der.unwrap(message.raw_body, _CONTEXT + message.body_type)


def encode_header(header: Header) -> bytes:
    """PKIHeader."""
    octets = (header.sender_kid, header.recip_kid, header.transaction_id, header.sender_nonce, header.recip_nonce)
    optional = (  # [0] to [8], in this order
        header.message_time and der.generalized_time(header.message_time),
        header.protection_alg and encode_algorithm(header.protection_alg),
        *(None if value is None else der.octet_string(value) for value in octets),
        header.free_text and der.sequence(map(der.utf8_string, header.free_text)),
        header.general_info and der.sequence(map(encode_info_value, header.general_info)),
    )
    tagged = (der.tlv(_CONTEXT + number, part) for number, part in enumerate(optional) if part)
    return der.sequence((der.integer(header.pvno), header.sender, header.recipient, *tagged))


def _header(octets: bytes) -> Header:
    header = asn1.decode_der(_Header, octets)
    _, sender, recipient, *rest = der.split(der.unwrap(octets, der.SEQUENCE))
    tagged = {part[0]: part for part in rest}
    at = header.message_time
    return Header(
        sender=sender,
        recipient=recipient,
        pvno=header.pvno,
        message_time=None if at is None else at.as_datetime(),
        protection_alg=None
        if header.protection_alg is None
        else read_algorithm(der.unwrap(tagged[_ALGORITHM], _ALGORITHM)),
        sender_kid=header.sender_kid,
        recip_kid=header.recip_kid,
        transaction_id=header.transaction_id,
        sender_nonce=header.sender_nonce,
        recip_nonce=header.recip_nonce,
        free_text=tuple(header.free_text or ()),
        general_info=() if header.general_info is None else read_info_values(der.unwrap(tagged[_INFO], _INFO)),
    )


def directory(name: bytes | x509.Name) -> bytes:
    """A Name (or its DER) as a GeneralName's directoryName."""
    return der.tlv(_DIRECTORY_NAME, name if isinstance(name, bytes) else name.public_bytes())


def directory_name(general_name: bytes) -> bytes | None:
    """The DER of the Name in a GeneralName, None for one of another kind. Raises ValueError for a broken one."""
    if general_name[:1] != bytes((_DIRECTORY_NAME,)):
        der.node(general_name)
        return None
    name = der.unwrap(general_name, _DIRECTORY_NAME)
    der.unwrap(name, der.SEQUENCE)
    return name


def read_certificate(element: asn1.TLV) -> bytes:
    """DER of a CMPCertificate that is an X.509 certificate, unparsed. Raises ValueError for the attribute kind."""
    return _x509_certificate(der.raw(element))


def _x509_certificate(octets: bytes) -> bytes:
    if octets[0] != der.SEQUENCE:
        raise ValueError("a certificate that is no X.509 certificate")
    return octets


def whole_bits(bits: asn1.BitString) -> bytes:
    """A BIT STRING that holds whole bytes. Raises ValueError for any other."""
    if bits.padding_bits():
        raise ValueError("a BIT STRING that does not end at a byte")
    return bits.as_bytes()


def algorithm(nodes: Sequence[asn1.TLV]) -> Algorithm:
    """An AlgorithmIdentifier's elements, read."""
    return Algorithm(*_oid_and_any(nodes))


def algorithm_nodes(value: Algorithm) -> list[asn1.TLV]:
    """The reverse."""
    return _type_and_value(value.oid, value.parameters)


def read_algorithm(octets: bytes) -> Algorithm:
    """DER of an AlgorithmIdentifier, read."""
    return Algorithm(*_type_with_any(octets))


def encode_algorithm(value: Algorithm) -> bytes:
    """DER of an AlgorithmIdentifier."""
    return der.sequence((encode_oid(value.oid), value.parameters or b""))


def info_values(items: Iterable[Sequence[asn1.TLV]]) -> tuple[InfoValue, ...]:
    """InfoTypeAndValues, read."""
    return tuple(InfoValue(*_oid_and_any(item)) for item in items)


def read_info_values(octets: bytes) -> tuple[InfoValue, ...]:
    """DER of a SEQUENCE OF InfoTypeAndValue, read."""
    return tuple(InfoValue(*_type_with_any(item)) for item in der.split(der.unwrap(octets, der.SEQUENCE)))


def encode_info_value(item: InfoValue) -> bytes:
    """DER of one InfoTypeAndValue."""
    return der.sequence((encode_oid(item.oid), item.value or b""))


@lru_cache(maxsize=256)
def encode_oid(oid: x509.ObjectIdentifier) -> bytes:
    """DER of an OBJECT IDENTIFIER."""
    return der.unwrap(asn1.encode_der(_TypeAndValue(oid=oid)), der.SEQUENCE)


def _type_and_value(oid: x509.ObjectIdentifier, value: bytes | None) -> list[asn1.TLV]:
    return der.elements(encode_oid(oid) + (value or b""))


def _oid_and_any(nodes: Sequence[asn1.TLV]) -> tuple[x509.ObjectIdentifier, bytes | None]:
    if not 1 <= len(nodes) <= 2:
        raise ValueError("not a type with an optional value")
    return nodes[0].parse(x509.ObjectIdentifier), der.raw(nodes[1]) if len(nodes) == 2 else None


def _type_with_any(octets: bytes) -> tuple[x509.ObjectIdentifier, bytes | None]:
    parts = der.split(der.unwrap(octets, der.SEQUENCE))
    if not 1 <= len(parts) <= 2:
        raise ValueError("not a type with an optional value")
    return _oid(parts[0]), parts[1] if len(parts) == 2 else None


@lru_cache(maxsize=256)
def _oid(octets: bytes) -> x509.ObjectIdentifier:
    return asn1.decode_der(_TypeAndValue, der.tlv(der.SEQUENCE, octets)).oid


def status_info(node: Status) -> StatusInfo:
    """PKIStatusInfo, read."""
    return StatusInfo(node.status, tuple(node.text or ()), _fail_names(node.fail_info))


def status_node(info: StatusInfo) -> Status:
    """The reverse. Raises ValueError for a failure that RFC 9810 does not name."""
    return Status(status=info.status, text=list(info.text) or None, fail_info=_fail_bits(info.fail_info))


def _fail_names(bits: asn1.BitString | None) -> frozenset[str]:
    if bits is None:
        return frozenset()
    octets = bits.as_bytes()
    on = (i for i in range(len(octets) * 8) if octets[i // 8] & (0x80 >> i % 8))
    return frozenset(FAIL_INFO[i] if i < len(FAIL_INFO) else f"bit {i}" for i in on)


def _fail_bits(names: frozenset[str]) -> asn1.BitString | None:
    if not names:
        return None
    numbers = [FAIL_INFO.index(name) for name in names]
    octets = bytearray(max(numbers) // 8 + 1)
    for number in numbers:
        octets[number // 8] |= 0x80 >> number % 8
    return asn1.BitString(bytes(octets), 7 - max(numbers) % 8)  # no trailing zero bits (X.690 11.2.2)


def aware(value: asn1.UTCTime | asn1.GeneralizedTime | None) -> datetime | None:
    """An optional Time as aware UTC."""
    return None if value is None else value.as_datetime()
