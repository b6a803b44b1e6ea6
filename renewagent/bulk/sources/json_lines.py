"""JSON lines: one object a line, with the certificate in one of its members."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.base64 import value
from renewagent.bulk.sources.columns import looks_like_certificate
from renewagent.bulk.sources.reading import octets_of


class Objects:
    """What else each object says."""

    def __init__(self, column: str | None) -> None:
        self.column = column
        self.objects: list[dict[str, Any]] = []

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """Each member; what is no text is written as JSON."""
        return [
            {
                name: cell if isinstance(cell, str) else json.dumps(cell)
                for name, cell in self.objects[row].items()
                if name != self.column
            }
            for row in rows
        ]


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece. Empty lines are none."""
    objects = Objects(piece.reading.column)
    ders: list[bytes] = []
    faults: dict[int, Fault] = {}
    lines = octets_of(piece).split(b"\n")
    for line, text in enumerate(lines):
        if not text or text.isspace():
            continue
        read, why = _object(text)
        der = b""
        if not why:
            if objects.column is None:
                objects.column = certificate_column(read)
            der, why = _certificate(read, objects.column)
        if why:
            faults[len(ders)] = Fault(why, line)
        ders.append(der)
        objects.objects.append(read)
    yield Rows.of(ders, faults, objects, lines=len(lines) - 1)


def boundary(window: bytes) -> int:
    """Behind the last line end, or 0."""
    return window.rfind(b"\n") + 1


def certificate_column(found: dict[str, Any]) -> str | None:
    """The member that looks like a certificate."""
    return next((name for name, cell in found.items() if isinstance(cell, str) and looks_like_certificate(cell)), None)


def _object(text: bytes) -> tuple[dict[str, Any], str]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}, "This line is not JSON."
    return (read, "") if isinstance(read, dict) else ({}, "This line is not a JSON object.")


def _certificate(read: dict[str, Any], column: str | None) -> tuple[bytes, str]:
    if column is None:
        return b"", "Nothing in this line looks like a certificate."
    cell = read.get(column)
    if not isinstance(cell, str):
        return b"", f'There is no "{column}" in this line.'
    return value(cell.encode("utf-8", "surrogatepass"))
