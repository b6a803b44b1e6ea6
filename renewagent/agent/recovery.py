"""Where does an interrupted renewal stand? The card is looked at first, the RA second, the journal third.

One signing session gives both: a trial signature by the key in the signing slot, and the enquiry for the card's
ticket. Which known public key the trial verifies with says which key the card holds, whatever was lost.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from renewagent.agent.full_inspection import LeftBehind, left_behind
from renewagent.agent.job import Job, Record, public_key_of, sha256
from renewagent.agent.pair import prepare
from renewagent.agent.passcode import fits
from renewagent.agent.preflight import may_begin, way_for
from renewagent.agent.ra_desk import POLICY, Outgoing
from renewagent.agent.staging import Found, find, look, mend
from renewagent.agent.steps import key_usage_of
from renewagent.card.interface import SigningSession
from renewagent.certificates import public_key, read_certificate
from renewagent.cmp import private
from renewagent.cmp.client import CmpClient
from renewagent.cmp.client_checks import Wanted
from renewagent.cmp.conversation import Conversation
from renewagent.errors import (
    CampaignError,
    CardDataError,
    CardError,
    CardRefused,
    RaMisbehaved,
    RenewalImpossible,
    UnsupportedCard,
)
from renewagent.language import N_, _
from renewagent.model import Slot
from renewagent.renewal import Event, Kind, Way
from renewagent.statements import Purpose

_TRY_AGAIN = N_(
    "Take the smartcard out, put it back in and start again. If it happens again, contact your Registration Authority."
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What the card signed with whatever key it holds; no signature where it refused."""

    data: bytes
    signature: bytes | None

    def by(self, public_key: bytes) -> bool:
        """Whether the key with this DER SubjectPublicKeyInfo made it."""
        if not public_key or self.signature is None:
            return False
        try:
            return fits(public_key_of(public_key), self.signature, self.data, "sha256")
        except ValueError:  # the other kind of key
            return False

    def blind(self, on_card: bytes) -> bool:
        """Nothing was learnt, for want of a certificate in the slot: it alone tells on many cards what kind the key is.
        The trial signature tells, once the new certificate is written again."""
        return self.signature is None and not on_card


def resume(job: Job, record: Record) -> Event:
    """Examine, and say how to go on."""
    if job.beside is not None:
        prepare(job)
    trial, enquiry = job.signing(lambda session: _examine(job, session))
    answer, policy = job.place.desk.ticket_and_policy(enquiry)
    authorities, job.certified_keys = policy.authorities, policy.keys
    if answer is not None and job.beside is not None and answer.certificate == job.beside[1].der:
        answer = None  # what the RA has open is the signing certificate's own: this RA takes no receipts
    on_card = _on_card(job, authorities)
    if answer is None or answer.state == "closed":
        return _without_open_ticket(job, trial, on_card)
    _check_old(job, answer)
    _know_old(job, answer)
    if answer.certificate:
        job.place.desk.vet(answer.certificate, _wanted(job, answer), authorities)
    job.follow(answer.campaign)
    event = _with_ticket(job, trial, on_card, answer)
    if event.kind is Kind.FOUND_UNTOUCHED:
        _begin_late(job, record, answer.campaign)
    return event


def _begin_late(job: Job, record: Record, campaign: str) -> None:
    """The ticket is from another day, and the card as it was: nothing is begun that would not be begun today. The
    ticket stands; here, what refuses is told, and nothing is left open."""
    try:
        may_begin(job, campaign.rpartition("/")[0])
    except (CampaignError, RenewalImpossible):
        record(Event(Kind.FOUND_NOTHING))
        raise


def _on_card(job: Job, authorities: Sequence[x509.Certificate]) -> bytes:
    """The certificate in the signing slot. One that no CA issued is what a write that was cut short left of two."""
    der = _certificate_in(job, job.slot)
    if der in (b"", job.old.der, job.fact("certificate")) or not authorities:
        return der
    return der if any(_issued_by(der, authority) for authority in authorities) else b""


def _issued_by(der: bytes, authority: x509.Certificate) -> bool:
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _certificate_in(job: Job, slot: Slot) -> bytes:
    """Empty for none, and for one whose writing was cut short."""
    try:
        return job.card.certificate(slot) or b""
    except CardDataError:
        return b""


def _check_old(job: Job, answer: private.TicketAnswer) -> None:
    """Where this workstation knows which certificate is to be replaced, the ticket must be for that one."""
    if "old_certificate" in job.renewal.facts and answer.old != job.old.sha256:
        raise RaMisbehaved(_("The Registration Authority's permission is for another certificate."))


