"""From the names of sources to pieces: folders and globs, what kind a source is, gzip and zstd on the fly, the cuts."""

from __future__ import annotations

import glob
import io
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import zstandard

from renewagent.bulk.rows import PIECE, Piece, Reading
from renewagent.bulk.sources import database, delimited, der, json_lines, ldif, pem, pkcs7
from renewagent.bulk.sources.files import arrow_pieces, parquet_pieces
from renewagent.errors import SourceError

FRONT = 256 << 10
"""Octets that tell what kind a source is."""
LONGEST = 64 << 20
"""Octets that are kept in search of a place to cut."""
_WHOLE = 1 << 30
_PACKED = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS

_BOUNDARIES: Mapping[str, Callable[[bytes], int]] = MappingProxyType(
    {
        "pem": pem.boundary,
        "ldif": ldif.boundary,
        "csv": delimited.boundary,
        "jsonl": json_lines.boundary,
    }
)
_BY_NAME = MappingProxyType(
    {
        **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
        **dict.fromkeys((".ldif", ".ldf"), "ldif"),
        **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
        **dict.fromkeys((".pem", ".crt", ".cer"), "pem"),
    }
)
_TROUBLE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
_COMPRESSED = (".gz", ".zst", ".zstd")
_LDIF = re.compile(rb"(?:#[^\n]*\n|\s*\n)*(?:version:\s*\d|dn::? )", re.IGNORECASE)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was said of the sources: their kind, and for tables which column, and of which table or query. Unless
    `carry`, nobody will ask for their other columns."""

    kind: str | None = None
    column: str | None = None
    table: str | None = None
    query: str | None = None
    carry: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """One place that certificates come from: a file, "-", or the address of a database."""

    name: str

    @property
    def shown(self) -> str:
        """What it is called in results: without a password."""
        return database.without_password(self.name)

    @property
    def size(self) -> int:
        """Octets, 0 where nobody knows."""
        try:
            return Path(self.name).stat().st_size if not _is_address(self.name) and self.name != "-" else 0
        except OSError:
            return 0


def find(words: list[str]) -> Iterator[Source | SourceError]:
    """The sources that `words` name, folders and globs resolved in the order of names; and what cannot be found."""
    for word in words:
        path = Path(word)
        if word == "-" or _is_address(word) or (path.exists() and not path.is_dir()):
            yield Source(word)
        elif path.is_dir():
            yield from _in_folder(path)
        elif glob.has_magic(word):
            found = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 - a pattern may be absolute
            yield from (Source(name) for name in found if not Path(name).is_dir())
            if not found:
                yield SourceError(f"No file fits {word}.")
        else:
            yield SourceError(f"There is no file {word}.")


def pieces_of(source: Source, wanted: Wanted, *, inline: bool, shares: int = 1) -> Iterator[Piece]:
    """The pieces of a source in their order, with the octets in them if `inline`. `shares` is how many are wanted of
    what cannot be cut. Raises SourceError when it cannot be opened or ends early; what came before that stands."""
    if _is_address(source.name):
        yield from database.postgresql_pieces(source.name, wanted.column, wanted.table, wanted.query)
        return
    try:
        yield from _file_pieces(source, wanted, inline=inline, shares=shares)
    except _TROUBLE as problem:
        raise _trouble(source.name, problem) from problem


def _is_address(word: str) -> bool:
    return word.startswith(("postgresql://", "postgres://"))


def _in_folder(folder: Path) -> Iterator[Source | SourceError]:
    found = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    yield from (Source(name) for name in found)
    if not found:
        yield SourceError(f"There is no file in the folder {folder}.")


def _trouble(name: str, problem: Exception) -> SourceError:
    if isinstance(problem, OSError) and problem.strerror:
        return SourceError(f"{name} cannot be read: {problem.strerror}.")
    return SourceError(f"{name} ends too early, or is damaged: it cannot be unpacked any further.")


def _file_pieces(source: Source, wanted: Wanted, *, inline: bool, shares: int) -> Iterator[Piece]:
    with _opened(source.name) as (stream, raw, plain):
        front = stream.read(FRONT)
        if front.startswith(_UTF16):
            stream, plain = _Utf8(front, stream), False  # type: ignore[assignment]
            front = stream.read(FRONT)
        kind = wanted.kind or kind_of(front, source.name)
        if kind in ("parquet", "arrow", "sqlite"):
            with _on_disk(source.name, front, stream, plain) as path:
                yield from _whole_file(kind, path, source, wanted, shares)
            return
        yield from _cut(source, kind, front, stream, raw, wanted, inline=inline or not plain)


def _whole_file(kind: str, path: str, source: Source, wanted: Wanted, shares: int) -> Iterator[Piece]:
    if kind == "parquet":
        yield from parquet_pieces(path, source.name, wanted.column, shares, carry=wanted.carry)
    elif kind == "arrow":
        yield from arrow_pieces(path, source.name, wanted.column)
    else:
        yield from database.sqlite_pieces(path, source.name, wanted.column, wanted.table, wanted.query)


def kind_of(front: bytes, name: str) -> str:
    """What kind a source is that begins with `front`."""
    if not front:
        return "empty"
    for magic, kind in ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"SQLite format 3\0", "sqlite")):
        if front.startswith(magic):
            return kind
    if front[:1] == b"\x30" and b"\0" in front[:2000]:
        return "pkcs7" if pkcs7.SIGNED_DATA in front[:20] else "der"
    if b"\0" in front[:2000]:
        return "der"
    by_name = _BY_NAME.get(_ending(name))
    if by_name is not None:
        return by_name
    if front.lstrip()[:1] == b"{":
        return "jsonl"
    if _LDIF.match(front):
        return "ldif"
    if b"-----BEGIN " in front:
        return "pem"
    return "der" if front[:1] == b"\x30" or not _is_text(front[:2000]) else "csv"


def _ending(name: str) -> str:
    endings = [ending.lower() for ending in Path(name).suffixes]
    while endings and endings[-1] in _COMPRESSED:
        endings.pop()
    return endings[-1] if endings else ""


def _is_text(octets: bytes) -> bool:
    strange = sum(octet < 32 and octet not in b"\t\r\n\x0c" for octet in octets)
    return strange * 50 < len(octets)


@contextmanager
def _opened(name: str) -> Iterator[tuple[IO[bytes], IO[bytes], bool]]:
    """The octets as they were before they were packed; the file itself; and whether the two are one."""
    with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
        raw: IO[bytes] = file
        magic = file.peek(4)[:4] if isinstance(file, io.BufferedReader) else b""
        if magic[:2] == b"\x1f\x8b":
            yield _Unpacked(raw, lambda: zlib.decompressobj(_GZIP)), raw, False  # type: ignore[misc]
        elif magic == b"\x28\xb5\x2f\xfd":
            yield _Unpacked(raw, zstandard.ZstdDecompressor().decompressobj), raw, False  # type: ignore[misc]
        else:
            yield raw, raw, name != "-" and file.seekable()


class _Unpacked:
    """Packed files one after the other, as gzip and zstd allow. What could be unpacked is given out before the rest is
    complained of: the readers of the packages lose it, or take a file that was cut for one that has ended."""

    def __init__(self, raw: IO[bytes], unpacker: Callable[[], Any]) -> None:
        self._raw = raw
        self._unpacker = unpacker
        self._file: Any = None
        self._problem: Exception | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` octets or a little more; none at the end. Raises EOFError, and what its package raises."""
        found: list[bytes] = []
        try:
            while size > 0 and self._problem is None:
                more = self._some()
                if more is None:
                    break
                found.append(more)
                size -= len(more)
        except _TROUBLE as raised:
            self._problem = raised
        if self._problem is not None and not any(found):
            raise self._problem
        return b"".join(found)

    def _some(self) -> bytes | None:
        rest = b""
        if self._file is not None and self._file.eof:
            rest, self._file = self._file.unused_data.lstrip(b"\0"), None
        packed = rest or self._raw.read(_PACKED)
        if not packed:
            if self._file is not None:
                raise EOFError
            return None
        if self._file is None:
            self._file = self._unpacker()
        unpacked: bytes = self._file.decompress(packed)
        return unpacked


