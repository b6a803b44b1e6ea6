"""Distinguished names in DER as the responder reads and compares them (RFC 5280 7.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp import der
from renewagent.names import Name, same_name

_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}


@asn1.sequence
class _Pair:
    kind: ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class _Tbs:
    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial: int
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    public_key: asn1.TLV
    issuer_uid: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_uid: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class _Certificate:
    tbs: _Tbs
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _Boxed:
    name: list[asn1.SetOf[_Pair]]


@lru_cache(maxsize=1024)
def read_name(octets: bytes) -> Name:
    """A Name from its DER. Raises ValueError."""
    boxed = asn1.decode_der(_Boxed, der.tlv(der.SEQUENCE, octets))
    name = tuple(frozenset(map(_read_pair, rdn.as_list())) for rdn in boxed.name)
    if not all(name):
        raise ValueError("a name with an empty part")
    return name


def _read_pair(pair: _Pair) -> tuple[str, str]:
    encoding = _ENCODINGS.get(der.tag_of(pair.value))
    if encoding is None:
        raise ValueError("a name's value of an unknown string type")
    return pair.kind.dotted_string, str(pair.value.data, encoding)


def names_in(certificate: bytes) -> tuple[bytes, bytes]:
    """A certificate's subject and issuer, in DER as they stand in it. Raises ValueError."""
    tbs = asn1.decode_der(_Certificate, certificate).tbs
    return der.raw(tbs.subject), der.raw(tbs.issuer)


def same_name_der(one: bytes, other: bytes) -> bool:
    """Whether two Names are equal as RFC 5280 7.1 compares them. Raises ValueError."""
    return one == other or same_name(read_name(one), read_name(other))
