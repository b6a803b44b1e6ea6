"""What passes between a source and the verdict: pieces of sources, and the rows in them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from renewagent.bulk.octets import Ints, Octets

PIECE = 8 << 20
"""Octets of a piece, about: what is in memory at a time is a few of these for each process."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row holds no certificate, in a sentence. `line` counts from the first line of the piece, which is 0."""

    why: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read: which column holds the certificates, what they are all called, what stands between
    them, and on how many lines the heading is."""

    column: str | None = None
    names: tuple[str, ...] = ()
    separator: str = ","
    heading: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a source: octets `start` to `stop` of the file `path`, or `data`, which came from there.

    `source` is what the source is called in results, `kind` how it is read (a key of `sources.KINDS`). `part` of
    `parts` is this piece's share where a stretch cannot be cut. `weight` is how many octets of the source as it lies on
    disk have been read for it. `places` is where certificates begin in it (64-bit numbers), where that is known.
    """

    source: str
    kind: str
    start: int
    stop: int
    path: str | None = None
    data: bytes | None = None
    reading: Reading = field(default_factory=Reading)
    part: int = 0
    parts: int = 1
    weight: int = 0
    places: bytes = b""


class Carried(Protocol):
    """What else a source says of its rows."""

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """For each of `rows`: what each column holds, as text."""


class NothingCarried:
    """For sources that hold certificates alone."""

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """Nothing, for each."""
        return [{} for _ in rows]


@dataclass(frozen=True, slots=True)
class _Shifted:
    whole: Carried
    begin: int

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        return self.whole.cells([self.begin + row for row in rows])


@dataclass(frozen=True, slots=True)
class Rows:
    """Certificates: `octets.data[starts[n]:ends[n]]`. A row in `faults` is damaged at best.

    `passed_over` are sentences about what was there besides rows; `lines` is how many lines it was all written on.
    """

    octets: Octets
    starts: Ints
    ends: Ints
    faults: dict[int, Fault] = field(default_factory=dict)
    carried: Carried = field(default_factory=NothingCarried)
    passed_over: tuple[str, ...] = ()
    lines: int = 0

    def block(self, begin: int, most: int) -> Rows:
        """At most so many of the rows, from `begin` on."""
        count = len(self.starts)
        if begin == 0 and count <= most:
            return self
        end = min(begin + most, count)
        faults = {row - begin: fault for row, fault in self.faults.items() if begin <= row < end}
        return Rows(self.octets, self.starts[begin:end], self.ends[begin:end], faults, _Shifted(self.carried, begin))

    @classmethod
    def of(
        cls,
        ders: list[bytes],
        faults: dict[int, Fault] | None = None,
        carried: Carried | None = None,
        passed_over: tuple[str, ...] = (),
        lines: int = 0,
    ) -> Rows:
        """Rows of certificates that lie anywhere."""
        octets, starts, ends = Octets.of(ders)
        return cls(octets, starts, ends, faults or {}, carried or NothingCarried(), passed_over, lines)
