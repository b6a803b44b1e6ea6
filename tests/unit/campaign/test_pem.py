"""PEM files as people have them: any order, too much, too little, protected, broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from renewagent.campaign.pem import read_certificates, read_revocation_lists, read_signer
from renewagent.errors import ConfigurationError
from tests.unit.campaign.authority import AUTHORITY, root

TOP = root()
MIDDLE = TOP.issue("CA", AUTHORITY)
RA = MIDDLE.issue("RA manager")
CERTIFICATE = RA.certificate.public_bytes(Encoding.PEM)
CHAIN = MIDDLE.certificate.public_bytes(Encoding.PEM)
KEY = RA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "parts",
    [
        (KEY, CERTIFICATE, CHAIN),
        (CHAIN, CERTIFICATE, KEY),
        (b"friendlyName: me\r\n", CERTIFICATE.replace(b"\n", b"\r\n"), KEY, CHAIN),
        (RA.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()), CERTIFICATE, CHAIN),
    ],
)
def test_a_signer_is_found_in_any_order(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    path = tmp_path / "signer.pem"
    path.write_bytes(b"".join(parts))
    signer = read_signer(path)
    assert (signer.certificate, signer.chain) == (RA.certificate, (MIDDLE.certificate,))
    assert "key" not in repr(signer)


PROTECTED = RA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
EDWARDS = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "must hold one private key; it holds 0"),
        (CERTIFICATE, "must hold one private key; it holds 0"),
        (KEY + KEY + CERTIFICATE, "must hold one private key; it holds 2"),
        (KEY, "holds no certificate for its private key"),
        (KEY + CHAIN, "holds no certificate for its private key"),
        (PROTECTED + CERTIFICATE, "is protected by a passphrase"),
        (EDWARDS + CERTIFICATE, "is neither RSA nor elliptic-curve"),
        (KEY.replace(b"\nM", b"\nAAAA"), "cannot be read"),
        (KEY + CERTIFICATE.replace(b"\nM", b"\nAAAA"), "A certificate in"),
        (b"x" * 1024 * 1025, "is too large to be a PEM file"),
    ],
)
def test_a_file_that_is_no_signer_is_told(tmp_path: Path, octets: bytes, words: str) -> None:
    path = tmp_path / "signer.pem"
    path.write_bytes(octets)
    with pytest.raises(ConfigurationError) as refused:
        read_signer(path)
    assert words in refused.value.message
    assert str(path) in refused.value.message


def test_certificates_and_lists_are_read_all(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(CERTIFICATE + CHAIN + MIDDLE.revoke(RA).public_bytes(Encoding.PEM))
    assert read_certificates(both) == (RA.certificate, MIDDLE.certificate)
    (crl,) = read_revocation_lists(both)
    assert crl.get_revoked_certificate_by_serial_number(RA.certificate.serial_number) is not None
    der = tmp_path / "crl.der"
    der.write_bytes(crl.public_bytes(Encoding.DER))
    assert read_revocation_lists(der) == (crl,)


def test_files_without_any_are_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"nothing")
    (tmp_path / "wrong.der").write_bytes(b"0 nothing")
    with pytest.raises(ConfigurationError, match="holds no certificate"):
        read_certificates(empty)
    with pytest.raises(ConfigurationError, match="holds no certificate revocation list"):
        read_revocation_lists(empty)
    with pytest.raises(ConfigurationError, match=r"A revocation list in .* cannot be read"):
        read_revocation_lists(tmp_path / "wrong.der")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_certificates(tmp_path / "none.pem")
