"""One reader's checks: a limit on the card, one thread at a time, and no word about a card that has left."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import pytest

from renewagent.agent.reader_worker import ReaderWorker, within
from renewagent.errors import CardBusy, CardRemoved, RenewAgentError
from tests.pcsc import until


class Bench:
    """A worker whose checks wait to be let go."""

    def __init__(self, limit: float = 5) -> None:
        self.gates: queue.Queue[Callable[[], str]] = queue.Queue()
        self.begun = 0
        self.reports: list[str | RenewAgentError] = []
        self.worker: ReaderWorker[str] = ReaderWorker(self.check, self.report, limit)

    def check(self) -> str:
        self.begun += 1
        return self.gates.get(timeout=5)()

    def report(self, outcome: str | RenewAgentError, current: Callable[[], bool]) -> None:
        assert current()
        self.reports.append(outcome)

    def idle(self) -> bool:
        return self.worker._thread is None


def test_a_check_is_reported() -> None:
    bench = Bench()
    bench.gates.put(lambda: "fine")
    bench.worker.begin()
    until(bench.idle)
    assert bench.reports == ["fine"]


def test_our_errors_are_reported() -> None:
    bench = Bench()
    error = CardRemoved("The smartcard was removed.")

    def fail() -> str:
        raise error

    bench.gates.put(fail)
    bench.worker.begin()
    until(bench.idle)
    assert bench.reports == [error]


def test_a_fault_of_ours_does_not_end_the_worker() -> None:
    bench = Bench()
    bench.gates.put(lambda: str(1 // 0))
    bench.worker.begin()
    until(bench.idle)
    assert isinstance(bench.reports[0], RenewAgentError)
    bench.gates.put(lambda: "fine")
    bench.worker.begin()
    until(lambda: bench.reports[1:] == ["fine"])


def test_a_card_that_hangs_is_busy_and_its_answer_counts_when_it_comes() -> None:
    bench = Bench(limit=0.05)
    bench.worker.begin()
    until(lambda: bench.reports)
    assert isinstance(bench.reports[0], CardBusy)
    assert bench.reports[0].message == "Another program is using the smartcard."
    bench.gates.put(lambda: "late")
    until(bench.idle)
    assert bench.reports[1:] == ["late"]


def test_nothing_is_said_of_a_card_that_has_left() -> None:
    bench = Bench()
    bench.worker.begin()
    until(lambda: bench.begun)
    bench.worker.drop()
    bench.gates.put(lambda: "too late")
    until(bench.idle)
    assert bench.reports == []


def test_a_swapped_card_is_checked_after_the_first_and_alone_reported() -> None:
    bench = Bench()
    bench.worker.begin()
    until(lambda: bench.begun == 1)
    bench.worker.drop()
    bench.worker.begin()
    bench.worker.begin()
    bench.gates.put(lambda: "first")
    bench.gates.put(lambda: "second")
    until(bench.idle)
    assert bench.reports == ["second"]
    assert bench.begun == 2


def test_an_idle_worker_has_no_thread() -> None:
    before = threading.active_count()
    bench = Bench()
    bench.gates.put(lambda: "fine")
    bench.worker.begin()
    until(bench.idle)
    until(lambda: threading.active_count() == before)


def test_within() -> None:
    assert within(5, lambda: 7) == 7
    with pytest.raises(CardRemoved):
        within(5, _removed)
    began = time.monotonic()
    with pytest.raises(CardBusy):
        within(0.05, lambda: time.sleep(0.5))
    assert time.monotonic() - began < 0.4


def _removed() -> None:
    raise CardRemoved("The smartcard was removed.")
