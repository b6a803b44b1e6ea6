"""Takes old keys and certificates off cards once they are superseded (`superseded` says which), and keeps what the card
says of its retired keys right.

The order is: the card tells of the slots no more; then, the highest first, the key goes and the certificate goes. A cut
anywhere leaves a card that signs, and the certificate, by which what is left is known and done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import cast

from renewagent.agent.full_inspection import OPEN_STATES, AskRa
from renewagent.agent.job import Workplace
from renewagent.agent.journal import HOUSEKEEPING, Journal, JournalEvent
from renewagent.agent.old_keys import TIDIED, TIDYING, old_keys
from renewagent.agent.passcode import Passcode, RenewableCard
from renewagent.agent.superseded import Held, Proofs, proofs, superseded
from renewagent.agent.unfinished import PERSON_LEFT, open_renewal
from renewagent.card.interface import AdminSession, KeepsHistory, MovesKeys, TellsKeys
from renewagent.errors import CardDataError, RaError, RenewAgentError
from renewagent.model import SigningCertificate, Slot

log = logging.getLogger(__name__)

Work = Callable[[AdminSession], None]


def tidy(
    card: RenewableCard,
    journal: Journal,
    now: datetime,
    days: int,
    administer: Callable[[Work], None],
    ask_ra: AskRa | None = None,
) -> list[Slot]:
    """Empty the slots whose keys and certificates are superseded; which these were. `administer` runs its argument in
    an administration session. Raises what the card, the journal and the session raise."""
    staging: Sequence[Slot] = getattr(card, "staging_slots", tuple[Slot, ...])()
    if not staging or _is_at_work(journal, card):
        return []
    events = journal.replay()
    known = proofs(events, card.identity())
    retired = _retired(card, staging, known)
    full = [held for held in reversed(retired) if held != Held(held.slot)]
    main = [_held(card, slot) for slot in card.slots() if slot not in staging] if full else []
    going = superseded(full, main, known, now, days, lambda old, new: _gone(ask_ra, old, new))
    note = partial(_note, journal, str(card.identity()), now)
    if going:
        administer(lambda session: _empty(session, going, known, note))
        log.info("card.tidied slots=%s", ",".join(held.slot.reference for held in going))
    slots = [held.slot for held in going]
    if empty := {*slots, *_gone_already(events, card, retired, known)}:
        note(TIDIED, sorted(empty))
    return slots


def _is_at_work(journal: Journal, card: RenewableCard) -> bool:
    """A renewal of this card has begun here and is not done with it."""
    renewal = open_renewal(journal, card.identity())
    return renewal is not None and renewal.state not in PERSON_LEFT


def _empty(session: AdminSession, going: Sequence[Held], known: Proofs, note: Callable[..., None]) -> None:
    mover, teller = cast(MovesKeys, session), cast(KeepsHistory, session)
    # Another program may have been quicker; what it put there is not proven.
    going = [held for held in going if mover.public_key(held.slot) == held.key]
    slots, history = [held.slot for held in going], known.history or teller.history()
    note(TIDYING, slots, history=history.hex())
    teller.tell_no_more_of(slots, history)
    for held in going:
        if held.key is not None:
            mover.delete(held.slot)
        session.store(held.slot, None)


def _note(journal: Journal, card: str, now: datetime, name: str, slots: Sequence[Slot], **more: str) -> None:
    fields = {"slots": " ".join(slot.reference for slot in slots), **more}
    journal.append(HOUSEKEEPING, card, name, fields, now)


def _gone_already(
    events: Sequence[JournalEvent], card: RenewableCard, retired: Sequence[Held], known: Proofs
) -> set[Slot]:
    """Where the journal knows an old key and the card has it no more: another workstation was quicker."""
    without = {held.slot.reference for held in retired if held.key not in known.replaced}
    return {Slot(key.slot) for key in old_keys(events, card.identity()) if key.slot in without}


def _retired(card: RenewableCard, staging: Sequence[Slot], known: Proofs) -> list[Held]:
    """What is in the slots that the card tells of or the journal knows, and in those that follow, up to the first empty
    one: where a cleaning was cut short, the card tells of them no more."""
    told, found = set(card.slots()) | known.slots, list[Held]()
    for slot in staging:
        held = _held(card, slot)
        if held == Held(slot) and slot not in told:
            break
        found.append(held)
    return found + [_held(card, slot) for slot in staging[len(found) + 1 :] if slot in told]


def _held(card: RenewableCard, slot: Slot) -> Held:
    key = cast(TellsKeys, card).public_key(slot)
    try:
        return Held(slot, key, card.certificate(slot))
    except CardDataError:
        return Held(slot, key, torn=True)


def _gone(ask_ra: AskRa | None, old: SigningCertificate, new: SigningCertificate) -> bool:
    if ask_ra is None:
        return False
    try:
        before = ask_ra(old.head.issuer, old.head.serial)
        after = ask_ra(new.head.issuer, new.head.serial)
    except RaError:
        return False
    if before is None or after is None:
        return False
    return before.revoked and not after.revoked and not {before.state, after.state} & OPEN_STATES


def tidy_if_possible(place: Workplace, card: RenewableCard, passcode: Passcode) -> list[Slot]:
    """`tidy` on the way of something else: nobody is asked for a passcode, and what goes wrong is for the log."""
    if place.key_relay is not None or (card.administration_needs_pin and not passcode.in_hand):
        return []  # the RA opens a card for a renewal alone
    try:
        return tidy(
            card,
            place.journal,
            place.now(),
            place.keep_old_key_days,
            lambda work: passcode.administering(card, work),
            place.desk.standing,
        )
    except RenewAgentError as error:
        log.warning("card.not_tidied reason=%s", error.code)
        return []
