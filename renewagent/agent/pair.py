"""The pair: where a campaign renews it, the authentication certificate (9A) follows the signing certificate.

The signing certificate goes first, since an updated authentication certificate vouches for nothing more (design section
4). The other is then renewed by the same table, in a renewal of its own: by way A or B, `kur` by its old key; by way D
only where the new signing certificate may protect the `cr`. What vouches for it before the RA is the signing
certificate where its key usage lets it, else the old authentication certificate, of which way A keeps a copy on the
card until it is done: a write that is cut short must not take away what the card speaks to the RA with.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from renewagent.agent.full_inspection import OPEN_STATES, authentication_beside, is_for_authentication
from renewagent.agent.job import Job
from renewagent.agent.staging import look
from renewagent.agent.words import NOTHING_CHANGED, Message, advice_with_contact
from renewagent.card.interface import KeepsCopies
from renewagent.certificates import public_key, read_certificate
from renewagent.errors import CardDataError, RenewAgentError, RenewalImpossible
from renewagent.language import N_, _
from renewagent.model import SigningCertificate, Slot, Verdict
from renewagent.renewal import Renewal, Way, can_protect
from renewagent.rules import Campaign, Contact, for_the_pair, judge


def follows(job: Job) -> Job | None:
    """The renewal of the other certificate, where the signing certificate's has come to its removal and the campaign
    wants the pair; None where nothing is wrong with the other, or there is none."""
    campaign = for_the_pair(job.campaign)
    if campaign is None or campaign.over(job.place.now()):
        return None
    found = authentication_beside(job.card, job.new_slot)
    if found is None or not _due(found[1], job.campaign, campaign, job.place.now()):
        return None
    new = read_certificate(job.fact("certificate"))
    renewal = Renewal(secrets.token_hex(8), str(job.identity), job.campaign.label)
    return replace(
        job,
        slot=found[0],
        old=found[1],
        campaign=campaign,
        renewal=renewal,
        beside=(job.new_slot, new),
        agreed=True,
        outbox={},
        receipt=b"",
        rule=judge(found[1], campaign, job.place.now()).rule,
    )


def left(error: RenewAgentError, contact: Contact) -> Message:
    """What the person hears where the other certificate stays as it is."""
    body = _("The certificate that you sign prescriptions with is renewed, the one that you sign in with is as it was.")
    why = error.message.replace(_(NOTHING_CHANGED), "").strip()
    return Message("pair-left", _("Renewed in part"), f"{body} {why}", advice_with_contact(error, contact), error.code)


def _due(certificate: SigningCertificate, whole: Campaign, campaign: Campaign, now: datetime) -> bool:
    """By date; where no rule has one, whatever was issued before the campaign goes with its signing certificate."""
    if campaign.rules:
        return judge(certificate, campaign, now).verdict is Verdict.AFFECTED
    return certificate.head.not_before < whole.published


def keep_copy(job: Job) -> None:
    """Before way A asks for a certificate that will overwrite the old one. Raises RenewalImpossible."""
    if job.renewal.way is not Way.A or not _vouches_itself(job):
        return
    slot = _copy_slot(job)
    if slot is None:
        raise RenewalImpossible(_(_NOT_HERE))
    if _read(job, slot) != job.old.der:
        job.administering(lambda session: session.store(slot, job.old.der))
    if _read(job, slot) != job.old.der:
        raise RenewalImpossible(_(_NOT_HERE))


def drop_copy(job: Job) -> None:
    """When the RA has the receipt, or takes none."""
    slot = _copy_slot(job) if job.renewal.way is Way.A else None
    if slot is not None and _read(job, slot) == job.old.der:
        job.vouching = (job.slot, read_certificate(job.fact("certificate")))  # the receipt revoked the old one
        job.administering(lambda session: session.store(slot, None))


def may_go_by_way_a(job: Job) -> bool:
    """Whether there is room for the copy, where one is needed."""
    return not _vouches_itself(job) or _copy_slot(job) is not None


def copy_to_come(job: Job, way: Way) -> dict[str, str]:
    """For the journal: where a copy will be written, so that half of one is known again."""
    slot = _copy_slot(job) if way is Way.A and _vouches_itself(job) else None
    return {} if slot is None else {"copy": slot.reference}


def _copy_slot(job: Job) -> Slot | None:
    """Where the copy is; else the first place that is empty, or holds half a copy that was written from here. Half of
    one that another computer wrote stays, since nobody here knows what it was."""
    held = {slot: _read(job, slot) for slot in _copy_slots(job)}
    if job.old.der in held.values():
        return next(slot for slot, der in held.items() if der == job.old.der)
    mine = {event.fields.get("copy") for event in job.place.journal.replay() if event.card == str(job.identity)}
    return next((s for s, der in held.items() if der is None or (der == b"" and s.reference in mine)), None)


def _copy_slots(job: Job) -> Sequence[Slot]:
    return cast(KeepsCopies, job.card).copy_slots() if hasattr(job.card, "copy_slots") else ()


def prepare(job: Job) -> None:
    """Before the RA is asked how far an interrupted renewal came: have something to ask with.

    At another workstation the old certificate is the copy, or the one parked beside its key; one that is torn is put
    back, since many cards can sign with no key whose certificate they cannot read."""
    if not _vouches_itself(job):
        return  # the signing certificate asks, and the RA tells the rest
    if "old_certificate" not in job.renewal.facts:
        job.old = _kept(job) or job.old
    head, keys = job.old.head, look(job)
    standing = job.place.desk.standing(head.issuer, head.serial)
    if standing is not None and standing.revoked and (now := _read(job, job.slot)):
        job.vouching = (job.slot, read_certificate(now))  # all is done, but for our knowing it
    elif keys is not None and (where := keys.where(public_key(job.old.der))) is not None:
        job.vouching = (where, job.old)
    elif _unreadable(job, job.slot):
        job.administering(lambda session: session.store(job.slot, job.old.der))


def _vouches_itself(job: Job) -> bool:
    return job.beside is not None and not can_protect(job.beside[1])


def _kept(job: Job) -> SigningCertificate | None:
    """The oldest authentication certificate on the card whose renewal the RA knows to be open: a newer one is what is
    to take its place."""
    aside = getattr(job.card, "staging_slots", tuple[Slot, ...])()
    read = (_read(job, slot) for slot in dict.fromkeys((job.slot, *aside, *_copy_slots(job))))
    found = [certificate for der in read if der and (certificate := _for_authentication(der)) is not None]
    for certificate in sorted(found, key=lambda certificate: certificate.head.not_before):
        standing = job.place.desk.standing(certificate.head.issuer, certificate.head.serial)
        if standing is not None and standing.state in OPEN_STATES:
            return certificate
    return None


def _for_authentication(der: bytes) -> SigningCertificate | None:
    try:
        certificate = read_certificate(der)
    except CardDataError:
        return None
    return certificate if is_for_authentication(certificate) else None


def _read(job: Job, slot: Slot | None) -> bytes | None:
    """None for an empty object, b"" for one that cannot be read."""
    try:
        return job.card.certificate(slot) if slot is not None else None
    except CardDataError:
        return b""


def _unreadable(job: Job, slot: Slot) -> bool:
    der = _read(job, slot)
    return not der or _for_authentication(der) is None


_NOT_HERE = N_("The sign-in certificate of this smartcard cannot be renewed safely at this computer.")
