"""The size of a JPEG, PNG or WebP picture, and the same picture without its metadata. Pure; pixels are not looked at.

Everything here raises ValueError, IndexError or struct.error for a file that breaks off or makes no sense. What is kept
is what a viewer needs to show it: unknown parts that are not named here as metadata stay.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from renewagent.language import N_

Cleaned = tuple[bytes, tuple[str, ...]]
PLACE_AND_TIME = N_("where, when and with what it was taken (Exif)")
_AFTER = N_("what followed after the picture")
_NOTES = N_("notes and settings of the program that made it")
_TURNED = re.compile(
    rb"\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])|\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])"
)

# --- JPEG (ITU T.81 annex B)

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI, _COM, _APP1, _APP0, _APP2, _APP14, _APP15 = 0xDA, 0xD9, 0xFE, 0xE1, 0xE0, 0xE2, 0xEE, 0xEF


_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""Amid a scan: neither an octet FF of the picture's own, which is followed by 00, nor a restart, nor a fill octet."""


def jpeg_size(octets: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    for marker, begin, end in _segments(octets):
        if marker in _SOF:
            if end - begin < 9:
                raise ValueError("a frame header that is too short")
            height, width = struct.unpack_from(">HH", octets, begin + 5)
            return width, height
    raise ValueError("no frame")


def without_jpeg(octets: bytes) -> Cleaned:
    """Without Exif, XMP, IPTC, comments and makers' own segments; colours (APP0, APP2, APP14) stay, and so does which
    way is up."""
    kept, removed, scan = [octets[:2]], [], 0
    for marker, begin, end in _segments(octets):
        if marker == _SOS:
            scan = begin
            break
        segment = octets[begin:end]
        colours = marker in (_APP0, _APP14) or (marker == _APP2 and segment[4:].startswith(b"ICC_PROFILE\0"))
        if marker == _APP1 and segment[4:].startswith(b"Exif\0\0"):
            removed.append(PLACE_AND_TIME)
            kept.append(_turned_segment(segment))
        elif marker == _COM or (_APP0 <= marker <= _APP15 and not colours):
            removed.append(_NOTES)
        else:
            kept.append(segment)
    if not scan:
        raise ValueError("the picture breaks off")
    picture = _first_picture(octets, scan)
    if octets[scan + len(picture) :].strip(b"\0"):  # a phone's film, or a second picture with its own Exif
        removed.append(_AFTER)
    return b"".join([*kept, picture]), _once(removed)


def _first_picture(octets: bytes, scan: int) -> bytes:
    """From its first scan to its own end."""
    place = scan
    while (found := _MARKER.search(octets, place)) is not None:
        marker, place = found.group(1)[0], found.start()
        if marker == _EOI:
            return octets[scan : place + 2]
        if marker == _COM or _APP0 <= marker <= _APP15:
            raise ValueError("metadata amid the picture")
        place += 2 + struct.unpack_from(">H", octets, place + 2)[0] if len(octets) >= place + 4 else 2
    raise ValueError("the picture breaks off")


def _segments(octets: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, and where its segment begins (with the marker) and ends, up to the first scan."""
    place = 2
    while True:
        if octets[place] != 0xFF:
            raise ValueError("no marker where one belongs")
        marker = octets[place + 1]
        if marker == 0xFF:  # a fill octet
            place += 1
            continue
        end = place + 2 + struct.unpack_from(">H", octets, place + 2)[0] if len(octets) >= place + 4 else 0
        if not place + 4 <= end <= len(octets):
            raise ValueError("a segment that breaks off")
        yield marker, place, end
        if marker == _SOS:
            return
        place = end


def _turned_segment(exif: bytes) -> bytes:
    """Exif that says which way is up and nothing else; b"" where that is as it lies."""
    turned = _orientation(exif)
    if turned in (0, 1):
        return b""
    body = b"Exif\0\0" + _turned_tiff(turned)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _orientation(exif: bytes) -> int:
    found = _TURNED.search(exif)
    return (found.group(1) or found.group(2))[0] if found else 0


def _turned_tiff(turned: int) -> bytes:
    # TIFF 6.0: big-endian header, one directory with one entry (274, SHORT), and no next directory
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, turned, 0, 0)


# --- PNG (ISO/IEC 15948)

_PNG_NOTES = {b"eXIf": PLACE_AND_TIME, **dict.fromkeys((b"tEXt", b"zTXt", b"iTXt", b"tIME"), _NOTES)}


def png_size(octets: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    kind, begin, end = next(_png_chunks(octets))
    if kind != b"IHDR" or end - begin != 25:
        raise ValueError("no header")
    width, height = struct.unpack_from(">II", octets, begin + 8)
    return width, height


def without_png(octets: bytes) -> Cleaned:
    """Without Exif, texts and times; and without what follows its end."""
    kept, removed, last = [octets[:8]], [], 0
    kinds = set()
    for kind, begin, end in _png_chunks(octets):
        kinds.add(kind)
        last = end
        if kind == b"eXIf" and (turned := _orientation(octets[begin:end])) > 1:
            kept.append(_png_chunk(kind, _turned_tiff(turned)))
        if kind in _PNG_NOTES:
            removed.append(_PNG_NOTES[kind])
        else:
            kept.append(octets[begin:end])
    if not {b"IDAT", b"IEND"} <= kinds:
        raise ValueError("the picture breaks off")
    if octets[last:].strip(b"\0"):
        removed.append(_AFTER)
    return b"".join(kept), _once(removed)


def _png_chunks(octets: bytes) -> Iterator[tuple[bytes, int, int]]:
    place, kind = 8, b""
    while kind != b"IEND":
        if len(octets) < place + 12:
            raise ValueError("the picture breaks off")
        length, kind = struct.unpack_from(">I4s", octets, place)
        end = place + 12 + length
        if end > len(octets) or zlib.crc32(octets[place + 4 : end - 4]) != struct.unpack_from(">I", octets, end - 4)[0]:
            raise ValueError("a chunk that is damaged")
        yield kind, place, end
        place = end


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# --- WebP (RFC 9649)

_WEBP_NOTES = {b"EXIF": PLACE_AND_TIME, b"XMP ": _NOTES}
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


def webp_size(octets: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    kind, body = next(_webp_chunks(octets), (b"", b""))
    if kind == b"VP8X" and len(body) >= 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no header")


def without_webp(octets: bytes) -> Cleaned:
    """Without Exif and XMP, but for which way is up."""
    kept, removed = [], []
    for kind, body in _webp_chunks(octets):
        if kind in _WEBP_NOTES:
            removed.append(_WEBP_NOTES[kind])
            turned = _orientation(body) if kind == b"EXIF" else 0
            body = _turned_tiff(turned) if turned > 1 else b""
        if body or kind not in _WEBP_NOTES:
            kept.append((kind, body))
    if not {kind for kind, _ in kept} & {b"VP8 ", b"VP8L", b"ANMF"}:
        raise ValueError("no picture in it")
    flags = _EXIF_FLAG if any(kind == b"EXIF" for kind, _ in kept) else 0
    packed = b"".join(_webp_chunk(kind, body, flags) for kind, body in kept)
    return b"RIFF" + struct.pack("<I", len(packed) + 4) + b"WEBP" + packed, _once(removed)


def _webp_chunk(kind: bytes, body: bytes, flags: int) -> bytes:
    if kind == b"VP8X":
        body = bytes([body[0] & ~(_EXIF_FLAG | _XMP_FLAG) | flags]) + body[1:]
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _webp_chunks(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + struct.unpack_from("<I", octets, 4)[0] if len(octets) >= 12 else 0
    if not 12 <= end <= len(octets):
        raise ValueError("the picture breaks off")
    place = 12
    while place < end:
        if place + 8 > end:
            raise ValueError("a chunk that breaks off")
        kind, length = struct.unpack_from("<4sI", octets, place)
        if place + 8 + length > end:
            raise ValueError("a chunk that breaks off")
        yield kind, octets[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _once(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
