"""Old keys that renewals of this workstation left on cards (way B), as its journal tells: where, and until when.

Only the journal is read here, so that `status` and the resident agent can tell; what is on a card is
`superseded`'s, and taking it away `housekeeping`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from renewagent.agent.journal import CLOSING, HOUSEKEEPING, Journal, JournalEvent
from renewagent.agent.status import time_text
from renewagent.model import CardIdentity
from renewagent.renewal import Kind, Way

TIDYING, TIDIED = "tidying", "tidied"
"""Written before slots are emptied, and after: slots (references with spaces between), history (hex)."""
KEEP_DAYS = 14
"""How long an old key is kept where nothing is configured: as long as an RA's ticket stays open."""


@dataclass(frozen=True, slots=True)
class OldKey:
    """An old key in a slot, by its reference. `since`: the renewal that replaced it was over; aware UTC."""

    card: str
    slot: str
    since: datetime

    def kept_until(self, days: int) -> datetime:
        """When it may go."""
        return self.since + timedelta(days=days)

    def document(self, days: int) -> dict[str, str | None]:
        """As `renew --json` and `status --json` have it."""
        return {"card": self.card, "slot": self.slot, "kept_until": time_text(self.kept_until(days))}


@dataclass(slots=True)
class Past:
    """One renewal that is over: all that its events said, the last of each name; `said` in the order of the events."""

    card: str
    over: datetime
    finished: bool
    facts: dict[str, Any] = field(default_factory=dict)
    said: list[JournalEvent] = field(default_factory=list)


def past_renewals(events: Iterable[JournalEvent]) -> Iterator[Past]:
    """The renewals that are over, in the order of their ends. `finished`: the person has signed in with the new
    certificate, or the RA has its receipt."""
    begun: dict[str, list[JournalEvent]] = {}
    for event in events:
        if event.renewal == HOUSEKEEPING:
            continue
        said = begun.setdefault(event.renewal, [])
        said.append(event)
        if event.name in CLOSING:
            facts: dict[str, Any] = {}
            for one in said:
                facts |= one.fields
            finished = event.name in (Kind.SIGNED_IN.value, Kind.PAIRED.value) or "receipted" in facts
            yield Past(event.card, event.at, finished, facts, begun.pop(event.renewal))


def old_keys(events: Sequence[JournalEvent], card: CardIdentity | None = None) -> list[OldKey]:
    """Those that nobody has taken away, the oldest first; of one card or of all."""
    emptied = {(event.card, slot): event.seq for event in events if event.name == TIDIED for slot in slots_of(event)}
    kept: dict[tuple[str, str], OldKey] = {}
    for past in past_renewals(events):
        parking = str(past.facts.get("parking", ""))
        if not past.finished or not parking or past.facts.get("way") != Way.B.value:
            continue
        parked = max(event.seq for event in past.said if "parking" in event.fields or "moved" in event.fields)
        if emptied.get((past.card, parking), 0) < parked:
            kept[past.card, parking] = OldKey(past.card, parking, past.over)
    return [key for key in kept.values() if card is None or key.card == str(card)]


def slots_of(event: JournalEvent) -> list[str]:
    """The references in a TIDYING or TIDIED."""
    return str(event.fields.get("slots", "")).split()


def old_keys_here(state_folder: Path) -> list[OldKey]:
    """Those of all cards, by the journal of this workstation. Raises JournalError."""
    path = state_folder / "journal.db"
    if not path.exists():
        return []
    with Journal(path) as journal:
        return old_keys(journal.replay())
