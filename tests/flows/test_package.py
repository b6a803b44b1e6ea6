"""The Debian package, but for the Python packages in it: what it says, what it puts where, and that it leaves alone
what users and administrators have. Whole, in a clean system: `./dev bench debian_package`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from renewagent import __version__
from renewagent.agent import service
from renewagent.configuration import parse_configuration
from renewagent.configuration_keys import KEYS
from tests.house import ROOT
from tests.programs import require

PACKAGING = ROOT / "packaging"
PYTHON = "/opt/renewagent/bin/python"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("dpkg-deb")
    return build(tmp_path_factory.mktemp("package"))


def build(out: Path, *words: str) -> Path:
    command: list[str | Path] = [PACKAGING / "build-deb", "--bare", "--out", out, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def tree(package: Path) -> Path:
    subprocess.run(["dpkg-deb", "--raw-extract", package, package.parent / "tree"], check=True)
    return package.parent / "tree"


def test_its_control_fields(package: Path) -> None:
    said = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
    fields = dict(line.split(": ", 1) for line in said.splitlines() if re.match(r"[A-Z]", line))
    assert fields["Package"] == "renewagent" and fields["Version"] == f"{__version__}-1"
    assert {"pcscd", "libpcsclite1"} <= set(fields["Depends"].split(", "))
    assert "@" not in said.replace("@localhost", "")
    owners = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in owners.splitlines()} == {"root/root"}


def test_its_unit_is_the_programs_own_and_everybodys(tree: Path, tmp_path: Path) -> None:
    folder = tree / "usr" / "lib" / "systemd" / "user"
    unit = folder / service.UNIT
    expected = service.unit_text([PYTHON, "-P", "-m", "renewagent", "agent"], 300, 252)
    assert unit.read_text() == expected
    assert (folder / "default.target.wants" / service.UNIT).resolve() == unit
    assert (tree / PYTHON[1:]).readlink() == Path("/usr/bin/python3")
    assert f"exec {PYTHON} -P -m renewagent" in (tree / "usr" / "bin" / "renewagent").read_text()
    require("systemd-analyze")
    # Its program is not installed here: another one stands in for it.
    (tmp_path / service.UNIT).write_text(expected.replace(PYTHON, "/usr/bin/python3"))
    command: list[str | Path] = ["systemd-analyze", "verify", "--user", tmp_path / service.UNIT]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_its_configuration_names_every_setting_and_sets_none() -> None:
    text = (PACKAGING / "config.toml").read_text()
    assert parse_configuration(text, Path("/etc/renewagent/config.toml")) == {}
    filled_in = re.sub(r"(?m)^# (?=\w+ = )", "", text)
    assert set(parse_configuration(filled_in, Path("/etc/renewagent/config.toml"))) == set(KEYS)


def test_installed_upgraded_and_removed_it_keeps_settings_and_journals(package: Path, tmp_path: Path) -> None:
    """By dpkg itself, in a folder that stands for the system: no script of the package's needs more than is there."""
    require("dpkg")
    if os.getuid() != 0 or shutil.which("chroot") is None:
        pytest.skip("dpkg changes root to run a package's scripts")
    system = tmp_path / "system"
    (system / "var" / "lib" / "dpkg").mkdir(parents=True)
    for name in ("status", "available"):
        (system / "var" / "lib" / "dpkg" / name).touch()
    for name in ("updates", "info"):
        (system / "var" / "lib" / "dpkg" / name).mkdir()
    _with_a_shell(system)
    journal = system / "home" / "lamb" / ".local" / "state" / "renewagent" / "journal.db"
    journal.parent.mkdir(parents=True)
    journal.write_text("kept")
    dpkg(system, "--install", package)
    settings = system / "etc" / "renewagent" / "config.toml"
    settings.write_text('[ra]\nurl = "https://ra.hospital.example/cmp"\n')
    dpkg(system, "--install", build(tmp_path, "--revision", "2"))
    assert tomllib.loads(settings.read_text())["ra"]["url"] == "https://ra.hospital.example/cmp"
    dpkg(system, "--remove", "renewagent")
    assert not (system / "usr" / "bin" / "renewagent").exists() and not (system / "opt" / "renewagent").exists()
    assert settings.exists() and journal.read_text() == "kept"


def dpkg(system: Path, *words: str | Path) -> None:
    command = ["dpkg", f"--root={system}", "--force-depends", "--force-confold", "--log=/dev/null", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _with_a_shell(system: Path) -> None:
    """/bin/sh and what it is linked with."""
    for name in ("/bin/sh", *_libraries("/bin/sh")):
        target = system / name[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(name).resolve(), target)


def _libraries(program: str) -> list[str]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", said)


def test_its_python_packages_are_among_those_that_are_tested() -> None:
    def pinned(file: Path) -> dict[str, str]:
        return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", file.read_text()))

    packaged, tested = pinned(PACKAGING / "requirements.lock"), pinned(ROOT / "requirements.lock")
    assert packaged and packaged.items() <= tested.items()


def test_a_user_does_without_the_service_that_everybody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everybodys = tmp_path / "usr"
    (everybodys / "default.target.wants").mkdir(parents=True)
    (everybodys / service.UNIT).write_text("[Service]\n")
    (everybodys / "default.target.wants" / service.UNIT).symlink_to("../renewagent.service")
    monkeypatch.setattr(service, "FOR_EVERYBODY", everybodys)
    monkeypatch.setattr(service, "_manager_answers", lambda: False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    assert service.status() == service.ServiceStatus(everybodys / service.UNIT, True, "")
    for _ in range(2):
        assert service.uninstall() == service.ServiceStatus(None, False, "")
    own = tmp_path / "own" / "systemd" / "user" / service.UNIT
    assert own.readlink() == Path("/dev/null")
    for _ in range(2):
        assert service.install(None, 300) == service.ServiceStatus(everybodys / service.UNIT, True, "")
    assert not own.is_symlink()
    assert service.install(tmp_path / "config.toml", 300).file == own


def test_the_windows_task_is_well_formed_and_starts_what_it_should() -> None:
    names = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    task = ElementTree.parse(PACKAGING / "windows" / "renewagent-task.xml").getroot()  # noqa: S314  our own file
    assert task.findtext("t:Actions/t:Exec/t:Arguments", namespaces=names) == "-P -m renewagent agent"
    assert task.findtext("t:Principals/t:Principal/t:RunLevel", namespaces=names) == "LeastPrivilege"
    assert task.findtext("t:Settings/t:ExecutionTimeLimit", namespaces=names) == "PT0S"
    assert "NOT RUN" in (PACKAGING / "windows" / "renewagent-task.xml").read_text()
