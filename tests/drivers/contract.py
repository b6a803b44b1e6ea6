"""What every driver promises, whatever card it speaks to: one list, run over each driver by its own `bench`.

A driver's test module imports everything here and defines the fixture `bench`: a card with a signing and an
authentication certificate, seen from outside the driver. See `Bench`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from renewagent.card.interface import AdminSession, CardDriver, KeyType
from renewagent.errors import (
    CardDataError,
    CardError,
    CardRemoved,
    DifferentCard,
    LastPinTry,
    ManagementKeyRefused,
    PinBlocked,
    WrongPin,
)
from renewagent.model import Slot
from renewagent.pin import Pin
from tests.made import certificate

PIN, WRONG = "123456", "999999"
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Bench(Protocol):
    """A card on the bench. PIN 123456, three tries; what is asked here is not asked through the driver."""

    signing_slot: Slot
    authentication_slot: Slot
    empty_slot: Slot

    def open(self) -> CardDriver:
        """A fresh driver on a fresh connection, with the right management key."""

    def administration(self, driver: CardDriver) -> AbstractContextManager[AdminSession]:
        """The driver's, with the PIN where it wants one."""

    def administration_without_rights(self) -> AbstractContextManager[AdminSession]:
        """A fresh driver's, which the card does not let administer: the wrong management key, or none."""

    def slot_for_new_key(self, driver: CardDriver) -> Slot:
        """Where the driver is to make a new signing key: in place of the old, or beside it."""

    def swapped(self) -> AbstractContextManager[CardDriver]:
        """A driver that has read its card's identity, and whose connection now leads to another card."""

    def certificate(self, slot: Slot) -> bytes | None:
        """What is in the slot."""

    def spoil(self, slot: Slot) -> None:
        """Make the length of the certificate in the slot a lie."""

    def public_key(self, slot: Slot) -> PublicKey:
        """The public half of the key in the slot."""

    def tries(self) -> int:
        """PIN tries left."""

    def leave_tries(self, tries: int) -> None:
        """Leave so many."""

    def other_program_may_sign(self) -> bool:
        """Whether another program, without a PIN, gets a signature by the authentication key."""

    def other_program_may_generate(self) -> bool:
        """Whether another program, without the management key, gets a new key."""

    def other_program_logs_in(self) -> None:
        """Another program presents the PIN, and stays logged in."""

    def remove(self) -> None:
        """Take the card out."""


def fits(key: PublicKey, signature: bytes, data: bytes, hash_name: str) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), HASHES[hash_name])
        else:
            key.verify(signature, data, ec.ECDSA(HASHES[hash_name]))
    except InvalidSignature:
        return False
    return True


def test_a_card_has_one_identity(bench: Bench) -> None:
    driver = bench.open()
    assert driver.identity() == driver.identity() == bench.open().identity()
    assert driver.identity().value


def test_the_head_agrees_with_the_certificate(bench: Bench) -> None:
    for slot in (bench.signing_slot, bench.authentication_slot):
        der = bench.certificate(slot)
        assert der is not None
        truth = x509.load_der_x509_certificate(der)
        head = bench.open().head(slot)
        assert head is not None
        assert head.serial == truth.serial_number
        assert (head.not_before, head.not_after) == (truth.not_valid_before_utc, truth.not_valid_after_utc)


def test_the_certificate_is_read_octet_for_octet(bench: Bench) -> None:
    driver = bench.open()
    for slot in (bench.signing_slot, bench.authentication_slot):
        assert driver.certificate(slot) == bench.certificate(slot)


def test_an_empty_slot_is_none(bench: Bench) -> None:
    driver = bench.open()
    assert driver.head(bench.empty_slot) is None
    assert driver.certificate(bench.empty_slot) is None
    assert bench.open().head(bench.empty_slot) is None


def test_the_signing_slot_comes_first(bench: Bench) -> None:
    slots = bench.open().slots()
    assert slots[0] == bench.signing_slot
    assert bench.authentication_slot in slots
    assert len(set(slots)) == len(slots)


