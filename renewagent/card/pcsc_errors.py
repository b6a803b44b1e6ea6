"""PC/SC's error codes (PC/SC part 5, and winerror.h for the numbers) and which of our errors each one is.

Numbers and words only: whoever calls PC/SC is `card.pcsc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from renewagent.errors import CardBusy, CardRemoved, CardReset, NoCard, NoReader, PcscUnavailable, ReaderError
from renewagent.language import N_, _

SUCCESS = 0x00000000
CANCELLED = 0x80100002
INVALID_HANDLE = 0x80100003
INVALID_PARAMETER = 0x80100004
UNKNOWN_READER = 0x80100009
TIMEOUT = 0x8010000A
SHARING_VIOLATION = 0x8010000B
NO_SMARTCARD = 0x8010000C
INVALID_VALUE = 0x80100011
COMMUNICATION_ERROR = 0x80100013
NOT_TRANSACTED = 0x80100016
NO_READERS = 0x8010002E
RESET_CARD = 0x80100068
REMOVED_CARD = 0x80100069

BUSY = N_("Another program is using the smartcard.")
REMOVED = N_("The smartcard was removed.")
NO_PAD = N_("The keys of the card reader could not be used for the passcode.")
HUNG = N_("The smartcard service (PC/SC) does not answer.")
_MUTE = N_("The smartcard does not answer.")
_GONE = N_("The smartcard service (PC/SC) is not running.")
_FORBIDDEN = N_("This account is not allowed to use the smartcard service (PC/SC).")
_NO_SUCH_READER = N_("There is no such smartcard reader.")

_ERRORS: Mapping[int, tuple[type[ReaderError], str]] = MappingProxyType(
    {
        INVALID_HANDLE: (PcscUnavailable, _GONE),  # of a context or a card that went with the service
        COMMUNICATION_ERROR: (PcscUnavailable, _GONE),
        0x8010001D: (PcscUnavailable, _GONE),  # SCARD_E_NO_SERVICE
        0x8010001E: (PcscUnavailable, _GONE),  # SCARD_E_SERVICE_STOPPED
        0x80100012: (PcscUnavailable, _GONE),  # SCARD_E_SYSTEM_CANCELLED: the session is ending
        0x80100031: (PcscUnavailable, N_("The smartcard service (PC/SC) is too busy.")),  # SCARD_E_SERVER_TOO_BUSY
        0x80100027: (PcscUnavailable, _FORBIDDEN),  # SCARD_E_NO_ACCESS
        0x8010006A: (PcscUnavailable, _FORBIDDEN),  # SCARD_W_SECURITY_VIOLATION
        0x00000005: (PcscUnavailable, _FORBIDDEN),  # ERROR_ACCESS_DENIED: a Windows service asks
        UNKNOWN_READER: (NoReader, _NO_SUCH_READER),
        0x80100017: (NoReader, _NO_SUCH_READER),  # SCARD_E_READER_UNAVAILABLE
        NO_READERS: (NoReader, N_("There is no smartcard reader.")),
        NO_SMARTCARD: (NoCard, N_("There is no smartcard in the reader.")),
        REMOVED_CARD: (CardRemoved, REMOVED),
        RESET_CARD: (CardReset, N_("Another program reset the smartcard.")),
        SHARING_VIOLATION: (CardBusy, BUSY),
        NOT_TRANSACTED: (ReaderError, _MUTE),
        0x8010000F: (ReaderError, _MUTE),  # SCARD_E_PROTO_MISMATCH
        0x8010001C: (ReaderError, _MUTE),  # SCARD_E_CARD_UNSUPPORTED
        0x80100065: (ReaderError, _MUTE),  # SCARD_W_UNSUPPORTED_CARD
        0x80100066: (ReaderError, _MUTE),  # SCARD_W_UNRESPONSIVE_CARD
        0x80100067: (ReaderError, _MUTE),  # SCARD_W_UNPOWERED_CARD
    }
)


def error_of(code: int) -> ReaderError:
    """The error, ready to raise, for any code but success."""
    if code not in _ERRORS:
        return ReaderError(_("The smartcard reader reports a fault ({code}).").format(code=f"{code:08X}"))
    error, message = _ERRORS[code]
    return mute_card() if message == _MUTE else error(_(message))


def mute_card() -> ReaderError:
    """For a card that is in the reader and does not answer."""
    return ReaderError(
        _(_MUTE), advice=_("Take the smartcard out, check that its chip faces the right way, and put it back in.")
    )
