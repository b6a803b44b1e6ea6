""" "Remind me in 1 hour": what a person has put off, by card and campaign, and until when, in one file that
outlives the agent. Bounded by the campaign's deadline: nothing is put off beyond it, and nothing after it.
"""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta
from pathlib import Path

FILE = "put-off.json"
FOR = timedelta(hours=1)
_FORGET_AFTER = timedelta(days=365)


class PutOffs:
    """What is kept in `folder`. A file that cannot be read counts as none: then the person is told once more."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def until(self, card: str, campaign: str, now: datetime) -> datetime | None:
        """Until when nobody is to be reminded; None once that is over. A clock that was set back puts nothing off for
        longer."""
        until = self._read().get(_key(card, campaign))
        return until if until is not None and now < until <= now + FOR else None

    def add(self, card: str, campaign: str, deadline: datetime | None, now: datetime) -> None:
        """Put it off by an hour, or until the deadline. Raises OSError where that cannot be written down."""
        known = {key: until for key, until in self._read().items() if now - until < _FORGET_AFTER}
        known[_key(card, campaign)] = now + FOR if deadline is None else min(now + FOR, max(deadline, now))
        document = {key: until.isoformat() for key, until in known.items()}
        from renewagent.atomic import write_atomically

        write_atomically(self._file, json.dumps(document).encode())

    def _read(self) -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            for key, until in json.loads(self._file.read_bytes()).items():
                at = datetime.fromisoformat(until)
                if at.tzinfo is not None:
                    found[key] = at
        return found


def _key(card: str, campaign: str) -> str:
    return f"{card} {campaign}"
