"""Base64 and hexadecimal digits to octets, strictly, with what is wrong in words. Pure."""

from __future__ import annotations

import binascii
import re

import pybase64

_SPACE = b" \t\r\n\x0b\x0c"
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")
_HEX = re.compile(rb"(?:\\x|0x)?((?:[0-9A-Fa-f]{2}[: ]?)+)")


def decoded(text: bytes) -> tuple[bytes, str]:
    """What base64 `text` stands for and an empty sentence, or as much of it as can be read and what is wrong.

    White space does not count.
    """
    try:
        return pybase64.b64decode(text, validate=True), ""
    except (binascii.Error, ValueError):
        pass
    packed = text.translate(None, _SPACE)
    try:
        return pybase64.b64decode(packed, validate=True), ""
    except (binascii.Error, ValueError):
        return _front(packed)


def decoded_lines(text: bytes, spaces: int | None = None) -> tuple[bytes, str]:
    """The same for text in lines, more quickly if it has as many line ends and spaces as `spaces` says (None: as many
    as lines of 64 characters have, with one in front)."""
    try:
        octets = pybase64.b64decode(text)  # this skips whatever is not of the alphabet: was that white space alone?
    except (binascii.Error, ValueError):
        return decoded(text)
    digits = (len(octets) + 2) // 3 * 4
    if spaces is None:
        spaces = (digits + 63) // 64 + 1 << (text[:1] == b"\r")
    return (octets, "") if len(text) == digits + spaces else decoded(text)


def value(text: bytes) -> tuple[bytes, str]:
    """The same for what stands in a column: base64, hexadecimal digits, or a whole PEM block."""
    if text[:2] == b"MI":  # 30 8x: how nearly every certificate begins
        return decoded(text)
    text = text.strip()
    if text.startswith(b"-----BEGIN"):
        inside = text.partition(b"-----END")[0].split(b"-----", 2)[-1]
        return decoded(inside)
    digits = _HEX.fullmatch(text)
    if digits and text[:2] != b"MI":
        return bytes.fromhex(digits.group(1).replace(b":", b"").replace(b" ", b"").decode("ascii")), ""
    if not text:
        return b"", "There is no certificate here."
    return decoded(text)


def _front(packed: bytes) -> tuple[bytes, str]:
    match = _ALPHABET.match(packed)
    sound = match.group() if match else b""
    octets = pybase64.b64decode(sound[: len(sound) // 4 * 4], validate=True)
    if packed[len(sound) :].strip(b"="):
        return octets, f"It is not base64: there is a wrong character after {len(sound):,} good ones."
    return octets, "It is not base64: it ends too early, or has too many '=' at its end."
