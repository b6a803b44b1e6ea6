"""LDIF, as directories dump it (RFC 2849): folded lines, CRLF, `userCertificate::` and `userCertificate;binary::`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from renewagent.bulk.octets import PAD, Bools, Ints, Octets
from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.base64 import decoded, decoded_lines
from renewagent.bulk.sources.reading import octets_of

_ATTRIBUTE = b"usercertificate"
_LONGEST_CELL = 4096
_NEWLINE, _RETURN, _SPACE = b"\n\r "


@dataclass(slots=True)
class Entries:
    """What else the entries say; read only for rows that somebody asks about."""

    data: bytes
    attribute: bytes
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """Each attribute of a row's entry; of several values, all of them with semicolons between."""
        return [self._cells(self.data[self.starts[row] : self.ends[row]]) for row in rows]

    def _cells(self, entry: bytes) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for line in _unfolded(entry).split(b"\n"):
            name, colon, rest = line.partition(b":")
            if not colon or name.startswith(b"#") or _base_name(name) == self.attribute:
                continue
            octets = decoded(rest[1:])[0] if rest.startswith(b":") else rest.strip(b" ")
            if len(octets) <= _LONGEST_CELL:
                found.setdefault(name.decode("utf-8", "replace"), []).append(octets.decode("utf-8", "replace"))
        return {name: "; ".join(values) for name, values in found.items()}


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece: each value of the attribute is a row."""
    data = octets_of(piece)
    wanted = (piece.reading.column or _ATTRIBUTE.decode()).lower().encode().partition(b";")[0]
    starts, ends, folds, blanks = _lines(data)
    chosen = np.flatnonzero(_begin_with(data, starts, wanted))
    # The entry of a line lies between the empty lines around it.
    behind = np.searchsorted(blanks, starts[chosen])
    edges = np.concatenate((np.zeros(1, np.int64), blanks, np.array([len(data)], np.int64)))
    entries = Entries(data, wanted)
    ders: list[bytes] = []
    faults: dict[int, Fault] = {}
    columns = (starts[chosen], ends[chosen], edges[behind], edges[behind + 1], folds[chosen])
    for start, end, entry, entry_end, fold in zip(*(column.tolist() for column in columns), strict=True):
        colon = data.find(b":", start, end)
        if colon < 0 or _base_name(data[start:colon]) != wanted:
            continue
        der, why = _value(data[colon + 1 : end], fold)
        if why:
            named = _named(data[entry:entry_end])
            line = data.count(b"\n", 0, entry) + data[entry:start].startswith((b"\n", b"\r\n"))
            faults[len(ders)] = Fault(f"In {named}: {why[:1].lower()}{why[1:]}", line)
        ders.append(der)
        entries.starts.append(entry)
        entries.ends.append(entry_end)
    yield Rows.of(ders, faults, entries, lines=data.count(b"\n"))


def _lines(data: bytes) -> tuple[Ints, Ints, Ints, Ints]:
    """Where each line begins and ends, folded ones as one; how often it is folded; and where the empty lines begin,
    which part the entries."""
    octets = np.frombuffer(data + b"\n\n", np.uint8)
    every = np.flatnonzero(octets[:-1] == _NEWLINE)
    last = np.flatnonzero(octets[every + 1] != _SPACE)
    breaks = every[last]
    starts = np.concatenate((np.zeros(1, np.int64), breaks[:-1] + 1))
    folds = np.diff(last, prepend=-1) - 1
    first = octets[starts]
    empty = (first == _NEWLINE) | ((first == _RETURN) & (breaks - starts == 1))
    return starts[~empty], breaks[~empty], folds[~empty], starts[empty]


def _begin_with(data: bytes, starts: Ints, wanted: bytes) -> Bools:
    """The lines that begin with the attribute, in capitals or not."""
    octets = Octets(data + bytes(PAD))
    name = wanted[:PAD]
    # Setting the bit that parts capitals from small letters may take other characters for letters: the caller looks.
    same: Bools = ((octets.window(starts, len(name)) | 0x20) == np.frombuffer(name, np.uint8) | 0x20).all(axis=1)
    return same


def boundary(window: bytes) -> int:
    """Where the last entry begins, or 0."""
    one, two = window.rfind(b"\n\n"), window.rfind(b"\n\r\n")
    return max(one + 2 if one >= 0 else 0, two + 3 if two >= 0 else 0)


def _base_name(name: bytes) -> bytes:
    return name.partition(b";")[0].strip().lower()


def _value(rest: bytes, folds: int) -> tuple[bytes, str]:
    if rest.startswith(b": "):
        ends = 3 if rest.endswith(b"\r") else 2  # of a folded line: CR or not, LF, space
        return decoded_lines(rest[2:], ends * folds + ends - 2)
    if rest.startswith(b":"):
        return decoded(rest[1:])
    if rest.startswith(b"<"):
        return b"", "The certificate is not here but at another place, which is not followed."
    return b"", "The certificate is not written in base64 (one colon where two belong)."


def _named(entry: bytes) -> str:
    lines = (line for line in _unfolded(entry).split(b"\n") if line[:3].lower() == b"dn:")
    rest = next(lines, b"dn:")[3:]
    text = decoded(rest[1:])[0] if rest.startswith(b":") else rest.strip()
    return text[:200].decode("utf-8", "replace") or "an entry without a name"


def _unfolded(entry: bytes) -> bytes:
    return entry.replace(b"\r", b"").replace(b"\n ", b"")
