"""CSV (RFC 4180) with commas, semicolons, tabs or bars: quoted cells, lines of the wrong width, mixed encodings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from renewagent.bulk.rows import Fault, Piece, Reading, Rows
from renewagent.bulk.sources.base64 import value
from renewagent.bulk.sources.columns import looks_like_certificate, usual_column
from renewagent.bulk.sources.reading import octets_of

_SEPARATORS = b",;\t|"
_MOST_LINES = 2000  # of one row with line ends in its cells
_TRIES = 200
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Lines:
    """The other columns of each row, as a line until somebody asks."""

    reading: Reading
    lines: list[bytes] = field(default_factory=list)

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """By the heading's names; what has none is left out."""
        separator = self.reading.separator.encode()
        return [self._named(fields(self.lines[row], separator)) for row in rows]

    def _named(self, found: list[bytes]) -> dict[str, str]:
        pairs = zip(self.reading.names, found, strict=False)
        return {name: text(cell) for name, cell in pairs if name != self.reading.column}


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece, without the heading."""
    names, separator = piece.reading.names, piece.reading.separator.encode()
    place, width = names.index(piece.reading.column or names[0]), len(names)
    lines = Lines(piece.reading)
    ders: list[bytes] = []
    faults: dict[int, Fault] = {}
    data = octets_of(piece)
    for number, line, why in split_rows(data):
        cell = None if why else _cell(line, separator, place, width)
        if cell is not None:
            der, why = value(cell)
        else:
            found = fields(line, separator)
            why = why or f"This line has {len(found)} columns where {width} belong."
            der = next((value(one)[0] for one in found if looks_like_certificate(one)), b"")
        if why:
            faults[len(ders)] = Fault(why, number)
        ders.append(der)
        lines.lines.append(line)
    yield Rows.of(ders, faults, lines, lines=data.count(b"\n"))


def _cell(line: bytes, separator: bytes, place: int, width: int) -> bytes | None:
    """One cell of a row of the right width; None for others.

    The long cell is stepped over once; only what stands in front of it and behind is counted.
    """
    quote = line.rfind(b'"') + 1
    front = fields(line[:quote], separator) if quote else []
    if len(front) > place:
        found = fields(line, separator)
        return found[place] if len(found) == width else None
    start = quote
    for _ in range(place - max(len(front) - 1, 0)):
        start = line.find(separator, start) + 1
        if not start:
            return None
    end = line.find(separator, start)
    if end < 0:
        return line[start:] if place == width - 1 else None
    return line[start:end] if place + line.count(separator, end) == width - 1 else None


def boundary(window: bytes) -> int:
    """Behind the last line end that is not inside quotes, or 0."""
    at = window.rfind(b"\n")
    quotes = window.count(b'"', 0, max(at, 0))
    for _ in range(_TRIES):
        if at < 0 or quotes % 2 == 0:
            return at + 1
        before = window.rfind(b"\n", 0, at)
        quotes -= window.count(b'"', max(before, 0), at)
        at = before
    return window.rfind(b"\n") + 1  # a quote that nobody closed: lines are lines then


def heading(front: bytes, column: str | None) -> tuple[Reading, int]:
    """How to read a file that begins with `front`, and how long its heading is. Raises ValueError in words."""
    start = len(_BOM) if front.startswith(_BOM) else 0
    first, end = _first_line(front, start)
    separator = max(_SEPARATORS, key=first.count).to_bytes(1, "big")
    cells = fields(first, separator)
    if any(looks_like_certificate(cell) for cell in cells):
        names = tuple(f"column {number}" for number in range(1, len(cells) + 1))
        found, end = next(name for name, cell in zip(names, cells, strict=True) if looks_like_certificate(cell)), start
        if column is not None and column not in names:
            raise ValueError("its columns have no names: it begins with a certificate")
    else:
        names = _distinct([text(cell).strip() for cell in cells])
        found = usual_column(names) or _by_looks(names, front[end:], separator) or ""
    chosen = column or found
    if chosen not in names:
        told = ", ".join(names[:20]) or "none"
        if column is not None:
            raise ValueError(f'it has no column "{column}"; it has: {told}')
        raise ValueError(f"nothing tells which of its columns holds the certificates ({told}); name it with --column")
    return Reading(chosen, names, separator.decode(), front.count(b"\n", 0, end)), end


def fields(line: bytes, separator: bytes) -> list[bytes]:
    """The cells of one row. A quote inside a cell that does not begin with one is a quote."""
    if b'"' not in line:
        return line.split(separator)
    found: list[bytes] = []
    at, end = 0, len(line)
    while at <= end:
        if line[at : at + 1] == b'"':
            cell, at = _quoted(line, at + 1)
            stop = line.find(separator, at)
            stop = end if stop < 0 else stop
            cell += line[at:stop]
        else:
            stop = line.find(separator, at)
            stop = end if stop < 0 else stop
            cell = line[at:stop]
        found.append(cell)
        at = stop + 1
    return found


def text(cell: bytes) -> str:
    """UTF-8, or else what Windows in the west wrote."""
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell.decode("cp1252", "replace")


def _quoted(line: bytes, at: int) -> tuple[bytes, int]:
    """The contents of the quotes opened before `at`, and where they end."""
    pieces: list[bytes] = []
    while True:
        stop = line.find(b'"', at)
        if stop < 0:
            return b"".join([*pieces, line[at:]]), len(line)
        if line[stop + 1 : stop + 2] != b'"':
            return b"".join([*pieces, line[at:stop]]), stop + 1
        pieces.append(line[at : stop + 1])
        at = stop + 2


def split_rows(data: bytes) -> Iterator[tuple[int, bytes, str]]:
    """The number of each row's first line, the row, and what is wrong with it. Empty lines are none."""
    lines = data.split(b"\n")
    number, count = 0, len(lines)
    while number < count:
        line, why, more = lines[number], "", 0
        if b'"' in line and line.count(b'"') % 2:
            line, more = _joined(lines, number + 1, line)
            why = "" if more else "A quote is opened in this line and never closed."
        if line and not line.isspace():
            yield number, line[:-1] if line[-1] == 13 else line, why
        number += 1 + more


def _joined(lines: list[bytes], number: int, line: bytes) -> tuple[bytes, int]:
    """The line with those behind it until its quotes are closed, and how many these are; 0 if they never are."""
    for more in range(1, min(_MOST_LINES, len(lines) - number) + 1):
        if lines[number + more - 1].count(b'"') % 2:
            return b"\n".join([line, *lines[number : number + more]]), more
    return line, 0


def _first_line(front: bytes, start: int) -> tuple[bytes, int]:
    end = front.find(b"\n", start)
    while end >= 0 and front.count(b'"', start, end) % 2:
        end = front.find(b"\n", end + 1)
    return (front[start:], len(front)) if end < 0 else (front[start:end].rstrip(b"\r"), end + 1)


def _distinct(names: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for place, name in enumerate(names, 1):
        fresh = name or f"column {place}"
        found.append(fresh if fresh not in found else f"{fresh} ({place})")
    return tuple(found)


def _by_looks(names: tuple[str, ...], front: bytes, separator: bytes) -> str | None:
    for _, line, _ in split_rows(front):
        for name, cell in zip(names, fields(line, separator), strict=False):
            if looks_like_certificate(cell):
                return name
    return None
