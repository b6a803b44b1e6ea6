"""What the agent knows now, for `status`: readers, cards and their findings, campaigns, health. Data and a lock."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from renewagent import __version__
from renewagent.agent.words import Message
from renewagent.language import _
from renewagent.model import CertificateHead
from renewagent.rules import Campaign


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """One reader. `card` is the card document of `inspect --json`, None before the check has ended."""

    present: bool = False
    checking: bool = False
    renewing: bool = False
    card: Mapping[str, Any] | None = None
    message: Message | None = None
    checked: datetime | None = None


class Status:
    """The agent's picture of the world; every method may be called from any thread."""

    def __init__(self, started: datetime) -> None:
        self._started = started
        self._lock = threading.Lock()
        self._readers: dict[str, ReaderStatus] = {}
        self._pcsc: str | None = _("The smartcard service has not been reached yet.")
        self._campaigns: tuple[Campaign, ...] = ()
        self._campaigns_checked: datetime | None = None
        self._campaigns_problem: str | None = None

    def readers_are(self, names: Sequence[str]) -> None:
        """These readers there are, and no others."""
        with self._lock:
            self._readers = {name: self._readers.get(name, ReaderStatus()) for name in names}

    def of(self, reader: str) -> ReaderStatus:
        """One reader's status."""
        with self._lock:
            return self._readers.get(reader, ReaderStatus())

    def change(self, reader: str, **fields: Any) -> None:
        """Set some fields of one reader."""
        with self._lock:
            self._readers[reader] = replace(self._readers.get(reader, ReaderStatus()), **fields)

    def present(self) -> list[str]:
        """The readers that hold a card."""
        with self._lock:
            return [name for name, status in self._readers.items() if status.present]

    def renewing(self) -> list[str]:
        """The readers whose card is being renewed, whether it is in just now or not."""
        with self._lock:
            return [name for name, status in self._readers.items() if status.renewing]

    def pcsc_is(self, problem: str | None) -> None:
        """The PC/SC service's health, None for well."""
        with self._lock:
            self._pcsc = problem

    def campaigns_are(self, campaigns: Sequence[Campaign], checked: datetime | None, problem: str | None) -> None:
        """The campaigns in force, when they were last fetched, and what went wrong then."""
        with self._lock:
            self._campaigns = tuple(campaigns)
            self._campaigns_checked = checked or self._campaigns_checked
            self._campaigns_problem = problem

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """The campaigns in force."""
        with self._lock:
            return self._campaigns

    def document(self, pid: int) -> dict[str, Any]:
        """Everything, for `status --json`."""
        with self._lock:
            return {
                "ok": True,
                "agent": {"pid": pid, "started": time_text(self._started), "version": __version__},
                "pcsc": {"ok": self._pcsc is None, "problem": self._pcsc},
                "campaigns": {
                    "accepted": [_campaign(campaign) for campaign in self._campaigns],
                    "checked": time_text(self._campaigns_checked),
                    "problem": self._campaigns_problem,
                },
                "readers": [_reader(name, status) for name, status in sorted(self._readers.items())],
            }


def _campaign(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "version": campaign.version,
        "expires": time_text(campaign.expires),
        "withdrawn": campaign.withdrawn,
        "paused": campaign.paused,
    }


def _reader(name: str, status: ReaderStatus) -> dict[str, Any]:
    return {
        "reader": name,
        "present": status.present,
        "checking": status.checking,
        "renewing": status.renewing,
        "checked": time_text(status.checked),
        "card": dict(status.card) if status.card is not None else None,
        "message": status.message.text if status.message is not None else None,
    }


def time_text(when: datetime | None) -> str | None:
    """RFC 3339 with Z, whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if when is not None else None


def head_document(head: CertificateHead | None, sha256: str | None = None) -> dict[str, Any] | None:
    """A certificate as `--json` shows it; `sha256` is None where only the head was read."""
    if head is None:
        return None
    from renewagent.names import format_name

    return {
        "serial": head.serial_hex,
        "issuer": format_name(head.issuer),
        "not_before": time_text(head.not_before),
        "not_after": time_text(head.not_after),
        "sha256": sha256,
    }
