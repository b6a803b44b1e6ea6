"""What a renewal tells the console of itself, from its events: how far it is, what stands in its way by its stable
code, until when somebody waits, and at the end the receipt. Nothing here asks, waits or fails.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from renewagent.agent.job import Job
from renewagent.agent.unfinished import PERSON_LEFT
from renewagent.check_ins import CardState, CertificateClaim, CheckIn, card_model
from renewagent.errors import RaWaiting
from renewagent.model import SigningCertificate
from renewagent.names import format_name
from renewagent.renewal import Event, Kind, State

_LOCKED = frozenset({"RA-PIN-BLOCKED", "RA-PIN-LAST-TRY"})
_REFUSED = frozenset({"RA-REFUSED", "RA-IMPOSSIBLE"})
_GOES_ON = frozenset({Kind.AGREED, Kind.READY_AT_RA, Kind.RESUMED})
_RENEWED = frozenset({Kind.RECEIPTED, Kind.NO_RECEIPTS, Kind.FOUND_RECEIPTED})
_DONE = frozenset({Kind.SIGNED_IN, Kind.PAIRED})
_WAITS = "RA-WAITING"


@dataclass(frozen=True, slots=True)
class Said:
    """A state with what belongs to it; see `CheckIn`."""

    state: CardState
    why: str = ""
    until: datetime | None = None
    receipt: bytes = b""


class RenewalReports:
    """Of one job. What follows another certificate's renewal along the way is reported with that one."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._waits_until: datetime | None = None
        self._knows_old = job.renewal.state is State.PREFLIGHT or "old_certificate" in job.renewal.facts

    def event(self, event: Event) -> None:
        """After `event` has been journalled and taken in."""
        said = self._said(event)
        if said is not None:
            self._report(said)

    def waits(self, error: RaWaiting) -> None:
        """The RA is to be asked again later, and it is waited for now."""
        self._waits_until = self._job.place.now() + timedelta(seconds=max(1, error.check_after))
        self._report(Said(CardState.PUT_OFF, _WAITS, self._waits_until))

    def _said(self, event: Event) -> Said | None:
        kind, state = event.kind, self._job.renewal.state
        if kind in _DONE:
            return Said(CardState.DONE)
        if kind in _RENEWED:
            return Said(CardState.RENEWED, receipt=self._job.receipt or self._job.fact("receipt"))
        if kind is Kind.TOLD_TO_WAIT:
            return Said(CardState.PUT_OFF, _WAITS, datetime.fromisoformat(event.fields["until"]))
        if kind in _GOES_ON and state not in PERSON_LEFT | {State.WAITING}:
            return Said(CardState.RUNNING)
        if kind is Kind.STOPPED:
            return self._stopped(event.fields)
        if kind is Kind.INTERRUPTED:
            return self._interrupted(event.fields["code"], state)
        return None

    def _stopped(self, fields: Mapping[str, str]) -> Said:
        """Nothing was changed."""
        code = fields["code"]
        if "come_back" in fields:  # its turn comes later: `renewagent.agent.turns`
            return Said(CardState.PUT_OFF, code, datetime.fromisoformat(fields["come_back"]))
        if code == "RA-STOPPED":
            later = self._waits_until is not None and self._waits_until > self._job.place.now()
            return Said(CardState.PUT_OFF, code, self._waits_until if later else None)
        if code in _LOCKED:
            return Said(CardState.LOCKED, code)
        return Said(CardState.REFUSED if code in _REFUSED else CardState.TOLD, code)

    def _interrupted(self, code: str, state: State) -> Said | None:
        """Half done. Until when the RA is waited for has been said."""
        if code == _WAITS or state is State.WAITING:
            return None
        if code in _LOCKED:
            return Said(CardState.LOCKED, code)
        return Said(CardState.RENEWED if state in PERSON_LEFT else CardState.PART_WAY, code)

    def _report(self, said: Said) -> None:
        job = self._job
        if job.agreed:  # it goes along with another one's renewal (`Job.agreed`)
            return
        started_elsewhere = job.campaign.id == "-" and "campaign" not in job.renewal.facts
        check_in = CheckIn(
            id=secrets.token_hex(16),
            at=job.place.now(),
            card=str(job.identity),
            state=said.state,
            certificate=self._certificate(),
            campaign="" if started_elsewhere else job.campaign_name,
            rule=job.rule or "",
            model=card_model(str(job.identity)),
            why=said.why,
            until=said.until,
            receipt=said.receipt,
        )
        job.place.report(check_in)

    def _certificate(self) -> CertificateClaim | None:
        """The affected one; nobody knows it here where the renewal was begun elsewhere and the card holds another."""
        old: SigningCertificate = self._job.old
        if not (self._knows_old or "old_sha256" in self._job.renewal.facts) or self._job.old_sha256 != old.sha256:
            return None
        head = old.head
        issuer = format_name(head.issuer)
        return CertificateClaim(issuer, head.serial_hex, head.not_before, head.not_after, old.sha256)
