"""The CMP client, sans-IO: it makes messages, consumes answers and says what they mean. One client, one transaction.

Everything in an answer is checked before a word of it is believed (`cmp.client_checks`); what remains to be known for
the next answer is `state`, which a journal can keep. The lightweight profile, RFC 9483, over RFC 9810. For children
only: it loads cryptography.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.cmp import bodies, codec, crmf, der, macs, signatures
from renewagent.cmp.client_answers import Answer, Confirmed, GeneralAnswer, Issued, Result, Waiting, judge
from renewagent.cmp.client_checks import Authorisation, Trust, may_protect, ra_or_ca
from renewagent.cmp.client_confirm import cert_status
from renewagent.cmp.conversation import Conversation, Phase
from renewagent.cmp.private import TICKET_CONTROL, TICKET_FOR, TicketFor
from renewagent.cmp.wire import NULL_DN, BodyType, Header, InfoValue
from renewagent.errors import RenewalImpossible
from renewagent.language import _

__all__ = [
    "Authorisation",
    "CmpClient",
    "Confirmed",
    "Conversation",
    "Credential",
    "GeneralAnswer",
    "Issued",
    "MacCredential",
    "Phase",
    "Result",
    "Waiting",
    "may_protect",
]


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate, its chain without it, and its private key, which may be a card's."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: signatures.PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class MacCredential:
    """A secret shared with the RA, and the reference that it is known by."""

    reference: str
    secret: bytes = field(repr=False)


class CmpClient:
    """One transaction with an RA whose certificates chain to `anchors`. Messages are DER; `now` is aware UTC.

    `recipient` is the RA's or CA's name where it differs from the issuer of the certificate at hand; `authorised` says
    who under the anchors may speak for the RA; `random` gives so many random bytes.
    """

    def __init__(
        self,
        anchors: Sequence[x509.Certificate],
        *,
        recipient: x509.Name | None = None,
        authorised: Authorisation = ra_or_ca,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._trust = Trust(tuple(anchors), authorised)
        self._recipient = recipient
        self._random = random
        self._state: Conversation | None = None
        self._mac: MacCredential | None = None

    @classmethod
    def resume(
        cls,
        state: Mapping[str, Any],
        anchors: Sequence[x509.Certificate],
        *,
        mac: MacCredential | None = None,
        authorised: Authorisation = ra_or_ca,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> CmpClient:
        """Go on from `state.to_dict()`; `mac` where a shared secret protects. Raises ValueError for another state."""
        client = cls(anchors, authorised=authorised, random=random)
        client._state, client._mac = Conversation.from_dict(state), mac
        return client

    @classmethod
    def adopt(
        cls,
        anchors: Sequence[x509.Certificate],
        transaction_id: bytes,
        response_nonce: bytes,
        certificate: x509.Certificate,
        *,
        authorised: Authorisation = ra_or_ca,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> CmpClient:
        """Take over, at the confirmation, a transaction that another workstation began (told by a TicketAnswer).

        Judge the certificate first: `client_checks.check_certificate`.
        """
        client = cls(anchors, authorised=authorised, random=random)
        client._state = Conversation(
            phase=Phase.ISSUED,
            asked=BodyType.CR,
            transaction_id=transaction_id,
            sender_nonce=b"",
            request_nonce=b"",
            recip_nonce=response_nonce,
            response_nonce=response_nonce,
            certificate=certificate.public_bytes(Encoding.DER),
            recipient=codec.directory(certificate.issuer),
        )
        return client

    @property
    def state(self) -> Conversation:
        """The transaction so far. Raises RuntimeError before there is one."""
        if self._state is None:
            raise RuntimeError("no CMP transaction has begun")
        return self._state

    def start_key_update(
        self,
        now: datetime,
        credential: Credential,
        new_key: signatures.PrivateKey,
        old_certificate: x509.Certificate,
        *,
        subject: x509.Name | None = None,
        key_usage: x509.KeyUsage | None = None,
        ticket_for: TicketFor | None = None,
    ) -> bytes:
        """kur: protected by the certificate being updated (RFC 9483 4.1.3). `new_key` may be the old one.

        `key_usage`: what the new certificate must be good for; the RA is not asked for it, an update keeps it.
        """
        request = self._request(new_key, subject or old_certificate.subject, old_certificate)
        request = _kept_under(ticket_for, request)
        octets = self._enrol(now, BodyType.KUR, credential, new_key, request, old_certificate)
        if key_usage is not None:
            self._state = replace(self.state, key_usage=key_usage.public_bytes())
        return octets

    def start_certification(
        self,
        now: datetime,
        credential: Credential,
        new_key: signatures.PrivateKey,
        *,
        subject: x509.Name,
        old_certificate: x509.Certificate,
        ticket: str | None = None,
        key_usage: x509.KeyUsage | None = None,
        ticket_for: TicketFor | None = None,
    ) -> bytes:
        """cr: protected by another certificate of the holder, with oldCertID and, where the RA gave one, the ticket."""
        request = self._request(new_key, subject, old_certificate, key_usage=key_usage)
        request = _kept_under(ticket_for, request)
        if ticket is not None:
            control = InfoValue(TICKET_CONTROL, der.utf8_string(ticket))
            request = replace(request, controls=(*request.controls, control))
        return self._enrol(now, BodyType.CR, credential, new_key, request, old_certificate)

    def start_initial(
        self,
        now: datetime,
        credential: MacCredential,
        new_key: signatures.PrivateKey,
        *,
        subject: x509.Name,
        validity: tuple[datetime | None, datetime | None] = (None, None),
        key_usage: x509.KeyUsage | None = None,
    ) -> bytes:
        """ir: a first certificate, protected by a shared secret (RFC 9483 4.1.5). `validity`: notBefore, notAfter."""
        request = self._request(new_key, subject, None, key_usage=key_usage, validity=validity)
        return self._enrol(now, BodyType.IR, credential, new_key, request, None)

    def general(
        self,
        now: datetime,
        credential: Credential | MacCredential,
        values: Sequence[tuple[x509.ObjectIdentifier, bytes | None]],
    ) -> bytes:
        """genm with these information types and their DER."""
        self._begin(BodyType.GENM, credential, self._recipient_of(credential))
        body = bodies.write_info(BodyType.GENM, [InfoValue(oid, value) for oid, value in values])
        return self._send(now, credential, BodyType.GENM, body)

    def confirm(
        self, now: datetime, credential: Credential | MacCredential, accept: bool = True, reason: str = ""
    ) -> bytes:
        """certConf for the certificate in hand, by the credential that protected the request (RFC 9483 4.1.1).

        `reason` is told to the RA with a rejection. May be called again while its answer is missing.
        """
        state = self.state
        in_hand = state.phase in (Phase.ISSUED, Phase.UNFIT) or state.asked is BodyType.CERTCONF
        if not in_hand or state.phase is Phase.DONE:
            raise RuntimeError("there is no certificate to confirm")
        if accept and state.phase is Phase.UNFIT:
            raise RuntimeError("a certificate that does not fit cannot be accepted")
        status, pvno = cert_status(state.certificate, accept=accept, reason=reason)
        self._state = replace(state, accepted=accept, pvno=max(state.pvno, pvno))
        return self._send(now, credential, BodyType.CERTCONF, bodies.write_confirmations([status]))

    def poll(self, now: datetime, credential: Credential | MacCredential) -> bytes:
        """pollReq, after the time that `Waiting` named (RFC 9483 4.4)."""
        if self.state.phase not in (Phase.WAITING, Phase.POLLED):
            raise RuntimeError("nothing is waiting at the Registration Authority")
        body = bodies.write_poll_requests([self.state.poll_id])
        return self._send(now, credential, BodyType.POLLREQ, body)

    def receive(self, now: datetime, octets: bytes) -> Result:
        """What an answer means, once everything about it was checked.

        Raises RaRefused (the RA's protected no), ClockError, or RaMisbehaved: nothing of such an answer may be used.
        Where a certificate came that does not fit, `state.phase` is UNFIT: send `confirm(accept=False)`.
        """
        answer = Answer(octets, self.state, self._trust, self._mac.secret if self._mac else None)
        verdict = judge(answer, now)
        self._state = verdict.state
        if isinstance(verdict.result, Exception):
            raise verdict.result
        return verdict.result

    def _request(
        self,
        key: signatures.PrivateKey,
        subject: x509.Name,
        old: x509.Certificate | None,
        *,
        key_usage: x509.KeyUsage | None = None,
        validity: tuple[datetime | None, datetime | None] = (None, None),
    ) -> crmf.CertRequest:
        template = crmf.CertTemplate(
            subject=subject.public_bytes(),
            public_key=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            not_before=validity[0],
            not_after=validity[1],
            extensions=() if key_usage is None else (crmf.key_usage_extension(key_usage),),
        )
        return crmf.CertRequest(0, template, () if old is None else (crmf.old_cert_id(old),))

    def _enrol(
        self,
        now: datetime,
        kind: BodyType,
        credential: Credential | MacCredential,
        new_key: signatures.PrivateKey,
        request: crmf.CertRequest,
        old: x509.Certificate | None,
    ) -> bytes:
        _refuse_unfit(credential)  # before the new key is asked for a signature that may cost a touch
        raw, algorithm = crmf.encode_request(request), signatures.algorithm_for(new_key)
        proof = crmf.encode_popo(algorithm, signatures.sign(new_key, algorithm, raw))
        self._begin(kind, credential, _NOBODY if old is None else codec.directory(old.issuer))
        template = request.template
        self._state = replace(
            self.state,
            public_key=template.public_key or b"",
            subject=template.subject or b"",
            old=b"" if old is None else old.fingerprint(hashes.SHA256()),
            key_usage=template.extensions[0].value if template.extensions else b"",
        )
        body = bodies.write_cert_requests(kind, [crmf.encode_req_msg(raw, proof)])
        return self._send(now, credential, kind, body)

    def _begin(self, kind: BodyType, credential: Credential | MacCredential, recipient: bytes) -> None:
        if self._state is not None:
            raise RuntimeError("one client carries one CMP transaction")
        if self._recipient is not None:
            recipient = codec.directory(self._recipient)
        self._mac = credential if isinstance(credential, MacCredential) else None
        self._state = Conversation(
            phase=Phase.SENT,
            asked=kind,
            transaction_id=self._random(16),
            sender_nonce=b"",
            request_nonce=b"",
            credential=_fingerprint(credential),
            recipient=recipient,
        )

    def _recipient_of(self, credential: Credential | MacCredential) -> bytes:
        return _NOBODY if isinstance(credential, MacCredential) else codec.directory(credential.certificate.issuer)

    def _send(self, now: datetime, credential: Credential | MacCredential, kind: BodyType, body: bytes) -> bytes:
        state = self.state
        if state.credential and _fingerprint(credential) != state.credential:
            raise RuntimeError("a transaction stays with the credential that protected its request")
        _refuse_unfit(credential)
        nonce, polling = self._random(16), kind is BodyType.POLLREQ
        self._state = replace(
            state,
            phase=Phase.POLLED if polling else Phase.SENT,
            asked=state.asked if polling else kind,
            sender_nonce=nonce,
            request_nonce=state.request_nonce if polling else nonce,
            credential=_fingerprint(credential),
        )
        if isinstance(credential, MacCredential):
            self._mac = credential
        return _protect(self._header(now, credential), body, credential)

    def _header(self, now: datetime, credential: Credential | MacCredential) -> Header:
        state = self.state
        if isinstance(credential, MacCredential):
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, credential.reference)])
            algorithm = macs.password_based_mac(self._random(16))
        else:
            name, algorithm = credential.certificate.subject, signatures.algorithm_for(credential.key)
        return Header(
            sender=codec.directory(name),
            recipient=state.recipient,
            pvno=state.pvno,
            message_time=now,
            protection_alg=algorithm,
            sender_kid=_key_identifier(credential),
            transaction_id=state.transaction_id,
            sender_nonce=state.sender_nonce,
            recip_nonce=state.recip_nonce,
        )


_NOBODY = codec.directory(NULL_DN)


def _kept_under(ticket_for: TicketFor | None, request: crmf.CertRequest) -> crmf.CertRequest:
    if ticket_for is None:
        return request
    return replace(request, controls=(*request.controls, InfoValue(TICKET_FOR, asn1.encode_der(ticket_for))))


def _protect(header: Header, body: bytes, credential: Credential | MacCredential) -> bytes:
    algorithm, raw_header = header.protection_alg, codec.encode_header(header)
    if algorithm is None:
        raise ValueError("a header without protectionAlg")
    covered = codec.protected_part(raw_header, body)
    if isinstance(credential, MacCredential):
        return codec.encode_message(raw_header, body, macs.compute(algorithm, credential.secret, covered))
    protection = signatures.sign(credential.key, algorithm, covered)
    # First the protecting certificate, then its chain (RFC 9483 3.3).
    extra = [c.public_bytes(Encoding.DER) for c in (credential.certificate, *credential.chain)]
    return codec.encode_message(raw_header, body, protection, extra)


def _refuse_unfit(credential: Credential | MacCredential) -> None:
    if isinstance(credential, Credential) and not may_protect(credential.certificate):
        raise RenewalImpossible(
            _("The certificate that would have to sign the request is not allowed to sign messages.")
        )


def _fingerprint(credential: Credential | MacCredential) -> bytes:
    return b"" if isinstance(credential, MacCredential) else credential.certificate.fingerprint(hashes.SHA256())


def _key_identifier(credential: Credential | MacCredential) -> bytes | None:
    if isinstance(credential, MacCredential):
        return credential.reference.encode()
    try:
        return credential.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None
