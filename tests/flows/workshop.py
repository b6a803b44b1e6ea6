"""A workshop for whole renewals in one process: a mock RA, virtual cards that it certified, signed campaigns,
workstations with journals of their own, and a person whose hands move the card.

How it came out is looked at with other eyes than the product's: raw APDUs to the card, `cryptography` and openssl on
what lies there, the RA's own books and its CRL.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import Inspector
from renewagent.agent.job import Workplace
from renewagent.agent.journal import Journal
from renewagent.agent.key_relay import KeyRelay
from renewagent.agent.old_keys import KEEP_DAYS
from renewagent.agent.power import Power, UnknownPower
from renewagent.agent.prompts import Prompter
from renewagent.agent.ra_desk import RaDesk, utc_now
from renewagent.agent.renew_card import renew_card
from renewagent.agent.stale import ShownBySoftware
from renewagent.campaign.document import parse_campaign
from renewagent.campaign.pem import read_certificates, read_signer
from renewagent.campaign.sign import sign_campaign
from renewagent.card.interface import CardConnection
from renewagent.check_ins import CheckIn
from renewagent.model import CardIdentity
from renewagent.ra_transport import HttpRaTransport
from renewagent.rules import Contact
from renewagent_drivers.management_key import FactoryKey, KeptElsewhere, ManagementKey
from renewagent_drivers.piv import PivDriver
from renewagent_fixtures.mock_ra import Knobs, MockRa
from renewagent_fixtures.mock_ra.certificates import holder_of
from renewagent_fixtures.mock_ra.rows import CertificateRow, TicketRow, TransactionRow
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.personalise import RaAccess, key_usage, personalise_with_ra
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from tests.programs import run

READER, OTHER_READER = "Desk reader", "Other reader"
AUTHENTICATION, SIGNING = 0x9A, 0x9C
PIN = "48392057"
"""Not the factory's, so that it can be searched for in logs and files."""
DAYS = 40
"""How long ago the cards were issued that the campaigns are against."""
CONTACT = Contact(name="The RA desk", phone="0300 000 0000")


@dataclass
class Tape:
    """Everything that went between us and the cards, with the names of the commands counted."""

    exchanges: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __call__(self, reader: str, command: bytes, response: bytes) -> None:
        self.exchanges.append((command, response))

    @property
    def verifies(self) -> int:
        """VERIFY commands that carried a PIN."""
        return sum(1 for command, _ in self.exchanges if command[1] == 0x20 and len(command) > 5)

    @property
    def generated(self) -> int:
        """GENERATE ASYMMETRIC KEY PAIR commands."""
        return sum(1 for command, _ in self.exchanges if command[1] == 0x47)

    @property
    def wrote(self) -> int:
        """PUT DATA commands, chained parts counted singly."""
        return sum(1 for command, _ in self.exchanges if command[1] == 0xDB)


