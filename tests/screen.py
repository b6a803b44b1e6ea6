"""A screen of a test's own (Xvfb), hands at its mouse and keyboard (xdotool), and pictures of all that is on it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs import require, run

PATIENCE = 30.0
WIDTH, HEIGHT = 1024, 768
_BACKGROUND = 0x3A5A6A


@dataclass(frozen=True, slots=True)
class Screen:
    """What `DISPLAY` is to be; `folder` is where Xvfb keeps what it shows."""

    display: str
    folder: Path

    def windows(self, name: str = ".") -> list[str]:
        """The windows that are shown and whose name fits this regular expression."""
        return self._xdotool("search", "--onlyvisible", "--name", name, status=None).split()

    def await_window(self, name: str = ".") -> str:
        """The first of them, as soon as there is one."""
        end = time.monotonic() + PATIENCE
        while not (found := self.windows(name)):
            assert time.monotonic() < end, f"no window {name!r} appeared"
            time.sleep(0.05)
        return found[0]

    def type(self, text: str) -> None:
        """As if on the keyboard."""
        self._xdotool("type", "--delay", "20", text)

    def press(self, key: str) -> None:
        """One key: "Return", "Escape"."""
        self._xdotool("key", key)

    def click(self, window: str, across: float, down: float) -> None:
        """With the mouse, at so much of the window's width and height."""
        shape = dict(
            line.split("=") for line in self._xdotool("getwindowgeometry", "--shell", window).split() if "=" in line
        )
        x, y = int(across * int(shape["WIDTH"])), int(down * int(shape["HEIGHT"]))
        self._xdotool("mousemove", "--window", window, str(x), str(y), "click", "1")

    def click_at(self, x: float, y: float) -> None:
        """With the mouse, at so many pixels from the top left corner of the screen."""
        self._xdotool("mousemove", str(int(x)), str(int(y)), "click", "1")

    def picture(self) -> bytes:
        """All that is shown now, as a PNG of at most 256 colours."""
        octets = (self.folder / "Xvfb_screen0").read_bytes()  # the X Window Dump format, XWDFile.h
        header = struct.unpack_from(">25I", octets)
        width, height, bits, line, colours = header[4], header[5], header[11], header[12], header[19]
        assert bits == 32 and line == 4 * width
        pixels = memoryview(octets)[header[0] + 12 * colours :][: line * height].cast("I")
        return _png(pixels, width, height)

    def _xdotool(self, *words: str, status: int | None = 0) -> str:
        return run("xdotool", *words, env={**os.environ, "DISPLAY": self.display}, status=status)


@contextmanager
def screen() -> Iterator[Screen]:
    """An empty one while the context lasts."""
    program = require("Xvfb")
    require("xdotool")
    told, tells = os.pipe()
    folder = tempfile.TemporaryDirectory(prefix="renewagent-screen-")
    size, quiet = f"{WIDTH}x{HEIGHT}x24", ("-nolisten", "tcp")
    server = subprocess.Popen(
        # Without -noreset the server begins anew when its last window closes, and turns away who comes just then.
        [program, "-displayfd", str(tells), "-screen", "0", size, "-fbdir", folder.name, *quiet, "-noreset"],
        pass_fds=(tells,),
        stderr=subprocess.DEVNULL,
    )
    os.close(tells)
    try:
        with os.fdopen(told) as numbers:
            shown = Screen(f":{numbers.readline().strip()}", Path(folder.name))
        _paint(shown.display)
        yield shown
    finally:
        server.terminate()
        server.wait(PATIENCE)
        folder.cleanup()


def _paint(display: str) -> None:
    """One colour behind all windows (X11 protocol: connection setup, ChangeWindowAttributes, ClearArea)."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"/tmp/.X11-unix/X{display.removeprefix(':')}")  # noqa: S108  where X servers have it
        said = server.makefile("rb")
        server.sendall(struct.pack("<cxHHHHxx", b"l", 11, 0, 0, 0))
        answer = said.read(8)
        assert answer[0] == 1, answer
        setup = said.read(4 * struct.unpack_from("<H", answer, 6)[0])
        vendor, formats = struct.unpack_from("<H", setup, 16)[0], setup[21]
        root = struct.unpack_from("<I", setup, 32 + (vendor + 3) // 4 * 4 + 8 * formats)[0]
        server.sendall(struct.pack("<BxHIII", 2, 4, root, 2, _BACKGROUND))
        server.sendall(struct.pack("<BxHIhhHH", 61, 4, root, 0, 0, 0, 0))
        server.sendall(struct.pack("<BxH", 43, 1))  # GetInputFocus: its answer says that all before was done
        assert said.read(32)[0] == 1


def _png(pixels: memoryview[int], width: int, height: int) -> bytes:
    """With the colours that most pixels have, and for the others whichever of them comes nearest."""
    found = Counter(pixels)
    kept = [colour for colour, _ in found.most_common(256)]
    index = {colour: number for number, colour in enumerate(kept)}
    near = {
        colour: index[colour] if colour in index else min(range(len(kept)), key=lambda n: _apart(kept[n], colour))
        for colour in found
    }
    rows = bytearray()
    for row in range(height):
        rows.append(0)
        rows.extend(near[colour] for colour in pixels[row * width : (row + 1) * width])
    palette = b"".join((colour & 0xFFFFFF).to_bytes(3, "big") for colour in kept)
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0), b"PLTE": palette}
    parts |= {b"IDAT": zlib.compress(bytes(rows), 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts.items())


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def _apart(one: int, other: int) -> int:
    return sum(abs((one >> shift & 255) - (other >> shift & 255)) for shift in (0, 8, 16))
