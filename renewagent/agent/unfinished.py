"""Which renewal of a card this workstation's journal holds open; whether only the person's part of it is left, and
until when the RA looks at it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from renewagent.agent import words
from renewagent.agent.full_inspection import AskRa, Inspection, Standing
from renewagent.agent.journal import Journal, OpenRenewal
from renewagent.certificates import read_certificate
from renewagent.errors import JournalError
from renewagent.model import CardIdentity, CertificateHead, Verdict
from renewagent.names import Name
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


def waits_until(renewal: Renewal) -> datetime | None:
    """Before when the RA is to hear nothing of this renewal; None where it is not the RA that is waited for."""
    kept = renewal.facts.get("until")
    return datetime.fromisoformat(kept) if kept and renewal.state is State.WAITING else None


def asked_in_time(ask_ra: AskRa | None, state_folder: Path, now: datetime) -> AskRa | None:
    """The same address, which is not asked about a request that the RA is looking at before the time that it named."""
    waits = {
        read_certificate(bytes.fromhex(renewal.facts["old_certificate"])).head.serial
        for renewal in _open_renewals(state_folder)
        if (until := waits_until(renewal)) is not None and now < until and "old_certificate" in renewal.facts
    }

    def ask(issuer: Name, serial: int) -> Standing | None:
        return None if serial in waits or ask_ra is None else ask_ra(issuer, serial)

    return ask if ask_ra is not None and waits else ask_ra


def _open_renewals(state_folder: Path) -> list[Renewal]:
    """None where there is no record, or none that can be read."""
    path = state_folder / "journal.db"
    with suppress(JournalError):
        if path.exists():
            with Journal(path) as journal:
                return [renewal_of(journal, entry) for entry in journal.open_renewals()]
    return []


def with_the_journal(inspection: Inspection, state_folder: Path, now: datetime) -> Inspection:
    """A card whose certificate nothing is wrong with is not finished all the same, while nobody has signed in with it:
    then the verdict is PART_WAY. So it is while the RA looks at a request that was made here. A record that cannot be
    read changes nothing."""
    judged = inspection.judgement
    mine = [renewal for renewal in _open_renewals(state_folder) if renewal.card == str(inspection.card)]
    if not mine:
        return inspection
    if mine[-1].state is State.WAITING:
        return _looked_at(inspection, waits_until(mine[-1]) or now, now)
    clear = judged.finding.verdict is Verdict.UNAFFECTED or judged.open_state == "confirmed"
    if not clear or mine[-1].state not in PERSON_LEFT or not _holds(judged.finding.head, mine[-1]):
        return inspection
    return _part_way(inspection, words.NOT_SIGNED_IN)


def _looked_at(inspection: Inspection, until: datetime, now: datetime) -> Inspection:
    """Before the time that the RA named, nobody has asked it; afterwards its word tells whether it is ready."""
    more = inspection.judgement.looked_at_for
    if until <= now and more is None:
        return _part_way(inspection, words.RA_IS_READY)
    until = max(until, now + timedelta(seconds=more or 0))
    return replace(_part_way(inspection, words.RA_LOOKS_AT_IT), ask_after=until)


def _part_way(inspection: Inspection, reason: str) -> Inspection:
    finding = replace(inspection.judgement.finding, verdict=Verdict.PART_WAY, reason=reason)
    return replace(inspection, judgement=replace(inspection.judgement, finding=finding, nothing_open=False))


def _holds(head: CertificateHead | None, renewal: Renewal) -> bool:
    """Whether the card still holds the certificate that this renewal gave it."""
    new = renewal.facts.get("certificate")
    return head is not None and bool(new) and read_certificate(bytes.fromhex(new or "")).head.serial == head.serial