def _wanted(job: Job, answer: private.TicketAnswer) -> Wanted:
    """What was asked for when the certificate was: the same person's, good for the same."""
    old = x509.load_der_x509_certificate(job.old.der)
    usage = key_usage_of(old) if job.old.sha256 == answer.old else None
    asked = usage.public_bytes() if usage is not None else b""
    return Wanted(answer.public_key, old.subject.public_bytes(), bytes.fromhex(answer.old), asked)


def _know_old(job: Job, answer: private.TicketAnswer) -> None:
    """At another workstation the card may hold the new certificate already, or a torn one: the RA has the old one."""
    if answer.old_certificate and job.old.sha256 != answer.old:
        job.old = read_certificate(answer.old_certificate)


def _examine(job: Job, session: SigningSession) -> tuple[Trial, Outgoing]:
    # A ticket statement whose nonce is our own: whoever sees the signature can do nothing with it.
    data = job.statement(Purpose.TICKET, secrets.token_hex(16), job.old.der).encode()
    try:
        signature: bytes | None = session.sign(job.slot, data, "sha256")
    except (CardRefused, CardDataError, UnsupportedCard):  # the latter two: by a certificate cut short, of what kind?
        signature = None
    fetch = private.TicketFetch(card=str(job.identity))
    # The RA's CA certificates come along: a genp need not bring those that a new certificate's chain takes.
    credential = job.authentication(session)
    return Trial(data, signature), job.place.desk.enquiry(credential, private.TICKET_FETCH, fetch, *POLICY)


def _without_open_ticket(job: Job, trial: Trial, on_card: bytes) -> Event:
    """No ticket: way A, an RA without tickets, or all done at the RA but for our knowing it. Only a certificate that
    the journal knows can be gone on with, where the card's key fits it and the card holds nothing newer."""
    certificate = job.fact("certificate")
    found = find(job, job.fact("public_key")) if job.renewal.way in (Way.B, Way.C) else None
    if found is not None and certificate and "conversation" in job.renewal.facts:
        kept = {name: job.renewal.facts[name] for name in ("certificate", "nonce", "conversation")}
        return _second_key_certified(job, found, on_card, certificate, False, {**kept, **found.fields})
    left = left_behind(job.card, job.place.desk.standing)
    if left is not None and trial.by(public_key(left.new.der)):
        return _renewed_elsewhere(job, left)
    keys = look(job)
    over = keys is not None and _finished_elsewhere(job, trial, on_card)  # then the old key is parked for good
    if keys is not None and not over and mend(job, keys, public_key(job.old.der)):
        return Event(Kind.FOUND_NOTHING)
    fits_it = bool(certificate) and (trial.by(public_key(certificate)) or trial.blind(on_card))
    if fits_it and "conversation" in job.renewal.facts:
        if on_card == certificate:
            return Event(Kind.FOUND_STORED)
        if on_card in (b"", job.old.der):
            return Event(Kind.FOUND_ISSUED)
    if job.renewal.way is Way.D and job.renewal.begun and "ticket" not in job.renewal.facts:
        return _begun_without_ticket(job, trial, on_card)
    return Event(Kind.FOUND_NOTHING)


def _finished_elsewhere(job: Job, trial: Trial, on_card: bytes) -> bool:
    """Another key signs under another certificate than the one to be replaced, and that one is good for nothing more
    at the RA."""
    if on_card in (b"", job.old.der) or not trial.by(public_key(on_card)):
        return False
    standing = job.place.desk.standing(job.old.head.issuer, job.old.head.serial)
    return standing is not None and (standing.revoked or standing.state == "confirmed")


def _renewed_elsewhere(job: Job, left: LeftBehind) -> Event:
    """Way C: what another workstation had no time to take away goes; the new key has just signed."""
    job.slot, job.old = left.slot, left.old
    found = Found(public_key(left.new.der), left.new_slot, left.new_slot, way=Way.C)
    old = {"old_certificate": left.old.der.hex(), "old_sha256": left.old.sha256}
    return Event(Kind.FOUND_RECEIPTED, {**found.fields, **old, "certificate": left.new.der.hex(), "receipted": "yes"})


def _begun_without_ticket(job: Job, trial: Trial, on_card: bytes) -> Event:
    """Way D with an RA that knows no tickets: this journal alone knows that the key was replaced, and with which."""
    if on_card not in (b"", job.old.der, job.fact("certificate")) or trial.by(public_key(job.old.der)):
        return Event(Kind.FOUND_NOTHING)
    known = job.fact("public_key")
    if trial.by(known):
        return Event(Kind.FOUND_NEW_KEY, {"public_key": known.hex()})
    return Event(Kind.FOUND_NO_KEY)


