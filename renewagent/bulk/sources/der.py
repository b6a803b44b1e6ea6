"""Certificates in DER, one after the other. Where the chain of lengths breaks, the next beginning is looked for."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np

from renewagent.bulk.octets import PAD, Octets
from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.reading import octets_of

_TAG_AND_LENGTH = struct.Struct(">HH")
_USUAL = 0x3082
_BEGINNING = re.compile(
    rb"\x30(?:\x82..|\x81.|\x83...)\x30(?:\x82..|\x81.|\x83...|[\x00-\x7f])(?:\xa0\x03\x02\x01|\x02)", re.DOTALL
)
"""How a certificate begins: two sequences, then a version or a serial number."""


def element_end(data: bytes, at: int, end: int) -> int | None:
    """Where the element at `at` says that it ends; None if none begins there that may be a certificate, or if it would
    reach beyond `end`."""
    if at + 2 > end or data[at] != 0x30:
        return None
    first = data[at + 1]
    if first < 0x80:
        stop = at + 2 + first
    elif first in (0x81, 0x82, 0x83) and at + 2 + (first & 3) <= end:
        count = first & 3
        stop = at + 2 + count + int.from_bytes(data[at + 2 : at + 2 + count], "big")
    else:
        return None
    return stop if stop <= end else None


def chain(data: bytes) -> tuple[list[int], dict[int, str]]:
    """Where each certificate in `data` begins, without gaps between them; and for some, by number, what is wrong."""
    starts: list[int] = []
    faults: dict[int, str] = {}
    at, end = 0, len(data)
    while at < end:
        at = _run(data, at, starts)
        starts.append(at)
        at = _unusual(data, at, end, len(starts) - 1, faults)
    return starts, faults


def _run(data: bytes, at: int, starts: list[int]) -> int:
    """Adds to `starts` each certificate from `at` on that has another behind it, and returns where the first lies that
    has none: the usual case, quickly."""
    add, unpack = starts.append, _TAG_AND_LENGTH.unpack_from
    try:
        tag, length = unpack(data, at)
        while tag == _USUAL:
            stop = at + 4 + length
            tag, length = unpack(data, stop)
            if tag != _USUAL:
                break
            add(at)
            at = stop
    except struct.error:
        pass  # too few octets for another
    return at


def _unusual(data: bytes, at: int, end: int, number: int, faults: dict[int, str]) -> int:
    """Where what lies at `at` ends; if it is no whole element with another behind it, notes what is wrong."""
    stop = element_end(data, at, end)
    if stop is not None and (stop == end or _begins(data, stop, end)):
        return stop
    following = _next_beginning(data, at + 1, end)
    if stop is not None and stop <= following and _begins(data, at, end):
        return stop
    if not _begins(data, at, end):
        faults[number] = f"{following - at:,} bytes that are not a certificate."
    elif following == end:
        faults[number] = "a certificate that is cut short: the file ends inside it."
    else:
        faults[number] = "a certificate whose length makes no sense: another one begins inside it."
    return following


def _begins(data: bytes, at: int, end: int) -> bool:
    return _BEGINNING.match(data, at, end) is not None


def _next_beginning(data: bytes, at: int, end: int) -> int:
    for match in _BEGINNING.finditer(data, at, end):
        stop = element_end(data, match.start(), end)
        if stop is not None and (stop == end or _begins(data, stop, end)):
            return match.start()
    return end


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece."""
    data = octets_of(piece)
    faults: dict[int, str] = {}
    if piece.places:
        places = np.frombuffer(piece.places, np.int64)
    else:
        starts, faults = chain(data)
        places = np.array(starts, np.int64)
    ends = np.append(places[1:], len(data)) if len(places) else places
    where = {row: Fault(f"At byte {piece.start + int(places[row]):,}: {why}") for row, why in faults.items()}
    yield Rows(Octets(data + bytes(PAD)), places, ends, where)


def cut(window: bytes, *, last: bool) -> tuple[int, bytes]:
    """Where to cut `window`, which begins with a certificate: behind the last one that is whole, 0 if none is; and
    where those in front of the cut begin (64-bit numbers), if nothing is wrong with them. The last window is not cut.
    """
    starts, faults = chain(window)
    if last:
        return len(window), b"" if faults else np.array(starts, np.int64).tobytes()
    if not starts:
        return 0, b""
    fine = not faults or min(faults) == len(starts) - 1
    return starts[-1], np.array(starts[:-1], np.int64).tobytes() if fine else b""
