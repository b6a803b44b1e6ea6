"""Campaigns and OpenSSL: its `cms` command reads what we sign, and we believe what it signs if the signer may."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.campaign.document import parse_campaign
from renewagent.campaign.pem import Signer
from renewagent.campaign.sign import sign_campaign
from renewagent.campaign.verify import verify_campaign
from renewagent.errors import CampaignError
from tests.unit.campaign.authority import AUTHORITY, NOW, PRESCRIBER, SIGNER, root
from tests.unit.campaign.documents import octets

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
AT = str(int(NOW.timestamp()))
TOP = root(kind="rsa2048")
MIDDLE = TOP.issue("Campaign CA", AUTHORITY)


def openssl(*words: object, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, check=check)


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_bytes(TOP.certificate.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_openssl_verifies_our_campaign_and_its_chain(tmp_path: Path, anchor: Path, kind: str) -> None:
    holder = MIDDLE.issue("RA manager", kind=kind)
    signer = Signer(holder.key, holder.certificate, (MIDDLE.certificate,))
    file = tmp_path / "eps.cms"
    file.write_bytes(sign_campaign(octets(), signer, NOW))
    ask = ("cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", anchor, "-purpose", "any", "-attime", AT)
    assert openssl(*ask).stdout == octets()
    file.write_bytes(file.read_bytes().replace(b"autumn", b"spring"))
    assert openssl(*ask, check=False).returncode != 0


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("options", [(), ("-keyid",), ("-md", "sha512"), ("-nosmimecap",)])
def test_we_believe_what_openssl_signs(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    extensions = SIGNER if "-keyid" not in options else (*SIGNER, _key_identifier())
    der = signed_by_openssl(tmp_path, MIDDLE.issue("RA manager", extensions, kind=kind).pem(), *options)
    assert verify_campaign(der, [TOP.certificate], NOW) == parse_campaign(octets())
    with pytest.raises(CampaignError, match="does not lead to the anchor"):
        verify_campaign(der, [root().certificate], NOW)


def test_we_do_not_believe_what_openssl_signs_with_another_certificate(tmp_path: Path) -> None:
    der = signed_by_openssl(tmp_path, MIDDLE.issue("Dr Ada Example", PRESCRIBER).pem())
    with pytest.raises(CampaignError, match="is not one for signing campaigns"):
        verify_campaign(der, [TOP.certificate], NOW)


def test_we_do_not_believe_what_openssl_signs_without_the_document(tmp_path: Path) -> None:
    der = signed_by_openssl(tmp_path, MIDDLE.issue("RA manager").pem(), attached=False)
    with pytest.raises(CampaignError, match="not correctly signed"):
        verify_campaign(der, [TOP.certificate], NOW)


def _key_identifier() -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier(b"\x01" * 20)


def signed_by_openssl(folder: Path, pem: bytes, *options: str, attached: bool = True) -> bytes:
    (folder / "eps.json").write_bytes(octets())
    (folder / "ra.pem").write_bytes(pem)
    (folder / "chain.pem").write_bytes(MIDDLE.certificate.public_bytes(Encoding.PEM))
    words = ["cms", "-sign", "-binary", "-outform", "DER", "-in", folder / "eps.json", "-signer", folder / "ra.pem"]
    words += ["-certfile", folder / "chain.pem", "-out", folder / "eps.cms", *(["-nodetach"] if attached else [])]
    openssl(*words, *options)
    return (folder / "eps.cms").read_bytes()
