"""From a reader to a renewed card: open it, see where it stands, take up what was begun or begin anew.

Runs in the short-lived child; also wherever a test or the demonstration drives a renewal without one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from renewagent import cms
from renewagent.agent import pair, words
from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import OPEN_STATES, Inspector, Judgement, authentication_beside
from renewagent.agent.housekeeping import tidy_if_possible
from renewagent.agent.in_hand import show_card
from renewagent.agent.inspector import slots_beside
from renewagent.agent.job import Job, Workplace, sha256
from renewagent.agent.more_cards import more_cards
from renewagent.agent.old_keys import old_keys
from renewagent.agent.passcode import Passcode, RenewableCard
from renewagent.agent.renewing import PULLED, Renewing
from renewagent.agent.sign_in import wait_for_card
from renewagent.agent.turns import asked_in_turn
from renewagent.agent.unfinished import PERSON_LEFT, open_renewal, renewal_of, waits_until
from renewagent.campaign.document import parse_campaign
from renewagent.certificates import read_certificate
from renewagent.errors import (
    CampaignError,
    DifferentCard,
    RaUnreachable,
    RaWaiting,
    RenewAgentError,
    RenewalImpossible,
)
from renewagent.language import _
from renewagent.model import CardIdentity, Finding, SigningCertificate, Slot, Verdict
from renewagent.renewal import Event, Kind, Renewal, State
from renewagent.rules import Campaign, for_the_pair

Filled = tuple[Slot, SigningCertificate]
"""A slot and what is in it."""
TOO_LATE_AFTER = 900
"""Seconds after which an RA has surely withdrawn a certificate that nobody confirmed."""


def renew_card(
    place: Workplace,
    campaigns: Mapping[str, Accepted],
    inspector: Inspector,
    reader: str,
    missing: RenewAgentError | None = None,
) -> dict[str, Any]:
    """Renew the card in `reader` if it needs it; the outcome as a document (see `_document`).

    `missing`: why there is no campaign at all; raised for a card with which nothing was begun.
    Raises the RenewAgentError that ended it; what had begun is in the journal and goes on at the next call.
    """
    started = time.monotonic()
    card = place.open_card(place.readers.connect(reader))
    identity = card.identity()
    if place.ordered not in (None, identity):  # the order is for that one alone, and the officer took their time
        raise DifferentCard(words.wrong_card(identity, place.ordered).body)
    with place.journal.card_lock(identity):
        asking = _asking(inspector, place, identity)
        judged = asking.judge(card, place.now())
        if asking is inspector and judged.open_state not in OPEN_STATES - {"confirmed"}:
            tidy_if_possible(place, card, place.passcode())
        job = _job(place, campaigns, judged, reader, card, identity)
        if job is None:
            return _nothing_to_do(place, judged, reader, identity, started, missing)
        show_card(job, judged.finding)
        try:
            if _undone(job):
                now_judged = inspector.judge(job.card, place.now())
                again = _job(place, campaigns, now_judged, job.reader, job.card, identity, job.passcode)
                if again is None:
                    return _nothing_to_do(place, now_judged, job.reader, identity, started, missing)
                if again.renewal.state not in PERSON_LEFT | {State.PREFLIGHT}:
                    raise _open_at_the_ra(now_judged, here=job.renewal.way is not None)
                job = again
                if _undone(job):
                    raise RenewalImpossible(
                        _("The renewal was begun and did not succeed, twice. The smartcard has its old certificate.")
                    )
        finally:
            job.passcode.drop()
    return {**_document(job, judged, started), **more_cards(job)}


def _asking(inspector: Inspector, place: Workplace, identity: CardIdentity) -> Inspector:
    """The RA is asked nothing about a card whose request it is looking at, or whose turn comes later, before the time
    that it named."""
    renewal = open_renewal(place.journal, identity)
    until = waits_until(renewal) if renewal is not None else None
    if until is not None and place.now() < until:
        return replace(inspector, ask_ra=None)
    if inspector.ask_ra is None:
        return inspector
    ask_ra = asked_in_turn(inspector.ask_ra, place.journal, place.now())
    return inspector if ask_ra is inspector.ask_ra else replace(inspector, ask_ra=ask_ra)


def _undone(job: Job) -> bool:
    """Drive the job. True where nothing turned out to be open any more: the card is to be judged again."""
    renewing = Renewing(job)
    if job.renewal.state is not State.PREFLIGHT:
        renewing.record(Event(Kind.RESUMED, job.begun_under))
    if renewing.run(until=State.REMOVE).state is State.REMOVE:
        if job.beside is None and _other_renewed(job):
            renewing.record(Event(Kind.PAIRED, {"removed": "yes"}))
        renewing.run()
    if job.beside is not None and job.renewal.state is State.DONE:
        _close_paired(job)
    return renewing.last is Kind.FOUND_NOTHING


def _other_renewed(job: Job) -> bool:
    """The other certificate of the pair, where the campaign wants it, all the way to the sign-in. False where there is
    nothing to do, or nothing that can be done here: then the person signs in without it, and hears why."""
    try:
        other = pair.follows(job)
    except PULLED:
        wait_for_card(job, words.pulled_half_way(job.identity))
        other = pair.follows(job)
    if other is None:
        return False
    job.pair = other
    try:
        Renewing(other).run()
    except RenewAgentError as error:
        if other.renewal.state is not State.STOPPED:  # it has begun, and goes on at the next call
            raise
        job.use(other.reader, other.card)  # it may have been put back elsewhere meanwhile
        job.place.prompter.tell(pair.left(error, job.place.contact))
    return other.renewal.state is State.DONE


def _close_paired(job: Job) -> None:
    """A signing certificate's renewal of this card that stands at the sign-in: the person has just signed in."""
    for entry in job.place.journal.open_renewals():
        renewal = renewal_of(job.place.journal, entry) if entry.card == str(job.identity) else None
        if renewal is not None and renewal.state in PERSON_LEFT:
            fields = {"removed": "yes"}
            job.place.journal.append(renewal.id, renewal.card, Kind.PAIRED.value, fields, job.place.now())


