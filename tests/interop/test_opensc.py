"""OpenSC works on the virtual card, both profiles, through a real pcscd; openssl verifies what it signs.

Left out are two things that OpenSC 0.23 cannot do under OpenSSL 3 on any card, as its own log shows after the card has
said 9000: write out the key that `piv-tool --genkey` made, and `piv-tool --admin A` (it miscounts its own buffer).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.cards import PIN, CardInReader, verify
from tests.programs import run

FACTORY_KEY = ":".join(["01", "02", "03", "04", "05", "06", "07", "08"] * 3)


def enrol(card: CardInReader, slot: int, key_type: str) -> tuple[Path, Path]:
    """A key and a certificate in `slot`, put there at the factory: the public key and the certificate."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public_key = card.work / f"{slot:02x}.pub"
    key = card.card.generate(slot, key_type)
    public_key.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    certificate = card.authority.issue(public_key, f"Dr {slot:02x}", card.work / f"{slot:02x}.pem")
    der = card.work / f"{slot:02x}.der"
    run("openssl", "x509", "-in", certificate, "-outform", "DER", "-out", der)
    card.card.write_certificate(slot, der.read_bytes())
    return public_key, der


def piv_tool(card: CardInReader, *arguments: str | Path) -> str:
    key = card.work / "management.key"
    key.write_text(FACTORY_KEY, "ascii")
    # Its exit status is the number of bytes written, modulo 256, so that it says nothing.
    env = {**card.env, "PIV_EXT_AUTH_KEY": str(key)}
    return run("piv-tool", "--reader", "0", *arguments, env=env, status=None)


def pkcs11(card: CardInReader, *arguments: str | Path) -> str:
    return card.run("pkcs11-tool", "--slot-index", "0", "--login", "--pin", PIN, *arguments)


def test_piv_tool_knows_the_card(any_card: CardInReader) -> None:
    assert "Personal Identity Verification Card" in piv_tool(any_card, "--name")
    shown = re.findall(r"^(?:[0-9A-F]{2} )+", piv_tool(any_card, "--serial"), re.MULTILINE)
    assert bytes.fromhex("".join(shown)) == any_card.card.guid


@pytest.mark.parametrize("option", ["--cert", "--compresscert"])
def test_piv_tool_authenticates_and_loads_a_certificate(any_card: CardInReader, option: str) -> None:
    card = any_card
    _, der = enrol(card, 0x9A, "p256")
    card.card.write_object(0x5FC105, b"")
    if option == "--compresscert":
        run("gzip", "--keep", der)
        piv_tool(card, "--admin", "M:9B:03", option, "9A", "--in", der.with_suffix(".der.gz"))
    else:
        piv_tool(card, "--admin", "M:9B:03", option, "9A", "--in", der.with_suffix(".pem"))
    assert card.card.certificate(0x9A) == der.read_bytes()
    assert "BEGIN CERTIFICATE" in card.run("pkcs15-tool", "--reader", "0", "--read-certificate", "01")


def test_piv_tool_cannot_load_a_certificate_without_the_management_key(any_card: CardInReader) -> None:
    _, der = enrol(any_card, 0x9A, "p256")
    any_card.card.write_object(0x5FC105, b"")
    piv_tool(any_card, "--cert", "9A", "--in", der.with_suffix(".pem"))
    assert any_card.card.certificate(0x9A) is None


def test_pkcs15_tool_dumps_keys_and_certificates(any_card: CardInReader) -> None:
    card = any_card
    _, certificate = enrol(card, 0x9C, "rsa2048")
    enrol(card, 0x9A, "p256")
    dump = card.run("pkcs15-tool", "--reader", "0", "--dump")
    assert "PKCS#15 Card [Dr 9" in dump
    assert "Private RSA Key [SIGN key]" in dump
    assert "Private EC Key [PIV AUTH key]" in dump
    assert "X.509 Certificate [Certificate for Digital Signature]" in dump
    assert card.card.guid.hex() in dump
    serial = run("openssl", "x509", "-in", certificate, "-noout", "-serial").strip().removeprefix("serial=")
    assert serial in dump


@pytest.mark.parametrize(
    ("slot", "key_type", "identifier", "options", "checks"),
    [
        (0x9A, "p256", "01", ("--mechanism", "ECDSA-SHA256", "--signature-format", "openssl"), ()),
        (0x9A, "rsa2048", "01", ("--mechanism", "SHA256-RSA-PKCS"), ()),
        (0x9C, "rsa2048", "02", ("--mechanism", "SHA256-RSA-PKCS"), ()),
        (0x9C, "rsa2048", "02", ("--mechanism", "SHA256-RSA-PKCS-PSS"), ("-sigopt", "rsa_padding_mode:pss")),
        (0x9C, "rsa3072", "02", ("--mechanism", "SHA256-RSA-PKCS"), ()),
        (0x9C, "p384", "02", ("--mechanism", "ECDSA-SHA256", "--signature-format", "openssl"), ()),
    ],
)
def test_pkcs11_tool_logs_in_and_signs(
    any_card: CardInReader,
    slot: int,
    key_type: str,
    identifier: str,
    options: tuple[str, ...],
    checks: tuple[str, ...],
) -> None:
    card = any_card
    public_key, _ = enrol(card, slot, key_type)
    data, signature = card.data(), card.work / "signature"
    pkcs11(card, "--sign", *options, "--id", identifier, "--input-file", data, "--output-file", signature)
    verify(public_key, signature, data, *checks)


def test_pkcs11_tool_reads_the_certificate(any_card: CardInReader) -> None:
    _, certificate = enrol(any_card, 0x9C, "p256")
    read = any_card.work / "read.der"
    pkcs11(any_card, "--read-object", "--type", "cert", "--id", "02", "--output-file", read)
    assert read.read_bytes() == certificate.read_bytes()


def test_a_wrong_pin_is_refused_and_counted(any_card: CardInReader) -> None:
    enrol(any_card, 0x9C, "p256")
    refused = any_card.run("pkcs11-tool", "--slot-index", "0", "--login", "--pin", "000000", "-O", status=1)
    assert "CKR_PIN_INCORRECT" in refused


def test_retired_keys_are_found_by_the_key_history(any_card: CardInReader) -> None:
    enrol(any_card, 0x9C, "p256")
    enrol(any_card, 0x82, "p256")
    if any_card.card.profile == "extended":  # which does not keep it by itself
        assert "Retired" not in any_card.run("pkcs15-tool", "--reader", "0", "--list-certificates")
        any_card.card.write_object(0x5FC10C, bytes.fromhex("c10101c20100fe00"))
    assert "Retired" in any_card.run("pkcs15-tool", "--reader", "0", "--list-certificates")
