"""Files that are cut by what they hold, not by octets: Parquet by row groups, Arrow by record batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from renewagent.bulk.rows import PIECE, Piece
from renewagent.bulk.sources.arrow import chosen_column
from renewagent.errors import SourceError

_SAMPLE = 20


def parquet_pieces(path: str, name: str, column: str | None, shares: int, *, carry: bool = True) -> Iterator[Piece]:
    """Row groups of about a piece's size together; a large one in `shares`. Raises SourceError."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            metadata = file.metadata
            sample = list(_first(file.iter_batches(_SAMPLE, use_threads=False)))
            reading = chosen_column(file.schema_arrow, sample, column)
            reading = reading if carry else replace(reading, names=(reading.column or "",))
            sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
    except (pa.ArrowException, ValueError, OSError) as problem:
        raise _unreadable(name, problem) from problem
    weight = Path(path).stat().st_size / max(sum(sizes), 1)
    start, size = 0, 0
    for group, one in enumerate(sizes):
        size += one
        if size >= PIECE or group + 1 == len(sizes):
            parts = min(shares, max(1, size // PIECE))
            for part in range(parts):
                yield Piece(
                    name,
                    "parquet",
                    start,
                    group + 1,
                    str(Path(path).absolute()),
                    None,
                    reading,
                    part,
                    parts,
                    int(size * weight / parts),
                )
            start, size = group + 1, 0


def arrow_pieces(path: str, name: str, column: str | None) -> Iterator[Piece]:
    """One record batch a piece; or the whole of an Arrow stream. Raises SourceError."""
    try:
        with pa.memory_map(path) as source, pyarrow.ipc.open_file(source) as file:
            count = file.num_record_batches
            reading = chosen_column(file.schema, [file.get_batch(0).slice(0, _SAMPLE)] if count else [], column)
    except (pa.ArrowException, ValueError, OSError) as problem:
        raise _unreadable(name, problem) from problem
    weight = Path(path).stat().st_size // max(count, 1)
    for number in range(count):
        yield Piece(name, "arrow", number, number + 1, str(Path(path).absolute()), None, reading, weight=weight)


def _first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        return


def _unreadable(name: str, problem: Exception) -> SourceError:
    said = str(problem).partition("\n")[0][:200]
    return SourceError(f"{name} cannot be read: {said.rstrip('.')}.")
