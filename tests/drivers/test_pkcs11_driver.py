"""What the PKCS#11 driver does beyond the contract: second keys, odd tokens, bad modules, cuts."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import Attribute, ObjectClass

from renewagent.agent.workstation import card_opener
from renewagent.card.interface import KeyType
from renewagent.certificates import read_certificate
from renewagent.configuration import CardSettings
from renewagent.errors import (
    CardDataError,
    CardError,
    CardRefused,
    CardRemoved,
    ConfigurationError,
    LastPinTry,
    PinBlocked,
    RenewAgentError,
    UnsupportedCard,
    WrongPin,
)
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import DRIVERS, drivers
from renewagent_drivers.pkcs11 import Pkcs11Cards, Pkcs11Driver
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.soft_token import PIN, SoftTokens, softhsm
from renewagent_fixtures.soft_token.readers import SoftConnection, SoftReaders
from tests.drivers.contract import fits
from tests.drivers.test_pkcs11_contract import READER, SIGNING_KEY, SoftBench
from tests.house import ROOT
from tests.made import NEWER, certificate
from tests.programs import run

SIGNING, AUTHENTICATION = SoftBench.signing_slot, SoftBench.authentication_slot
P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def bench(soft_tokens: SoftTokens) -> SoftBench:
    return SoftBench(soft_tokens, always=False)


@pytest.fixture
def driver(bench: SoftBench) -> Pkcs11Driver:
    return bench.cards.open(bench.connect())


def sign(driver: Pkcs11Driver, slot: Slot = SIGNING, pin: str = PIN) -> bytes:
    with driver.signing(Pin(pin)) as session:
        return session.sign(slot, b"x", "sha256")


def second_key(driver: Pkcs11Driver, key_type: KeyType = KeyType.P256) -> tuple[Slot, bytes]:
    slot = driver.fresh_slot()
    with driver.administration(Pin(PIN)) as admin:
        return slot, admin.generate(slot, key_type)


def made_for(spki: bytes, **more: object) -> bytes:
    key = load_der_public_key(spki)
    return certificate(key, not_before=NEWER, **more)  # type: ignore[arg-type]


# -- which slots ---------------------------------------------------------------------------------------------------


def test_signing_certificates_come_first_and_the_newest_first_of_them(bench: SoftBench, driver: Pkcs11Driver) -> None:
    bench.other.imports("0b", P256, certificate(P256.public_key(), not_before=NEWER))
    bench.other.writes("0c", certificate(P256.public_key(), not_before=NEWER, usage=("digital_signature",)))
    assert list(driver.slots()) == [Slot("0b"), SIGNING, Slot("0c"), AUTHENTICATION]


def test_authorities_certificates_that_lie_on_the_card_are_nobodys(bench: SoftBench, driver: Pkcs11Driver) -> None:
    bench.other.writes("0c", certificate(usage=("key_cert_sign", "digital_signature"), not_before=NEWER))
    assert Slot("0c") not in driver.slots()


def test_what_cannot_be_read_may_be_the_one(bench: SoftBench, driver: Pkcs11Driver) -> None:
    bench.other.writes("0c", b"\x30\x03\x02\x01\x01")
    assert driver.slots()[0] == Slot("0c")
    with pytest.raises(CardDataError):
        driver.head(Slot("0c"))


def test_without_a_signing_certificate_the_likeliest_slot_is_an_empty_one(bench: SoftBench) -> None:
    with bench.administration(bench.open()) as admin:
        admin.store(SIGNING, None)
    driver = bench.open()
    first, *others = driver.slots()
    assert driver.head(first) is None
    assert others == [AUTHENTICATION]


def test_a_token_without_anything(soft_tokens: SoftTokens) -> None:
    soft_tokens.insert(READER, soft_tokens.create())
    driver = Pkcs11Cards(soft_tokens.module).open(SoftReaders(soft_tokens).connect(READER))
    assert list(driver.slots()) == []
    assert list(driver.unfinished()) == []
    with pytest.raises(CardRefused):
        sign(driver)


def test_a_replacement_that_was_cut_short_shows_the_newer_certificate(bench: SoftBench, driver: Pkcs11Driver) -> None:
    newer = certificate(SIGNING_KEY.public_key(), serial=2, not_before=NEWER)
    for der in (certificate(SIGNING_KEY.public_key(), serial=3), newer):
        bench.other.adds(SIGNING.reference, der)
    assert driver.certificate(SIGNING) == newer
    with driver.administration(Pin(PIN)) as admin:
        admin.store(SIGNING, newer)
    assert [bytes(one[Attribute.VALUE]) for one in bench.other.objects(ObjectClass.CERTIFICATE, "0a01")] == [newer]


def test_a_certificate_that_was_cut_short_gives_way(bench: SoftBench, driver: Pkcs11Driver) -> None:
    old = driver.certificate(SIGNING)
    newer = certificate(SIGNING_KEY.public_key(), serial=2, not_before=NEWER)
    for torn in (b"", newer[:100]):
        bench.other.adds(SIGNING.reference, torn)
        assert driver.certificate(SIGNING) == old
    with driver.administration(Pin(PIN)) as admin:
        admin.store(SIGNING, newer)
    assert [bytes(one[Attribute.VALUE]) for one in bench.other.objects(ObjectClass.CERTIFICATE, "0a01")] == [newer]


# -- a second key --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.RSA2048])
def test_a_second_key_never_leaves_the_card_and_bears_our_name(
    bench: SoftBench, driver: Pkcs11Driver, key_type: KeyType
) -> None:
    slot, _ = second_key(driver, key_type)
    (private,) = bench.other.objects(ObjectClass.PRIVATE_KEY, slot.reference)
    (public,) = bench.other.objects(ObjectClass.PUBLIC_KEY, slot.reference)
    assert private[Attribute.TOKEN] and private[Attribute.PRIVATE] and private[Attribute.SENSITIVE]
    assert private[Attribute.NEVER_EXTRACTABLE] and not private[Attribute.EXTRACTABLE]
    assert public[Attribute.TOKEN] and not public[Attribute.PRIVATE]
    assert private[Attribute.LABEL] == public[Attribute.LABEL] == "renewagent"


def test_the_certificate_says_what_it_is(bench: SoftBench, driver: Pkcs11Driver) -> None:
    slot, spki = second_key(driver)
    der = made_for(spki)
    with driver.administration(Pin(PIN)) as admin:
        admin.store(slot, der)
    (found,) = bench.other.objects(ObjectClass.CERTIFICATE, slot.reference)
    truth = x509.load_der_x509_certificate(der)
    assert found[Attribute.LABEL] == "Dr Ada Example"
    assert found[Attribute.SUBJECT] == truth.subject.public_bytes()
    assert found[Attribute.ISSUER] == truth.issuer.public_bytes()
    assert found[Attribute.SERIAL_NUMBER] == b"\x02\x02\x1a\x2b"
    assert list(driver.slots()) == [slot, SIGNING, AUTHENTICATION]


def test_no_key_is_made_where_something_is(driver: Pkcs11Driver, bench: SoftBench) -> None:
    bench.other.writes("0c", certificate())
    before = bench.other.references()
    for slot in (SIGNING, AUTHENTICATION, Slot("0c")):
        with driver.administration(Pin(PIN)) as admin, pytest.raises(CardRefused, match="stays"):
            admin.generate(slot, KeyType.P256)
    assert bench.other.references() == before


def test_what_was_left_unfinished_is_known_by_the_card_alone(bench: SoftBench, driver: Pkcs11Driver) -> None:
    bench.other.imports("0d", P256, None)  # somebody else's key without a certificate
    slot, spki = second_key(driver)
    elsewhere = bench.cards.open(bench.connect())
    assert list(elsewhere.unfinished()) == [slot]
    assert elsewhere.public_key(slot) == spki
    assert elsewhere.public_key(Slot("0e")) is None
    with elsewhere.administration(Pin(PIN)) as admin:
        admin.store(slot, made_for(spki))
    assert list(elsewhere.unfinished()) == []


def test_the_old_key_goes_and_nothing_else(bench: SoftBench, driver: Pkcs11Driver) -> None:
    slot, spki = second_key(driver)
    der = made_for(spki)
    with driver.administration(Pin(PIN)) as admin:
        admin.store(slot, der)
        admin.remove(SIGNING)
        admin.remove(SIGNING)
    left = sorted([slot.reference, AUTHENTICATION.reference])
    assert bench.other.references() == {"CERTIFICATE": left, "PRIVATE_KEY": left, "PUBLIC_KEY": left}
    assert list(driver.slots()) == [slot, AUTHENTICATION]
    key = load_der_public_key(spki)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert fits(key, sign(driver, slot), b"x", "sha256")
    with pytest.raises(CardRefused):
        sign(driver, SIGNING)


def test_fresh_slots_are_fresh(driver: Pkcs11Driver) -> None:
    found = {driver.fresh_slot() for _ in range(5)}
    assert len(found) == 5
    assert all(len(slot.reference) == 16 and driver.certificate(slot) is None for slot in found)


def test_room_is_proved_and_given_back(bench: SoftBench, driver: Pkcs11Driver, soft_tokens: SoftTokens) -> None:
    with driver.administration(Pin(PIN)) as admin:
        admin.require_room(3000)
    assert bench.other.objects(ObjectClass.DATA) == []
    soft_tokens.order({"C_CreateObject": "31"})
    with driver.administration(Pin(PIN)) as admin, pytest.raises(CardRefused, match="no room"):
        admin.require_room(3000)
    soft_tokens.order({"C_CreateObject": "13"})  # CKR_ATTRIBUTE_VALUE_INVALID: no place for data at all
    with driver.administration(Pin(PIN)) as admin:
        admin.require_room(3000)


def test_a_certificate_of_the_ras_and_openssls_last_word(
    bench: SoftBench, driver: Pkcs11Driver, tmp_path: Path
) -> None:
    slot, spki = second_key(driver)
    with MockRa(tmp_path / "ra") as ra:
        key = load_der_public_key(spki)
        issued = ra.issue(key, x509.Name.from_rfc4514_string("CN=Dr Ada,O=Mock Hospital,C=GB"))
        der = issued if isinstance(issued, bytes) else issued.public_bytes(Encoding.DER)
    with driver.administration(Pin(PIN)) as admin:
        admin.store(slot, der)
    assert driver.slots()[0] == slot
    found = driver.certificate(slot)
    assert found == der and "contentCommitment" in (read_certificate(der).key_usage or ())
    (tmp_path / "data").write_bytes(b"x")
    (tmp_path / "signature").write_bytes(sign(driver, slot))
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    files = ("-verify", tmp_path / "key.pem", "-signature", tmp_path / "signature", tmp_path / "data")
    assert "Verified OK" in run("openssl", "dgst", "-sha256", *files)


# -- PINs ----------------------------------------------------------------------------------------------------------


def test_the_pin_is_presented_once_a_session_unless_the_key_wants_more(soft_tokens: SoftTokens) -> None:
    for always, logins in ((False, 1), (True, 4)):  # once to the token, and for each of three signatures
        bench = SoftBench(soft_tokens, always=always)
        driver = bench.cards.open(bench.connect())
        with driver.signing(Pin(PIN)) as session:
            for _ in range(3):
                session.sign(SIGNING, b"x", "sha256")
        assert driver.logins == logins


def test_a_wrong_pin_is_told_before_administration_begins(bench: SoftBench, driver: Pkcs11Driver) -> None:
    with pytest.raises(WrongPin) as caught, driver.administration(Pin("999999")):
        pytest.fail("the session began")
    assert caught.value.tries_left == 2 and driver.pin_tries() == 2
    bench.leave_tries(1)
    assert driver.pin_tries() == 1
    with pytest.raises(LastPinTry), driver.administration(Pin(PIN)):
        pytest.fail("the session began")
    bench.leave_tries(0)
    assert driver.pin_tries() == 0
    with pytest.raises(PinBlocked), driver.administration(Pin(PIN)):
        pytest.fail("the session began")
    bench.leave_tries(3)
    assert driver.pin_tries() is None


@pytest.mark.parametrize("pin", [b"", b"\xff\xfe12345", b"123\x0056", b"1" * 256])
def test_what_no_token_takes_is_not_sent(driver: Pkcs11Driver, pin: bytes, soft_tokens: SoftTokens) -> None:
    soft_tokens.forget_calls()
    with pytest.raises((CardError, ValueError)), driver.signing(Pin(pin)):
        pytest.fail("the session began")
    assert "C_Login" not in soft_tokens.calls()


def test_a_token_that_tells_no_tries(bench: SoftBench) -> None:
    """SoftHSM by itself, which says that a PIN was wrong and no more."""
    program = (
        "from renewagent.errors import WrongPin\n"
        "driver = card()\n"
        "print(driver.identity())\n"
        "with driver.signing(Pin('999999')) as session:\n"
        "    try: session.sign(Slot('0a01'), b'x', 'sha256')\n"
        "    except WrongPin as error: print(error.tries_left, driver.logins)"
    )
    done = child(bench, program, module=softhsm())
    assert done.stdout.split() == [f"token:{bench.serial.encode().hex()}", "2", "1"], done.stderr


def test_a_serial_number_that_no_token_has(soft_tokens: SoftTokens) -> None:
    with pytest.raises(UnsupportedCard):
        Pkcs11Cards(soft_tokens.module).open_token("0" * 16)


def test_no_pin_in_what_goes_wrong(bench: SoftBench, driver: Pkcs11Driver) -> None:
    for pin in ("86420975", "864209753", "86420\N{SNOWMAN}"):
        with pytest.raises(CardError) as caught:
            sign(driver, pin=pin)
        error: BaseException | None = caught.value
        while error is not None:
            assert "86420" not in repr(error) + str(error)
            error = error.__cause__ or error.__context__


# -- return values -------------------------------------------------------------------------------------------------

FAULTS: list[tuple[str, str, type[RenewAgentError]]] = [
    ("C_Sign", "30", CardRefused),  # CKR_DEVICE_ERROR
    ("C_Sign", "32", CardRemoved),
    ("C_Sign", "b3", CardRemoved),  # CKR_SESSION_HANDLE_INVALID
    ("C_SignInit", "70", CardRefused),  # CKR_MECHANISM_INVALID
    ("C_Login", "a4", PinBlocked),
    ("C_Login", "a2", CardError),
    ("C_Login", "a3", CardError),  # CKR_PIN_EXPIRED
    ("C_Login", "102", CardError),  # CKR_USER_PIN_NOT_INITIALIZED
    ("C_Login", "5", CardRefused),
    ("C_OpenSession", "e1", UnsupportedCard),  # CKR_TOKEN_NOT_RECOGNIZED
    ("C_FindObjectsInit", "80000001", CardRefused),  # a vendor's own
    ("C_FindObjectsInit", "32", CardRemoved),
    ("C_FindObjects", "6", CardRefused),
    ("C_GetSlotList", "30", CardRefused),
    ("C_GetTokenInfo", "30", CardRefused),
    ("C_GetMechanismList", "54", CardRefused),  # CKR_FUNCTION_NOT_SUPPORTED
]


@pytest.mark.parametrize(("function", "value", "expected"), FAULTS)
def test_every_return_value_becomes_an_error_of_ours(
    driver: Pkcs11Driver,
    soft_tokens: SoftTokens,
    function: str,
    value: str,
    expected: type[RenewAgentError],
    capfd: pytest.CaptureFixture[str],
) -> None:
    soft_tokens.order({function: value})
    with pytest.raises(expected) as caught:
        sign(driver)
    assert caught.value.message and caught.value.advice
    soft_tokens.order({})
    assert fits(SIGNING_KEY.public_key(), sign(driver), b"x", "sha256")  # and the driver is none the worse for it
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("function", "value"), [("C_GenerateKeyPair", "31"), ("C_CreateObject", "31")])
def test_a_full_card_keeps_what_it_has(
    bench: SoftBench, driver: Pkcs11Driver, soft_tokens: SoftTokens, function: str, value: str
) -> None:
    before = bench.other.references()
    soft_tokens.order({function: value})
    slot = driver.fresh_slot()
    with pytest.raises(CardRefused, match="no room"), driver.administration(Pin(PIN)) as admin:
        admin.store(slot, made_for(admin.generate(slot, KeyType.P256)))
    soft_tokens.order({})
    with driver.administration(Pin(PIN)) as admin:
        admin.remove(slot)
    assert bench.other.references() == before


def test_a_card_that_cannot_be_written_to(driver: Pkcs11Driver, bench: SoftBench, soft_tokens: SoftTokens) -> None:
    assert driver.capabilities().second_key
    assert not driver.capabilities().rekey_in_place
    soft_tokens.order({"C_GetTokenInfo": "protected"})
    elsewhere = bench.cards.open(bench.connect())
    assert not elsewhere.capabilities().second_key
    with pytest.raises(CardRefused), elsewhere.administration(Pin(PIN)):
        pytest.fail("the session began")
    sign(elsewhere)


# -- modules -------------------------------------------------------------------------------------------------------


def test_a_module_that_is_none(tmp_path: Path, soft_tokens: SoftTokens) -> None:
    soft_tokens.insert(READER, soft_tokens.create())
    connection = SoftReaders(soft_tokens).connect(READER)
    text = tmp_path / "module.so"
    text.write_text("not a module")
    for path in (tmp_path / "missing.so", text, tmp_path):
        with pytest.raises(ConfigurationError) as caught:
            card_opener(CardSettings(pkcs11_module=path))(connection)
        assert str(path) in caught.value.message


def test_a_reader_that_the_module_does_not_know(soft_tokens: SoftTokens, bench: SoftBench) -> None:
    long = "A reader with a name that is very much longer than sixty-four octets 00 00"
    for name in (long, "Short", "Umlaut Reader \N{LATIN SMALL LETTER U WITH DIAERESIS} 00"):
        soft_tokens.insert(name, bench.serial)
        assert bench.cards.open(SoftReaders(soft_tokens).connect(name)).certificate(SIGNING) is not None
    with pytest.raises(UnsupportedCard):
        bench.cards.open(SoftConnection(soft_tokens, "Umlaut", bench.serial))


def test_drivers_as_configured(bench: SoftBench) -> None:
    assert drivers(None) == DRIVERS
    assert drivers(bench.tokens.module)[:-1] == DRIVERS
    opened = card_opener(CardSettings(pkcs11_module=bench.tokens.module))(bench.connect())
    assert isinstance(opened, Pkcs11Driver)
    with pytest.raises(UnsupportedCard):
        card_opener(CardSettings())(bench.connect())


def test_the_library_is_loaded_only_for_a_configured_module(tmp_path: Path) -> None:
    program = (
        "import sys, renewagent_drivers, renewagent.agent.workstation as w, renewagent.agent.process\n"
        "from pathlib import Path\n"
        "renewagent_drivers.drivers(None)\n"
        "print([m for m in ('pkcs11', 'cryptography', 'asn1crypto') if m in sys.modules])\n"
        "renewagent_drivers.drivers(Path('/nowhere.so'))\n"
        "print('pkcs11' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.split("\n")[:2] == ["[]", "True"]


CHILD = """
import sys, time
from pathlib import Path
from renewagent.errors import CardBusy
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent.card.interface import KeyType
from renewagent_drivers.pkcs11 import Pkcs11Cards
def card(patience=10.0):
    return Pkcs11Cards(Path(sys.argv[1]), patience=patience).open_token(sys.argv[2])
