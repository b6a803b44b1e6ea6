"""The agent's polls: one short-lived child each, never two at once, when the schedule or somebody else says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from renewagent.agent.poll_schedule import PollSchedule
from renewagent.errors import AgentError

log = logging.getLogger(__name__)


class Polling:
    """`ask` is the child and gives its document; `take` gets that, or one with the `problem` that kept it away."""

    def __init__(
        self, schedule: PollSchedule, ask: Callable[[], dict[str, Any]], take: Callable[[dict[str, Any]], None]
    ) -> None:
        self._schedule = schedule
        self._ask = ask
        self._take = take
        self._lock = threading.Lock()
        self._wanted = False
        self._running = False

    def tick(self) -> None:
        """Poll if it is time."""
        if self._schedule.due():
            self.begin()

    def begin(self) -> None:
        """Poll now, or as soon as the poll that is under way has ended. Returns at once."""
        with self._lock:
            self._wanted = True
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="poll", daemon=True).start()

    def _run(self) -> None:
        while self._another():
            try:
                document = self._ask()
            except AgentError as error:
                document = {"problem": error.message}
            self._schedule.polled(document.get("poll"), document.get("rest"))
            try:
                self._take(document)
            except Exception:
                log.exception("poll.failed")

    def _another(self) -> bool:
        with self._lock:
            self._running, self._wanted = self._wanted, False
            return self._running
