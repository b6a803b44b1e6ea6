"""PIN pads of readers (PC/SC part 10, version 2): what one is asked, and where it is found. Octets only.

The reader itself puts what is typed on its keys into a command of ours and hands that to the card: the passcode never
comes near this computer. Who asks is a card driver, by a connection that is `card.interface.HasPinPad`.
"""

from __future__ import annotations

import struct

GET_FEATURES = 3400
"""CM_IOCTL_GET_FEATURE_REQUEST, the number of a control code (part 10, 2.2)."""
VERIFY_PIN_DIRECT = 0x06
"""FEATURE_VERIFY_PIN_DIRECT (part 10, 2.3)."""
TIMED_OUT, CANCELLED, WRONG_LENGTH, NOT_UNDERSTOOD = 0x6400, 0x6401, 0x6403, 0x6B80
"""What a reader says in place of the card's status word (part 10, 2.5.2)."""
TYPING = 60
"""Seconds that the reader waits for a key; it counts in one octet, and PC/SC services give up at some time, too."""

_ASCII_FROM_THE_LEFT = 0x82
"""bmFormatString: in octets, beginning with the first one of the data, to the left, a character for a digit."""
_OK_KEY = 0x02
"""bEntryValidationCondition: whoever types says when it is all."""
_NO_MESSAGE = 0
"""bNumberMessage: the person is told at the computer, and readers without a display take it."""
_HEADER = struct.Struct("<BBBBBHBBHB3sI")


def feature(answer: bytes, tag: int) -> int | None:
    """The control code of a feature in the answer to GET_FEATURES; None where the reader lacks it or makes no sense."""
    while len(answer) >= 6 and answer[1] == 4:
        if answer[0] == tag:
            return int.from_bytes(answer[2:6], "big")
        answer = answer[6:]
    return None


def verification(command: bytes, block: int, shortest: int, longest: int) -> bytes:
    """PIN_VERIFY_STRUCTURE (part 10, 2.5.2) for a short `command` whose data are `block` octets of padding, in the
    place of the first of which come `shortest` to `longest` characters."""
    header = _HEADER.pack(
        TYPING,
        TYPING,  # bTimerOut2: after the first key
        _ASCII_FROM_THE_LEFT,
        block,  # bmPINBlockString: no length is put in
        0,  # bmPINLengthFormat
        shortest << 8 | longest,
        _OK_KEY,
        _NO_MESSAGE,
        0,  # wLangId: of what is not shown
        0,  # bMsgIndex
        bytes(3),  # bTeoPrologue: the reader's own business
        len(command),
    )
    return header + command
