"""A screen of a test's own (Xvfb), and hands at its keyboard (xdotool)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.programs import require, run

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Screen:
    """What `DISPLAY` is to be."""

    display: str

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

    def _xdotool(self, *words: str, status: int | None = 0) -> str:
        return run("xdotool", *words, env={**os.environ, "DISPLAY": self.display}, status=status)


@contextmanager
def screen() -> Iterator[Screen]:
    """An empty one while the context lasts."""
    program = require("Xvfb")
    require("xdotool")
    told, tells = os.pipe()
    server = subprocess.Popen(
        # Without -noreset the server begins anew when its last window closes, and turns away who comes just then.
        [program, "-displayfd", str(tells), "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=(tells,),
        stderr=subprocess.DEVNULL,
    )
    os.close(tells)
    try:
        with os.fdopen(told) as numbers:
            yield Screen(f":{numbers.readline().strip()}")
    finally:
        server.terminate()
        server.wait(PATIENCE)
