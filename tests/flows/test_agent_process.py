"""The agent as a person's machine runs it: a process of its own that sees cards come and go, tells, and is asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.journal import Journal
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.vpcd import VpcdLink
from tests.pcsc import until
from tests.unit.agent.place import Place, campaign_json, days_ago

READER = "Virtual Reader 1"


class RunningAgent:
    """`renewagent agent`, and the other commands beside it."""

    def __init__(self, place: Place, env: dict[str, str] | None = None) -> None:
        self.place = place
        self.env = {**place.env, **(env or {})}
        self.log = (place.folder / "agent.log").open("wb")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, "-m", "renewagent", "agent", "--config", str(self.place.config)]
        self.process = subprocess.Popen(words, env=self.env, stderr=self.log, stdin=subprocess.DEVNULL)
        until(lambda: self.call("status")[0] == 0)

    def call(self, *words: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [sys.executable, "-m", "renewagent", *words, "--config", str(self.place.config), "--json"],
            env=self.env,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode, json.loads(done.stdout), done.stderr.decode()

    def reader(self, name: str = READER) -> dict[str, Any]:
        found: dict[str, Any] = next(
            (one for one in self.call("status")[1]["readers"] if one["reader"] == name), {"card": None}
        )
        return found

    def verdict(self, name: str = READER) -> str | None:
        card = self.reader(name)["card"]
        return card["verdict"] if card else None

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def logged(self) -> str:
        return (self.place.folder / "agent.log").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def agent(place: Place, virtual_readers: VirtualReaders) -> Iterator[RunningAgent]:
    with RelayServer(virtual_readers, place.folder / "readers.sock") as relay:
        place.configure(relay.where)
        running = RunningAgent(place)
        yield running
        running.close()


def test_from_an_inserted_card_to_its_finding(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders
) -> None:
    place.publish(campaign_json())
    virtual_readers.insert(READER, place.ca.card(days_ago(400)))
    agent.start()
    until(lambda: agent.verdict() == "UNAFFECTED")
    found = agent.reader()["card"]
    assert found["check"]["apdus"] == 2 and found["check"]["bytes"] <= 420
    assert found["certificate"]["sha256"] is None

    virtual_readers.remove(READER)
    until(lambda: not agent.reader()["present"])
    assert agent.verdict() is None

    virtual_readers.insert(READER, place.ca.card(days_ago(7)))
    until(lambda: agent.verdict() == "AFFECTED")
    found = agent.reader()
    assert (found["card"]["campaign"], found["card"]["rule"]) == ("test-batch", "bad week")
    assert len(found["card"]["certificate"]["sha256"]) == 64
    assert found["card"]["pin_tries"] == 3
    assert "Do not sign prescriptions with this smartcard until you renew it." in found["message"]
    assert "0300 303 5035" in found["message"]


def test_a_campaign_that_arrives_later_finds_the_card_that_is_in(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders
) -> None:
    place.publish(campaign_json(rules=[{"name": "long ago", "issued_to": "2001-01-01T00:00:00Z"}]))
    virtual_readers.insert(READER, place.ca.card(days_ago(7)))
    agent.start()
    until(lambda: agent.verdict() == "UNAFFECTED")
    place.publish(campaign_json(version=2))
    until(lambda: agent.verdict() == "AFFECTED")
    assert agent.call("status")[1]["campaigns"]["accepted"][0]["version"] == 2


def test_an_unsigned_campaign_is_not_believed_and_status_says_so(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders
) -> None:
    place.campaign.write_bytes(campaign_json())
    virtual_readers.insert(READER, place.ca.card(days_ago(7)))
    agent.start()
    until(lambda: agent.call("status")[1]["campaigns"]["problem"])
    status = agent.call("status")[1]
    assert "not correctly signed" in status["campaigns"]["problem"]
    assert status["campaigns"]["accepted"] == []
    until(lambda: agent.verdict() == "UNAFFECTED")


def test_a_journal_that_cannot_be_read_keeps_nobody_from_the_status(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders
) -> None:
    agent.start()
    (place.state / "journal.db").write_bytes(b"no database at all" * 100)
    virtual_readers.insert(READER, place.ca.card(days_ago(400)))
    until(lambda: agent.verdict() == "UNAFFECTED")
    status = agent.call("status")[1]
    assert (status["renewals"], status["old_keys"]) == ([], [])
    assert "record of renewals" in status["journal"]["problem"]
    command = [sys.executable, "-m", "renewagent", "status", "--config", str(place.config)]
    said = subprocess.run(command, env=agent.env, capture_output=True, text=True, timeout=60, check=True)
    assert status["journal"]["problem"] in said.stdout + said.stderr


def test_status_says_until_when_an_old_key_stays(agent: RunningAgent, place: Place) -> None:
    over = datetime.now(UTC)
    with Journal(place.state / "journal.db") as journal:
        for card, past in (("chuid:aa4821", 0), ("chuid:bb9558", 40)):
            for name, fields in (("staging", {"way": "B", "parking": "82"}), ("signed-in", {})):
                journal.append(f"renewal of {card}", card, name, fields, over - timedelta(days=past))
    agent.start()
    first, second = agent.call("status")[1]["old_keys"]
    assert (first["card"], first["slot"], second["card"]) == ("chuid:aa4821", "82", "chuid:bb9558")
    assert first["kept_until"] == f"{over + timedelta(days=14):%Y-%m-%dT%H:%M:%SZ}"
    command = [sys.executable, "-m", "renewagent", "status", "--config", str(place.config)]
    said = subprocess.run(command, env=agent.env, capture_output=True, text=True, timeout=60, check=True)
    lines = (said.stdout + said.stderr).splitlines()
    assert any(line.startswith("The old key of the smartcard ending 4821 is kept on it until ") for line in lines)
    assert "The old key of the smartcard ending 9558 is taken off when that smartcard is next put in." in lines


def test_a_second_agent_is_refused(agent: RunningAgent) -> None:
    agent.start()
    status, document, said = agent.call("agent")
    assert status == 1
    assert document["error"]["code"] == "RA-AGENT"
    assert "The renewagent agent is already running." in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(agent: RunningAgent, place: Place, number: int) -> None:
    agent.start()
    assert agent.stop(number) == 0
    assert list((place.folder / "run").rglob("*.sock")) == []
    assert "agent.stopped" in agent.logged()
    status, document, _ = agent.call("status")
    assert status == 1
    assert document["error"]["message"] == "The renewagent agent is not running."
    agent.start()
    assert agent.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_json_it_prints_one_document_at_its_end(agent: RunningAgent, place: Place, number: int) -> None:
    words = [sys.executable, "-m", "renewagent", "agent", "--json", "--config", str(place.config)]
    with subprocess.Popen(words, env=agent.env, stderr=agent.log, stdout=subprocess.PIPE) as process:
        until(lambda: agent.call("status")[0] == 0)
        process.send_signal(number)
        said, _ = process.communicate(timeout=20)
    document = json.loads(said)  # one, and no more
    assert process.returncode == 0
    assert document["ok"] is True
    assert document["started"] < document["stopped"]
    assert "No campaign is configured" not in agent.logged()


def test_an_agent_without_campaigns_says_so_once(agent: RunningAgent, place: Place) -> None:
    relay = place.config.read_text().partition('readers = "')[2].partition('"')[0]
    place.configure(relay, campaign="")
    agent.start()
    assert agent.stop() == 0
    assert agent.logged().count("No campaign is configured: nothing says which smartcards must be renewed.") == 1
    assert "Set campaign.urls in" in agent.logged()


def test_an_agent_that_was_killed_leaves_nothing_that_stops_the_next(agent: RunningAgent) -> None:
    agent.start()
    assert agent.stop(signal.SIGKILL) == -signal.SIGKILL
    assert agent.call("status")[0] == 1
    agent.start()
    assert agent.stop() == 0


def test_the_service_manager_is_told(agent: RunningAgent, place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.folder / "notify"))
        manager.settimeout(10)
        agent.env.update(NOTIFY_SOCKET=str(place.folder / "notify"), WATCHDOG_USEC="1000000")
        agent.start()
        heard = [manager.recv(100)]
        while heard.count(b"WATCHDOG=1") < 3 or b"READY=1" not in heard:
            heard.append(manager.recv(100))
        assert agent.stop() == 0
        while heard[-1] != b"STOPPING=1":
            heard.append(manager.recv(100))


def test_a_bank_card_is_nobodys_business(agent: RunningAgent, place: Place, virtual_readers: VirtualReaders) -> None:
    class BankCard:
        atr = b"\x3b\x00"

        def power_on(self) -> bytes:
            return self.atr

        reset = power_on

        def power_off(self) -> None:
            pass

        def transmit(self, command: bytes) -> bytes:
            return b"\x6a\x82"

    virtual_readers.insert(READER, BankCard())
    agent.start()
    until(lambda: agent.verdict() == "UNREADABLE")
    assert "told kind=" not in agent.logged()


MEMORY = 20_000_000
"""Octets that the resident may have in memory (design section 10), a console to report to included."""


def resident_set(pid: int) -> int:
    """Octets (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) * 1024


