"""Every target with its own corpus, as it is and a little changed. The long runs are `./dev bench fuzz`."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutation import Change, change_elements, change_json, read
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.made import certificate
from tests.unit.campaign import documents

CHANGED = 300


def any_octets(octets: bytes, dice: Random) -> bytes:
    """One to four places: an octet changed, or some left out, or put in twice."""
    found = bytearray(octets)
    for _ in range(dice.randint(1, 4)):
        at, size = dice.randrange(len(found) + 1), dice.randint(0, 9)
        piece = (bytes((dice.randrange(256),)), b"", bytes(found[at : at + size]) * 2)[dice.randrange(3)]
        found[at : at + (1 if len(piece) == 1 else size)] = piece
    return bytes(found)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_nothing_but_the_documented_errors(target: Target, tmp_path: Path) -> None:
    ready, dice = target.opened(tmp_path), Random(target.name)  # noqa: S311
    changes: list[Change] = [any_octets, *([target.change] if target.change else [])]
    assert all(0 < len(seed) <= target.longest for seed in ready.seeds)
    for octets in (*ready.seeds, b"", b"\0", b"\xff" * 99, b"[" * 4000 + b"\n"):
        ready.run(octets)
    for _ in range(CHANGED):
        ready.run(dice.choice(changes)(dice.choice(ready.seeds), dice)[: target.longest])


def test_a_changed_element_leaves_the_lengths_right() -> None:
    der, dice = certificate(), Random(1)  # noqa: S311
    changed = [change_elements(der, dice) for _ in range(100)]
    assert len(set(changed) - {der}) > 50
    assert all(read(octets) is not None for octets in changed)


def test_changed_json_is_json() -> None:
    dice = Random(1)  # noqa: S311
    changed = [change_json(documents.octets(), dice) for _ in range(100)]
    assert len({octets for octets in changed if json.loads(octets.decode("utf-8", "surrogatepass")) is not None}) > 50
