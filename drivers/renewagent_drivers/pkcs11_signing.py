"""Signatures by a PKCS#11 token: the PIN, when to present it, and what the token is given to sign. For children.

How a session begins and ends is `pkcs11.Pkcs11Driver.signing`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, Mechanism, Token, TokenFlag, UserType

from renewagent.card.head import KeyKind
from renewagent.errors import (
    CardDataError,
    CardRefused,
    LastPinTry,
    PinBlocked,
    RenewAgentError,
    UnsupportedCard,
    WrongPin,
)
from renewagent.language import _
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers.pkcs11_errors import KEY_HANDLE_INVALID, as_ours, not_a_pin, translated
from renewagent_drivers.pkcs11_objects import Session, attribute, key_kind, private_key

# RFC 8017 9.2, note 1: the DER of DigestInfo up to the hash; and the mechanism that hashes for itself
_HASHES = {
    "sha256": (bytes.fromhex("3031300d060960864801650304020105000420"), Mechanism.SHA256_RSA_PKCS),
    "sha384": (bytes.fromhex("3041300d060960864801650304020205000430"), Mechanism.SHA384_RSA_PKCS),
    "sha512": (bytes.fromhex("3051300d060960864801650304020305000440"), Mechanism.SHA512_RSA_PKCS),
}
_PIN_LENGTHS = range(1, 256)
AT_LEAST = 2
"""The tries that a token has at least which says neither that it is locked nor that the next try is the last."""


def tries_told(token: Token) -> int | None:
    """What a token's flags tell of the tries left (CKF_USER_PIN_*, v2.40 3.2): 0, 1, 2 for "fewer than all, but not
    the last", None for all or for a token that does not tell. A token that was asked anew: flags are as of then."""
    if TokenFlag.USER_PIN_LOCKED in token.flags:
        return 0
    if TokenFlag.USER_PIN_FINAL_TRY in token.flags:
        return 1
    return AT_LEAST if TokenFlag.USER_PIN_COUNT_LOW in token.flags else None


def require_tries(token: Token) -> None:
    """Refuse to risk the last try."""
    tries = tries_told(token)
    if tries == 0:
        raise PinBlocked(_("The smartcard is locked: its passcode was mistyped too often."))
    if tries == 1:
        raise LastPinTry(_("One more wrong passcode would lock the smartcard, so renewagent does not try."))


class PinEntry:
    """One PIN, for one session: never presented again once the token refused it."""

    def __init__(self, pin: Pin, count: Callable[[], None]) -> None:
        self._pin = pin
        self._count = count
        self._refused: RenewAgentError | None = None
        self.presented = False
        self.text()  # refuses what cannot be a PIN now, not half-way

    def text(self) -> str:
        """For C_Login. Raises CardError."""
        try:
            text = self._pin.reveal().decode("utf-8")
        except UnicodeDecodeError:
            raise not_a_pin() from None
        if len(text.encode()) not in _PIN_LENGTHS or not text.isprintable():
            raise not_a_pin()
        return text

    def log_in(self, token: Token, *, rw: bool = False) -> Session:
        """A session that is logged in (C_OpenSession, C_Login). Raises WrongPin, a second time without asking the
        token; PinBlocked; CardError for what cannot be a PIN."""
        return self.present(token, lambda text: token.open(rw=rw, user_pin=text, user_type=UserType.USER))

    def present(self, token: Token, use: Callable[[str], Any]) -> Any:
        """Do something that presents the PIN to the token, and tell a refusal."""
        if isinstance(self._refused, WrongPin):
            raise WrongPin(self._refused.message, self._refused.tries_left)
        if self._refused is not None:
            raise self._refused
        self._count()
        self.presented = True
        try:
            return use(self.text())
        except pkcs11.PinIncorrect as e:
            self._refused = _refusal(token)
            raise self._refused from e
        except (pkcs11.PinLocked, pkcs11.PinLenRange, pkcs11.PinInvalid) as e:
            self._refused = translated(e)
            raise self._refused from e


def _refusal(token: Token) -> RenewAgentError:
    with as_ours():
        tries = tries_told(token.slot.get_token())
    if tries == 0:
        return PinBlocked(_("The passcode was wrong, and the smartcard is now locked."))
    return WrongPin(_("The passcode is wrong."), tries or AT_LEAST)


class Pkcs11SigningSession:
    """See `renewagent.card.interface.SigningSession`. `run` runs an errand in the module's thread."""

    def __init__(self, token: Token, pin: PinEntry, run: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._token = token
        self._pin = pin
        self._run = run
        self._session: Session | None = None

    def sign(self, slot: Slot, data: bytes, hash_name: str) -> bytes:
        """Hash and sign. Raises WrongPin, PinBlocked, CardRefused, CardRemoved; ValueError for another hash than
        SHA-2's three."""
        if hash_name not in _HASHES:
            raise ValueError(f"renewagent does not sign with {hash_name}")
        return self._run(lambda: self._sign(slot, data, hash_name))

    def close(self) -> None:
        """C_Logout, C_CloseSession."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _sign(self, slot: Slot, data: bytes, hash_name: str) -> bytes:
        if self._session is None:
            self._session = self._pin.log_in(self._token)
        key = private_key(self._session, slot)
        if key is None or not hasattr(key, "sign"):
            raise CardRefused(
                _("There is no key to sign with in slot {slot} of the smartcard.").format(slot=slot), KEY_HANDLE_INVALID
            )
        kind = key_kind(self._session, slot, key)
        if kind is None:
            raise UnsupportedCard(
                _("The key in slot {slot} of the smartcard is of a kind that renewagent does not know.").format(
                    slot=slot
                )
            )
        message, mechanism = to_be_signed(kind, data, hash_name, self._token.slot.get_mechanisms())
        return as_der(kind, self._signature(key, message, mechanism))

    def _signature(self, key: Any, message: bytes, mechanism: Mechanism) -> bytes:
        if not attribute(key, Attribute.ALWAYS_AUTHENTICATE):
            return bytes(key.sign(message, mechanism=mechanism))
        # CKU_CONTEXT_SPECIFIC between C_SignInit and C_Sign (v2.40 4.9, CKA_ALWAYS_AUTHENTICATE)
        return bytes(self._pin.present(self._token, lambda pin: key.sign(message, mechanism=mechanism, pin=pin)))


def to_be_signed(kind: KeyKind, data: bytes, hash_name: str, known: set[Mechanism]) -> tuple[bytes, Mechanism]:
    """What C_Sign takes, and by which mechanism: the hash made here where the token takes one (v2.40, 2.1.6, 2.3.6)."""
    info, hashing = _HASHES[hash_name]
    digest = hashlib.new(hash_name, data).digest()
    if kind.algorithm == "ec":  # FIPS 186-4 6.4: the leftmost bits; a shorter hash keeps its value
        size = (kind.bits + 7) // 8
        return digest[:size].rjust(min(size, 64), b"\0"), Mechanism.ECDSA
    if Mechanism.RSA_PKCS in known or hashing not in known:
        return info + digest, Mechanism.RSA_PKCS
    return data, hashing


def as_der(kind: KeyKind, signature: bytes) -> bytes:
    """A DER ECDSA-Sig-Value for EC, where tokens give r and s side by side. Raises CardDataError."""
    size = (kind.bits + 7) // 8
    if len(signature) != (size if kind.algorithm == "rsa" else 2 * size):
        raise CardDataError(_("The smartcard's signature makes no sense."))
    if kind.algorithm == "rsa":
        return signature
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
