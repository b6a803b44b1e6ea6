"""`campaign new` by options, and `campaign pause`, `resume` and `withdraw`, as scripts use them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from renewagent.campaign.document import parse_campaign
from renewagent.campaign.pem import read_certificates
from renewagent.campaign.verify import verify_campaign
from renewagent.cli import main
from tests.unit.campaign.documents import octets
from tests.unit.cli.test_campaign import LATER, Desk

WHOLE = (
    "new --id autumn --reason Faulty. --reason-in cy=Diffygiol. --rule batch --issued-from 2026-10-10"
    " --issued-to 2026-10-13T12:00:00Z --issuer CN=A,O=nhs --serial 00:1A:2b --serial 2000-2fff"
    " --signature-algorithm sha1WithRSAEncryption --key-algorithm rsa --key-usage any --key-bits-below 2048"
    " --card-model piv --remedy renew --renews pair --rekey allowed --old-key may-be-unusable"
    " --removal-ends-session no --deadline 2999-01-01 --expires 2999-06-01 --contact-name RA --contact-phone 0300"
    " --contact-url https://ra.example --contact-hours 9-5"
).split()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())


def run(*words: object, status: int = 0) -> None:
    assert main(["campaign", *map(str, words)]) == status


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_every_option_ends_in_its_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "autumn.json"
    run(*WHOLE, "--out", out, "--json")
    said = capsys.readouterr()
    assert json.loads(said.out) == {
        "ok": True,
        "campaign": "autumn",
        "version": 1,
        "signed": False,
        "signer": None,
        "out": str(out),
    }
    assert "It is not signed yet: agents do not believe it." in said.err
    assert f"renewagent campaign sign --card --out {tmp_path / 'autumn.campaign'} {out}\n" in said.err
    found = document(out)
    published = datetime.fromisoformat(found.pop("published"))
    assert timedelta() <= datetime.now(UTC) - published < timedelta(minutes=1)
    assert found == {
        "id": "autumn",
        "version": 1,
        "expires": "2999-06-01T00:00:00Z",
        "reason": {"en": "Faulty.", "cy": "Diffygiol."},
        "rules": [
            {
                "name": "batch",
                "issued_from": "2026-10-10T00:00:00Z",
                "issued_to": "2026-10-13T12:00:00Z",
                "serials": ["1a2b", "2000-2fff"],
                "signature_algorithms": ["sha1WithRSAEncryption"],
                "key_algorithms": ["rsa"],
                "card_models": ["piv"],
                "key_usage": "any",
                "key_bits_below": 2048,
                "issuer": "CN=A,O=nhs",
            }
        ],
        "remedy": "renew",
        "renews": "pair",
        "rekey": "allowed",
        "old_key": "may-be-unusable",
        "removal_ends_session": False,
        "deadline": "2999-01-01T00:00:00Z",
        "contact": {"name": "RA", "phone": "0300", "url": "https://ra.example", "hours": "9-5"},
    }


def test_several_issuers_are_as_many_rules(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    run(
        "new",
        "--id",
        "a",
        "--reason",
        "R.",
        "--issuer",
        "CN=A",
        "--issuer",
        "CN=B",
        "--key-bits-below",
        2048,
        "--out",
        out,
    )
    rules = parse_campaign(out.read_bytes()).rules
    assert [(rule.name, rule.key_bits_below) for rule in rules] == [
        ("affected certificates 1", 2048),
        ("affected certificates 2", 2048),
    ]


def test_a_next_version_keeps_what_is_not_said(tmp_path: Path, desk: Desk) -> None:
    desk.plain.write_bytes(octets(expires=LATER, **{"x-note": [1]}))
    out = tmp_path / "next.json"
    run("new", "--from", desk.plain, "--contact-phone", "0300", "--issued-to", "2020-10-02", "--out", out)
    before, after = document(desk.plain), document(out)
    assert after["version"] == 4
    assert after["contact"] == {**before["contact"], "phone": "0300"}
    assert after["rules"] == [{"name": "affected certificates", "issued_to": "2020-10-02T00:00:00Z"}]
    same = before.keys() - {"version", "published", "contact", "rules"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    run("new", "--from", out, "--add-rule", "--rule", "more", "--serial", "ff", "--out", tmp_path / "third.json")
    assert [rule["name"] for rule in document(tmp_path / "third.json")["rules"]] == ["affected certificates", "more"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("new",), 2, "Something is missing for a campaign"),
        (("new", "--id", "a", "--issued-to", "2020-10-02"), 2, "Give --reason TEXT"),
        (("new", "--id", "no spaces", "--reason", "R.", "--serial", "1"), 1, 'id cannot be "no spaces"'),
        (("new", "--id", "a", "--reason", "R.", "--serial", "zz"), 2, "is no serial number"),
        (("new", "--id", "a", "--reason", "R.", "--key-usage", "x"), 1, "key_usage must be"),
        (("new", "--id", "a", "--reason-in", "cy", "--serial", "1"), 2, "names no language"),
        (("new", "--id", "a", "--reason", "R.", "--serial", "1", "--expires", "2020-01-01"), 1, "later than published"),
    ],
)
def test_slips_are_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, said: str
) -> None:
    run(*words, "--out", tmp_path / "a.json", status=status)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_another_id_is_another_campaign(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    run("new", "--from", desk.plain, "--id", "other", "--out", desk.folder / "b.json", status=2)
    assert "The next version of campaign 2020-10-eps-signing has the same id." in capsys.readouterr().err


def test_pause_resume_withdraw_signed_at_once_over_the_published_file(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.sign() == 0
    anchors = read_certificates(desk.anchor)
    for version, (command, standing) in enumerate(
        [("pause", (True, False)), ("resume", (False, False)), ("withdraw", (False, True))], start=4
    ):
        run(command, desk.out, "--out", desk.out, "--key", desk.key)
        assert (
            f"Version {version} of campaign 2020-10-eps-signing is in {desk.out}, signed as" in capsys.readouterr().err
        )
        found = verify_campaign(desk.out.read_bytes(), anchors, datetime.now(UTC))
        assert (found.version, (found.paused, found.withdrawn)) == (version, standing)
    run("withdraw", desk.out, "--out", desk.out, "--key", desk.key, status=1)
    assert "is withdrawn, and that is for good" in capsys.readouterr().err


def test_a_version_that_is_not_signed_goes_beside(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.sign() == 0
    out = desk.folder / "paused.json"
    run("pause", desk.out, "--out", out, "--json")
    assert json.loads(capsys.readouterr().out)["signed"] is False
    assert document(out)["paused"] is True
    run("resume", out, "--out", out, status=2)
    assert "which would be lost" in capsys.readouterr().err
    run("resume", out, "--out", desk.out, status=2)
    assert "is not an unsigned campaign: it is not replaced" in capsys.readouterr().err
    run("resume", desk.plain, "--out", out, status=1)
    assert "is not paused" in capsys.readouterr().err


def test_an_older_version_does_not_take_the_place_of_a_newer_one(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.sign() == 0
    run("pause", desk.out, "--out", desk.out, "--key", desk.key)
    newer = desk.out.read_bytes()
    capsys.readouterr()
    assert desk.sign() == 2
    assert "holds version 4, which is newer than version 3" in capsys.readouterr().err
    assert desk.out.read_bytes() == newer


# -- key files ---------------------------------------------------------------------------------------------------------


def protected(desk: Desk, form: str, password: bytes) -> Path:
    """The signer's key file, protected: by us, or as openssl writes PKCS#12."""
    path = desk.folder / f"ra.{form}"
    if form == "pem":
        key = desk.ra.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
        chain = (desk.ra.certificate, desk.middle.certificate)
        path.write_bytes(key + b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    elif form == "p12":
        cover = BestAvailableEncryption(password) if password else NoEncryption()
        path.write_bytes(
            serialize_key_and_certificates(None, desk.ra.key, desk.ra.certificate, [desk.middle.certificate], cover)
        )
    else:
        words = ["openssl", "pkcs12", "-export", "-in", str(desk.key), "-out", str(path)]
        words += ["-passout", f"pass:{password.decode()}"]
        subprocess.run([*words, *(["-legacy"] if form == "legacy" else [])], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("form", ["pem", "p12", "openssl", "legacy"])
@pytest.mark.parametrize("by", ["file", "line"])
def test_a_protected_key_is_opened_with_its_password(
    desk: Desk, form: str, by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if form in ("openssl", "legacy") and shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    desk.key = protected(desk, form, b"open sesame")
    given: tuple[str, ...] = ()
    if by == "file":
        desk.write("password", b"open sesame\nmore\n")
        given = ("--password-file", str(desk.folder / "password"))
    else:
        monkeypatch.setattr("sys.stdin", io.StringIO("open sesame\n"))
    assert desk.sign(*given) == 0
    assert desk.verify() == 0
    assert "sesame" not in capsys.readouterr().err


def test_a_pkcs12_without_a_password_asks_for_none(desk: Desk) -> None:
    desk.key = protected(desk, "p12", b"")
    assert desk.sign() == 0
    assert desk.verify() == 0


@pytest.mark.parametrize("form", ["pem", "p12"])
def test_a_wrong_password_or_none_is_wrong_usage(desk: Desk, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    desk.key = protected(desk, form, b"open sesame")
    assert desk.sign() == 2
    assert "is protected by a password, and none was given." in capsys.readouterr().err
    wrong = desk.write("password", b"please")
    assert desk.sign("--password-file", str(wrong)) == 2
    assert "the password is wrong" in capsys.readouterr().err
    assert desk.sign("--password-file", str(desk.folder / "none")) == 2
    assert not desk.out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--key", "x", "--slot", "9c"), "--slot goes with --card"),
        (("--key", "x", "--chain", "x"), "--chain goes with --card"),
        (("--card", "--password-file", "x"), "--password-file goes with --key"),
        (("--card", "--key", "x"), "not allowed with argument"),
        ((), "One of the arguments --key --card is required"),
    ],
)
def test_options_of_the_other_kind_of_signer(
    desk: Desk, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("sign", desk.plain, "--out", desk.out, *words, status=2)
    assert said in capsys.readouterr().err


def test_what_is_neither_is_no_key_file(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.key = desk.write("ra.p12", b"0" + os.urandom(200))
    desk.write("password", b"x")
    assert desk.sign("--password-file", str(desk.folder / "password")) == 2
    assert "it is no PKCS#12 file" in capsys.readouterr().err
