"""What people send as photographs."""

from __future__ import annotations

from pathlib import Path

from renewagent.tokens.errors import FormError
from renewagent.tokens.pictures import prepare
from tests.fuzz.target import Ready, Target

_FILES = Path(__file__).resolve().parents[1] / "unit" / "tokens" / "pictures"
_TURNED = 40
"""Octets that say which way is up, at the most."""


def _read(octets: bytes) -> None:
    try:
        found = prepare("front", octets)
    except FormError as refused:
        assert refused.message and refused.advice and refused.field == "front"
        return
    kept = found.picture.octets
    assert len(kept) <= len(octets) + _TURNED
    again = prepare("front", kept)
    assert (again.picture, again.width, again.height) == (found.picture, found.width, found.height)


def _target(kind: str) -> Target:
    def opened(folder: Path) -> Ready:
        return Ready(_read, tuple(path.read_bytes() for path in sorted(_FILES.glob(f"*.{kind}"))))

    return Target(f"picture-{kind}", f"a photograph of a token ({kind})", opened, 8192)


TARGETS = tuple(_target(kind) for kind in ("jpg", "png", "webp", "heic"))
