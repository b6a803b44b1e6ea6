"""What is the PIV driver's own: how few exchanges it takes, what it makes of odd cards, and where PINs may go."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from renewagent.card.interface import CardConnection, KeyType, Transaction
from renewagent.errors import (
    CardDataError,
    CardError,
    CardRefused,
    CardReset,
    ManagementKeyRefused,
    PinBlocked,
    RenewAgentError,
    UnsupportedCard,
    WrongPin,
)
from renewagent.model import CardIdentity, Slot
from renewagent.pin import Pin
from renewagent_drivers import PinProtectedKey, open_card
from renewagent_drivers.piv import PivDriver
from renewagent_fixtures.readers import ExchangeCount, VirtualReaders
from renewagent_fixtures.virtual_card import PinPolicy, VirtualCard
from tests.drivers.contract import PIN, WRONG, fits
from tests.drivers.test_piv_contract import AUTHENTICATION_KEY, READER, SIGNING_KEY, personalised
from tests.made import ISSUER, certificate

SIGNING, AUTHENTICATION, CARD, RETIRED = Slot("9c"), Slot("9a"), Slot("9e"), Slot("82")
SIGNING_OBJECT, CHUID, PRINTED = 0x5FC10A, 0x5FC102, 0x5FC109
OK = b"\x90\x00"


class Wire:
    """A connection that notes every command, and lets a test answer in the card's place."""

    def __init__(self, connection: CardConnection, answer: Callable[[bytes], bytes | None] | None = None) -> None:
        self._connection, self.answer = connection, answer
        self.reader, self.atr = connection.reader, connection.atr
        self.commands: list[bytes] = []

    def transmit(self, command: bytes) -> bytes:
        self.commands.append(command)
        instead = self.answer(command) if self.answer else None
        return self._connection.transmit(command) if instead is None else instead

    def transaction(self) -> contextlib.AbstractContextManager[Transaction]:
        return self._connection.transaction()

    def close(self) -> None:
        self._connection.close()

    def verifies(self) -> int:
        return sum(command[1] == 0x20 and len(command) > 5 for command in self.commands)


def insert(card: VirtualCard, count: ExchangeCount | None = None) -> CardConnection:
    readers = VirtualReaders([READER], on_exchange=count)
    readers.insert(READER, card)
    return readers.connect(READER)


def wired(card: VirtualCard, answer: Callable[[bytes], bytes | None] | None = None) -> tuple[PivDriver, Wire]:
    wire = Wire(insert(card), answer)
    driver = open_card(wire)
    assert isinstance(driver, PivDriver)
    return driver, wire


@pytest.fixture(params=["plain", "extended"])
def card(request: pytest.FixtureRequest) -> VirtualCard:
    return personalised(request.param)


# -- reading -------------------------------------------------------------------------------------------------------


def test_the_check_takes_two_exchanges_and_few_octets(card: VirtualCard) -> None:
    count = ExchangeCount()
    assert open_card(insert(card, count)).head(SIGNING) is not None
    assert count.apdus == 2
    assert count.octets <= 420


def test_a_long_issuer_takes_one_exchange_more(card: VirtualCard) -> None:
    issuer = x509.Name([*ISSUER, *(x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60) for _ in "123")])
    card.write_certificate(0x9C, certificate(SIGNING_KEY.public_key(), issuer=issuer))
    count = ExchangeCount()
    head = open_card(insert(card, count)).head(SIGNING)
    assert head is not None and len(head.issuer) == 6
    assert count.apdus == 3


def test_a_chain_left_unfinished_does_no_harm(card: VirtualCard) -> None:
    driver = open_card(insert(card))
    for _ in range(3):
        assert driver.head(SIGNING) is not None
        assert driver.certificate(SIGNING) == card.certificate(0x9C)
        assert driver.head(AUTHENTICATION) is not None


def test_a_gzipped_certificate(card: VirtualCard) -> None:
    der = certificate(SIGNING_KEY.public_key())
    card.write_certificate(0x9C, der, gzip=True)
    count = ExchangeCount()
    driver = open_card(insert(card, count))
    head = driver.head(SIGNING)
    assert head is not None and head.serial == 0x1A2B
    assert count.apdus == 2
    assert driver.certificate(SIGNING) == der


