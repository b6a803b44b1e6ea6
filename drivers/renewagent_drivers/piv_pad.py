"""The PIN typed on the reader's own keys: VERIFY made by the reader, for as long as one transaction lasts.

What `piv_signing.PinEntry` is for a PIN in hand. Nothing here sees the PIN: only what the card, or the reader, said.
"""

from __future__ import annotations

from collections.abc import Callable

from renewagent.card import pin_pad
from renewagent.card.apdu import CommandApdu, ResponseApdu
from renewagent.card.interface import AtPad, HasPinPad
from renewagent.errors import ImpossiblePin, NothingTyped, PersonStopped, PinPadFailed, WrongPin
from renewagent.language import _
from renewagent_drivers.piv_applet import INS_VERIFY, PIN_REFERENCE, PivApplet
from renewagent_drivers.piv_signing import PIN_LENGTHS, judge_verification

_BLOCK = 8  # SP 800-73-4 part 2, 2.4.3: as many octets, padded with FF


class PadEntry:
    """One transaction's VERIFYs, each typed by the person. After a refusal nobody is asked again in it."""

    def __init__(self, applet: PivApplet, connection: HasPinPad, how: AtPad, count: Callable[[], None]) -> None:
        self._applet = applet
        self._connection = connection
        self._how = how
        self._count = count
        self._refused: WrongPin | None = None
        self.presented = False

    def verify(self) -> None:
        """Tell the person, and wait for them. Raises what `PinEntry.verify` raises; besides NothingTyped,
        PersonStopped, ImpossiblePin and PinPadFailed, for none of which the card was asked."""
        if self._refused is not None:
            raise self._refused
        self._how.before()
        self._count()
        self.presented = True
        response = self._ask()
        _refuse_unsent(response.sw)
        try:
            judge_verification(response)
        except WrongPin as refusal:
            self._refused = refusal
            raise

    def _ask(self) -> ResponseApdu:
        command = CommandApdu(INS_VERIFY, 0x00, PIN_REFERENCE, b"\xff" * _BLOCK).encode()
        structure = pin_pad.verification(command, _BLOCK, PIN_LENGTHS[0], PIN_LENGTHS[-1])
        try:
            return ResponseApdu.decode(self._connection.verify_at_pad(structure))
        except PinPadFailed:
            self._applet.pin_status()  # a card that was taken out meanwhile is no fault of the pad
            raise


def _refuse_unsent(sw: int) -> None:
    """Raise for what the reader says in the card's place."""
    if sw == pin_pad.TIMED_OUT:
        raise NothingTyped(_("No passcode was typed on the card reader in time."))
    if sw == pin_pad.CANCELLED:
        raise PersonStopped(_("You cancelled on the card reader: no passcode was sent to the smartcard."))
    if sw == pin_pad.WRONG_LENGTH:
        raise ImpossiblePin(
            _("That was too short or too long for this smartcard's passcode, so it was not tried."),
            advice=_("Type the 6 to 8 digits of your passcode. No try was used."),
        )
    if sw == pin_pad.NOT_UNDERSTOOD:
        raise PinPadFailed(_("The keys of the card reader could not be used for the passcode."))
