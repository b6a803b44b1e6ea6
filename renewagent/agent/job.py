"""What one renewal works with: the workplace (readers, RA, journal, person) and the job (this card, this campaign).

Data and small accessors; the steps are in `steps`, `recovery` and `sign_in`, their order in `renewagent.renewal`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from renewagent import cms
from renewagent.agent import desk_words, words
from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import is_for_authentication
from renewagent.agent.journal import Journal
from renewagent.agent.key_relay import KeyRelay
from renewagent.agent.old_keys import KEEP_DAYS
from renewagent.agent.passcode import FittingSession, Passcode, PublicKey, RenewableCard
from renewagent.agent.power import Power, UnknownPower
from renewagent.agent.prompts import Prompter
from renewagent.agent.ra_desk import Outgoing, RaDesk
from renewagent.agent.removal import OnRemoval
from renewagent.card.interface import AdminSession, CardConnection, KeyType, Readers, SigningSession
from renewagent.card.key import card_key
from renewagent.certificates import read_certificate
from renewagent.check_ins import CheckIn
from renewagent.cmp.client import Credential
from renewagent.cmp.client_template import CertifiedKeys
from renewagent.errors import CardDataError, PersonStopped, RenewalImpossible
from renewagent.language import _
from renewagent.model import CardIdentity, SigningCertificate, Slot
from renewagent.renewal import Event, Renewal, State, Way, can_protect
from renewagent.rules import Campaign, Contact, for_the_pair
from renewagent.statements import Purpose, Statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workplace:
    """Everything outside the card in hand. `open_card` gives a driver for a connection."""

    readers: Readers
    open_card: Callable[[CardConnection], RenewableCard]
    desk: RaDesk
    journal: Journal
    prompter: Prompter
    contact: Contact
    way_d_without_tickets: bool = False
    keep_old_key_days: int = KEEP_DAYS
    shown_by_software: Callable[[str], Collection[str]] | None = None
    """See `renewagent.agent.stale`; None where no vendor's software is configured."""
    power: Power = field(default_factory=UnknownPower)
    on_removal: Callable[[], OnRemoval] = lambda: OnRemoval.UNKNOWN
    """What taking a card out does to this desktop."""
    key_relay: KeyRelay | None = None
    """Where the RA keeps the management keys of cards."""

    report: Callable[[CheckIn], object] = lambda check_in: None
    """Queues what the console is to hear; without a console nobody does."""
    pin_pad: bool = True
    """Whether passcodes are typed on a reader's own keys where it has any."""
    ordered: CardIdentity | None = None
    """The card that an officer of the RA has renewed here, with the RA's leave."""

    def now(self) -> datetime:
        """Aware UTC."""
        return self.desk.now()

    def passcode(self) -> Passcode:
        """For the card that is renewed."""
        wanted = words.pin_wanted if self.ordered is None else desk_words.holders_pin
        return Passcode(self.prompter, wanted, pad=self.pin_pad)


