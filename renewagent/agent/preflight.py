"""What is proved before anything is begun, without a PIN: the campaign, the RA, the clock, the computer's
battery, the card, a way that serves.

The first step of every renewal, and asked again where one goes on that has a ticket and has not touched the card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import cast

from renewagent.agent import desk_words, words
from renewagent.agent.job import KEYS, Job
from renewagent.agent.pair import copy_to_come, may_go_by_way_a
from renewagent.agent.passcode import refuse_few_tries
from renewagent.agent.power import LEAST
from renewagent.agent.room import prove_room
from renewagent.agent.staging import staging_pair, way_beside
from renewagent.agent.turns import kept_for, not_yet
from renewagent.agent.words import NOTHING_CHANGED
from renewagent.card.interface import HoldsSecondKeys
from renewagent.errors import BatteryLow, CampaignError, NoRoom, RenewalImpossible
from renewagent.language import _
from renewagent.renewal import Event, Kind, Way, can_protect, choose_way
from renewagent.rules import hits


def preflight(job: Job, record: Callable[[Event], None]) -> Event:
    """Everything that can fail without a PIN does so here: journal, RA, clock, tries, expiry, a way that serves."""
    if not job.ordered:
        refuse_before_turn(job, kept_for(job.place.journal, job.old.head, job.place.now()))
    tickets = may_begin(job, job.campaign.id)
    if not job.ordered:
        ask_for_turn(job)
    way = way_for(job, tickets=tickets or job.place.way_d_without_tickets)
    known = {**copy_to_come(job, way), **({"tickets": "yes"} if tickets else {})}
    return Event(Kind.READY, {"way": way.value, "old_certificate": job.old.der.hex(), **known, **job.begun_under})


def refuse_before_turn(job: Job, until: datetime | None) -> None:
    """Raises NotYet. The authentication certificate goes along with its signing certificate, and has no turn."""
    now = job.place.now()
    if job.beside is None and until is not None and until > now:
        raise not_yet(until, now)


def ask_for_turn(job: Job) -> None:
    """Without a PIN: an RA that spreads its renewals keeps a turn for this card, which may be now. Raises NotYet, and
    RenewalImpossible where the next renewal is for the RA itself."""
    head = job.old.head
    standing = job.place.desk.standing(head.issuer, head.serial, begin=True) if job.beside is None else None
    if standing is None:
        return
    if standing.in_person:
        raise RenewalImpossible(_(desk_words.TOO_OFTEN), advice=desk_words.in_person(job.place.contact))
    refuse_before_turn(job, standing.come_back)


def may_begin(job: Job, campaign: str) -> bool:
    """What needs no PIN and must be right before anything is begun, or gone on with while the card is as it was: True
    where the RA has an address for tickets. Raises RenewalImpossible, CampaignError, ClockError and the like."""
    job.place.journal.check_writable()
    known = job.campaigns.get(campaign)
    if known is None:
        raise CampaignError(_("The Registration Authority's notice for this smartcard is not on this computer."))
    if known.campaign.only_paused(job.place.now()):
        raise CampaignError(
            _("The Registration Authority has paused its notice for this smartcard."),
            advice=_("You will be told when it goes on. Nothing was changed on the smartcard."),
        )
    if known.campaign.over(job.place.now()):
        raise CampaignError(
            _("The Registration Authority has withdrawn its notice for this smartcard, or it has expired."),
            advice=_("You do not need to do anything. Nothing was changed on the smartcard."),
        )
    if job.campaign.remedy != "renew":
        raise RenewalImpossible(words.affected(job.campaign).body, advice=words.affected(job.campaign).advice)
    if job.old.head.not_after <= job.place.now() and not job.ordered:
        message = words.expired(job.old.head.not_after, job.place.contact)
        raise RenewalImpossible(message.body, advice=message.advice)
    _refuse_low_battery(job.place.power.battery())
    refuse_few_tries(job.card.pin_tries())
    job.authentication_certificate()
    return job.place.desk.nonce() is not None


def way_for(job: Job, *, tickets: bool) -> Way:
    """The first way that serves and is not in vain. Raises RenewalImpossible."""
    if job.beside is not None:
        return _way_of_pair(job)
    can_rekey = job.card.capabilities().rekey_in_place
    # That the old key is usable is proved by the first signature, which nothing irreversible precedes.
    second = way_beside(job) if tickets or can_protect(job.old) else None
    may = partial(choose_way, job.campaign, can_rekey=can_rekey, tickets=tickets, second=second)
    way = may(old_key_usable=True)
    if way is Way.A and _futile(job, job.old.key_algorithm, job.old.key_bits):
        way = may(old_key_usable=False)
    if way is None:
        raise RenewalImpossible(_("This smartcard cannot be renewed safely at this computer."))
    if way is not Way.A:
        refuse_futile_key(job)
    return way


def _way_of_pair(job: Job) -> Way:
    """A or B, by the old key; D where the new signing certificate can vouch, and the dates tell any other workstation
    what is due. Raises RenewalImpossible."""
    assert job.beside is not None  # noqa: S101  for the type checker
    in_place = job.card.capabilities().rekey_in_place and can_protect(job.beside[1]) and bool(job.campaign.rules)
    in_place = in_place and job.place.key_relay is None  # nothing stands at the RA that would open the card for ever
    second = Way.B if staging_pair(job) is not None else None
    same_key = may_go_by_way_a(job) and not _futile(job, job.old.key_algorithm, job.old.key_bits)
    way = choose_way(job.campaign, old_key_usable=same_key, can_rekey=in_place, tickets=True, second=second)
    if way is None:
        raise RenewalImpossible(
            _("The sign-in certificate of this smartcard cannot be renewed safely at this computer.")
        )
    if way is not Way.A:
        refuse_futile_key(job)
    return way


def refuse_futile_key(job: Job) -> None:
    """Asked again once the RA has told which keys it certifies. Raises RenewalImpossible."""
    if _futile(job, *KEYS[job.new_key_type]):
        raise RenewalImpossible(_("A certificate that this smartcard could get today would be affected as well."))


def prove_administration(job: Job) -> None:
    """The management key is right, and there is room: better known before the point of no return than after."""
    if job.place.key_relay is not None and job.renewal.way is Way.A:
        return  # the RA opens no card before it has issued something
    # What an earlier attempt left on a vendor's card goes before the new key is made, and room is proved then.
    left_over = job.renewal.way is Way.C and cast(HoldsSecondKeys, job.card).unfinished()
    job.administering(lambda session: None if left_over else prove_room(job, session))


def room_or_other_way(job: Job) -> Event | None:
    """The same; where a second key finds no room, and the new one may take the old one's place, the event that says so.
    Raises NoRoom where it may not."""
    try:
        prove_administration(job)
    except NoRoom:
        tickets = "tickets" in job.renewal.facts or job.place.way_d_without_tickets
        can_rekey = job.card.capabilities().rekey_in_place
        way = choose_way(job.campaign, old_key_usable=False, can_rekey=can_rekey, tickets=tickets)
        if way is None or job.renewal.way is way:
            raise
        return Event(Kind.NO_ROOM, {"way": way.value})
    return None


def _refuse_low_battery(left: int | None) -> None:
    if left is not None and left < LEAST:
        raise BatteryLow(
            _("This computer runs on its battery, of which {left} % is left. It could go off in the middle.").format(
                left=left
            )
            + f" {_(NOTHING_CHANGED)}"
        )


def _futile(job: Job, key_algorithm: str, key_bits: int) -> bool:
    """Whether a rule would hit a new certificate for such a key as well, whoever issues it, under whatever serial."""
    head = replace(job.old.head, not_before=job.place.now())
    new = replace(job.old, head=head, key_algorithm=key_algorithm, key_bits=key_bits)
    foreseeable = (r for r in job.campaign.rules if not (r.serials or r.issuer or r.signature_algorithms))
    return any(hits(rule, new) for rule in foreseeable)
