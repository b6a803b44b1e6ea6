"""Threads of the EPCS desk's own. Its flows wait for vendors and EHRs: were they to wait in the console's threads, one
slow EHR would stop every page.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from starlette.exceptions import HTTPException

T = TypeVar("T")

THREADS, MOST = 16, 64
"""How many flows run at a time, and how many may be under way or wait for their turn."""


class Hands:
    """What runs flows for a server that waits for nobody."""

    def __init__(self, threads: int = THREADS, most: int = MOST) -> None:
        self._pool = ThreadPoolExecutor(threads, "epcs")
        self._most, self._busy, self._lock = most, 0, Lock()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` gives, done in one of the threads; it is done to its end even if nobody waits for it any more.
        Raises HTTPException 503 where too much is waiting already."""
        self._take()
        context = contextvars.copy_context()

        def done() -> T:
            try:
                return context.run(work)
            finally:
                self._give_back()

        return await asyncio.get_running_loop().run_in_executor(self._pool, done)

    def _take(self) -> None:
        with self._lock:
            if self._busy >= self._most:
                raise HTTPException(503, "The EPCS desk is busy. Try again in a moment.", {"Retry-After": "5"})
            self._busy += 1

    def _give_back(self) -> None:
        with self._lock:
            self._busy -= 1
