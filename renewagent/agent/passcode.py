"""The passcode (PIN) while a renewal runs: asked for when a signature needs it, kept until dropped, never sent twice
once refused. Where the reader has keys of its own it is typed there, as often as the card wants it, and stays there.

Lives in the short-lived child only. Nothing in here writes, logs or returns a PIN.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from renewagent.agent import passcode_words, words
from renewagent.agent.prompts import Prompter
from renewagent.card.interface import AdminSession, AtPad, CardDriver, SigningSession, TakesPinAtPad, TellsTries
from renewagent.errors import (
    CardRefused,
    CardReset,
    ImpossiblePin,
    LastPinTry,
    NothingTyped,
    PersonStopped,
    PinBlocked,
    PinPadFailed,
    WrongPin,
)
from renewagent.language import _
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
        super().__init__(_("the key in slot {slot} does not fit its certificate").format(slot=slot))
        self.slot = slot


class KeyRefused(CardRefused):
    """The card refused to sign with the key in `slot`; whatever else it refuses is a plain CardRefused."""

    code = "RA-CARD-KEY-REFUSED"

    def __init__(self, refusal: CardRefused, slot: Slot) -> None:
        super().__init__(refusal.message, refusal.sw, advice=refusal.advice)
        self.slot = slot


class Passcode:
    """Asks the person for the PIN once, runs signing sessions with it, and asks again after a refusal.

    Nobody is asked for a PIN that would not be sent: with one try left, or none, asking is refused instead. `pad`: the
    reader's own keys are used where it has any; what is typed there is not known here, so that nothing can be compared,
    and nothing remembered.
    """

    def __init__(self, prompter: Prompter, wanted: Wanted = words.pin_wanted, *, pad: bool = True) -> None:
        self._prompter = prompter
        self._wanted = wanted
        self._pad = pad
        self._typings = 0
        self._typing = False
        self.expected: int | None = None
        """How often the PIN will be typed at the reader in all, as far as is known."""
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
                with self._signing(card) as session:
                    result = work(session)
                self._note_typed()
                return result
            except (ImpossiblePin, NothingTyped, PinPadFailed) as error:
                self._note_unsent(error)
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
            try:
                with self._administration(card) as session:
                    result = work(session)
                self._note_typed()
                return result
            except (ImpossiblePin, NothingTyped, PinPadFailed) as error:  # before the session began, as the next
                self._note_unsent(error)
            except WrongPin as error:
                self._note_refusal(card, error.tries_left)

    def at_pad(self, card: RenewableCard) -> bool:
        """Whether the PIN is typed at the reader."""
        return self._pad_of(card) is not None

    def ask_first(self, card: RenewableCard) -> None:
        """Have the PIN typed now, but at a reader, which takes it when the card wants it."""
        if not self.at_pad(card):
            self.obtain(card)

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
                raise PersonStopped(_("No passcode was typed."))
            if not self._refused.holds(str(identity), pin):
                return pin
            pin.wipe()
            self._prompter.tell(words.pin_known_wrong())

    def _signing(self, card: RenewableCard) -> AbstractContextManager[SigningSession]:
        reader = self._pad_of(card)
        return card.signing(self.obtain(card)) if reader is None else reader.signing(self._typed_there(card))

    def _administration(self, card: RenewableCard) -> AbstractContextManager[AdminSession]:
        if not card.administration_needs_pin:
            return card.administration()
        reader = self._pad_of(card)
        return (
            card.administration(self.obtain(card)) if reader is None else reader.administration(self._typed_there(card))
        )

    def _pad_of(self, card: RenewableCard) -> TakesPinAtPad | None:
        return card if self._pad and isinstance(card, TakesPinAtPad) and card.pin_pad() else None

    def _typed_there(self, card: RenewableCard) -> AtPad:
        identity, tries = card.identity(), card.pin_tries()
        refuse_few_tries(tries)
        wanted = self._wanted(identity, tries)

        def before() -> None:
            self._typings += 1
            self._typing = True
            self._prompter.tell(passcode_words.at_pad(wanted, self._typings, self.expected))

        return AtPad(before)

    def _note_typed(self) -> None:
        """Nobody is to go on looking at the reader."""
        if self._typing:
            self._typing = False
            self._prompter.tell(passcode_words.typed_there())

    def _note_unsent(self, error: ImpossiblePin | NothingTyped | PinPadFailed) -> None:
        self.drop()
        if isinstance(error, NothingTyped):
            if not self._prompter.confirm(passcode_words.not_typed(error)):
                raise error
        elif isinstance(error, PinPadFailed):
            self._pad = False
            self._prompter.tell(passcode_words.pad_failed(error))
        else:
            self._prompter.tell(words.pin_impossible(error))

    def _note_refusal(self, card: RenewableCard, tries_left: int) -> None:
        self.tries_left = tries_left
        identity = card.identity()
        if self._pin is not None:
            self._refused.add(str(identity), self._pin)
        self.drop()
        refuse_few_tries(tries_left, _("Your passcode was wrong."))
        self._prompter.tell(words.wrong_pin(tries_left))


def refuse_few_tries(tries: int | None, before: str = "") -> None:
    """Raise PinBlocked or LastPinTry where no try may be spent; `before` is a sentence that goes first."""
    if tries == 0:
        said = _("There are no tries left for the passcode of this smartcard.")
        raise PinBlocked(f"{before} {said}".strip())
    if tries == 1:
        said = _("There is 1 try left for the passcode of this smartcard.")
        raise LastPinTry(f"{before} {said}".strip())


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
