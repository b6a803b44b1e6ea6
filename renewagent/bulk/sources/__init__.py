"""Where certificates come from: one module for each way in which they are written.

`opening` finds the sources and cuts them into pieces; `rows_of` reads a piece, in whatever process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from renewagent.bulk.rows import Piece, Rows
from renewagent.bulk.sources import arrow, delimited, der, json_lines, ldif, pem, pkcs7


def _empty(piece: Piece) -> Iterator[Rows]:
    yield Rows.of([], passed_over=("It is empty.",))


KINDS: Mapping[str, Callable[[Piece], Iterator[Rows]]] = MappingProxyType(
    {
        "der": der.rows,
        "pem": pem.rows,
        "ldif": ldif.rows,
        "csv": delimited.rows,
        "jsonl": json_lines.rows,
        "pkcs7": pkcs7.rows,
        "parquet": arrow.parquet_rows,
        "arrow": arrow.arrow_rows,
        "batches": arrow.batch_rows,
        "empty": _empty,
    }
)


def rows_of(piece: Piece) -> Iterator[Rows]:
    """What a piece holds, block by block. Raises OSError, and what a damaged file makes its reader raise."""
    return KINDS[piece.kind](piece)
