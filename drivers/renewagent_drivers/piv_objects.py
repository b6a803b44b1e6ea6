"""What PIV cards keep their data in: object names, containers and the certificate inside (SP 800-73-4 part 1).

Bytes in, bytes out: no APDU, no card. Containers are read strictly (a length that lies is a ValueError) but for the
order of their fields, which cards choose as they like. `Truncated` says that more of the object is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from renewagent.card.der import Truncated
from renewagent.language import _
from renewagent.model import Slot

SIGNATURE, AUTHENTICATION, KEY_MANAGEMENT, CARD_AUTHENTICATION = Slot("9c"), Slot("9a"), Slot("9d"), Slot("9e")
STANDARD_SLOTS = (SIGNATURE, AUTHENTICATION, KEY_MANAGEMENT, CARD_AUTHENTICATION)
RETIRED_SLOTS = tuple(Slot(f"{reference:02x}") for reference in range(0x82, 0x96))

# SP 800-73-4 part 1, table 3
CHUID, SECURITY, PRINTED, KEY_HISTORY = 0x5FC102, 0x5FC106, 0x5FC109, 0x5FC10C
_CERTIFICATES = {
    AUTHENTICATION: 0x5FC105,
    SIGNATURE: 0x5FC10A,
    KEY_MANAGEMENT: 0x5FC10B,
    CARD_AUTHENTICATION: 0x5FC101,
    **{slot: 0x5FC10D + i for i, slot in enumerate(RETIRED_SLOTS)},
}
_CONTAINER, _CERTIFICATE, _CERTIFICATE_INFO, _ERROR_DETECTION = 0x53, 0x70, 0x71, 0xFE
_COMPANIONS = frozenset({_CERTIFICATE_INFO, 0x72, _ERROR_DETECTION})  # 72 was the MSCUID of SP 800-73-3
_GUID, _ON_CARD_CERTIFICATES, _OFF_CARD_CERTIFICATES = 0x34, 0xC1, 0xC2
_CONTAINERS_HASHED, _KEY_HISTORY_CONTAINER = 0xBA, b"\x60\x60"  # part 1, 3.1.7 and table 2
_GZIP, _NET_ID = b"\x1f\x8b", b"\x01\x00"
_INFLATED_LIMIT = 65536
_COMPRESSED = b"\x01"


def certificate_object(slot: Slot) -> int:
    """The data object that holds the certificate of `slot`. Raises ValueError for a slot that PIV does not have."""
    try:
        return _CERTIFICATES[slot]
    except KeyError:
        raise ValueError(f"a PIV card has no slot {slot}") from None


def tlv(tag: int, value: bytes = b"") -> bytes:
    """One BER-TLV, the length in as few octets as can be."""
    size = len(value)
    length = bytes((size,)) if size < 0x80 else _long_length(size)
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big") + length + value


def _long_length(size: int) -> bytes:
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


@dataclass(frozen=True, slots=True)
class Field:
    """One BER-TLV inside `octets[start:end]`; `end` is where it claims to end."""

    tag: int
    start: int
    end: int


def fields(octets: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of `octets[start:end]` one by one. Raises ValueError for one that claims to reach beyond `end`,
    Truncated when the next header has not arrived."""
    while start < end:
        field = _field(octets, start, end)
        yield field
        start = field.end


def _field(octets: bytes, at: int, end: int) -> Field:
    header = octets[at : min(at + 4, end)]
    tag_size = 2 if header and header[0] & 0x1F == 0x1F else 1
    if len(header) <= tag_size:
        raise _cut(octets, at + tag_size, end)
    tag, first, at = int.from_bytes(header[:tag_size], "big"), header[tag_size], at + tag_size + 1
    count = first & 0x7F if first & 0x80 else 0
    if first == 0x80 or count > 3:
        raise ValueError(_("a length that makes no sense"))
    if len(octets[at : min(at + count, end)]) < count:
        raise _cut(octets, at + count - 1, end)
    length = int.from_bytes(octets[at : at + count], "big") if count else first
    if at + count + length > end:
        raise ValueError(_("a field that claims to be longer than what holds it"))
    return Field(tag, at + count, at + count + length)


def _cut(octets: bytes, at: int, end: int) -> Exception:
    return Truncated() if len(octets) <= at < end else ValueError(_("a field cut short"))


def parse(octets: bytes) -> dict[int, bytes]:
    """The fields of a template that has arrived whole. Raises ValueError."""
    try:
        return {f.tag: octets[f.start : f.end] for f in fields(octets, 0, len(octets))}
    except Truncated as e:
        raise ValueError(_("a field cut short")) from e


def unwrap(data: bytes) -> bytes:
    """The contents of a whole data object (tag 53). Raises ValueError unless its length is the truth."""
    found = list(fields(data, 0, len(data)))
    if len(found) != 1 or found[0].tag != _CONTAINER:
        raise ValueError(_("a data object that is not in its container"))
    return data[found[0].start :]


@dataclass(frozen=True, slots=True)
class CertificateFront:
    """As much of a certificate as has arrived, unpacked; `total` is its length where the container tells."""

    octets: bytes
    total: int | None


def certificate_front(data: bytes) -> CertificateFront | None:
    """What the first octets of a certificate object tell; None for an empty one. Raises Truncated, ValueError."""
    container = _field(data, 0, 1 << 24)
    if container.tag != _CONTAINER:
        raise ValueError(_("a data object that is not in its container"))
    if len(data) > container.end:
        raise ValueError(_("an object that is longer than it says"))
    for field in fields(data, container.start, container.end):
        if field.tag == _CERTIFICATE:
            return _unpack(data[field.start : field.end], field.end - field.start)
        _must_be_companion(field.tag)
        if field.end > len(data):
            raise Truncated
    return None


