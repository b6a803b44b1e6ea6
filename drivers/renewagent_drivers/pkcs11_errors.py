"""Return values of PKCS#11 functions (CKR_*, PKCS#11 v2.40 5.1) as errors of ours. For children."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pkcs11
from pkcs11 import exceptions as ckr

from renewagent.errors import (
    CardError,
    CardRefused,
    CardRemoved,
    NoRoom,
    PinBlocked,
    RenewAgentError,
    Retry,
    UnsupportedCard,
)
from renewagent.language import _

DEVICE_MEMORY = 0x31
GENERAL_ERROR = 0x05
KEY_HANDLE_INVALID = 0x60
TOKEN_WRITE_PROTECTED = 0xE2

_GONE = (ckr.DeviceRemoved, ckr.TokenNotPresent, ckr.SessionHandleInvalid, ckr.SessionClosed, ckr.SlotIDInvalid)
_NO_PIN = (ckr.PinLenRange, ckr.PinInvalid)
_NO_ROOM = (ckr.DeviceMemory, ckr.SessionCount)
_NO_WRITING = (ckr.TokenWriteProtected, ckr.SessionReadOnly, ckr.SessionReadOnlyExists)
_PIN_TO_BE_SET = (ckr.PinExpired, ckr.UserPinNotInitialized)


@contextlib.contextmanager
def as_ours() -> Iterator[None]:
    """Raise an error of ours where a PKCS#11 function failed. A wrong PIN is `pkcs11_login`'s to tell."""
    try:
        yield
    except pkcs11.PKCS11Error as e:
        raise translated(e) from e


def translated(error: pkcs11.PKCS11Error) -> RenewAgentError:
    """What to raise for it."""
    if isinstance(error, _GONE):
        return CardRemoved(_("The smartcard was removed."))
    if isinstance(error, ckr.TokenNotRecognised):
        return UnsupportedCard(_("The smartcard's software does not know this smartcard."))
    if isinstance(error, ckr.PinLocked):
        return PinBlocked(_("The smartcard is locked: its passcode was mistyped too often."))
    if isinstance(error, _NO_PIN):
        return not_a_pin()
    if isinstance(error, _PIN_TO_BE_SET):
        said = _("The passcode of this smartcard must be set anew before it can be used.")
        return CardError(said, advice=_("Your Registration Authority can help."))
    if isinstance(error, _NO_ROOM):
        return NoRoom(_("The smartcard has no room for another key and certificate."), DEVICE_MEMORY)
    if isinstance(error, _NO_WRITING):
        return CardRefused(_("The smartcard cannot be written to."), TOKEN_WRITE_PROTECTED)
    return CardRefused(_("The smartcard's software refused ({name}).").format(name=_name(error)), GENERAL_ERROR)


def not_a_pin() -> CardError:
    """For what was refused without costing a try."""
    error = CardError(
        _("That cannot be this smartcard's passcode, so it was not tried."),
        advice=_("Type your passcode again. No try was used."),
    )
    error.retry = Retry.NOW
    return error


def _name(error: pkcs11.PKCS11Error) -> str:
    """ "FunctionFailed" and the like; the few that have no class of their own say their number."""
    return str(error) if type(error) is pkcs11.PKCS11Error else type(error).__name__
