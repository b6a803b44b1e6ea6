"""The seams between the product and cards, as protocols: readers, a connection, a driver. No APDU in `CardDriver`,
so that PKCS#11 fits it as well as PIV.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from renewagent.model import CardIdentity, CertificateHead, Slot
from renewagent.pin import Pin


@dataclass(frozen=True, slots=True)
class ReaderState:
    """What a reader holds. `events` counts insertions and removals, so that a quick swap is seen as a change."""

    present: bool
    events: int = 0
    atr: bytes = b""


class Transaction(Protocol):
    """Exclusive use of the card for a short while."""

    def reset_at_end(self) -> None:
        """End with SCARD_RESET_CARD instead of leaving the card as it is; the connection reconnects by itself."""


class CardConnection(Protocol):
    """A shared connection to one inserted card. Methods raise `ReaderError` (CardRemoved, CardBusy, ...)."""

    @property
    def reader(self) -> str:
        """The reader's full name."""

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""

    def transmit(self, command: bytes) -> bytes:
        """One raw exchange: data plus status word. Reconnects after a reset by another program and says so by raising
        `CardReset` (see `card.pcsc`), since selection and login are gone."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Waits at most 10 s for other programs, then raises CardBusy. Never hold one over network or PIN entry."""

    def close(self) -> None:
        """Leave the card as it is."""


@runtime_checkable
class HasPinPad(Protocol):
    """A connection whose reader may have keys of its own to type a PIN on (PC/SC part 10)."""

    def pin_pad(self) -> bool:
        """Whether it has; asked once."""

    def verify_at_pad(self, verification: bytes) -> bytes:
        """Have the PIN typed there and sent (see `renewagent.card.pin_pad`): the card's status word, or the reader's.
        Only within a transaction; returns when the person has done, a minute later at most. Raises PinPadFailed."""


class Readers(Protocol):
    """A place where readers are: PC/SC, or virtual ones behind the same protocol."""

    def connect(self, reader: str) -> CardConnection:
        """Raises NoReader or NoCard."""

    def states(self) -> Mapping[str, ReaderState]:
        """Every reader and what it holds now."""

    def wait(self, known: Mapping[str, ReaderState], timeout: float) -> Mapping[str, ReaderState]:
        """Sleep until something differs from `known`, the timeout (seconds) passes or `cancel` is called; return the
        states then. Raises PcscUnavailable when the service goes away."""

    def cancel(self) -> None:
        """End a `wait` in another thread, at once."""

    def close(self) -> None:
        """Let go of the service."""


class KeyType(Enum):
    """Keys that cards generate."""

    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    P256 = "p256"
    P384 = "p384"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was probed of one card, never assumed. `staging` holds the free slots for way B, none if it cannot be."""

    model: str
    rekey_in_place: bool = True
    second_key: bool = False
    staging: tuple[Slot, ...] = ()
    attestation: bool = False
    extensions: Mapping[str, str] = field(default_factory=dict)


class KeepsManagementKey(Protocol):
    """Whoever keeps a card's management key and, by answering the card's challenge, proves that they do. The key itself
    comes nowhere near. Asked in the middle of a transaction: answers within seconds, or raises."""

    @property
    def algorithm(self) -> int:
        """The kind of key (SP 800-78-4 table 6-2). Raises ManagementKeyRefused where nobody would answer."""

    def prove(self, witness: bytes) -> tuple[bytes, bytes]:
        """The card's witness decrypted, and the keeper's own challenge to the card; one block each."""

    def judge(self, response: bytes) -> None:
        """What the card made of that challenge. Raises ManagementKeyRefused where it does not know the key."""


@dataclass(frozen=True, slots=True)
class AtPad:
    """In place of a Pin: it is typed on the reader's own keys, whenever the card wants it. `before` is called each
    time, in the middle of a transaction: it tells the person, and returns at once."""

    before: Callable[[], None]


class SigningSession(Protocol):
    """One short transaction in which the PIN is presented as each key's policy asks."""

    def sign(self, slot: Slot, data: bytes, hash_name: str) -> bytes:
        """Hash `data` ("sha256", "sha384", "sha512") and sign it with the key in `slot`: PKCS#1 v1.5 for RSA, a DER
        ECDSA-Sig-Value for EC. Raises WrongPin, LastPinTry, PinBlocked, CardRefused."""


class AdminSession(Protocol):
    """One short transaction with the card's administration rights."""

    def generate(self, slot: Slot, key_type: KeyType, destined: Slot | None = None) -> bytes:
        """Make a new key in `slot`, *replacing* any old one; the public key as DER SubjectPublicKeyInfo. A card that
        cannot re-key in place (`Capabilities.rekey_in_place`) refuses a slot that is in use. `destined`: where it will
        be moved to, and whose PIN policy it gets."""

    def store(self, slot: Slot, certificate: bytes | None) -> None:
        """Write the certificate (DER) of `slot`, or clear it with None. Does not read back. Raises NoRoom."""

    def require_room(self, octets: int) -> None:
        """Raises NoRoom where the card has no room for so much more; a card that cannot tell passes."""


