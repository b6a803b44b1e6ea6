"""Whether a server uses the embedded database: a lock that lasts as long as its process does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from renewagent.errors import RenewAgentError

_NAME = "serving.lock"


class ConsoleRuns(RenewAgentError):
    """A server uses the database that was to be replaced."""

    code = "RA-CONSOLE-RUNS"
    advice = "End the console, then try again."


@contextlib.contextmanager
def serving(data: Path) -> Iterator[None]:
    """Be one of the servers. Raises ConsoleRuns while somebody is `alone`."""
    with _locked(data, shared=True, said="The console's database is being restored."):
        yield


@contextlib.contextmanager
def alone(data: Path) -> Iterator[None]:
    """Nobody serves, and nobody begins to. Raises ConsoleRuns."""
    with _locked(data, shared=False, said="The console is running."):
        yield


@contextlib.contextmanager
def _locked(data: Path, *, shared: bool, said: str) -> Iterator[None]:
    if sys.platform == "win32":  # SQLite's own locks are what there is
        yield
        return
    import fcntl

    with (data / _NAME).open("ab") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise ConsoleRuns(said) from problem
        yield
