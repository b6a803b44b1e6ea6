"""What may be taken off a card: keys and certificates in its retired slots that are proven to be ours and superseded.

Pure judgement over what the journal and the card say, with the RA asked last. Nothing is superseded unless the slot
that took over holds a certificate in date and the very key that it is for. The proofs:

- the journal: a renewal that was finished here replaced this key; or a renewal that is over made it, and it never got a
  certificate;
- the card and the RA, for what was renewed elsewhere: beside the key lies its certificate, of the same holder, issuer
  and use as the newer one that took over, and the RA has revoked it and has nothing open.

Retired slots are meant for keys that decrypt what was sent to their holder earlier: these are never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.exceptions import UnsupportedAlgorithm

from renewagent.agent.journal import JournalEvent
from renewagent.agent.old_keys import TIDIED, TIDYING, Past, past_renewals, slots_of
from renewagent.certificates import public_key, read_certificate
from renewagent.errors import CardDataError
from renewagent.model import CardIdentity, SigningCertificate, Slot
from renewagent.names import same_name
from renewagent.renewal import Kind

DECRYPTING = frozenset({"keyEncipherment", "dataEncipherment", "keyAgreement"})


@dataclass(frozen=True, slots=True)
class Held:
    """What is in one slot: a key (DER SubjectPublicKeyInfo) and a certificate (DER); `torn`: something unreadable in
    the certificate's place."""

    slot: Slot
    key: bytes | None = None
    certificate: bytes | None = None
    torn: bool = False

    @property
    def read(self) -> SigningCertificate | None:
        """The certificate, where it can be read."""
        with suppress(CardDataError):
            return read_certificate(self.certificate) if self.certificate is not None else None
        return None

    @property
    def fits(self) -> bool:
        """The certificate is for this key."""
        return self.certificate is not None and self.key == _key_of(self.certificate)


@dataclass(frozen=True, slots=True)
class Proofs:
    """What the journal knows of one card: keys that were replaced, with their certificates and since when; keys that
    were made; certificates (SHA-256) of either; slots that were used; what is left of a cleaning that was cut short."""

    replaced: Mapping[bytes, tuple[SigningCertificate, datetime]] = field(default_factory=dict)
    made: Mapping[bytes, datetime] = field(default_factory=dict)
    certificates: frozenset[str] = frozenset()
    slots: frozenset[Slot] = frozenset()
    history: bytes = b""


def proofs(events: Sequence[JournalEvent], card: CardIdentity) -> Proofs:
    """Out of the journal."""
    replaced: dict[bytes, tuple[SigningCertificate, datetime]] = {}
    made: dict[bytes, datetime] = {}
    seen: set[bytes] = set()
    slots: set[Slot] = set()
    for past in past_renewals(event for event in events if event.card == str(card)):
        olds, news = _all(past, "old_certificate"), _all(past, "certificate")
        seen |= olds | news
        slots |= {Slot(past.facts[name]) for name in ("staging", "parking") if name in past.facts}
        made |= {bytes.fromhex(e.fields["public_key"]): past.over for e in past.said if e.name == Kind.GENERATED.value}
        in_use = {_key_of(der) for der in news}
        for old in olds if past.finished and news else ():
            if (key := _key_of(old)) is not None and key not in in_use:
                replaced[key] = (read_certificate(old), past.over)
    left, history = _cut_short(event for event in events if event.card == str(card))
    return Proofs(replaced, made, frozenset(map(_sha256, seen)), frozenset(slots | left), history)


def _all(past: Past, name: str) -> set[bytes]:
    """Every certificate that was noted under this name: a renewal may be of more than one."""
    return {bytes.fromhex(event.fields[name]) for event in past.said if event.fields.get(name)}


def _cut_short(events: Iterable[JournalEvent]) -> tuple[set[Slot], bytes]:
    slots: set[Slot] = set()
    history = b""
    for event in events:
        if event.name == TIDYING:
            slots |= {Slot(reference) for reference in slots_of(event)}
            history = bytes.fromhex(str(event.fields.get("history", "")))
        elif event.name == TIDIED:
            slots, history = set(), b""
    return slots, history


Gone = Callable[[SigningCertificate, SigningCertificate], bool]
"""Whether the RA has revoked the first certificate, not the second, and has nothing open for either."""


def superseded(
    retired: Sequence[Held], main: Sequence[Held], known: Proofs, now: datetime, days: int, gone: Gone
) -> list[Held]:
    """What of `retired` may go now: after `days`, or at once where a later old key of the same use is kept already.
    `main` is what the card signs and signs in with."""
    sound = [held for held in main if _sound(held, now)]
    if not main or main[0] not in sound:  # the signing slot comes first
        return []
    return [held for held in retired if _may_go(held, retired, sound, known, now, timedelta(days=days), gone)]


def _may_go(
    held: Held,
    retired: Sequence[Held],
    sound: Sequence[Held],
    known: Proofs,
    now: datetime,
    grace: timedelta,
    gone: Gone,
) -> bool:
    if held.key is None:
        return _remains(held, sound, known, gone)
    if any(held.key == other.key for other in sound):  # a move that was cut short left it in both
        return False
    if held.key in known.replaced:
        mine, since = known.replaced[held.key]
        return _successor(mine, sound) is not None and (_is_outdone(mine, held, retired) or since + grace <= now)
    if held.certificate is None:
        return held.key in known.made and known.made[held.key] + grace <= now
    old = held.read if held.fits else None
    successor = _successor(old, sound)
    if old is None or successor is None:
        return False
    return (_is_outdone(old, held, retired) or successor.head.not_before + grace <= now) and gone(old, successor)


def _remains(held: Held, sound: Sequence[Held], known: Proofs, gone: Gone) -> bool:
    """A certificate without its key, or a write that was cut short: no use to anybody."""
    if held.torn:
        return held.slot in known.slots
    if held.certificate is None:
        return False
    if _sha256(held.certificate) in known.certificates or any(held.certificate == one.certificate for one in sound):
        return True
    old = held.read
    successor = _successor(old, sound)
    return old is not None and successor is not None and gone(old, successor)


def _sound(held: Held, now: datetime) -> bool:
    certificate = held.read if held.fits else None
    return certificate is not None and certificate.head.not_before <= now <= certificate.head.not_after


def _successor(old: SigningCertificate | None, sound: Sequence[Held]) -> SigningCertificate | None:
    """The certificate that took over from this one, if it can be seen that one did."""
    return next((held.read for held in sound if _takes_over(held.read, old)), None)


def _is_outdone(old: SigningCertificate, held: Held, retired: Sequence[Held]) -> bool:
    """A later old key of the same use lies there too: one is enough to keep."""
    others = [other.read for other in retired if other.slot != held.slot and other.fits]
    later = [one for one in others if one is not None and one.head.not_before > old.head.not_before]
    return any(_takes_over(one, old) for one in later)


def _takes_over(new: SigningCertificate | None, old: SigningCertificate | None) -> bool:
    """The same holder's, by the same issuer, for the same, and not earlier; and nothing that was sent to the holder
    needs the old key to be read."""
    if new is None or old is None or not old.key_usage or old.key_usage & DECRYPTING:
        return False
    same_names = same_name(new.subject, old.subject) and same_name(new.head.issuer, old.head.issuer)
    return same_names and new.key_usage == old.key_usage and new.head.not_before >= old.head.not_before


def _key_of(certificate: bytes) -> bytes | None:
    """None where it cannot be read."""
    try:
        return public_key(certificate)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