def certificate_in(data: bytes) -> bytes | None:
    """The certificate (DER, unpacked) in a whole object; None for an empty one. Raises ValueError."""
    contents = parse(unwrap(data))
    if _CERTIFICATE not in contents:
        for tag in contents:
            _must_be_companion(tag)
    packed = contents.get(_CERTIFICATE, b"")
    front = _unpack(packed, len(packed))
    if front is None:
        return None
    if front.total is None:
        raise ValueError(_("a packed certificate that does not end"))
    if len(front.octets) != front.total:
        raise ValueError(_("a certificate of another length than the card says"))
    return front.octets


def _must_be_companion(tag: int) -> None:
    """Beside a certificate, and in the place of one, nothing else may stand (SP 800-73-4 part 1, table 10)."""
    if tag not in _COMPANIONS:
        raise ValueError(_("an object that holds something else than a certificate"))


def _unpack(packed: bytes, size: int) -> CertificateFront | None:
    """`packed` is what has arrived of `size` octets. The contents tell the packing better than the info byte, which
    comes after the certificate and is not always right."""
    if size == 0:
        return None
    if packed.startswith(_GZIP):  # SP 800-73-4 part 1, appendix A, CertInfo
        return _inflate(packed, 31, size, None)
    if packed.startswith(_NET_ID) and size > 4:  # then the length, little-endian, and a zlib stream
        return _inflate(packed[4:], 15, size - 4, int.from_bytes(packed[2:4], "little"))
    return CertificateFront(packed, size)


def _inflate(packed: bytes, window: int, size: int, promised: int | None) -> CertificateFront:
    import zlib  # here: few cards pack, and the resident agent does without

    inflater = zlib.decompressobj(window)
    try:
        octets = inflater.decompress(packed, _INFLATED_LIMIT + 1)
    except zlib.error as e:
        raise ValueError(_("a packed certificate that cannot be unpacked")) from e
    if len(octets) > _INFLATED_LIMIT:
        raise ValueError(_("a packed certificate that is too large"))
    if len(packed) == size and (not inflater.eof or inflater.unused_data):
        raise ValueError(_("a packed certificate that does not end where it should"))
    total = promised if promised is not None else (len(octets) if inflater.eof else None)
    return CertificateFront(octets, total)


def pack_certificate(certificate: bytes | None, *, compressed: bool = False) -> bytes:
    """The object to PUT: the certificate, or an empty container for None (SP 800-73-4 part 2, 3.3.2). `compressed`: by
    gzip, as part 1, appendix A, allows it."""
    if certificate is None:
        return tlv(_CONTAINER)
    packed = _packed(certificate) if compressed else certificate
    info = _COMPRESSED if compressed else b"\0"
    contents = tlv(_CERTIFICATE, packed) + tlv(_CERTIFICATE_INFO, info) + tlv(_ERROR_DETECTION)
    return tlv(_CONTAINER, contents)


def _packed(certificate: bytes) -> bytes:
    import zlib

    return zlib.compress(certificate, 9, wbits=31)


def guid_in(chuid: bytes) -> bytes | None:
    """The GUID of a CHUID object, None where it is missing or all zero (SP 800-73-4 part 1, 3.1.2)."""
    guid = parse(unwrap(chuid)).get(_GUID, b"")
    return guid if any(guid) else None


def retired_in_use(key_history: bytes) -> int:
    """How many retired keys have their certificate on the card; they take the lowest references (part 1, 3.3.3)."""
    return int.from_bytes(parse(unwrap(key_history)).get(_ON_CARD_CERTIFICATES, b"")[:1], "big")


def history_telling(count: int, key_history: bytes) -> bytes | None:
    """The Key History object to PUT: `key_history`, with `count` for the certificates on the card. An empty one gives a
    new object; None where so many reach into the references of keys whose certificates are elsewhere, which are the
    highest. Raises ValueError."""
    fresh = {_ON_CARD_CERTIFICATES: b"", _OFF_CARD_CERTIFICATES: b"\0", _ERROR_DETECTION: b""}
    contents = parse(unwrap(key_history)) if key_history else fresh
    if count + int.from_bytes(contents.get(_OFF_CARD_CERTIFICATES, b""), "big") > len(RETIRED_SLOTS):
        return None
    told = {**contents, _ON_CARD_CERTIFICATES: bytes((count,))}
    return tlv(_CONTAINER, b"".join(tlv(tag, value) for tag, value in told.items()))


def history_is_signed(security_object: bytes) -> bool:
    """Whether the issuer's signature is over a hash of the Key History object: then nobody else can change it and be
    believed (part 1, 3.1.7: three octets for each container, the latter two its name)."""
    try:
        mapped = parse(unwrap(security_object)).get(_CONTAINERS_HASHED, b"")
    except ValueError:
        return True
    return any(mapped[at + 1 : at + 3] == _KEY_HISTORY_CONTAINER for at in range(0, len(mapped), 3))


def management_key_in(printed: bytes) -> bytes | None:
    """The management key that PIN-protected set-ups keep in the Printed Information object (88 { 89 key })."""
    return parse(parse(unwrap(printed)).get(0x88, b"")).get(0x89)
