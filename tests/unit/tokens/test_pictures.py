"""Photographs: recognised by what is in them, and sent without where they were taken.

The files in pictures/ were made by Pillow and libheif, which also found in what leaves here the same pixels, turned the
same way. In all but the plain ones stand a place (Exif GPS), a maker and, with most, texts that begin with SECRET.
"""

from __future__ import annotations

import random
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.tokens.errors import FormError
from renewagent.tokens.model import Picture
from renewagent.tokens.pictures import MOST_OCTETS, prepare, recognise, sides_missing

PICTURES = Path(__file__).with_name("pictures")
FILES = sorted(path.name for path in PICTURES.iterdir())
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".heic": "image/heic"}
PRIVATE = (b"SECRET", b"PhoneMaker", b"\x88\x25", b"\x25\x88")  # the last two: the tag of GPS


def octets(name: str) -> bytes:
    return (PICTURES / name).read_bytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_there_is_a_picture_of_every_kind() -> None:
    assert {recognise(octets(name)) for name in FILES} == set(TYPES.values())


@pytest.mark.parametrize("name", FILES)
def test_a_photograph_is_recognised_whatever_it_is_called_and_loses_what_is_private(name: str) -> None:
    before = octets(name)
    found = prepare("front", before)
    after = found.picture.octets
    assert (found.picture.side, found.picture.media_type) == ("front", TYPES[Path(name).suffix])
    assert (found.width, found.height) == (240, 200)
    if name.startswith("plain"):
        assert after == before and found.removed == ()
    else:
        assert any(mark in before for mark in PRIVATE)
        assert not any(mark in after for mark in PRIVATE)
        assert any("where" in words for words in found.removed)
    assert prepare("front", after).picture.octets == after


@pytest.mark.parametrize("name", ["turned.jpg", "progressive.jpg", "notes.png", "lossy.webp", "lossless.webp"])
def test_which_way_is_up_stays(name: str) -> None:
    orientation_6 = bytes.fromhex("0112 0003 00000001 0006")
    assert orientation_6 in prepare("back", octets(name)).picture.octets


def test_heic_stays_as_long_since_everything_is_found_by_its_place() -> None:
    assert len(prepare("back", octets("notes.heic")).picture.octets) == len(octets("notes.heic"))


def test_what_follows_after_a_picture_does_not_go_with_it() -> None:
    for name in ("plain.jpg", "notes.png"):
        found = prepare("front", octets(name) + b"\0\0" + octets("turned.jpg"))
        assert found.picture.octets == prepare("front", octets(name)).picture.octets
        assert "what followed after the picture" in found.removed


