"""Our PKCS#11 driver with somebody else's module: OpenSC's, over the virtual PIV card, through a real pcscd.

PIV's signature key wants the PIN for every signature (CKA_ALWAYS_AUTHENTICATE), and here the tries are a card's own.
openssl has the last word on signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.card.interface import Transaction
from renewagent.card.pcsc import PcscReaders
from renewagent.errors import CardRemoved, DifferentCard, LastPinTry, PinBlocked, UnsupportedCard, WrongPin
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import drivers, open_card
from renewagent_drivers.piv import PivDriver
from renewagent_drivers.pkcs11 import Pkcs11Cards, Pkcs11Driver
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.interop.cards import PIN, CardInReader, inserted_card, verify
from tests.made import certificate
from tests.pcsc import until
from tests.programs import missing

WRONG = "999999"
SIGNING, AUTHENTICATION = Slot("02"), Slot("01")
"""OpenSC numbers PIV's keys: 9A is 01, 9C is 02."""
KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {
    "rsa2048": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}


@pytest.fixture(scope="session")
def opensc_module() -> Path:
    for place in ("/usr/lib", "/usr/lib64", "/usr/local/lib"):
        for found in sorted(Path(place).glob("**/opensc-pkcs11.so")):
            return found
    missing("OpenSC's PKCS#11 module is not installed")


def personalised(key_type: str) -> VirtualCard:
    card = VirtualCard.create(None, profile="plain")
    for slot, usage, serial in ((0x9A, "digital_signature", 77), (0x9C, "content_commitment", 0x1A2B)):
        card.import_key(slot, KEYS[key_type])
        card.write_certificate(slot, certificate(KEYS[key_type].public_key(), serial=serial, usage=(usage,)))
    return card


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache of an earlier card, no configuration of the machine's user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(params=KEYS)
def card(request: pytest.FixtureRequest, private_pcscd: PrivatePcscd, home: Path) -> Iterator[CardInReader]:
    with inserted_card(personalised(request.param), private_pcscd, home) as there:
        yield there


def opened(card: CardInReader, module: Path) -> Pkcs11Driver:
    return Pkcs11Cards(module).open(PcscReaders().connect(card.reader))


def test_a_card_is_read(card: CardInReader, opensc_module: Path) -> None:
    driver = opened(card, opensc_module)
    assert list(driver.slots()) == [SIGNING, AUTHENTICATION]
    for slot, reference in ((SIGNING, 0x9C), (AUTHENTICATION, 0x9A)):
        assert driver.certificate(slot) == card.card.certificate(reference)
        head = driver.head(slot)
        assert head is not None and head.serial_hex == ("1a2b" if slot == SIGNING else "4d")
    assert driver.certificate(Slot("03")) is None
    assert driver.identity().scheme == "token"
    assert bytes.fromhex(driver.identity().value).decode() == card.card.guid.hex()[16:]
    assert driver.identity() == opened(card, opensc_module).identity()


@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
def test_it_signs(card: CardInReader, opensc_module: Path, hash_name: str) -> None:
    key = card.card.public_key(0x9C)
    assert key is not None
    public = card.work / "key.pem"
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    data, signature = card.data(), card.work / "signature"
    driver = opened(card, opensc_module)
    with driver.signing(Pin(PIN)) as session:
        for slot in (SIGNING, AUTHENTICATION, SIGNING):
            signature.write_bytes(session.sign(slot, data.read_bytes(), hash_name))
            verify(public, signature, data, f"-{hash_name}")
    assert card.card.pin_tries == 3


def test_nobody_is_logged_in_afterwards(card: CardInReader, opensc_module: Path) -> None:
    with opened(card, opensc_module).signing(Pin(PIN)) as session:
        session.sign(AUTHENTICATION, b"x", "sha256")
    connection = PcscReaders().connect(card.reader)
    with connection.transaction():
        connection.transmit(bytes.fromhex("00a4040005a000000308"))
        assert connection.transmit(bytes.fromhex("00200080"))[-2:-1] == b"\x63"
    connection.close()


def test_tries_are_the_cards(private_pcscd: PrivatePcscd, home: Path, opensc_module: Path) -> None:
    with inserted_card(personalised("p256"), private_pcscd, home) as card:
        driver = opened(card, opensc_module)
        assert driver.pin_tries() is None
        with driver.signing(Pin(WRONG)) as session:
            for _ in range(2):
                with pytest.raises(WrongPin) as caught:
                    session.sign(SIGNING, b"x", "sha256")
                assert caught.value.tries_left == 2
        assert card.card.pin_tries == 2
        card.card.set_pin_tries(1)
        with pytest.raises(LastPinTry), opened(card, opensc_module).signing(Pin(PIN)):
            pytest.fail("the session began")
        card.card.set_pin_tries(0)
        with pytest.raises(PinBlocked), opened(card, opensc_module).signing(Pin(PIN)):
            pytest.fail("the session began")
        assert card.card.pin_tries == 0


def test_a_card_that_is_pulled_out_and_another_that_is_put_in(
    private_pcscd: PrivatePcscd, home: Path, opensc_module: Path
) -> None:
    stranger = personalised("p256")
    with inserted_card(personalised("p256"), private_pcscd, home) as card:
        driver = opened(card, opensc_module)
    readers = PcscReaders()
    until(lambda: not readers.states()[card.reader].present)
    with pytest.raises(CardRemoved):
        driver.head(SIGNING)
    with VpcdLink(stranger, private_pcscd.ports[0]):
        until(lambda: readers.states()[card.reader].present)
        with pytest.raises(DifferentCard), driver.signing(Pin(WRONG)):
            pytest.fail("the session began")
    assert stranger.pin_tries == 3


def test_two_cards_in_two_readers_are_not_mixed_up(
    private_pcscd: PrivatePcscd, home: Path, opensc_module: Path
) -> None:
    other = personalised("p384")
    with inserted_card(personalised("p256"), private_pcscd, home) as card, VpcdLink(other, private_pcscd.ports[1]):
        readers, name = PcscReaders(), private_pcscd.reader_names[1]
        until(lambda: readers.states()[name].present)
        assert Pkcs11Cards(opensc_module).open(readers.connect(name)).certificate(SIGNING) == other.certificate(0x9C)
        assert opened(card, opensc_module).certificate(SIGNING) == card.card.certificate(0x9C)
        with pytest.raises(UnsupportedCard):
            Pkcs11Cards(opensc_module).open(NowhereConnection())


class NowhereConnection:
    """A connection to a reader that the module does not know; speaking over it is a mistake."""

    reader, atr = "Nowhere 00 00", b""

    def transmit(self, command: bytes) -> bytes:
        raise AssertionError("the driver speaks through its module")

    def transaction(self) -> AbstractContextManager[Transaction]:
        raise AssertionError("a transaction of ours would lock the module out")

    def close(self) -> None:
        """Nothing is held."""


def test_a_piv_card_is_the_piv_drivers_also_where_a_module_is_configured(
    private_pcscd: PrivatePcscd, home: Path, opensc_module: Path
) -> None:
    with inserted_card(personalised("p256"), private_pcscd, home) as card:
        connection = PcscReaders().connect(card.reader)
        assert isinstance(open_card(connection, among=drivers(opensc_module)), PivDriver)
