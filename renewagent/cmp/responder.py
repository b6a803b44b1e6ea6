"""The RA's half of CMP (RFC 9810 in the profile of RFC 9483), sans-IO: a message in, a message out.

Everything that concerns the order of messages in one conversation lives here; what can be said of one message on its
own is said in `responder_header`, `responder_requests` and `responder_confirm`; what needs the world is asked of the
`Authority`. Every refusal becomes a protected error message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from renewagent.cmp import bodies, codec
from renewagent.cmp.responder_answers import (
    ANSWER_TO,
    IMPLICIT_CONFIRM,
    Reply,
    certificate_body,
    confirm_wait_time,
    error_body,
    seal,
    waiting_body,
)
from renewagent.cmp.responder_confirm import accepted, the_only_poll
from renewagent.cmp.responder_header import (
    FIRST_BODIES,
    Caller,
    authenticate,
    check_header,
    find_secret,
    refuse_unless_unrevoked,
)
from renewagent.cmp.responder_requests import CERT_REQ_ID, read_order
from renewagent.cmp.responder_revocation import read_revocation
from renewagent.cmp.responder_signature import MessageSigner
from renewagent.cmp.responder_words import Authority, Inquiry, Issued, Refusal, Transaction, Waiting
from renewagent.cmp.wire import BodyType, InfoValue, Message, PkiStatus, PollReply, StatusInfo


class CmpResponder:
    """Answers CMP messages. `random` gives that many random bytes; `window` is how far a messageTime may be off."""

    def __init__(
        self,
        authority: Authority,
        signer: MessageSigner,
        *,
        random: Callable[[int], bytes],
        window: timedelta = timedelta(minutes=5),
        ca_pubs: tuple[bytes, ...] = (),
    ) -> None:
        self._authority = authority
        self._signer = signer
        self._random = random
        self._window = window
        self._ca_pubs = ca_pubs

    def respond(self, octets: bytes, now: datetime) -> bytes:
        """The answer to one message, always a protected PKIMessage."""
        nonce = self._random(16)
        try:
            message = codec.decode_message(octets)
        except ValueError as problem:
            refusal = Refusal(f"not a PKIMessage: {problem}", "badDataFormat")
            return seal(Reply(error_body(refusal), nonce), None, None, self._signer, now)
        try:
            check_header(message, now, self._window)
            caller = authenticate(message, self._authority, now)
            reply = self._answer(message, octets, caller, nonce, now)
        except Refusal as refusal:
            return self._refused(message, refusal, nonce, now)
        return seal(reply, message.header, caller, self._signer, now)

    def _refused(self, message: Message, refusal: Refusal, nonce: bytes, now: datetime) -> bytes:
        try:
            caller = find_secret(message, self._authority)
        except Refusal:
            caller = None
        return seal(Reply(error_body(refusal), nonce), message.header, caller, self._signer, now)

    def _answer(self, message: Message, octets: bytes, caller: Caller, nonce: bytes, now: datetime) -> Reply:
        kind = message.body_type
        if kind in FIRST_BODIES:
            return self._begin(message, octets, caller, nonce, now)
        transaction = self._continued(message, caller, now)
        if kind is BodyType.CERTCONF:
            return self._confirm(message, transaction, nonce, now)
        if kind is BodyType.POLLREQ:
            return self._poll(message, transaction, caller, nonce, now)
        if kind is BodyType.ERROR:
            return self._abandon(transaction, nonce, now)
        raise Refusal(f"a {kind.name.lower()} is not for an RA", "badRequest")

    def _begin(self, message: Message, octets: bytes, caller: Caller, nonce: bytes, now: datetime) -> Reply:
        if self._authority.transactions.get(message.header.transaction_id or b"") is not None:
            raise Refusal("this transactionID is in use", "transactionIdInUse")
        if message.body_type in ANSWER_TO:
            return self._enrol(message, octets, caller, nonce, now)
        if message.body_type is BodyType.RR:
            return self._revoke(message, caller, nonce, now)
        if message.body_type is BodyType.GENM:
            return self._inform(message, caller, nonce, now)
        raise Refusal("nested messages are not taken here", "badRequest")

    def _opened(self, message: Message, caller: Caller, nonce: bytes, now: datetime) -> Transaction:
        return Transaction(
            id=message.header.transaction_id or b"",
            body=message.body_type.name.lower(),
            state="done",
            signer=caller.mark,
            reference=caller.reference,
            cert_req_id=CERT_REQ_ID.get(message.body_type, 0),
            nonce=nonce,
            opened_at=now,
        )

    def _enrol(self, message: Message, octets: bytes, caller: Caller, nonce: bytes, now: datetime) -> Reply:
        order = read_order(message, caller)
        if message.body_type is BodyType.KUR and caller.known is not None and caller.known.updating:
            raise Refusal("another update of this certificate is not confirmed yet", "badRequest")
        result = self._authority.certify(order, now)
        transaction = self._opened(message, caller, nonce, now)
        if isinstance(result, Issued):
            return self._deliver(transaction, result, nonce, now)
        self._authority.transactions.put(replace(transaction, state="waiting", request=octets))
        kind = ANSWER_TO[message.body_type]
        return Reply(waiting_body(kind, transaction.cert_req_id), nonce)

    def _deliver(self, transaction: Transaction, result: Issued, nonce: bytes, now: datetime) -> Reply:
        transaction = replace(
            transaction,
            state="issued",
            nonce=nonce,
            issuing_nonce=nonce,
            request=b"",
            certificate=result.certificate,
            confirm_by=result.confirm_by,
        )
        self._authority.transactions.put(transaction)
        if result.implicitly_confirmed:
            self._authority.conclude(transaction, "confirmed", now)
            self._authority.transactions.put(replace(transaction, state="confirmed"))
            return self._delivery(transaction, (IMPLICIT_CONFIRM,), result.chain)
        info = () if result.confirm_by is None else (confirm_wait_time(result.confirm_by),)
        return self._delivery(transaction, info, result.chain)

    def _delivery(self, transaction: Transaction, info: tuple[InfoValue, ...], chain: tuple[bytes, ...]) -> Reply:
        kind = ANSWER_TO[BodyType[transaction.body.upper()]]
        ca_pubs = self._ca_pubs if kind is BodyType.IP else ()  # RFC 9810 5.3.4: absent in cp and kup
        body = certificate_body(kind, transaction.cert_req_id, transaction.certificate, ca_pubs)
        return Reply(body, transaction.nonce, info, chain)

    def _continued(self, message: Message, caller: Caller, now: datetime) -> Transaction:
        """The conversation that a later message belongs to, withdrawn first if its time is over."""
        transaction = self._authority.transactions.get(message.header.transaction_id or b"")
        if transaction is None:
            raise Refusal("no transaction has this transactionID", "badRequest")
        if bool(transaction.signer) != bool(caller.mark):
            raise Refusal("a transaction keeps its kind of protection", "wrongIntegrity")
        if transaction.signer != caller.mark or transaction.reference != caller.reference:
            raise Refusal("the message is not protected by what protected the request", "badMessageCheck")
        self._check_recipient_nonce(message, transaction)
        if transaction.state == "issued" and transaction.confirm_by is not None and now > transaction.confirm_by:
            self._authority.conclude(transaction, "expired", now)
            transaction = replace(transaction, state="expired")
            self._authority.transactions.put(transaction)
        return transaction

    def _check_recipient_nonce(self, message: Message, transaction: Transaction) -> None:
        given = message.header.recip_nonce
        # Whoever lost our answer cannot know its nonce; asking again, or giving up, must still be possible.
        if given is None and message.body_type in (BodyType.POLLREQ, BodyType.ERROR):
            return
        nonces = {transaction.nonce, transaction.nonce_before, transaction.issuing_nonce} - {b""}
        if message.body_type is BodyType.CERTCONF:
            nonces = {transaction.issuing_nonce} - {b""}
        if given not in nonces:
            raise Refusal("the recipNonce is not the senderNonce of the last answer", "badRecipientNonce")

    def _confirm(self, message: Message, transaction: Transaction, nonce: bytes, now: datetime) -> Reply:
        if transaction.state == "confirmed":
            raise Refusal("this certificate is confirmed already", "certConfirmed")
        if transaction.state != "issued":
            raise Refusal("no certificate waits for this confirmation", "badRequest")
        outcome: Literal["confirmed", "rejected"] = "confirmed" if accepted(message, transaction) else "rejected"
        self._authority.conclude(transaction, outcome, now)
        self._authority.transactions.put(
            replace(transaction, state=outcome, nonce=nonce, nonce_before=transaction.nonce)
        )
        return Reply(bodies.write_pki_conf(), nonce)

    def _poll(self, message: Message, transaction: Transaction, caller: Caller, nonce: bytes, now: datetime) -> Reply:
        the_only_poll(message, transaction)
        moved = replace(transaction, nonce=nonce, nonce_before=transaction.nonce)
        if transaction.state == "issued":  # the answer was lost: deliver it again
            return self._deliver_again(moved, now)
        if transaction.state != "waiting":
            raise Refusal("nothing waits in this transaction", "badRequest")
        request = codec.decode_message(transaction.request)
        try:
            result = self._authority.certify(read_order(request, caller), now)
        except Refusal:
            self._authority.transactions.put(replace(moved, state="rejected", request=b""))
            raise
        if isinstance(result, Waiting):
            self._authority.transactions.put(moved)
            reply = PollReply(transaction.cert_req_id, result.check_after)
            return Reply(bodies.write_poll_replies((reply,)), nonce)
        return self._deliver(moved, result, nonce, now)

    def _deliver_again(self, transaction: Transaction, now: datetime) -> Reply:
        transaction = replace(transaction, issuing_nonce=transaction.nonce)
        self._authority.transactions.put(transaction)
        info = () if transaction.confirm_by is None else (confirm_wait_time(transaction.confirm_by),)
        known = self._authority.known(transaction.certificate, now)
        return self._delivery(transaction, info, known.chain if known is not None else ())

    def _abandon(self, transaction: Transaction, nonce: bytes, now: datetime) -> Reply:
        """The other side gives up (RFC 9483 3.6.4): whatever was issued and not confirmed is withdrawn."""
        if transaction.state in ("issued", "waiting"):
            self._authority.conclude(transaction, "rejected", now)
            self._authority.transactions.put(replace(transaction, state="rejected", request=b"", nonce=nonce))
        return Reply(bodies.write_pki_conf(), nonce)

    def _revoke(self, message: Message, caller: Caller, nonce: bytes, now: datetime) -> Reply:
        wish = read_revocation(message, caller)
        self._authority.revoke(wish, now)
        self._authority.transactions.put(self._opened(message, caller, nonce, now))
        return Reply(bodies.write_revocation_answer((StatusInfo(PkiStatus.ACCEPTED),)), nonce)

    def _inform(self, message: Message, caller: Caller, nonce: bytes, now: datetime) -> Reply:
        refuse_unless_unrevoked(caller)
        try:
            items = bodies.read_info(message)
        except ValueError as problem:
            raise Refusal(f"the genm cannot be read: {problem}", "badDataFormat") from problem
        identifier = message.header.transaction_id or b""
        answers: list[InfoValue] = []
        for item in items:
            answers += self._authority.inform(Inquiry(item, identifier, caller.der or None), now) or ()
        self._authority.transactions.put(self._opened(message, caller, nonce, now))
        return Reply(bodies.write_info(BodyType.GENP, answers), nonce)
