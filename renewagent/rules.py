"""Which certificates are affected: the campaign's rules, and the judgement of one certificate by them. Pure.

Fields within a rule are ANDed, absent ones do not restrict; rules are ORed and the first that hits names itself.
`issued_from <= notBefore < issued_to` (design section 6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from renewagent.names import Name

ANY_KEY_USAGE = "any"


@dataclass(frozen=True, slots=True)
class SerialRange:
    """Serials from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AffectedRule:
    """One way to be affected. `key_usage` defaults to contentCommitment; "any" lifts it."""

    name: str
    issued_from: datetime | None = None
    issued_to: datetime | None = None
    issuer: Name | None = None
    serials: tuple[SerialRange, ...] = ()
    key_usage: str = "contentCommitment"
    signature_algorithms: tuple[str, ...] = ()
    key_algorithms: tuple[str, ...] = ()
    key_bits_below: int | None = None
    card_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a person can ask."""

    name: str = ""
    phone: str = ""
    url: str = ""
    hours: str = ""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One signed statement of the RA: these certificates are bad, and this is what to do. Times are aware UTC."""

    id: str
    version: int
    published: datetime
    expires: datetime
    reason: dict[str, str]
    rules: tuple[AffectedRule, ...]
    remedy: Literal["renew", "replace-card", "see-ra"] = "renew"
    renews: Literal["signing", "pair"] = "signing"
    rekey: Literal["required", "allowed", "forbidden"] = "required"
    old_key: Literal["usable", "may-be-unusable"] = "usable"
    removal_ends_session: bool = True
    deadline: datetime | None = None
    contact: Contact = field(default_factory=Contact)
    withdrawn: bool = False