def _open_at_the_ra(judged: Judgement, *, here: bool) -> RaWaiting:
    """The RA has something open that only the computer which began it can go on with: way A, which has no ticket. Until
    the certificate is confirmed, the RA withdraws it after a while."""
    if judged.open_state == "confirmed" and judged.finding.campaign is None:
        return RaWaiting(
            _(
                "This smartcard is renewed and can be used. "
                "The proof of it is still at the computer where it was renewed."
            ),
            0,
            advice=_("Insert it at that computer when you can, and run: renewagent renew."),
        )
    if here:
        return RaWaiting(
            _(
                "A renewal of this smartcard did not succeed here, "
                "and for the Registration Authority it is not finished."
            ),
            TOO_LATE_AFTER,
            advice=_("Try again in a quarter of an hour: the Registration Authority has given it up by then."),
        )
    return RaWaiting(
        _("A renewal of this smartcard was begun at another computer and is not finished. Nothing was changed here."),
        TOO_LATE_AFTER,
        advice=_("Finish it at that computer, or try again here in a quarter of an hour."),
    )


def _job(
    place: Workplace,
    campaigns: Mapping[str, Accepted],
    judged: Judgement,
    reader: str,
    card: RenewableCard,
    identity: CardIdentity,
    passcode: Passcode | None = None,
) -> Job | None:
    """What there is to do for this card, None for nothing."""
    renewal = open_renewal(place.journal, identity)
    if renewal is not None and (_other_now(renewal, judged, card) or _superseded(renewal, judged)):
        place.journal.append(renewal.id, renewal.card, Kind.SUPERSEDED.value, {}, place.now())
        renewal = None
    if renewal is None and judged.finding.verdict not in (Verdict.AFFECTED, Verdict.PART_WAY):
        return None
    signed = _campaign(campaigns, renewal, judged.finding)
    of_pair = renewal.of_pair if renewal is not None else judged.beside is not None
    slot, old, beside = _other_of_pair(renewal, judged, card) if of_pair else (*_signing(renewal, judged, card), None)
    return Job(
        place=place,
        passcode=passcode or place.passcode(),
        reader=reader,
        card=card,
        identity=identity,
        slot=slot,
        old=old,
        campaign=(for_the_pair(signed.campaign) if of_pair else None) or signed.campaign,
        campaign_document=signed.document,
        renewal=renewal or _new_renewal(identity, signed, judged),
        rule=judged.finding.rule,
        campaigns=campaigns,
        beside=beside,
    )


