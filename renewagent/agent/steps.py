"""What is done in each state of a renewal, up to the receipt: one function a state, from a job to an event.

A step talks to the card in short sessions and to the RA between them, never at once. Signatures that a later step
needs are made in the same session where the card's policies allow it, so that the PIN is presented as seldom as can
be: the ticket request brings the arming along, and the trial signature *is* the receipt's.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.agent import words
from renewagent.agent.job import Job, Record, Step, public_key_of, sha256
from renewagent.agent.pair import drop_copy, keep_copy
from renewagent.agent.passcode import KeyDoesNotFit, KeyRefused
from renewagent.agent.preflight import preflight, prove_administration, refuse_futile_key, room_or_other_way
from renewagent.agent.ra_desk import Outgoing
from renewagent.agent.staging import drop, stage, swap, undo
from renewagent.agent.typings import told_beforehand
from renewagent.agent.waiting import told_to_wait, wait
from renewagent.card.interface import AdminSession, SigningSession
from renewagent.cmp import private
from renewagent.cmp.client import CmpClient, Confirmed, Credential, Issued, Phase, Waiting
from renewagent.errors import (
    CardDataError,
    CardRefused,
    RaError,
    RaMisbehaved,
    RaRefused,
    RenewalImpossible,
)
from renewagent.language import N_, _
from renewagent.renewal import Event, Kind, State, Way, can_protect
from renewagent.statements import MAX_NONCE, MIN_NONCE, Purpose


def consent(job: Job, record: Record) -> Event:
    """The person starts it, or does not."""
    if job.agreed:
        return Event(Kind.AGREED)
    if job.place.prompter.confirm(told_beforehand(job, words.before(job.identity, job.card.pin_tries()))):
        return Event(Kind.AGREED)
    return Event(
        Kind.STOPPED, {"code": "RA-STOPPED", "message": N_("You chose not to renew now. Nothing was changed.")}
    )


def ticket(job: Job, record: Record) -> Event:
    """The RA's leave, which is for a signing certificate; the other of the pair is kept under one as way A's is."""
    if job.beside is None:
        return _ask_leave(job)
    if job.renewal.way is Way.D:
        _prove_voucher(job)
    return Event(Kind.NO_TICKETS)


def _ask_leave(job: Job) -> Event:
    """By a statement that the old signing key signs: that also proves that it signs."""
    desk = job.place.desk
    nonce, relayed = desk.nonce(), job.place.key_relay is not None
    if not relayed and (other_way := room_or_other_way(job)) is not None:
        return other_way
    old = job.old.der
    # An RA without tickets gives no nonce, but the keys and the PIN are to be proved all the same.
    statement = job.statement(Purpose.TICKET, nonce or secrets.token_hex(16), old)

    def sign(session: SigningSession) -> Outgoing:
        if job.renewal.old_key_usable:
            signed = job.sign_statement(session, job.slot, old, statement)
            request = private.TicketRequest(statement=signed, signed=True, campaign=b"")
        else:
            request = private.TicketRequest(statement=statement.encode(), signed=False, campaign=job.campaign_document)
        credential = job.authentication(session)
        job.outbox["policy"] = desk.policy_enquiry(credential)
        arm = private.TicketArm(ticket="", public_key=b"")
        job.outbox["arm"] = desk.enquiry(credential, private.TICKET_ARM, arm)
        job.sign_ahead(session, State.TICKET, State.GENERATE if job.renewal.way is Way.D else State.STAGE)
        return desk.enquiry(credential, private.TICKET_REQUEST, request)

    try:
        enquiry = job.signing(sign)
    except (KeyDoesNotFit, KeyRefused) as error:
        if error.slot != job.slot:
            raise
        return _old_key_unusable(job, error)
    # Asked before the ticket, so that nothing is open anywhere where no key would do.
    job.certified_keys = desk.policy(job.outbox.pop("policy")).keys
    refuse_futile_key(job)
    # Whoever answers at a plain address may say that it knows no tickets; only a protected answer is believed.
    answer = desk.ticket(enquiry, knows_us=nonce is not None)
    if answer is None:
        return _without_ticket(job)
    if answer.old != job.old.sha256:
        raise RaMisbehaved(_("The Registration Authority's permission is for another certificate."))
    if relayed and (other_way := room_or_other_way(job)) is not None:  # it opens no card without its leave
        return other_way
    # It may be a ticket that stood already, under an earlier version of the campaign: the receipt names that version.
    return Event(Kind.TICKET_GRANTED, {"ticket": answer.ticket, "campaign": answer.campaign})


def _prove_voucher(job: Job) -> None:
    """In way D the old authentication key is gone at once: the RA must hear the signing certificate that will ask for
    the new one. It does not hear one that is unconfirmed. Raises RaRefused."""
    fetch = private.TicketFetch(card=str(job.identity))
    desk = job.place.desk
    desk.ticket(job.signing(lambda session: desk.enquiry(job.authentication(session), private.TICKET_FETCH, fetch)))


def arm(job: Job, record: Record) -> Event:
    """Tell the RA that GENERATE comes now, so that the ticket never ends by time once the old key is gone."""
    # Generated again, with an RA that gave none in the first place, or what the signing certificate may ask for anyhow.
    if "ticket" not in job.renewal.facts or job.beside is not None:
        return Event(Kind.ARMED)
    desk = job.place.desk
    enquiry = job.outbox.pop("arm", None)
    if enquiry is None:
        value = private.TicketArm(ticket=job.renewal.facts["ticket"], public_key=b"")
        enquiry = job.signing(lambda session: desk.enquiry(job.authentication(session), private.TICKET_ARM, value))
    answer = desk.ticket(enquiry, knows_us=True)
    if answer is None or answer.state == "open":
        raise RaMisbehaved(_("The Registration Authority did not keep the permission that it gave."))
    return Event(Kind.ARMED)


def generate(job: Job, record: Record) -> None:
    """The new key, in place. From here on only forward."""
    if job.renewal.exhausted:
        raise RenewalImpossible(_("The keys that this smartcard makes do not sign."))
    kind = job.new_key_type

    def work(session: AdminSession) -> None:
        record(Event(Kind.BEGUN, {"what": "generate"}))
        public_key = session.generate(job.slot, kind)
        record(Event(Kind.GENERATED, {"public_key": public_key.hex()}))  # before anything else can go wrong

    job.administering(work)


def certify(job: Job, record: Record) -> Event:
    """Ask for the certificate: `kur` by the old key where its key usage lets it, else `cr` by 9A."""
    if job.renewal.exhausted:
        raise RenewalImpossible(_("The keys that this smartcard makes do not sign."))
    if job.renewal.way is Way.A:
        prove_administration(job)
        keep_copy(job)

    def sign(session: SigningSession) -> Outgoing:
        outgoing = _request(job, session)
        job.sign_ahead(session, State.STORE, *((State.MOVE,) if job.renewal.way is Way.B else ()))
        return outgoing

    try:
        outgoing = job.signing(sign)
    except (KeyDoesNotFit, KeyRefused) as error:
        if error.slot == job.slot and job.renewal.way is Way.A:
            return _old_key_unusable(job, error)
        if error.slot == job.new_slot and isinstance(error, KeyDoesNotFit):
            return Event(Kind.DID_NOT_SIGN)
        raise
    record(Event(Kind.ASKED, {"conversation": outgoing.conversation}))
    return _certified(job, outgoing)


def _request(job: Job, session: SigningSession) -> Outgoing:
    desk, old = job.place.desk, x509.load_der_x509_certificate(job.old.der)
    client = desk.conversation()
    if job.renewal.way is Way.A:
        key = job.key(session, job.slot, old.public_key())
    else:
        key = job.key(session, job.new_slot, public_key_of(job.fact("public_key")))
    ticket_for = _ticket_for(job)
    if _by_old_key(job):
        credential, usage = job.credential(session, job.old_slot, old), key_usage_of(old)
        octets = client.start_key_update(desk.now(), credential, key, old, key_usage=usage, ticket_for=ticket_for)
        return Outgoing(client, octets)
    octets = client.start_certification(
        desk.now(),
        job.authentication(session),
        key,
        subject=old.subject,
        old_certificate=old,
        ticket=None if ticket_for else job.renewal.facts.get("ticket"),
        key_usage=key_usage_of(old),
        ticket_for=ticket_for,
    )
    return Outgoing(client, octets)


def _ticket_for(job: Job) -> private.TicketFor | None:
    """Way A, and any of the pair, at an RA that knows tickets: what it issues is to be found, and gone on with, at any
    workstation."""
    if (job.renewal.way is not Way.A and job.beside is None) or "tickets" not in job.renewal.facts:
        return None
    own = job.authentication_certificate()[1].public_bytes(Encoding.DER) if job.beside is None else job.old.der
    authentication = sha256(own)
    return private.TicketFor(card=str(job.identity), authentication=authentication, campaign=job.campaign_name)


def key_usage_of(certificate: x509.Certificate) -> x509.KeyUsage | None:
    """The extension, None without one."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def poll(job: Job, record: Record) -> Event:
    """Ask for the certificate that was promised."""
    desk = job.place.desk
    client = desk.conversation(json.loads(job.renewal.facts["conversation"]))

    def sign(session: SigningSession) -> Outgoing:
        return Outgoing(client, client.poll(desk.now(), _requester(job, session)))

    outgoing = job.signing(sign)
    try:
        return _certified(job, outgoing)
    except RaRefused:
        if job.asked_again:
            raise
        job.asked_again = True  # it may have forgotten that we wait: asked anew once, after a look at the card
        return Event(Kind.TOO_LATE)