def net_id(der: bytes, promised: int | None = None) -> bytes:
    packed = b"\x01\x00" + struct.pack("<H", len(der) if promised is None else promised) + zlib.compress(der)
    return b"\x70\x82" + struct.pack(">H", len(packed)) + packed + b"\x71\x01\x01\xfe\x00"


def test_a_certificate_packed_by_net_id(card: VirtualCard) -> None:
    der = certificate(SIGNING_KEY.public_key())
    card.write_object(SIGNING_OBJECT, net_id(der))
    driver = open_card(insert(card))
    head = driver.head(SIGNING)
    assert head is not None and head.serial == 0x1A2B
    assert driver.certificate(SIGNING) == der


def contained(value: bytes) -> bytes:
    return b"\x70\x82" + struct.pack(">H", len(value)) + value + b"\x71\x01\x00\xfe\x00"


GOOD = certificate()
GZIP = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB = GZIP.compress(b"\x30" + bytes(1 << 20)) + GZIP.flush()


@pytest.mark.parametrize(
    "content",
    [
        contained(GOOD[:-1]),
        contained(GOOD + b"\x00"),
        contained(b"no certificate"),
        contained(b"\x30\x03\x02\x01\x01"),
        contained(BOMB),
        contained(BOMB[:-8]),
        contained(b"\x1f\x8b\x08\x00garbage that is not deflated"),
        net_id(GOOD, len(GOOD) + 1),
        net_id(GOOD, len(GOOD) - 1),
        b"\x70\x82\x7f\xff" + GOOD,
        b"\x70\x84\x00\x00\x00\x01" + GOOD,
        b"\x70\x80" + GOOD,
        b"\x70",
        b"\x71\x05\x00",
        GOOD,
    ],
)
def test_broken_objects_are_told_by_head_and_certificate(content: bytes) -> None:
    card = personalised("plain")
    card.write_object(SIGNING_OBJECT, content)
    for read in (open_card(insert(card)).head, open_card(insert(card)).certificate):
        with pytest.raises(CardDataError):
            read(SIGNING)


@pytest.mark.parametrize("content", [b"\x70\x00\x71\x01\x00\xfe\x00", b"\x71\x01\x00\x70\x00\xfe\x00", b"\xfe\x00"])
def test_objects_without_a_certificate_are_empty(content: bytes) -> None:
    card = personalised("plain")
    card.write_object(SIGNING_OBJECT, content)
    driver = open_card(insert(card))
    assert driver.head(SIGNING) is None and driver.certificate(SIGNING) is None


def test_fields_in_another_order(card: VirtualCard) -> None:
    card.write_object(SIGNING_OBJECT, b"\x71\x01\x00" + contained(GOOD)[:-5] + b"\xfe\x00")
    driver = open_card(insert(card))
    assert driver.head(SIGNING) is not None
    assert driver.certificate(SIGNING) == GOOD


def test_an_object_longer_or_shorter_than_its_container_says() -> None:
    card = personalised("plain")
    whole = b"\x53\x82" + struct.pack(">H", len(contained(GOOD))) + contained(GOOD)
    for lie in (whole[:-1], whole + b"\x00", whole[1:], b"\x53\x82\x00", b"\x53\x03\x70\x01"):
        driver, _ = wired(card, lambda c, lie=lie: lie + OK if c[1] == 0xCB else None)  # type: ignore[misc]
        with pytest.raises(CardDataError):
            driver.certificate(SIGNING)


def test_retired_slots_are_asked_for_only_when_one_gets_that_far() -> None:
    card = personalised("plain")
    card.write_object(0x5FC10C, bytes.fromhex("c10102c20100fe00"))
    driver, wire = wired(card)
    slots = driver.slots()
    assert slots[0] == SIGNING and slots[1] == AUTHENTICATION
    first = iter(slots)
    assert [next(first) for _ in range(4)] == [Slot(r) for r in ("9c", "9a", "9d", "9e")]
    assert SIGNING in slots
    before = len(wire.commands)
    assert before == 1  # the SELECT of `open`
    assert slots[4:] == (Slot("82"), Slot("83"))
    assert list(slots) == [Slot(r) for r in ("9c", "9a", "9d", "9e", "82", "83")]
    assert len(slots) == 6 and slots[-1] == Slot("83") and Slot("84") not in slots
    assert len(wire.commands) - before <= 2


