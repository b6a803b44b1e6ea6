"""After a renewal: other people's programs, through real PC/SC, read the new certificate, and openssl verifies what the
card signs under it, and its chain to the RA's root."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent_fixtures.private_pcscd import PrivatePcscd
from tests.flows.workshop import PIN, Workshop, Workstations, assert_renewed, certificate
from tests.interop.cards import CardInReader, inserted_card
from tests.programs import run

PRESCRIPTION = b"Amoxicillin 500 mg, 3 times a day, for 5 days"


@pytest.mark.parametrize(("profile", "key", "rekey"), [
    ("plain", "rsa2048", "required"),
    ("plain", "p256", "allowed"),
    ("extended", "p256", "required"),
])  # fmt: skip
def test_others_read_and_verify(
    workshop: Workshop,
    workstation: Workstations,
    private_pcscd: PrivatePcscd,
    tmp_path: Path,
    profile: str,
    key: str,
    rekey: str,
) -> None:
    card = workshop.card(key=key, protects=rekey == "allowed", profile=profile)
    old = certificate(card)
    workstation(workshop.campaign(rekey=rekey)).renew(card)
    new = assert_renewed(workshop, card, old)
    pem = new.public_bytes(Encoding.PEM).decode().strip()
    with inserted_card(card, private_pcscd, tmp_path) as there:
        assert pem in there.run("yubico-piv-tool", "-r", there.reader, "-a", "read-certificate", "-s", "9c")
        assert pem in there.run("pkcs15-tool", "--reader", there.reader, "--read-certificate", "02")
        signature = _signed(there, tmp_path, key)
    (tmp_path / "new.pem").write_text(pem + "\n")
    (tmp_path / "key.pem").write_text(run("openssl", "x509", "-in", tmp_path / "new.pem", "-noout", "-pubkey"))
    signed: list[str | Path] = ["-verify", tmp_path / "key.pem", "-signature", signature, tmp_path / "prescription"]
    assert "Verified OK" in run("openssl", "dgst", "-sha256", *signed)
    chain = _chain(workshop, tmp_path)
    said = run("openssl", "verify", "-CAfile", workshop.ra.root, "-untrusted", chain, tmp_path / "new.pem")
    assert said.endswith("new.pem: OK\n")


def _signed(there: CardInReader, folder: Path, key: str) -> Path:
    """A signature by 9C, made through OpenSC's PKCS#11 module."""
    (folder / "prescription").write_bytes(PRESCRIPTION)
    mechanism = ["SHA256-RSA-PKCS"] if key == "rsa2048" else ["ECDSA-SHA256", "--signature-format", "openssl"]
    there.run(
        *("pkcs11-tool", "--login", "--pin", PIN, "--sign", "--id", "02", "--mechanism", *mechanism),
        *("--input-file", folder / "prescription", "--output-file", folder / "signature"),
    )
    return folder / "signature"


def _chain(workshop: Workshop, folder: Path) -> Path:
    chain = folder / "chain.pem"
    signing = x509.load_der_x509_certificate(workshop.ra.office.pki.signing.der)
    chain.write_bytes(signing.public_bytes(Encoding.PEM))
    return chain