@dataclass(slots=True)
class Job:
    """One card being renewed. `old` is the certificate to replace; `campaign_document` the campaign as signed."""

    place: Workplace
    passcode: Passcode
    reader: str
    card: RenewableCard
    identity: CardIdentity
    slot: Slot
    old: SigningCertificate
    campaign: Campaign
    campaign_document: bytes
    renewal: Renewal
    rule: str | None = None
    """Which of the campaign's rules hit."""
    campaigns: Mapping[str, Accepted] = field(default_factory=dict)
    """All that are known here, by id."""
    outbox: dict[str, Outgoing] = field(default_factory=dict)
    """Messages that were signed together with an earlier one and wait for their turn: "arm", "certconf", "receipt"."""
    certified_keys: CertifiedKeys = None
    """What the RA said of the keys that it certifies, in this process; nothing is generated before it was asked."""
    asked_again: bool = False
    """The RA refused to answer a pollReq once, so that the certificate was asked for anew."""
    receipt: bytes = b""
    beside: tuple[Slot, SigningCertificate] | None = None
    """Where it is the authentication certificate that is renewed: the signing certificate beside it (see `pair`)."""
    pair: Job | None = None
    """The renewal of the other certificate, which followed this one."""
    agreed: bool = False
    """The person has agreed to it along with what went before."""
    vouching: tuple[Slot, SigningCertificate] | None = None
    """What was found to vouch for the pair, other than the events tell."""
    _authentication: tuple[Slot, x509.Certificate] | None = None

    @property
    def staging(self) -> Slot:
        """Ways B and C: where the new key is made."""
        return Slot(self.renewal.facts["staging"])

    @property
    def parking(self) -> Slot:
        """Way B: where the old key goes."""
        return Slot(self.renewal.facts["parking"])

    @property
    def new_slot(self) -> Slot:
        """Where the new key is."""
        return self.staging if self.renewal.way in (Way.B, Way.C) and not self.renewal.moved else self.slot

    @property
    def old_slot(self) -> Slot:
        """Where the old key is, if it is still on the card."""
        return self.parking if self.renewal.way is Way.B and self.renewal.moved else self.slot

    @property
    def campaign_name(self) -> str:
        """ "id/version", as statements carry it: that of the ticket where there is one."""
        return self.renewal.facts.get("campaign") or self.campaign.label

    def follow(self, label: str) -> None:
        """Go by the campaign that the card's ticket names ("id/version"), where this computer has it."""
        known = self.campaigns.get(label.rpartition("/")[0])
        if known is not None:
            campaign = known.campaign if self.beside is None else for_the_pair(known.campaign)
            self.campaign, self.campaign_document = campaign or self.campaign, known.document

    def fact(self, name: str) -> bytes:
        """A fact of the renewal that is bytes; empty where there is none."""
        return bytes.fromhex(self.renewal.facts.get(name, ""))

    @property
    def ordered(self) -> bool:
        """By an officer of the RA, who answers for what a holder may not do alone."""
        return self.place.ordered == self.identity

    @property
    def begun_under(self) -> dict[str, str]:
        """The campaign as the journal keeps it: what has begun must not need it from anywhere else."""
        which = {} if self.beside is None else {"renews": "authentication"}
        return {"campaign": self.campaign_name, "campaign_document": self.campaign_document.hex(), **which}

    @property
    def new_key_type(self) -> KeyType:
        """What the card is to generate. Raises RenewalImpossible."""
        return new_key_type(self.old, self.campaign, self.rule, self.certified_keys)

    @property
    def old_sha256(self) -> str:
        """SHA-256 of the certificate to replace: the RA's word where the card holds the new one already."""
        return self.renewal.facts.get("old_sha256") or self.old.sha256

    def pause(self, seconds: float) -> None:
        """Sleep, but end with PersonStopped soon after the person went away."""
        end = time.monotonic() + seconds
        self._sleep(lambda: end - time.monotonic())

    def pause_until(self, until: datetime) -> None:
        """The same, by the clock on the wall: a computer that sleeps meanwhile does not wait longer."""
        self._sleep(lambda: (until - self.place.now()).total_seconds())

    def _sleep(self, left: Callable[[], float]) -> None:
        while (seconds := left()) > 0:
            if self.place.prompter.stopped():
                raise PersonStopped(_("You stopped waiting for the Registration Authority."))
            time.sleep(min(seconds, 0.5))

    def statement(self, purpose: Purpose, nonce: str, certificate: bytes, old_sha256: str = "-") -> Statement:
        """A statement about `certificate` (DER), ready to encode."""
        return Statement(
            purpose=purpose,
            origin=self.place.desk.sign_in_origin if purpose is Purpose.SIGN_IN else self.place.desk.origin,
            card=str(self.identity),
            certificate=sha256(certificate),
            at=self.place.now().replace(microsecond=0),
            nonce=nonce,
            old=old_sha256,
            campaign="-" if purpose is Purpose.SIGN_IN else self.campaign_name,
        )

    def signing(self, work: Callable[[SigningSession], T]) -> T:
        """`Passcode.signing`, with everything that must be read from the card read before: a SELECT in the middle of a
        session takes the PIN's rights away on many cards."""
        self.authentication_certificate()
        return self.passcode.signing(self.card, work)

    def administering(self, work: Callable[[AdminSession], T]) -> T:
        """`Passcode.administering`, with the RA's leave before it where the RA keeps the management key."""
        if self.place.key_relay is not None and self.renewal.way is not Way.C:
            return self.place.key_relay.administering(self, work)
        return self.passcode.administering(self.card, work)

    def sign_ahead(self, session: SigningSession, *steps: State) -> None:
        """What `administering` will take in these steps, signed while the passcode is at hand."""
        if self.place.key_relay is not None and self.renewal.way is not Way.C:
            self.place.key_relay.sign_ahead(self, session, *steps)

    def use(self, reader: str, card: RenewableCard) -> None:
        """Go on with a fresh connection to the same card."""
        self.reader, self.card, self._authentication, self.vouching = reader, card, None, None

    def authentication(self, session: SigningSession) -> Credential:
        """The holder's authentication certificate (9A) and its key, to protect messages within `session`."""
        slot, certificate = self.authentication_certificate()
        return self.credential(session, slot, certificate)

    def credential(self, session: SigningSession, slot: Slot, certificate: x509.Certificate) -> Credential:
        """The key in `slot` for messages, each of its signatures verified under `certificate` before it is used."""
        public_key = certificate.public_key()
        return Credential(certificate, (), self.key(session, slot, public_key))

    def key(self, session: SigningSession, slot: Slot, public_key: Any) -> Any:
        """A private key object that asks the card; raises KeyDoesNotFit where a signature does not verify."""
        return card_key(FittingSession(session, public_key), slot, public_key)

    def sign_statement(
        self, session: SigningSession, slot: Slot, der: bytes, statement: Statement, known: Sequence[bytes] = ()
    ) -> bytes:
        """CMS SignedData over a statement of ours, by the key of the certificate `der` in `slot`; inside is what leads
        up from that, as far as it is `known` (DER)."""
        certificate = x509.load_der_x509_certificate(der)
        key = self.key(session, slot, certificate.public_key())
        return cms.sign(statement.encode(), certificate, key, self.place.desk.issuers(certificate, known))

    def authentication_certificate(self) -> tuple[Slot, x509.Certificate]:
        """What vouches for a renewal: the first other slot whose certificate may protect messages but not sign
        prescriptions, read once; of the pair, the signing certificate where it may, else the old one itself."""
        if self.beside is not None:
            slot, certificate = self.beside
            if not can_protect(certificate):
                slot, certificate = self.vouching or (self.old_slot, self.old)
            return slot, x509.load_der_x509_certificate(certificate.der)
        if self._authentication is None:
            self._authentication = self._find_authentication()
        return self._authentication

    def signs_in_with(self) -> tuple[Slot, x509.Certificate, bytes]:
        """The authentication key and certificate for the sign-in, and the signing certificate (DER) to be named."""
        new = self.fact("certificate")
        if self.beside is not None:
            return self.new_slot, x509.load_der_x509_certificate(new), self.beside[1].der
        return *self.authentication_certificate(), new

    def _find_authentication(self) -> tuple[Slot, x509.Certificate]:
        for slot in self.card.slots():
            with suppress(CardDataError):  # one whose writing was cut short
                der = self.card.certificate(slot) if slot != self.slot else None
                if der is not None and is_for_authentication(read_certificate(der)):
                    return slot, x509.load_der_x509_certificate(der)
        raise RenewalImpossible(_("This smartcard has no certificate to sign in with, so it cannot be renewed here."))


