"""What the agent keeps on disk besides the journal: accepted campaigns (plain JSON, verified by a child before it wrote
them) and the certificates about which the RA has said that nothing is open. The folder is the user's alone."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path

from renewagent.campaign.document import parse_campaign
from renewagent.errors import CampaignError
from renewagent.model import CertificateHead
from renewagent.names import canonical, format_name
from renewagent.rules import Campaign

log = logging.getLogger(__name__)

CAMPAIGNS = "campaigns"
_LOOKED_UP = "looked-up.json"
_MOST = 4096


def write_atomically(path: Path, octets: bytes) -> None:
    """Whole or not at all, durable, readable by this user alone. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def accepted_campaigns(state_folder: Path) -> list[Campaign]:
    """The campaigns that a child has verified and written; a damaged file is logged and left out."""
    campaigns = []
    for path in sorted((state_folder / CAMPAIGNS).glob("*.json")):
        try:
            campaigns.append(parse_campaign(path.read_bytes()))
        except (OSError, CampaignError) as error:
            log.warning("campaign.damaged file=%s reason=%s", path.name, error)
    return campaigns


class LookedUp:
    """Certificates that the RA has nothing open for, kept by serial and issuer."""

    def __init__(self, state_folder: Path) -> None:
        self._path = state_folder / _LOOKED_UP
        self._keys: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            self._keys = [str(key) for key in json.loads(self._path.read_bytes())]

    def holds(self, head: CertificateHead) -> bool:
        """True if the RA has been asked about this certificate, from this workstation."""
        return _key(head) in self._keys

    def add(self, head: CertificateHead) -> None:
        """Remember it; a disk that does not take it costs one more question later."""
        self._keys = [*self._keys, _key(head)][-_MOST:]
        with contextlib.suppress(OSError):
            write_atomically(self._path, json.dumps(self._keys).encode())


def _key(head: CertificateHead) -> str:
    return f"{head.serial_hex} {format_name(canonical(head.issuer))}"
