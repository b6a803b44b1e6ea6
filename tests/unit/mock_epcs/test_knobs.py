"""Knobs of the mock vendor and EHR: read, turned, kept in a file."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent.errors import ConfigurationError
from renewagent_fixtures.mock_epcs.ehr_moods import EVERY, EhrMoods
from renewagent_fixtures.mock_epcs.knobs import Knobs, KnobsFile, shown, turned, written
from renewagent_fixtures.mock_epcs.vendor_moods import VendorMoods


def test_each_kind_of_knob() -> None:
    knobs = Knobs()
    for setting in (
        "ehr.stale_clears=3",
        "ehr.rude=yes",
        "ehr.cuts=after",
        "ehr.slow=0.5",
        "ehr.says_saved_and_is_not=remove_device,enable_epcs",
        "vendor.clerk_after=10",
        "vendor.keeps_old_until_new=no",
        "ahead=731",
    ):
        knobs = turned(knobs, setting)
    calls = frozenset({"remove_device", "enable_epcs"})
    ehr = EhrMoods(stale_clears=3, rude=True, cuts="after", slow=0.5, says_saved_and_is_not=calls)
    assert knobs == Knobs(ehr, VendorMoods(clerk_after=10.0, keeps_old_until_new=False), 731.0)
    assert turned(knobs, "vendor.clerk_after=never").vendor.clerk_after is None
    assert turned(knobs, "ehr.refuses=every").ehr.refuses == EVERY
    assert abs(knobs.now() - datetime.now(UTC) - timedelta(days=731)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "setting",
    (
        *("", "ahead", "ahead=soon", "ahead=-1", "ahead=nan", "sky.blue=yes", "ehr=1", "ehr.kind=yes", "ehr.rude=1"),
        *("ehr.cuts=often", "ehr.stale_clears=-1", "ehr.stale_clears=\u0663", "ehr.refuses=everything", "ehr.slow=inf"),
    ),
)
def test_what_turns_no_knob(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="turns no knob") as caught:
        turned(Knobs(), setting)
    assert "ehr.stale_clears" in caught.value.advice


def test_every_mood_can_be_turned_to_what_is_shown_of_it() -> None:
    knobs = Knobs(EhrMoods(refuses=EVERY, lenient=True, only=frozenset({"access"})), VendorMoods(clerk_after=5))
    assert len(shown(knobs)) == len(fields(EhrMoods)) + len(fields(VendorMoods)) + 1
    again = Knobs()
    for name, value in shown(knobs).items():
        again = turned(again, f"{name}={written(value)}")
    assert again == knobs


def test_a_file_is_seen_when_it_changes(tmp_path: Path) -> None:
    here, there = KnobsFile(tmp_path), KnobsFile(tmp_path)
    assert here.read() == Knobs()
    there.write(knobs := turned(Knobs(), "ehr.refuses=access"))
    assert here.read() == knobs
    there.write(Knobs(ahead=1.0))
    assert here.read() == Knobs(ahead=1.0)


@pytest.mark.parametrize("octets", [b"", b"[]", b"{}", b'{"ahead": 0, "ehr.nonsense": 1}', b"\xff"])
def test_a_file_that_cannot_be_used(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "knobs.json").write_bytes(octets)
    with pytest.raises(ConfigurationError, match=r"knobs\.json"):
        KnobsFile(tmp_path).read()