class SignsIn(Protocol):
    """A driver whose cards have one place for the certificate that a person signs in with."""

    def sign_in_slot(self) -> Slot:
        """Where."""


class KeepsCopies(Protocol):
    """A driver whose cards have room for a certificate without a key."""

    def copy_slots(self) -> Sequence[Slot]:
        """Where, the place to be taken first in front: the next one is for when that is occupied."""


class RemovesKeys(Protocol):
    """What an `AdminSession` can do besides on a card that holds a second key and certificate (way C)."""

    def remove(self, slot: Slot) -> None:
        """Take away the key pair and certificate in `slot`; what is gone already is no error. Raises CardRefused."""


class HoldsSecondKeys(Protocol):
    """A driver whose cards hold several keys, each under an identifier that is chosen when it is made (way C)."""

    def fresh_slot(self) -> Slot:
        """A slot that nothing on the card uses, for `AdminSession.generate`."""

    def public_key(self, slot: Slot) -> bytes | None:
        """The public key in `slot` (DER SubjectPublicKeyInfo), read without PIN; None where there is none."""

    def unfinished(self) -> Sequence[Slot]:
        """Slots with a key that renewagent made and that has no certificate: left by a renewal that was cut short."""


class CardDriver(Protocol):
    """How to speak to one inserted card of one family. Every session first checks that it is still the same card."""

    def identity(self) -> CardIdentity:
        """Which card this is; read once, then remembered."""

    def slots(self) -> Sequence[Slot]:
        """Slots to look for a signing certificate in, the likeliest first."""

    def head(self, slot: Slot) -> CertificateHead | None:
        """Serial, issuer and dates, in as few exchanges as can be; None for an empty slot; raises CardDataError."""

    def certificate(self, slot: Slot) -> bytes | None:
        """The whole certificate (DER, unpacked); None for an empty slot; raises CardDataError."""

    def capabilities(self) -> Capabilities:
        """Probed once, then remembered."""

    def signing(self, pin: Pin) -> AbstractContextManager[SigningSession]:
        """A transaction for signatures; the card is logged out when it ends. Refuses (LastPinTry) at one try left."""

    def administration(self, pin: Pin | None = None) -> AbstractContextManager[AdminSession]:
        """A transaction for writing; the card is reset when it ends. `pin` serves a PIN-protected management key."""


@runtime_checkable
class TakesPinAtPad(Protocol):
    """A driver that can have the PIN typed at a reader with a PIN pad. What its sessions raise besides: NothingTyped,
    PersonStopped for who cancelled there, PinPadFailed."""

    def pin_pad(self) -> bool:
        """Whether the reader has one; asked once."""

    def signing(self, pin: Pin | AtPad) -> AbstractContextManager[SigningSession]:
        """See `CardDriver`."""

    def administration(self, pin: Pin | AtPad | None = None) -> AbstractContextManager[AdminSession]:
        """See `CardDriver`."""

    def wants_pin_each_time(self, slot: Slot) -> bool:
        """Whether each signature by the key in `slot` wants the PIN anew. Raises CardRefused for an empty slot."""


class TellsTries(Protocol):
    """A driver that can tell the PIN tries left without spending one."""

    def pin_tries(self) -> int | None:
        """Tries left, 0 when blocked, None where the card does not say."""


class MovesKeys(Protocol):
    """What an `AdminSession` can do besides on a card with staging slots (way B). Certificates stay where they are."""

    def move(self, source: Slot, destination: Slot) -> None:
        """Move the key in `source` to the empty slot `destination`, with its policies. Raises CardRefused."""

    def delete(self, slot: Slot) -> None:
        """Take away the key in `slot`; an empty slot is no error. Raises CardRefused."""

    def public_key(self, slot: Slot) -> bytes | None:
        """As `TellsKeys.public_key`, for what must still be so now that nobody else can change it."""


class KeepsHistory(Protocol):
    """What an `AdminSession` can do besides on a card with staging slots, where readers go by what the card says of its
    retired keys (PIV: the Key History object). A card that does not take it stays as it is, and nothing is raised."""

    def history(self) -> bytes:
        """What the card says now; empty where it says nothing."""

    def tell_of(self, slot: Slot, known: bytes = b"") -> None:
        """Have it tell of the certificate in this slot. `known`: what it said before, should that be torn now."""

    def tell_no_more_of(self, slots: Collection[Slot], known: bytes = b"") -> None:
        """These slots are about to be emptied; nothing else that it tells of is lost."""


class TellsKeys(Protocol):
    """A driver whose cards tell the public half of any key without the PIN (way B)."""

    def public_key(self, slot: Slot) -> bytes | None:
        """DER SubjectPublicKeyInfo of the key in `slot`, None for an empty slot. Raises CardDataError."""

    def staging_slots(self) -> Sequence[Slot]:
        """Every slot in which a key may have been staged or parked; none on a card that cannot tell."""
