"""The few DER moves that declarative types cannot make: whole elements as bytes, and bytes as an element.

`cryptography.hazmat.asn1` judges structures and values, strictly (minimal lengths, no trailing data), so an element put
together again from its tag and contents is, byte for byte, the element that was received. What is wanted as it came
(signed parts, names, certificates) is cut out of the octets here, just as strictly: an RA does so for every message.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.hazmat import asn1

SEQUENCE = 0x30
NULL = b"\x05\x00"


@asn1.sequence
class _One:
    element: asn1.TLV


@asn1.sequence
class _Many:
    elements: list[asn1.TLV]


def tlv(tag: int, contents: bytes) -> bytes:
    """One element with a single-byte tag."""
    size = len(contents)
    if size < 0x80:
        return bytes((tag, size)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + contents


def sequence(parts: Iterable[bytes]) -> bytes:
    """A SEQUENCE of whole elements."""
    return tlv(SEQUENCE, b"".join(parts))


def tag_of(element: asn1.TLV) -> int:
    """The tag byte. Raises ValueError for a tag above 30, which nothing in CMP has."""
    tag = element.tag_bytes
    if len(tag) != 1:
        raise ValueError("a tag that CMP does not know")
    return tag[0]


def raw(element: asn1.TLV) -> bytes:
    """The whole element as it was received."""
    return tlv(tag_of(element), bytes(element.data))


def node(der: bytes) -> asn1.TLV:
    """Exactly one element. Raises ValueError, also for anything that follows it."""
    return asn1.decode_der(_One, tlv(SEQUENCE, der)).element


def elements(contents: bytes) -> list[asn1.TLV]:
    """Elements that stand one after the other. Raises ValueError."""
    return asn1.decode_der(_Many, tlv(SEQUENCE, tlv(SEQUENCE, contents))).elements


def split(contents: bytes) -> list[bytes]:
    """The same, each as its octets."""
    parts, at = [], 0
    while at < len(contents):
        _, end = _bounds(contents, at)
        parts.append(contents[at:end])
        at = end
    return parts


def unwrap(der: bytes, tag: int) -> bytes:
    """The contents of exactly one element that must have this tag. Raises ValueError."""
    begin, end = _bounds(der, 0)
    if der[0] != tag:
        raise ValueError(f"tag {der[0]:02x} where {tag:02x} belongs")
    if end != len(der):
        raise ValueError("something follows an element that should be the last")
    return der[begin:end]


def _bounds(octets: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the element at `at` begin and end (X.690 8.1.2, 10.1)."""
    if len(octets) < at + 2:
        raise ValueError("an element without a length")
    if octets[at] & 0x1F == 0x1F:
        raise ValueError("a tag that CMP does not know")
    begin, size = at + 2, octets[at + 1]
    if size >= 0x80:
        begin += size - 0x80
        length = octets[at + 2 : begin]
        size = int.from_bytes(length, "big")
        if size < 0x80 or not length[0]:  # indefinite, or longer than it need be
            raise ValueError("a length that is not DER")
    if len(octets) < begin + size:
        raise ValueError("an element longer than what holds it")
    return begin, begin + size


def integer(number: int) -> bytes:
    """An INTEGER that is not negative."""
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octet_string(octets: bytes) -> bytes:
    """An OCTET STRING."""
    return tlv(0x04, octets)


def utf8_text(der: bytes) -> str:
    """The text of one UTF8String. Raises ValueError."""
    return unwrap(der, 0x0C).decode("utf-8")


def utf8_string(text: str) -> bytes:
    """A UTF8String."""
    return tlv(0x0C, text.encode())


@asn1.sequence
class _Time:
    at: asn1.GeneralizedTime


def generalized_time(at: datetime) -> bytes:
    """A GeneralizedTime in UTC, whole seconds (RFC 5280 4.1.2.5.2)."""
    return _generalized_time(at.replace(microsecond=0))


@lru_cache(maxsize=64)  # all messages of one second say the same
def _generalized_time(at: datetime) -> bytes:
    return tlv(0x18, f"{at.astimezone(UTC):%Y%m%d%H%M%SZ}".encode())


def read_generalized_time(der: bytes) -> datetime:
    """Aware UTC. Raises ValueError, also for a UTCTime."""
    return asn1.decode_der(_Time, tlv(SEQUENCE, der)).at.as_datetime()
