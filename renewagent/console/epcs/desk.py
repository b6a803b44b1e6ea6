"""What the flows of the EPCS desk work with: the console's site, and the outside world behind its seams.

Flows are plain functions that run in threads: they wait for vendors and EHRs, and hold no transaction while they do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from renewagent.console.permissions import Person
from renewagent.console.settings import EpcsSettings
from renewagent.console.site import Site
from renewagent.tokens.authority import SoftTokenVendor, TokenAuthority, VendorSupport
from renewagent.tokens.ehr import Ehr

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """`settings` are the site's own for EPCS."""

    site: Site
    settings: EpcsSettings
    authority: TokenAuthority
    support: VendorSupport
    soft: SoftTokenVendor
    ehr: Ehr

    def now(self) -> datetime:
        """Aware UTC."""
        return self.site.now()

    def new_id(self) -> str:
        """For a row of ours: 16 hexadecimal digits."""
        return self.site.entropy(8).hex()

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """As the store's, in this thread."""
        return self.site.store.reading(work)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """As the store's, in this thread: durable when it returns."""
        return self.site.store.writing(work)


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor that was shown for one decision, just now: `how` is "card" or "otp", `evidence` the certificate's
    SHA-256 or the token's serial."""

    person: Person
    how: str
    evidence: str
    at: datetime