def test_the_first_read_does_not_trust_a_select_that_another_program_undid() -> None:
    card = personalised("plain")
    connection = insert(card)
    driver = open_card(connection)
    connection.transmit(bytes.fromhex("00a4040005a000000151"))  # some other application
    assert driver.head(SIGNING) is not None


def test_a_reset_by_another_program_is_no_trouble(card: VirtualCard) -> None:
    readers = VirtualReaders([READER])
    readers.insert(READER, card)
    driver, other = open_card(readers.connect(READER)), readers.connect(READER)

    def reset() -> None:
        with other.transaction() as transaction:
            transaction.reset_at_end()

    for errand in (driver.identity, driver.capabilities, lambda: driver.head(SIGNING), driver.slots):
        reset()
        assert errand()
    reset()
    with driver.signing(Pin(PIN)) as session:
        assert fits(SIGNING_KEY.public_key(), session.sign(SIGNING, b"x", "sha256"), b"x", "sha256")


@pytest.mark.parametrize("sw", [0x6A82, 0x6A81, 0x6A80, 0x6A88])
def test_cards_say_in_several_ways_that_an_object_is_not_there(sw: int) -> None:
    driver, _ = wired(personalised("plain"), lambda c: sw.to_bytes(2, "big") if c[1] == 0xCB else None)
    assert driver.head(SIGNING) is None
    assert driver.certificate(SIGNING) is None


def test_a_card_that_refuses_to_give_out_an_object() -> None:
    driver, _ = wired(personalised("plain"), lambda c: b"\x69\x82" if c[1] == 0xCB else None)
    with pytest.raises(CardRefused) as caught:
        driver.head(SIGNING)
    assert caught.value.sw == 0x6982


@pytest.mark.parametrize("sw", ["6a82", "6d00", "6e00", "6a86", "6999"])
def test_a_card_without_the_application(sw: str) -> None:
    wire = Wire(insert(personalised("plain")), lambda c: bytes.fromhex(sw))
    with pytest.raises(UnsupportedCard) as caught:
        open_card(wire)
    assert "PIV" in caught.value.message


def test_a_card_that_speaks_t0_and_wants_the_right_le() -> None:
    """SELECT answers 61xx, data commands without the right length 6Cxx: neither costs more than it must."""
    card = personalised("plain")

    def t0(command: bytes) -> bytes | None:
        if command[1] == 0xA4:
            return b"\x61\x3a"
        return b"\x6c\x80" if command[1] == 0xCB and command[-1] == 0 else None

    connection = insert(card)
    connection.transmit(bytes.fromhex("00a4040005a000000308"))
    wire = Wire(connection, t0)
    head = open_card(wire).head(SIGNING)
    assert head is not None and len(wire.commands) <= 5


# -- which card ----------------------------------------------------------------------------------------------------


def test_a_card_is_known_by_its_guid(card: VirtualCard) -> None:
    assert open_card(insert(card)).identity() == CardIdentity("chuid", card.guid.hex())


def test_without_a_guid_by_its_serial_number_or_its_certificate() -> None:
    for profile in ("plain", "extended"):
        card = personalised(profile)
        for content in (b"", b"\x34\x10" + bytes(16) + b"\xfe\x00", b"\x34\x7f"):
            card.write_object(CHUID, content)
            found = open_card(insert(card)).identity()
            if profile == "extended":
                assert found == CardIdentity("serial", str(card.serial))
            else:
                assert found.scheme == "certificate" and len(found.value) == 64
            card.power_off()


def test_a_card_with_nothing_to_know_it_by() -> None:
    card = VirtualCard.create(None)
    card.write_object(CHUID, b"")
    with pytest.raises(UnsupportedCard):
        open_card(insert(card)).identity()