def _certified(job: Job, outgoing: Outgoing) -> Event:
    try:
        result = job.place.desk.send(outgoing)
    except RaMisbehaved:
        if outgoing.client.state.phase is Phase.UNFIT:
            _turn_down(job, outgoing.client)
        raise
    if isinstance(result, Waiting):
        return told_to_wait(job, result.check_after, outgoing.conversation)
    if not isinstance(result, Issued):
        raise RaMisbehaved(_("The Registration Authority did not send the certificate that was asked for."))
    if not MIN_NONCE <= len(result.response_nonce) <= MAX_NONCE:
        raise RaMisbehaved(_("The Registration Authority's answer has no nonce that a receipt could name."))
    fields = {
        "certificate": result.certificate.hex(),
        "nonce": result.response_nonce.hex(),
        "conversation": outgoing.conversation,
    }
    return Event(Kind.ISSUED, fields)


def store(job: Job, record: Record) -> Event:
    """Write the certificate beside its key and read it back."""
    certificate, slot = job.fact("certificate"), job.new_slot
    kind = Kind.BEGUN if slot == job.slot else Kind.STAGING

    def work(session: AdminSession) -> None:
        record(Event(kind, {"what": "store"}))
        session.store(slot, certificate)

    job.administering(work)
    if job.card.certificate(slot) != certificate:
        raise CardDataError(_("The smartcard did not keep the new certificate as it was written."))
    return Event(Kind.STORED)