"""


def child(bench: SoftBench, program: str, module: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `program` in a process of its own, beside these tokens."""
    words = [sys.executable, "-c", CHILD + program, str(module or bench.tokens.module), bench.serial]
    env = {**os.environ, **bench.tokens.environment}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.mark.parametrize("function", ["C_FindObjects", "C_Sign", "C_GetTokenInfo", "C_Initialize"])
def test_a_module_that_hangs_counts_as_busy_and_can_be_left(bench: SoftBench, function: str) -> None:
    program = (
        "began = time.monotonic()\n"
        "busy = 0\n"
        "for turn in range(2):\n"
        "    try:\n"
        "        with card(0.5).signing(Pin('123456')) as session: session.sign(Slot('0a01'), b'x', 'sha256')\n"
        "    except CardBusy: busy += 1\n"
        "print(busy, time.monotonic() - began < 5)"
    )
    bench.tokens.order({function: "hang"})
    done = child(bench, program)
    assert (done.returncode, done.stdout.split()) == (0, ["2", "True"]), done.stderr


def test_a_module_that_crashes_takes_its_own_process_along(bench: SoftBench) -> None:
    bench.tokens.order({"C_Sign": "crash"})
    program = "with card().signing(Pin('123456')) as session: session.sign(Slot('0a01'), b'x', 'sha256')"
    assert child(bench, program).returncode == -signal.SIGSEGV


