"""What a person is told, and how often. One message at a time stands for what is in a reader: it goes with the card, it
comes again where it could not be seen, and nobody is interrupted twice within the hour by the same words.

Decides; a `Screen` shows. Where it is shown does not matter: `status` says the same whatever happens here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from renewagent.agent.words import Message

log = logging.getLogger(__name__)

ANEW = timedelta(hours=1)
"""The same words about a card that stays in its reader come no more often than this."""


class Heard(Enum):
    """What a screen says of a message: first whether it is shown, later perhaps what became of it."""

    SHOWN = "shown"
    NOT_SHOWN = "not-shown"
    LOST = "lost"
    """It was shown, and whatever showed it has ended."""
    CLOSED = "closed"
    RENEW = "renew"
    LATER = "later"
    WHY = "why"
    """To be shown again, with more words."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message with its buttons, and its `advice` where there are none to press. `why`: what to show in its place to
    whoever asks why."""

    message: Message
    advice: str
    why: Message | None = None


class Screen(Protocol):
    """Where people see messages; one at a time for each reader, "" for what is about none."""

    def show(self, reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        """Show it in place of the last one. `heard` is called from any thread, also before this returns."""

    def withdraw(self, reader: str) -> None:
        """Take it away; nothing more is heard of it."""


@dataclass(slots=True, eq=False)
class _Said:
    """`seen` is None while nobody knows; `up`: it is on the screen, or on its way there; `again`: at the next tick;
    `asked`: why it is said."""

    notice: Notice
    at: datetime
    told: Callable[[bool], None]
    later: Callable[[], None]
    seen: bool | None = None
    up: bool = True
    again: bool = False
    asked: bool = False


class Telling:
    """Any thread may call. `renew` is called, in a thread that may take its time, when somebody wants to renew now."""

    def __init__(self, screen: Screen, renew: Callable[[str], None], now: Callable[[], datetime]) -> None:
        self._screen = screen
        self._renew = renew
        self._now = now
        self._lock = threading.Lock()
        self._said: dict[str, _Said] = {}

    def tell(
        self,
        reader: str,
        notice: Notice,
        told: Callable[[bool], None] = lambda _seen: None,
        later: Callable[[], None] = lambda: None,
    ) -> None:
        """Show it, unless it is there already or was a while ago. `told` hears once, perhaps from another thread,
        whether the person has it on the screen; `later` is called when they want to be reminded."""
        said = _Said(notice, self._now(), told, later)
        with self._lock:
            before = self._said.get(reader)
            if before is None or before.notice != notice or not self._stands(before):
                self._said[reader], before = said, None
            elif before.seen is None:
                before.told, before.later = told, later
        if before is None:
            self._show(reader, said)
        elif before.seen is not None:
            told(before.seen)

    def gone(self, reader: str) -> None:
        """The card has left, and what was said of it goes with it."""
        self._away(reader, forget=True)

    def put_away(self, reader: str) -> None:
        """There is nothing to be said now; what was said counts as said."""
        self._away(reader, forget=False)

    def tick(self) -> None:
        """Show again what could not be seen: another person had the screen, say."""
        with self._lock:
            again = [(reader, said) for reader, said in self._said.items() if said.again]
            for _, said in again:
                said.again, said.up = False, True
        for reader, said in again:
            self._show(reader, said)

    def _stands(self, said: _Said) -> bool:
        return said.up or said.again or (said.seen is True and self._now() - said.at < ANEW)

    def _show(self, reader: str, said: _Said) -> None:
        notice = said.notice
        if said.asked and notice.why is not None:
            notice = Notice(notice.why, notice.advice)
        self._screen.show(reader, notice, lambda heard: self._heard(reader, said, heard))
        with self._lock:
            left = reader not in self._said
        if left:  # at this very moment, and it was taken away before it was there
            self._screen.withdraw(reader)

    def _heard(self, reader: str, said: _Said, heard: Heard) -> None:
        with self._lock:
            if self._said.get(reader) is not said or not said.up:
                return
            first = said.seen is None
            said.up = heard in (Heard.SHOWN, Heard.WHY)
            said.asked = said.asked or heard is Heard.WHY
            said.again = heard in (Heard.NOT_SHOWN, Heard.LOST)
            news = heard is Heard.SHOWN and not said.seen
            said.seen = said.seen or heard is Heard.SHOWN
            if heard is Heard.LATER:
                del self._said[reader]  # what is told when the time is over is news
        if news or first:
            said.told(said.seen)
        if news:
            log.info("person.told kind=%s", said.notice.message.kind)
        elif first:
            log.info("person.not_told kind=%s", said.notice.message.kind)
        if heard is Heard.WHY:
            self._show(reader, said)
        elif heard is Heard.LATER:
            said.later()
        elif heard is Heard.RENEW:
            self._renew(reader)

    def _away(self, reader: str, *, forget: bool) -> None:
        with self._lock:
            said = self._said.pop(reader, None) if forget else self._said.get(reader)
            unknown = said is not None and said.seen is None
            if said is not None:
                said.up, said.again, said.seen = False, False, bool(said.seen)
        self._screen.withdraw(reader)
        if said is not None and unknown:
            said.told(False)
