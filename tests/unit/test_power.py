"""The computer's power: batteries as the kernel tells of them, and inhibitor locks over a real D-Bus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from renewagent.agent.power import LinuxPower, UnknownPower
from tests.logind import logind

BAT = {"type": "Battery", "scope": "System", "status": "Discharging", "capacity": "7"}
MAINS = {"type": "Mains", "online": "0"}
HELD = "shutdown:sleep:handle-lid-switch"


def supplies(folder: Path, **found: dict[str, str]) -> LinuxPower:
    for name, told in found.items():
        (folder / name).mkdir()
        for file, text in told.items():
            (folder / name / file).write_text(text + "\n")
    return LinuxPower(folder)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ({"BAT0": BAT, "AC": MAINS}, 7),
        ({"BAT0": BAT}, 7),
        ({"BAT0": BAT, "BAT1": {**BAT, "status": "Unknown", "capacity": "90"}}, 48),
        ({"BAT0": BAT, "AC": {**MAINS, "online": "1"}}, None),
        ({"BAT0": BAT, "ucsi": {"type": "USB", "online": "2"}}, None),
        ({"BAT0": {**BAT, "status": "Charging"}}, None),
        ({"BAT0": {**BAT, "status": "Not charging"}}, None),
        ({"mouse": {**BAT, "scope": "Device"}}, None),
        ({"mouse": {**BAT, "scope": "Device", "capacity": "3"}, "BAT0": {**BAT, "capacity": "80"}}, 80),
        ({"BAT0": {**BAT, "capacity": "nonsense"}}, None),
        ({"BAT0": {"type": "Battery"}}, None),
        ({"BAT0": {**BAT, "capacity": "0"}}, 0),
        ({"AC": MAINS}, None),
        ({}, None),
    ],
)
def test_what_the_batteries_hold(tmp_path: Path, found: dict[str, dict[str, str]], left: int | None) -> None:
    assert supplies(tmp_path, **found).battery() == left


def test_a_system_without_such_a_folder_tells_nothing(tmp_path: Path) -> None:
    assert LinuxPower(tmp_path / "none").battery() is None
    assert UnknownPower().battery() is None


def test_a_lock_is_held_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with logind(tmp_path) as served:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", served.address)
        power = LinuxPower(tmp_path)
        power.release()
        power.hold()
        power.hold()
        assert (served.held, served.asked) == (1, [(HELD, "renewagent", "block")])
        power.release()
        served.wait_until(held=0)
        power.hold()
        assert served.held == 1
        power.release()
        served.wait_until(held=0)


def test_whoever_may_not_block_may_delay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with logind(tmp_path, refuses=frozenset({"block"})) as served:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", served.address)
        power = LinuxPower(tmp_path)
        power.hold()
        assert (served.held, [mode for _, _, mode in served.asked]) == (1, ["block", "delay"])
        power.release()
        served.wait_until(held=0)


@pytest.mark.parametrize("what", ["refuses", "no name", "no bus", "no address"])
def test_no_lock_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    with logind(tmp_path, refuses=frozenset({"block", "delay"})) as served:
        addresses = {"no bus": f"unix:path={tmp_path}/none", "no address": "nonsense"}
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", addresses.get(what, served.address))
        if what == "no name":
            monkeypatch.setattr("renewagent.agent.power._LOGIND", "org.example.nobody")
        power = LinuxPower(tmp_path)
        power.hold()
        power.hold()
        power.release()
        assert (served.held, len(served.asked)) == (0, 2 if what == "refuses" else 0)


HOLDER = """
import sys
from renewagent.agent.power import LinuxPower
power = LinuxPower()
power.hold()
print("held", flush=True)
sys.stdin.read()
"""


def test_whoever_is_killed_holds_nothing(tmp_path: Path) -> None:
    with logind(tmp_path) as served:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": served.address}
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert served.held == 1
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        served.wait_until(held=0)
        process.stdin.close()
        process.stdout.close()