class _Utf8:
    """A stream of UTF-16, as UTF-8."""

    def __init__(self, front: bytes, stream: IO[bytes]) -> None:
        import codecs

        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._stream = stream
        self._waiting = self._decoder.decode(front).encode()

    def read(self, size: int) -> bytes:
        while len(self._waiting) < size:
            piece = self._stream.read(size)
            self._waiting += self._decoder.decode(piece, final=not piece).encode("utf-8", "replace")
            if not piece:
                break
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found


@contextmanager
def _on_disk(name: str, front: bytes, stream: IO[bytes], plain: bool) -> Iterator[str]:
    """The path of the file; of one made for the purpose where it came down a pipe or was packed."""
    if plain:
        yield name
        return
    with tempfile.NamedTemporaryFile(prefix="renewagent-") as file:
        file.write(front)
        while piece := stream.read(PIECE):
            file.write(piece)
        file.flush()
        yield file.name


def _cut(
    source: Source, kind: str, front: bytes, stream: IO[bytes], raw: IO[bytes], wanted: Wanted, *, inline: bool
) -> Iterator[Piece]:
    reading, start = Reading(wanted.column), 0
    if kind == "csv":
        try:
            reading, start = delimited.heading(front, wanted.column)
        except ValueError as problem:
            raise SourceError(f"{source.name} cannot be read: {problem}.") from problem
    boundary = _BOUNDARIES.get(kind)
    blank = Piece(source.name, kind, 0, 0, reading=reading)
    waiting, told = front[start:], 0
    trouble: Exception | None = None
    if not front:
        yield replace(blank, kind="empty", data=b"")
    while True:
        try:
            grown = stream.read(max(PIECE - len(waiting), PIECE // 2))
        except _TROUBLE as raised:
            trouble, grown = raised, b""  # first what came before it
        waiting += grown
        if not grown and not waiting:
            break
        places = b""
        if kind == "der" and (not grown or len(waiting) >= PIECE):
            at, places = der.cut(waiting, last=not grown)
        else:
            at = len(waiting) if not grown else _place_to_cut(boundary, waiting)
        at = len(waiting) if not at and len(waiting) >= LONGEST and kind != "pkcs7" else at
        if not at:
            continue
        weight, told = _position(raw) - told, _position(raw)
        yield replace(_piece(blank, source, start, start + at, waiting if inline else None, weight), places=places)
        start, waiting = start + at, waiting[at:]
    if trouble is not None:
        raise trouble


def _place_to_cut(boundary: Callable[[bytes], int] | None, waiting: bytes) -> int:
    if boundary is None:
        return len(waiting) if len(waiting) > _WHOLE else 0
    if len(waiting) < PIECE:
        return 0
    return boundary(waiting)


def _piece(blank: Piece, source: Source, start: int, stop: int, waiting: bytes | None, weight: int) -> Piece:
    if waiting is not None:
        return replace(blank, start=start, stop=stop, data=waiting[: stop - start], weight=weight)
    return replace(blank, start=start, stop=stop, path=str(Path(source.name).absolute()), weight=weight)


def _position(raw: IO[bytes]) -> int:
    try:
        return raw.tell()
    except OSError:
        return 0
