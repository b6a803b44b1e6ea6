"""What the resident agent needs of the configuration, which it does not read itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from renewagent.names import Name
from renewagent.rules import Contact


@dataclass(frozen=True, slots=True)
class ResidentSettings:
    """What the resident needs of the configuration. `child_options` go to every child; times in seconds, `interval`
    that between two polls. `vendor_cards`: a PKCS#11 module may know a card that we do not. `console`: there is one to
    report to; `stream`: it says when to look again. `phase`: see `PollSchedule`."""

    state_folder: Path
    signing_issuers: tuple[Name, ...] = ()
    contact: Contact = field(default_factory=Contact)
    ask_ra: bool = False
    vendor_cards: bool = False
    fetch_campaigns: bool = False
    console: bool = False
    stream: bool = False
    phase: float = 0.0
    child_options: tuple[str, ...] = ()
    interval: float = 300.0
    card_limit: float = 10.0
