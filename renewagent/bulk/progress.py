"""How far a long check is, in one line of a terminal that is written over. Nothing where nobody watches."""

from __future__ import annotations

import time
from typing import TextIO

_EVERY = 0.2


class Progress:
    """`total` is how many octets there are to read, 0 where nobody knows."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream if stream.isatty() else None
        self._total = total
        self._began = self._told = time.monotonic()
        self._width = 0

    def show(self, checked: int, octets: int) -> None:
        """So many certificates, from so many octets of the sources."""
        now = time.monotonic()
        if self._stream is None or now - self._told < _EVERY:
            return
        self._told = now
        self._write(in_words(checked, octets, self._total, now - self._began))

    def clear(self) -> None:
        """Take the line away, so that something else can be said."""
        if self._stream is not None and self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write("\r" + line.ljust(self._width))
            self._stream.flush()
            self._width = len(line)


def in_words(checked: int, octets: int, total: int, seconds: float) -> str:
    """ "1,234,567 certificates, 250,000 a second, 40 %, about 2 minutes left" """
    words = f"{checked:,} certificates, {checked / max(seconds, 0.001):,.0f} a second"
    if not total or not octets:
        return words
    share = min(octets / total, 1.0)
    left = seconds * (1 - share) / share
    return f"{words}, {share:.0%}, {_left(left)}"


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} minutes left"
    return f"about {seconds / 3600:.1f} hours left"
