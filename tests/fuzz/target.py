"""What a fuzz target is: a function that takes any octets, and real messages to begin with.

`run` lets the documented errors go by and everything else out. It promises more than that where it can: what was read
and is written again is the same. No fuzzer in here: `./dev bench fuzz` brings one, the tests have a small one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutation import Change

Run = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """A target that stands, and its corpus: messages of our own programs, made when it was opened."""

    run: Run
    seeds: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One place where octets of others come in. `opened` is given an empty folder; `longest` bounds an input.

    `change`: how to change an input so that it keeps its form; None where it has none.
    """

    name: str
    what: str
    opened: Callable[[Path], Ready]
    longest: int = 4096
    change: Change | None = None