class Workshop:
    """One RA, and what is made for it. `turn` changes the RA's manners until `restore`."""

    def __init__(self, ra: MockRa, folder: Path) -> None:
        self.ra = ra
        self.folder = folder
        self.anchors = tuple(read_certificates(ra.root))
        self._signer = read_signer(ra.campaign_signer)
        self._number = itertools.count(1)

    def turn(self, **knobs: Any) -> None:
        """Other manners from now on."""
        self.ra.turn(Knobs(**knobs))

    def restore(self) -> None:
        """A willing RA again."""
        self.ra.turn(Knobs())

    def card(
        self,
        *,
        key: str = "p256",
        protects: bool = False,
        profile: str = "plain",
        misfit: bool = False,
        days: int = DAYS,
        holder: str = "",
        kept_by_ra: int | None = None,
        **options: Any,
    ) -> VirtualCard:
        """A card as the RA handed it out, `days` ago. `protects`: digitalSignature beside contentCommitment;
        `kept_by_ra`: the kind of its management key, which the RA keeps."""
        card = VirtualCard.create(None, profile=profile, **options)
        own = f"CN=Dr {hashlib.sha256(card.guid).hexdigest()[:12]},O=Mock Hospital,C=GB"
        name = x509.Name.from_rfc4514_string(holder or own)
        access = RaAccess(self.ra.url, self.ra.root, self.ra.reference, self.ra.secret.encode(), name)
        usage = key_usage(digital_signature=protects, content_commitment=True)
        issued = utc_now() - timedelta(days=days)
        personalise_with_ra(card, access, key=key, issued=issued, now=utc_now, signing_usage=usage)
        change_pin(card, PIN)
        if kept_by_ra is not None:
            with self.ra.office.lock:
                whose = holder_of(name.public_bytes())
                kept = self.ra.office.card_keys.enrol(identity(card), kept_by_ra, whose, utc_now())
            card.change_management_key(kept_by_ra, kept)
        if misfit:
            card.misfit_key(SIGNING)
        return card

    def campaign(self, *, rekey: str = "required", name: str = "", version: int = 1, **fields: object) -> Accepted:
        """A signed campaign against the cards that were issued `DAYS` ago."""
        today = utc_now()
        document = {
            "id": name or f"campaign-{next(self._number)}",
            "version": version,
            "published": _text(today - timedelta(hours=1)),
            "expires": _text(today + timedelta(days=30)),
            "reason": {"en": "This smartcard was issued with a fault."},
            "rules": [
                {
                    "name": "bad batch",
                    "issued_from": _text(today - timedelta(days=DAYS + 2)),
                    "issued_to": _text(today - timedelta(days=DAYS - 2)),
                }
            ],
            "rekey": rekey,
            "contact": {"name": CONTACT.name, "phone": CONTACT.phone},
            **fields,
        }
        octets = json.dumps(document).encode()
        return Accepted(parse_campaign(octets), sign_campaign(octets, self._signer, today))

    # -- the RA's books ------------------------------------------------------------------------------------------

    def row(self, der: bytes) -> CertificateRow:
        """What the RA's book says of a certificate."""
        with self.ra.office.lock:
            found = self.ra.office.book.get(sha256(der))
        assert found is not None
        return found

    def signing_certificates(self, der: bytes) -> list[CertificateRow]:
        """Every signing certificate that the holder of this one ever got, the oldest first."""
        holder = self.row(der).holder
        with self.ra.office.lock:
            rows = self.ra.office.store.find(CertificateRow, holder=holder, profile="signing")
        return sorted(rows, key=lambda row: row.issued_at)

    def transaction_of(self, der: bytes) -> TransactionRow:
        """The conversation that brought a certificate."""
        with self.ra.office.lock:
            found = self.ra.office.store.get(TransactionRow, self.row(der).transaction)
        assert found is not None
        return found

    def tickets(self, card: VirtualCard) -> list[TicketRow]:
        """The card's tickets."""
        return [row for row in self.ra.tickets() if row.card == identity(card)]

    def receipts(self, card: VirtualCard) -> list[Any]:
        """The card's receipts."""
        return [row for row in self.ra.receipts() if row.card == identity(card)]

    def ten_minutes_later(self) -> None:
        """At the RA: what nobody confirmed in time is withdrawn."""
        with self.ra.office.lock:
            self.ra.office.authority.expire(self.ra.office.now() + timedelta(minutes=11))

    def crl(self) -> bytes:
        """The signing CA's CRL, from its address."""
        with urllib.request.urlopen(f"{self.ra.origin}/crl/signing.crl", timeout=5) as answer:  # noqa: S310
            return bytes(answer.read())


