"""Faults of our own: the file tells where, and nothing else."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from renewagent.agent import faults, worker
from renewagent.agent.faults import FILE, note_fault
from renewagent.agent.prompts import serve_channel
from renewagent_fixtures.person import ScriptedPerson

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "48392057"


def fail(pin: str) -> None:
    try:
        raise KeyError(pin)
    except KeyError as error:
        raise ValueError(f"no {pin}") from error


def fault() -> ValueError:
    with pytest.raises(ValueError, match="no") as caught:
        fail(SECRET)
    return caught.value


def test_the_file_tells_where_and_nothing_else(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        told = note_fault(tmp_path, fault(), NOW)
    finally:
        os.umask(before)
    text = (tmp_path / FILE).read_text()
    assert [line for line in text.splitlines() if line[:1] != " "] == [
        "2026-03-01T12:00:00+00:00",
        "builtins.ValueError",
        "builtins.KeyError",
    ]
    assert f"{__file__}:" in text
    assert text.count(" fail") == 2
    assert SECRET not in text
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert (str(told), str(tmp_path / FILE) in told.advice) == (
        "Something went wrong in renewagent (ValueError).",
        True,
    )


def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "LARGEST", 1000)
    sizes = []
    for _ in range(40):
        note_fault(tmp_path, fault(), NOW)
        sizes.append((tmp_path / FILE).stat().st_size)
    assert max(sizes) < 2000


@pytest.mark.parametrize("there", [False, True])
def test_where_nothing_can_be_written_the_person_is_told_all_the_same(tmp_path: Path, there: bool) -> None:
    told = note_fault(tmp_path / "missing" if there else None, fault(), NOW)
    assert (str(told), FILE in told.advice) == ("Something went wrong in renewagent (ValueError).", False)


def test_a_fault_in_the_child_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n')
    monkeypatch.setattr(worker, "renew", lambda *asked, **options: fail(SECRET))
    monkeypatch.setattr(worker, "undumpable", lambda: None)
    ours, theirs = socket.socketpair()
    with ours:
        assert worker.main(["--channel-fd", str(theirs.detach()), "--config", str(file)]) == 1
        result = serve_channel(ours, ScriptedPerson())
    assert result is not None
    assert result["error"]["message"] == "Something went wrong in renewagent (ValueError)."
    assert SECRET not in str(result)
    assert (tmp_path / FILE).exists()
    assert capfd.readouterr() == ("", "")
