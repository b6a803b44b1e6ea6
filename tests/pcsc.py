"""pytest fixtures for readers: in-process ones, and a private pcscd that the whole test session shares."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from renewagent.errors import ReaderError
from renewagent_fixtures.private_pcscd import PrivatePcscd, socket_in
from renewagent_fixtures.readers import VirtualReaders
from tests.programs import missing

READERS = 3


def until(condition: Callable[[], object], limit: float = 10) -> None:
    """Wait for `condition`."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "this did not happen"
        time.sleep(0.01)


@pytest.fixture
def virtual_readers() -> VirtualReaders:
    """Two empty readers in this process."""
    return VirtualReaders(("Virtual Reader 1", "Virtual Reader 2"))


@pytest.fixture(scope="session", autouse=True)
def pcsc_directory() -> Iterator[Path]:
    """Where this session's private pcscd has its socket.

    libpcsclite remembers the first socket that a process uses. So that no test ever meets the machine's own pcscd, and
    those that want a service and those that want none can share one process, the path is set before any of them.
    """
    with tempfile.TemporaryDirectory(prefix="renewagent-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "PCSCLITE_CSOCK_NAME", str(socket_in(Path(folder))))
        yield Path(folder)


@pytest.fixture
def private_pcscd(pcsc_directory: Path) -> Iterator[PrivatePcscd]:
    """A private pcscd with three empty readers, fresh for this test (it starts in 20 ms)."""
    pcscd = PrivatePcscd(READERS, directory=pcsc_directory)
    with ExitStack() as stack:
        try:
            stack.enter_context(pcscd)
        except ReaderError as error:
            missing(error.message)
        yield pcscd
