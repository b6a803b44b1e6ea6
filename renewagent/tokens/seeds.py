"""What a vendor sends with tokens: a file of their seeds, as PSKC (RFC 6030, plain or encrypted; in `seeds_pskc`) or
CSV.

All of a file is read or nothing of it: each line that cannot be used is told of, with what is wrong there, and never
with the seed. Files are bounded, whoever they are from.

CSV has a line of names first, in any order: `serial` and `seed` (hexadecimal) or `seed_base32`, and where they differ
from what is usual `type` (hotp, totp), `digits`, `hash`, `counter`, `period`. Without names, columns are serial, seed,
type, digits and period, as token servers write them. Commas, semicolons and tabs divide; lines that begin with # are
remarks.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from renewagent.tokens.codes import LAST_COUNTER, Hash
from renewagent.tokens.errors import SeedFileError, SeedProblem
from renewagent.tokens.serials import normalised
from renewagent.tokens.validation import USUAL_PROFILE, CodeProfile, Moving

LARGEST_FILE = 8 << 20
MOST_TOKENS = 20_000
SHORTEST_SEED, LONGEST_SEED = 10, 128
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seed:
    """One token of a file. `counter`: the next one (HOTP); `drift`: in steps (TOTP)."""

    serial: str
    octets: bytes = field(repr=False)
    profile: CodeProfile = USUAL_PROFILE
    counter: int = 0
    drift: int = 0


@dataclass(frozen=True, slots=True)
class FileSecret:
    """What opens an encrypted file: a passphrase, or a key that was agreed with the vendor."""

    passphrase: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)


NO_SECRET = FileSecret()
Outcome = Seed | SeedProblem


def read_seeds(path: Path, secret: FileSecret = NO_SECRET) -> tuple[Seed, ...]:
    """The tokens of a file, at least one. Raises SeedFileError, whose `problems` are those of single lines or keys."""
    try:
        with path.open("rb") as file:
            octets = file.read(LARGEST_FILE + 1)
    except OSError as e:
        raise SeedFileError(f"The seed file {path} cannot be read: {e.strerror}.") from e
    return parse_seeds(octets, secret)


def parse_seeds(octets: bytes, secret: FileSecret = NO_SECRET) -> tuple[Seed, ...]:
    """As `read_seeds`; XML is PSKC, everything else CSV."""
    if len(octets) > LARGEST_FILE:
        raise SeedFileError(f"The seed file is larger than {LARGEST_FILE >> 20} MiB.", advice="Have it sent in parts.")
    if octets[:64].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
        from renewagent.tokens.seeds_pskc import pskc_outcomes  # brings what only it needs

        return _all_or_nothing(pskc_outcomes(octets, secret))
    return _all_or_nothing(csv_outcomes(octets))


def _all_or_nothing(outcomes: Iterable[Outcome]) -> tuple[Seed, ...]:
    seeds, problems, seen = [], [], set[str | bytes]()
    for number, outcome in enumerate(outcomes):
        if number == MOST_TOKENS:
            raise SeedFileError(f"The file has more than {MOST_TOKENS} tokens.", advice="Have it sent in parts.")
        if isinstance(outcome, SeedProblem):
            problems.append(outcome)
        elif outcome.serial in seen:
            problems.append(SeedProblem(outcome.serial, "This token is in the file twice."))
        elif outcome.octets in seen:
            problems.append(SeedProblem(outcome.serial, "Another token in the file has the same seed."))
        else:
            seen |= {outcome.serial, outcome.octets}
            seeds.append(outcome)
    if problems:
        raise SeedFileError(_told(problems), problems=tuple(problems))
    if not seeds:
        raise SeedFileError("There is no token in the file.")
    return tuple(seeds)


def _told(problems: list[SeedProblem]) -> str:
    first = f"{problems[0].where}: {problems[0].said}"
    more = len(problems) - 1
    return f"The seed file cannot be used. {first}" + (f" There are {more} more that are wrong." if more else "")


# --- Values, as both kinds of file have them; ValueError says what is wrong


def serial_of(text: str) -> str:
    """In capitals and digits."""
    serial = normalised(text)
    if not re.fullmatch(r"[A-Z0-9]{3,40}", serial):
        raise ValueError(
            "The serial number must have 3 to 40 letters and digits."
            if not _rewritten(text)
            else "A spreadsheet has rewritten the serial number: have the file sent again, and do not open it."
        )
    return serial


def checked_seed(octets: bytes) -> bytes:
    """Of a length that tokens have."""
    if not SHORTEST_SEED <= len(octets) <= LONGEST_SEED:
        raise ValueError(f"The seed must have {SHORTEST_SEED} to {LONGEST_SEED} octets, and has {len(octets)}.")
    if len(set(octets)) == 1:
        raise ValueError("The seed is one octet repeated, and no secret.")
    return octets


def profile_of(moving: str, hash: str, digits: int, period: int) -> CodeProfile:
    """Of words as vendors write them; "" for what is usual."""
    found = Moving.PRESS if not moving else _one_of(Moving, moving.lower(), "type", "hotp or totp")
    name = re.sub(r"^(HOTP|TOTP)|HMAC|[-_ ]", "", hash.upper()) or Hash.SHA1.value
    by = _one_of(Hash, name, "hash", "SHA1, SHA256 or SHA512")
    try:
        return replace(USUAL_PROFILE, moving=found, hash=by, digits=digits, period=period)
    except ValueError as e:
        raise ValueError(f"This cannot be: {e}.") from e


def _one_of(kinds: Callable[[str], T], word: str, what: str, known: str) -> T:
    try:
        return kinds(word)
    except ValueError as e:
        raise ValueError(f"The {what} must be {known}.") from e


def counter_of(number: int) -> int:
    """One that a token may have."""
    if not 0 <= number < LAST_COUNTER:
        raise ValueError("The counter must be a number from 0 on.")
    return number


def _rewritten(text: str) -> bool:
    return bool(re.fullmatch(r"\d+([.,]\d+)?E\+?\d+", text.strip(), re.IGNORECASE)) and "+" in text


# --- CSV

_NAMES = {
    "serial": "serial serialnumber serialno tokenserial tokenserialnumber",
    "seed": "seed secret key seedhex secrethex keyhex tokenseed",
    "seed_base32": "seedbase32 secretbase32 keybase32 base32",
    "type": "type tokentype otptype",
    "digits": "digits otplength otplen length",
    "hash": "hash algorithm hashalgorithm",
    "counter": "counter movingfactor",
    "period": "period timestep interval timeinterval",
}
_COLUMN = {word: column for column, words in _NAMES.items() for word in words.split()}
_WITHOUT_NAMES = ("serial", "seed", "type", "digits", "period")


def csv_outcomes(octets: bytes) -> Iterator[Outcome]:
    """Line by line. Raises SeedFileError for what is no such file at all."""
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise SeedFileError("The seed file is neither PSKC nor text in UTF-8.") from e
    columns: tuple[str, ...] | None = None
    for where, cells in _rows(text):
        if columns is None:
            columns = _columns(cells)
            if columns is not None:
                continue
            columns = _WITHOUT_NAMES
        yield _csv_outcome(where, columns, cells)


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    divider = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=divider, strict=True)
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
                yield f"Line {rows.line_num}", [cell.strip() for cell in cells]
    except csv.Error as e:
        raise SeedFileError(f"The seed file cannot be used. Line {rows.line_num} is no line of a CSV file.") from e


def _columns(cells: list[str]) -> tuple[str, ...] | None:
    """What the columns are, by a line of names; "" for one that means nothing to us. None for a line without names."""
    columns = tuple(_COLUMN.get(re.sub(r"[^a-z0-9]", "", cell.lower()), "") for cell in cells)
    if "serial" not in columns and "seed" not in columns and "seed_base32" not in columns:
        return None
    for needed in ({"serial"}, {"seed", "seed_base32"}):
        if sum(column in needed for column in columns) != 1:
            raise SeedFileError(
                f"The first line must name one column {' or '.join(sorted(needed))}.",
                advice='Put names above the columns, such as "serial,seed", then try again.',
            )
    return columns


def _csv_outcome(where: str, columns: tuple[str, ...], cells: list[str]) -> Outcome:
    try:
        if len(cells) > len(columns):
            raise ValueError(f"There are {len(cells)} cells, and {len(columns)} columns.")
        return _csv_seed(dict(zip(columns, cells, strict=False)))
    except ValueError as e:
        return SeedProblem(where, str(e))


def _csv_seed(row: Mapping[str, str]) -> Seed:
    digits, period = _number(row, "digits", USUAL_PROFILE.digits), _number(row, "period", USUAL_PROFILE.period)
    profile = profile_of(row.get("type", ""), row.get("hash", ""), digits, period)
    counter = counter_of(_number(row, "counter", 0)) if profile.moving is Moving.PRESS else 0
    return Seed(serial_of(row.get("serial", "")), _csv_octets(row), profile, counter)


def _number(row: Mapping[str, str], column: str, usual: int) -> int:
    text = row.get(column, "")
    if not re.fullmatch(r"[0-9]{0,19}", text):
        raise ValueError(f"In the column {column} must be a number.")
    return int(text) if text else usual


def _csv_octets(row: Mapping[str, str]) -> bytes:
    text = re.sub(r"\s", "", row.get("seed_base32", row.get("seed", "")))
    if not text:
        raise ValueError("There is no seed.")
    try:
        if "seed_base32" in row:
            return checked_seed(base64.b32decode(text.rstrip("=").upper() + "=" * (-len(text.rstrip("=")) % 8)))
        octets = bytes.fromhex(text)
    except binascii.Error as e:
        raise ValueError("The seed is not in base32.") from e
    except ValueError as e:
        if _rewritten(text):
            raise ValueError(
                "A spreadsheet has rewritten the seed: have the file sent again, and do not open it."
            ) from e
        raise ValueError("The seed is not a hexadecimal number with two digits for each octet.") from e
    return checked_seed(octets)
