"""Seeds at rest: nobody reads, changes or exchanges them, and their keys can follow one another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from renewagent.errors import ConfigurationError
from renewagent.tokens.sealing import (
    SeedLost,
    forget_old,
    key_of,
    new_keys,
    read_keys,
    renew,
    write_keys,
)

SEED = b"12345678901234567890"


def test_a_seed_opens_for_its_own_serial_alone() -> None:
    keys = new_keys()
    sealed = keys.seal(SEED, "GAHE00000001")
    assert SEED not in sealed
    assert keys.open(sealed, "GAHE00000001") == SEED
    with pytest.raises(SeedLost):
        keys.open(sealed, "GAHE00000002")


def test_no_octet_of_it_can_be_changed() -> None:
    keys = new_keys()
    sealed = keys.seal(SEED, "A")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SeedLost):
            keys.open(changed, "A")
    for length in range(len(sealed)):
        with pytest.raises(SeedLost):
            keys.open(sealed[:length], "A")


def test_the_same_seed_is_never_sealed_the_same() -> None:
    keys = new_keys()
    assert len({keys.seal(SEED, "A") for _ in range(100)}) == 100


def test_keys_are_not_shown() -> None:
    keys = new_keys()
    assert repr(keys.keys[keys.current]) not in repr(keys)
    assert repr(keys) == f"SealingKeys(current='{keys.current}')"


def test_keys_follow_one_another() -> None:
    first = new_keys()
    sealed = first.seal(SEED, "A")
    both = renew(first)
    assert both.open(sealed, "A") == SEED
    again = both.seal(SEED, "A")
    assert key_of(again) == both.current != first.current == key_of(sealed)
    alone = forget_old(both)
    assert alone.open(again, "A") == SEED
    with pytest.raises(SeedLost, match="not in the key file"):
        alone.open(sealed, "A")


def test_a_key_file_is_its_owners_and_comes_back_as_it_was(tmp_path: Path) -> None:
    keys, path = renew(new_keys()), tmp_path / "tokens.key"
    write_keys(path, keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path) == keys


def test_one_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "tokens.key"
    write_keys(path, new_keys())
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigurationError) as caught:
            read_keys(path)
        assert caught.value.advice == f"Run: chmod 600 {path}"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"nothing",
        b"[]",
        b"[" * 60_000,
        b"{}",
        b"\xff\xfe",
        json.dumps({"current": "00000000", "keys": {}}).encode(),
        json.dumps({"current": "00000000", "keys": {"00000000": "c2hvcnQ="}}).encode(),
        json.dumps({"current": "00000000", "keys": {"00000000": "not base64"}}).encode(),
        json.dumps({"current": "00", "keys": {"00": "A" * 43 + "="}}).encode(),
        json.dumps({"current": ["00000000"], "keys": {"00000000": "A" * 43 + "="}}).encode(),
        b" " * 70_000 + b"{}",
    ],
)
def test_what_is_no_key_file_is_said_to_be_none(tmp_path: Path, document: bytes) -> None:
    path = tmp_path / "tokens.key"
    path.write_bytes(document)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="does not hold the tokens' keys"):
        read_keys(path)


def test_one_that_is_not_there_or_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_keys(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_keys(tmp_path / "no folder" / "keys", new_keys())
