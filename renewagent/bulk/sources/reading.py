"""The octets of a piece, from wherever they are."""

from __future__ import annotations

from renewagent.bulk.rows import Piece


def octets_of(piece: Piece) -> bytes:
    """What lies there. Raises OSError."""
    if piece.data is not None:
        return piece.data
    if piece.path is None:
        raise ValueError("a piece of nothing")
    with open(piece.path, "rb") as file:  # noqa: PTH123 - a path object costs more than the reading of a small file
        file.seek(piece.start)
        return file.read(piece.stop - piece.start)
