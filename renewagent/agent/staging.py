"""Ways B and C: the new key is made, certified and tried in a slot of its own while the old one stays. In way B the two
are then swapped; in way C (PKCS#11) the old one is deleted after the receipt, and its place stays empty.

What a card cut off in between holds is told by the card itself (`TellsKeys`): both keys are on it at every moment.
`find` says where the new one is, and `mend` puts a parked old one back, which needs nobody's help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from renewagent.agent.job import Job, Record, sha256
from renewagent.agent.room import prove_room
from renewagent.card.interface import AdminSession, HoldsSecondKeys, KeepsHistory, MovesKeys, RemovesKeys, TellsKeys
from renewagent.certificates import public_key
from renewagent.errors import CardDataError, RenewalImpossible
from renewagent.language import _
from renewagent.model import Slot
from renewagent.renewal import Event, Kind, Way


def stage(job: Job, record: Record) -> None:
    """The new key, in a slot of its own: the old one stays where it is."""
    if job.renewal.exhausted:
        raise RenewalImpossible(_("The keys that this smartcard makes do not sign."))
    kind, (staging, parking) = job.new_key_type, _slots(job)
    slots = {"staging": staging.reference, "parking": parking.reference}
    left_over = cast(HoldsSecondKeys, job.card).unfinished() if job.renewal.way is Way.C else ()

    def work(session: AdminSession) -> None:
        if job.renewal.way is Way.C:
            for slot in left_over:  # of an attempt whose public key nobody knows any more
                cast(RemovesKeys, session).remove(slot)
            prove_room(job, session)
        record(Event(Kind.STAGING, {"what": "stage", **slots}))
        public_key = session.generate(staging, kind, job.slot)
        record(Event(Kind.GENERATED, {"public_key": public_key.hex()}))

    job.administering(work)


def way_beside(job: Job) -> Way | None:
    """B or C, where the card has room for a second key; None for one that has not."""
    if job.card.capabilities().second_key:
        return Way.C
    return Way.B if staging_pair(job) is not None else None


def staging_pair(job: Job) -> tuple[Slot, Slot] | None:
    """Where the new key is staged and the old one parked: two slots proven free. Parked is in the lower one, since
    certificates on the card take the lowest references (SP 800-73-5 part 1, 3.3.3)."""
    free = job.card.capabilities().staging
    return (free[1], free[0]) if len(free) >= 2 else None


def _slots(job: Job) -> tuple[Slot, Slot]:
    """Those of an earlier attempt, whose key nobody knows, else two that are free now. Raises RenewalImpossible."""
    if job.renewal.way is Way.C:
        fresh = cast(HoldsSecondKeys, job.card).fresh_slot()
        return fresh, fresh
    if "staging" in job.renewal.facts:
        return job.staging, job.parking
    free = staging_pair(job)
    if free is None:
        raise RenewalImpossible(_("There is no room for a second key on this smartcard any more."))
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
        mover, teller = cast(MovesKeys, session), cast(KeepsHistory, session)
        known = job.fact("history") or teller.history()
        record(Event(Kind.BEGUN, {"what": "move", "history": known.hex()}))
        if in_place not in (None, new_key):
            session.store(parking, job.old.der)
            if parked == in_place:  # a move that was cut short left it in both
                mover.delete(job.slot)
            else:
                mover.move(job.slot, parking)
        if in_place != new_key:
            mover.move(staging, job.slot)
        teller.tell_of(parking, known)
        session.store(job.slot, certificate)
        session.store(staging, None)  # what is read in two places is taken for two credentials

    job.administering(work)
    if job.card.certificate(job.slot) != certificate or _key(job, job.slot) != new_key:
        raise CardDataError(_("The smartcard did not take the new key and certificate as they were written."))
    return Event(Kind.MOVED if "certconf" in job.outbox else Kind.MOVED_LATE, {"moved": "yes"})


def drop(job: Job, record: Record) -> Event:
    """Way C, after the receipt: the old key and certificate go, if they are what is there."""
    certificate = job.card.certificate(job.slot)

    def work(session: AdminSession) -> None:
        record(Event(Kind.BEGUN, {"what": "drop"}))
        cast(RemovesKeys, session).remove(job.slot)

    if job.slot != job.new_slot and certificate is not None and sha256(certificate) == job.old_sha256:
        job.administering(work)
    return Event(Kind.DROPPED)


def undo(job: Job) -> None:
    """The new key does not serve: the old key and certificate back in their place, the staged ones away."""
    if job.renewal.way is Way.C:
        job.administering(lambda session: cast(RemovesKeys, session).remove(job.staging))
        return
    keys = look(job)
    if keys is not None and job.renewal.moved:
        mend(job, keys, public_key(job.old.der))
        return
    staging = job.staging

    def work(session: AdminSession) -> None:
        cast(MovesKeys, session).delete(staging)
        session.store(staging, None)

    job.administering(work)


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
    """A new key of way B or C on the card. `moved`: it is in the signing slot and the old one parked; `half_moved`: the
    signing slot is empty. `fields` are for the journal."""

    public_key: bytes
    staging: Slot
    parking: Slot
    moved: bool = False
    half_moved: bool = False
    way: Way = Way.B

    @property
    def fields(self) -> dict[str, str]:
        """As facts of the renewal."""
        return {
            "way": self.way.value,
            "public_key": self.public_key.hex(),
            "staging": self.staging.reference,
            "parking": self.parking.reference,
        }


def find(job: Job, *candidates: bytes) -> Found | None:
    """Where the card has one of these new keys, if it got there by way B or C; None otherwise, and for other cards."""
    if job.card.capabilities().second_key:
        return _find_beside(job, candidates)
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


def _find_beside(job: Job, candidates: Sequence[bytes]) -> Found | None:
    """Way C: any slot may hold it; `job.slot` then becomes the one that holds the certificate to be replaced."""
    for slot in job.card.slots():
        with suppress(CardDataError):  # one whose writing was cut short
            certificate = job.card.certificate(slot)
            if certificate is not None and sha256(certificate) == job.old_sha256:
                job.slot = slot
    slots = [*job.card.slots(), *cast(HoldsSecondKeys, job.card).unfinished()]
    for slot in slots:
        with suppress(CardDataError):  # a key whose making was cut short
            key = _key(job, slot)
            if key and key in candidates and slot != job.slot:
                return Found(key, slot, slot, way=Way.C)
    return None


def mend(job: Job, keys: Keys, old_key: bytes) -> bool:
    """Put a parked old key and its certificate back into the signing slot, where nobody knows how to go on with the new
    one. True if it was parked. A new key in the signing slot is kept, in a free slot."""
    parked, free = keys.where(old_key), keys.free()
    if parked is None or parked == job.slot:
        return False
    occupied = job.slot in keys.by_slot
    if occupied and free is None:
        raise RenewalImpossible(_("There is no room on this smartcard to put its keys right."))

    def work(session: AdminSession) -> None:
        mover = cast(MovesKeys, session)
        if occupied and free is not None:
            mover.move(job.slot, free)
        mover.move(parked, job.slot)
        session.store(job.slot, job.old.der)
        cast(KeepsHistory, session).tell_no_more_of((parked,), job.fact("history"))
        session.store(parked, None)

    job.administering(work)
    return True


def _kept(job: Job, name: str) -> Slot | None:
    kept = job.renewal.facts.get(name)
    return Slot(kept) if kept else None


def _key(job: Job, slot: Slot) -> bytes | None:
    return cast(TellsKeys, job.card).public_key(slot)
