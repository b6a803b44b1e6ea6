"""`campaign sign` and `campaign verify` as scripts use them: the document, the sentences, the exit status."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.campaign.pem import read_signer
from renewagent.cli import main
from renewagent.cms import open_signed, sign
from tests.unit.campaign.authority import AUTHORITY, PRESCRIBER, Holder, root
from tests.unit.campaign.documents import octets

TODAY = datetime.now(UTC).replace(microsecond=0)
LATER = (TODAY + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
DOCUMENT = octets(expires=LATER)


class Desk:
    """An RA manager's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.top = root()
        self.middle = self.top.issue("Campaign CA", AUTHORITY, end=TODAY + timedelta(days=900))
        self.ra = self.issue(self.middle)
        self.plain, self.out = self.write("eps.json", DOCUMENT), folder / "eps.cms"
        self.key = self.ra.written(folder / "ra.pem", self.middle.certificate)
        self.anchor = self.write("anchor.pem", self.top.certificate.public_bytes(Encoding.PEM))

    def issue(self, issuer: Holder) -> Holder:
        return issuer.issue("RA manager", start=TODAY - timedelta(days=1), end=TODAY + timedelta(days=365))

    def write(self, name: str, octets: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(octets)
        return path

    def sign(self, *more: str) -> int:
        return main(["campaign", "sign", str(self.plain), "--key", str(self.key), "--out", str(self.out), *more])

    def verify(self, *more: str) -> int:
        return main(["campaign", "verify", str(self.out), "--anchor", str(self.anchor), *more])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_sign_then_verify(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.sign() == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Signed campaign 2020-10-eps-signing, version 3, as CN=RA manager,O=Trust.")
    assert open_signed(desk.out.read_bytes()).content == DOCUMENT
    assert desk.verify() == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "is campaign 2020-10-eps-signing, version 3, correctly signed." in said.err
    assert "It is in force until " in said.err
    assert "What people are told: This smartcard was issued with a fault." in said.err


def test_json_is_one_document_each(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.sign("--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "campaign": "2020-10-eps-signing",
        "version": 3,
        "signer": "CN=RA manager,O=Trust",
        "out": str(desk.out),
    }
    assert desk.verify("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["campaign"], told["version"], told["in_force"]) == (True, "2020-10-eps-signing", 3, True)
    assert told["document"]["rules"][0]["serials"] == ["1a2b", "2000-2fff", "0", "-ff--1"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"withdrawn": True}, "It is withdrawn: it affects no certificate."),
        ({"expires": "2021-01-01T00:00:00Z"}, "It expired on 1 January 2021 at 00:00 UTC: it affects no certificate"),
    ],
)
def test_a_campaign_that_is_over_is_still_correctly_signed(
    desk: Desk, capsys: pytest.CaptureFixture[str], changes: dict[str, object], words: str
) -> None:
    signer = read_signer(desk.key)
    document = octets(**{"expires": LATER, **changes})
    desk.out.write_bytes(sign(document, signer.certificate, signer.key, signer.chain))
    assert desk.verify("--json") == 0
    said = capsys.readouterr()
    assert words in said.err
    assert json.loads(said.out)["in_force"] is False


def test_what_is_signed_may_be_read_by_all_and_replaces_the_old_at_once(desk: Desk) -> None:
    assert desk.sign() == 0
    old = desk.out.read_bytes()
    desk.plain.write_bytes(octets(expires=LATER, version=4))
    with desk.out.open("rb") as held:
        assert desk.sign() == 0
        assert held.read() == old  # a reader in the middle of the old one sees all of it
    assert desk.out.read_bytes() != old
    assert stat.S_IMODE(desk.out.stat().st_mode) == 0o644
    assert sorted(path.name for path in desk.folder.iterdir()) == ["anchor.pem", "eps.cms", "eps.json", "ra.pem"]


def test_wrong_documents_and_signers_are_refused_with_status_1(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.plain.write_bytes(b'{"id": "a"}')
    assert desk.sign("--json") == 1
    said = capsys.readouterr()
    assert f"version is missing.\nCorrect {desk.plain} and sign it again.\n" in said.err
    assert json.loads(said.out)["ok"] is False
    desk.plain.write_bytes(DOCUMENT)
    desk.middle.issue("Dr Ada Example", PRESCRIBER).written(desk.key)
    assert desk.sign() == 1
    said = capsys.readouterr()
    assert "is not one for signing campaigns" in said.err
    assert f"Give --key a file with the key and certificate of a campaign signer; {desk.key} is not one." in said.err
    assert not desk.out.exists()


def test_what_agents_would_refuse_verify_refuses_with_status_1(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.sign() == 0
    crl = desk.write("crl.pem", desk.middle.revoke(desk.ra).public_bytes(Encoding.PEM))
    assert desk.verify("--crl", str(crl)) == 1
    assert "has been revoked" in capsys.readouterr().err
    desk.out.write_bytes(desk.out.read_bytes().replace(b"autumn", b"spring"))
    assert desk.verify() == 1
    assert "This campaign is not correctly signed" in capsys.readouterr().err
    desk.out.write_bytes(DOCUMENT)
    assert desk.verify() == 1
    assert "This campaign is not correctly signed" in capsys.readouterr().err
    desk.anchor.write_bytes(root().certificate.public_bytes(Encoding.PEM))
    desk.out.unlink()
    assert desk.sign() == 0
    assert desk.verify() == 1
    assert "does not lead to the anchor" in capsys.readouterr().err


def test_files_that_are_not_there_are_wrong_usage(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("plain", "key", "anchor"):
        whole = Desk(desk.folder)
        setattr(whole, name, desk.folder / "none")
        assert (whole.verify() if name == "anchor" else whole.sign()) == 2
        assert f"The file {desk.folder / 'none'} cannot be read: No such file" in capsys.readouterr().err
    desk.out = desk.folder / "none" / "eps.cms"
    assert desk.sign() == 2
    assert "cannot be written: No such file or directory." in capsys.readouterr().err
    assert desk.verify() == 2
    assert main(["campaign"]) == 2
    assert main(["campaign", "sign", "x"]) == 2


def test_no_umask_makes_a_half_private_campaign(desk: Desk) -> None:
    before = os.umask(0o077)
    try:
        assert desk.sign() == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(desk.out.stat().st_mode) == 0o644


def test_a_source_is_never_replaced_by_its_signed_form(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    link, twin = desk.folder / "link", desk.folder / "twin"
    link.symlink_to(desk.plain)
    twin.hardlink_to(desk.plain)
    for out in (desk.plain, link, twin, desk.folder / "." / "eps.json"):
        desk.out = out
        assert desk.sign() == 2
        assert "--out names the campaign itself" in capsys.readouterr().err
        assert desk.plain.read_bytes() == DOCUMENT


def test_nothing_but_a_signed_campaign_is_replaced(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    signer = read_signer(desk.key)
    other = sign(b"a receipt, say", signer.certificate, signer.key, signer.chain)
    for held in (b"precious", b"", DOCUMENT, other):
        desk.out.write_bytes(held)
        assert desk.sign("--json") == 2
        said = capsys.readouterr()
        assert f"The file {desk.out} exists and is not a signed campaign: it is not replaced." in said.err
        assert json.loads(said.out)["error"]["code"] == "RA-CONFIGURATION"
        assert desk.out.read_bytes() == held
    desk.out = desk.key
    assert desk.sign() == 2
    assert b"PRIVATE KEY" in desk.key.read_bytes()
    desk.out = desk.folder
    assert desk.sign() == 2


def test_an_expired_campaign_is_not_signed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.plain.write_bytes(octets())
    assert desk.sign() == 1
    said = capsys.readouterr().err
    assert "This campaign expired on 1 January 2021 at 00:00 UTC: it would affect no certificate any more." in said
    assert f"Correct {desk.plain} and sign it again." in said
    assert not desk.out.exists()


def test_both_tell_what_the_campaign_hits(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    for act in (desk.sign, desk.verify):
        assert act() == 0
        said = capsys.readouterr().err
        for words in (
            'Rule "autumn batch" hits certificates of which all of this is true:',
            "issued on or after 28 September 2020 at 00:00 UTC",
            "issued before 1 October 2020 at 12:00 UTC",
            "issued by CN=NHS Signing G2,O=nhs,C=GB",
            "serial number (hexadecimal) 1a2b, 2000 to 2fff, 0, -ff to -1",
            "key usage contentCommitment",
            "a key of fewer than 2048 bits",
            "Remedy: the smartcard is renewed at the workstation (the signing certificate alone), with a new key, by 4",
            "It is in force until ",
        ):
            assert words in said


@pytest.mark.parametrize("rule", [{}, {"key_usage": "any"}, {"key_usage": "digitalSignature"}, {"serials": []}])
def test_a_rule_that_hits_everything_needs_a_word(
    desk: Desk, capsys: pytest.CaptureFixture[str], rule: dict[str, object]
) -> None:
    desk.plain.write_bytes(octets(expires=LATER, rules=[{"name": "oops", **rule}]))
    assert desk.sign() == 1
    said = capsys.readouterr().err
    if rule == {"serials": []}:
        assert "Correct" in said
        return
    assert 'The rule "oops" hits every certificate' in said
    assert "add --allow-all" in said
    assert not desk.out.exists()
    assert desk.sign("--allow-all") == 0
    assert 'Rule "oops" hits EVERY certificate' in capsys.readouterr().err
    assert desk.verify() == 0


@pytest.mark.parametrize(
    "criterion",
    [
        {"issued_from": "2020-09-28T00:00:00Z"},
        {"issued_to": "2020-09-28T00:00:00Z"},
        {"issuer": "CN=A"},
        {"serials": ["1"]},
        {"signature_algorithms": ["sha1WithRSAEncryption"]},
        {"key_algorithms": ["rsa"]},
        {"key_bits_below": 2048},
        {"card_models": ["piv"]},
    ],
)
def test_one_criterion_is_enough(desk: Desk, criterion: dict[str, object]) -> None:
    desk.plain.write_bytes(octets(expires=LATER, rules=[{"name": "one", **criterion}]))
    assert desk.sign() == 0
