"""The drivers' contract, kept by the PKCS#11 driver on a soft token, with keys that want the PIN once and always."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from renewagent.card.interface import AdminSession, CardConnection, CardDriver, Transaction
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import open_card
from renewagent_drivers.pkcs11 import Pkcs11Cards, Pkcs11Driver
from renewagent_fixtures.soft_token import SoftTokens
from renewagent_fixtures.soft_token.readers import SoftReaders
from tests.drivers.contract import *  # noqa: F403
from tests.drivers.contract import PIN, Bench
from tests.made import certificate
from tests.soft import OtherProgram

SIGNING_KEY = rsa.generate_private_key(65537, 2048)
AUTHENTICATION_KEY = ec.generate_private_key(ec.SECP256R1())
READER, OTHER_READER = "Desk Reader 00 00", "Desk Reader 01 00"


class SoftBench:
    """See `contract.Bench`; the other program is python-pkcs11 by itself."""

    signing_slot, authentication_slot, empty_slot = Slot("0a01"), Slot("0a02"), Slot("0a03")

    def __init__(self, tokens: SoftTokens, *, always: bool) -> None:
        self.tokens = tokens
        self.serial = self.personalised(always=always)
        tokens.insert(READER, self.serial)
        self.other = OtherProgram(tokens, self.serial)
        self.cards = Pkcs11Cards(tokens.module)

    def personalised(self, *, always: bool) -> str:
        serial = self.tokens.create()
        self.tokens.insert(OTHER_READER, serial)
        bureau = OtherProgram(self.tokens, serial)
        bureau.starts_afresh()
        bureau.imports("0a02", AUTHENTICATION_KEY, authentication_certificate())
        bureau.imports("0a01", SIGNING_KEY, certificate(SIGNING_KEY.public_key()), always=always)
        self.tokens.remove(OTHER_READER)
        return serial

    def connect(self, reader: str = READER) -> CardConnection:
        return SoftReaders(self.tokens).connect(reader)

    def open(self) -> CardDriver:
        return open_card(self.connect(), among=(self.cards.open,))

    def administration(self, driver: CardDriver) -> contextlib.AbstractContextManager[AdminSession]:
        return driver.administration(Pin(PIN))

    def administration_without_rights(self) -> contextlib.AbstractContextManager[AdminSession]:
        return self.open().administration(None)

    def slot_for_new_key(self, driver: CardDriver) -> Slot:
        assert isinstance(driver, Pkcs11Driver)
        return driver.fresh_slot()

    @contextlib.contextmanager
    def swapped(self) -> Iterator[CardDriver]:
        stranger = self.personalised(always=False)
        self.tokens.insert(OTHER_READER, stranger)
        plug = Plug(self.connect())
        driver = open_card(plug, among=(self.cards.open,))
        driver.identity()
        plug.reader = OTHER_READER
        yield driver
        assert self.tokens.tries(stranger) == 3

    def certificate(self, slot: Slot) -> bytes | None:
        return self.other.certificate(slot.reference)

    def spoil(self, slot: Slot) -> None:
        der = self.other.certificate(slot.reference)
        assert der is not None and der[:2] == b"\x30\x82"
        length = int.from_bytes(der[2:4], "big") + 1
        self.other.writes(slot.reference, der[:2] + length.to_bytes(2, "big") + der[4:])

    def public_key(self, slot: Slot) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        return self.other.public_key(slot.reference)

    def tries(self) -> int:
        return self.tokens.tries(self.serial)

    def leave_tries(self, tries: int) -> None:
        self.tokens.leave_tries(self.serial, tries)

    def other_program_may_sign(self) -> bool:
        return self.other.sees_private_keys()

    def other_program_may_generate(self) -> bool:
        return self.other.may_generate()

    def other_program_logs_in(self) -> None:
        self.other.logs_in()

    def remove(self) -> None:
        self.tokens.remove(READER)


class Plug:
    """A connection that can be put into another reader behind the driver's back."""

    def __init__(self, leads_to: CardConnection) -> None:
        self._leads_to = leads_to
        self.reader, self.atr = leads_to.reader, leads_to.atr

    def transmit(self, command: bytes) -> bytes:
        return self._leads_to.transmit(command)

    def transaction(self) -> contextlib.AbstractContextManager[Transaction]:
        return self._leads_to.transaction()

    def close(self) -> None:
        self._leads_to.close()


def authentication_certificate() -> bytes:
    return certificate(AUTHENTICATION_KEY.public_key(), serial=77, usage=("digital_signature",))


@pytest.fixture(params=["once", "always"])
def bench(request: pytest.FixtureRequest, soft_tokens: SoftTokens) -> Bench:
    return SoftBench(soft_tokens, always=request.param == "always")
