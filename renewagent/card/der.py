"""A small, strict DER reader that copes with octets that have not all arrived. Pure; no third-party code.

What lives here knows tags and lengths, integers, times, object identifiers and names (X.690, RFC 5280 4.1); what they
mean in a certificate is `card.head`'s business. Everything that cannot be so is a ValueError; `Truncated` says that
what has arrived is sound so far, and that more must come before the answer is known.
"""

from __future__ import annotations

from datetime import UTC, datetime

from renewagent.language import _
from renewagent.names import Name

INTEGER, BIT_STRING, OCTET_STRING, OID = 0x02, 0x03, 0x04, 0x06
SEQUENCE, SET = 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18

_MAX_LENGTH_OCTETS = 3  # 16 MB: more than any card holds
_ENCODINGS = {  # X.520 DirectoryString and the other string types met in names
    0x0C: "utf-8",  # UTF8String
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_TELETEX = 0x14


class Truncated(Exception):
    """Sound so far; more octets are needed."""


class Der:
    """A run of DER elements in `octets[at:end]`. `end` is where it *claims* to end, perhaps beyond what has arrived."""

    __slots__ = ("at", "end", "octets", "start", "tag")

    def __init__(self, octets: bytes, at: int = 0, end: int | None = None, *, tag: int = 0, start: int = 0) -> None:
        self.octets = octets
        self.at = at
        self.end = len(octets) if end is None else end
        self.tag = tag
        self.start = start

    @property
    def empty(self) -> bool:
        """True when every element has been taken."""
        return self.at >= self.end

    def take(self, *tags: int) -> Der:
        """Step over the next element and return its contents as a `Der`. Raises ValueError for any other tag than
        `tags` (none given: any), for a length that is not DER, and for one that reaches beyond this run."""
        start = self.at
        tag = self._octet(start)
        if tag & 0x1F == 0x1F:
            raise ValueError(_("a tag number above 30"))
        if tags and tag not in tags:
            raise ValueError(
                _("tag {found} where {wanted} belongs").format(found=f"{tag:02X}", wanted=f"{tags[0]:02X}")
            )
        length, at = self._length(start + 1)
        if at + length > self.end:
            raise ValueError(_("an element that claims to be longer than what holds it"))
        self.at = at + length
        return Der(self.octets, at, at + length, tag=tag, start=start)

    def peek(self) -> int | None:
        """The next element's tag, None at the end."""
        return None if self.empty else self._octet(self.at)

    def content(self) -> bytes:
        """The octets from here to the end; raises Truncated unless all have arrived."""
        if self.end > len(self.octets):
            raise Truncated
        return self.octets[self.at : self.end]

    def encoded(self) -> bytes:
        """The whole element as it came, tag and length included; raises Truncated unless all has arrived."""
        if self.end > len(self.octets):
            raise Truncated
        return self.octets[self.start : self.end]

    def finish(self) -> None:
        """Raises ValueError when something is left over."""
        if not self.empty:
            raise ValueError(_("something follows where nothing belongs"))

    def _octet(self, at: int) -> int:
        if at >= self.end:
            raise ValueError(_("an element is missing or cut short"))
        if at >= len(self.octets):
            raise Truncated
        return self.octets[at]

    def _length(self, at: int) -> tuple[int, int]:
        first = self._octet(at)
        if first < 0x80:
            return first, at + 1
        count = first & 0x7F
        if not 1 <= count <= _MAX_LENGTH_OCTETS:
            raise ValueError(_("a length that is not DER"))
        length = 0
        for i in range(at + 1, at + 1 + count):
            length = length << 8 | self._octet(i)
        if length < 0x80 or length >> (8 * (count - 1)) == 0:  # X.690 10.1: the fewest octets
            raise ValueError(_("a length that is not DER"))
        return length, at + 1 + count


def read_integer(element: Der) -> int:
    """An INTEGER's value, negative ones too; X.690 8.3.2: the fewest octets."""
    octets = element.content()
    if not octets or (len(octets) > 1 and (octets[0], octets[1] >> 7) in ((0x00, 0), (0xFF, 1))):
        raise ValueError(_("an integer that is not DER"))
    return int.from_bytes(octets, "big", signed=True)


def read_time(element: Der) -> datetime:
    """A UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 writes them: with seconds, without fractions, in Z."""
    octets = element.content()
    digits = octets[:-1]
    if element.tag not in (UTC_TIME, GENERALIZED_TIME) or octets[-1:] != b"Z" or not digits.isdigit():
        raise ValueError(_("a time that is not as RFC 5280 writes it"))
    if len(digits) != (12 if element.tag == UTC_TIME else 14):
        raise ValueError(_("a time of the wrong length"))
    if element.tag == UTC_TIME:  # RFC 5280 4.1.2.5.1: 50 to 99 are of the last century
        digits = (b"20" if digits[:2] < b"50" else b"19") + digits
    parts = [int(digits[i : i + 2]) for i in range(4, 14, 2)]
    return datetime(int(digits[:4]), parts[0], parts[1], parts[2], parts[3], parts[4], tzinfo=UTC)


def read_oid(element: Der) -> str:
    """An OBJECT IDENTIFIER in dotted form."""
    octets = element.content()
    if not octets or octets[-1] & 0x80:
        raise ValueError(_("an object identifier cut short"))
    arcs, value, fresh = [], 0, True
    for octet in octets:
        if fresh and octet == 0x80:  # X.690 8.19.2
            raise ValueError(_("an object identifier that is not DER"))
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (top, arcs[0] - 40 * top, *arcs[1:]))


def read_name(element: Der) -> Name:
    """An RDNSequence. A value of no string type is "#" and the hex of its DER (RFC 4514 2.4)."""
    rdns = []
    while not element.empty:
        rdn = element.take(SET)
        pairs = []
        while not rdn.empty:
            pairs.append(_read_attribute(rdn.take(SEQUENCE)))
        if not pairs:
            raise ValueError(_("an empty relative distinguished name"))
        rdns.append(frozenset(pairs))
    return tuple(rdns)


def _read_attribute(element: Der) -> tuple[str, str]:
    kind = read_oid(element.take(OID))
    value = element.take()
    element.finish()
    return kind, _read_text(value)


def _read_text(element: Der) -> str:
    octets = element.content()
    if element.tag == _TELETEX:  # in practice UTF-8 or Latin-1, never T.61
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            return octets.decode("latin-1")
    encoding = _ENCODINGS.get(element.tag)
    if encoding is None:
        return "#" + element.encoded().hex()
    return octets.decode(encoding)  # UnicodeDecodeError is a ValueError
