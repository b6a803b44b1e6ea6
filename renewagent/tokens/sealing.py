"""Seeds at rest: AES-256-GCM under a key of a file that its owner alone may read, bound to the token's serial.

A sealed seed names its key, so that keys can follow one another: `renew` adds one, `TokenStore.seal_again` brings every
seed under it, `forget_old` drops the others. Whoever has the database without the key file has no seed.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from renewagent.atomic import write_atomically
from renewagent.errors import ConfigurationError

_ID_OCTETS, _KEY_OCTETS, _NONCE_OCTETS = 4, 32, 12
_LARGEST_FILE = 1 << 16
_BROKEN = "Put the key file back from a backup: without it no token can be used."


class SeedLost(ConfigurationError):
    """A sealed seed that none of our keys opens."""

    code = "RA-TOKEN-SEED"
    advice = _BROKEN


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """Keys of 32 octets by id (8 hexadecimal digits); `current` seals, all of them open."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, seed: bytes, serial: str) -> bytes:
        """The key's id, a nonce, the sealed seed and its tag."""
        nonce = os.urandom(_NONCE_OCTETS)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, seed, _bound_to(serial))
        return bytes.fromhex(self.current) + nonce + sealed

    def open(self, sealed: bytes, serial: str) -> bytes:
        """The seed. Raises SeedLost for another serial's, one that was changed, and for a key that is not here."""
        key = self.keys.get(key_of(sealed))
        if key is None:
            raise SeedLost(f"The seed of token {serial} is sealed with a key that is not in the key file.")
        nonce, rest = sealed[_ID_OCTETS : _ID_OCTETS + _NONCE_OCTETS], sealed[_ID_OCTETS + _NONCE_OCTETS :]
        try:
            return AESGCM(key).decrypt(nonce, rest, _bound_to(serial))
        except (InvalidTag, ValueError) as e:
            raise SeedLost(f"The seed of token {serial} was changed in the database, and is of no use.") from e


def key_of(sealed: bytes) -> str:
    """The id of the key that a seed is sealed with."""
    return sealed[:_ID_OCTETS].hex()


def _bound_to(serial: str) -> bytes:
    return b"renewagent token seed 1\0" + serial.encode()


# --- The key file


def new_keys() -> SealingKeys:
    """One fresh key."""
    name = os.urandom(_ID_OCTETS).hex()
    return SealingKeys(name, {name: os.urandom(_KEY_OCTETS)})


def renew(keys: SealingKeys) -> SealingKeys:
    """A fresh current key; the others still open."""
    fresh = new_keys()
    return SealingKeys(fresh.current, {**keys.keys, **fresh.keys})


def forget_old(keys: SealingKeys) -> SealingKeys:
    """The current key alone."""
    return SealingKeys(keys.current, {keys.current: keys.keys[keys.current]})


def write_keys(path: Path, keys: SealingKeys) -> None:
    """The file, for its owner alone. Raises ConfigurationError."""
    document = {"current": keys.current, "keys": {n: base64.b64encode(k).decode() for n, k in keys.keys.items()}}
    try:
        write_atomically(path, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)
    except OSError as e:
        raise ConfigurationError(f"The tokens' key file {path} cannot be written: {e.strerror}.") from e


def read_keys(path: Path) -> SealingKeys:
    """The keys of a file. Raises ConfigurationError, also if others than its owner may read it."""
    try:
        with path.open("rb") as file:
            others = os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            octets = file.read(_LARGEST_FILE + 1)
    except OSError as e:
        raise ConfigurationError(f"The tokens' key file {path} cannot be read: {e.strerror}.", advice=_BROKEN) from e
    if others:
        raise ConfigurationError(
            f"Others than its owner may read the tokens' key file {path}.", advice=f"Run: chmod 600 {path}"
        )
    return _decode(path, octets)


def _decode(path: Path, octets: bytes) -> SealingKeys:
    try:
        document = json.loads(octets)
        keys = {str(n): base64.b64decode(k, validate=True) for n, k in document["keys"].items()}
        current = document["current"]
        whole = current in keys and all(len(bytes.fromhex(n)) == _ID_OCTETS for n in keys)
        whole = whole and all(len(k) == _KEY_OCTETS for k in keys.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
        whole = False
    if not whole:
        raise ConfigurationError(f"The file {path} does not hold the tokens' keys.", advice=_BROKEN)
    return SealingKeys(current, keys)
