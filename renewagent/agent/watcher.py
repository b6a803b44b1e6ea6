"""Watching readers: one thread blocked in `Readers.wait`, whose changes come out as events. No card is touched here.

`Watcher.run` is the loop; it hands events to a function that must return at once (a queue's `put`, or the agent's
dispatch to its per-reader workers). The wait's timeout is the only timer of the process: when nothing happened it comes
out as `Tick`, once per poll, and carries the reader re-list, the campaign poll and the watchdog ping.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from renewagent.card.interface import CardConnection, Readers, ReaderState
from renewagent.errors import PcscUnavailable
from renewagent.language import _

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class CardInserted:
    """A card is in `reader`; `events` is the reader's counter, which tells one insertion from the next."""

    reader: str
    atr: bytes
    events: int


@dataclass(frozen=True, slots=True)
class CardRemoved:
    """The card left `reader` (or the reader itself is gone)."""

    reader: str


@dataclass(frozen=True, slots=True)
class ReadersChanged:
    """Readers were plugged in or out; `readers` are all there are now."""

    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PcscDown:
    """The PC/SC service does not answer; said once until `PcscUp`."""

    reason: str


@dataclass(frozen=True, slots=True)
class PcscUp:
    """The PC/SC service answers again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing has changed, and it is time for something (earlier while the service is down)."""


WatchEvent = CardInserted | CardRemoved | ReadersChanged | PcscDown | PcscUp | Tick


def changes(known: Mapping[str, ReaderState], now: Mapping[str, ReaderState]) -> list[WatchEvent]:
    """The events that lead from `known` to `now`. A quick swap (same presence, other counter) is out and in."""
    events: list[WatchEvent] = []
    if known.keys() != now.keys():
        events.append(ReadersChanged(tuple(sorted(now))))
    empty = ReaderState(False)
    for reader in sorted({*known, *now}):
        before, after = known.get(reader, empty), now.get(reader, empty)
        swapped = before.present and after.present and (before.events, before.atr) != (after.events, after.atr)
        if before.present and (swapped or not after.present):
            events.append(CardRemoved(reader))
        if after.present and (swapped or not before.present):
            events.append(CardInserted(reader, after.atr, after.events))
    return events


class Watcher:
    """Owns one `Readers`. `run` blocks its thread; `stop` is called from another one.

    `rest` gives the seconds until something is to be done though nothing happens. `jitter` gives a number from 0 to 1,
    so that a thousand agents do not come back in step after a restart.
    """

    def __init__(
        self, open_readers: Callable[[], Readers], rest: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._open = open_readers
        self._rest = rest
        self._jitter = jitter
        self._readers: Readers | None = None
        self._known: Mapping[str, ReaderState] = {}
        self._stopping = threading.Event()
        self._running = threading.Lock()
        self._closing = threading.Lock()
        self._down: str | None = None

    @property
    def health(self) -> str | None:
        """None while the PC/SC service answers, else what is wrong."""
        return self._down

    @property
    def readers(self) -> tuple[str, ...]:
        """The names of the readers that were there last."""
        return tuple(sorted(self._known))

    def connect(self, reader: str) -> CardConnection:
        """A connection to the card in `reader`. Raises NoReader, NoCard, PcscUnavailable."""
        readers = self._readers
        if readers is None:
            raise PcscUnavailable(self._down or _("The smartcard service does not answer."))
        return readers.connect(reader)

    def run(self, put: Callable[[WatchEvent], None]) -> None:
        """Watch until `stop`. Cards that are in already come out as inserted. Never raises ReaderError."""
        with self._running:
            self._run(put)
            self._close()

    def stop(self) -> None:
        """End `run` at once, and wait until it has ended."""
        self._stopping.set()
        self._cancel()
        while not self._running.acquire(timeout=0.05):  # a cancel that came just before the wait began is lost
            self._cancel()
        self._running.release()

    def _run(self, put: Callable[[WatchEvent], None]) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                self._watch(put)
            except PcscUnavailable as error:
                recovered = self._lost(error, put)
                pause = FIRST_PAUSE if recovered else min(pause * 2, LONGEST_PAUSE)
                self._stopping.wait(pause * (0.5 + self._jitter() / 2))
                put(Tick())  # the watchdog and the campaign poll go on

    def _cancel(self) -> None:
        with self._closing:
            if self._readers is not None:
                self._readers.cancel()

    def _watch(self, put: Callable[[WatchEvent], None]) -> None:
        readers = self._readers = self._open()
        states = readers.states()
        self._healthy(put)
        self._emit(states, put)
        while not self._stopping.is_set():
            states = readers.wait(self._known, self._rest())
            if not self._stopping.is_set() and not self._emit(states, put):
                put(Tick())

    def _emit(self, states: Mapping[str, ReaderState], put: Callable[[WatchEvent], None]) -> bool:
        events = changes(self._known, states)
        self._known = dict(states)
        for event in events:
            put(event)
        return bool(events)

    def _healthy(self, put: Callable[[WatchEvent], None]) -> None:
        if self._down is not None:
            log.info("pcsc.up")
            self._down = None
            put(PcscUp())

    def _lost(self, error: PcscUnavailable, put: Callable[[WatchEvent], None]) -> bool:
        """Note the loss; True if the service had been working until now."""
        self._close()
        self._emit({}, put)
        first = self._down is None
        self._down = error.message
        if first:
            log.warning("pcsc.down reason=%s", error.message)
            put(PcscDown(error.message))
        return first

    def _close(self) -> None:
        with self._closing:
            if self._readers is not None:
                self._readers.close()
            self._readers = None
