"""A check-in: what a workstation tells the console of one card. Both ends share this and nothing else.

A check-in is a claim. Only the receipt inside one, signed by the card, proves anything (design section 6). No name, no
e-mail and no passcode has a place here. JSON, one object each; unknown fields are refused, so that nothing travels
that nobody has thought about.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

LARGEST_RECEIPT = 16 * 1024
"""Octets."""
MOST_AT_ONCE = 100
"""Check-ins in one delivery."""
_ID = re.compile(r"[0-9a-f]{32}")
_HEX = re.compile(r"[0-9a-f]{64}")
_SERIAL = re.compile(r"-?[0-9a-f]{1,64}")
_TEXT = re.compile(r"[\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]*")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_LONGEST = {"card": 200, "issuer": 1000, "campaign": 200, "rule": 200, "model": 40, "why": 300, "order": 32}


class CardState(Enum):
    """How far a card is, in the words of the dashboard. NOT_SEEN, DONE and STUCK are the console's own findings: a
    workstation that says `done` without a receipt is heard as `renewed`."""

    NOT_SEEN = "not-seen"
    CLEAR = "clear"
    AFFECTED = "affected"
    TOLD = "told"
    PUT_OFF = "put-off"
    RUNNING = "running"
    PART_WAY = "part-way"
    RENEWED = "renewed"
    DONE = "done"
    LOCKED = "locked"
    EXPIRED = "expired"
    REPLACE_CARD = "replace-card"
    REFUSED = "refused"
    STUCK = "stuck"


CLAIMED = frozenset(CardState) - {CardState.NOT_SEEN, CardState.STUCK}
"""What a workstation may say."""
PAUSED = "paused"
"""The `why` of a clear card that a paused campaign would hit: it answers whoever asked, and settles nothing."""


@dataclass(frozen=True, slots=True)
class CertificateClaim:
    """The signing certificate that a check-in is about: the affected one from beginning to end of a renewal.
    `issuer` as RFC 4514 text, `serial` and `sha256` in lowercase hex; "" for a hash that is not known, since the check
    at insertion reads the beginning of a certificate only. Times are aware UTC."""

    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """`id`: 32 hex digits, made once, so that a second delivery counts for nothing. `card`: `str(CardIdentity)`.
    `campaign`: "id/version", "" where no campaign has anything to do with the card. `why`: the stable code of the error
    that stands in the way, or a few words. `until`: when somebody who put it off, or was put off, is to be reminded.
    `order`: the "check now" that this answers. `receipt`: CMS SignedData by the card (DER)."""

    id: str
    at: datetime
    card: str
    state: CardState
    certificate: CertificateClaim | None = None
    campaign: str = ""
    rule: str = ""
    model: str = ""
    why: str = ""
    until: datetime | None = None
    order: str = ""
    receipt: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """The object to send; what is empty is left out."""
        document: dict[str, Any] = {"id": self.id, "at": _text(self.at), "card": self.card, "state": self.state.value}
        if self.certificate is not None:
            one = self.certificate
            document["certificate"] = {
                "issuer": one.issuer,
                "serial": one.serial,
                "not_before": _text(one.not_before),
                "not_after": _text(one.not_after),
                **({"sha256": one.sha256} if one.sha256 else {}),
            }
        for name in ("campaign", "rule", "model", "why", "order"):
            if value := getattr(self, name):
                document[name] = value
        if self.until is not None:
            document["until"] = _text(self.until)
        if self.receipt:
            document["receipt"] = binascii.b2a_base64(self.receipt, newline=False).decode()
        return document

    @classmethod
    def from_json(cls, document: object) -> CheckIn:
        """The reverse, strict. Raises ValueError that says which field is wrong."""
        known = _object(document, "a check-in", _FIELDS)
        state = CardState(_matching(known, "state", _TEXT))
        if state not in CLAIMED:
            raise ValueError(f"state {state.value} is not for a workstation to say")
        return cls(
            id=_matching(known, "id", _ID),
            at=_time(known, "at"),
            card=_words(known, "card", needed=True),
            state=state,
            certificate=_certificate(known.get("certificate")),
            campaign=_words(known, "campaign"),
            rule=_words(known, "rule"),
            model=_words(known, "model"),
            why=_words(known, "why"),
            until=_time(known, "until") if "until" in known else None,
            order=_matching(known, "order", _ID) if "order" in known else "",
            receipt=_octets(known.get("receipt", "")),
        )


def card_model(card: str) -> str:
    """By how the card is named (`str(CardIdentity)`), since asking it would take a dozen exchanges; "" if unknown."""
    return {"chuid": "piv", "serial": "piv", "token": "pkcs11"}.get(card.partition(":")[0], "")


_FIELDS = frozenset("id at card state certificate campaign rule model why until order receipt".split())
_OF_CERTIFICATE = frozenset("issuer serial not_before not_after sha256".split())


def _certificate(value: object) -> CertificateClaim | None:
    if value is None:
        return None
    known = _object(value, "certificate", _OF_CERTIFICATE)
    return CertificateClaim(
        issuer=_words(known, "issuer", needed=True),
        serial=_matching(known, "serial", _SERIAL),
        not_before=_time(known, "not_before"),
        not_after=_time(known, "not_after"),
        sha256=_matching(known, "sha256", _HEX) if "sha256" in known else "",
    )


def _object(value: object, what: str, fields: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is an object")
    if unknown := value.keys() - fields:
        raise ValueError(f"unknown field {min(unknown)[:40]!r}")
    return value


def _matching(known: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = known.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{name} is missing or not what it must be")
    return value


def _words(known: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    if name not in known and not needed:
        return ""
    value = _matching(known, name, _TEXT)
    if len(value) > _LONGEST[name] or (needed and not value):
        raise ValueError(f"{name} is empty or too long")
    return value


def _time(known: Mapping[str, Any], name: str) -> datetime:
    value = known.get(name)
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            return datetime.fromisoformat(value)  # a tenth of the time that strptime takes
    except ValueError:
        pass
    raise ValueError(f"{name} is not a time such as 2020-10-01T14:50:00Z")


def _octets(value: object) -> bytes:
    try:
        octets = binascii.a2b_base64(value, strict_mode=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        octets = None
    if octets is None or len(octets) > LARGEST_RECEIPT:
        raise ValueError("receipt is not base64, or too long")
    return octets


def _text(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
