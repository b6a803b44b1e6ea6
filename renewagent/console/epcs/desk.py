"""What the flows of the EPCS desk work with: the console's site, and the outside world behind its seams.

Flows are plain functions that run in threads: they wait for vendors and EHRs, and hold no transaction while they do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from renewagent.console.epcs.hands import Hands
from renewagent.console.settings import EpcsSettings
from renewagent.console.site import Site
from renewagent.tokens.authority import SoftTokenVendor, TokenAuthority, VendorSupport
from renewagent.tokens.ehr import Ehr
from renewagent.tokens.grants import Factor as Factor  # what `factors` gives and `requests` takes

T = TypeVar("T")
NEWS = "epcs"
"""The kind of news (`store.raise_revision`) that pages hear of when something has happened at the desk."""


@dataclass(frozen=True, slots=True)
class Desk:
    """`hands` run flows for whoever serves: `await desk.hands.do(work)`; `door` the same for those who are not signed
    in yet, so that they keep nobody waiting who is."""

    site: Site
    authority: TokenAuthority
    support: VendorSupport
    soft: SoftTokenVendor
    ehr: Ehr
    hands: Hands = field(default_factory=Hands)
    door: Hands = field(default_factory=lambda: Hands(threads=8, most=32))

    @property
    def settings(self) -> EpcsSettings:
        """The site's own for EPCS."""
        if self.site.settings.epcs is None:
            raise ValueError("a site without EPCS has no desk")
        return self.site.settings.epcs

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