def test_a_name_from_a_certificate_follows_the_certificate_that_we_write() -> None:
    card = personalised("plain")
    card.write_object(CHUID, b"")
    driver = open_card(insert(card))
    before = driver.identity()
    with driver.administration() as admin:
        admin.store(AUTHENTICATION, certificate(AUTHENTICATION_KEY.public_key(), serial=1234))
    assert driver.identity() != before
    with driver.signing(Pin(PIN)) as session:
        session.sign(AUTHENTICATION, b"x", "sha256")


# -- the PIN -------------------------------------------------------------------------------------------------------


def test_as_few_verifies_as_the_policies_allow(card: VirtualCard) -> None:
    driver, wire = wired(card)
    with driver.signing(Pin(PIN)) as session:
        assert wire.verifies() == driver.verifies == 0
        session.sign(AUTHENTICATION, b"x", "sha256")
        session.sign(AUTHENTICATION, b"x", "sha256")
        assert driver.verifies == 1
        session.sign(SIGNING, b"x", "sha256")
        assert driver.verifies == 2
        session.sign(AUTHENTICATION, b"x", "sha256")
        assert driver.verifies == 2
        session.sign(SIGNING, b"x", "sha256")
    assert wire.verifies() == driver.verifies == 3


def test_nothing_comes_between_verify_and_a_signature_by_9c(card: VirtualCard) -> None:
    driver, wire = wired(card)
    with driver.signing(Pin(PIN)) as session:
        session.sign(SIGNING, b"x", "sha256")
    verify = next(i for i, c in enumerate(wire.commands) if c[1] == 0x20 and len(c) > 5)
    assert wire.commands[verify + 1][1] == 0x87


def test_a_key_without_a_policy_asks_for_no_pin() -> None:
    card = personalised("extended")
    card.import_key(0x9E, AUTHENTICATION_KEY)
    card.write_certificate(0x9E, certificate(AUTHENTICATION_KEY.public_key()))
    driver, wire = wired(card)
    with driver.signing(Pin(PIN)) as session:
        signature = session.sign(CARD, b"x", "sha256")
    assert fits(AUTHENTICATION_KEY.public_key(), signature, b"x", "sha256")
    assert wire.verifies() == 0


@pytest.mark.parametrize(("slot", "policy"), [(0x9A, PinPolicy.ALWAYS), (0x9E, PinPolicy.ONCE), (0x9C, PinPolicy.ONCE)])
@pytest.mark.parametrize("profile", ["plain", "extended"])
def test_keys_with_another_policy_than_the_standards(profile: str, slot: int, policy: PinPolicy) -> None:
    """The plain card does not tell: a refused signature is asked for again after a VERIFY, once."""
    card = personalised(profile)
    card.import_key(slot, AUTHENTICATION_KEY, policy)
    card.write_certificate(slot, certificate(AUTHENTICATION_KEY.public_key()))
    with wired(card)[0].signing(Pin(PIN)) as session:
        for _ in range(2):
            signature = session.sign(Slot(f"{slot:02x}"), b"x", "sha256")
            assert fits(AUTHENTICATION_KEY.public_key(), signature, b"x", "sha256")


def test_a_refused_pin_is_not_sent_for_the_second_try() -> None:
    card = personalised("plain")
    card.import_key(0x9E, AUTHENTICATION_KEY, PinPolicy.ONCE)
    card.write_certificate(0x9E, certificate(AUTHENTICATION_KEY.public_key()))
    driver, wire = wired(card)
    with driver.signing(Pin(WRONG)) as session:
        for _ in range(3):
            with pytest.raises(WrongPin):
                session.sign(CARD, b"x", "sha256")
    assert wire.verifies() == 1 and card.pin_tries == 2


def test_a_card_that_never_signs_is_not_asked_for_ever() -> None:
    driver, wire = wired(personalised("plain"), lambda c: b"\x69\x82" if c[1] == 0x87 else None)
    with driver.signing(Pin(PIN)) as session, pytest.raises(CardRefused) as caught:
        session.sign(AUTHENTICATION, b"x", "sha256")
    assert caught.value.sw == 0x6982
    assert wire.verifies() == 1


def test_the_try_that_locks_the_card_says_so() -> None:
    driver, _ = wired(personalised("plain"), lambda c: b"\x63\xc0" if c[1] == 0x20 and len(c) > 5 else None)
    with driver.signing(Pin(WRONG)) as session, pytest.raises(PinBlocked):
        session.sign(SIGNING, b"x", "sha256")