# -- cuts ----------------------------------------------------------------------------------------------------------

WRITING = """
from cryptography.hazmat.primitives.serialization import load_der_public_key
from tests.made import NEWER, certificate
driver = card()
with driver.administration(Pin('123456')) as admin:
    key = admin.generate(Slot('0b'), KeyType.P256)
    admin.store(Slot('0b'), certificate(load_der_public_key(key), not_before=NEWER))
    admin.remove(Slot('0a01'))
"""


CHANGING = {"C_GenerateKeyPair", "C_CreateObject", "C_DestroyObject"}


def test_whatever_a_cut_leaves_the_old_or_the_new_key_signs_and_the_rest_can_be_cleared_away(
    soft_tokens: SoftTokens,
) -> None:
    """Before and during each call that changes the card; the matrix of whole renewals has all the others."""
    bench = SoftBench(soft_tokens, always=False)
    soft_tokens.forget_calls()
    assert child(bench, WRITING).returncode == 0
    changing = [number for number, name in enumerate(soft_tokens.calls(), 1) if name in CHANGING]
    outcomes = {look_and_clear(bench)}
    assert len(changing) == 5  # the pair, its certificate; the old pair's two keys, its certificate
    for number, how in itertools.product(changing, ("before", "during")):
        bench = SoftBench(soft_tokens, always=False)
        soft_tokens.cut(number, how)  # type: ignore[arg-type]
        done = child(bench, WRITING)
        soft_tokens.let_be()
        assert done.returncode == -signal.SIGKILL, done.stderr
        outcomes.add(look_and_clear(bench))
    assert outcomes == {"old alone", "new key without certificate", "both", "new alone"}


