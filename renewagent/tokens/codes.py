"""One-time passwords: the code of a counter (HOTP, RFC 4226) and of a moment (TOTP, RFC 6238), whose counter is the
number of whole periods since 1970. What a server accepts is in `validation`. Nothing here keeps a seed.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

FEWEST_DIGITS, MOST_DIGITS = 6, 8
LAST_COUNTER = 2**62
"""Beyond what any token counts to, and within what a database column holds."""


class Hash(Enum):
    """What the HMAC is made with. RFC 4226 knows SHA-1 alone, RFC 6238 all three."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"


_HASHES: dict[Hash, type[SHA1] | type[SHA256] | type[SHA512]] = {
    Hash.SHA1: SHA1,
    Hash.SHA256: SHA256,
    Hash.SHA512: SHA512,
}


def hotp(seed: bytes, counter: int, digits: int = FEWEST_DIGITS, hash: Hash = Hash.SHA1) -> str:
    """The code of one counter."""
    return codes_of(seed, range(counter, counter + 1), digits, hash)[0]


def totp(seed: bytes, at: datetime, digits: int = FEWEST_DIGITS, hash: Hash = Hash.SHA1, period: int = 30) -> str:
    """The code of a moment, aware; `period` in seconds."""
    return hotp(seed, step_of(at, period), digits, hash)


def step_of(at: datetime, period: int) -> int:
    """T of RFC 6238 4.2, with T0 = 0."""
    return int(at.timestamp()) // period


def codes_of(seed: bytes, counters: range, digits: int, hash: Hash) -> tuple[str, ...]:
    """The codes of several counters, none below 0."""
    # Some vendors' seeds are shorter than the 128 bits of RFC 4226, R6: they are what the tokens hold.
    maker = HOTP(seed, digits, _HASHES[hash](), enforce_key_length=False)
    return tuple(maker.generate(counter).decode("ascii") for counter in counters)