def test_a_lying_length_is_told(bench: Bench) -> None:
    bench.spoil(bench.signing_slot)
    for read in (bench.open().head, bench.open().certificate):
        with pytest.raises(CardDataError):
            read(bench.signing_slot)


@pytest.mark.parametrize("hash_name", HASHES)
def test_signatures_verify(bench: Bench, hash_name: str) -> None:
    with bench.open().signing(Pin(PIN)) as session:
        for slot in (bench.signing_slot, bench.authentication_slot, bench.signing_slot):
            assert fits(bench.public_key(slot), session.sign(slot, b"data", hash_name), b"data", hash_name)


def test_other_hashes_are_not_signed(bench: Bench) -> None:
    with bench.open().signing(Pin(PIN)) as session, pytest.raises(ValueError, match="sha1"):
        session.sign(bench.signing_slot, b"data", "sha1")


def test_a_wrong_pin_costs_one_try_however_often_it_is_used(bench: Bench) -> None:
    with bench.open().signing(Pin(WRONG)) as session:
        for slot in (bench.signing_slot, bench.signing_slot, bench.authentication_slot):
            with pytest.raises(WrongPin) as caught:
                session.sign(slot, b"data", "sha256")
            assert caught.value.tries_left == 2
    assert bench.tries() == 2


def test_the_right_pin_gives_the_tries_back(bench: Bench) -> None:
    bench.leave_tries(2)
    with bench.open().signing(Pin(PIN)) as session:
        session.sign(bench.authentication_slot, b"data", "sha256")
    assert bench.tries() == 3


@pytest.mark.parametrize("pin", [PIN, WRONG])
def test_the_last_try_is_not_spent(bench: Bench, pin: str) -> None:
    bench.leave_tries(1)
    with pytest.raises(LastPinTry), bench.open().signing(Pin(pin)):
        pytest.fail("the session began")
    assert bench.tries() == 1


def test_the_last_try_is_not_spent_where_another_program_is_logged_in(bench: Bench) -> None:
    bench.other_program_logs_in()
    bench.leave_tries(1)
    with pytest.raises(LastPinTry), bench.open().signing(Pin(WRONG)):
        pytest.fail("the session began")
    assert bench.tries() == 1


def test_a_blocked_pin_is_told(bench: Bench) -> None:
    bench.leave_tries(0)
    with pytest.raises(PinBlocked), bench.open().signing(Pin(PIN)):
        pytest.fail("the session began")


@pytest.mark.parametrize("pin", ["12345", "123456789", "12345é", "1"])
def test_what_cannot_be_a_pin_costs_nothing(bench: Bench, pin: str) -> None:
    with pytest.raises(CardError) as caught, bench.open().signing(Pin(pin)) as session:
        session.sign(bench.signing_slot, b"data", "sha256")
    assert not isinstance(caught.value, WrongPin)
    assert bench.tries() == 3


def test_nobody_is_logged_in_afterwards(bench: Bench) -> None:
    driver = bench.open()
    with driver.signing(Pin(PIN)) as session:
        session.sign(bench.signing_slot, b"data", "sha256")
        session.sign(bench.authentication_slot, b"data", "sha256")
    assert not bench.other_program_may_sign()
    with driver.signing(Pin(PIN)):
        pass
    assert not bench.other_program_may_sign()


def test_nobody_is_logged_in_after_an_accident(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError), bench.open().signing(Pin(PIN)) as session:
        session.sign(bench.authentication_slot, b"data", "sha256")
        raise ZeroDivisionError
    assert not bench.other_program_may_sign()


def test_another_programs_login_does_not_outlive_our_session(bench: Bench) -> None:
    bench.other_program_logs_in()
    assert bench.other_program_may_sign()
    with bench.open().signing(Pin(PIN)):
        pass
    assert not bench.other_program_may_sign()


@pytest.mark.parametrize("key_type", KeyType)
def test_a_new_key_and_its_certificate(bench: Bench, key_type: KeyType) -> None:
    driver = bench.open()
    slot = bench.slot_for_new_key(driver)
    with bench.administration(driver) as admin:
        public_key = load_der_public_key(admin.generate(slot, key_type))
        assert isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        der = certificate(public_key)
        admin.store(slot, der)
    assert public_key == bench.public_key(slot)
    assert driver.certificate(slot) == der == bench.certificate(slot)
    for signer in (driver, bench.open()):
        with signer.signing(Pin(PIN)) as session:
            signature = session.sign(slot, b"trial", "sha256")
        assert fits(public_key, signature, b"trial", "sha256")


