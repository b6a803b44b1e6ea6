"""`renewagent doctor`: why can I not sign? Every answer about readers and cards, provoked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.agent.doctor import examine
from renewagent.agent.doctor_card import of_chain, of_dates, of_tries
from renewagent.errors import CardBusy, RenewAgentError
from renewagent.health import Health, Observation
from renewagent.model import CertificateHead
from renewagent.names import parse_name
from renewagent.rules import Contact
from renewagent_fixtures.demo_tokens.stage import stage
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from tests.unit.agent.place import NOW, Ca, Place, campaign_json, days_ago

FIRST = "Virtual Reader 1"


@pytest.fixture
def place(tmp_path: Path, virtual_readers: VirtualReaders) -> Iterator[Place]:
    place = Place(tmp_path)
    place.publish(campaign_json())
    with RelayServer(virtual_readers, tmp_path / "readers.sock") as relay:
        place.configure(relay.where, ra=f'root = "{place.anchor}"')
        yield place


def doctor(place: Place, *words: str, status: int = 0) -> dict[str, dict[str, str]]:
    """By name of the check: what was said."""
    done = _run(place, "--json", *words)
    assert done.returncode == status, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is (status == 0)
    return {check["name"]: check for check in document["checks"]}


def _run(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "renewagent", "doctor", "--config", str(place.config), *words]
    done = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_a_good_card_has_nothing_wrong(place: Place, virtual_readers: VirtualReaders) -> None:
    card = place.ca.card(days_ago(400))
    virtual_readers.insert(FIRST, card)
    before = card.pin_tries
    found = doctor(place)
    names = ["smartcard service", "reader", "card driver", "signing certificate", "certificate dates", "passcode"]
    names += ["issuers", "campaigns", "disk", "journal", "version"]
    assert {name: found[name]["health"] for name in names} == dict.fromkeys(names, "ok")
    assert "PIV" in found["card driver"]["said"] and "test-batch" in found["campaigns"]["said"]
    assert list(found) == ["session", "removing the card", *names[:8], "agent", *names[8:]]
    assert card.pin_tries == before
    said = _run(place).stderr
    assert "Nothing here keeps you from signing." in said and "You have 3 tries for its passcode." in said


def test_an_affected_card_is_what_is_wrong(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(7)))
    found = doctor(place, status=1)
    assert found["signing certificate"]["health"] == "fail"
    assert "Renew your smartcard" in found["signing certificate"]["said"]
    assert found["certificate dates"]["health"] == "ok"
    assert "Something keeps you from signing" in _run(place).stderr


def test_no_card_is_no_fault_and_no_reader_is_one(place: Place, virtual_readers: VirtualReaders) -> None:
    found = doctor(place)
    assert found["smartcard"]["health"] == "warn" and "no smartcard in the reader" in found["smartcard"]["said"]
    found = doctor(place, "--reader", "Nobody's", status=1)
    assert found["reader"]["health"] == "fail" and "Nobody's" in found["reader"]["said"]


def test_without_a_smartcard_service_it_says_so(place: Place) -> None:
    place.configure("unix:/nowhere/readers.sock")
    found = doctor(place, status=1)
    assert found["smartcard service"]["health"] == "fail" and found["smartcard service"]["advice"]


def test_a_card_that_cannot_be_read_hides_nothing_else(place: Place, virtual_readers: VirtualReaders) -> None:
    card = place.ca.card(days_ago(400))
    card.write_certificate(0x9C, b"\x30\x82\xff\xff not a certificate")
    virtual_readers.insert(FIRST, card)
    found = doctor(place, status=1)
    assert found["smartcard service"]["health"] == "ok"
    assert found["smartcard"]["health"] == "fail"


def test_without_a_campaign_it_is_not_called_good(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(400)))
    place.campaign.unlink()
    found = doctor(place)
    assert found["signing certificate"]["health"] == "unknown"
    assert found["campaigns"]["health"] == "warn"


@pytest.mark.parametrize(
    "starts, ends, health, said",
    [
        (-10, 1000, "ok", "is good until"),
        (-1000, 89, "warn", "is good until"),
        (-1000, 0, "fail", "expired on"),
        (1, 1000, "fail", "is good only from"),
    ],
)
def test_dates(starts: float, ends: float, health: str, said: str) -> None:
    head = CertificateHead(1, parse_name("CN=CA"), NOW + timedelta(days=starts), NOW + timedelta(days=ends))
    found = of_dates(head, Contact(), NOW)
    assert (found.health.value, said in found.said) == (health, True)


@pytest.mark.parametrize("left, health", [(None, "unknown"), (0, "fail"), (1, "warn"), (2, "ok"), (3, "ok")])
def test_tries(left: int | None, health: str) -> None:
    assert of_tries(left).health.value == health


def chain(place: Place, folder: Path, days: float) -> Observation:
    """What is said `days` from now of a certificate whose issuer ends in 596."""
    card = place.ca.card(days_ago(400))
    der = card.certificate(0x9C)
    assert der is not None
    return of_chain(der, place.anchor, NOW + timedelta(days=days))


def test_an_issuer_that_ends_before_what_is_signed_is_dispensed(place: Place, tmp_path: Path) -> None:
    assert chain(place, tmp_path, 0).health is Health.OK
    assert chain(place, tmp_path, 567).health is Health.OK
    late = chain(place, tmp_path, 569)
    assert late.health is Health.WARNING and "may not verify when dispensed" in late.said
    over = chain(place, tmp_path, 597)
    assert over.health is Health.PROBLEM and "nobody can verify what you sign" in over.said


def test_somebody_elses_certificate_under_the_same_name_is_found_out(place: Place, tmp_path: Path) -> None:
    root: x509.Certificate = Ca().root()
    (tmp_path / "other.pem").write_bytes(root.public_bytes(Encoding.PEM))
    der: Any = place.ca.card(days_ago(400)).certificate(0x9C)
    found = of_chain(der, tmp_path / "other.pem", NOW)
    assert found.health is Health.PROBLEM and "does not come from the Registration Authority" in found.said


def at_desk(tmp_path: Path, user: str, *more: str, status: int = 0) -> dict[str, dict[str, str]]:
    """`doctor --user` of somebody of the tokens' story, with no smartcard anywhere."""
    with stage(tmp_path / "story") as players:
        origin, root = players.desk(user).origin, tmp_path / "story" / "console" / "self-signed.pem"
        config, password = tmp_path / "config.toml", tmp_path / "password"
        config.write_text(f'[desk]\nurl = "{origin}"\nroot = "{root}"\n[agent]\nstate_dir = "{tmp_path}/state"\n')
        password.write_text(players.world.password(user))
        command = [sys.executable, "-m", "renewagent", "doctor", "--config", str(config), "--json", *more]
        command += ["--user", user, "--password-file", str(password)] if "--nobody" not in more else []
        command = [word for word in command if word != "--nobody"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_prescriber_without_a_smartcard_is_told_of_tokens_and_grants(tmp_path: Path) -> None:
    (tmp_path / "story").mkdir()
    found = at_desk(tmp_path, "hope", status=1)
    assert "smartcard service" not in found
    assert any(one["health"] == "ok" and "EPCS" in name for name, one in found.items())
    assert any(one["health"] == "fail" and one["advice"] for one in found.values()), "an app that has expired"


def test_without_signing_in_the_desk_is_unknown_and_nothing_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "story").mkdir()
    found = at_desk(tmp_path, "ames", "--nobody")
    assert found["EPCS desk"]["health"] == "unknown" and "--user" in found["EPCS desk"]["advice"]


def test_one_broken_check_hides_no_other() -> None:
    def busy() -> list[Observation]:
        raise CardBusy("Another program is using the smartcard.")

    def broken() -> list[Observation]:
        raise LookupError("ours")

    def silent() -> list[Observation]:
        time.sleep(30)
        return []

    checks = {"smartcard": busy, "rest": lambda: [Observation("rest", Health.OK, "Well.")], "ours": broken}
    began = time.monotonic()
    found = examine({"silent": silent, **checks}, lambda problem: RenewAgentError(f"A bug: {problem}"), 0.5)
    assert time.monotonic() - began < 5
    assert [(one.name, one.health) for one in found] == [
        ("silent", Health.UNKNOWN),
        ("smartcard", Health.PROBLEM),
        ("rest", Health.OK),
        ("ours", Health.UNKNOWN),
    ]
    assert found[1].advice and "A bug: ours" in found[3].said
