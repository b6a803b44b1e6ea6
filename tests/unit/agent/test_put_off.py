"""What was put off: until when, and never beyond the campaign's deadline."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent.agent.put_off import FILE, FOR, PutOffs

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CARD, CAMPAIGN = "chuid:aa4821", "test-batch"


def test_for_an_hour_and_remembered(tmp_path: Path) -> None:
    kept = PutOffs(tmp_path)
    assert kept.until(CARD, CAMPAIGN, NOW) is None
    kept.add(CARD, CAMPAIGN, None, NOW)
    later = PutOffs(tmp_path)
    assert later.until(CARD, CAMPAIGN, NOW + FOR - timedelta(seconds=1)) == NOW + FOR
    assert later.until(CARD, CAMPAIGN, NOW + FOR) is None
    later.add(CARD, CAMPAIGN, None, NOW + FOR)
    assert later.until(CARD, CAMPAIGN, NOW + FOR) == NOW + 2 * FOR
    assert later.until(CARD, "another", NOW) is None and later.until("chuid:bb9558", CAMPAIGN, NOW) is None


@pytest.mark.parametrize(
    ("deadline", "until"), [(20, timedelta(minutes=20)), (60, FOR), (90, FOR), (0, None), (-5, None)]
)
def test_not_beyond_the_deadline(tmp_path: Path, deadline: int, until: timedelta | None) -> None:
    kept = PutOffs(tmp_path)
    kept.add(CARD, CAMPAIGN, NOW + timedelta(minutes=deadline), NOW)
    assert kept.until(CARD, CAMPAIGN, NOW) == (None if until is None else NOW + until)


def test_a_clock_that_was_set_back_puts_nothing_off_for_longer(tmp_path: Path) -> None:
    kept = PutOffs(tmp_path)
    kept.add(CARD, CAMPAIGN, None, NOW)
    assert kept.until(CARD, CAMPAIGN, NOW - timedelta(days=1)) is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"%a": 1}', b'{"%a": "2026-11-22T09:30:00"}', b'{"%a": "x"}', b"\xff"]
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage.replace(b"%a", f"{CARD} {CAMPAIGN}".encode()))
    kept = PutOffs(tmp_path)
    assert kept.until(CARD, CAMPAIGN, NOW) is None
    kept.add(CARD, CAMPAIGN, None, NOW)
    assert kept.until(CARD, CAMPAIGN, NOW) == NOW + FOR


def test_old_ones_are_forgotten(tmp_path: Path) -> None:
    kept = PutOffs(tmp_path)
    kept.add(CARD, CAMPAIGN, None, NOW - timedelta(days=400))
    kept.add("chuid:bb9558", CAMPAIGN, None, NOW)
    assert list(json.loads((tmp_path / FILE).read_bytes())) == ["chuid:bb9558 test-batch"]


def test_a_disk_that_does_not_take_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        PutOffs(tmp_path / "nowhere").add(CARD, CAMPAIGN, None, NOW)
