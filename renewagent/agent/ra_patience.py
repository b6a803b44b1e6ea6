"""An RA that says "come back at T" (HTTP 503 or 429 with Retry-After, RFC 9110 10.2.3) hears nothing from here before:
no process of this person's on this computer asks it for anything, today or after a restart.

T lies in a small file of the state folder. Whoever asks earlier gets RaWaiting at once, with no connection made.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from renewagent.agent.ra_desk import utc_now
from renewagent.agent.times_in_words import moment_in_words
from renewagent.atomic import write_atomically
from renewagent.errors import RaWaiting
from renewagent.language import _
from renewagent.ra_transport import LONGEST_WAIT, PlainAnswer, RaTransport

T = TypeVar("T")
log = logging.getLogger(__name__)


class PatientTransport:
    """See `renewagent.ra_transport.RaTransport`. `file` keeps T; `now` gives aware UTC."""

    def __init__(self, inner: RaTransport, file: Path, now: Callable[[], datetime]) -> None:
        self._inner = inner
        self._file = file
        self._now = now

    @property
    def url(self) -> str:
        """The CMP address."""
        return self._inner.url

    def exchange(self, octets: bytes) -> bytes:
        """As the protocol says. Raises RaWaiting before T."""
        return self._asked(lambda: self._inner.exchange(octets))

    def get_json(self, url: str) -> PlainAnswer:
        """As `exchange`."""
        return self._asked(lambda: self._inner.get_json(url))

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        """As `exchange`."""
        return self._asked(lambda: self._inner.post(url, body, content_type))

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        """As `exchange`."""
        return self._asked(lambda: self._inner.post_within(url, body, content_type, seconds))

    def _asked(self, ask: Callable[[], T]) -> T:
        now, until = self._now(), self._kept()
        if until is not None and now < until <= now + timedelta(seconds=LONGEST_WAIT):
            raise come_back(until, now)
        try:
            return ask()
        except RaWaiting as error:
            until = now + timedelta(seconds=max(1, error.check_after))
            self._keep(until)
            raise come_back(until, now) from error

    def _kept(self) -> datetime | None:
        with suppress(OSError, ValueError, KeyError, TypeError):  # none, or one that makes no sense
            kept = json.loads(self._file.read_bytes())
            if kept["ra"] == self.url:
                until = datetime.fromisoformat(kept["until"])
                return until if until.tzinfo is not None else None
        return None

    def _keep(self, until: datetime) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps({"ra": self.url, "until": until.isoformat()}).encode())
        except OSError as problem:  # a full disk is for others to tell of; this process knows T all the same
            log.warning("ra.until_not_kept reason=%s", problem.strerror)


def come_back(until: datetime, now: datetime) -> RaWaiting:
    """What is said of it."""
    when = moment_in_words(until.astimezone(), now)
    return RaWaiting(
        _("The Registration Authority is busy. It is asked again {when}.").format(when=when),
        math.ceil((until - now).total_seconds()),
        advice=_("Nothing is lost. Start again {when}.").format(when=when),
    )


def patient(transport: RaTransport, state_folder: Path) -> PatientTransport:
    """The way to the RA for every process that has this state folder."""
    return PatientTransport(transport, state_folder / "ra-come-back.json", utc_now)