def try_new_key(job: Job, record: Record) -> Event:
    """The trial signature, which is the receipt's; with it, in one session, the messages that follow it."""
    desk, certificate = job.place.desk, job.fact("certificate")
    statement = job.statement(Purpose.RECEIPT, job.renewal.facts["nonce"], certificate, job.old_sha256)
    client = desk.conversation(json.loads(job.renewal.facts["conversation"]))

    def sign(session: SigningSession) -> bytes:
        receipt = job.sign_statement(session, job.new_slot, certificate, statement, client.state.ra_certs)
        job.outbox["certconf"] = Outgoing(client, client.confirm(desk.now(), _requester(job, session)))
        delivery = private.ReceiptDelivery(receipt=receipt)
        by = job.authentication(session)
        if job.beside is not None:  # confirmed by then, and the old one vouches for nothing more
            by = job.credential(session, job.new_slot, x509.load_der_x509_certificate(certificate))
        job.outbox["receipt"] = desk.enquiry(by, private.RECEIPT, delivery)
        return receipt

    try:
        job.receipt = job.signing(sign)
    except (KeyDoesNotFit, KeyRefused) as error:
        if error.slot != job.new_slot:
            raise
        return Event(Kind.DID_NOT_SIGN)
    return Event(Kind.TRIED, {"receipt": job.receipt.hex()})


