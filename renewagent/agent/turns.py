"""Whose turn has not come: an RA that spreads its renewals names a time for each certificate (its rate plan).

The time stands in the journal, beside the attempt that it ended, so that a restart changes nothing about it. Until then
the RA is asked nothing about that certificate; other cards go on. The resident agent reads it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from renewagent.agent.times_in_words import moment_in_words
from renewagent.errors import JournalError, NotYet, RenewAgentError
from renewagent.language import _
from renewagent.model import CertificateHead
from renewagent.names import Name, format_name

if TYPE_CHECKING:
    from renewagent.agent.journal import Journal, JournalEvent

T = TypeVar("T")
Ask = Callable[[Name, int], T | None]
_UNTIL, _OF = "come_back", "turn_of"


def not_yet(until: datetime, now: datetime) -> NotYet:
    """What is said of it."""
    when = moment_in_words(until.astimezone(), now)
    return NotYet(
        _("The Registration Authority renews this smartcard {when}. Nothing was changed on it.").format(when=when),
        until,
        advice=_("Your turn is kept for you. Start again {when}.").format(when=when),
    )


def noted(error: RenewAgentError, head: CertificateHead) -> Mapping[str, str]:
    """What the journal keeps of an attempt that ended with `error`, so that `kept` finds it."""
    if not isinstance(error, NotYet):
        return {}
    return {_UNTIL: error.until.astimezone(UTC).isoformat(), _OF: _name(head.serial, format_name(head.issuer))}


def kept(events: Iterable[JournalEvent], serial: int, issuer: str, now: datetime) -> datetime | None:
    """The time that was named for this certificate, if it has not come; `issuer` as `format_name` writes it."""
    latest = None
    for event in events:
        if event.fields.get(_OF) == _name(serial, issuer):
            latest = datetime.fromisoformat(str(event.fields[_UNTIL]))
    return latest if latest is not None and latest > now else None


def kept_for(journal: Journal, head: CertificateHead, now: datetime) -> datetime | None:
    """The same, of a certificate that was read."""
    return kept(journal.replay(), head.serial, format_name(head.issuer), now)


def kept_here(state_folder: Path, certificate: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    """The same, for `certificate` as `inspect --json` shows it. None where there is no record that can be read."""
    path = state_folder / "journal.db"
    if certificate is None or not path.exists():
        return None
    from renewagent.agent.journal import Journal  # SQLite, 1.2 MB that a workstation where nothing was renewed spares

    with suppress(JournalError), Journal(path) as journal:
        return kept(journal.replay(), int(certificate["serial"], 16), str(certificate["issuer"]), now)
    return None


def come_back(until: datetime) -> dict[str, str]:
    """How it stands in documents for programs."""
    return {"come_back": until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def put_off(error: RenewAgentError) -> dict[str, str]:
    """The same, of the error that ended a renewal; nothing where it is another one."""
    return come_back(error.until) if isinstance(error, NotYet) else {}


def asked_in_turn(ask_ra: Ask[T], journal: Journal, now: datetime) -> Ask[T]:
    """The RA's PIN-less address, which is not asked about a certificate whose turn has not come."""
    events = [event for event in journal.replay() if _OF in event.fields]

    def ask(issuer: Name, serial: int) -> T | None:
        return None if kept(events, serial, format_name(issuer), now) is not None else ask_ra(issuer, serial)

    return ask if events else ask_ra


def _name(serial: int, issuer: str) -> str:
    return f"{format(serial, 'x')} {issuer}"
