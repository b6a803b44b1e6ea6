"""The agent as a service: its unit as systemd's own analyser sees it, installed, started as by systemd, and removed."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.service import UNIT, agent_command, unit_text
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from tests.programs import require
from tests.unit.agent.place import Place, campaign_json

MOST_EXPOSED = 6.5
"""systemd's own figure for the unit, 10 being the worst: what is left needs mount namespaces, or is what a user's unit
cannot be without."""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody without a user manager, in a home of their own."""
    (tmp_path / "run").mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def service(home: dict[str, str], *words: str, status: int = 0) -> dict[str, Any]:
    command = [sys.executable, "-m", "renewagent", "service", *words, "--json"]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def written(folder: Path, version: int = 252) -> Path:
    file = folder / UNIT
    file.write_text(unit_text(agent_command(None), 300, version))
    return file


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, home: dict[str, str]) -> None:
    require("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(written(tmp_path))], env=home, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_may_do_little(tmp_path: Path) -> None:
    require("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(written(tmp_path))]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    score = re.search(r"Overall exposure level for renewagent\.service: ([0-9.]+)", said)
    assert score is not None and float(score[1]) <= MOST_EXPOSED, said
    for closed in ("NoNewPrivileges=", "RestrictSUIDSGID=", "LockPersonality=", "RestrictRealtime="):
        assert f"✓ {closed}" in said, closed


def test_nothing_in_it_takes_a_user_namespace(tmp_path: Path) -> None:
    """In one, pcscd would not know who is asking; and a browser that was started from here would be in it, too."""
    keys = {line.partition("=")[0] for line in written(tmp_path).read_text().splitlines() if "=" in line}
    assert not {key for key in keys if key.startswith(("Private", "Protect", "ReadOnly", "ReadWrite", "Bind", "Temp"))}


def test_a_silent_agent_is_taken_for_dead_after_three_polls() -> None:
    assert "\nWatchdogSec=1800\n" in unit_text(["agent"], 600)
    assert "RestartSteps" in unit_text(["agent"], 600, 254) and "RestartSteps" not in unit_text(["agent"], 600, 253)


def test_words_mean_themselves() -> None:
    text = unit_text(["/opt/a b/python", "-c", 'print("100%", $HOME)\\'], 300)
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert line == 'ExecStart="/opt/a b/python" -c "print(\\"100%%\\", $$HOME)\\\\"'


def test_installed_and_removed_without_a_manager(tmp_path: Path, home: dict[str, str]) -> None:
    assert service(home, "status", status=1) == {"ok": True, "unit": None, "enabled": False, "state": None}
    unit = tmp_path / ".config" / "systemd" / "user" / UNIT
    for _ in range(2):
        assert service(home, "install") == {"ok": True, "unit": str(unit), "enabled": True, "state": None}
    assert (unit.parent / "default.target.wants" / UNIT).resolve() == unit
    assert service(home, "status")["enabled"] is True
    (tmp_path / ".local" / "state" / "renewagent").mkdir(parents=True)
    (tmp_path / ".local" / "state" / "renewagent" / "journal.db").write_text("kept")
    for _ in range(2):
        assert service(home, "uninstall") == {"ok": True, "unit": None, "enabled": False, "state": None}
    assert not list(unit.parent.rglob("*.service"))
    assert (tmp_path / ".local" / "state" / "renewagent" / "journal.db").read_text() == "kept"


def test_where_it_cannot_be_written_it_says_so(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "systemd").write_text("in the way")
    assert "cannot be installed" in service(home, "install", status=1)["error"]["message"]


def test_what_the_unit_starts_tells_the_manager_and_feeds_its_watchdog(
    tmp_path: Path, virtual_readers: VirtualReaders
) -> None:
    """The very line of the unit, with a socket in systemd's place (sd_notify(3))."""
    place = Place(tmp_path)
    place.publish(campaign_json())
    with (
        RelayServer(virtual_readers, tmp_path / "readers.sock") as relay,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        place.configure(relay.where)
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        command = agent_command(place.config)
        line = next(line for line in unit_text(command, 1).splitlines() if line.startswith("ExecStart="))
        assert shlex.split(line.removeprefix("ExecStart=")) == command
        environment = {**place.env, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as agent:
            assert manager.recv(100) == b"READY=1"
            began = time.monotonic()
            assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            assert time.monotonic() - began < 6
            agent.terminate()
            heard = [manager.recv(100)]
            while heard[-1] == b"WATCHDOG=1":
                heard.append(manager.recv(100))
            assert heard[-1] == b"STOPPING=1" and agent.wait(20) == 0
