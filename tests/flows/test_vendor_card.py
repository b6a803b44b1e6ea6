"""A vendor's card, behind a PKCS#11 module: `renewagent inspect` reads it in its own process, and a module that
crashes or hangs there harms nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from renewagent.agent.children import ask_child
from renewagent.errors import AgentError
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.soft_token import SoftTokens
from renewagent_fixtures.soft_token.readers import SoftReaders
from tests.made import certificate
from tests.soft import OtherProgram
from tests.unit.agent.place import ISSUER, Place, campaign_json, days_ago

READER = "Vendor Reader 00 00"


@pytest.fixture
def place(tmp_path: Path, soft_tokens: SoftTokens) -> Iterator[Place]:
    place = Place(tmp_path)
    place.publish(campaign_json())
    with RelayServer(SoftReaders(soft_tokens, READER), tmp_path / "readers.sock") as relay:
        card = f'readers = "{relay.where}"\nsigning_issuers = ["{ISSUER}"]\npkcs11_module = "{soft_tokens.module}"'
        place.configure(relay.where, card=card)
        yield place


def card_issued(place: Place, tokens: SoftTokens, days: int) -> str:
    serial = tokens.create()
    tokens.insert(READER, serial)
    key = ec.generate_private_key(ec.SECP256R1())
    der = certificate(key.public_key(), issuer=place.ca.name, not_before=days_ago(days), not_after=days_ago(-400))
    OtherProgram(tokens, serial).imports("0a", key, der)
    return serial


def inspect(place: Place, tokens: SoftTokens) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "renewagent", "inspect", "--config", str(place.config), "--json"]
    env = {**place.env, **tokens.environment}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("days", "verdict"), [(400, "UNAFFECTED"), (7, "AFFECTED")])
def test_a_vendors_card_is_judged(place: Place, soft_tokens: SoftTokens, days: int, verdict: str) -> None:
    serial = card_issued(place, soft_tokens, days)
    soft_tokens.forget_calls()
    done = inspect(place, soft_tokens)
    assert done.returncode == 0, done.stderr
    (card,) = json.loads(done.stdout)["cards"]
    assert (card["reader"], card["verdict"]) == (READER, verdict)
    assert card["card"] == f"token:{serial.encode().hex()}"
    assert card["check"]["apdus"] == 1  # PIV's SELECT, which it does not know
    assert "C_Login" not in soft_tokens.calls()


def test_a_module_that_refuses_is_a_finding(place: Place, soft_tokens: SoftTokens) -> None:
    card_issued(place, soft_tokens, 7)
    soft_tokens.order({"C_FindObjectsInit": "30"})
    done = inspect(place, soft_tokens)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (card,) = json.loads(done.stdout)["cards"]
    assert (card["verdict"], card["error"]["code"]) == ("UNREADABLE", "RA-CARD-REFUSED")


def test_a_module_that_crashes_is_told_by_who_asked_its_process(
    place: Place, soft_tokens: SoftTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    card_issued(place, soft_tokens, 7)
    options = ["--config", str(place.config), "--reader", READER]
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    assert ask_child("renewagent.agent.inspection_child", options)["reader"] == READER
    soft_tokens.order({"C_FindObjects": "crash"})
    with pytest.raises(AgentError):
        ask_child("renewagent.agent.inspection_child", options)


def test_the_agent_leaves_a_vendors_card_to_a_child_and_tells_what_that_found(
    place: Place, soft_tokens: SoftTokens
) -> None:
    card_issued(place, soft_tokens, 7)
    env = {**place.env, **soft_tokens.environment}
    words = [sys.executable, "-m", "renewagent", "agent", "--config", str(place.config)]
    agent = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        status = _status_once_judged(place, env)
        (loaded,) = (Path(f"/proc/{agent.pid}/maps").read_text(),)
    finally:
        agent.terminate()
        _, said = agent.communicate(timeout=20)
    (reader,) = (one for one in status["readers"] if one["reader"] == READER)
    assert reader["card"]["verdict"] == "AFFECTED"
    assert "person.not_told kind=affected" in said
    assert str(soft_tokens.module) not in loaded


def _status_once_judged(place: Place, env: dict[str, str]) -> dict[str, Any]:
    words = [sys.executable, "-m", "renewagent", "status", "--config", str(place.config), "--json"]
    for _ in range(60):
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            document: dict[str, Any] = json.loads(done.stdout)
            if any(one["card"] and not one["checking"] for one in document["readers"]):
                return document
        time.sleep(0.2)
    raise AssertionError("the agent came to no verdict")
