"""What vendors send with tokens: PSKC and CSV."""

from __future__ import annotations

from pathlib import Path

from renewagent.tokens.errors import SeedFileError
from renewagent.tokens.seeds import FileSecret, Seed, parse_seeds
from tests.fuzz.target import Ready, Target
from tests.unit.tokens import pskc_files

_SECRET = FileSecret(pskc_files.PASSPHRASE)
_HEX = "3132333435363738393031323334353637383930"
_TABLES = (
    f"serial,seed,type,digits,hash,period,counter\nA01,{_HEX},totp,8,SHA256,60,\nA02,{_HEX[::-1]},,,,,4711\n",
    f"\ufeffSerial Number;Secret (hex)\r\n# one\r\nGAHE00000001;{_HEX}\r\n",
    f"GAHE00000001, {_HEX}, hotp, 6\n",
)


def _read(octets: bytes) -> None:
    try:
        seeds = parse_seeds(octets, _SECRET)
    except SeedFileError as refused:
        assert all(problem.where and problem.said for problem in refused.problems)
        return
    assert len({seed.serial for seed in seeds}) == len(seeds)
    assert all(_written(seed) == (seed,) for seed in seeds)


def _written(seed: Seed) -> tuple[Seed, ...]:
    """The token as a file of its own, read again."""
    profile = seed.profile
    row = (seed.serial, seed.octets.hex(), profile.moving.value, profile.digits, profile.hash.value, profile.period)
    text = ",".join(map(str, (*row, seed.counter)))
    (again,) = parse_seeds(f"serial,seed,type,digits,hash,period,counter\n{text}\n".encode())
    return (Seed(again.serial, again.octets, again.profile, again.counter, seed.drift),)


def _pskc(folder: Path) -> Ready:
    documents = (pskc_files.plain_file(["A01", "GAHE00000002"]), pskc_files.figure_7(), pskc_files.figure_6())
    return Ready(_read, documents)


TARGETS = (
    Target("seeds-pskc", "a vendor's seeds as PSKC", _pskc, 8192),
    Target("seeds-csv", "a vendor's seeds as CSV", lambda folder: Ready(_read, tuple(t.encode() for t in _TABLES))),
)
