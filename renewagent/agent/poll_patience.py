"""Whom the agent's polls leave alone for how long: a source of campaigns, or the console, that failed is asked again
after twice the interval, then four times, up to an hour; one that said "Retry-After" not before then.

It stands in a small file, so that neither a restart nor another process forgets it. For children; nothing in here asks.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from renewagent.agent.remembered import POLLS
from renewagent.atomic import write_atomically

log = logging.getLogger(__name__)

LONGEST_BACK_OFF = 3600
"""Seconds, or the interval itself where that is longer."""
LONGEST_WAIT = 86400
"""Seconds: nobody puts us off for longer than a day."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How it went lately with one that is asked. `until`: before when it is left alone. `reported`: when it last took
    something in. Times are aware UTC."""

    failures: int = 0
    until: datetime | None = None
    problem: str = ""
    reported: datetime | None = None

    def rests(self, now: datetime) -> bool:
        """True while it is to be left alone. A clock that was set back keeps nobody waiting for weeks."""
        return self.until is not None and now < self.until <= now + timedelta(seconds=LONGEST_WAIT)


NEVER_ASKED = Asked()


class PollPatience:
    """The file in `state_folder`. `interval` in seconds; `jitter` gives a number from 0 to 1."""

    def __init__(self, state_folder: Path, interval: float, jitter: Callable[[], float]) -> None:
        self._path = state_folder / POLLS
        self._interval = interval
        self._jitter = jitter
        self._kept = _read(self._path)
        self._asked = dict(self._kept)

    def of(self, name: str) -> Asked:
        """How it went with `name`."""
        return self._asked.get(name, NEVER_ASKED)

    def well(self, name: str, *, reported: datetime | None = None) -> None:
        """It answered, and, where `reported` is given, took something in then."""
        self._asked[name] = Asked(reported=reported or self.of(name).reported)

    def complained(self, name: str, problem: str) -> None:
        """It answered, and something is wrong with what it said: no reason to come less often."""
        self._asked[name] = Asked(problem=problem, reported=self.of(name).reported)

    def failed(self, name: str, problem: str, now: datetime, retry_after: int | None = None) -> None:
        """It did not answer, or asked us to come later (seconds)."""
        failures = self.of(name).failures + 1
        seconds = retry_after if retry_after is not None else self._back_off(failures)
        until = now + timedelta(seconds=min(max(1, seconds), LONGEST_WAIT))
        self._asked[name] = replace(self.of(name), failures=failures, until=until, problem=problem)

    def _back_off(self, failures: int) -> int:
        longest = max(self._interval, LONGEST_BACK_OFF)
        seconds: float = min(longest, self._interval * 2.0 ** min(failures, 30))
        return math.ceil(seconds * (0.75 + self._jitter() / 4))

    def rest(self, names: Iterable[str], now: datetime) -> float | None:
        """Seconds in which there is nobody of `names` to ask; None where there is somebody as usual."""
        ends = [one.until if (one := self.of(name)).rests(now) else None for name in names]
        known = [end for end in ends if end is not None]
        return (min(known) - now).total_seconds() if known and len(known) == len(ends) else None

    def save(self) -> None:
        """For the next process; only where something changed. A disk that does not take it costs a question more."""
        if self._asked == self._kept and self._path.exists():
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps({name: _fields(one) for name, one in self._asked.items()}).encode())
        except OSError as problem:
            log.warning("polls.not_kept reason=%s", problem.strerror)

    def only(self, names: Iterable[str]) -> None:
        """Forget all others: what is no longer configured."""
        self._asked = {name: one for name in names if (one := self._asked.get(name)) is not None}


def _read(path: Path) -> dict[str, Asked]:
    try:
        kept = json.loads(path.read_bytes())
        return {str(name): _asked(fields) for name, fields in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none, or one that makes no sense
        return {}


def _asked(fields: dict[str, Any]) -> Asked:
    until, reported = (
        datetime.fromisoformat(text) if (text := fields.get(name)) else None for name in ("until", "reported")
    )
    if any(one is not None and one.tzinfo is None for one in (until, reported)):
        raise ValueError("a time without a zone")
    return Asked(int(fields.get("failures", 0)), until, str(fields.get("problem", "")), reported)


def _fields(one: Asked) -> dict[str, Any]:
    times = {name: at.isoformat() for name in ("until", "reported") if (at := getattr(one, name)) is not None}
    return {"failures": one.failures, "problem": one.problem, **times}
