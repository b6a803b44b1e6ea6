"""Photographs of a token, as they may be sent to a vendor: recognised by what is in them, large enough to be read, and
without what a phone writes into them unseen (where and when it was taken, and with what). Pure.

What is taken out is said, never done silently. JPEG, PNG and WebP lose their metadata but for how the picture is to be
turned; in a HEIC file it becomes empty, since everything there is found by its place in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from renewagent.language import N_, _
from renewagent.tokens.errors import FormError
from renewagent.tokens.heic import heic_size, without_heic_metadata
from renewagent.tokens.model import Picture
from renewagent.tokens.raster import jpeg_size, png_size, webp_size, without_jpeg, without_png, without_webp

SIDES = (N_("front"), N_("back"), N_("error"))
NEEDED = ("front", "back")
MOST_OCTETS = 8 * 1024 * 1024
SMALLEST, LARGEST = 200, 20_000
"""Pixels along an edge: a serial number is legible, and no viewer gives up."""
_READ_AND_CLEANED = {
    "image/jpeg": (jpeg_size, without_jpeg),
    "image/png": (png_size, without_png),
    "image/webp": (webp_size, without_webp),
    "image/heic": (heic_size, without_heic_metadata),
}
MEDIA_TYPES = tuple(_READ_AND_CLEANED)
_OTHERS = (
    (b"%PDF", N_("a PDF document")),
    (b"GIF8", N_("a GIF picture")),
    (b"PK\x03\x04", N_("an office document or a ZIP archive")),
    (b"<svg", N_("a drawing")),
    (b"<?xml", N_("an XML document")),
    (b"<!DOCTYPE", N_("a web page")),
    (b"<html", N_("a web page")),
    (b"II*\x00", N_("a TIFF picture")),
    (b"MM\x00*", N_("a TIFF picture")),
    (b"BM", N_("a BMP picture")),
    (b"MZ", N_("a program")),
    (b"\x7fELF", N_("a program")),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc")
_TAKE = N_("Take a photograph of it with a phone (JPEG, PNG, WebP or HEIC), and add that.")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as it will be sent. `removed`: what was taken out of it, in words."""

    picture: Picture
    width: int
    height: int
    removed: tuple[str, ...]


def prepare(side: str, octets: bytes) -> Prepared:
    """What may be sent of a photograph of one of SIDES. Raises FormError, whose field is the side."""
    if side not in SIDES:
        raise FormError(
            _("A picture shows the {sides} or an error, not {side}.").format(
                sides=", ".join(map(_, SIDES[:-1])), side=repr(side)
            ),
            "side",
        )
    if not octets:
        raise FormError(_("The picture of the {side} is empty.").format(side=_(side)), side, advice=_(_TAKE))
    if len(octets) > MOST_OCTETS:
        most = MOST_OCTETS // 1024 // 1024
        raise FormError(
            _("The picture of the {side} is larger than {most} MB.").format(side=_(side), most=most),
            side,
            advice=_("Send a smaller one."),
        )
    media_type = recognise(octets)
    if media_type is None:
        raise FormError(
            _("What was added for the {side} is {what}, not a photograph.").format(side=_(side), what=_called(octets)),
            side,
            advice=_(_TAKE),
        )
    size, cleaned = _READ_AND_CLEANED[media_type]
    try:
        width, height = size(octets)
        kept, removed = cleaned(octets)
    except (ValueError, IndexError, struct.error) as problem:
        words = _("The picture of the {side} is damaged, or not all of it arrived.").format(side=_(side))
        raise FormError(words, side, advice=_("Add it again, or take another one.")) from problem
    if not SMALLEST <= min(width, height) <= max(width, height) <= LARGEST:
        raise FormError(
            _("The picture of the {side} is {width} by {height} pixels; each edge is {smallest} to {largest}.").format(
                side=_(side), width=width, height=height, smallest=SMALLEST, largest=LARGEST
            ),
            side,
            advice=_("Add the photograph as the phone took it, not a preview of it."),
        )
    return Prepared(Picture(side, media_type, kept), width, height, removed)


def recognise(octets: bytes) -> str | None:
    """The media type by what is in it; None for what is no photograph."""
    if octets.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if octets.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if octets[:4] == b"RIFF" and octets[8:12] == b"WEBP":
        return "image/webp"
    if octets[4:8] == b"ftyp" and octets[8:12] in _HEIF_BRANDS:
        return "image/heic"
    return None


def sides_missing(pictures: Iterable[Picture]) -> tuple[str, ...]:
    """Those that a replacement needs and that are not among these."""
    there = {picture.side for picture in pictures}
    return tuple(side for side in NEEDED if side not in there)


def _called(octets: bytes) -> str:
    begin = octets[:64].lstrip().lower()
    if octets[4:8] == b"ftyp":
        return _("a film")
    named = next((name for mark, name in _OTHERS if begin.startswith(mark.lower())), None)
    if named is None and octets[:512].isascii() and b"\0" not in octets[:512]:
        named = N_("a text")
    return _(named) if named else _("something else")
