"""Where the management key comes from, and who else may not read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from renewagent.errors import ConfigurationError, ManagementKeyRefused
from renewagent_drivers import FactoryKey, KeyFile, PinProtectedKey, management_key_source

KEY = bytes(range(10, 34))


def nothing() -> None:
    return None


def key_file(folder: Path, text: str, mode: int = 0o600) -> KeyFile:
    path = folder / "management.key"
    path.write_text(text)
    path.chmod(mode)
    return KeyFile(path)


def test_the_factory_key() -> None:
    assert FactoryKey().obtain(nothing).hex() == "010203040506070801020304050607080102030405060708"


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex().upper() + "\n", f"  {KEY.hex(' ')}  \nsecond line\n"])
def test_a_key_file(tmp_path: Path, text: str) -> None:
    assert key_file(tmp_path, text).obtain(nothing) == KEY


@pytest.mark.parametrize("length", [16, 24, 32])
def test_lengths(tmp_path: Path, length: int) -> None:
    assert len(key_file(tmp_path, "ab" * length).obtain(nothing)) == length


@pytest.mark.parametrize("text", ["", "\n" + KEY.hex(), "not hex", KEY.hex()[:-1], "ab" * 23, "ab" * 33, "é" * 24])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        key_file(tmp_path, text).obtain(nothing)
    assert "management.key" in caught.value.message
    assert caught.value.__cause__ is None or "hex" not in str(caught.value.__cause__)
    assert KEY.hex()[:10] not in caught.value.message.replace(str(tmp_path), "")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_key_file_that_everybody_may_read_or_change(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        key_file(tmp_path, KEY.hex(), mode).obtain(nothing)
    assert "chmod" in caught.value.advice


def test_a_group_may_read(tmp_path: Path) -> None:
    assert key_file(tmp_path, KEY.hex(), 0o640).obtain(nothing) == KEY


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigurationError):
            KeyFile(path).obtain(nothing)


@pytest.mark.parametrize("found", [None, b"", b"short", bytes(33)])
def test_nothing_behind_the_pin(found: bytes | None) -> None:
    with pytest.raises(ManagementKeyRefused):
        PinProtectedKey().obtain(lambda: found)


def test_sources_by_their_settings(tmp_path: Path) -> None:
    assert management_key_source("default") == FactoryKey()
    assert management_key_source("pin") == PinProtectedKey()
    assert management_key_source(f"file:{tmp_path}/k") == KeyFile(tmp_path / "k")
    assert [s.needs_pin for s in (FactoryKey(), PinProtectedKey(), KeyFile(tmp_path))] == [False, True, False]
    for wrong in ("", "file:", "Default", KEY.hex()):
        with pytest.raises(ConfigurationError) as caught:
            management_key_source(wrong)
        assert KEY.hex() not in caught.value.message


def test_no_source_shows_a_key(tmp_path: Path) -> None:
    source = key_file(tmp_path, KEY.hex())
    source.obtain(nothing)
    assert KEY.hex() not in repr(source) and str(KEY) not in repr(source)
    assert "0102" not in repr(FactoryKey())