Record = Callable[[Event], None]
"""Journals an event and steps the renewal; durable when it returns."""
Step = Callable[[Job, Record], Event | None]
"""Does what its state asks for. Returns the event that ends the state, None where it has recorded that itself."""


def sha256(der: bytes) -> str:
    """Lowercase hex."""
    return hashlib.sha256(der).hexdigest()


KEYS = {
    KeyType.RSA2048: ("rsa", 2048),
    KeyType.RSA3072: ("rsa", 3072),
    KeyType.P256: ("ec", 256),
    KeyType.P384: ("ec", 384),
}


def new_key_type(
    old: SigningCertificate, campaign: Campaign, rule: str | None, certified: CertifiedKeys = None
) -> KeyType:
    """The old key's own type, or the next size up where the rule that hit calls the old size too small; another size
    where the RA certifies that alone. Another algorithm could leave the person's other programs behind. Raises
    RenewalImpossible."""
    floor = next((r.key_bits_below or 0 for r in campaign.rules if r.name == rule), 0)
    sizes = (KeyType.P256, KeyType.P384) if old.key_algorithm == "ec" else (KeyType.RSA2048, KeyType.RSA3072)
    wanted = sizes[max(old.key_bits, floor) > KEYS[sizes[0]][1]]
    if certified is None or KEYS[wanted] in certified:
        return wanted
    other = [kind for kind in sizes if KEYS[kind] in certified and KEYS[kind][1] >= floor]
    if not other:
        raise RenewalImpossible(
            _("The Registration Authority does not give certificates for the kind of key that this smartcard has.")
        )
    return other[0]


def public_key_of(spki: bytes) -> PublicKey:
    """A DER SubjectPublicKeyInfo as a key object."""
    key = load_der_public_key(spki)
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise RenewalImpossible(_("The smartcard made a key of a kind that is not known here."))
    return key
