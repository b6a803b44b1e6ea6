"""What the agent knows from earlier days, besides the journal: accepted campaigns, and certificates about which the RA
has said that nothing is open. Children write both (campaigns once verified); the resident process reads them.
"""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path

from renewagent.campaign.document import parse_campaign
from renewagent.errors import CampaignError
from renewagent.model import CertificateHead
from renewagent.names import canonical, format_name
from renewagent.rules import Campaign

log = logging.getLogger(__name__)

CAMPAIGNS = "campaigns"
POLLS = "polls.json"
CONSOLE, CERTIFICATE = "console", "agent.pem"
_LOOKED_UP = "looked-up.json"
_MOST = 4096


def accepted_campaigns(state_folder: Path) -> list[Campaign]:
    """The campaigns that a child has verified and written; a damaged file is logged and left out."""
    newest: dict[str, Campaign] = {}
    for path in sorted((state_folder / CAMPAIGNS).glob("*.json")):
        try:
            campaign = parse_campaign(path.read_bytes())
        except (OSError, CampaignError) as error:
            log.warning("campaign.damaged file=%s reason=%s", path.name, error)
            continue
        if campaign.id not in newest or newest[campaign.id].version < campaign.version:
            newest[campaign.id] = campaign
    return list(newest.values())


def polled_before(state_folder: Path) -> bool:
    """Whether any agent has ever asked for campaigns, or visited a console, from here."""
    return (state_folder / POLLS).exists()


def enrolled_before(state_folder: Path) -> bool:
    """Whether a console has given this agent a certificate."""
    return (state_folder / CONSOLE / CERTIFICATE).exists()


class LookedUp:
    """Certificates that the RA has nothing open for, by serial and issuer."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / _LOOKED_UP
        self._keys: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            self._keys = [str(key) for key in json.loads(self._path.read_bytes())]

    def holds(self, head: CertificateHead) -> bool:
        """True if the RA has been asked about this certificate, from this workstation."""
        return _key(head) in self._keys

    def add(self, head: CertificateHead) -> None:
        """Remember it, in this process."""
        self._keys = [*(key for key in self._keys if key != _key(head)), _key(head)][-_MOST:]

    def save(self) -> None:
        """Remember for later days; a disk that does not take it costs one more question then."""
        from renewagent.atomic import write_atomically

        with contextlib.suppress(OSError):
            write_atomically(self._path, json.dumps(self._keys).encode())


def _key(head: CertificateHead) -> str:
    return f"{head.serial_hex} {format_name(canonical(head.issuer))}"
