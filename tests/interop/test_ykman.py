"""ykman works on the extended profile by the reader's full name; the plain one lacks the VERSION that it insists on."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.interop.cards import MANAGEMENT_KEY, PIN, CardInReader
from tests.programs import run


def ykman(card: CardInReader, *arguments: str | Path, status: int = 0) -> str:
    return card.run("ykman", "--reader", card.reader, "piv", *arguments, status=status)


def generate(card: CardInReader, slot: str, algorithm: str) -> Path:
    public_key = card.work / f"{slot}.pub"
    ykman(card, "keys", "generate", "--management-key", MANAGEMENT_KEY, "-a", algorithm, slot, public_key)
    return public_key


def self_sign(card: CardInReader, slot: str, public_key: Path) -> None:
    keys = ("--management-key", MANAGEMENT_KEY, "--pin", PIN)
    ykman(card, "certificates", "generate", *keys, "--subject", f"CN=Dr {slot}", slot, public_key)


def test_info(extended_card: CardInReader) -> None:
    info = ykman(extended_card, "info")
    assert "5.4.3" in info
    assert "3/3" in info
    assert "Using default Management key" in info
    assert extended_card.card.guid.hex() in info


@pytest.mark.parametrize(("slot", "algorithm"), [("9a", "ECCP256"), ("9c", "RSA2048"), ("9e", "ECCP384")])
def test_generate_a_key_and_a_certificate_and_export_it(extended_card: CardInReader, slot: str, algorithm: str) -> None:
    card = extended_card
    public_key = generate(card, slot, algorithm)
    self_sign(card, slot, public_key)
    exported = card.work / "exported.pem"
    ykman(card, "certificates", "export", slot, exported)

    certificate = x509.load_pem_x509_certificate(exported.read_bytes())
    assert certificate.public_bytes(Encoding.DER) == card.card.certificate(int(slot, 16))
    key = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert key == public_key.read_bytes()
    assert "OK" in run("openssl", "verify", "-CAfile", exported, exported)
    info = ykman(card, "info")
    assert f"CN=Dr {slot}" in info
    assert algorithm in info


def test_import_a_certificate_that_fits_and_refuse_one_that_does_not(extended_card: CardInReader) -> None:
    card = extended_card
    fitting = card.authority.issue(generate(card, "9a", "ECCP256"), "fits", card.work / "fits.pem")
    keys = ("--management-key", MANAGEMENT_KEY, "--pin", PIN)
    ykman(card, "certificates", "import", "--verify", *keys, "9a", fitting)
    generate(card, "9a", "ECCP256")
    refused = ykman(card, "certificates", "import", "--verify", *keys, "9a", fitting, status=1)
    assert "public key" in refused.lower()


def test_attestation_is_signed_by_the_cards_own_authority(extended_card: CardInReader) -> None:
    card = extended_card
    generate(card, "9c", "ECCP256")
    attested, authority = card.work / "attested.pem", card.work / "f9.pem"
    ykman(card, "keys", "attest", "9c", attested)
    ykman(card, "certificates", "export", "f9", authority)
    assert "OK" in run("openssl", "verify", "-partial_chain", "-CAfile", authority, attested)


def test_a_plain_card_is_not_its_kind(plain_card: CardInReader) -> None:
    assert "INVALID_INSTRUCTION" in ykman(plain_card, "info", status=1)
