"""Certificates in DER, one after the other. Where the chain of lengths breaks, the next beginning is looked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from renewagent.bulk.octets import PAD, Octets
from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.reading import octets_of

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


def chain(data: bytes, start: int, end: int) -> tuple[list[int], dict[int, str]]:
    """Where each certificate in `data` begins, without gaps between them; and for some, by number, what is wrong."""
    starts: list[int] = []
    faults: dict[int, str] = {}
    at = start
    while at < end:
        starts.append(at)
        # The usual case, quickly: a length in two octets, and another certificate behind it.
        if end - at > 4 and data[at] == 0x30 and data[at + 1] == 0x82:
            stop = at + 4 + (data[at + 2] << 8 | data[at + 3])
            if stop < end and data[stop] == 0x30:
                at = stop
                continue
        at = _unusual(data, at, end, len(starts) - 1, faults)
    return starts, faults


def _unusual(data: bytes, at: int, end: int, number: int, faults: dict[int, str]) -> int:
    """Where what lies at `at` ends; if it is no whole element with another behind it, notes what is wrong."""
    stop = element_end(data, at, end)
    if stop is not None and (stop == end or data[stop] == 0x30 or _begins(data, at, end)):
        return stop
    following = _next_beginning(data, at + 1, end)
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
    starts, faults = chain(data, 0, len(data))
    places = np.array(starts, np.int64)
    ends = np.append(places[1:], len(data)) if starts else places
    where = {row: Fault(f"At byte {piece.start + starts[row]:,}: {why}") for row, why in faults.items()}
    yield Rows(Octets(data + bytes(PAD)), places, ends, where)


def boundary(window: bytes) -> int:
    """Where the last certificate of `window`, which begins with one, begins; 0 if that is the first."""
    starts, _ = chain(window, 0, len(window))
    return starts[-1] if starts else 0
