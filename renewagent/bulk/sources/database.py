"""SQLite files and PostgreSQL databases: a table, or a query, read row by row in one transaction.

The rows are packed into record batches, so that other processes can check them; only this one speaks to the database.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from renewagent.bulk.rows import Piece, Reading
from renewagent.bulk.sources.columns import looks_like_certificate, usual_column
from renewagent.bulk.walk import BLOCK
from renewagent.errors import SourceError

_FETCH = 512
_OCTETS = 8 << 20
_PASSWORD = re.compile(r"(//[^:/@]*):[^@]*@")


def sqlite_pieces(path: str, name: str, column: str | None, table: str | None, query: str | None) -> Iterator[Piece]:
    """The rows of a table (the one that holds certificates, if none is named) or a query. Raises SourceError."""
    try:
        with closing(sqlite3.connect(f"file:{_quoted_path(path)}?mode=ro", uri=True)) as connection:
            wanted = query or _select(table or _sqlite_table(connection, column))
            cursor = connection.execute(wanted)
            names = [one[0] for one in cursor.description or ()]
            yield from _pieces(name, names, iter(lambda: cursor.fetchmany(_FETCH), []), column)
    except sqlite3.Error as problem:
        raise SourceError(f"{name} cannot be read any further: {problem}.") from problem


def postgresql_pieces(url: str, column: str | None, table: str | None, query: str | None) -> Iterator[Piece]:
    """The same for PostgreSQL, by a cursor at the server. Raises SourceError."""
    shown = without_password(url)
    if not table and not query:
        raise SourceError(
            f"Which table of {shown} is to be checked?", advice="Name it with --table, or give a --query."
        )
    try:
        import psycopg
    except ImportError as problem:
        raise SourceError(
            "PostgreSQL cannot be read here: a package is missing.",
            advice="Install it: pip install 'renewagent[bulk]'.",
        ) from problem
    try:
        with psycopg.connect(url) as connection:
            connection.read_only = True
            with connection.cursor(name="renewagent_check", binary=True) as cursor:
                cursor.itersize = _FETCH
                cursor.execute((query or _select(table or "")).encode())
                names = [one.name for one in cursor.description or ()]
                yield from _pieces(shown, names, iter(lambda: cursor.fetchmany(_FETCH), []), column)
    except psycopg.Error as problem:
        said = str(problem).strip().partition("\n")[0].rstrip(".")
        raise SourceError(f"{shown} cannot be read any further: {said}.") from problem


def without_password(address: str) -> str:
    """The address of a database as it may be shown."""
    return _PASSWORD.sub(r"\1:...@", address)


def _pieces(
    name: str, names: list[str], batches: Iterable[Sequence[Sequence[Any]]], column: str | None
) -> Iterator[Piece]:
    chosen = _chosen(name, names, (), column) if column is not None else None
    waiting: list[Sequence[Any]] = []
    start, size = 0, 0
    try:
        for batch in batches:
            chosen = chosen or _chosen(name, names, batch, column)
            place = names.index(chosen)
            waiting.extend(batch)
            size += sum(len(row[place] or b"") for row in batch if isinstance(row[place], bytes | str | memoryview))
            if len(waiting) >= BLOCK or size >= _OCTETS:
                yield _piece(name, names, chosen, waiting, start)
                start, size, waiting = start + len(waiting), 0, []
    except Exception:
        if waiting and chosen is not None:  # what came before the database went away
            yield _piece(name, names, chosen, waiting, start)
        raise
    if waiting and chosen is not None:
        yield _piece(name, names, chosen, waiting, start)
    if chosen is None:
        yield Piece(name, "empty", 0, 0, data=b"")


def _piece(name: str, names: list[str], column: str, rows: list[Sequence[Any]], start: int) -> Piece:
    columns: dict[str, pa.Array] = {}
    for place, title in enumerate(names):
        cells = [row[place] for row in rows]
        if title == column:
            columns[title] = pa.array([_octets(cell) for cell in cells], pa.large_binary())
        else:
            columns.setdefault(title, pa.array([_text(cell) for cell in cells], pa.string()))
    batch = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return Piece(name, "batches", start, start + len(rows), None, sink.getvalue().to_pybytes(), Reading(column))


def _chosen(name: str, names: list[str], sample: Sequence[Sequence[Any]], column: str | None) -> str:
    told = ", ".join(names[:20])
    if column is not None:
        if column not in names:
            raise SourceError(f'{name} cannot be read: it has no column "{column}"; it has: {told}.')
        return column
    found = usual_column(names) or next(
        (title for place, title in enumerate(names) if any(_looks_right(row[place]) for row in sample)), None
    )
    if found is None:
        raise SourceError(
            f"{name} cannot be read: nothing tells which of its columns holds the certificates ({told}).",
            advice="Name it with --column.",
        )
    return found


def _looks_right(cell: object) -> bool:
    return isinstance(cell, str | bytes) and looks_like_certificate(cell)


def _octets(cell: object) -> bytes | None:
    if isinstance(cell, str):
        return cell.encode("utf-8", "surrogatepass")
    return bytes(cell) if isinstance(cell, bytes | bytearray | memoryview) else None


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return bytes(cell).hex() if isinstance(cell, bytes | bytearray | memoryview) else str(cell)


def _select(table: str) -> str:
    parts = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    return f"SELECT * FROM {parts}"  # noqa: S608 - the name of a table cannot be a parameter, and it is quoted


def _sqlite_table(connection: sqlite3.Connection, column: str | None) -> str:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    for table in tables:
        cursor = connection.execute(f"{_select(table)} LIMIT 20")
        names = [one[0] for one in cursor.description]
        rows = cursor.fetchall()
        if column in names if column is not None else any(_looks_right(cell) for row in rows for cell in row):
            return str(table)
    raise SourceError(
        f"Nothing tells which table holds the certificates; there are: {', '.join(tables) or 'none'}.",
        advice="Name it with --table, or give a --query.",
    )


def _quoted_path(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
