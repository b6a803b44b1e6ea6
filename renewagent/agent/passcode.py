"""The passcode (PIN) while a renewal runs: asked for when a signature needs it, kept until dropped, never sent twice
once refused.

Lives in the short-lived child only. Nothing in here writes, logs or returns a PIN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from renewagent.agent import words
from renewagent.agent.prompts import Prompter
from renewagent.card.interface import AdminSession, CardDriver, SigningSession, TellsTries
from renewagent.errors import CardRefused, CardReset, ImpossiblePin, LastPinTry, PersonStopped, PinBlocked, WrongPin
from renewagent.model import CardIdentity, Slot
from renewagent.pin import Pin, RefusedPins

T = TypeVar("T")
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
Wanted = Callable[[CardIdentity, int | None], words.Message]
"""What is said above the field for a card's passcode, with the tries that are left."""
RESETS = 3
"""How often a session is begun again because another program reset the card under it."""


class RenewableCard(CardDriver, TellsTries, Protocol):
    """What a renewal needs of a driver."""

    @property
    def administration_needs_pin(self) -> bool:
        """True where the card gives its management key out after a VERIFY only."""


class KeyDoesNotFit(Exception):
    """A signature that the key in `slot` made does not verify with the public key it was made for."""

    def __init__(self, slot: Slot) -> None:
        super().__init__(f"the key in slot {slot} does not fit its certificate")
        self.slot = slot


class KeyRefused(CardRefused):
    """The card refused to sign with the key in `slot`; whatever else it refuses is a plain CardRefused."""

    code = "RA-CARD-KEY-REFUSED"

    def __init__(self, refusal: CardRefused, slot: Slot) -> None:
        super().__init__(refusal.message, refusal.sw, advice=refusal.advice)
        self.slot = slot


class Passcode:
    """Asks the person for the PIN once, runs signing sessions with it, and asks again after a refusal.

    Nobody is asked for a PIN that would not be sent: with one try left, or none, asking is refused instead.
    """

    def __init__(self, prompter: Prompter, wanted: Wanted = words.pin_wanted) -> None:
        self._prompter = prompter
        self._wanted = wanted
        self._refused = RefusedPins()
        self._pin: Pin | None = None
        self.tries_left: int | None = None
        """After the latest wrong passcode; None where there was none."""

    def signing(self, card: RenewableCard, work: Callable[[SigningSession], T]) -> T:
        """Run `work` in one signing session; it may run again after a refused PIN or a reset, so it sends nothing.

        Raises LastPinTry, PinBlocked, PersonStopped, CardRemoved and the like.
        """
        resets = 0
        while True:
            try:
                with card.signing(self.obtain(card)) as session:
                    return work(session)
            except ImpossiblePin as error:
                self._note_impossible(error)
            except WrongPin as error:
                self._note_refusal(card, error.tries_left)
            except CardReset:
                resets += 1
                if resets == RESETS:
                    raise

    def administering(self, card: RenewableCard, work: Callable[[AdminSession], T]) -> T:
        """Run `work` in one administration session, with the PIN only where the card's management key lies behind it.

        `work` runs once: a reset in the middle is for the caller, since what it did may have happened.
        """
        while True:
            pin = self.obtain(card) if card.administration_needs_pin else None
            try:
                with card.administration(pin) as session:
                    return work(session)
            except ImpossiblePin as error:
                self._note_impossible(error)
            except WrongPin as error:  # before the session began
                self._note_refusal(card, error.tries_left)

    def obtain(self, card: RenewableCard) -> Pin:
        """The PIN in hand, or the one that the person types now."""
        if self._pin is None or self._pin.wiped:
            self._pin = self._ask(card)
        return self._pin

    @property
    def in_hand(self) -> bool:
        """Nobody would be asked for it."""
        return self._pin is not None and not self._pin.wiped

    def drop(self) -> None:
        """Wipe the PIN; it will be asked for again."""
        if self._pin is not None:
            self._pin.wipe()
            self._pin = None

    def _ask(self, card: RenewableCard) -> Pin:
        identity = card.identity()
        while True:
            tries = card.pin_tries()
            refuse_few_tries(tries)
            pin = self._prompter.ask_pin(identity, tries, self._wanted(identity, tries))
            if pin.wiped:
                raise PersonStopped("No passcode was typed.")
            if not self._refused.holds(str(identity), pin):
                return pin
            pin.wipe()
            self._prompter.tell(words.pin_known_wrong())

    def _note_impossible(self, error: ImpossiblePin) -> None:
        self.drop()
        self._prompter.tell(words.pin_impossible(error))

    def _note_refusal(self, card: RenewableCard, tries_left: int) -> None:
        self.tries_left = tries_left
        identity = card.identity()
        if self._pin is not None:
            self._refused.add(str(identity), self._pin)
        self.drop()
        refuse_few_tries(tries_left, "Your passcode was wrong. ")
        self._prompter.tell(words.wrong_pin(tries_left))


def refuse_few_tries(tries: int | None, before: str = "") -> None:
    """Raise PinBlocked or LastPinTry where no try may be spent; `before` is a sentence that goes first."""
    if tries == 0:
        raise PinBlocked(f"{before}There are no tries left for the passcode of this smartcard.")
    if tries == 1:
        raise LastPinTry(f"{before}There is 1 try left for the passcode of this smartcard.")


class FittingSession:
    """A signing session that believes no signature before it has verified it with the key's public half."""

    def __init__(self, session: SigningSession, public_key: PublicKey) -> None:
        self._session = session
        self._public_key = public_key

    def sign(self, slot: Slot, data: bytes, hash_name: str) -> bytes:
        """See `SigningSession`; raises KeyDoesNotFit besides, and KeyRefused for a CardRefused."""
        try:
            signature = self._session.sign(slot, data, hash_name)
        except CardRefused as error:
            raise KeyRefused(error, slot) from error
        if not fits(self._public_key, signature, data, hash_name):
            raise KeyDoesNotFit(slot)
        return signature


def fits(public_key: PublicKey, signature: bytes, data: bytes, hash_name: str) -> bool:
    """Whether `signature` (PKCS#1 v1.5 or DER ECDSA) over `data` verifies."""
    algorithm = HASHES[hash_name]()
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            public_key.verify(signature, data, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True