def test_pin_tries_are_told_without_spending_one(card: VirtualCard) -> None:
    driver = wired(card)[0]
    assert driver.pin_tries() == 3
    card.set_pin_tries(0)
    assert driver.pin_tries() == 0
    card.set_pin_tries(2)
    with driver.signing(Pin(PIN)) as session:
        session.sign(AUTHENTICATION, b"x", "sha256")
    assert driver.pin_tries() == 3


def no_log_out(command: bytes) -> bytes | None:
    """A card from before P1 = FF."""
    return b"\x6a\x86" if command[1:3] == b"\x20\xff" else None


def test_a_card_that_cannot_log_out_is_reset() -> None:
    readers = VirtualReaders([READER])
    readers.insert(READER, personalised("plain"))
    driver, other = open_card(Wire(readers.connect(READER), no_log_out)), readers.connect(READER)
    other.transmit(bytes.fromhex("00a4040005a000000308"))
    with driver.signing(Pin(PIN)) as session:
        session.sign(AUTHENTICATION, b"x", "sha256")
    with pytest.raises(CardReset):
        other.transmit(bytes.fromhex("00200080"))
    other.transmit(bytes.fromhex("00a4040005a000000308"))
    assert other.transmit(bytes.fromhex("00200080")) == b"\x63\xc3"


def test_another_programs_login_goes_by_a_reset_where_it_must() -> None:
    card = personalised("plain")
    readers = VirtualReaders([READER])
    readers.insert(READER, card)
    driver, other = open_card(Wire(readers.connect(READER), no_log_out)), readers.connect(READER)
    other.transmit(bytes.fromhex("00a4040005a000000308"))
    assert other.transmit(bytes.fromhex("0020008008313233343536ffff")) == OK
    card.set_pin_tries(1)
    with pytest.raises(RenewAgentError) as caught, driver.signing(Pin(WRONG)):
        pytest.fail("the session began")
    assert caught.value.code == "RA-PIN-LAST-TRY"


def test_the_pin_is_in_no_error_and_no_repr(card: VirtualCard) -> None:
    with wired(card)[0].signing(Pin("837465")) as session:
        with pytest.raises(WrongPin) as caught:
            session.sign(SIGNING, b"x", "sha256")
        shown = repr(session) + repr(vars(session)) + str(caught.value) + repr(caught.value.__dict__)
    assert "837465" not in shown


def test_empty_slots_do_not_sign(card: VirtualCard) -> None:
    driver, wire = wired(card)
    with driver.signing(Pin(PIN)) as session, pytest.raises(CardRefused):
        session.sign(Slot("9d"), b"x", "sha256")
    assert wire.verifies() == 0


def test_a_key_of_an_unknown_kind_does_not_sign() -> None:
    card = personalised("plain")
    card.write_certificate(0x9C, certificate(ec.generate_private_key(ec.SECP521R1()).public_key()))
    driver, wire = wired(card)
    with driver.signing(Pin(PIN)) as session, pytest.raises(UnsupportedCard):
        session.sign(SIGNING, b"x", "sha256")
    assert wire.verifies() == 0


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256", "p384"])
@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
def test_every_kind_of_key_with_every_hash(kind: str, hash_name: str) -> None:
    card = VirtualCard.create(None, profile="plain")
    key = KEYS[kind]
    card.import_key(0x9C, key)
    card.write_certificate(0x9C, certificate(key.public_key()))
    with wired(card)[0].signing(Pin(PIN)) as session:
        assert fits(key.public_key(), session.sign(SIGNING, b"data", hash_name), b"data", hash_name)


KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {
    "rsa2048": SIGNING_KEY,
    "rsa3072": rsa.generate_private_key(65537, 3072),
    "p256": AUTHENTICATION_KEY,
    "p384": ec.generate_private_key(ec.SECP384R1()),
}


# -- administration ------------------------------------------------------------------------------------------------


class Given:
    """A management key that a test gives."""

    needs_pin = False

    def __init__(self, key: bytes) -> None:
        self._key = key

    def obtain(self, read_from_card: object) -> bytes:
        return self._key


