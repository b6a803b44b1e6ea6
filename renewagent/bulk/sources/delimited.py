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
class Cells:
    """The other columns of each row, as octets until somebody asks."""

    names: tuple[str, ...]
    column: str
    rows: list[list[bytes]] = field(default_factory=list)

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """By the heading's names; what has none is left out."""
        return [
            {name: text(cell) for name, cell in zip(self.names, self.rows[row], strict=False) if name != self.column}
            for row in rows
        ]


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece, without the heading."""
    names, separator = piece.reading.names, piece.reading.separator.encode()
    column = piece.reading.column or names[0]
    place, width = names.index(column), len(names)
    cells = Cells(names, column)
    ders: list[bytes] = []
    faults: dict[int, Fault] = {}
    data = octets_of(piece)
    for line, found, why in _split_rows(data, separator, width):
        if len(found) == width and not why:
            der, why = value(found[place])
        else:
            why = why or f"This line has {len(found)} columns where {width} belong."
            der = next((value(cell)[0] for cell in found if looks_like_certificate(cell)), b"")
        if why:
            faults[len(ders)] = Fault(why, line)
        ders.append(der)
        found[place : place + 1] = [b""]  # it is in `ders` now
        cells.rows.append(found)
    yield Rows.of(ders, faults, cells, lines=data.count(b"\n"))


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


def _split_rows(data: bytes, separator: bytes, width: int) -> Iterator[tuple[int, list[bytes], str]]:
    """The line of each row, its cells, and what is wrong with it."""
    lines = data.split(b"\n")
    number, count = 0, len(lines)
    all_quoted = b'"' + separator + b'"'
    while number < count:
        line = lines[number]
        if line[-1:] == b"\r":
            line = line[:-1]
        number += 1
        if b'"' not in line:
            if line and not line.isspace():
                yield number - 1, line.split(separator), ""
            continue
        quotes = line.count(b'"')
        if quotes == 2 * width and line[:1] == b'"' and line[-1:] == b'"':
            found = line[1:-1].split(all_quoted)
            if len(found) == width:
                yield number - 1, found, ""
                continue
        if quotes % 2 == 0:
            yield number - 1, fields(line, separator), ""
            continue
        whole, more = _joined(lines, number, line)
        why = "" if more else "A quote is opened in this line and never closed."
        yield number - 1, fields(whole, separator), why
        number += more


def _joined(lines: list[bytes], number: int, line: bytes) -> tuple[bytes, int]:
    """The line with those behind it until its quotes are closed, and how many these are; 0 if they never are."""
    for more in range(1, min(_MOST_LINES, len(lines) - number) + 1):
        if lines[number + more - 1].count(b'"') % 2:
            return b"\n".join([line, *lines[number : number + more]]).removesuffix(b"\r"), more
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
    for _, found, _ in _split_rows(front, separator, len(names)):
        for name, cell in zip(names, found, strict=False):
            if looks_like_certificate(cell):
                return name
    return None