def test_pcscd_goes_away_and_comes_back_and_the_agent_stays_small(place: Place, pcsc_directory: Path) -> None:
    place.publish(campaign_json())
    place.configure("pcsc", console='url = "https://127.0.0.1:9"\nenrolment = "NONE-AT-ALL"')
    agent = RunningAgent(place)
    try:
        with PrivatePcscd(1, directory=pcsc_directory) as pcscd:
            agent.env.update(pcscd.env)
            agent.start()
            reader = pcscd.reader_names[0]
            with VpcdLink(place.ca.card(days_ago(400)), pcscd.ports[0]):
                until(lambda: agent.verdict(reader) == "UNAFFECTED")
        until(lambda: not agent.call("status")[1]["pcsc"]["ok"])
        with PrivatePcscd(1, directory=pcsc_directory) as pcscd:
            reader = pcscd.reader_names[0]
            with VpcdLink(place.ca.card(days_ago(7)), pcscd.ports[0]):
                until(lambda: agent.verdict(reader) == "AFFECTED", 20)
                assert agent.process is not None
                assert resident_set(agent.process.pid) <= MEMORY
        assert agent.stop() == 0
    finally:
        agent.close()


def test_the_resident_process_holds_no_cryptography(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders
) -> None:
    place.publish(campaign_json())
    virtual_readers.insert(READER, place.ca.card(days_ago(7)))
    agent.start()
    until(lambda: agent.verdict() == "AFFECTED")
    assert agent.process is not None
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert not [name for name in ("cryptography", "libssl", "libcrypto", "_ssl.") if name in maps]


def test_nobody_else_may_ask(agent: RunningAgent, place: Place) -> None:
    agent.start()
    path = place.folder / "run" / "renewagent" / "agent.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    if os.getuid() == 0:
        script = f"import os, socket; os.setuid(65534); socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert b"PermissionError" in done.stderr
