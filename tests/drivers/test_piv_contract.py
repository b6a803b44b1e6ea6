"""The drivers' contract, kept by the PIV driver: on a plain and an extended card in-process, and through pcscd."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from renewagent.card.interface import AdminSession, CardConnection, CardDriver, Readers, Transaction
from renewagent.card.pcsc import PcscReaders
from renewagent.errors import CardError, NoCard
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import open_card
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.drivers.contract import *  # noqa: F403
from tests.drivers.contract import PIN, Bench
from tests.made import certificate

SELECT, REFUSED, OK = bytes.fromhex("00a4040005a000000308"), b"\x69\x82", b"\x90\x00"
SIGNING_KEY = rsa.generate_private_key(65537, 2048)
AUTHENTICATION_KEY = ec.generate_private_key(ec.SECP256R1())
READER = "Virtual Reader 1"


class WrongKey:
    """A management key that is none."""

    needs_pin = False

    def obtain(self, read_from_card: object) -> bytes:
        return bytes(range(24))


class PivBench:
    """See `contract.Bench`; the other program speaks raw APDUs."""

    signing_slot, authentication_slot, empty_slot = Slot("9c"), Slot("9a"), Slot("9d")

    def __init__(self, card: VirtualCard, readers: Readers, reader: str) -> None:
        self.card, self._readers, self._reader = card, readers, reader
        self._open: list[CardConnection] = []
        self.pull: Callable[[], None] = lambda: None
        self.other: CardConnection = self.connect()

    def connect(self) -> CardConnection:
        self._open.append(self._readers.connect(self._reader))
        return self._open[-1]

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    def open(self) -> CardDriver:
        return open_card(self.connect())

    def administration(self, driver: CardDriver) -> contextlib.AbstractContextManager[AdminSession]:
        return driver.administration()

    def administration_without_rights(self) -> contextlib.AbstractContextManager[AdminSession]:
        return open_card(self.connect(), management_key=WrongKey()).administration()

    def slot_for_new_key(self, driver: CardDriver) -> Slot:
        return self.signing_slot

    @contextlib.contextmanager
    def swapped(self) -> Iterator[CardDriver]:
        stranger = personalised("plain")
        tries = stranger.pin_tries
        readers = VirtualReaders([READER])
        readers.insert(READER, stranger)
        plug = Plug(self.connect())
        driver = open_card(plug)
        driver.identity()
        plug.leads_to = readers.connect(READER)
        yield driver
        assert stranger.pin_tries == tries

    def certificate(self, slot: Slot) -> bytes | None:
        return self.card.certificate(int(slot.reference, 16))

    def spoil(self, slot: Slot) -> None:
        content = self.card.object(0x5FC10A if slot == Slot("9c") else 0x5FC105)
        assert content is not None and content[:2] == b"\x70\x82"
        length = int.from_bytes(content[2:4], "big") + 1
        self.card.write_object(0x5FC10A, b"\x70\x82" + length.to_bytes(2, "big") + content[4:])

    def public_key(self, slot: Slot) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        key = self.card.public_key(int(slot.reference, 16))
        assert key is not None
        return key

    def tries(self) -> int:
        return self.card.pin_tries

    def leave_tries(self, tries: int) -> None:
        self.card.set_pin_tries(tries)

    def other_program_may_sign(self) -> bool:
        return self._ask("0087119a267c2482008120" + "53" * 32 + "00") != REFUSED

    def other_program_may_generate(self) -> bool:
        return self._ask("0047009e05ac0380011100") != REFUSED

    def other_program_logs_in(self) -> None:
        assert self._ask("0020008008" + PIN.encode().hex() + "ffff") == OK

    def remove(self) -> None:
        self.pull()

    def _ask(self, command: str) -> bytes:
        """Raw, on a connection that was there before ours, and without SELECT when it still holds."""
        with contextlib.suppress(Exception):  # a reset, which is told once
            self.other.transmit(b"\x00\x20\x00\x80")
        if self.other.transmit(b"\x00\x20\x00\x80")[:1] not in (b"\x63", b"\x90", b"\x69"):
            assert self.other.transmit(SELECT)[-2:] == OK
        return self.other.transmit(bytes.fromhex(command))[-2:]


class Plug:
    """A connection whose card can be exchanged behind the driver's back."""

    def __init__(self, leads_to: CardConnection) -> None:
        self.leads_to = leads_to
        self.reader, self.atr = leads_to.reader, leads_to.atr

    def transmit(self, command: bytes) -> bytes:
        return self.leads_to.transmit(command)

    def transaction(self) -> contextlib.AbstractContextManager[Transaction]:
        return self.leads_to.transaction()

    def close(self) -> None:
        self.leads_to.close()


def personalised(profile: str) -> VirtualCard:
    card = VirtualCard.create(None, profile=profile)
    card.import_key(0x9C, SIGNING_KEY)
    card.import_key(0x9A, AUTHENTICATION_KEY)
    card.write_certificate(0x9C, certificate(SIGNING_KEY.public_key()))
    usage = ("digital_signature",)
    card.write_certificate(0x9A, certificate(AUTHENTICATION_KEY.public_key(), serial=77, usage=usage))
    return card


@contextlib.contextmanager
def in_process(card: VirtualCard) -> Iterator[PivBench]:
    readers = VirtualReaders([READER])
    readers.insert(READER, card)
    bench = PivBench(card, readers, READER)
    bench.pull = lambda: readers.remove(READER)
    yield bench


@contextlib.contextmanager
def through_pcscd(card: VirtualCard, pcscd: PrivatePcscd) -> Iterator[PivBench]:
    with VpcdLink(card, pcscd.ports[0]) as link:
        readers, name = PcscReaders(), pcscd.reader_names[0]
        end = time.monotonic() + 10
        while not readers.states()[name].present:
            assert time.monotonic() < end
            readers.wait(readers.states(), 0.5)
        bench = PivBench(card, readers, name)

        def pull() -> None:
            link.remove()
            with contextlib.suppress(NoCard):
                while readers.states()[name].present:
                    readers.wait(readers.states(), 0.5)

        bench.pull = pull
        yield bench
        bench.close()


@pytest.fixture(params=["plain", "extended", "pcscd"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "pcscd":
        card = personalised("extended")
        with through_pcscd(card, request.getfixturevalue("private_pcscd")) as found:
            yield found
    else:
        with in_process(personalised(request.param)) as found:
            yield found


@pytest.mark.parametrize("pin", ["12345", "123456789", "12345é", "1"])
def test_what_cannot_be_a_piv_pin_does_not_begin_a_session(pin: str) -> None:
    with (
        in_process(personalised("plain")) as bench,
        pytest.raises(CardError) as caught,
        bench.open().signing(Pin(pin)),
    ):
        pytest.fail("the session began")
    assert "not tried" in caught.value.message
