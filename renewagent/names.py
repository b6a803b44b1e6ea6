"""Distinguished names as data: parsed from RFC 4514 text, compared as RFC 5280 7.1 says, written back as text.

A `Name` is a tuple of RDNs in the order of the certificate (C first, as a rule); each RDN is a frozenset of
(attribute type as dotted OID, value). RFC 4514 text runs the other way round (CN first).
"""

from __future__ import annotations

import re
import unicodedata

from renewagent.language import _

Name = tuple[frozenset[tuple[str, str]], ...]

OIDS = {
    "CN": "2.5.4.3",
    "SN": "2.5.4.4",
    "SERIALNUMBER": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "STREET": "2.5.4.9",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "TITLE": "2.5.4.12",
    "GN": "2.5.4.42",
    "GIVENNAME": "2.5.4.42",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
    "EMAILADDRESS": "1.2.840.113549.1.9.1",
}
# RFC 4514 section 3 names only these; every other type is written as its dotted OID.
_SHORT = {OIDS[k]: k for k in ("CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID")}
_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_HEX_PAIR = re.compile(r"[0-9a-fA-F]{2}")
_DOTTED = re.compile(r"^(?:OID\.)?(\d+(?:\.\d+)+)$", re.IGNORECASE)


def parse_name(text: str) -> Name:
    """RFC 4514 text to a `Name`. Raises ValueError that says what is wrong."""
    if not text.strip():
        return ()
    rdns = []
    for rdn_text in _split(text, ","):
        pairs = frozenset(_parse_pair(pair) for pair in _split(rdn_text, "+"))
        rdns.append(pairs)
    return tuple(reversed(rdns))


def format_name(name: Name) -> str:
    """A `Name` as RFC 4514 text (types of its section 3 by name, others by dotted OID)."""
    return ",".join(
        "+".join(f"{_SHORT.get(oid, oid)}={_escape(value)}" for oid, value in sorted(rdn)) for rdn in reversed(name)
    )


def same_name(a: Name, b: Name) -> bool:
    """RFC 5280 7.1: equal but for case, and for leading, trailing and repeated white space."""
    return canonical(a) == canonical(b)


def canonical(name: Name) -> Name:
    """The form in which two names that RFC 5280 7.1 calls equal are equal as data."""
    return tuple(frozenset((oid, _fold(value)) for oid, value in rdn) for rdn in name)


def _fold(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def _split(text: str, separator: str) -> list[str]:
    parts, current, escaped = [], "", False
    for char in text:
        if escaped:
            current, escaped = current + char, False
        elif char == "\\":
            current, escaped = current + char, True
        elif char == separator:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]


def _parse_pair(text: str) -> tuple[str, str]:
    kind, equals, value = text.partition("=")
    if not equals:
        raise ValueError(_("a distinguished name needs type=value, not {text}").format(text=repr(text.strip())))
    kind = kind.strip()
    dotted = _DOTTED.match(kind)
    oid = dotted.group(1) if dotted else OIDS.get(kind.upper())
    if oid is None:
        raise ValueError(_("unknown attribute type {kind} in a distinguished name").format(kind=repr(kind)))
    return oid, _unescape(value)


def _unescape(text: str) -> str:
    """RFC 4514 section 3, the other way round: spaces at either end count only when they are escaped."""
    text = text.lstrip(" ")
    if text.startswith("#"):
        return _from_der(text[1:].rstrip(" "))
    octets, kept, i = bytearray(), 0, 0
    while i < len(text):
        piece, width = _escaped(text, i) if text[i] == "\\" else (text[i].encode(), 1)
        octets += piece
        kept = len(octets) if piece != b" " or width > 1 else kept
        i += width
    try:
        return octets[:kept].decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(_("a distinguished name that is not UTF-8")) from None


def _escaped(text: str, i: int) -> tuple[bytes, int]:
    """What the escape at `i` stands for, and how long it is."""
    if _HEX_PAIR.match(text, i + 1):
        return bytes.fromhex(text[i + 1 : i + 3]), 3
    if i + 1 == len(text):
        raise ValueError(_("a backslash at the end of a distinguished name"))
    return text[i + 1].encode(), 2


def _from_der(digits: str) -> str:
    """A value written as the hex of its DER (RFC 4514 2.4): its text, or "#" and the hex where it is no string."""
    try:
        octets = bytes.fromhex(digits)
        tag, length, content = octets[0], octets[1], octets[2:]
        if length == len(content) and tag in _ENCODINGS:
            return content.decode(_ENCODINGS[tag])
    except (ValueError, IndexError):
        raise ValueError(
            _("a distinguished name with {digits} where the hex of a value belongs").format(digits=repr(digits))
        ) from None
    return "#" + octets.hex()


def _escape(value: str) -> str:
    out = "".join("\\" + c if c in ',+"\\<>;' else ("\\00" if c == "\0" else c) for c in value)
    if value.endswith(" "):
        out = out[:-1] + "\\ "
    if value.startswith("#") or (value.startswith(" ") and len(value) > 1):
        out = "\\" + out
    return out