def _new_renewal(identity: CardIdentity, signed: Accepted, judged: Judgement) -> Renewal:
    state = State.RESUME if judged.finding.verdict is Verdict.PART_WAY else State.PREFLIGHT
    return Renewal(secrets.token_hex(8), str(identity), signed.campaign.label, state)


def _signing(renewal: Renewal | None, judged: Judgement, card: RenewableCard) -> Filled:
    """The signing certificate that is replaced, and its slot."""
    old, slot = _old_certificate(renewal, judged), judged.slot if judged.beside is None else judged.beside[0]
    if (slot is None and renewal is not None and renewal.begun) or slot in _second_slots(card):
        slot = card.slots()[0]  # a write that was cut short left no certificate by which to know it, or a parked one
    if old is None or slot is None:
        raise RenewalImpossible(_("There is no signing certificate on this smartcard that could be renewed."))
    return slot, old


def _other_of_pair(
    renewal: Renewal | None, judged: Judgement, card: RenewableCard
) -> tuple[Slot, SigningCertificate, Filled]:
    """The authentication certificate alone, and what is beside it: the signing certificate's renewal is over, here or
    wherever it was."""
    signing, certificate = judged.beside or (judged.slot or card.slots()[0], judged.certificate)
    if certificate is None:
        raise RenewalImpossible(_("There is no signing certificate on this smartcard."))
    found = authentication_beside(card, signing)
    others = [found[0]] if found is not None else slots_beside(card, signing)
    if not others:
        raise RenewalImpossible(_("There is no certificate to sign in with on this smartcard."))
    kept = renewal.facts.get("old_certificate") if renewal is not None else None
    old = read_certificate(bytes.fromhex(kept)) if kept else found[1] if found is not None else certificate
    return others[0], old, (signing, certificate)


def _second_slots(card: RenewableCard) -> Sequence[Slot]:
    """Where a certificate may be staged or parked, and never is the one that the card signs under."""
    tell = getattr(card, "staging_slots", None)
    return tell() if tell is not None else ()


def _superseded(renewal: Renewal, judged: Judgement) -> bool:
    """What the person has not agreed to yet is judged anew; and where only the sign-in was left, but the card now holds
    something else or is affected again, there is more to do than to sign in."""
    if renewal.state is State.CONSENT:
        return True
    if renewal.state not in PERSON_LEFT or judged.certificate is None or renewal.of_pair:
        return False
    if judged.beside is not None:  # its own certificate is good
        return judged.beside[1].der.hex() != renewal.facts.get("certificate")
    if judged.certificate.der.hex() != renewal.facts.get("certificate"):
        # Not where the card shows again what was replaced: that is for `sign_in.come_back` to put right.
        return judged.certificate.sha256 != _replaced(renewal)
    # "confirmed" is what is known at an RA that takes no receipts: our own renewal, which is at its end.
    return judged.finding.campaign is not None or judged.open_state in OPEN_STATES - {"confirmed"}


def _other_now(renewal: Renewal, judged: Judgement, card: RenewableCard) -> bool:
    """Only the sign-in with a new authentication certificate was left, and the card now has yet another one."""
    if not renewal.of_pair or renewal.state not in PERSON_LEFT:
        return False
    signing = judged.beside[0] if judged.beside is not None else judged.slot
    found = authentication_beside(card, signing) if signing is not None else None
    return found is not None and found[1].sha256 not in (sha256(_fact(renewal, "certificate")), _replaced(renewal))


def _fact(renewal: Renewal, name: str) -> bytes:
    return bytes.fromhex(renewal.facts.get(name, ""))


def _replaced(renewal: Renewal) -> str:
    """SHA-256 of the certificate that this renewal replaced."""
    return renewal.facts.get("old_sha256") or sha256(_fact(renewal, "old_certificate"))


