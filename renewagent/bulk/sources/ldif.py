"""LDIF, as directories dump it (RFC 2849): folded lines, CRLF, `userCertificate::` and `userCertificate;binary::`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.base64 import decoded
from renewagent.bulk.sources.reading import octets_of

_ATTRIBUTE = b"usercertificate"
_LONGEST_CELL = 4096


@dataclass(slots=True)
class Entries:
    """What else the entries say; read only for rows that somebody asks about."""

    texts: list[bytes]
    attribute: bytes
    of_row: list[int] = field(default_factory=list)

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """Each attribute of a row's entry; of several values, all of them with semicolons between."""
        return [self._cells(self.texts[self.of_row[row]]) for row in rows]

    def _cells(self, text: bytes) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for line in text.split(b"\n"):
            name, colon, rest = line.partition(b":")
            if not colon or name.startswith(b"#") or _base_name(name) == self.attribute:
                continue
            octets = decoded(rest[1:].strip())[0] if rest.startswith(b":") else rest.strip(b" ")
            if len(octets) <= _LONGEST_CELL:
                found.setdefault(name.decode("utf-8", "replace"), []).append(octets.decode("utf-8", "replace"))
        return {name: "; ".join(values) for name, values in found.items()}


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece: each value of the attribute is a row."""
    data = octets_of(piece)
    text = data.replace(b"\r\n", b"\n") if b"\r" in data else data
    unfolded = text.replace(b"\n ", b"")
    wanted = (piece.reading.column or _ATTRIBUTE.decode()).lower().encode().partition(b";")[0]
    entries = Entries(unfolded.split(b"\n\n"), wanted)
    ders: list[bytes] = []
    faults: dict[int, Fault] = {}
    lines = _Lines(text)
    for number, entry in enumerate(entries.texts):
        lowered = None
        for line in entry.split(b"\n"):
            # Names of attributes are rarely written in another way: compare quickly first.
            if line[:15] == b"userCertificate" or (lowered := line[: len(wanted)].lower()) == wanted:
                name, _, rest = line.partition(b":")
                if _base_name(name) != wanted:
                    continue
                der, why = _value(rest)
                if why:
                    faults[len(ders)] = Fault(f"In {_named(entry)}: {why[:1].lower()}{why[1:]}", lines.of(number))
                ders.append(der)
                entries.of_row.append(number)
    del lowered
    yield Rows.of(ders, faults, entries, lines=data.count(b"\n"))


def boundary(window: bytes) -> int:
    """Where the last entry begins, or 0."""
    one, two = window.rfind(b"\n\n"), window.rfind(b"\n\r\n")
    return max(one + 2 if one >= 0 else 0, two + 3 if two >= 0 else 0)


class _Lines:
    """On which line an entry begins: counted only when somebody asks."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._entry, self._at, self._line = 0, 0, 0

    def of(self, entry: int) -> int:
        while self._entry < entry:
            at = self._text.find(b"\n\n", self._at) + 2
            self._line += self._text.count(b"\n", self._at, at)
            self._entry, self._at = self._entry + 1, at
        return self._line


def _base_name(name: bytes) -> bytes:
    return name.partition(b";")[0].strip().lower()


def _value(rest: bytes) -> tuple[bytes, str]:
    if rest.startswith(b":"):
        return decoded(rest[1:].strip(b" "))
    if rest.startswith(b"<"):
        return b"", "The certificate is not here but at another place, which is not followed."
    return b"", "The certificate is not written in base64 (one colon where two belong)."


def _named(entry: bytes) -> str:
    first = entry.lstrip(b"\n").partition(b"\n")[0]
    name, _, rest = first.partition(b":")
    if name.lower() != b"dn":
        return "an entry without a name"
    text = decoded(rest[1:].strip())[0] if rest.startswith(b":") else rest.strip()
    return text[:200].decode("utf-8", "replace")
