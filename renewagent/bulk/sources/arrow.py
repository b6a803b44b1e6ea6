"""Parquet and Arrow files, and record batches that came from elsewhere: certificates in a binary or a text column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from renewagent.bulk.octets import PAD, Octets
from renewagent.bulk.rows import Fault, Piece, Reading, Rows
from renewagent.bulk.sources.base64 import value
from renewagent.bulk.sources.columns import DER_BEGINS, looks_like_certificate, usual_column
from renewagent.bulk.sources.reading import octets_of
from renewagent.bulk.walk import BLOCK

_SAMPLE = 20


class Table:
    """The other columns of a record batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def cells(self, rows: list[int]) -> list[dict[str, str]]:
        """Each column as text; empty where there is nothing."""
        picked = self._batch.take(pa.array(rows, pa.int64())).to_pydict()
        columns = [(name, [_text(cell) for cell in cells]) for name, cells in picked.items()]
        return [{name: cells[place] for name, cells in columns} for place in range(len(rows))]


def parquet_rows(piece: Piece) -> Iterator[Rows]:
    """The rows of row groups `start` to `stop`; of these this piece's share, batch by batch."""
    with pyarrow.parquet.ParquetFile(piece.path) as file:
        counts = {group: file.metadata.row_group(group).num_rows for group in range(piece.start, piece.stop)}
        whole = sum(counts.values())
        first, last = (whole * share // piece.parts for share in (piece.part, piece.part + 1))
        at = 0
        for group, count in counts.items():
            begin, end = max(first - at, 0), min(last - at, count)
            if begin < end:
                yield from _of_group(file, group, begin, end, piece.reading)
            at += count


def _of_group(file: Any, group: int, begin: int, end: int, reading: Reading) -> Iterator[Rows]:
    """Rows `begin` to `end` of a row group. What cannot be read for damage to the file is there too, with why."""
    at = 0
    try:
        for batch in file.iter_batches(BLOCK, row_groups=[group], columns=list(reading.names), use_threads=False):
            here, there = max(begin - at, 0), min(end - at, len(batch))
            at += len(batch)
            if here < there:
                yield rows_of_batch(batch.slice(here, there - here), reading.column)
            if at >= end:
                return
    except (pa.ArrowException, OSError):
        missing = end - max(begin, at)
        fault = Fault(f"The file is damaged: row group {group} cannot be read any further.")
        yield Rows.of([b""] * missing, dict.fromkeys(range(missing), fault))


def arrow_rows(piece: Piece) -> Iterator[Rows]:
    """The rows of record batches `start` to `stop` of an Arrow file."""
    with pa.memory_map(piece.path) as source, pyarrow.ipc.open_file(source) as file:
        for number in range(piece.start, piece.stop):
            yield from _blocks(file.get_batch(number), piece.reading.column)


def batch_rows(piece: Piece) -> Iterator[Rows]:
    """The rows of a piece that is record batches itself, as a stream."""
    with pyarrow.ipc.open_stream(octets_of(piece)) as stream:
        for batch in stream:
            yield from _blocks(batch, piece.reading.column)


def chosen_column(schema: pa.Schema, sample: Sequence[pa.RecordBatch], column: str | None) -> Reading:
    """Which column holds the certificates. Raises ValueError in words."""
    names = tuple(schema.names)
    told = ", ".join(names[:20]) or "none"
    if column is not None:
        if column not in names:
            raise ValueError(f'it has no column "{column}"; it has: {told}')
        return Reading(column, names)
    found = usual_column(names) or next((name for name in names for batch in sample if _looks_right(batch, name)), None)
    if found is None:
        raise ValueError(f"nothing tells which of its columns holds the certificates ({told}); name it with --column")
    return Reading(found, names)


def rows_of_batch(batch: pa.RecordBatch, column: str | None) -> Rows:
    """One block of rows."""
    place = batch.schema.get_field_index(column)
    cells = batch.column(place)
    others = Table(batch.remove_column(place))
    if isinstance(cells, pa.DictionaryArray):
        cells = cells.dictionary_decode()
    if (
        pa.types.is_binary(cells.type)
        or pa.types.is_large_binary(cells.type)
        or pa.types.is_fixed_size_binary(cells.type)
    ):
        return _binary(cells.cast(pa.large_binary()), others)
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        cells = pa.nulls(len(cells), pa.string())
    found = [value((cell or "").encode()) for cell in cells.to_pylist()]
    faults = {row: Fault(why) for row, (_, why) in enumerate(found) if why}
    return Rows.of([der for der, _ in found], faults, others)


def _binary(cells: pa.LargeBinaryArray, others: Table) -> Rows:
    """As it lies there: one copy of the whole column, and no object for each row."""
    _, places, data = cells.buffers()
    offsets = np.frombuffer(places, np.int64, len(cells) + 1, cells.offset * 8) if places else np.zeros(1, np.int64)
    first = int(offsets[0])
    octets = Octets(b"".join([memoryview(data)[first : int(offsets[-1])] if data else b"", bytes(PAD)]))
    starts, ends = offsets[:-1] - first, offsets[1:] - first
    faults = {row: Fault("There is no certificate here.") for row in np.flatnonzero(starts == ends).tolist()}
    if cells.null_count:
        gone = np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False))
        ends = ends.copy()
        ends[gone] = starts[gone]
        faults |= {row: Fault("There is no certificate here.") for row in gone.tolist()}
    if _textual(octets, starts, ends):
        found = [value(cell) for cell in octets.pieces(starts, ends)]
        return Rows.of(
            [der for der, _ in found], {row: Fault(why) for row, (_, why) in enumerate(found) if why}, others
        )
    return Rows(octets, starts, ends, faults, others)


def _textual(octets: Octets, starts: np.ndarray, ends: np.ndarray) -> bool:
    """Text in a binary column: base64, digits or PEM in more of the first rows than hold DER."""
    sample = [octets.data[a:b] for a, b in zip(starts[:_SAMPLE].tolist(), ends[:_SAMPLE].tolist(), strict=True)]
    found = [cell.lstrip()[:2] for cell in sample if looks_like_certificate(cell)]
    return sum(front not in DER_BEGINS for front in found) * 2 > len(found)


def _blocks(batch: pa.RecordBatch, column: str | None) -> Iterator[Rows]:
    for start in range(0, len(batch), BLOCK):
        yield rows_of_batch(batch.slice(start, BLOCK), column)


def _looks_right(batch: pa.RecordBatch, name: str) -> bool:
    cells = batch.column(batch.schema.get_field_index(name)).slice(0, _SAMPLE).to_pylist()
    return any(isinstance(cell, str | bytes) and looks_like_certificate(cell) for cell in cells)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return cell.hex() if isinstance(cell, bytes) else str(cell)