@dataclass
class Workstation:
    """A computer with a reader, a journal and a person. `renew` is what `renewagent renew` does, in this process."""

    workshop: Workshop
    folder: Path
    campaigns: Mapping[str, Accepted]
    management_key: ManagementKey = field(default_factory=FactoryKey)
    way_d_without_tickets: bool = False
    patience: float = 10.0
    power: Power = field(default_factory=UnknownPower)
    keep_old_key_days: int = KEEP_DAYS
    shown_by_software: ShownBySoftware | None = None
    days_later: int = 0
    """How far this computer's clock is ahead; to be moved once nothing is to be signed any more."""
    tape: Tape = field(default_factory=Tape)
    transport: Any = None
    key_relay: KeyRelay | None = None
    """By `relayed`."""
    kinds: list[str] = field(default_factory=list)
    """The kinds of the events that this workstation journalled, in order."""
    reported: list[CheckIn] = field(default_factory=list)
    """What it has told the console, in order."""

    def __post_init__(self) -> None:
        self._leaving: threading.Thread | None = None
        self.readers = VirtualReaders([READER, OTHER_READER], on_exchange=self.tape, patience=self.patience)
        self.transport = self.transport or HttpRaTransport(self.workshop.ra.url, timeout=5)
        self.desk = RaDesk(self.transport, self.workshop.anchors, f"{self.workshop.ra.origin}/sign-in", self.now)

    def relayed(self) -> Workstation:
        """From now on as with `card.management_key = "ra"`."""
        self.key_relay = KeyRelay(self.transport, f"{self.workshop.ra.origin}/key-relay")
        self.management_key = KeptElsewhere(self.key_relay)
        return self

    def now(self) -> datetime:
        """Aware UTC."""
        return utc_now() + timedelta(days=self.days_later)

    @property
    def journal_file(self) -> Path:
        """Where the journal lies."""
        return self.folder / "journal.db"

    def person(self, card: VirtualCard, **script: Any) -> ScriptedPerson:
        """Somebody with this card in their hands."""
        hands = {"remove": self.take_out, "insert": lambda reader, wanted: self.put_in(card)}
        return ScriptedPerson(**{"pins": (PIN,), **hands, **script})

    def put_in(self, card: VirtualCard, reader: str = READER) -> None:
        """Insert a card, unless it is in there already."""
        self.settle()  # a card is all the way out before one goes in
        if not self.readers.states()[reader].present:
            self.readers.insert(reader, card)

    def take_out(self, reader: str = READER, card: CardIdentity | None = None) -> None:
        """Pull the card, if there is one."""
        if self.readers.states()[reader].present:
            self.readers.remove(reader)

    def lose_contact(self) -> None:
        """Pull the card while it is at work: to be followed by an exception from its hook."""
        self._leaving = threading.Thread(target=self.take_out)
        self._leaving.start()
        while self.readers.states()[READER].present:
            time.sleep(0.001)

    def settle(self) -> None:
        """Wait until a card that was pulled at work is out."""
        if self._leaving is not None:
            self._leaving.join()

    def open_card(self, connection: CardConnection) -> PivDriver:
        """What `renewagent.agent.workstation.card_opener` gives."""
        return PivDriver.open(connection, management_key=self.management_key)

    def renew(
        self, card: VirtualCard, person: Prompter | None = None, *, cut: Cut | None = None, inserted: bool = False
    ) -> dict[str, Any]:
        """Insert the card, renew it, take it out; the outcome's document. Raises what `renew_card` raises."""
        if not inserted:
            self.put_in(card)
        with Journal(self.journal_file) as journal:
            place = Workplace(
                readers=self.readers,
                open_card=self.open_card,
                desk=self.desk,
                journal=cut.journal(journal) if cut else journal,
                prompter=person or self.person(card),
                contact=CONTACT,
                way_d_without_tickets=self.way_d_without_tickets,
                keep_old_key_days=self.keep_old_key_days,
                shown_by_software=self.shown_by_software,
                power=self.power,
                key_relay=self.key_relay,
                report=self.reported.append,
            )
            inspector = Inspector(self.open_card, [a.campaign for a in self.campaigns.values()], (), self.desk.standing)
            try:
                return renew_card(place, self.campaigns, inspector, READER)
            finally:
                self.kinds = [event.name for event in journal.replay()]
                if not inserted:
                    self.take_out()