def _campaign(campaigns: Mapping[str, Accepted], renewal: Renewal | None, finding: Finding) -> Accepted:
    name = finding.campaign
    if renewal is not None:
        name = renewal.facts.get("campaign", renewal.campaign).rpartition("/")[0]
    if name is not None and name in campaigns:
        return campaigns[name]
    kept = bytes.fromhex(renewal.facts.get("campaign_document", "")) if renewal is not None else b""
    if kept:  # verified when it began; an anchor or a signer that has gone since must not leave the card half done
        return Accepted(parse_campaign(cms.open_signed(kept).content), kept)
    if name is None and campaigns:  # a stranger's half-finished card: the RA's ticket knows which one it is
        return max(campaigns.values(), key=lambda signed: signed.campaign.published)
    if finding.verdict is Verdict.PART_WAY or renewal is not None:
        return Accepted(_UNKNOWN_CAMPAIGN, b"")
    raise CampaignError(_("The Registration Authority's notice for this smartcard is not on this computer."))


_UNKNOWN_CAMPAIGN = Campaign("-", 1, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), {"en": ""}, ())
"""Stands in for the one under which another workstation began: what is half done is finished, whatever it said."""


def _old_certificate(renewal: Renewal | None, judged: Judgement) -> SigningCertificate | None:
    kept = renewal.facts.get("old_certificate") if renewal is not None else None
    return read_certificate(bytes.fromhex(kept)) if kept else judged.certificate


def _nothing_to_do(
    place: Workplace,
    judged: Judgement,
    reader: str,
    identity: CardIdentity,
    started: float,
    missing: RenewAgentError | None,
) -> dict[str, Any]:
    finding = judged.finding
    if missing is not None:
        raise missing
    if judged.note:  # whether it is half done, only the RA knows
        raise RaUnreachable(judged.note)
    if judged.error is not None:
        raise judged.error
    if finding.verdict is not Verdict.UNAFFECTED:
        raise RenewalImpossible(
            _(finding.reason), advice=_("Check that this is the smartcard you sign prescriptions with.")
        )
    if judged.revoked:
        message = words.revoked(place.contact)
        raise RenewalImpossible(message.body, advice=message.advice)
    now = place.now()
    place.prompter.tell(words.for_finding(finding, None, now.astimezone(), now, place.contact))
    return {
        "card": str(identity),
        "reader": reader,
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "renewed": False,
        "old_keys": _old_keys(place, identity),
        "seconds": round(time.monotonic() - started, 3),
    }


def _old_keys(place: Workplace, identity: CardIdentity) -> list[dict[str, str | None]]:
    """The old keys that are kept on the card for a while."""
    return [key.document(place.keep_old_key_days) for key in old_keys(place.journal.replay(), identity)]


def _document(job: Job, judged: Judgement, started: float) -> dict[str, Any]:
    new = job.fact("certificate")
    done = job.renewal.state is State.DONE
    return {
        "card": str(job.identity),
        "reader": job.reader,
        "verdict": judged.finding.verdict.value,
        "reason": judged.finding.reason,
        "renewed": done or job.renewal.state in PERSON_LEFT,
        "way": job.renewal.way.value if job.renewal.way else None,
        "state": job.renewal.state.value,
        "old": describe(job.old) if job.old_sha256 == job.old.sha256 else {"sha256": job.old_sha256},
        "new": describe(read_certificate(new)) if new else None,
        "trial_signature": "receipt" in job.renewal.facts,
        "receipt": "receipted" in job.renewal.facts,
        "removed": "removed" in job.renewal.facts,
        "signed_in": done,
        "software_shows": job.renewal.facts.get("software_shows"),
        "receipt_sha256": sha256(job.receipt) if job.receipt else None,
        "old_keys": _old_keys(job.place, job.identity),
        "renews": "signing" if job.beside is None else "authentication",
        "pair": _document_of_pair(job.pair) if job.pair is not None else None,
        "seconds": round(time.monotonic() - started, 3),
    }


def _document_of_pair(other: Job) -> dict[str, Any]:
    new = other.fact("certificate")
    return {
        "renewed": other.renewal.state is State.DONE,
        "way": other.renewal.way.value if other.renewal.way else None,
        "state": other.renewal.state.value,
        "old": describe(other.old),
        "new": describe(read_certificate(new)) if new else None,
        "receipt": "receipted" in other.renewal.facts,
    }


def describe(certificate: SigningCertificate) -> dict[str, str]:
    """A certificate in the result documents: serial and SHA-256 in hex, notBefore in RFC 3339."""
    return {
        "serial": certificate.head.serial_hex,
        "not_before": certificate.head.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sha256": certificate.sha256,
    }
