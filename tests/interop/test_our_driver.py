"""What our driver leaves on a card, in the eyes of other people's programs; and what it leaves them no right to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from renewagent.card.interface import KeyType
from renewagent.card.pcsc import PcscReaders
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import open_card
from tests.interop.cards import PIN, CardInReader
from tests.made import certificate

SIGNING, AUTHENTICATION = Slot("9c"), Slot("9a")
SELECT, REFUSED = "00:a4:04:00:05:a0:00:00:03:08", "SW1=0x69, SW2=0x82"
SIGN_WITH_9A = "00:87:11:9a:26:7c:24:82:00:81:20:" + ":".join(["53"] * 32) + ":00"
GENERATE_9A = "00:47:00:9a:05:ac:03:80:01:11:00"


def renew(card: CardInReader, key_type: KeyType) -> tuple[bytes, rsa.RSAPublicKey | ec.EllipticCurvePublicKey, bytes]:
    """A new key in 9C and 9A each, with certificates; and a signature by 9C over b"prescription"."""
    connection = PcscReaders().connect(card.reader)
    driver = open_card(connection)
    with driver.administration() as admin:
        other = load_der_public_key(admin.generate(AUTHENTICATION, KeyType.P256))
        key = load_der_public_key(admin.generate(SIGNING, key_type))
        assert isinstance(other, ec.EllipticCurvePublicKey)
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        der = certificate(key)
        admin.store(SIGNING, der)
        admin.store(AUTHENTICATION, certificate(other))
    with driver.signing(Pin(PIN)) as session:
        session.sign(AUTHENTICATION, b"sign-in", "sha256")
        signature = session.sign(SIGNING, b"prescription", "sha256")
    connection.close()
    return der, key, signature


@pytest.mark.parametrize("key_type", [KeyType.RSA2048, KeyType.P256, KeyType.P384])
def test_others_read_the_certificate_and_openssl_verifies_the_signature(
    any_card: CardInReader, key_type: KeyType, tmp_path: Path
) -> None:
    der, key, signature = renew(any_card, key_type)
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    by_yubico = any_card.run("yubico-piv-tool", "-r", any_card.reader, "-a", "read-certificate", "-s", "9c")
    assert pem.strip() in by_yubico
    by_opensc = any_card.run("pkcs15-tool", "--reader", any_card.reader, "--read-certificate", "02")
    assert pem.strip() in by_opensc
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "data").write_bytes(b"prescription")
    (tmp_path / "signature").write_bytes(signature)
    shown = any_card.run(
        *("openssl", "dgst", "-sha256", "-verify", tmp_path / "key.pem"),
        *("-signature", tmp_path / "signature", tmp_path / "data"),
    )
    assert "Verified OK" in shown


def test_another_process_may_neither_sign_nor_generate_after_us(any_card: CardInReader) -> None:
    renew(any_card, KeyType.P256)
    for command in (SIGN_WITH_9A, GENERATE_9A):
        shown = any_card.run("opensc-tool", "--reader", any_card.reader, "-s", SELECT, "-s", command)
        assert REFUSED in shown
    # The same question is answered once somebody has typed the PIN: it is the login that was missing.
    verify = "00:20:00:80:08:" + ":".join(f"{octet:02x}" for octet in PIN.encode()) + ":ff:ff"
    shown = any_card.run(*("opensc-tool", "--reader", any_card.reader, "-s", SELECT, "-s", verify, "-s", SIGN_WITH_9A))
    assert REFUSED not in shown and shown.count("SW1=0x90, SW2=0x00") == 3
