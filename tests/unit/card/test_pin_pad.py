"""PIN pads: what is asked of them, octet by octet; and one in a real PC/SC service (`padded_reader.c`)."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from renewagent.card import pin_pad
from renewagent.card.interface import AtPad
from renewagent.card.pcsc import PcscReaders
from renewagent.errors import (
    ImpossiblePin,
    NothingTyped,
    PersonStopped,
    PinBlocked,
    PinPadFailed,
    ReaderError,
    WrongPin,
)
from renewagent.model import Slot
from renewagent_drivers.piv import PivDriver
from renewagent_fixtures import private_pcscd as private
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.drivers.test_piv_contract import personalised
from tests.pcsc import until
from tests.programs import missing, require, run
from tests.unit.fixtures.cards import EchoCard

SOURCE = Path(__file__).parents[2] / "padded_reader.c"
PIN, WRONG = "123456", "654321"
VERIFY = bytes.fromhex("0020008008ffffffffffffffff")


# -- octets ------------------------------------------------------------------------------------------------------------


def test_the_structure_is_part_10s() -> None:
    """bTimerOut, bTimerOut2, bmFormatString, bmPINBlockString, bmPINLengthFormat, wPINMaxExtraDigit (6 to 8, little
    endian), bEntryValidationCondition, bNumberMessage, wLangId, bMsgIndex, bTeoPrologue, ulDataLength, abData."""
    assert pin_pad.verification(VERIFY, 8, 6, 8).hex() == (
        "3c3c820800080602000000000000000d0000000020008008ffffffffffffffff"
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("060442330006", 0x42330006),
        ("0704423300070604423300061204423300ff", 0x42330006),
        ("070442330007", None),
        ("", None),
        ("06", None),
        ("0604423300", None),
        ("06020000060442330006", None),
        ("ff" * 64, None),
    ],
)
def test_where_a_feature_is_found(answer: str, code: int | None) -> None:
    assert pin_pad.feature(bytes.fromhex(answer), pin_pad.VERIFY_PIN_DIRECT) == code


def test_readers_without_keys_have_none() -> None:
    readers = VirtualReaders(("Reader",))
    readers.insert("Reader", EchoCard())
    connection = readers.connect("Reader")
    assert connection.pin_pad() is False
    with connection.transaction(), pytest.raises(PinPadFailed):
        connection.verify_at_pad(b"")


def test_vpcds_readers_have_none(private_pcscd: PrivatePcscd) -> None:
    name, readers = private_pcscd.reader_names[0], PcscReaders(patience=5)
    with VpcdLink(VirtualCard.create(None), private_pcscd.ports[0]):
        until(lambda: readers.states()[name].present)
        connection = readers.connect(name)
        assert connection.pin_pad() is False
        with connection.transaction(), pytest.raises(PinPadFailed):
            connection.verify_at_pad(b"")
        connection.close()
    readers.close()


# -- a real service ----------------------------------------------------------------------------------------------------


class Padded:
    """A card in a reader with keys, in a pcscd of our own."""

    def __init__(self, folder: Path, card: VirtualCard, pcscd: PrivatePcscd) -> None:
        self.typed, self.asked = folder / "typed", folder / "asked"
        self.card, self.pcscd = card, pcscd
        self.readers = PcscReaders(on_exchange=self._note, patience=5)
        self.exchanges: list[bytes] = []
        self.told = 0

    def _note(self, reader: str, command: bytes, response: bytes) -> None:
        self.exchanges.append(command)

    def opened(self) -> PivDriver:
        return PivDriver.open(self.readers.connect(self.pcscd.reader_names[0]))

    def sign(self, typed: str, times: int = 1) -> list[bytes]:
        self.typed.write_text(typed)
        with self.opened().signing(AtPad(self._tell)) as session:
            return [session.sign(Slot("9c"), b"x", "sha256") for _ in range(times)]

    def _tell(self) -> None:
        self.told += 1


@pytest.fixture
def padded(pcsc_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Padded]:
    with suppress(ReaderError):
        programs = private._Programs.find()
        driver = _built(tmp_path, programs.driver)
        monkeypatch.setattr(private._Programs, "find", lambda: dataclasses.replace(programs, driver=driver))
    pcscd = PrivatePcscd(1, directory=pcsc_directory)
    try:
        pcscd.start()
    except ReaderError as error:
        missing(error.message)
    card = personalised("plain")
    with pcscd, VpcdLink(card, pcscd.ports[0]):
        there = Padded(tmp_path, card, pcscd)
        until(lambda: there.readers.states()[pcscd.reader_names[0]].present)
        yield there
        there.readers.close()


def _built(folder: Path, real: Path) -> Path:
    library = folder / "padded.so"
    names = {"REAL": real, "TYPED": folder / "typed", "ASKED": folder / "asked"}
    defined = [f'-D{name}="{path}"' for name, path in names.items()]
    run(require("gcc"), "-shared", "-fPIC", "-I/usr/include/PCSC", *defined, SOURCE, "-o", library, "-ldl")
    return library


def test_typed_at_a_real_readers_keys(padded: Padded) -> None:
    assert padded.opened().pin_pad()
    assert len(padded.sign(PIN, times=2)) == 2
    assert padded.told == 2
    assert padded.asked.read_text().split() == [pin_pad.verification(VERIFY, 8, 6, 8).hex()] * 2
    assert not any(command[1] == 0x20 and len(command) > 5 for command in padded.exchanges)


@pytest.mark.parametrize(
    ("typed", "error", "left"),
    [
        (WRONG, WrongPin, 2),
        ("CANCEL", PersonStopped, 3),
        ("NOTHING", NothingTyped, 3),
        ("12345", ImpossiblePin, 3),
        ("BROKEN", PinPadFailed, 3),
    ],
)
def test_what_else_can_happen_there(padded: Padded, typed: str, error: type[Exception], left: int) -> None:
    with pytest.raises(error):
        padded.sign(typed)
    assert padded.card.pin_tries == left
    assert len(padded.sign(PIN)) == 1


def test_another_program_in_the_way_is_waited_for(padded: Padded) -> None:
    """Else its reader would be taken for one without keys."""
    driver, other = padded.opened(), padded.readers.connect(padded.pcscd.reader_names[0])
    with other.transaction():
        asked = threading.Thread(target=driver.pin_pad)
        asked.start()
        asked.join(0.5)
        assert asked.is_alive()
    asked.join(5)
    assert driver.pin_pad()
    other.close()


def test_a_card_locked_meanwhile(padded: Padded) -> None:
    def spend() -> None:
        """Somebody else's doing, between our look and the question."""
        for _ in range(2):
            padded.card.transmit(bytes.fromhex("0020008008") + WRONG.encode() + b"\xff\xff")

    padded.typed.write_text(WRONG)
    with pytest.raises(PinBlocked), padded.opened().signing(AtPad(spend)) as session:
        session.sign(Slot("9c"), b"x", "sha256")


def test_opensc_uses_the_same_reader_with_the_same_block(padded: Padded, tmp_path: Path) -> None:
    """Another program's PIN_VERIFY_STRUCTURE, and ours: the same command to the card, and the same form of it."""
    padded.sign(PIN)
    padded.asked.rename(tmp_path / "ours")
    configuration = tmp_path / "opensc.conf"
    configuration.write_text("app default { reader_driver pcsc { enable_pinpad = true; } }\n")
    environment = {**os.environ, **padded.pcscd.variables, "OPENSC_CONF": str(configuration), "HOME": str(tmp_path)}
    run("pkcs15-tool", "--verify-pin", "--auth-id", "01", env=environment, status=None)
    ours, theirs = (bytes.fromhex((tmp_path / name).read_text().split()[0]) for name in ("ours", "asked"))
    assert theirs[19:24] == ours[19:24] == VERIFY[:5]
    assert theirs[2:6] == ours[2:6] and theirs[7:] == ours[7:]  # but for the time, and the shortest passcode
