"""The watcher: nothing missed, nothing twice, a lost PC/SC service survived, and no wake-up without a reason."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from renewagent.agent.watcher import (
    CardInserted,
    CardRemoved,
    PcscDown,
    PcscUp,
    ReadersChanged,
    Tick,
    Watcher,
    WatchEvent,
    changes,
)
from renewagent.card.interface import CardConnection, ReaderState
from renewagent.errors import PcscUnavailable

IN = ReaderState(True, 1, b"\x3b")
OUT = ReaderState(False, 0)


class FakeReaders:
    """A PC/SC service in a few lines: a table of states, one condition, and a switch for "gone"."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.now: dict[str, ReaderState] = {}
        self.gone = False
        self.cancelled = False
        self.waits: list[float] = []
        self.closed = 0

    def change(self, **states: ReaderState) -> None:
        with self._changed:
            self.now = {**self.now, **states}
            self._changed.notify_all()

    def lose(self, gone: bool) -> None:
        with self._changed:
            self.gone = gone
            self._changed.notify_all()

    def open(self) -> FakeReaders:
        if self.gone:
            raise PcscUnavailable("The smartcard service does not answer.")
        return self

    def connect(self, reader: str) -> CardConnection:
        raise NotImplementedError

    def states(self) -> Mapping[str, ReaderState]:
        return dict(self.open().now)

    def wait(self, known: Mapping[str, ReaderState], timeout: float) -> Mapping[str, ReaderState]:
        with self._changed:
            self.waits.append(timeout)
            self._changed.wait_for(lambda: self.gone or self.cancelled or self.now != known, timeout)
            self.cancelled = False
            return dict(self.open().now)

    def cancel(self) -> None:
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()

    def close(self) -> None:
        self.closed += 1


class Watch:
    def __init__(self, interval: float) -> None:
        self.readers = FakeReaders()
        self.events: queue.Queue[WatchEvent] = queue.Queue()
        self.watcher = Watcher(self.readers.open, lambda: interval, lambda: 1.0)
        self.thread = threading.Thread(target=self.watcher.run, args=(self.events.put,))

    def next(self) -> WatchEvent:
        return self.events.get(timeout=5)


@pytest.fixture
def watch() -> Iterator[Watch]:
    it = Watch(60)
    yield it
    if it.thread.ident is not None:
        it.watcher.stop()
        it.thread.join(5)
        assert not it.thread.is_alive()


@pytest.mark.parametrize(
    ("known", "now", "events"),
    [
        ({}, {"A": OUT}, [ReadersChanged(("A",))]),
        ({}, {"A": IN}, [ReadersChanged(("A",)), CardInserted("A", b"\x3b", 1)]),
        ({"A": OUT}, {"A": IN}, [CardInserted("A", b"\x3b", 1)]),
        ({"A": IN}, {"A": OUT}, [CardRemoved("A")]),
        ({"A": IN}, {"A": IN}, []),
        ({"A": IN}, {"A": ReaderState(True, 3, b"\x3b")}, [CardRemoved("A"), CardInserted("A", b"\x3b", 3)]),
        ({"A": IN}, {}, [ReadersChanged(()), CardRemoved("A")]),
        ({"A": OUT}, {"A": ReaderState(False, 2)}, []),
    ],
)
def test_changes(known: Mapping[str, ReaderState], now: Mapping[str, ReaderState], events: list[WatchEvent]) -> None:
    assert changes(known, now) == events


def test_a_card_present_at_start_is_reported(watch: Watch) -> None:
    watch.readers.change(A=IN)
    watch.thread.start()
    assert [watch.next(), watch.next()] == [ReadersChanged(("A",)), CardInserted("A", b"\x3b", 1)]


def test_out_and_in_again(watch: Watch) -> None:
    watch.readers.change(A=OUT)
    watch.thread.start()
    watch.next()
    watch.readers.change(A=IN)
    assert watch.next() == CardInserted("A", b"\x3b", 1)
    watch.readers.change(A=OUT)
    assert watch.next() == CardRemoved("A")


def test_a_lost_service_is_said_once_and_its_cards_come_back(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.agent.watcher.FIRST_PAUSE", 0.02)
    watch.readers.change(A=IN)
    watch.thread.start()
    watch.next(), watch.next()
    watch.readers.lose(True)
    assert [watch.next(), watch.next()] == [ReadersChanged(()), CardRemoved("A")]
    assert watch.next() == PcscDown("The smartcard service does not answer.")
    assert watch.watcher.health == "The smartcard service does not answer."
    time.sleep(0.1)
    watch.readers.lose(False)
    heard = [watch.next()]
    while heard[-1] != CardInserted("A", b"\x3b", 1):
        heard.append(watch.next())
    assert [e for e in heard if e != Tick()] == [PcscUp(), ReadersChanged(("A",)), CardInserted("A", b"\x3b", 1)]
    assert watch.watcher.health is None


def test_no_service_at_start(watch: Watch) -> None:
    watch.readers.gone = True
    watch.thread.start()
    assert isinstance(watch.next(), PcscDown)


def test_stop_during_the_longest_pause(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.agent.watcher.FIRST_PAUSE", 60.0)
    watch.readers.gone = True
    watch.thread.start()
    watch.next()
    began = time.monotonic()
    watch.watcher.stop()
    assert time.monotonic() - began < 1


def test_back_off_doubles_up_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    readers = FakeReaders()
    readers.gone = True
    watcher = Watcher(readers.open, lambda: 60, lambda: 1.0)

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 9:
            watcher._stopping.set()
        return False

    monkeypatch.setattr(watcher._stopping, "wait", pause)
    watcher.run(lambda event: None)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_one_tick_per_interval_and_nothing_else() -> None:
    watch = Watch(0.2)
    watch.readers.change(A=OUT)
    watch.thread.start()
    try:
        assert watch.next() == ReadersChanged(("A",))
        time.sleep(0.7)
        assert watch.events.qsize() == 3
        assert {watch.next() for _ in range(3)} == {Tick()}
        assert len(watch.readers.waits) == 4
    finally:
        watch.watcher.stop()
        watch.thread.join(5)
    assert watch.readers.closed == 1


def test_stop_does_not_wait_for_the_interval(watch: Watch) -> None:
    watch.thread.start()
    began = time.monotonic()
    watch.watcher.stop()
    assert time.monotonic() - began < 1
