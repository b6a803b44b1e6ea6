"""What is sent to a vendor's support desk: reset tickets and orders, and how far one is. Data and their states; what a
form must hold is checked in `forms`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from renewagent.tokens.model import Address, Picture


class TicketState(Enum):
    """OPEN: written here; SENT: the vendor has it; DONE: the vendor has done it; NOTIFIED: and the prescriber knows.
    REFUSED: the vendor will not do it as it was sent; `outcome` says why."""

    OPEN = "open"
    SENT = "sent"
    DONE = "done"
    NOTIFIED = "notified"
    REFUSED = "refused"


class OrderKind(Enum):
    """A replacement is free (never arrived, arrived broken, a flaw of its own); a spare, or one for a token that was
    lost or broken by use, is bought."""

    REPLACEMENT = "replacement"
    SPARE = "spare"


@dataclass(frozen=True, slots=True)
class ResetTicket:
    """`values`: two consecutive codes, or two counter numbers, as the serial's profile has it (`asks_for`: "codes" or
    "counters")."""

    provider: str
    npi: str
    serial: str
    asks_for: str
    values: tuple[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """`serial` is the broken token's, "" for a spare; `email` the one that the vendor knows; `explanation` what is
    broken, "" for a spare."""

    kind: OrderKind
    provider: str
    email: str
    address: Address
    serial: str = ""
    explanation: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Filed:
    """What the vendor says of something that was sent. `outcome` is a sentence, "" while there is none; `tracking` the
    parcel's; `serial` that of the token in it."""

    number: str
    state: TicketState
    at: datetime
    outcome: str = ""
    tracking: str = ""
    serial: str = ""
