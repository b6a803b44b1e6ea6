"""Commands and responses as octets, both kinds of chaining, and no secret in a repr."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.card.apdu import MOST_ANSWERS, SECRET_INS, CommandApdu, ResponseApdu, StatusWord, exchange
from renewagent.errors import CardDataError
from renewagent_drivers.piv_applet import PivApplet


@pytest.mark.parametrize(
    ("command", "encoded"),
    [
        (CommandApdu(0x20, 0x00, 0x80), "00200080"),
        (CommandApdu(0xC0, 0, 0, le=256), "00c0000000"),
        (CommandApdu(0xC0, 0, 0, le=17), "00c0000011"),
        (CommandApdu(0xA4, 4, 0, b"\xa0\x00"), "00a4040002a000"),
        (CommandApdu(0xA4, 4, 0, b"\xa0\x00", 256), "00a4040002a00000"),
        (CommandApdu(0xCB, 0x3F, 0xFF, le=257), "00cb3fff000101"),
        (CommandApdu(0xCB, 0x3F, 0xFF, le=65536), "00cb3fff000000"),
        (CommandApdu(0xDB, 0x3F, 0xFF, b"\x01" * 256), "00db3fff000100" + "01" * 256),
        (CommandApdu(0xDB, 0x3F, 0xFF, b"\x01" * 256, 256), "00db3fff000100" + "01" * 256 + "0100"),
        (CommandApdu(0xDB, 0x3F, 0xFF, b"\x01", cla=0x10), "10db3fff0101"),
    ],
)
def test_encoding(command: CommandApdu, encoded: str) -> None:
    assert command.encode() == bytes.fromhex(encoded)


@pytest.mark.parametrize("ins", sorted(SECRET_INS))
def test_secrets_do_not_print(ins: int) -> None:
    command = CommandApdu(ins, 0, 0x80, b"837465\xff\xff")
    assert b"837465".hex() not in repr(command) and "837465" not in repr(command)
    assert "<8 bytes>" in repr(command)
    assert "837465" not in repr(ResponseApdu(b"837465", 0x9000))


def test_other_commands_print_whole() -> None:
    assert repr(CommandApdu(0xA4, 4, 0, b"\xa0\x00", 256)) == "CommandApdu(00 A4 04 00 a000 le=256)"


@pytest.mark.parametrize(
    ("sw", "ok", "more", "tries"),
    [
        (0x9000, True, 0, None),
        (0x6100, False, 256, None),
        (0x6112, False, 18, None),
        (0x63C2, False, 0, 2),
        (0x63C0, False, 0, 0),
        (0x6983, False, 0, 0),
        (0x6A82, False, 0, None),
        (0x6300, False, 0, None),
    ],
)
def test_status_words(sw: int, ok: bool, more: int, tries: int | None) -> None:
    response = ResponseApdu.decode(b"data" + sw.to_bytes(2, "big"))
    assert (response.data, response.sw) == (b"data", sw)
    assert (response.ok, response.more, response.tries_left) == (ok, more, tries)


@pytest.mark.parametrize("octets", [b"", b"\x90"])
def test_a_response_has_a_status(octets: bytes) -> None:
    with pytest.raises(ValueError, match="response APDU"):
        ResponseApdu.decode(octets)


class Script:
    """A card that gives its answers in turn and remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = [bytes.fromhex(answer) for answer in answers]
        self.asked: list[str] = []

    def transmit(self, command: bytes) -> bytes:
        self.asked.append(command.hex())
        return self.answers.pop(0)


def test_answers_in_pieces_are_collected() -> None:
    card = Script("aabb6102", "ccdd6101", "ee9000")
    response = exchange(card.transmit, CommandApdu(0xCB, 0x3F, 0xFF, b"\x5c\x00", 256))
    assert (response.data, response.sw) == (bytes.fromhex("aabbccddee"), 0x9000)
    assert card.asked == ["00cb3fff025c0000", "00c0000002", "00c0000001"]


def test_the_right_le_is_taken_from_the_card() -> None:
    card = Script("6c08", "00112233445566779000")
    assert len(exchange(card.transmit, CommandApdu(0xCA, 0, 0, le=256)).data) == 8
    assert card.asked == ["00ca000000", "00ca000008"]


def test_an_error_in_the_middle_of_the_pieces_is_told() -> None:
    response = exchange(Script("aabb6102", "6f00").transmit, CommandApdu(0xCB, 0x3F, 0xFF, le=256))
    assert response.sw == 0x6F00


@given(st.binary(min_size=256, max_size=2000))
def test_long_data_goes_out_in_chained_commands(data: bytes) -> None:
    count = -(-len(data) // 255)
    card = Script(*["9000"] * count)
    assert exchange(card.transmit, CommandApdu(0xDB, 0x3F, 0xFF, data, 256)).ok
    sent = [bytes.fromhex(command) for command in card.asked]
    assert b"".join(command[5 : 5 + command[4]] for command in sent) == data
    assert [command[0] for command in sent] == [0x10] * (count - 1) + [0x00]
    assert [len(command) - 5 - command[4] for command in sent] == [0] * (count - 1) + [1]


def test_a_refused_piece_ends_the_chain() -> None:
    card = Script("9000", "6a84", "9000")
    assert exchange(card.transmit, CommandApdu(0xDB, 0x3F, 0xFF, bytes(600))).sw == StatusWord.NOT_ENOUGH_MEMORY
    assert len(card.asked) == 2


@pytest.mark.parametrize("endless", [b"\x61\x00", b"x" * 256 + b"\x61\x00"])
def test_a_card_that_never_stops_is_stopped(endless: bytes) -> None:
    with pytest.raises(ValueError, match="does not end"):
        exchange(lambda _: endless, CommandApdu(0xCB, 0x3F, 0xFF, le=256), limit=5000)


def test_a_card_that_gives_an_octet_at_a_time_is_stopped_soon() -> None:
    asked: list[bytes] = []

    def drip(command: bytes) -> bytes:
        asked.append(command)
        return b"x\x61\x00"

    with pytest.raises(ValueError, match="does not end"):
        exchange(drip, CommandApdu(0xCB, 0x3F, 0xFF, le=256))
    assert len(asked) == MOST_ANSWERS + 1


def test_a_card_whose_object_drips_is_stopped_soon() -> None:
    asked: list[bytes] = []

    def drip(command: bytes) -> bytes:
        asked.append(command)
        return b"\x53\x61\x00"

    with pytest.raises(CardDataError, match="does not end"):
        PivApplet(drip).data_object(0x5FC10A)
    assert len(asked) == MOST_ANSWERS + 1
