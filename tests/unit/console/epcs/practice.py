"""A practice with people for every part, at a desk over either database, in front of the mock vendor and EHR.

ada, amy: EPCS administrators. ray: a DEA registrant. sue: the prescriber that it is mostly about, a registrant as well.
ned: a prescriber without registration. kim: a registrant at the console, of whose registration the EHR knows nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.epcs import requests
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person, Role
from renewagent.console.settings import EpcsSettings, Listener, Settings
from renewagent.console.site import Site
from renewagent.console.store import Store
from renewagent.tokens.grants import Action, Factor, Request, RequestState
from renewagent.tokens.model import Access, Staff
from renewagent_fixtures.mock_epcs.ehr import MockEhr
from renewagent_fixtures.mock_epcs.ehr_tables import LOG
from renewagent_fixtures.mock_epcs.vendor import MockVendor

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
"""A Monday."""
EPCS = EpcsSettings("https://vendor.test", "v" * 32, "https://ehr.test", "e" * 32, zone=UTC)


@dataclass
class Clock:
    """Stands still unless it is moved."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


@dataclass
class Practice:
    """See the module."""

    clock: Clock
    store: Store
    vendor: MockVendor
    ehr: MockEhr
    desk: Desk
    npis: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ada = self.somebody("ada", Role.EPCS_ADMINISTRATOR)
        self.amy = self.somebody("amy", Role.EPCS_ADMINISTRATOR)
        self.ray = self.somebody("ray", Role.PRESCRIBER, dea="BR1111119")
        self.sue = self.somebody("sue", Role.PRESCRIBER, dea="BS1111119")
        self.ned = self.somebody("ned", Role.PRESCRIBER)
        self.kim = self.somebody("kim", Role.PRESCRIBER, dea="BK1111119", dea_at_ehr="")

    def somebody(self, user: str, role: Role, *, dea: str = "", npi: str = "", dea_at_ehr: str | None = None) -> Person:
        """Added, or found where the practice is opened once more."""
        self.npis[user] = npi or f"1{len(self.npis):09}"
        known = dea if dea_at_ehr is None else dea_at_ehr
        if there := self.desk.read(lambda c: people.by_ehr(c, user)):
            return there
        self.ehr.add_staff(Staff(user, user.title(), self.npis[user], known), "a password")
        newcomer = people.Newcomer(user.title(), role, ("RX1",), subject=f"CN={user}", ehr=user, dea=dea)
        return self.desk.write(lambda c: people.add(c, self.clock(), "console", newcomer, secrets.token_bytes))

    def npi(self, user: str) -> str:
        return self.npis[user]

    def entered(self, action: Action = Action.GRANT) -> Request:
        return requests.enter(self.desk, self.ada, self.sue, action, "New phone")

    def factor(self, request: Request, person: Person | None = None) -> Factor:
        return Factor(person or self.ray, request.id, "otp", "GALH00000001", self.clock())

    def grant(self) -> Request:
        request = self.entered()
        return requests.execute(self.desk, self.factor(request), request.id)

    def revoke(self) -> Request:
        request = self.entered(Action.REVOKE)
        return requests.execute(self.desk, self.factor(request), request.id)

    def state(self, request: Request) -> RequestState:
        return requests.find(self.desk, request.id).state

    def access(self, person: Person | None = None) -> Access:
        return self.ehr.access((person or self.sue).ehr)

    def events(self, begin: str = "epcs.") -> list[str]:
        return [entry.event for entry in self.desk.read(audit.entries) if entry.event.startswith(begin)]

    def ehr_did(self, what: str) -> list[tuple[str, str]]:
        """Who did it there, and what they said; not what was refused."""
        return [(e.who, e.said) for e in self.ehr.audit() if e.what == what and not e.said.startswith("refused")]

    def forget_ehr_log(self) -> None:
        with self.ehr._store.open() as connection:
            connection.execute(sa.delete(LOG))

    def move_to(self, zone: str) -> None:
        site = self.desk.site
        epcs = replace(self.desk.settings, zone=ZoneInfo(zone))
        self.desk = replace(self.desk, site=replace(site, settings=replace(site.settings, epcs=epcs)))

    def meet(self, **others: Any) -> None:
        """Another EHR, or another vendor, from now on."""
        self.desk = replace(self.desk, **others)

    def close(self) -> None:
        self.store.close()
        self.vendor.close()
        self.ehr.close()


def new_practice(folder: Path, database: str) -> Practice:
    """One that is new, or as it was left in this folder. Close it."""
    clock = Clock()
    listener = Listener("127.0.0.1", 0, "https://console.test")
    settings = Settings(folder, database, listener, listener, folder, folder, epcs=EPCS)
    store = Store(database)
    store.migrate()
    site = Site(settings, store, clock, secrets.token_bytes)
    vendor = MockVendor(f"sqlite:///{folder}/vendor.db", now=clock, entropy=secrets.token_bytes)
    ehr = MockEhr(f"sqlite:///{folder}/ehr.db", vendor=vendor, now=clock, entropy=secrets.token_bytes)
    return Practice(clock, store, vendor, ehr, Desk(site, authority=vendor, support=vendor, soft=vendor, ehr=ehr))