def look_and_clear(bench: SoftBench) -> str:
    bench.other.starts_afresh()
    driver = bench.cards.open(bench.connect())
    slots = [slot for slot in driver.slots() if slot != AUTHENTICATION and driver.head(slot) is not None]
    signs = {slot for slot in slots if signs_with(driver, slot)}
    assert signs, slots
    unfinished = list(driver.unfinished())
    with driver.administration(Pin(PIN)) as admin:
        for slot in [*unfinished, *(slots[1:] if slots[0] in signs else ())]:
            admin.remove(slot)
    left = {kind: set(found) - {AUTHENTICATION.reference} for kind, found in bench.other.references().items()}
    assert len(left["CERTIFICATE"]) == 1 and left["PRIVATE_KEY"] == left["PUBLIC_KEY"] == left["CERTIFICATE"], left
    if unfinished:
        return "new key without certificate"
    return "both" if len(slots) == 2 else ("old alone" if slots == [SIGNING] else "new alone")


def signs_with(driver: Pkcs11Driver, slot: Slot) -> bool:
    der = driver.certificate(slot)
    assert der is not None
    key = x509.load_der_x509_certificate(der).public_key()
    try:
        return fits(key, sign(driver, slot), b"x", "sha256")  # type: ignore[arg-type]
    except CardRefused:
        return False
