"""The size of a HEIC picture, and the same picture with nothing in its Exif and XMP. Pure.

HEIC is the ISO base media file format (ISO/IEC 14496-12) with items (ISO/IEC 23008-12): the "meta" box says which items
there are ("iinf") and where their octets lie ("iloc"). ValueError, IndexError or struct.error is raised for what
makes no sense.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from renewagent.language import N_

_MOST_BOXES = 10_000
_MOST_STRETCHES = 5_000
"""A phone's picture has some dozens of tiles and a stretch of octets for each."""
_LOCATED_IN_FILE, _LOCATED_IN_IDAT = 0, 1
_EMPTY_EXIF = bytes(4) + b"MM\0*" + struct.pack(">IHI", 8, 0, 0)
"""Where its TIFF header is, and a TIFF of one directory with nothing in it (23008-12, annex A.2.1)."""
_EXIF = N_("where, when and with what it was taken (Exif)")


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    begin: int
    """Of what is in it, after its header."""
    end: int


def heic_size(octets: bytes) -> tuple[int, int]:
    """Width and height in pixels, of the largest of its images (tiles and previews are smaller)."""
    sizes = []
    for box in _within(octets, _one(octets, _meta(octets), b"iprp")):
        if box.kind == b"ipco":
            sizes += [struct.unpack_from(">II", octets, one.begin + 4) for one in _within(octets, box, b"ispe")]
    if not sizes:
        raise ValueError("no image has a size")
    return max(sizes, key=lambda size: size[0] * size[1])


def without_heic_metadata(octets: bytes) -> tuple[bytes, tuple[str, ...]]:
    """As long as before, since everything is found by its place: an empty directory and zeros where Exif was, spaces
    where XMP was."""
    meta = _meta(octets)
    private = dict(_private_items(octets, _one(octets, meta, b"iinf")))
    stores = (*_within(octets, _Box(b"", 0, len(octets)), b"mdat"), *_within(octets, meta, b"idat"))
    cleaned, found = bytearray(octets), set()
    for item, begin, length in _locations(octets, meta):
        if item in private and item not in found:
            if not any(box.begin <= begin < begin + length <= box.end for box in stores):
                raise ValueError("an item that does not lie where items do")
            cleaned[begin : begin + length] = _nothing(private[item], length)
            found.add(item)
        elif item in private:
            raise ValueError("an item in several pieces")
    if private.keys() - found:
        raise ValueError("an item that lies nowhere")
    return bytes(cleaned), (_EXIF,) if bytes(cleaned) != octets else ()


def _nothing(kind: bytes, length: int) -> bytes:
    if kind != b"Exif":
        return b" " * length
    return _EMPTY_EXIF.ljust(length, b"\0") if length >= len(_EMPTY_EXIF) else bytes(length)


def _meta(octets: bytes) -> _Box:
    box = _one(octets, _Box(b"", 0, len(octets)), b"meta")
    return _Box(box.kind, box.begin + 4, box.end)  # version and flags


def _one(octets: bytes, parent: _Box, kind: bytes) -> _Box:
    found = next(_within(octets, parent, kind), None)
    if found is None:
        raise ValueError(f"no {kind!r} box")
    return found


def _within(octets: bytes, parent: _Box, kind: bytes | None = None) -> Iterator[_Box]:
    place = parent.begin
    for _ in range(_MOST_BOXES):
        if place + 8 > parent.end:
            return
        size, name = struct.unpack_from(">I4s", octets, place)
        header = 8
        if size == 1:
            header, size = 16, struct.unpack_from(">Q", octets, place + 8)[0]
        end = parent.end if size == 0 else place + size
        if not place + header <= end <= parent.end:
            raise ValueError("a box that breaks off")
        if kind in (None, name):
            yield _Box(name, place + header, end)
        place = end


def _private_items(octets: bytes, iinf: _Box) -> Iterator[tuple[int, bytes]]:
    counted = 4 + (2 if octets[iinf.begin] == 0 else 4)
    for entry in _within(octets, _Box(iinf.kind, iinf.begin + counted, iinf.end), b"infe"):
        version = octets[entry.begin]
        if version < 2:
            raise ValueError("an item of the old kind")
        shape = ">HH4s" if version == 2 else ">IH4s"
        item, _, kind = struct.unpack_from(shape, octets, entry.begin + 4)
        if kind in (b"Exif", b"mime", b"uri "):
            yield item, kind


class _Reader:
    """Big-endian numbers, one after the other."""

    def __init__(self, octets: bytes, box: _Box) -> None:
        self.octets, self.place, self.end = octets, box.begin, box.end

    def number(self, length: int) -> int:
        """Of so many octets; 0 of none."""
        if self.place + length > self.end:
            raise ValueError("a table that breaks off")
        self.place += length
        return int.from_bytes(self.octets[self.place - length : self.place], "big")


def _locations(octets: bytes, meta: _Box) -> Iterator[tuple[int, int, int]]:
    """Each stretch of octets: its item, where it begins in the file and how long it is (14496-12, 8.11.3)."""
    reader = _Reader(octets, _one(octets, meta, b"iloc"))
    version = reader.number(4) >> 24
    sizes = reader.number(2)
    offset, length, base, index = (sizes >> shift & 0xF for shift in (12, 8, 4, 0))
    long = 4 if version == 2 else 2
    stretches = 0
    for _ in range(reader.number(long)):
        item = reader.number(long)
        method = reader.number(2) & 0xF if version else _LOCATED_IN_FILE
        reader.number(2)  # which file: only this one is looked at
        start = reader.number(base)
        if method == _LOCATED_IN_IDAT:
            start += _one(octets, meta, b"idat").begin
        count = reader.number(2)
        stretches += count
        if stretches > _MOST_STRETCHES:
            raise ValueError("more pieces than a picture has")
        for _ in range(count):
            if version:
                reader.number(index)
            yield item, start + reader.number(offset), reader.number(length)
