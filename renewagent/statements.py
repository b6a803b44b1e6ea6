"""What a card is made to sign, apart from CMP messages: statements that we build ourselves, field by field.

A statement is a fixed first line that names its purpose, then `name: value` lines in a fixed order, in UTF-8. A peer
contributes a nonce (hex) and nothing else, so no text, request or message that a peer chooses can come out signed
(design section 4). Wrapped in CMS SignedData by `renewagent.cms`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Literal

_FIELD = re.compile(r"[\x20-\x7e\u00a0-\uffff]*")
MIN_NONCE, MAX_NONCE = 8, 64
"""Bytes."""
_HEX = re.compile(rf"(?:[0-9a-f]{{2}}){{{MIN_NONCE},{MAX_NONCE}}}")
_NAMES = ("origin", "card", "certificate", "old", "campaign", "time", "nonce")


class Purpose(Enum):
    """The first line of a statement."""

    SIGN_IN = "renewagent sign-in v1"
    RECEIPT = "renewagent receipt v1"
    TICKET = "renewagent ticket v1"
    ORDER = "renewagent order v1"
    APPROVAL = "renewagent approval v1"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    `origin` is the peer's (scheme, host, port); `card` is `str(CardIdentity)`; `certificate` the SHA-256 (hex) of the
    certificate that it is about: the new one in a receipt, the signing certificate on the card in a sign-in at the RA
    and the authentication certificate itself in one at the console, the one to be replaced in a ticket, the person's
    authentication certificate in an officer's order and in an approval at the EPCS desk; `old` the replaced one's in a
    receipt, the one to be replaced in an order, the SHA-256 of what is approved in an approval, else "-"; `campaign` is
    "id/version" or "-"; `at` aware UTC, whole seconds; `nonce` the peer's, lowercase hex of 8 to 64 bytes.
    """

    purpose: Purpose
    origin: str
    card: str
    certificate: str
    at: datetime
    nonce: str
    old: str = "-"
    campaign: str = "-"

    def encode(self) -> bytes:
        """The bytes to sign. Raises ValueError for a field that could pass for another line."""
        if not _HEX.fullmatch(self.nonce):
            raise ValueError("a nonce is 8 to 64 bytes in lowercase hex")
        time = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = (self.origin, self.card, self.certificate, self.old, self.campaign, time, self.nonce)
        if not all(_FIELD.fullmatch(v) for v in values):
            raise ValueError("a control character in a statement")
        lines = [self.purpose.value, *(f"{n}: {v}" for n, v in zip(_NAMES, values, strict=True))]
        return "\n".join(lines).encode() + b"\n"

    @classmethod
    def decode(cls, octets: bytes) -> Statement:
        """The reverse, strict: raises ValueError unless `encode` would give back the same bytes."""
        lines = octets.decode("utf-8").split("\n")
        if len(lines) != len(_NAMES) + 2 or lines[-1]:
            raise ValueError("not a renewagent statement")
        values = []
        for name, line in zip(_NAMES, lines[1:], strict=False):
            if not line.startswith(f"{name}: "):
                raise ValueError(f"a statement without {name} in its place")
            values.append(line.removeprefix(f"{name}: "))
        origin, card, certificate, old, campaign, time, nonce = values
        at = datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        statement = cls(Purpose(lines[0]), origin, card, certificate, at, nonce, old, campaign)
        if statement.encode() != octets:
            raise ValueError("a statement that is not written as it must be")
        return statement


TicketState = Literal["open", "armed", "issued", "confirmed", "closed"]
