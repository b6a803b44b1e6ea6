"""Calls that may block for as long as they like, waited for no longer than we like.

PC/SC waits inside its library while another program has a transaction, and nothing ends that wait (`SCardCancel` does
not). So a thread makes the calls, and who loses patience leaves it to finish, and to clear up, on its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class TimedOut(Exception):
    """The call is still under way."""


class TimedCalls:
    """One thread, one call at a time. Once a call has timed out no other can be made."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="card calls", daemon=True)
        self._thread.start()

    def __call__(self, limit: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns or raises, if it does so within `limit` seconds; else raises TimedOut."""
        self._orders.put((function, arguments))
        try:
            result, error = self._answers.get(timeout=limit)
        except queue.Empty:
            raise TimedOut from None
        if error is not None:
            raise error
        return result

    def leave(self, clear_up: Callable[[], None]) -> None:
        """Let the thread end by itself, after the call that it is in and then `clear_up`."""
        self._orders.put((clear_up, ()))
        self._orders.put(None)

    def await_end(self, limit: float) -> bool:
        """True once a thread that was left has ended."""
        self._thread.join(limit)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            function, arguments = order
            try:
                self._answers.put((function(*arguments), None))
            except BaseException as e:
                self._answers.put((None, e))
