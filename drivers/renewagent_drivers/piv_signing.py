"""Signatures by a PIV card: the PIN, when to present it, and what the card is given to sign.

The card gets a padded hash, never a peer's bytes. PKCS#1 v1.5 is written out here since this path must not import
cryptography. How a session begins and ends (identity, log-out) is `piv.PivDriver.signing`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from renewagent.card.apdu import ResponseApdu, StatusWord
from renewagent.card.head import KeyKind
from renewagent.errors import CardDataError, CardRefused, ImpossiblePin, LastPinTry, PinBlocked, WrongPin
from renewagent.language import _
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers.piv_applet import (
    ALGORITHMS,
    CHALLENGE,
    RESPONSE,
    PivApplet,
    dynamic_fields,
    reference,
)
from renewagent_drivers.piv_objects import CARD_AUTHENTICATION, SIGNATURE, tlv

# RFC 8017 9.2, note 1: the DER of DigestInfo up to the hash
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
PIN_LENGTHS = range(6, 9)  # SP 800-73-4 part 2, 2.4.3


class PinPolicy(Enum):
    """When a key wants the PIN (the numbers are Yubico's METADATA)."""

    NEVER = 1
    ONCE = 2
    ALWAYS = 3


def default_policy(slot: Slot) -> PinPolicy:
    """The standard's own (SP 800-73-4 part 1, table 5)."""
    if slot == SIGNATURE:
        return PinPolicy.ALWAYS
    return PinPolicy.NEVER if slot == CARD_AUTHENTICATION else PinPolicy.ONCE


@dataclass(frozen=True, slots=True)
class SlotKey:
    """What is known of the key in a slot."""

    kind: KeyKind
    policy: PinPolicy


def padded_pin(pin: Pin) -> bytes:
    """The eight octets that VERIFY takes. Raises ImpossiblePin, before the card is asked."""
    octets = pin.reveal()
    if len(octets) not in PIN_LENGTHS or not all(0x20 <= octet < 0x7F for octet in octets):
        raise ImpossiblePin(
            _("That cannot be this smartcard's passcode, so it was not tried."),
            advice=_("Type the 6 to 8 digits of your passcode. No try was used."),
        )
    return octets.ljust(8, b"\xff")


def require_tries(tries: int | None) -> None:
    """Refuse to risk the last try. `tries` None means that the card does not tell, and passes."""
    if tries == 0:
        raise PinBlocked(_("The smartcard is locked: its passcode was mistyped too often."))
    if tries == 1:
        raise LastPinTry(_("One more wrong passcode would lock the smartcard, so renewagent does not try."))


def judge_verification(response: ResponseApdu) -> None:
    """What a card said to VERIFY. Raises WrongPin, PinBlocked, CardRefused."""
    tries = response.tries_left
    if response.ok:
        return
    if tries is None:
        raise CardRefused(
            _("The smartcard did not accept the passcode ({sw}).").format(sw=f"{response.sw:04X}"), response.sw
        )
    if not tries:
        raise PinBlocked(_("The passcode was wrong, and the smartcard is now locked."))
    raise WrongPin(_("The passcode is wrong."), tries)


class Verifies(Protocol):
    """How the PIN is presented in one transaction."""

    def verify(self) -> None:
        """One VERIFY. Raises WrongPin, PinBlocked, CardRefused."""

    @property
    def presented(self) -> bool:
        """Whether it was, well or badly."""


class PinEntry:
    """One PIN, for one transaction: presented as often as is asked, and never again once the card refused it."""

    def __init__(self, applet: PivApplet, pin: Pin, count: Callable[[], None]) -> None:
        padded_pin(pin)  # refuses what cannot be a PIN now, not half-way
        self._applet = applet
        self._pin = pin
        self._count = count
        self._refused: WrongPin | None = None
        self.presented = False

    def verify(self) -> None:
        """One VERIFY. Raises WrongPin (a second time without asking the card), PinBlocked, CardRefused."""
        if self._refused is not None:
            raise WrongPin(_("The passcode is wrong."), self._refused.tries_left)
        self._count()
        self.presented = True
        response = self._applet.verify(padded_pin(self._pin))
        if not response.ok:
            self._refused = WrongPin(_("The passcode is wrong."), response.tries_left or 0)
        judge_verification(response)


class PivSigningSession:
    """See `renewagent.card.interface.SigningSession`."""

    def __init__(self, applet: PivApplet, pin: Verifies, key_of: Callable[[Slot], SlotKey]) -> None:
        self._applet = applet
        self._pin = pin
        self._key_of = key_of
        self._logged_in = False

    def sign(self, slot: Slot, data: bytes, hash_name: str) -> bytes:
        """Hash and sign. Raises WrongPin, PinBlocked, CardRefused; ValueError for another hash than SHA-2's three."""
        key = self._key_of(slot)  # asked first: nothing may come between VERIFY and the signature
        message = to_be_signed(key.kind, data, hash_name)
        fresh = key.policy is PinPolicy.ALWAYS or (key.policy is PinPolicy.ONCE and not self._logged_in)
        if fresh:
            self._log_in()
        response = self._ask(slot, key.kind, message)
        if response.sw == StatusWord.SECURITY_STATUS_NOT_SATISFIED and not fresh:
            self._log_in()
            response = self._ask(slot, key.kind, message)
        return _signature(response, key.kind, slot)

    def _log_in(self) -> None:
        self._pin.verify()
        self._logged_in = True

    def _ask(self, slot: Slot, kind: KeyKind, message: bytes) -> ResponseApdu:
        fields = tlv(RESPONSE) + tlv(CHALLENGE, message)  # SP 800-73-4 part 2, appendix A.4
        return self._applet.authenticate(ALGORITHMS[kind], reference(slot), fields)


def to_be_signed(kind: KeyKind, data: bytes, hash_name: str) -> bytes:
    """What GENERAL AUTHENTICATE takes: the padded block for RSA, the hash fitted to the curve for EC."""
    if hash_name not in _DIGEST_INFO:
        raise ValueError(f"renewagent does not sign with {hash_name}")
    import hashlib  # see renewagent.model

    digest = hashlib.new(hash_name, data).digest()
    size = kind.bits // 8
    if kind.algorithm == "ec":  # FIPS 186-4 6.4: the leftmost bits; a shorter hash keeps its value
        return digest[:size].rjust(size, b"\0")
    info = _DIGEST_INFO[hash_name] + digest
    return b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info  # RFC 8017 9.2


def _signature(response: ResponseApdu, kind: KeyKind, slot: Slot) -> bytes:
    if not response.ok:
        raise CardRefused(
            _("The smartcard did not sign with the key in slot {slot} ({sw}).").format(
                slot=slot, sw=f"{response.sw:04X}"
            ),
            response.sw,
        )
    signature = dynamic_fields(response).get(RESPONSE, b"")
    if not signature or (kind.algorithm == "rsa" and len(signature) != kind.bits // 8):
        raise CardDataError(_("The smartcard's signature by the key in slot {slot} makes no sense.").format(slot=slot))
    return signature
