"""What every page and address of the console works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from renewagent.console.meters import Meters
from renewagent.console.news import News
from renewagent.console.settings import Settings
from renewagent.console.store import Store


@dataclass(frozen=True, slots=True)
class Site:
    """`now` gives aware UTC, `entropy` so many random octets."""

    settings: Settings
    store: Store
    now: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    news: News = field(default_factory=News)
    meters: Meters = field(default_factory=Meters)
