"""The rows of a bulk check's result (`renewagent check --out`), read piece by piece: CSV, JSON lines or Parquet.

Only what is affected or damaged is handed on, and of the carried columns those that a person is found by. A file may be
as large as it likes: never more than one piece of it is in memory.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from renewagent.console.standings import canonical_issuer
from renewagent.errors import RenewAgentError, Retry
from renewagent.spreadsheets import as_it_was

PIECE = 1000
"""Rows."""
LARGEST_LINE = 64 * 1024
"""Characters of a row in JSON lines, and of a cell in CSV."""
_WANTED = frozenset({"affected", "damaged"})
_OURS = frozenset({"source", "index", "verdict", "rule", "serial", "issuer", "not_before", "why", "sha256"})
_MOST_CARRIED = 50
_LONGEST = 500
_SERIAL = re.compile(r"-?[0-9a-f]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "organisation": (
            *("organisation", "organisationcode", "organization", "organizationcode", "org", "orgcode"),
            *("ods", "odscode", "site", "sitecode"),
        ),
        "holder": ("holder", "holdername", "name", "fullname", "person", "user", "username", "uuid", "subject"),
        "email": ("email", "emailaddress", "mail"),
        "card_number": ("cardnumber", "card", "cardid", "cardserial", "smartcard", "smartcardnumber", "uid"),
    }
)
"""What a column may be called, letters and digits only; the first that is there is taken."""


class TargetsRefused(RenewAgentError):
    """A file that is no result of a bulk check, or cannot be read to its end."""

    code = "RA-TARGETS"
    retry = Retry.NEVER
    advice = "Give a file that renewagent check wrote with --out: .csv, .jsonl or .parquet."


@dataclass(frozen=True, slots=True)
class Target:
    """One certificate, its issuer canonical; `sha256` is "" if unknown. `carried`: the other columns."""

    issuer: str
    serial: str
    sha256: str
    verdict: str
    rule: str
    not_before: datetime | None
    organisation: str
    holder: str
    email: str
    card_number: str
    carried: dict[str, str]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what; "" for what is not told."""

    organisation: str = ""
    holder: str = ""
    email: str = ""
    card_number: str = ""


def read_pieces(path: Path, kind: str) -> Iterator[list[dict[str, Any]]]:
    """Rows of the file, some at a time. `kind`: the ending of the name that it came by. Raises TargetsRefused."""
    reader = _READERS.get(kind.lower())
    if reader is None:
        raise TargetsRefused("That is not a result of a bulk check.")
    try:
        rows = reader(path)
        while piece := list(islice(rows, PIECE)):
            yield piece
    except OSError as problem:
        raise TargetsRefused(f"The file cannot be read: {problem.strerror or problem}.") from problem
    except (ValueError, csv.Error, RecursionError) as problem:
        raise TargetsRefused(f"The file is not what its name says, or is damaged: {problem}.") from problem


def find_columns(row: Mapping[str, Any], organisation: str = "") -> Columns:
    """The columns by their names; `organisation` where somebody has said which that is. Raises TargetsRefused."""
    if missing := {"verdict", "serial", "issuer"} - row.keys():
        raise TargetsRefused(f"The file has no column {min(missing)}: it is not a result of a bulk check.")
    if organisation and organisation not in row:
        raise TargetsRefused(
            f"The file has no column {organisation!r}.", advice="Choose the column that holds organisations' codes."
        )
    known = {_plain(name): name for name in reversed(list(row)) if name not in _OURS}
    found = {what: next((known[name] for name in names if name in known), "") for what, names in _NAMES.items()}
    return Columns(**{**found, "organisation": organisation or found["organisation"]})


def target_of(row: Mapping[str, Any], columns: Columns) -> Target | None:
    """The row as a target; None for one that is neither affected nor damaged. Raises ValueError for one whose
    certificate cannot be named."""
    verdict = _text(row.get("verdict"))
    if verdict not in _WANTED:
        return None
    issuer, serial = _text(row.get("issuer"), 1000), _text(row.get("serial")).lower()
    if not issuer or not _SERIAL.fullmatch(serial):
        raise ValueError("a certificate without issuer and serial number")
    named = {what: getattr(columns, what) for what in _NAMES}
    others = [name for name in row if name not in _OURS and name not in named.values()]
    return Target(
        issuer=canonical_issuer(issuer),
        serial=format(int(serial, 16), "x"),
        sha256=_sha256(row, verdict),
        verdict=verdict,
        rule=_text(row.get("rule")),
        not_before=_time(_text(row.get("not_before"))),
        carried={_text(name): _text(row[name]) for name in others[:_MOST_CARRIED] if row[name] not in (None, "")},
        **{what: _text(row.get(name)) if name else "" for what, name in named.items()},
    )


def _sha256(row: Mapping[str, Any], verdict: str) -> str:
    """What a damaged copy hashes to says nothing of the certificate on the card. Older results tell none."""
    said = _text(row.get("sha256"))
    return said if verdict == "affected" and _SHA256.fullmatch(said) else ""


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _text(value: object, longest: int = _LONGEST) -> str:
    """What a database takes: no NUL, no half of a surrogate pair, not too long."""
    text = "" if value is None else str(value)[:longest]
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(_short_lines(file), strict=True)
        names = [str(as_it_was(name)) for name in next(rows, [])]
        for row in rows:
            yield dict(zip(names, map(as_it_was, row), strict=False))


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in _short_lines(file):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("a line that is no object")
                yield row


def _short_lines(file: Any) -> Iterator[str]:
    """Lines, none of which may fill the memory."""
    while line := file.readline(LARGEST_LINE + 1):
        if len(line) > LARGEST_LINE:
            raise ValueError("a line that is too long")
        yield line


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise TargetsRefused(
            "This console cannot read Parquet files: the package pyarrow is not installed.",
            advice="Install renewagent[bulk] beside the console, or write the result as .csv or .jsonl.",
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PIECE, use_threads=False):
                yield from batch.to_pylist()
    except pa.ArrowException as problem:
        raise ValueError(str(problem).splitlines()[0]) from problem


_READERS: Mapping[str, Callable[[Path], Iterator[dict[str, Any]]]] = MappingProxyType(
    {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
)
