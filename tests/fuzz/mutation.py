"""Changes to messages that keep their form: DER and the BER-TLV of cards, and JSON.

A change to one octet of such a message is nearly always a length that lies or a quotation mark that is missing, which
the first reader refuses. Here one element is changed and everything around it is made right again, so that what comes
after the first reader is reached as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

Change = Callable[[bytes, Random], bytes]

_DEEPEST = 24
_VALUES = (
    b"",
    b"\0",
    b"\xff",
    b"\x80",
    b"\x7f" + b"\xff" * 8,
    b"\0" * 32,
    b"A" * 200,
    b"20500101000000Z",
    b"99991231235959Z",
    b"\xff\xfe\xfd",
    b"\x55\x1d\x0f",
)
_TAGS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x0C, 0x13, 0x17, 0x18, 0x1E, 0x30, 0x31, *range(0xA0, 0xAA), 0x80)


@dataclass(slots=True)
class Element:
    """One element; `parts` where its contents are elements, `value` where not."""

    tag: bytes
    value: bytes = b""
    parts: list[Element] | None = field(default=None)

    def encode(self) -> bytes:
        """With the length that it has."""
        value = self.value if self.parts is None else b"".join(part.encode() for part in self.parts)
        size = len(value)
        if size < 0x80:
            return self.tag + bytes((size,)) + value
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return self.tag + bytes((0x80 | len(length),)) + length + value


def read(octets: bytes, deep: int = 0) -> list[Element] | None:
    """Elements that stand one after the other; None for what is not that."""
    found, at = [], 0
    while at < len(octets):
        start = at
        at += 2 if octets[at] & 0x1F == 0x1F else 1
        tag = octets[start:at]
        if at >= len(octets):
            return None
        length, at = octets[at], at + 1
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 3:
                return None
            length, at = int.from_bytes(octets[at : at + count], "big"), at + count
        value = octets[at : at + length]
        if len(value) < length:
            return None
        at += length
        found.append(_element(tag, value, deep))
    return found


def _element(tag: bytes, value: bytes, deep: int) -> Element:
    # Primitive strings hold elements too, now and then: extensions, certificates on a card.
    inside = tag[0] & 0x20 or tag[0] in (0x04, 0x53, 0x70)
    parts = read(value, deep + 1) if inside and value and deep < _DEEPEST else None
    return Element(tag, value, parts)


def elements_after(count: int) -> Change:
    """For messages that are elements after so many octets."""
    return lambda octets, dice: octets[:count] + change_elements(octets[count:], dice)


def change_elements(octets: bytes, dice: Random) -> bytes:
    """One to three elements changed, lengths right. What is not made of elements comes back as it is."""
    elements = read(octets)
    if not elements:
        return octets
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        places = _places(elements)
        if places:
            _CHANGES[dice.randrange(len(_CHANGES))](*dice.choice(places), dice, places)
    return b"".join(element.encode() for element in elements)


_Place = tuple[list[Element], int]


def _places(elements: list[Element]) -> list[_Place]:
    found = []
    for at, element in enumerate(elements):
        found.append((elements, at))
        found += _places(element.parts or [])
    return found


def _drop(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    del where[at]


def _double(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    where[at:at] = [_copy(where[at])] * dice.choice((1, 1, 2, 40))


def _swap(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    other = dice.randrange(len(where))
    where[at], where[other] = where[other], where[at]


def _graft(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    there, other = dice.choice(places)
    where[at] = _copy(there[other])


def _retag(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    where[at].tag = bytes((dice.choice(_TAGS),))


def _refill(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    where[at].parts, where[at].value = None, dice.choice(_VALUES)


def _flip(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    element = where[at]
    if element.parts is None and element.value:
        value = bytearray(element.value)
        value[dice.randrange(len(value))] = dice.randrange(256)
        element.value = bytes(value)


def _wrap(where: list[Element], at: int, dice: Random, places: list[_Place]) -> None:
    where[at] = Element(bytes((dice.choice(_TAGS),)), parts=[where[at]])


_CHANGES: tuple[Callable[[list[Element], int, Random, list[_Place]], None], ...] = (
    _drop,
    _double,
    _swap,
    _graft,
    _retag,
    _refill,
    _flip,
    _flip,
    _wrap,
)


def _copy(element: Element) -> Element:
    """Cut off from the original, so that no element comes to hold itself."""
    return Element(element.tag, element.value, None if element.parts is None else [_copy(p) for p in element.parts])


# -- JSON --------------------------------------------------------------------------------------------------------------

_JSON: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1e308,
    2**63,
    "",
    "x",
    "\u202e",
    "\ud800",
    [],
    {},
    [[]],
    "é" * 300,
    "2020-10-01T14:50:00Z",
)
_Holder = tuple[Any, Any]


def change_json_lines(octets: bytes, dice: Random) -> bytes:
    """One to three values changed in the JSON of one line, all of it being one line where nothing else can be read."""
    lines = octets.split(b"\n")
    at = dice.randrange(len(lines))
    try:
        lines[at] = _changed_document(lines[at], dice)
    except (ValueError, RecursionError):  # no JSON, or nested by the thousand
        return octets
    return b"\n".join(lines)


def _changed_document(line: bytes, dice: Random) -> bytes:
    document = {"": json.loads(line)}
    for _ in range(dice.choice((1, 1, 2, 3))):
        _change_value(document, dice)
    return json.dumps(document[""], ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def change_json(octets: bytes, dice: Random) -> bytes:
    """The same for one document, however it is laid out."""
    return change_json_lines(octets.replace(b"\n", b" "), dice)


def _change_value(document: Any, dice: Random) -> None:
    holders = _holders(document)
    holder, key = dice.choice(holders)
    kind = dice.randrange(5)
    if kind == 0 and holder is not document:
        del holder[key]
    elif kind == 1:
        there, other = dice.choice(holders)
        holder[key] = json.loads(json.dumps(there[other]))
    elif kind == 2 and isinstance(holder, dict) and holder is not document:
        holder[dice.choice([str(k) for _, k in holders])] = holder.pop(key)
    elif kind == 3 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = dice.choice(_JSON)


def _holders(document: Any) -> list[_Holder]:
    found: list[_Holder] = []
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        found.append((document, key))
        found += _holders(document[key])
    return found