def confirm(job: Job, record: Record) -> Event:
    """certConf; an answer of certConfirmed means that an earlier one arrived and its pkiConf was lost."""
    try:
        result = job.place.desk.send(job.outbox.pop("certconf"))
    except RaRefused as error:
        if "certConfirmed" in error.fail_info:
            return Event(Kind.CONFIRMED)
        if (
            not _by_old_key(job) and job.renewal.way is not Way.A
        ):  # a ticket's certificate waits for ever: why it is refused is for a person
            raise
        return Event(Kind.TOO_LATE)
    if not isinstance(result, Confirmed):
        raise RaMisbehaved(_("The Registration Authority did not confirm the new certificate."))
    return Event(Kind.CONFIRMED)


def reject(job: Job, record: Record) -> Event:
    """The new credential does not sign: put the old certificate back, and tell the RA."""
    desk = job.place.desk
    if job.renewal.way in (Way.B, Way.C):
        undo(job)
    elif job.old.sha256 == job.old_sha256:  # else nobody told us which it was
        job.administering(lambda session: session.store(job.slot, job.old.der))
    _turn_down(job, desk.conversation(json.loads(job.renewal.facts["conversation"])))
    return Event(Kind.REJECTED)


def _turn_down(job: Job, client: CmpClient) -> None:
    """certConf with a rejection. The RA withdraws what is never confirmed, so one that does not arrive does no harm."""

    def sign(session: SigningSession) -> Outgoing:
        return Outgoing(client, client.confirm(job.place.now(), _requester(job, session), accept=False))

    with contextlib.suppress(RaError, KeyDoesNotFit, CardRefused):
        job.place.desk.send(job.signing(sign))


def send_receipt(job: Job, record: Record) -> Event:
    """Proof of remedy; on it the RA revokes the old certificate."""
    answer = job.place.desk.deliver(job.outbox.pop("receipt"), knows_us="ticket" in job.renewal.facts)
    if answer is not None and answer.receipt.hex() != sha256(job.receipt):
        raise RaMisbehaved(_("The Registration Authority acknowledged another receipt than the one that was sent."))
    if job.beside is not None:
        drop_copy(job)
    return Event(Kind.NO_RECEIPTS) if answer is None else Event(Kind.RECEIPTED, {"receipted": "yes"})


def _requester(job: Job, session: SigningSession) -> Credential:
    """The credential that protected the request: the old key for `kur`, else 9A (RFC 9483 4.1)."""
    if _by_old_key(job):
        return job.credential(session, job.old_slot, x509.load_der_x509_certificate(job.old.der))
    return job.authentication(session)


def _by_old_key(job: Job) -> bool:
    """`kur` is protected by the key of the certificate being updated (RFC 9483 4.1.3). Ways B and C take a ticket where
    the RA has them, which is good in a `cr` alone; and in way D the old key is gone."""
    ticket_first = job.renewal.way is not Way.A and job.beside is None and "ticket" in job.renewal.facts
    return job.renewal.way is not Way.D and can_protect(job.old) and not ticket_first


def _old_key_unusable(job: Job, error: Exception) -> Event:
    if not job.renewal.old_key_usable:
        raise error
    if job.beside is not None or job.campaign.old_key != "may-be-unusable" or job.campaign.rekey == "forbidden":
        raise RenewalImpossible(
            _("The key on this smartcard does not fit its certificate, so it cannot sign.")
        ) from error
    return Event(Kind.OLD_KEY_UNUSABLE)


def _without_ticket(job: Job) -> Event:
    if job.renewal.way in (Way.B, Way.C) and can_protect(job.old):
        return Event(Kind.NO_TICKETS)
    if not job.place.way_d_without_tickets:
        raise RenewalImpossible(_("The Registration Authority gives no permission in advance to renew this smartcard."))
    return Event(Kind.NO_TICKETS)


STEPS: Mapping[State, Step] = MappingProxyType(
    {
        State.PREFLIGHT: preflight,
        State.CONSENT: consent,
        State.TICKET: ticket,
        State.ARM: arm,
        State.GENERATE: generate,
        State.STAGE: stage,
        State.CERTIFY: certify,
        State.WAITING: wait,
        State.POLL: poll,
        State.STORE: store,
        State.TRY: try_new_key,
        State.MOVE: swap,
        State.DROP: drop,
        State.CONFIRM: confirm,
        State.REJECT: reject,
        State.RECEIPT: send_receipt,
    }
)
