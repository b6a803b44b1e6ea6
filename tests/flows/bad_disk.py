"""A disk that fails, or a process that dies, at a journal's write of its own choosing (see `bad_disk.c`); a small disk
that fills up; pages that tear."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.programs import missing, run

SOURCE = Path(__file__).with_name("bad_disk.c")


class BadDisk:
    """The journals of processes that have `environment` lie on it. `folder` is for its own use."""

    def __init__(self, folder: Path, library: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "RENEWAGENT_BAD_DISK": str(folder)}

    def fail(self, what: str, after: int = 0) -> None:
        """From the write that follows `after` more: "kill", or "readonly", "full", "broken" for that and all others."""
        part = self._folder / "part"
        part.write_text(f"{what} {after}\n")
        part.rename(self._folder / "plan")

    def mend(self) -> None:
        """A good disk again; it must have come to that."""
        (self._folder / "struck").unlink()
        (self._folder / "plan").unlink()


def build(folder: Path) -> Path:
    """The library, compiled."""
    made = folder / "bad_disk.so"
    run("gcc", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl")
    return made


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of two megabytes at `folder`, which is made."""
    folder.mkdir(mode=0o700)
    if os.getuid() != 0:
        missing("only root may mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "renewagent-test", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, *, reserve: bool = True) -> None:
    """Until there is no room; that which was set aside included, where `reserve`."""
    for kept in folder.glob("*.reserve") if reserve else ():
        kept.unlink()
    handle = os.open(folder / "fill", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while True:
            os.write(handle, bytes(4096))
    except OSError:
        pass
    finally:
        os.close(handle)