Workstations = Callable[..., Workstation]
"""The fixture `workstation`."""


class Killed(BaseException):
    """The process ended here."""


@dataclass
class Cut:
    """Ends the process at the `at`th event (from 0): after it was journalled, or `lost`: in place of that."""

    at: int
    lost: bool = False

    def journal(self, journal: Journal) -> Any:
        """A journal that does it."""
        return _CutJournal(journal, self)


class _CutJournal:
    def __init__(self, journal: Journal, cut: Cut) -> None:
        self._journal = journal
        self._cut = cut
        self._seen = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, renewal: str, card: str, name: str, fields: Mapping[str, Any], now: datetime) -> int:
        """As `Journal.append`."""
        due, self._seen = self._seen == self._cut.at, self._seen + 1
        if due and self._cut.lost:
            raise Killed(name)
        number = self._journal.append(renewal, card, name, fields, now)
        if due:
            raise Killed(name)
        return number


# -- other eyes -------------------------------------------------------------------------------------------------------


def sha256(der: bytes) -> str:
    """Lowercase hex."""
    return hashlib.sha256(der).hexdigest()


def identity(card: VirtualCard) -> str:
    """`str(CardIdentity)` of a virtual card."""
    return f"chuid:{card.guid.hex()}"


def certificate(card: VirtualCard, slot: int = SIGNING) -> bytes:
    """The certificate (DER) in a slot."""
    der = card.certificate(slot)
    assert der is not None
    return der


def change_pin(card: VirtualCard, new: str) -> None:
    """From the factory's, by CHANGE REFERENCE DATA."""
    with Raw(card) as raw:
        assert raw.ask("00240080", _pin("123456") + _pin(new)) == b"\x90\x00"


def keep_management_key_behind_pin(card: VirtualCard) -> None:
    """The factory's key in Printed Information, which the card gives out after a VERIFY (88 { 89 key })."""
    card.write_object(0x5FC109, b"\x88\x1a\x89\x18" + bytes(range(1, 9)) * 3)


def _pin(text: str) -> bytes:
    return text.encode().ljust(8, b"\xff")


class Raw:
    """A card out of its reader, spoken to in bare APDUs."""

    def __init__(self, card: VirtualCard) -> None:
        self._card = card

    def __enter__(self) -> Raw:
        self._card.power_on()
        assert self.ask("00A40400", bytes.fromhex("A000000308"))[-2:] == b"\x90\x00"
        return self

    def __exit__(self, *exc: object) -> None:
        self._card.power_off()

    def ask(self, header: str, data: bytes = b"") -> bytes:
        """One command, by chaining where it is long; the whole answer."""
        octets = bytes.fromhex(header)
        while len(data) > 255:
            part, data = data[:255], data[255:]
            assert self._card.transmit(bytes((octets[0] | 0x10,)) + octets[1:] + b"\xff" + part) == b"\x90\x00"
        answer = self._card.transmit(octets + bytes((len(data),)) + data)
        while answer[-2] == 0x61:
            answer = answer[:-2] + self._card.transmit(bytes.fromhex("00C0000000"))
        return answer

    def sign(self, digest: bytes, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, slot: int = SIGNING) -> bytes:
        """A signature over a SHA-256 digest, after a VERIFY."""
        assert self.ask("00200080", _pin(PIN)) == b"\x90\x00"
        algorithm, block = block_of(key, digest)
        asked = b"\x82\x00" + b"\x81" + _length(len(block)) + block
        answer = self.ask(f"0087{algorithm:02x}{slot:02x}", b"\x7c" + _length(len(asked)) + asked)
        assert answer[-2:] == b"\x90\x00", answer[-2:].hex()
        return _content(_content(answer[:-2], 0x7C), 0x82)


