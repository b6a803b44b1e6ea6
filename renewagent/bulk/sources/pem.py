"""PEM bundles (RFC 7468): certificates between BEGIN and END lines, PKCS#7 among them, whatever stands around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.base64 import decoded, decoded_lines
from renewagent.bulk.sources.pkcs7 import certificates_in
from renewagent.bulk.sources.reading import octets_of

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")
_LONGEST_LABEL = 40
_TRUSTED = b"TRUSTED CERTIFICATE"
_BUNDLES = (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS")


@dataclass(slots=True)
class _Found:
    ders: list[bytes] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    def add(self, der: bytes, why: str, line: int | None) -> None:
        if why:
            self.faults[len(self.ders)] = Fault(why, line)
        self.ders.append(der)


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece."""
    data = octets_of(piece)
    lines = _Lines(data)
    blocks = data.split(_BEGIN)
    found = _Found()
    front = blocks[0].strip()
    if front and piece.start == 0 and len(blocks) == 1:
        found.add(b"", "This holds no BEGIN line, so no certificate.", 0)
    for number, block in enumerate(blocks[1:]):
        _block(block, number, lines, found)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.others.items()))
    passed_over = (f"Passed over what is not a certificate: {kinds}.",) if kinds else ()
    yield Rows.of(found.ders, found.faults, passed_over=passed_over, lines=data.count(b"\n"))


def boundary(window: bytes) -> int:
    """Where the last BEGIN line begins, or 0."""
    at = window.rfind(_BEGIN)
    while at > 0 and window[at - 1] not in b"\r\n":
        at = window.rfind(_BEGIN, 0, at)
    return max(at, 0)


class _Lines:
    """On which line a block begins: counted only when somebody asks."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._block, self._at, self._line = -1, -1, 0

    def of(self, block: int) -> int:
        """The line of the BEGIN of block `block`; they are asked for in order."""
        while self._block < block:
            at = self._data.find(_BEGIN, self._at + 1)
            self._line += self._data.count(b"\n", max(self._at, 0), at)
            self._block, self._at = self._block + 1, at
        return self._line


def _block(block: bytes, number: int, lines: _Lines, found: _Found) -> None:
    place = block.find(_DASHES)
    label, body = block[: max(place, 0)], place + len(_DASHES)
    if label in _CERTIFICATES:
        end = block.find(_END, body)
        der, why = decoded_lines(block[body:] if end < 0 else block[body:end])
        if end < 0:
            why = "The END line is missing."
        elif not block.startswith(label, end + len(_END)):
            why = "The END line does not fit the BEGIN line."
        found.add(der, why, lines.of(number) if why else None)
    elif label == _TRUSTED or label in _BUNDLES:
        _unusual(label, block[body:], lines.of(number), found)
    elif place < 0 or len(label) > _LONGEST_LABEL:
        found.add(b"", "The BEGIN line is not whole.", lines.of(number))
    else:
        found.others[label.decode("ascii", "replace")] += 1


def _unusual(label: bytes, rest: bytes, line: int, found: _Found) -> None:
    octets, why = decoded(rest.partition(_END)[0])
    if label in _BUNDLES:
        for der, problem in certificates_in(octets):
            found.add(der, why or problem, line if why or problem else None)
        return
    from renewagent.bulk.sources.der import element_end

    # OpenSSL's own: a certificate with what it is trusted for behind it
    end = element_end(octets, 0, len(octets))
    found.add(octets[:end] if end else octets, why, line if why else None)
