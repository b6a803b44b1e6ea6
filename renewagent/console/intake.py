"""Check-ins as they come in: gathered from all requests that wait, and written in one transaction (group commit).

A rush of workstations on Monday morning so costs the disk a few writes a second and not thousands. How much may wait is
bounded; beyond that agents are told to come back, and keep their check-ins until they are accepted. An answer is given
once the records are durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic

from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.exceptions import HTTPException

from renewagent.console.recording import Delivery, Taken, record
from renewagent.console.site import Site

MOST_WAITING = 20_000
"""Check-ins, in one server process."""
MOST_AT_ONCE = 400
"""Check-ins in one transaction."""
MOST_A_MINUTE = 3_000
"""Check-ins of one agent, by one server process: a queue of weeks, and no flood."""
APART = 0.05
"""Seconds between the beginnings of two transactions: one costs as much as twenty check-ins in it."""
_AGAIN = 5
"""Times that a transaction is tried where others were in its way."""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    taken: asyncio.Future[Taken]

    @property
    def weight(self) -> int:
        return max(1, len(self.delivery.brought))


@dataclass(slots=True)
class _Pace:
    """How much each agent brought within this minute."""

    minute: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def allows(self, agent: str, weight: int) -> bool:
        minute = int(monotonic() // 60)
        if minute != self.minute:
            self.minute, self.counts = minute, Counter()
        self.counts[agent] += weight
        return self.counts[agent] <= MOST_A_MINUTE


class Intake:
    """One per server process and event loop."""

    def __init__(self, site: Site, most_waiting: int) -> None:
        self._site = site
        self._most = most_waiting
        self._queue: deque[_Waiting] = deque()
        self._weight = 0
        self._begun = 0.0
        self._pace = _Pace()
        self._writer: asyncio.Task[None] | None = None

    async def take(self, delivery: Delivery) -> Taken:
        """What came of a delivery, once that is durable. Raises HTTPException 429 or 503, which say when to come
        back, and what the database raises."""
        waiting = _Waiting(delivery, asyncio.get_running_loop().create_future())
        if not self._pace.allows(delivery.agent, waiting.weight):
            self._refuse(429, "This workstation reports too often. Try again later.", 60)
        if self._weight + waiting.weight > self._most:
            self._refuse(503, "Too many workstations report at this moment. Try again later.", 5)
        self._enqueue(waiting)
        return await waiting.taken

    def sighted(self, agent: str) -> None:
        """Note that the agent was there, with whatever is written next. Nobody waits for it."""
        if self._weight < self._most:
            waiting = _Waiting(Delivery(agent), asyncio.get_running_loop().create_future())
            waiting.taken.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at: no matter
            self._enqueue(waiting)

    def _refuse(self, status: int, sentence: str, seconds: int) -> None:
        self._site.meters.refusals.labels("rate" if status == 429 else "busy").inc()
        raise HTTPException(status, sentence, {"Retry-After": str(seconds)})

    def _enqueue(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._weight += waiting.weight
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._queue:
            if self._weight < MOST_AT_ONCE:
                await asyncio.sleep(max(0.0, self._begun + APART - monotonic()))
            self._begun = monotonic()
            batch = self._next()
            try:
                await self._settle(batch)
            finally:
                self._weight -= sum(one.weight for one in batch)
                for one in batch:  # the server ends
                    one.taken.cancel()

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        weight = 0
        while self._queue and (not batch or weight + self._queue[0].weight <= MOST_AT_ONCE):
            batch.append(self._queue.popleft())
            weight += batch[-1].weight
        return batch

    async def _settle(self, batch: list[_Waiting]) -> None:
        """Write a batch; if that cannot be done, each delivery by itself: one bad one is not to spoil the others."""
        try:
            taken = await self._record([one.delivery for one in batch])
        except OperationalError as problem:  # the database is away: alone they would fare no better
            _fail(batch, problem)
        except Exception as problem:  # whatever it is, each delivery is owed an answer
            _LOG.error("check-ins could not be recorded", exc_info=problem)
            if len(batch) == 1:
                return _fail(batch, problem)
            for one in batch:
                await self._settle([one])
        else:
            for one, answer in zip(batch, taken, strict=True):
                if not one.taken.done():  # whoever asked may have gone
                    one.taken.set_result(answer)

    async def _record(self, deliveries: list[Delivery]) -> list[Taken]:
        for _ in range(_AGAIN - 1):
            try:
                return await self._try(deliveries)
            except SQLAlchemyError as problem:
                if not _in_the_way(problem):
                    raise
        return await self._try(deliveries)

    async def _try(self, deliveries: list[Delivery]) -> list[Taken]:
        now = self._site.now()
        return await self._site.store.write(lambda connection: record(connection, now, deliveries))


def _in_the_way(problem: SQLAlchemyError) -> bool:
    """True for a deadlock or a serialization failure (PostgreSQL's 40P01, 40001): the others are through by now."""
    return getattr(getattr(problem, "orig", None), "sqlstate", None) in ("40P01", "40001")


def _fail(batch: list[_Waiting], problem: Exception) -> None:
    for one in batch:
        if not one.taken.done():
            one.taken.set_exception(problem)
