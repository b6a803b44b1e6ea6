"""Which events of an audit log an EPCS desk's daily report names, and what in them is suspicious (21 CFR 1311.150).

Pure: entries in, lines out. Whether one of them is a security incident is for a person to say (1311.150(c)).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise
from typing import Protocol


class Kind(Enum):
    """The clauses of 1311.150(a), in our words."""

    REFUSED = "attempted access or change that was refused"
    CONTROL = "logical access control set or changed"
    CREDENTIAL = "a factor, or what belongs to it, changed"
    TRAIL = "the audit trail itself"
    ALARM = "interference, or something that went wrong"


class Entry(Protocol):
    """A line of the log: `details` is JSON."""

    @property
    def number(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def details(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A sentence, and the numbers of the entries that it is about."""

    said: str
    entries: tuple[int, ...] = ()


_ALARMS = ("epcs.override-alarm", "epcs.grant-failed", "epcs.incident-found", "epcs.incident-overdue")
_CONTROL = ("person.", "epcs.grant-", "epcs.revoke-", "epcs.suspend-", "epcs.override-", "epcs.enabled")
_TRAIL = ("audit.", "console.restored", "epcs.report-", "epcs.incident-")
_CREDENTIAL = ("epcs.",)
MANY = 3
"""Refusals of one person in a day that are more than typing errors."""
_BACK = timedelta(minutes=1)
"""Clocks of several servers may differ; by more, somebody has set one back."""


def kind(event: str) -> Kind | None:
    """None for what no clause is about."""
    if event.endswith(("refused", "locked")):
        return Kind.REFUSED
    if event in _ALARMS:
        return Kind.ALARM
    found = ((_CONTROL, Kind.CONTROL), (_TRAIL, Kind.TRAIL), (_CREDENTIAL, Kind.CREDENTIAL))
    return next((kind for begins, kind in found if event.startswith(begins)), None)


def suspicions(entries: Sequence[Entry]) -> list[Suspicion]:
    """What somebody should look at, of one day's entries in their order."""
    return [*_tries(entries), *_refusals(entries), *_alarms(entries), *_set_back(entries)]


def _tries(entries: Iterable[Entry]) -> Iterator[Suspicion]:
    """Every attempt at changing who may sign that was refused."""
    for entry in entries:
        if kind(entry.event) is Kind.REFUSED and entry.event.startswith(_CONTROL):
            what = entry.event.partition(".")[2].removesuffix("-refused").replace("-", " ")
            yield Suspicion(f"{entry.actor} tried ({what}) and was refused. {_why(entry)}".strip(), (entry.number,))


def _refusals(entries: Sequence[Entry]) -> Iterator[Suspicion]:
    refused = [entry for entry in entries if kind(entry.event) is Kind.REFUSED]
    for (actor, event), count in sorted(Counter((entry.actor, entry.event) for entry in refused).items()):
        if count >= MANY:
            numbers = tuple(entry.number for entry in refused if (entry.actor, entry.event) == (actor, event))
            yield Suspicion(f"{actor}: {event}, {count} times in one day.", numbers)


def _alarms(entries: Iterable[Entry]) -> Iterator[Suspicion]:
    for entry in entries:
        if kind(entry.event) is Kind.ALARM:
            yield Suspicion(f"{entry.event}: {_why(entry)}".rstrip(": "), (entry.number,))


def _set_back(entries: Iterable[Entry]) -> Iterator[Suspicion]:
    for one, other in pairwise(entries):
        if other.at < one.at - _BACK:
            yield Suspicion("A clock was set back between these entries.", (one.number, other.number))


def _why(entry: Entry) -> str:
    try:
        details = json.loads(entry.details)
    except ValueError:
        return ""
    known = details if isinstance(details, dict) else {}
    return str(next((known[name] for name in ("why", "what", "outcome") if known.get(name)), ""))
