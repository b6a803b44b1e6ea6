"""A stand-in for the vendor, as small as an EHR needs it, and the cast of an EHR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from renewagent.tokens.ehr import Ehr
from renewagent.tokens.errors import TokenServerUnreachable, UnknownToken
from renewagent.tokens.model import Answer, Checked, SoftToken, Staff, TokenKind, TokenStanding, TokenState
from renewagent_fixtures.mock_epcs.ehr import MockEhr
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods

BEGIN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LAMB = Staff("lamb", "Ada Lamb", "1234567893", "AL1234563", "lamb@clinic.example")
REED = Staff("reed", "Ben Reed", "1245319599", "BR1234563", "reed@clinic.example")
HALE = Staff("hale", "Cora Hale", email="hale@clinic.example")
PASSWORDS = {"lamb": "larks-at-noon", "reed": "reeds-at-dusk", "hale": "hail-at-dawn"}


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    at: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.at

    def go(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class StandInVendor:
    """Knows phones by user name and tokens by serial; the only right code is 123456."""

    phones: dict[str, SoftToken] = field(default_factory=dict)
    tokens: dict[str, TokenStanding] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def check(self, serial: str, code: str) -> Checked:
        self._ask("check")
        known = serial in self.tokens or any(phone.serial == serial for phone in self.phones.values())
        if not known:
            raise UnknownToken(f"No token {serial}.")
        return Checked(Answer.ACCEPTED if code == "123456" else Answer.REFUSED)

    def standing(self, serial: str) -> TokenStanding:
        self._ask("standing")
        if serial not in self.tokens:
            raise UnknownToken(f"No token {serial}.")
        return self.tokens[serial]

    def soft_tokens(self, usernames: Sequence[str]) -> dict[str, SoftToken]:
        self._ask("soft_tokens")
        return {name: self.phones[name] for name in usernames if name in self.phones}

    def _ask(self, call: str) -> None:
        self.asked.append(call)
        if self.away:
            raise TokenServerUnreachable("The vendor cannot be reached.")


class Cast(Protocol):
    """An EHR of either sort, with what tests turn at behind it."""

    ehr: Ehr
    behind: MockEhr
    vendor: StandInVendor
    clock: Clock


def phone(username: str, registration: str = "r1", *, working: bool = True) -> SoftToken:
    ends = BEGIN + timedelta(days=300)
    return SoftToken(username, f"HID-{username}", registration, BEGIN, BEGIN, BEGIN, ends, working)


def hardware(serial: str, account: str, state: TokenState = TokenState.ACTIVE) -> TokenStanding:
    return TokenStanding(serial, TokenKind.HARDWARE, state, account)


def entropy(size: int) -> bytes:
    return bytes(range(size))


def staffed(vendor: StandInVendor, clock: Clock, moods: EhrMoods | None = None, url: str = "sqlite://") -> MockEhr:
    """An EHR with two prescribers and an administrator's assistant."""
    ehr = MockEhr(url, vendor=vendor, now=clock, entropy=entropy, moods=moods)
    for person in (LAMB, REED, HALE):
        ehr.add_staff(person, PASSWORDS[person.user])
    return ehr
