"""`./dev` on machines that lack things: it says what, installs what it may, and never claims to be ready if it is not.

The real thing, on a real fresh machine, is `./dev bench fresh_machine`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house import ROOT

NEEDED = "cat dirname env grep ls sed sh".split()


class Machine:
    """A PATH with a few real tools and stand-ins that write down how they were called, and `./dev` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.dev = folder / "checkout" / "dev"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.dev.parent.mkdir()
        self.bin.mkdir()
        self.calls.touch()
        shutil.copy(ROOT / "dev", self.dev)
        for tool in NEEDED:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))

    def has(self, program: str, script: str) -> None:
        (self.bin / program).write_text(f'#!/bin/sh\necho "{program} $*" >>{self.calls}\n{script}\n')
        (self.bin / program).chmod(0o755)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        settings = {"PATH": str(self.bin)}
        return subprocess.run(
            [self.dev, *words], env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has("dpkg-query", 'echo "installed gcc"; echo "not-installed pcscd"; exit 1')
    made.has("id", "echo 1000")
    return made


@pytest.mark.parametrize("command", ["setup", "demo", "test", "check"])
def test_without_root_and_sudo_it_says_what_to_install(machine: Machine, command: str) -> None:
    done = machine.run(command)
    assert done.returncode == 1
    assert done.stdout == ""
    listed = [line.removeprefix("dev:     ") for line in done.stderr.splitlines() if line.startswith("dev:     ")]
    *packages, line = listed
    assert "pcscd" in packages
    assert "python3-venv" in packages
    assert "gcc" not in packages
    assert line.split()[-len(packages) :] == packages
    assert "apt-get install" in line


def test_sudo_that_asks_for_a_passcode_nobody_can_type(machine: Machine) -> None:
    machine.has("sudo", "exit 1")
    done = machine.run("setup")
    assert done.returncode == 1
    assert "needs root or sudo" in done.stderr


def test_sudo_installs_just_what_is_missing_and_a_failure_is_one(machine: Machine) -> None:
    machine.has("sudo", '[ "$1" = -n ] && shift; exec "$@"')
    machine.has("true", "exit 0")
    machine.has("apt-get", "exit 1")
    done = machine.run("demo", "--json")
    assert done.returncode != 0
    assert done.stdout == ""
    installs = [call for call in machine.calls.read_text().splitlines() if call.startswith("apt-get")]
    assert installs
    assert all(" gcc" not in call for call in installs)
    assert not (machine.dev.parent / ".venv").exists()


def test_usage(machine: Machine) -> None:
    alone = machine.run()
    assert alone.returncode == 0
    assert "setup" in alone.stdout
    wrong = machine.run("nonsense")
    assert wrong.returncode == 2
    assert wrong.stdout == ""


def test_no_command_was_needed_for_usage(machine: Machine) -> None:
    machine.run("help")
    assert machine.calls.read_text() == ""


def test_benchmarks_are_listed_with_what_they_show() -> None:
    done = subprocess.run([ROOT / "dev", "bench"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    scripts = {p.stem for p in (ROOT / "benchmarks").iterdir() if p.suffix in (".py", ".sh")}
    assert {line.split()[0] for line in lines} == scripts
    assert all(len(line.split()) > 3 for line in lines)
