"""Rows to a file: CSV, JSON lines or Parquet, by the ending of its name.

The file is there whole or not at all: it is written under another name first. Columns that turn up late are given to
the rows before them as well.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet

from renewagent.errors import ConfigurationError
from renewagent.spreadsheets import harmless

COLUMNS = ("source", "index", "verdict", "rule", "serial", "issuer", "not_before", "why", "sha256")
Row = dict[str, Any]


class Writer(Protocol):
    """Writes rows into one temporary file."""

    def write(self, rows: list[Row]) -> None:
        """Add rows."""

    def finish(self) -> Path:
        """The path of the finished file."""

    def close(self) -> None:
        """Leave the file as it is."""


def own_name(name: str) -> str:
    """The name that a carried column goes by: not one of ours."""
    return f"{name} (carried)" if name in COLUMNS else name


class Results:
    """The file `path`. Nothing is there before `finish`; `abandon` leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        make = _WRITERS.get(path.suffix.lower())
        if make is None:
            raise ConfigurationError(
                f"{path}: what kind of file is it to be?", advice=f"End its name in {', '.join(_WRITERS)}."
            )
        self.path = path
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        except OSError as problem:
            raise ConfigurationError(
                f"The file {path} cannot be written: {problem.strerror}.", advice="Check the name of the file."
            ) from problem
        self._writer = make(self._folder)

    def write(self, rows: list[Row]) -> None:
        """Add rows: `COLUMNS`, and whatever was carried."""
        if rows:
            self._writer.write(rows)

    def finish(self) -> None:
        """Put the file in its place, whole."""
        made = self._writer.finish()
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.chmod(0o600)
        made.replace(self.path)
        self.abandon()

    def abandon(self) -> None:
        """Remove what has not become the file."""
        self._writer.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Columns:
    """Ours, then those carried in the order in which they turned up."""

    def __init__(self) -> None:
        self.names = dict.fromkeys(COLUMNS)

    def grew(self, rows: list[Row]) -> bool:
        before = len(self.names)
        for row in rows:
            if not self.names.keys() >= row.keys():
                self.names.update(dict.fromkeys(row))
        return len(self.names) > before


class _Csv:
    """Safe to open in a spreadsheet: a cell that would be a formula begins with an apostrophe."""

    def __init__(self, folder: Path) -> None:
        self._body, self._whole = folder / "body", folder / "whole"
        self._file = self._body.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._columns = _Columns()
        self._written, self._uneven = False, False

    def write(self, rows: list[Row]) -> None:
        grew = self._columns.grew(rows)
        self._uneven |= grew and self._written
        self._written = True
        names = list(self._columns.names)
        self._writer.writerows([[harmless(row.get(name, "")) for name in names] for row in rows])

    def close(self) -> None:
        self._file.close()

    def finish(self) -> Path:
        """The heading is known now. Rows from before a column turned up are made as wide as the rest."""
        self.close()
        names = list(self._columns.names)
        with (
            self._body.open(newline="", encoding="utf-8") as body,
            self._whole.open("w", newline="", encoding="utf-8") as whole,
        ):
            writer = csv.writer(whole)
            writer.writerow([harmless(name) for name in names])
            if not self._uneven:
                shutil.copyfileobj(body, whole)
            else:
                writer.writerows([*row, *[""] * (len(names) - len(row))] for row in csv.reader(body))
        return self._whole


class _JsonLines:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "whole"
        self._file = self._path.open("w", encoding="utf-8")

    def write(self, rows: list[Row]) -> None:
        self._file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def close(self) -> None:
        self._file.close()

    def finish(self) -> Path:
        self.close()
        return self._path


class _Parquet:
    """A file for each set of columns, put together at the end if there were several."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._columns = _Columns()
        self._parts: list[Path] = []
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def write(self, rows: list[Row]) -> None:
        grew = self._columns.grew(rows)
        if self._writer is None or grew:
            self._next_part()
        schema = self._schema()
        assert self._writer is not None  # noqa: S101 - made just now
        self._writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def finish(self) -> Path:
        if self._writer is None:
            self._next_part()
        self.close()
        if len(self._parts) == 1:
            return self._parts[0]
        whole, schema = self._folder / "whole", self._schema()
        with pyarrow.parquet.ParquetWriter(whole, schema, compression="zstd") as writer:
            for part in self._parts:
                with pyarrow.parquet.ParquetFile(part) as file:
                    for batch in file.iter_batches(use_threads=False):
                        columns = [
                            batch.column(name) if name in batch.schema.names else pa.nulls(len(batch), field.type)
                            for name, field in zip(schema.names, schema, strict=True)
                        ]
                        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        return whole

    def _next_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._parts.append(self._folder / f"part{len(self._parts)}")
        self._writer = pyarrow.parquet.ParquetWriter(self._parts[-1], self._schema(), compression="zstd")

    def _schema(self) -> pa.Schema:
        return pa.schema([(name, pa.int64() if name == "index" else pa.string()) for name in self._columns.names])


_WRITERS: Mapping[str, Callable[[Path], Writer]] = MappingProxyType(
    {".csv": _Csv, ".jsonl": _JsonLines, ".ndjson": _JsonLines, ".parquet": _Parquet}
)
