"""Command and response APDUs (ISO 7816-4), and the two kinds of chaining. Pure: bytes in, bytes out.

What lives here knows no applet. A command whose data may hold a PIN or a key (INS 20, 24, 2C, 87, FF) prints only its
length, by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from renewagent.language import _

SECRET_INS = frozenset({0x20, 0x24, 0x2C, 0x87, 0xFE, 0xFF})
"""VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, GENERAL AUTHENTICATE; Yubico's IMPORT and SET MANAGEMENT KEY."""

MAX_SHORT = 255
INS_GET_RESPONSE = 0xC0
CLA_CHAIN = 0x10
MOST_ANSWERS = 1024
"""To one command: a card that gives an octet at a time would else hold its transaction for many minutes."""


class StatusWord(IntEnum):
    """ISO 7816-4 table 6 and SP 800-73-4 part 2 table 6; `63Cx` and `61xx` are tested by `tries_left` and `more`."""

    OK = 0x9000
    PIN_BLOCKED = 0x6983
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    CONDITIONS_NOT_SATISFIED = 0x6985
    WRONG_LENGTH = 0x6700
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    NOT_ENOUGH_MEMORY = 0x6A84
    WRONG_P1P2 = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """One command. `le` is the number of bytes wanted (256 means 00 in short form), None for none."""

    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None
    cla: int = 0x00

    def encode(self) -> bytes:
        """Short form where it fits, extended form (ISO 7816-4 5.1, case 2E/3E/4E) otherwise."""
        header = bytes((self.cla, self.ins, self.p1, self.p2))
        if len(self.data) <= MAX_SHORT and (self.le is None or self.le <= 256):
            body = bytes((len(self.data),)) + self.data if self.data else b""
            return header + body + (b"" if self.le is None else bytes((self.le % 256,)))
        body = b"\0" + (len(self.data).to_bytes(2, "big") + self.data if self.data else b"")
        return header + body + (b"" if self.le is None else (self.le % 65536).to_bytes(2, "big"))

    def __repr__(self) -> str:
        shown = f"<{len(self.data)} bytes>" if self.ins in SECRET_INS else self.data.hex()
        return f"CommandApdu({self.cla:02X} {self.ins:02X} {self.p1:02X} {self.p2:02X} {shown} le={self.le})"


@dataclass(frozen=True, slots=True, repr=False)
class ResponseApdu:
    """One response: data and the two status bytes as one number."""

    data: bytes
    sw: int

    @classmethod
    def decode(cls, octets: bytes) -> ResponseApdu:
        """Raises ValueError for fewer than two bytes."""
        if len(octets) < 2:
            raise ValueError(_("a response APDU of {octets} bytes").format(octets=len(octets)))
        return cls(bytes(octets[:-2]), int.from_bytes(octets[-2:], "big"))

    @property
    def ok(self) -> bool:
        """Status 9000."""
        return self.sw == StatusWord.OK

    @property
    def more(self) -> int:
        """How many bytes 61xx says are waiting (256 for 6100), else 0."""
        return ((self.sw & 0xFF) or 256) if self.sw >> 8 == 0x61 else 0

    @property
    def tries_left(self) -> int | None:
        """The x of 63Cx, 0 for 6983, else None."""
        if self.sw & 0xFFF0 == 0x63C0:
            return self.sw & 0x0F
        return 0 if self.sw == StatusWord.PIN_BLOCKED else None

    def __repr__(self) -> str:
        return f"ResponseApdu(<{len(self.data)} bytes> {self.sw:04X})"


Transmit = Callable[[bytes], bytes]
"""One raw exchange: an encoded command in, data plus status word out."""


def exchange(transmit: Transmit, command: CommandApdu, *, limit: int = 65536) -> ResponseApdu:
    """Send `command`, by command chaining when its data exceeds a short APDU, and collect 61xx / 6Cxx answers.

    `limit` and `MOST_ANSWERS` bound what is collected, so that a card that never stops fills neither the memory nor
    the day; raises ValueError then.
    """
    response = ResponseApdu(b"", StatusWord.OK)
    for part in _chain(command):
        response = _send(transmit, part)
        if not response.ok and not response.more:
            return response
    data, answers = response.data, 1
    while response.more:
        answers += 1
        response = _send(transmit, CommandApdu(INS_GET_RESPONSE, 0, 0, le=response.more, cla=command.cla & 0x03))
        data += response.data
        if len(data) > limit or answers > MOST_ANSWERS or (response.more and not response.data):
            raise ValueError(_("the card's answer does not end"))
    return ResponseApdu(data, response.sw)


def _send(transmit: Transmit, command: CommandApdu) -> ResponseApdu:
    response = ResponseApdu.decode(transmit(command.encode()))
    if response.sw >> 8 == 0x6C:  # wrong Le; the right one is in SW2 (ISO 7816-4 5.3.4)
        right = CommandApdu(command.ins, command.p1, command.p2, command.data, (response.sw & 0xFF) or 256, command.cla)
        response = ResponseApdu.decode(transmit(right.encode()))
    return response


def _chain(command: CommandApdu) -> list[CommandApdu]:
    data = command.data
    if len(data) <= MAX_SHORT:
        return [command]
    parts = [data[i : i + MAX_SHORT] for i in range(0, len(data), MAX_SHORT)]
    chained = [
        CommandApdu(command.ins, command.p1, command.p2, part, None, command.cla | CLA_CHAIN) for part in parts[:-1]
    ]
    return [*chained, CommandApdu(command.ins, command.p1, command.p2, parts[-1], command.le, command.cla)]