def block_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, digest: bytes) -> tuple[int, bytes]:
    """The PIV algorithm of a key, and what GENERAL AUTHENTICATE is given for a SHA-256 digest."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (0x11 if key.key_size == 256 else 0x14), digest
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    octets = key.key_size // 8
    return (0x07 if octets == 256 else 0x05), b"\0\1" + b"\xff" * (octets - len(info) - 3) + b"\0" + info


def _length(count: int) -> bytes:
    return bytes((count,)) if count < 128 else b"\x82" + count.to_bytes(2, "big")


def _content(octets: bytes, tag: int) -> bytes:
    assert octets[0] == tag
    if octets[1] < 128:
        return octets[2 : 2 + octets[1]]
    size = octets[1] - 128
    length = int.from_bytes(octets[2 : 2 + size], "big")
    return octets[2 + size : 2 + size + length]


def signs(card: VirtualCard, slot: int = SIGNING) -> bool:
    """Whether the card's key signs under the certificate that lies beside it; by raw APDUs and `cryptography`."""
    key = x509.load_der_x509_certificate(certificate(card, slot)).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    digest = hashlib.sha256(b"a prescription").digest()
    with Raw(card) as raw:
        signature = raw.sign(digest, key, slot)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        else:
            key.verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except Exception:
        return False
    return True


def assert_renewed(workshop: Workshop, card: VirtualCard, old: bytes) -> x509.Certificate:
    """The card carries a new certificate that fits its key, that openssl trusts, and that it signs under; at the RA it
    is the only one unrevoked, confirmed and receipted, and the old one is revoked as superseded."""
    new = certificate(card)
    assert new != old
    parsed = x509.load_der_x509_certificate(new)
    assert parsed.public_key() == card.public_key(SIGNING)
    assert parsed.subject == x509.load_der_x509_certificate(old).subject
    assert signs(card)
    alive = [row for row in workshop.signing_certificates(old) if row.state in ("valid", "unconfirmed", "updated")]
    assert [(row.sha256, row.state) for row in alive] == [(sha256(new), "valid")]
    assert (workshop.row(old).state, workshop.row(old).reason) == ("revoked", "superseded")
    receipts = [receipt.certificate for receipt in workshop.receipts(card) if receipt.old == sha256(old)]
    assert receipts == [sha256(new)]
    assert all(ticket.state == "closed" for ticket in workshop.tickets(card))
    assert openssl_verdict(workshop, new) == "OK"
    assert openssl_verdict(workshop, old) == "certificate revoked"
    return parsed


def assert_untouched(workshop: Workshop, card: VirtualCard, before: bytes, *, usable: bool = True) -> None:
    """Not an octet of the card's memory is different (the PIN tries included), and its certificate is good."""
    assert card.image == before
    assert workshop.row(certificate(card)).state == "valid"
    assert signs(card) == usable


def openssl_verdict(workshop: Workshop, der: bytes) -> str:
    """ "OK", or what `openssl verify -crl_check` says against the RA's root, signing CA and CRL."""
    pem = serialization.Encoding.PEM
    with workshop.ra.office.lock:
        signing_ca = x509.load_der_x509_certificate(workshop.ra.office.pki.signing.der)
    parts = {
        "certificate.pem": x509.load_der_x509_certificate(der).public_bytes(pem),
        "crl.pem": x509.load_der_x509_crl(workshop.crl()).public_bytes(pem),
        "signing-ca.pem": signing_ca.public_bytes(pem),
    }
    for name, octets in parts.items():
        (workshop.folder / name).write_bytes(octets)
    certificate, crl, untrusted = (workshop.folder / name for name in parts)
    trust: Sequence[str | Path] = ("-CAfile", workshop.ra.root, "-untrusted", untrusted)
    said = run("openssl", "verify", *trust, "-crl_check", "-CRLfile", crl, certificate, status=None)
    if said == f"{certificate}: OK\n":
        return "OK"
    return said.partition("lookup: ")[2].partition("\n")[0] or said


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