@pytest.mark.parametrize(
    ("begin", "called"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"GIF89a", "a GIF picture"),
        (b"PK\x03\x04\x00", "an office document"),
        (b"  <svg xmlns=", "a drawing"),
        (b"<!doctype html>", "a web page"),
        (b"II*\x00", "a TIFF picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a film"),
        (b"my token is broken", "a text"),
        (b"\x93\x01\xfe" * 40, "something else"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(begin: bytes, called: str) -> None:
    with pytest.raises(FormError, match=f"for the back is {called}") as raised:
        prepare("back", begin)
    assert raised.value.field == "back" and "photograph" in raised.value.advice


def test_bounds() -> None:
    for bad in (png(199, 500), png(500, 199), png(20_001, 500)):
        with pytest.raises(FormError, match="pixels; each edge is 200 to 20000"):
            prepare("front", bad)
    assert prepare("error", png(200, 20_000)).picture.side == "error"
    with pytest.raises(FormError, match="larger than 8 MB"):
        prepare("front", octets("plain.jpg") + bytes(MOST_OCTETS))
    with pytest.raises(FormError, match="is empty"):
        prepare("front", b"")
    with pytest.raises(FormError, match="not 'left'") as raised:
        prepare("left", octets("plain.jpg"))
    assert raised.value.field == "side"


@pytest.mark.parametrize("name", FILES)
def test_a_picture_that_breaks_off_is_damaged(name: str) -> None:
    whole = octets(name)
    for length in range(12, len(whole) - 1, 7):
        try:
            prepare("front", whole[:length])
        except FormError as refused:
            assert refused.field == "front"
        else:  # HEIC alone has nothing at its end that tells: the tables are before the pixels
            assert name.endswith(".heic")


@settings(max_examples=300)
@given(name=st.sampled_from(FILES), seed=st.integers(0, 2**32))
def test_a_picture_with_wrong_octets_is_refused_or_has_nothing_private(name: str, seed: int) -> None:
    dice, broken = random.Random(seed), bytearray(octets(name))  # noqa: S311
    for _ in range(dice.randint(1, 20)):
        broken[dice.randrange(len(broken))] = dice.randrange(256)
    try:
        found = prepare("front", bytes(broken))
    except FormError as refused:
        assert refused.message and refused.advice
    else:
        assert found.width and found.height


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def heic(iloc: bytes) -> bytes:
    """With an Exif item (number 1), which lies where `iloc` says."""
    exif = box(b"infe", bytes([2, 0, 0, 0]) + struct.pack(">HH4s", 1, 0, b"Exif") + b"\0")
    size = box(b"iprp", box(b"ipco", box(b"ispe", struct.pack(">III", 0, 240, 200))))
    meta = bytes(4) + box(b"iinf", bytes(4) + struct.pack(">H", 1) + exif) + box(b"iloc", iloc) + size
    return box(b"ftyp", b"heic" + bytes(4)) + box(b"meta", meta) + box(b"mdat", b"SECRET" * 10)


def test_where_heic_keeps_exif_is_believed_only_within_the_file() -> None:
    header, one = bytes([0, 0, 0, 0, 0x44, 0x00]), struct.pack(">HHHH", 1, 1, 0, 1)
    whole = heic(header + one + struct.pack(">II", 0, 0))
    begin = whole.index(b"SECRET")
    assert b"SECRET" not in prepare("front", heic(header + one + struct.pack(">II", begin, 60))).picture.octets
    for place, length in ((begin, 61), (begin + 61, 1), (begin, 0), (2**32 - 1, 2**32 - 1), (16, 30)):
        with pytest.raises(FormError, match="damaged"):
            prepare("front", heic(header + one + struct.pack(">II", place, length)))
    two = struct.pack(">HHHH", 1, 1, 0, 2) + struct.pack(">IIII", begin, 30, begin + 30, 30)
    for bad in (struct.pack(">H", 0), struct.pack(">HHHH", 1, 2, 0, 1) + struct.pack(">II", begin, 60), two):
        with pytest.raises(FormError, match="damaged"):
            prepare("front", heic(header + bad))


@pytest.mark.parametrize(
    "bomb",
    [
        heic(bytes(6) + b"\xff\xff" + (b"\0\1\0\0\xff\xff") * 65_535),
        octets("plain.jpg")[:-2] + b"\xff" * 4_000_000,
        b"\xff\xd8" + b"\xff" * 4_000_000,
        png(200, 200, *[chunk(b"tEXt", b"")] * 100_000)[:-12],
        octets("plain.jpg")[:-2] + b"\xff\xd0" * 2_000_000,
    ],
    ids=["pieces", "fill", "begin", "chunks", "restarts"],
)
def test_a_picture_that_is_made_to_take_long_does_not(bomb: bytes) -> None:
    begin = time.process_time()
    with pytest.raises(FormError, match="damaged"):
        prepare("front", bomb)
    assert time.process_time() - begin < 5


def test_a_webp_without_anything_in_it() -> None:
    with pytest.raises(FormError, match="damaged"):
        prepare("front", b"RIFF\x04\0\0\0WEBP")


def test_a_replacement_needs_front_and_back() -> None:
    front = Picture("front", "image/jpeg", b"")
    assert sides_missing([]) == ("front", "back")
    assert sides_missing([front, Picture("error", "image/jpeg", b"")]) == ("back",)
