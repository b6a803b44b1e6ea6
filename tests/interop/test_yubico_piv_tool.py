"""yubico-piv-tool (Debian's 2.2.0) works on the virtual card, both profiles, through a real pcscd.

Its requests and self-signed certificates are left out: that version cannot make them under OpenSSL 3, on any card.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.cards import PIN, CardInReader, verify

ALGORITHMS = {"9a": "ECCP256", "9c": "RSA2048", "9d": "ECCP384", "9e": "RSA2048"}


def piv(card: CardInReader, *arguments: str | Path, status: int = 0) -> str:
    return card.run("yubico-piv-tool", "-r", card.reader, *arguments, status=status)


def enrol(card: CardInReader, slot: str, algorithm: str) -> tuple[Path, Path]:
    """Generate, certify, import: the public key and the certificate."""
    public_key = card.work / f"{slot}.pub"
    assert "Successfully generated" in piv(card, "-a", "generate", "-s", slot, "-A", algorithm, "-o", public_key)
    certificate = card.authority.issue(public_key, f"Dr {slot}", card.work / f"{slot}.pem")
    assert "Successfully imported" in piv(card, "-a", "import-certificate", "-s", slot, "-i", certificate)
    return public_key, certificate


def test_status_of_a_plain_card(plain_card: CardInReader) -> None:
    status = piv(plain_card, "-a", "status")
    assert "No data available" in status  # no version and no serial: that is what plain means
    assert plain_card.card.guid.hex() in status
    assert "PIN tries left:\t3" in status


def test_status_of_an_extended_card(extended_card: CardInReader) -> None:
    status = piv(extended_card, "-a", "status")
    assert "Version:\t5.4.3" in status
    assert extended_card.card.guid.hex() in status
    assert "version 5.4.3" in piv(extended_card, "-a", "version")


@pytest.mark.parametrize("slot", ALGORITHMS)
def test_generate_certify_read_back_and_sign(any_card: CardInReader, slot: str) -> None:
    card, algorithm = any_card, ALGORITHMS[slot]
    public_key, certificate = enrol(card, slot, algorithm)
    read_back = card.work / "read.pem"
    piv(card, "-a", "read-certificate", "-s", slot, "-o", read_back)
    assert read_back.read_bytes() == certificate.read_bytes()
    assert f"CN=Dr {slot}" in piv(card, "-a", "status")

    tested = piv(card, "-a", "verify-pin", "-P", PIN, "-a", "test-signature", "-s", slot, "-i", certificate)
    assert f"Successful {algorithm[:3].replace('ECC', 'ECDSA')} verification" in tested
    data, signature = card.data(), card.work / "signature"
    piv(card, "-a", "verify-pin", "-P", PIN, "--sign", "-s", slot, "-A", algorithm, "-i", data, "-o", signature)
    verify(public_key, signature, data)


def test_a_certificate_that_another_deletes_is_gone(any_card: CardInReader) -> None:
    enrol(any_card, "9a", "ECCP256")
    piv(any_card, "-a", "delete-certificate", "-s", "9a")
    assert any_card.card.certificate(0x9A) is None
    assert "Failed" in piv(any_card, "-a", "read-certificate", "-s", "9a", status=1)


def test_key_agreement(any_card: CardInReader) -> None:
    _, certificate = enrol(any_card, "9d", "ECCP256")
    output = piv(any_card, "-a", "verify-pin", "-P", PIN, "-a", "test-decipher", "-s", "9d", "-i", certificate)
    assert "Successfully performed ECDH" in output


def test_a_wrong_pin_costs_a_try_and_a_right_one_gives_them_back(any_card: CardInReader) -> None:
    assert "2 tries left" in piv(any_card, "-a", "verify-pin", "-P", "000000", status=1)
    assert "Successfully verified" in piv(any_card, "-a", "verify-pin", "-P", PIN)
    assert "PIN tries left:\t3" in piv(any_card, "-a", "status")


def test_pin_puk_and_unblocking(any_card: CardInReader) -> None:
    piv(any_card, "-a", "change-pin", "-P", PIN, "-N", "654321")
    for _ in range(3):
        piv(any_card, "-a", "verify-pin", "-P", "000000", status=1)
    assert "blocked" in piv(any_card, "-a", "verify-pin", "-P", "654321", status=1).lower()
    piv(any_card, "-a", "unblock-pin", "-P", "12345678", "-N", PIN)
    assert "Successfully verified" in piv(any_card, "-a", "verify-pin", "-P", PIN)


def test_no_signature_without_the_pin(any_card: CardInReader) -> None:
    enrol(any_card, "9c", "RSA2048")
    arguments = (
        "-a",
        "version",
        "--sign",
        "-s",
        "9c",
        "-A",
        "RSA2048",
        "-i",
        any_card.data(),
        "-o",
        any_card.work / "signature",
    )
    assert "Failed signing" in piv(any_card, *arguments, status=1)


def test_attestation(extended_card: CardInReader) -> None:
    enrol(extended_card, "9a", "ECCP256")
    assert "BEGIN CERTIFICATE" in piv(extended_card, "-a", "attest", "-s", "9a")
