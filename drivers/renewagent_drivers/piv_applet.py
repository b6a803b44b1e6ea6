"""The commands of the PIV card application, one method each (SP 800-73-4 part 2, section 3, and Yubico's extensions).

An applet belongs to one transaction. It turns status words into our errors and keeps no state of the card's; what to
ask in which order is `piv`'s and `piv_signing`'s business. Nothing here imports cryptography: the resident agent reads
cards by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from renewagent.card.apdu import MOST_ANSWERS, CommandApdu, ResponseApdu, StatusWord, Transmit, exchange
from renewagent.card.head import KeyKind
from renewagent.errors import CardDataError, CardRefused, UnsupportedCard
from renewagent.language import _
from renewagent.model import Slot
from renewagent_drivers.piv_objects import parse, tlv

AID = bytes.fromhex("a000000308")  # the registered provider; cards answer to its right-truncated form (part 2, 3.1.1)
PIN_REFERENCE = 0x80
MANAGEMENT_KEY = 0x9B

INS_VERIFY, INS_GENERATE, INS_AUTHENTICATE, INS_SELECT = 0x20, 0x47, 0x87, 0xA4
INS_GET_RESPONSE, INS_GET_DATA, INS_PUT_DATA = 0xC0, 0xCB, 0xDB
INS_MOVE_KEY, INS_METADATA, INS_SERIAL, INS_ATTEST, INS_VERSION = 0xF6, 0xF7, 0xF8, 0xF9, 0xFD

TEMPLATE, WITNESS, CHALLENGE, RESPONSE = 0x7C, 0x80, 0x81, 0x82  # part 2, table 7
_OBJECT_LIMIT = 65536
_ABSENT = frozenset(  # 6A82 by the standard; the others from cards that do not know an optional object at all
    {
        StatusWord.NOT_FOUND,
        StatusWord.REFERENCE_NOT_FOUND,
        StatusWord.WRONG_DATA,
        StatusWord.FUNCTION_NOT_SUPPORTED,
    }
)
_ANY_LE = 256

# SP 800-78-4 table 6-2; 16 is Yubico's RSA-4096
ALGORITHMS = {
    KeyKind("rsa", 1024): 0x06,
    KeyKind("rsa", 2048): 0x07,
    KeyKind("rsa", 3072): 0x05,
    KeyKind("rsa", 4096): 0x16,
    KeyKind("ec", 256): 0x11,
    KeyKind("ec", 384): 0x14,
}
KINDS = {algorithm: kind for kind, algorithm in ALGORITHMS.items()}


@dataclass(frozen=True, slots=True)
class PinStatus:
    """What an empty VERIFY tells: `verified` when somebody is logged in, else `tries` left, None where it is silent."""

    verified: bool
    tries: int | None


class PivApplet:
    """The PIV application behind one raw exchange."""

    def __init__(self, transmit: Transmit) -> None:
        self._transmit = transmit

    def send(self, command: CommandApdu) -> ResponseApdu:
        """One command, chained as needed, its whole answer. Raises CardDataError for an answer that is none."""
        try:
            return exchange(self._transmit, command, limit=_OBJECT_LIMIT)
        except ValueError as e:
            raise CardDataError(_("The smartcard's answer makes no sense: {why}.").format(why=e)) from e

    def select(self) -> None:
        """Select the PIV application; what it says of itself is left on the card. Raises UnsupportedCard."""
        response = self._once(CommandApdu(INS_SELECT, 0x04, 0x00, AID, _ANY_LE))
        if not response.ok and not response.more:
            raise UnsupportedCard(_("This is not a smartcard that renewagent knows (it has no PIV application)."))

    def object_chunks(self, name: int) -> Iterator[bytes]:
        """What has arrived of a data object, growing with each exchange; nothing at all for an absent object. The
        reader may stop at any time: cards allow a chain to be left unfinished."""
        response = self._once(CommandApdu(INS_GET_DATA, 0x3F, 0xFF, tlv(0x5C, name.to_bytes(3, "big")), _ANY_LE))
        if response.sw in _ABSENT:
            return
        data, answers = b"", 1
        while True:
            if not response.ok and not response.more:
                raise CardRefused(
                    _("The smartcard does not give out its data ({sw}).").format(sw=f"{response.sw:04X}"), response.sw
                )
            data += response.data
            yield data
            if not response.more:
                return
            response = self._once(CommandApdu(INS_GET_RESPONSE, 0, 0, le=response.more))
            answers += 1
            if len(data) > _OBJECT_LIMIT or answers > MOST_ANSWERS or not response.data:
                raise CardDataError(_("The smartcard's answer does not end."))

    def data_object(self, name: int) -> bytes | None:
        """A whole data object, its container included; None for an absent or an empty one."""
        data = b""
        for data in self.object_chunks(name):  # noqa: B007  the last is the whole
            pass
        return data if len(data) > 2 else None

    def pin_status(self) -> PinStatus:
        """Ask by an empty VERIFY, which costs no try (part 2, 3.2.1)."""
        response = self.send(CommandApdu(INS_VERIFY, 0x00, PIN_REFERENCE))
        return PinStatus(response.ok, response.tries_left)

    def verify(self, padded_pin: bytes) -> ResponseApdu:
        """Present the PIN; the caller reads the status."""
        return self.send(CommandApdu(INS_VERIFY, 0x00, PIN_REFERENCE, padded_pin))

    def log_out(self) -> PinStatus:
        """VERIFY with P1 = FF (part 2, 3.2.1), and what an empty VERIFY says then: older cards do not know it."""
        self.send(CommandApdu(INS_VERIFY, 0xFF, PIN_REFERENCE))
        return self.pin_status()

    def authenticate(self, algorithm: int, reference: int, fields: bytes) -> ResponseApdu:
        """GENERAL AUTHENTICATE (part 2, 3.2.4); the caller reads the status."""
        return self.send(CommandApdu(INS_AUTHENTICATE, algorithm, reference, tlv(TEMPLATE, fields), _ANY_LE))

    def metadata(self, reference: int) -> ResponseApdu:
        """Yubico's GET METADATA."""
        return self.send(CommandApdu(INS_METADATA, 0x00, reference, le=_ANY_LE))

    def _once(self, command: CommandApdu) -> ResponseApdu:
        """One exchange without collecting what more there is, but with the right Le (6Cxx, ISO 7816-4 5.3.4)."""
        try:
            response = ResponseApdu.decode(self._transmit(command.encode()))
            if response.sw >> 8 == 0x6C:
                le = (response.sw & 0xFF) or 256
                again = CommandApdu(command.ins, command.p1, command.p2, command.data, le, command.cla)
                response = ResponseApdu.decode(self._transmit(again.encode()))
        except ValueError as e:
            raise CardDataError(_("The smartcard's answer makes no sense: {why}.").format(why=e)) from e
        return response


def dynamic_fields(response: ResponseApdu) -> dict[int, bytes]:
    """The fields of a GENERAL AUTHENTICATE answer (7C { ... }). Raises CardDataError."""
    try:
        return parse(parse(response.data)[TEMPLATE])
    except (ValueError, KeyError) as e:
        raise CardDataError(_("The smartcard's answer makes no sense.")) from e


def reference(slot: Slot) -> int:
    """A slot's key reference as a number."""
    return int(slot.reference, 16)