@pytest.mark.parametrize("profile", ["plain", "extended"])
@pytest.mark.parametrize(("algorithm", "length"), [(0x03, 24), (0x08, 16), (0x0A, 24), (0x0C, 32)])
def test_every_kind_of_management_key(profile: str, algorithm: int, length: int) -> None:
    key = bytes(range(1, length + 1))
    card = VirtualCard.create(None, profile=profile, management_key=key, management_algorithm=algorithm)
    with open_card(insert(card), management_key=Given(key)).administration() as admin:
        admin.store(SIGNING, GOOD)
    assert card.certificate(0x9C) == GOOD
    for wrong in (key[::-1], bytes(16), bytes(range(32)), b"", bytes(24)):
        card.power_off()
        with pytest.raises(ManagementKeyRefused), open_card(insert(card), management_key=Given(wrong)).administration():
            pytest.fail("the session began")


def test_a_card_that_does_not_know_its_own_management_key_is_refused() -> None:
    """It accepts whatever we prove, and cannot prove the same."""

    def impostor(command: bytes) -> bytes | None:
        if command[1:4] != b"\x87\x03\x9b":
            return None
        inner = b"\x80\x08" + bytes(8) if len(command) < 12 else b"\x82\x08" + bytes(8)
        return b"\x7c\x0a" + inner + OK

    driver, _ = wired(personalised("plain"), impostor)
    with pytest.raises(ManagementKeyRefused) as caught, driver.administration():
        pytest.fail("the session began")
    assert "does not know" in caught.value.message


def protected(card: VirtualCard, key: bytes) -> None:
    inner = b"\x89" + bytes((len(key),)) + key
    card.write_object(PRINTED, b"\x88" + bytes((len(inner),)) + inner)


def test_a_management_key_behind_the_pin() -> None:
    key = bytes(range(50, 74))
    card = VirtualCard.create(None, profile="extended", management_key=key)
    protected(card, key)
    driver = open_card(insert(card), management_key=PinProtectedKey())
    with driver.administration(Pin(PIN)) as admin:
        public_key = load_der_public_key(admin.generate(SIGNING, KeyType.P256))
    assert public_key == card.public_key(0x9C)
    for pin, error in ((None, ManagementKeyRefused), (Pin(WRONG), WrongPin), (Pin("1"), CardError)):
        with pytest.raises(error), driver.administration(pin):
            pytest.fail("the session began")
    assert card.pin_tries == 2
    card.set_pin_tries(1)
    with pytest.raises(RenewAgentError) as caught, driver.administration(Pin(WRONG)):
        pytest.fail("the session began")
    assert caught.value.code == "RA-PIN-LAST-TRY"


@pytest.mark.parametrize("content", [b"", b"\x88\x00", b"\x88\x05\x89\x03abc", b"\x01\x02ab"])
def test_no_management_key_behind_the_pin(content: bytes) -> None:
    card = personalised("plain")
    card.write_object(PRINTED, content)
    driver = open_card(insert(card), management_key=PinProtectedKey())
    with pytest.raises(CardError), driver.administration(Pin(PIN)):
        pytest.fail("the session began")


def test_a_staging_key_wants_the_pin_for_each_signature() -> None:
    card = personalised("extended")
    driver, wire = wired(card)
    with driver.administration() as admin:
        key = load_der_public_key(admin.generate(RETIRED, KeyType.P256))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    with driver.signing(Pin(PIN)) as session:
        for _ in range(2):
            assert fits(key, session.sign(RETIRED, b"x", "sha256"), b"x", "sha256")
    assert wire.verifies() == 2


@pytest.mark.parametrize(("sw", "words"), [("6a84", "no room"), ("6985", "6985")])
def test_a_certificate_that_the_card_does_not_take(sw: str, words: str) -> None:
    driver, _ = wired(personalised("plain"), lambda c: bytes.fromhex(sw) if c[1] == 0xDB else None)
    with driver.administration() as admin, pytest.raises(CardRefused) as caught:
        admin.store(SIGNING, GOOD)
    assert words in caught.value.message


