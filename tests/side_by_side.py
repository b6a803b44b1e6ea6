"""The agent and OpenSC's notify tool beside it: one private pcscd, one session bus, one desktop that is told. For the
benchmarks."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.programs import require

BARE_WATCHER = """
import sys, time
from smartcard import scard
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
_, readers = scard.SCardListReaders(context, [])
states = [(reader, scard.SCARD_STATE_UNAWARE) for reader in readers]
while True:
    _, found = scard.SCardGetStatusChange(context, scard.INFINITE, states)
    now = time.monotonic()
    if any(state & scard.SCARD_STATE_CHANGED and state & scard.SCARD_STATE_PRESENT for _, state, _ in found):
        print(now, flush=True)
    states = [(reader, state) for reader, state, _ in found]
"""
"""A program that does nothing but wait, and say when a card came (seconds of the monotonic clock)."""


def agent_words(config: Path) -> list[str]:
    """How the agent is started."""
    return [sys.executable, "-P", "-m", "renewagent", "agent", "--config", str(config)]


def bare_words() -> list[str]:
    """How the bare watcher is started."""
    return [sys.executable, "-P", "-c", BARE_WATCHER]


def notify_words() -> list[str]:
    """How OpenSC's tool is started: it needs a session bus, and no display."""
    return [require("opensc-notify")]


@contextlib.contextmanager
def running(
    words: list[str], env: Mapping[str, str], *, out: int = subprocess.DEVNULL, err: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """A child, ended by SIGTERM."""
    child = subprocess.Popen(words, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def descendant(pid: int, name: str) -> int:
    """The process of that name which `pid` or one of its children started: pcscd, in its namespaces."""
    parents = {int(folder.name): _parent(folder) for folder in Path("/proc").glob("[0-9]*")}
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return next(one for one in family if _read(Path(f"/proc/{one}/comm")).strip() == name)


def _parent(folder: Path) -> int:
    """Field 4 of proc(5)'s stat; the name before it may hold anything."""
    after = _read(folder / "stat").rpartition(")")[2].split()
    return int(after[1]) if after else 0


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


def each_line(pipe: Iterator[str], take: Callable[[str], None]) -> None:
    """Every line as it comes, until whoever writes has gone."""
    with contextlib.suppress(ValueError, OSError):
        for line in pipe:
            take(line)
