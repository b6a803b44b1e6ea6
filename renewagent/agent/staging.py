"""Way B: the new key is made, certified and tried in a staging slot while the old one stays; then the two are swapped.

What a card cut off in between holds is told by the card itself (`TellsKeys`): both keys are on it at every moment.
`find` says where the new one is, and `mend` puts a parked old one back, which needs nobody's help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.agent.job import Job, Record, new_key_type
from renewagent.card.interface import AdminSession, MovesKeys, TellsKeys
from renewagent.errors import CardDataError, RenewalImpossible
from renewagent.model import Slot
from renewagent.renewal import Event, Kind


def stage(job: Job, record: Record) -> None:
    """The new key, in a slot of its own: the old one stays where it is."""
    if job.renewal.exhausted:
        raise RenewalImpossible("The keys that this smartcard makes do not sign.")
    kind, (staging, parking) = new_key_type(job.old, job.campaign, job.rule), _slots(job)

    def work(session: AdminSession) -> None:
        record(Event(Kind.STAGING, {"what": "stage", "staging": staging.reference, "parking": parking.reference}))
        public_key = session.generate(staging, kind)
        record(Event(Kind.GENERATED, {"public_key": public_key.hex()}))

    job.passcode.administering(job.card, work)


def staging_pair(job: Job) -> tuple[Slot, Slot] | None:
    """Where the new key is staged and the old one parked: two slots proven free."""
    free = job.card.capabilities().staging
    return (free[0], free[1]) if len(free) >= 2 else None


def _slots(job: Job) -> tuple[Slot, Slot]:
    """Those of an earlier attempt, whose key nobody knows, else two that are free now. Raises RenewalImpossible."""
    if "staging" in job.renewal.facts:
        return job.staging, job.parking
    free = staging_pair(job)
    if free is None:
        raise RenewalImpossible("There is no room for a second key on this smartcard any more.")
    return free


def swap(job: Job, record: Record) -> Event:
    """Old key to its parking slot, new key to the signing slot, each where that has not been done; then certificates.

    The old certificate is parked beside its key before its own object is overwritten.
    """
    staging, parking = job.staging, job.parking
    new_key, certificate = job.fact("public_key"), job.fact("certificate")
    # Asked before the session: a SELECT in its middle would end it on many cards.
    in_place, parked = _key(job, job.slot), _key(job, parking)

    def work(session: AdminSession) -> None:
        mover = cast(MovesKeys, session)
        record(Event(Kind.BEGUN, {"what": "move"}))
        if in_place not in (None, new_key):
            session.store(parking, job.old.der)
            if parked == in_place:  # a move that was cut short left it in both
                mover.delete(job.slot)
            else:
                mover.move(job.slot, parking)
        if in_place != new_key:
            mover.move(staging, job.slot)
        session.store(job.slot, certificate)

    job.passcode.administering(job.card, work)
    if job.card.certificate(job.slot) != certificate or _key(job, job.slot) != new_key:
        raise CardDataError("The smartcard did not take the new key and certificate as they were written.")
    return Event(Kind.MOVED if "certconf" in job.outbox else Kind.MOVED_LATE, {"moved": "yes"})


def undo(job: Job) -> None:
    """The new key does not serve: the old key and certificate back in their place, the staged ones away."""
    keys = look(job)
    if keys is not None and job.renewal.moved:
        mend(job, keys, public_key(job.old.der))
        return
    staging = job.staging

    def work(session: AdminSession) -> None:
        cast(MovesKeys, session).delete(staging)
        session.store(staging, None)

    job.passcode.administering(job.card, work)


@dataclass(frozen=True, slots=True)
class Keys:
    """Which keys are where: DER SubjectPublicKeyInfo by slot, for the signing slot and every slot for staging."""

    by_slot: Mapping[Slot, bytes]
    all_slots: Sequence[Slot]

    def where(self, key: bytes) -> Slot | None:
        """The slot that holds this key."""
        return next((slot for slot, held in self.by_slot.items() if key and held == key), None)

    def free(self) -> Slot | None:
        """The first slot for staging without a key."""
        return next((slot for slot in self.all_slots if slot not in self.by_slot), None)


def look(job: Job) -> Keys | None:
    """All keys that may have part in way B; None for a card that cannot tell."""
    slots = getattr(job.card, "staging_slots", tuple[Slot, ...])()
    if not slots:
        return None
    found = {slot: _key(job, slot) for slot in (job.slot, *slots)}
    return Keys({slot: key for slot, key in found.items() if key is not None}, slots)


@dataclass(frozen=True, slots=True)
class Found:
    """A new key of way B on the card. `moved`: it is in the signing slot and the old one parked; `half_moved`: the
    signing slot is empty. `fields` are for the journal."""

    public_key: bytes
    staging: Slot
    parking: Slot
    moved: bool
    half_moved: bool

    @property
    def fields(self) -> dict[str, str]:
        """As facts of the renewal."""
        return {
            "way": "B",
            "public_key": self.public_key.hex(),
            "staging": self.staging.reference,
            "parking": self.parking.reference,
        }


def find(job: Job, *candidates: bytes) -> Found | None:
    """Where the card has one of these new keys, if it got there by way B; None otherwise, and for other cards."""
    keys = look(job)
    if keys is None:
        return None
    old = keys.where(public_key(job.old.der))
    parked = old if old != job.slot else None
    for candidate in candidates:
        at = keys.where(candidate)
        if at is None or (at == job.slot and parked is None):
            continue
        moved = at == job.slot
        staging = _kept(job, "staging") or keys.free() or at if moved else at
        parking = parked or _kept(job, "parking") or keys.free() or at
        return Found(candidate, staging, parking, moved, half_moved=not moved and job.slot not in keys.by_slot)
    return None


def mend(job: Job, keys: Keys, old_key: bytes) -> bool:
    """Put a parked old key and its certificate back into the signing slot, where nobody knows how to go on with the new
    one. True if it was parked. A new key in the signing slot is kept, in a free slot."""
    parked, free = keys.where(old_key), keys.free()
    if parked is None or parked == job.slot:
        return False
    occupied = job.slot in keys.by_slot
    if occupied and free is None:
        raise RenewalImpossible("There is no room on this smartcard to put its keys right.")

    def work(session: AdminSession) -> None:
        mover = cast(MovesKeys, session)
        if occupied and free is not None:
            mover.move(job.slot, free)
        mover.move(parked, job.slot)
        session.store(job.slot, job.old.der)

    job.passcode.administering(job.card, work)
    return True


def public_key(der: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a certificate."""
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _kept(job: Job, name: str) -> Slot | None:
    kept = job.renewal.facts.get(name)
    return Slot(kept) if kept else None


def _key(job: Job, slot: Slot) -> bytes | None:
    return cast(TellsKeys, job.card).public_key(slot)
