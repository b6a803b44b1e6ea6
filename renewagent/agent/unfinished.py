"""Which renewal of a card this workstation's journal holds open, and whether only the person's part of it is left."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from renewagent.agent import words
from renewagent.agent.full_inspection import Inspection
from renewagent.agent.journal import Journal, OpenRenewal
from renewagent.certificates import read_certificate
from renewagent.errors import JournalError
from renewagent.model import CardIdentity, CertificateHead, Verdict
from renewagent.renewal import Event, Kind, Renewal, State, replay

PERSON_LEFT = frozenset({State.REMOVE, State.RETURN, State.SIGN_IN})
"""The card is renewed; what is left is for the person."""


def open_renewal(journal: Journal, identity: CardIdentity) -> Renewal | None:
    """The latest open renewal of this card, as its events left it."""
    mine = [entry for entry in journal.open_renewals() if entry.card == str(identity)]
    return renewal_of(journal, mine[-1]) if mine else None


def renewal_of(journal: Journal, entry: OpenRenewal) -> Renewal:
    """As its events left it."""
    events = journal.events(entry.renewal)
    first = Renewal(entry.renewal, entry.card, str(events[0].fields.get("campaign", "-")))
    if Kind(events[0].name) is Kind.RESUMED:  # begun elsewhere: this workstation's part starts by looking
        first = replace(first, state=State.RESUME)
    return replay(first, (Event(Kind(event.name), event.fields) for event in events))


def with_the_journal(inspection: Inspection, state_folder: Path) -> Inspection:
    """A card whose certificate nothing is wrong with is not finished all the same, while nobody has signed in with it:
    then the verdict is PART_WAY. A record that cannot be read changes nothing."""
    judged, path = inspection.judgement, state_folder / "journal.db"
    clear = judged.finding.verdict is Verdict.UNAFFECTED or judged.open_state == "confirmed"
    if inspection.card is None or not clear or not path.exists():
        return inspection
    renewal: Renewal | None = None
    with suppress(JournalError), Journal(path) as journal:
        renewal = open_renewal(journal, inspection.card)
    if renewal is None or renewal.state not in PERSON_LEFT or not _holds(judged.finding.head, renewal):
        return inspection
    finding = replace(judged.finding, verdict=Verdict.PART_WAY, reason=words.NOT_SIGNED_IN)
    return replace(inspection, judgement=replace(judged, finding=finding, nothing_open=False))


def _holds(head: CertificateHead | None, renewal: Renewal) -> bool:
    """Whether the card still holds the certificate that this renewal gave it."""
    new = renewal.facts.get("certificate")
    return head is not None and bool(new) and read_certificate(bytes.fromhex(new or "")).head.serial == head.serial
