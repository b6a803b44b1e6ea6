"""The resident's end of the stream: a thread that sleeps until the child that holds it (`renewagent.agent.look_again`)
writes an octet, and then has the agent poll, a moment later, since ten thousand others heard it too."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

SPREAD = 2.0
"""Seconds."""


class Listening:
    """`start` gives the child; `poll` is called when there may be news."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], poll: Callable[[], object]) -> None:
        self._start = start
        self._poll = poll
        self._thread: threading.Thread | None = None

    def keep_up(self) -> None:
        """Start the child unless it is there; one that has died comes back with the next poll."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, name="look-again", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            child = self._start()
        except OSError as problem:
            log.warning("stream.not_started reason=%s", problem.strerror)
            return
        assert child.stdout is not None and child.stdin is not None  # noqa: S101  for the type checker
        with child.stdout, child.stdin:  # that we hold its standard input is how it knows that we live
            while child.stdout.read1(64):  # type: ignore[attr-defined]
                time.sleep(SPREAD * int.from_bytes(os.urandom(2), "big") / 65535)
                self._poll()
        log.info("stream.ended status=%d", child.wait())
