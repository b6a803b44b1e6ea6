"""When the agent polls next: spread over the whole interval from the start, so that ten thousand workstations that are
switched on at eight do not come together, and never in step afterwards. Only reckons; the watcher's timer waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

SPREAD = 0.1
"""Of the interval: how far two polls are apart by chance, more or less than it."""
EARLY = 0.05
"""Of the interval: a timer that rings a little before its time does not ring twice."""


class PollSchedule:
    """`interval` in seconds; `phase`, from 0 to 1, is this agent's own place among all others; `chance` gives a number
    from 0 to 1, `clock` seconds that only grow. Any thread may call."""

    def __init__(self, interval: float, phase: float, chance: Callable[[], float], clock: Callable[[], float]) -> None:
        self._interval = interval
        self._phase = phase
        self._chance = chance
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()

    def begin(self, *, at_once: bool) -> None:
        """The agent has started; `at_once` where it has never polled and knows nothing."""
        share = 0.0 if at_once else (self._phase + SPREAD * self._chance()) % 1.0
        with self._lock:
            self._next = self._clock() + self._interval * share

    def left(self) -> float:
        """Seconds until the next poll, never none at all."""
        with self._lock:
            return max(0.001, self._next - self._clock())

    def due(self) -> bool:
        """True if it is time; the next one is an interval from now then."""
        with self._lock:
            if self._next - self._clock() > min(1.0, self._interval * EARLY):
                return False
            self._next = self._clock() + self._spread(self._interval)
            return True

    def polled(self, wanted: float | None, rest: float | None) -> None:
        """A poll is over. `wanted`: the interval that the console asks for from now on; `rest`: seconds in which there
        is nobody to ask."""
        with self._lock:
            self._interval = wanted or self._interval
            self._next = self._clock() + max(self._spread(self._interval), rest or 0.0)

    def _spread(self, seconds: float) -> float:
        return seconds * (1.0 - SPREAD + 2 * SPREAD * self._chance())
