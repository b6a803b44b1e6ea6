"""A stranger's first minutes: a fresh folder, a new virtual environment, our wheel with its extra, five lines of test.

They are those of the README, and they pass in the test's own process and through a real pcscd, as root and as an
ordinary user. What is imported is the wheel, not this checkout. And a run that is killed leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house import ROOT
from tests.pcsc import until
from tests.programs import missing, require

NOBODY = 65534
_NOT_WANTED = re.compile(r"renewagent|__editable__|.*\.pth|__pycache__|_?hypothesis|schemathesis|xdist|pytest_xdist")
"""Ours, whatever acts when Python starts, and other plugins of pytest: slow to load."""


@dataclass(frozen=True)
class Stranger:
    """A folder that everybody may read, with an environment and a test in it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def project(self) -> Path:
        """The fresh folder."""
        return self.folder / "project"

    def pytest(self, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*as_user(user), str(self.python), "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *words],
            cwd=self.project,
            env=self.environment(user),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def environment(self, user: int) -> dict[str, str]:
        home = self.folder / ("nobody" if user else "root")
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}


def as_user(user: int) -> list[str]:
    return [require("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []


def five_lines() -> str:
    """The test in the README."""
    found = re.search(r"```python\n(import pytest\n.*?virtual_reader.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    with tempfile.TemporaryDirectory(prefix="stranger-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for home, owner in (("root", os.geteuid()), ("nobody", NOBODY if os.geteuid() == 0 else os.geteuid())):
            (folder / home).mkdir()
            os.chown(folder / home, owner, -1)
        install(folder, built_wheel(folder))
        (folder / "project").mkdir()
        (folder / "project" / "test_card.py").write_text(five_lines())
        yield Stranger(folder)


def built_wheel(folder: Path) -> Path:
    """The wheel of what is in this checkout, built away from it."""
    source = folder / "source"
    source.mkdir()
    for part in ("renewagent", "drivers", "fixtures"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def install(folder: Path, wheel: Path) -> None:
    """`pip install renewagent[testing]`, for which the packages that this machine has stand in for an index: the new
    environment sees all of them but ours, and pip makes sure that they are the ones that the wheel wants."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (folder / "packages").mkdir()
    for packages in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}:
        for entry in Path(packages).glob("*"):
            link = folder / "packages" / entry.name
            if not _NOT_WANTED.match(entry.name) and not link.exists():
                link.symlink_to(entry)
    (new,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (new / "machine.pth").write_text(f"{folder / 'packages'}\n")
    pip("--python", folder / "venv" / "bin" / "python", "install", "--no-index", f"{wheel}[testing]")


def pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_is_what_is_imported(stranger: Stranger) -> None:
    code = "import renewagent as r, renewagent_fixtures as f, renewagent_drivers as d; print(r.__file__, f.__file__, d)"
    told = subprocess.run(
        [stranger.python, "-c", code], cwd=stranger.folder, capture_output=True, text=True, check=True
    )
    assert told.stdout.count(str(stranger.folder / "venv")) == 3


def test_five_lines_in_one_process(stranger: Stranger) -> None:
    done = stranger.pytest("-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"\.+ +\[100%\]\n\d passed in .*\n", done.stdout)  # and not a word besides
    assert done.stderr == ""


@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "nobody"])
def test_five_lines_through_pcsc(stranger: Stranger, user: int) -> None:
    require("pcscd")
    if os.geteuid() != 0:
        pytest.skip("becoming somebody else takes root")
    done = stranger.pytest("-q", "--card=pcsc", user=user)
    if user and "does not allow mount namespaces" in done.stdout:
        missing("this system has no unprivileged user namespaces")
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_in(stranger.folder) == []


KILLED = """
import os, time

def test_it(pcsc_reader, virtual_card):
    pcsc_reader.insert(virtual_card)
    with open("ready", "w") as file:
        file.write("in")
    time.sleep(60)
"""


def test_a_killed_run_leaves_nothing(stranger: Stranger) -> None:
    require("pcscd")
    (stranger.project / "killed.py").write_text(KILLED)
    command = [str(stranger.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "killed.py"]
    with subprocess.Popen(
        command, cwd=stranger.project, env=stranger.environment(0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        until((stranger.project / "ready").exists, 30)
        assert left_in(stranger.folder)
        os.kill(run.pid, signal.SIGKILL)
    until(lambda: not left_in(stranger.folder))


def left_in(folder: Path) -> list[str]:
    """Folders of private services in the homes of those who ran them, and processes that know of them."""
    folders = [str(path) for path in folder.glob("*/renewagent-pcscd-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "pcscd" in words and str(folder) in words:
            folders.append(words)
    return folders
