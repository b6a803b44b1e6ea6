"""A run of octets that many certificates lie in, read at many places at once. Pure; numpy alone.

What lives here knows tags and lengths (X.690 8.1), for a column of places; what they mean in a certificate is
`renewagent.bulk.walk`'s business. A column is an array with one value for each row of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

PAD = 64
"""Octets that follow the last row, so that a window over a row's end stays inside."""

_HEADER_LENGTH = np.full(256, 2, np.int64)
_HEADER_LENGTH[0x81], _HEADER_LENGTH[0x82] = 3, 4


@dataclass(frozen=True, slots=True)
class Header:
    """Tags and lengths of one element in each row. `fine` is False where the length is not DER, or above 65,535."""

    tag: Ints
    body: Ints
    end: Ints
    fine: Bools


class Octets:
    """`data`, whose last `PAD` octets belong to no row. Places beyond the end are read as its last octets: rows that
    point there are not `fine` anyway."""

    __slots__ = ("_windows", "data")

    def __init__(self, data: bytes) -> None:
        if len(data) < PAD:
            raise ValueError("octets without room after the last row")
        self.data = data
        self._windows: dict[int, npt.NDArray[np.void]] = {}

    @classmethod
    def of(cls, parts: list[bytes]) -> tuple[Octets, Ints, Ints]:
        """Several runs one after the other; with the column of places where they start, and where they end."""
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if parts else ends
        return cls(b"".join([*parts, bytes(PAD)])), starts, ends

    def window(self, at: Ints, width: int) -> Bytes:
        """`width` octets (at most PAD) from each place: an array of len(at) by width."""
        # One strided item per place is copied whole: five times as fast as an index for each octet.
        items = self._windows.get(width)
        if items is None:
            count = len(self.data) - width + 1
            items = np.ndarray((count,), dtype=np.dtype((np.void, width)), buffer=self.data, strides=(1,))
            self._windows[width] = items
        picked = items[np.minimum(at, len(items) - 1)]
        return picked.view(np.uint8).reshape(len(at), width)

    def word(self, at: Ints) -> Ints:
        """Four octets from each place as one big-endian number."""
        found: Ints = self.window(at, 4).view(">u4").reshape(-1).astype(np.int64)
        return found

    def header(self, at: Ints) -> Header:
        """The tag and length that begin at each place."""
        word = self.word(at)
        first = (word >> 16) & 0xFF
        length = first.copy()
        long = first >= 0x80
        fine = ~long
        if long.any():
            one, two = first == 0x81, first == 0x82
            short = (word >> 8) & 0xFF
            both = word & 0xFFFF
            np.copyto(length, short, where=one)
            np.copyto(length, both, where=two)
            fine |= (one & (short >= 0x80)) | (two & (both >= 0x100))  # X.690 10.1: the fewest octets
            np.copyto(length, 0, where=~fine)
        body = at + _HEADER_LENGTH[first]
        return Header(word >> 24, body, body + length, fine)

    def numbers(self, known: Mapping[bytes, int], starts: Ints, ends: Ints) -> Ints:
        """What `known` says of the octets of each row from `starts` to `ends`."""
        data, number = self.data, known.__getitem__
        return np.array([number(data[a:b]) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)], np.int64)

    def pieces(self, starts: Ints, ends: Ints) -> list[bytes]:
        """The octets of each row from `starts` to `ends`."""
        data = self.data
        return [data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
