""" "Remind me in 1 hour": what a person has put off, by card and campaign, until when and how often, in one file that
outlives the agent. Bounded by the campaign's deadline: nothing is put off beyond it, and nothing after it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

FILE = "put-off.json"
FOR = timedelta(hours=1)
_FORGET_AFTER = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class PutOff:
    """`until`, aware UTC; `times` it was put off in all."""

    until: datetime
    times: int


class PutOffs:
    """What is kept in `folder`. A file that cannot be read counts as none: then the person is told once more."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def of(self, card: str, campaign: str) -> PutOff | None:
        """None for what was never put off."""
        return self._read().get(_key(card, campaign))

    def until(self, card: str, campaign: str, now: datetime) -> datetime | None:
        """Until when nobody is to be reminded; None once that is over. A clock that was set back puts nothing off for
        longer."""
        known = self.of(card, campaign)
        return known.until if known is not None and now < known.until <= now + FOR else None

    def add(self, card: str, campaign: str, deadline: datetime | None, now: datetime) -> PutOff:
        """Put it off by an hour, or until the deadline. Raises OSError where that cannot be written down."""
        known = {key: one for key, one in self._read().items() if now - one.until < _FORGET_AFTER}
        before = known.get(_key(card, campaign))
        until = now + FOR if deadline is None else min(now + FOR, max(deadline, now))
        made = PutOff(until, before.times + 1 if before is not None else 1)
        known[_key(card, campaign)] = made
        document = {key: [one.until.isoformat(), one.times] for key, one in known.items()}
        from renewagent.atomic import write_atomically

        write_atomically(self._file, json.dumps(document).encode())
        return made

    def _read(self) -> dict[str, PutOff]:
        found: dict[str, PutOff] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            for key, (until, times) in json.loads(self._file.read_bytes()).items():
                at = datetime.fromisoformat(until)
                if at.tzinfo is not None and isinstance(times, int):
                    found[key] = PutOff(at, times)
        return found


def _key(card: str, campaign: str) -> str:
    return f"{card} {campaign}"