def test_a_new_key_signs_before_it_has_a_certificate(bench: Bench) -> None:
    driver = bench.open()
    slot = bench.slot_for_new_key(driver)
    with bench.administration(driver) as admin:
        public_key = load_der_public_key(admin.generate(slot, KeyType.P256))
        admin.store(slot, None)
    assert driver.certificate(slot) is None
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    with driver.signing(Pin(PIN)) as session:
        assert fits(public_key, session.sign(slot, b"x", "sha256"), b"x", "sha256")


def test_a_card_that_keeps_its_keys_apart_keeps_the_old_one(bench: Bench) -> None:
    driver = bench.open()
    before, old = bench.certificate(bench.signing_slot), bench.public_key(bench.signing_slot)
    with bench.administration(driver) as admin:
        admin.generate(bench.slot_for_new_key(driver), KeyType.P256)
    if driver.capabilities().rekey_in_place:
        assert bench.public_key(bench.signing_slot) != old
        return
    assert (bench.certificate(bench.signing_slot), bench.public_key(bench.signing_slot)) == (before, old)
    with driver.signing(Pin(PIN)) as session:
        assert fits(old, session.sign(bench.signing_slot, b"x", "sha256"), b"x", "sha256")


def test_storing_does_not_touch_the_key(bench: Bench) -> None:
    before = bench.public_key(bench.signing_slot)
    driver, der = bench.open(), certificate(before, serial=99)
    with bench.administration(driver) as admin:
        admin.store(bench.signing_slot, der)
    assert driver.certificate(bench.signing_slot) == der == bench.certificate(bench.signing_slot)
    assert bench.public_key(bench.signing_slot) == before


def test_nobody_administers_afterwards(bench: Bench) -> None:
    driver = bench.open()
    with bench.administration(driver) as admin:
        admin.store(bench.empty_slot, certificate())
    assert not bench.other_program_may_generate()
    with pytest.raises(ZeroDivisionError), bench.administration(driver):
        raise ZeroDivisionError
    assert not bench.other_program_may_generate()
    assert driver.head(bench.empty_slot) is not None


def test_who_has_no_right_to_administer_is_refused(bench: Bench) -> None:
    before = bench.public_key(bench.signing_slot)
    with pytest.raises(ManagementKeyRefused), bench.administration_without_rights():
        pytest.fail("the session began")
    assert bench.public_key(bench.signing_slot) == before


def test_another_card_is_noticed_before_it_is_touched(bench: Bench) -> None:
    with bench.swapped() as driver:
        with pytest.raises(DifferentCard), driver.signing(Pin(WRONG)):
            pytest.fail("the session began")
        with pytest.raises(DifferentCard), bench.administration(driver):
            pytest.fail("the session began")


def test_a_card_that_is_gone_is_told(bench: Bench) -> None:
    driver = bench.open()
    bench.remove()
    with pytest.raises(CardRemoved):
        driver.head(bench.signing_slot)
    with pytest.raises(CardRemoved), driver.signing(Pin(PIN)):
        pytest.fail("the session began")


def test_a_card_that_goes_in_the_middle_is_told(bench: Bench) -> None:
    with pytest.raises(CardRemoved), bench.open().signing(Pin(PIN)) as session:
        session.sign(bench.authentication_slot, b"x", "sha256")
        bench.remove()
        session.sign(bench.signing_slot, b"x", "sha256")


def test_capabilities_are_probed_without_a_trace(bench: Bench) -> None:
    driver = bench.open()
    first = driver.capabilities()
    assert driver.capabilities() is first
    assert first.rekey_in_place or first.second_key or first.staging
    assert bench.tries() == 3
    for slot in first.staging:
        assert bench.certificate(slot) is None
    assert bench.certificate(bench.signing_slot) is not None