def _with_ticket(job: Job, trial: Trial, on_card: bytes, answer: private.TicketAnswer) -> Event:
    same_key = job.old.sha256 == answer.old and answer.public_key == public_key(job.old.der)
    way = Way.A if same_key else Way.D
    common = {"ticket": answer.ticket, "old_sha256": answer.old, "way": way.value, "campaign": answer.campaign}
    common["tickets"] = "yes"
    if job.old.sha256 == answer.old:
        common["old_certificate"] = job.old.der.hex()
    known = job.fact("public_key")
    found = find(job, answer.public_key, known)
    if found is not None:
        return _with_second_key(job, found, on_card, answer, common)
    if answer.certificate and (trial.by(answer.public_key) or trial.blind(on_card)):
        issued = {**common, "certificate": answer.certificate.hex(), "nonce": answer.nonce.hex()}
        issued["conversation"] = _conversation(job, answer)
        if answer.certificate != on_card:
            return Event(Kind.FOUND_ISSUED, issued)
        return Event(Kind.FOUND_CONFIRMED if answer.state == "confirmed" else Kind.FOUND_STORED, issued)
    if sha256(on_card) == answer.old and trial.by(public_key(on_card)):
        way = Way.A if same_key else job.renewal.way or way_for(job, tickets=True)
        return Event(Kind.FOUND_UNTOUCHED, {**common, "way": way.value})
    for key in (known, answer.public_key):
        if trial.by(key):
            return Event(Kind.FOUND_NEW_KEY, {**common, "public_key": key.hex()})
    _may_generate_again(job, trial, answer, same_key=same_key)
    return Event(Kind.FOUND_NO_KEY, common)


def _may_generate_again(job: Job, trial: Trial, answer: private.TicketAnswer, *, same_key: bool) -> None:
    if same_key and trial.signature is not None:  # by way A there is no other key to go on with
        raise RenewalImpossible(_("The key on this smartcard does not fit its certificate, so it cannot sign."))
    # The RA certifies no second key once the first is confirmed (design section 6): GENERATE would be the end.
    if answer.state == "confirmed" or same_key:
        raise CardError(_("The new key of this smartcard did not sign."), advice=_(_TRY_AGAIN))
    if job.old.sha256 != answer.old:  # then the RA could not be told which certificate is to be replaced
        raise RaMisbehaved(_("The Registration Authority did not say which certificate is to be replaced."))


def _with_second_key(
    job: Job, found: Found, on_card: bytes, answer: private.TicketAnswer, common: Mapping[str, str]
) -> Event:
    """Way B: the card itself tells where the new key is, and whether the two have been swapped."""
    fields = {**common, **found.fields}
    if not answer.certificate or found.public_key != answer.public_key:
        return Event(Kind.FOUND_NEW_KEY, fields)
    fields |= {"certificate": answer.certificate.hex(), "nonce": answer.nonce.hex()}
    fields["conversation"] = _conversation(job, answer)
    return _second_key_certified(job, found, on_card, answer.certificate, answer.state == "confirmed", fields)


def _second_key_certified(
    job: Job, found: Found, on_card: bytes, certificate: bytes, confirmed: bool, fields: Mapping[str, str]
) -> Event:
    if found.half_moved or (found.moved and on_card != certificate):
        return Event(Kind.FOUND_HALF_MOVED, fields)
    if found.moved:
        return Event(Kind.FOUND_CONFIRMED if confirmed else Kind.FOUND_STORED, {**fields, "moved": "yes"})
    staged = _certificate_in(job, found.staging)
    return Event(Kind.FOUND_STORED if staged == certificate else Kind.FOUND_ISSUED, fields)


def _conversation(job: Job, answer: private.TicketAnswer) -> str:
    """The journal's own record of the conversation, or, at another workstation, one taken over from the RA's word."""
    kept = job.renewal.facts.get("conversation")
    if kept and job.fact("certificate") == answer.certificate:
        state = Conversation.from_dict(json.loads(kept))
        if (state.transaction_id, state.response_nonce) == (answer.transaction, answer.nonce):
            return kept
    client = CmpClient.adopt(
        job.place.desk.anchors, answer.transaction, answer.nonce, x509.load_der_x509_certificate(answer.certificate)
    )
    return json.dumps(client.state.to_dict())
