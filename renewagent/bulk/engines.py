"""Who does the work: this process, a pool of processes, or a Dask cluster. All run the same function on the same pieces
and give the outcomes in the order of the pieces, whatever finished first.

No more than a few pieces for each process are under way at a time, which is what bounds the memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from typing import Any, Protocol

from renewagent.bulk.outcome import Outcome, Plan, check_pieces
from renewagent.bulk.rows import PIECE, Piece
from renewagent.errors import ConfigurationError, RenewAgentError

_MOST_TOGETHER = 64  # small files that travel together
_AHEAD = 2
_TRIES = 3


class WorkersLost(RenewAgentError):
    """Processes that check certificates keep dying."""

    code = "RA-WORKERS"
    advice = "Try again with a smaller --jobs: there may be too little memory."


class Engine(Protocol):
    """Runs `check_pieces`."""

    @property
    def shares(self) -> int:
        """How many processes there are to share what cannot be cut."""

    def run(self, pieces: Iterable[Piece], plan: Plan) -> Iterator[Outcome]:
        """The outcomes, in the order of the pieces."""

    def close(self) -> None:
        """End all processes."""


class Here:
    """This process alone."""

    shares = 1

    def run(self, pieces: Iterable[Piece], plan: Plan) -> Iterator[Outcome]:
        """One piece after the other."""
        for piece in pieces:
            yield from check_pieces([piece], plan)

    def close(self) -> None:
        """Nothing to end."""


class Pool:
    """`jobs` processes on this machine."""

    def __init__(self, jobs: int) -> None:
        self.shares = jobs
        self._pool = self._started()

    def run(self, pieces: Iterable[Piece], plan: Plan) -> Iterator[Outcome]:
        """A few pieces ahead; what a process that died had in hand is done once more."""
        waiting: deque[tuple[list[Piece], Future[list[Outcome]]]] = deque()
        batches = together(pieces)
        batch = next(batches, None)
        lost = 0
        while batch is not None or waiting:
            try:
                if batch is not None and len(waiting) < self.shares * (1 + _AHEAD) and not _ready(waiting):
                    waiting.append((batch, self._pool.submit(check_pieces, batch, plan)))
                    batch = next(batches, None)
                    continue
                outcomes = waiting[0][1].result()
            except BrokenProcessPool:
                lost += 1
                if lost >= _TRIES:
                    raise WorkersLost("The processes that check certificates ended before their time.") from None
                waiting = self._again(waiting, plan)
                continue
            waiting.popleft()
            yield from outcomes

    def close(self) -> None:
        """End the processes at once, whatever they have in hand."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.join()
        # Pieces that nobody takes any more fill the pipe, and the thread that writes them would wait for ever, and this
        # process at its end for that thread: before 3.11.7 and 3.12.1 Python leaves the reading end open (gh-109917).
        # Likewise half a result, of which the rest will never come.
        with suppress(OSError):
            self._calls.close()
            self._results.close()

    def _again(
        self, waiting: deque[tuple[list[Piece], Future[list[Outcome]]]], plan: Plan
    ) -> deque[tuple[list[Piece], Future[list[Outcome]]]]:
        self.close()
        self._pool = self._started()
        return deque((batch, self._pool.submit(check_pieces, batch, plan)) for batch, _ in waiting)

    def _started(self) -> ProcessPoolExecutor:
        # Forked at once, while this process has no threads: a fork costs nothing, a new interpreter half a second.
        kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        pool = ProcessPoolExecutor(self.shares, multiprocessing.get_context(kind), initializer=_ignore_interrupts)
        others = set(multiprocessing.active_children())
        pool.submit(os.getpid).result()
        self._children = [child for child in multiprocessing.active_children() if child not in others]
        self._calls: Any = pool._call_queue._reader  # type: ignore[attr-defined]
        self._results: Any = pool._result_queue._writer  # type: ignore[attr-defined]
        return pool


class Dask:
    """A Dask cluster: the one at `scheduler`, or one of `jobs` workers made for the purpose."""

    def __init__(self, scheduler: str | None, jobs: int) -> None:
        try:
            import distributed
        except ImportError as problem:
            raise ConfigurationError(
                "Dask is not installed here.", advice="Install it: pip install 'renewagent[dask]'."
            ) from problem
        dask: Any = distributed
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = dask.LocalCluster(
                n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs=50
            )
        try:
            self._client: Any = dask.Client(self._cluster or scheduler, timeout=20, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise ConfigurationError(
                f"There is no Dask scheduler at {scheduler}.", advice="Check the address that --scheduler gives."
            ) from problem
        self.shares = max(jobs, len(self._client.scheduler_info()["workers"]))

    def run(self, pieces: Iterable[Piece], plan: Plan) -> Iterator[Outcome]:
        """A few pieces ahead for each worker. Dask gives what a lost worker had in hand to another."""
        waiting: deque[Any] = deque()
        for batch in together(pieces):
            waiting.append(self._client.submit(check_pieces, batch, plan, pure=False, retries=_TRIES))
            while len(waiting) >= self.shares * (1 + _AHEAD) or (waiting and waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()

    def close(self) -> None:
        """Leave the cluster; end the one that was made for the purpose."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def start(engine: str, *, jobs: int, scheduler: str | None = None) -> closing[Any]:
    """The engine of that name: to be used in a `with` block, which ends its processes."""
    if engine == "dask":
        return closing(Dask(scheduler, jobs))
    return closing(Pool(jobs) if jobs > 1 else Here())


def together(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Small pieces in batches, so that a thousand files are not a thousand tasks."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += max(piece.weight, len(piece.data or b""))  # what came down a pipe has no weight on disk
        if size >= PIECE // 2 or len(batch) >= _MOST_TOGETHER:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _ready(waiting: deque[tuple[list[Piece], Future[list[Outcome]]]]) -> bool:
    return bool(waiting) and waiting[0][1].done()


def _ignore_interrupts() -> None:
    """Ctrl-C is for the process that started these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
