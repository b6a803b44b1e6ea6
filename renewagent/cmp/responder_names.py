"""Distinguished names in DER as the responder reads and compares them (RFC 5280 7.1)."""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp import der
from renewagent.names import Name, same_name

_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}
_SET = 0x31


@lru_cache(maxsize=1024)
def read_name(octets: bytes) -> Name:
    """A Name from its DER. Raises ValueError."""
    return tuple(_read_rdn(rdn) for rdn in der.elements(der.unwrap(octets, der.SEQUENCE)))


def _read_rdn(rdn: asn1.TLV) -> frozenset[tuple[str, str]]:
    if der.tag_of(rdn) != _SET:
        raise ValueError("a name's part that is no SET")
    pairs = [_read_pair(pair) for pair in der.elements(bytes(rdn.data))]
    if not pairs:
        raise ValueError("a name with an empty part")
    return frozenset(pairs)


def _read_pair(pair: asn1.TLV) -> tuple[str, str]:
    kind, value = der.elements(der.unwrap(der.raw(pair), der.SEQUENCE))
    encoding = _ENCODINGS.get(der.tag_of(value))
    if encoding is None:
        raise ValueError("a name's value of an unknown string type")
    return kind.parse(ObjectIdentifier).dotted_string, bytes(value.data).decode(encoding)


def same_name_der(one: bytes, other: bytes) -> bool:
    """Whether two Names are equal as RFC 5280 7.1 compares them. Raises ValueError."""
    return one == other or same_name(read_name(one), read_name(other))
