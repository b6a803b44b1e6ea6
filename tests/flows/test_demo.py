"""The demonstration, as a visitor and as a script run it; what it leaves is judged by openssl alone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.words import Message
from renewagent.cli import main
from renewagent_fixtures.demo.person import visitor
from tests.programs import require

AFFECTED = {"new-key": "D", "same-key": "A", "misfit": "D", "second-key": "B"}


def _demo(*options: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "renewagent", "demo", "--json", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document, done.stderr


def _check(document: dict[str, Any]) -> None:
    assert document["ok"] is True
    assert document["ra"] == {"issued": 4, "confirmed": 4, "revoked": 4}
    clear, *affected = document["cards"]
    assert (clear["verdict"], clear["way"], clear["new"], clear["old"]["sha256"]) == ("UNAFFECTED", None, None, None)
    assert clear["check"]["apdus"] == 2
    assert clear["check"]["bytes"] <= 420
    assert not any(clear[name] for name in ("trial_signature", "receipt", "removed", "signed_in"))
    assert {card["card"]: card["way"] for card in affected} == AFFECTED
    for card in affected:
        assert card["verdict"] == "AFFECTED"
        assert all(card[name] is True for name in ("trial_signature", "receipt", "removed", "signed_in"))
        assert card["new"]["sha256"] != card["old"]["sha256"]
        assert card["new"]["not_before"] > card["old"]["not_before"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("demo") / "kept"
    document, _ = _demo("--keep", str(folder))
    return document, folder


def test_the_story_ends_well(kept: tuple[dict[str, Any], Path]) -> None:
    _check(kept[0])


def test_the_story_ends_well_through_real_pcsc() -> None:
    require("pcscd")
    document, _ = _demo("--pcsc")
    _check(document)
    assert document["pcsc"] is True


def _openssl(*words: str | Path, status: int = 0) -> str:
    require("openssl")
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", AFFECTED)
def test_openssl_trusts_the_new_certificate_and_finds_the_old_one_revoked(
    kept: tuple[dict[str, Any], Path], name: str
) -> None:
    folder = kept[1]
    trust: list[str | Path] = ["-CAfile", folder / "root.pem", "-untrusted", folder / "chain.pem"]
    crl: list[str | Path] = ["-crl_check", "-CRLfile", folder / "signing.crl.pem"]
    _openssl("verify", *trust, *crl, folder / f"{name}-9c.pem")
    assert "revoked" in _openssl("verify", *trust, *crl, folder / f"{name}-old-9c.pem", status=2)
    assert "Superseded" in _openssl("crl", "-in", folder / "signing.crl.pem", "-noout", "-text")


@pytest.mark.parametrize("name", AFFECTED)
def test_openssl_verifies_the_receipt_that_the_card_signed(kept: tuple[dict[str, Any], Path], name: str) -> None:
    document, folder = kept
    card = next(card for card in document["cards"] if card["card"] == name)
    trusted = folder / "trusted.pem"  # `openssl cms` takes no untrusted intermediates
    trusted.write_bytes((folder / "root.pem").read_bytes() + (folder / "chain.pem").read_bytes())
    receipt = folder / f"{name}-receipt.cms"
    said = _openssl(
        "cms", "-verify", "-binary", "-inform", "DER", "-in", receipt, "-purpose", "any", "-CAfile", trusted
    )
    assert said.startswith("renewagent receipt v1\n")
    assert f"certificate: {card['new']['sha256']}\n" in said
    assert f"old: {card['old']['sha256']}\n" in said


def test_way_a_keeps_the_key_and_the_others_replace_it(kept: tuple[dict[str, Any], Path]) -> None:
    for name, way in AFFECTED.items():
        old, new = (
            _openssl("x509", "-in", kept[1] / f"{name}-{which}.pem", "-noout", "-pubkey") for which in ("old-9c", "9c")
        )
        assert (old == new) is (way == "A")


def test_a_visitor_is_told_the_story() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "renewagent", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # so that `renewagent demo | less` shows everything
    assert done.stdout.startswith("renewagent: from a badly issued smartcard")
    assert done.stdout.endswith("All is well.\n")


def test_a_visitor_at_a_terminal_is_asked_there_and_nobody_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    out = Terminal()
    person = visitor(False, out)
    assert person is not None
    person.tell(Message("demo", "Good morning", ""))
    assert "Good morning" in out.getvalue()
    assert visitor(False, io.StringIO()) is None
    assert visitor(True, out) is None
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert visitor(False, out) is None


def test_help_says_that_private_keys_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--help"]) == 0
    assert "private keys" in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run(
        [sys.executable, "-m", "renewagent", "demo", "--json", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