@pytest.mark.parametrize(
    "answer", ["", "7f4900", "7f49028600", "7f4943864104" + "11" * 64, "7f4906810200118201", "7f4908810200118202ffff"]
)
def test_a_new_key_that_makes_no_sense(answer: str) -> None:
    driver, _ = wired(personalised("plain"), lambda c: bytes.fromhex(answer) + OK if c[1] == 0x47 else None)
    for key_type in (KeyType.P256, KeyType.RSA2048):
        with driver.administration() as admin, pytest.raises(CardDataError):
            admin.generate(SIGNING, key_type)


def test_a_card_that_makes_no_key() -> None:
    driver, _ = wired(personalised("plain"), lambda c: b"\x6a\x80" if c[1] == 0x47 else None)
    with driver.administration() as admin, pytest.raises(CardRefused):
        admin.generate(SIGNING, KeyType.RSA3072)


# -- odd cards -----------------------------------------------------------------------------------------------------


def test_what_an_extended_card_can_do() -> None:
    card = personalised("extended")
    found = open_card(insert(card)).capabilities()
    assert found.model == "piv"
    assert found.staging == (Slot("82"), Slot("83"))
    assert found.attestation
    assert found.extensions["VERSION"] == "5.4.3"
    assert found.extensions["SERIAL"] == str(card.serial)
    assert {"METADATA", "MOVE KEY", "ATTEST"} <= set(found.extensions)


def test_what_a_plain_card_can_do() -> None:
    found = open_card(insert(personalised("plain"))).capabilities()
    assert (found.staging, found.attestation, found.extensions) == ((), False, {})
    assert found.rekey_in_place


def test_only_slots_that_are_proven_free_serve_for_staging() -> None:
    card = personalised("extended")
    card.import_key(0x82, AUTHENTICATION_KEY)
    card.write_certificate(0x84, GOOD)
    assert open_card(insert(card)).capabilities().staging == (Slot("83"), Slot("85"))
    assert card.key_slots == (0x82, 0x9A, 0x9C)


@pytest.mark.parametrize("odd", ["9000", "6f00", "01029000", "ffffffffff9000", "6300", "01009000", "6982"])
def test_odd_answers_to_extensions_mean_no_and_never_an_error(odd: str) -> None:
    driver, _ = wired(personalised("plain"), lambda c: bytes.fromhex(odd) if c[1] in range(0xF0, 0x100) else None)
    found = driver.capabilities()
    assert found.staging == () and "VERSION" not in found.extensions
    with driver.signing(Pin(PIN)) as session:
        assert fits(SIGNING_KEY.public_key(), session.sign(SIGNING, b"x", "sha256"), b"x", "sha256")
    with driver.administration() as admin:
        admin.store(SIGNING, GOOD)


@given(answers=st.lists(st.binary(max_size=40), max_size=30), rest=st.sampled_from([b"", b"\x90\x00", b"\x61\x10"]))
def test_a_card_that_talks_nonsense_ends_in_one_of_our_errors(answers: list[bytes], rest: bytes) -> None:
    queue = iter(answers)
    wire = Wire(insert(NONSENSE), lambda c: OK if c[1] == 0xA4 else next(queue, rest))
    driver = PivDriver.open(wire)
    errands: list[Callable[[], object]] = [
        lambda: driver.head(SIGNING),
        lambda: driver.certificate(SIGNING),
        lambda: list(driver.slots()),
        driver.pin_tries,
        driver.identity,
        driver.capabilities,
        lambda: sign(driver),
        lambda: administer(driver),
    ]
    for errand in errands:
        with contextlib.suppress(RenewAgentError):
            errand()


NONSENSE = VirtualCard.create(None)


def sign(driver: PivDriver) -> None:
    with driver.signing(Pin(PIN)) as session:
        session.sign(SIGNING, b"x", "sha256")


def administer(driver: PivDriver) -> None:
    with driver.administration() as admin:
        admin.generate(SIGNING, KeyType.P256)


# -- the house -----------------------------------------------------------------------------------------------------


def test_reading_and_signing_load_no_cryptography(tmp_path: Path) -> None:
    program = (
        "import sys, renewagent_drivers, renewagent_drivers.piv, renewagent.card.pcsc\n"
        "print([m for m in ('cryptography', 'asn1crypto', 'ssl', 'asyncio') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.strip() == "[]"
