"""The words of EPCS: tokens, devices, staff and what a vendor or an EHR answers about them. Data alone.

Times are aware UTC. A token is named by its serial, as it is printed on its back (capitals and digits); a person by the
account name that they have in the EHR (electronic health record).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class TokenKind(Enum):
    """What a code comes from."""

    HARDWARE = "hardware"
    SOFT = "soft"


class TokenState(Enum):
    """What a token may do. A deactivated or lost one never comes back."""

    SPARE = "spare"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    LOST = "lost"
    DEACTIVATED = "deactivated"

    @property
    def is_over(self) -> bool:
        """True if the token can never be used again."""
        return self in (TokenState.LOST, TokenState.DEACTIVATED)


class Answer(Enum):
    """What an authority says of codes. REFUSED never says why: a right code outside a window is refused like a wrong
    one."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to one code, or to two for a resynchronisation. `until`: when a locked token is looked at again;
    `drift`: after an accepted resynchronisation, by how many presses (or time steps) the token was ahead."""

    answer: Answer
    until: datetime | None = None
    drift: int | None = None


@dataclass(frozen=True, slots=True)
class TokenStanding:
    """What an authority knows of a token. `account` is the owner's name there, "" for nobody's."""

    serial: str
    kind: TokenKind
    state: TokenState
    account: str = ""
    locked_until: datetime | None = None
    fips_level: int = 0
    separate_device: bool = True


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A phone app's registration at the vendor. `username` is the Soft Token User Name; `serial` the device's;
    `registration` changes with everything after which an EHR must register the device anew."""

    username: str
    serial: str
    registration: str
    activated: datetime
    password_set: datetime
    certificate_issued: datetime
    certificate_ends: datetime
    working: bool


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a vendor sends to have a new device activated: two codes by two channels (21 CFR 1311.105), neither of them
    in here. `channels`: where they went, shortened ("m...@clinic.example", "phone ending 42")."""

    id: str
    username: str
    channels: tuple[str, ...]
    ends: datetime
    keeps_old: bool


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the EHR's screen shows it."""

    name: str
    serial: str
    username: str
    authenticated: bool
    registered: datetime | None = None


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody in the EHR. `npi` and `dea` are "" for those who have none."""

    user: str
    name: str
    npi: str = ""
    dea: str = ""
    email: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """What the EHR lets somebody do. `administrator`: the permission that overrides roles; `override_ends`: when the
    EHR itself takes it away again, None where it stands until somebody does."""

    epcs_enabled: bool
    epcs_granted: bool
    epcs_suspended: bool
    administrator: bool
    override_ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a token is sent. With the e-mail address for tracking these are the eleven lines that the vendor asks for
    under "Ship To"; the line that reminds of suite numbers is `suite`."""

    company: str
    attention: str
    street1: str
    street2: str
    suite: str
    city: str
    state: str
    postal_code: str
    country: str
    phone: str
    tracking_email: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A photograph of a token: `side` is "front", "back" or "error"."""

    side: str
    media_type: str
    octets: bytes = field(repr=False)
