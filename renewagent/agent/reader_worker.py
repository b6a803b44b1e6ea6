"""One reader's checks, off the watcher's thread, with a limit on how long a card may keep us.

A thread lives only while there is something to check, so that an idle agent has none. A card call that hangs cannot be
ended from outside: after the limit the reader counts as busy, and the answer is used if it comes after all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from renewagent.errors import CardBusy, RenewAgentError
from renewagent.language import _

log = logging.getLogger(__name__)

T = TypeVar("T")
Report = Callable[[T | RenewAgentError, Callable[[], bool]], None]
CARD_LIMIT = 10.0
"""Seconds (design section 4)."""


def busy() -> CardBusy:
    """What is said when the limit has passed."""
    return CardBusy(_("Another program is using the smartcard."))


def within(limit: float, call: Callable[[], T]) -> T:
    """`call()` in a thread of its own. Raises CardBusy after `limit` seconds; the thread is then left behind."""
    outcome: list[T | BaseException] = []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="card", daemon=True)
    thread.start()
    thread.join(limit)
    if not outcome:
        raise busy()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


class ReaderWorker(Generic[T]):
    """Checks whatever card is in one reader; `check` touches the card, `report` gets what came of it.

    `report` is called with a RenewAgentError where `check` raised one, or with CardBusy at the limit, never for a card
    that has left meanwhile. It may take its time (the limit is the card's), and asks its second argument whether the
    card is still the same one.
    """

    def __init__(self, check: Callable[[], T], report: Report[T], limit: float = CARD_LIMIT) -> None:
        self._check = check
        self._report = report
        self._limit = limit
        self._lock = threading.Lock()
        self._turn = 0
        self._wanted = False
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """A card is in, or something else calls for a new check. Returns at once."""
        with self._lock:
            self._turn += 1
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="check", daemon=True)
                self._thread.start()

    def drop(self) -> None:
        """The card has left: what is being found out about it is not reported."""
        with self._lock:
            self._turn += 1
            self._wanted = False

    def _run(self) -> None:
        while (turn := self._next_turn()) is not None:
            alarm = threading.Timer(self._limit, self._tell, (turn, busy()))
            alarm.daemon = True
            alarm.start()
            try:
                outcome: T | RenewAgentError = self._check()
            except RenewAgentError as error:
                outcome = error
            except Exception:
                log.exception("check.failed")
                outcome = RenewAgentError(_("Something went wrong while this smartcard was checked."))
            finally:
                alarm.cancel()
            self._tell(turn, outcome)

    def _next_turn(self) -> int | None:
        with self._lock:
            if not self._wanted:
                self._thread = None
                return None
            self._wanted = False
            return self._turn

    def _tell(self, turn: int, outcome: T | RenewAgentError) -> None:
        if self._is(turn):
            self._report(outcome, lambda: self._is(turn))

    def _is(self, turn: int) -> bool:
        with self._lock:
            return turn == self._turn
