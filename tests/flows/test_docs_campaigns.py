"""docs/campaigns.md, followed to the letter: each command that it shows, in its order, as an RA manager types it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from renewagent.campaign.document import parse_campaign
from renewagent.cms import open_signed
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.desk import Conversation
from tests.flows.hostile_site import serving, whole
from tests.flows.test_agent_process import RunningAgent
from tests.house import ROOT
from tests.pcsc import until
from tests.programs import require
from tests.unit.agent.place import ISSUER, Place, _usage, days_ago

TEXT = (ROOT / "docs" / "campaigns.md").read_text()
PIN = "123456"
IN_THE_WINDOW = datetime(2026, 10, 11, 9, tzinfo=UTC)
RULE = ["October batch", "2026-10-10", "2026-10-13", ISSUER, *[""] * 6]
ANSWERS = ["autumn", "It is faulty.", *RULE, "", *["1"] * 5, "", "", "RA", "0300 000 0000", "", "", ""]


def commands() -> list[str]:
    """What stands indented by four, lines that go on joined."""
    plain = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL).replace("\\\n", " ")
    return [" ".join(line.split()) for line in plain.splitlines() if line.startswith("    ")]


@dataclass
class Desk:
    """The folder in which the manager types, and a shell that finds `renewagent`."""

    place: Place
    url: str
    said: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.place.folder / "desk"
        (self.folder / "www").mkdir(parents=True)
        programs = self.place.folder / "bin"
        programs.mkdir()
        command = programs / "renewagent"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m renewagent "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        user = self.place.folder / "etc"
        (user / "renewagent").mkdir(parents=True)
        shutil.copy(self.place.config, user / "renewagent" / "config.toml")
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.env = {**self.place.env, "PATH": path, "XDG_CONFIG_HOME": str(user)}

    def run(self, command: str) -> None:
        typed = f"{PIN}\n" if "--card " in command else ""
        shown = command.replace("https://ra.example/autumn.campaign", self.url)
        done = subprocess.run(
            ["bash", "-ec", shown],
            cwd=self.folder,
            env=self.env,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{self.said}"

    def answer(self, command: str) -> None:
        """The guided one."""
        talk = Conversation(["bash", "-ec", f"cd {self.folder}; {command}"], self.env, at_terminal=True)
        for line in ANSWERS:
            talk.hear(": ")
            talk.type(line)
        talk.hear("Version 1 of campaign autumn is in autumn.json.")
        assert talk.end().status == 0

    @property
    def published(self) -> bytes:
        return (self.folder / "www" / "autumn.campaign").read_bytes()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """As any web server would."""
        etag = f'"{hashlib.sha256(self.published).hexdigest()}"'
        status = 304 if request.headers.get("If-None-Match") == etag else 200
        whole(self.published if status == 200 else b"", etag, status=status)(request)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Desk, RunningAgent]]:
    """Cards of the signer, of an affected person and of another in three readers; and an agent that asks the server."""
    place, readers = Place(tmp_path), VirtualReaders(["Manager", "One", "Two"])
    with serving() as site, RelayServer(readers, tmp_path / "readers.sock") as relay:
        place.configure(
            relay.where, campaign=f'urls = ["{site.url}"]\nanchor = "{place.anchor}"', contact='name = "The RA desk"'
        )
        desk, agent = Desk(place, site.url), RunningAgent(place)
        _lay_out(desk, readers)
        site.manner = desk.serve
        yield desk, agent
        agent.close()


def _lay_out(desk: Desk, readers: VirtualReaders) -> None:
    place = desk.place
    signer, card = place.signer, VirtualCard.create(None)
    card.import_key(0x9C, signer.key)
    card.write_certificate(0x9C, signer.certificate.public_bytes(Encoding.DER))
    readers.insert("Manager", card)
    cover = BestAvailableEncryption(b"open sesame")
    (desk.folder / "signer.p12").write_bytes(
        serialize_key_and_certificates(None, signer.key, signer.certificate, None, cover)
    )
    (desk.folder / "password").write_text("open sesame\n")
    shutil.copy(place.anchor, desk.folder / "campaign-anchor.pem")
    lines = ["organisation,certificate"]
    for organisation, days in (("RX1", 0), ("RX2", 1), ("RX2", 400)):
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        issued = IN_THE_WINDOW if days < 400 else days_ago(days)
        one = place.ca.issue("CN=Somebody", key, issued, _usage("content_commitment"))
        lines.append(f"{organisation},{b64encode(one.public_bytes(Encoding.DER)).decode()}")
    (desk.folder / "inventory.csv").write_text("\n".join(lines) + "\n")
    readers.insert("One", place.ca.card(IN_THE_WINDOW))
    readers.insert("Two", place.ca.card(days_ago(400)))


def test_the_guide_followed_to_the_letter(desk: tuple[Desk, RunningAgent]) -> None:
    for program in ("openssl", "curl"):
        require(program)
    here, agent = desk
    seen = []
    for command in commands():
        if command == "renewagent campaign new --out autumn.json":
            here.answer(command)
        elif command == "renewagent status":
            agent.start()
            until(lambda: agent.verdict("One") == "AFFECTED", 20)
            here.run(command)
            assert "Campaigns: autumn (version 1)." in here.said
        else:
            here.run(command)
        seen.append(command)
        _check(command, here)
    assert len(seen) == len(commands()) > 15
    # The card was unaffected under the paused version, too, which a slow agent may still be at.
    until(lambda: "was withdrawn" in ((agent.reader("One")["card"] or {}).get("reason") or ""), 20)
    assert agent.verdict("One") == "UNAFFECTED"
    options, guided = ((here.folder / name).read_bytes() for name in ("by-options.json", "autumn.json"))
    assert parse_campaign(options).rules == parse_campaign(guided).rules
    assert open_signed(here.published).content != guided


def _check(command: str, here: Desk) -> None:
    """What the guide promises of a command."""
    expected = {
        "renewagent check": ["By organisation, affected of all:"],
        "renewagent campaign preview autumn.json --inventory": ["           2  affected", "By organisation"],
        "renewagent campaign preview autumn.json --cards": ["One: AFFECTED.", "Two: UNAFFECTED."],
        "renewagent campaign sign autumn.json --card": ["Signing as CN=Campaigns", "You have 3 tries."],
        "renewagent campaign verify": ["is campaign autumn, version 1, correctly signed."],
        "curl": ["200", "ETag: "],
        "renewagent campaign pause": ["Version 2", "It is paused"],
        "renewagent campaign resume": ["Version 3", "It is in force"],
        "renewagent campaign new --from": ["Version 4", "by 1 January 2999"],
        "renewagent campaign withdraw": ["Version 5", "It is withdrawn"],
    }
    for start, words in expected.items():
        if command.startswith(start):
            assert all(word in here.said for word in words), f"{command}\n{here.said}"


def test_what_the_guide_says_of_refusals_is_what_is_said() -> None:
    """The sentences of its table stand in the tests of hostile campaigns, or in what verifies them."""
    table = TEXT[TEXT.index("| what is published | what `status` says |") :].split("\n\n")[0].splitlines()[2:]
    known = "".join(
        (ROOT / name).read_text()
        for name in (
            "tests/flows/test_hostile_campaigns.py",
            "renewagent/campaign/verify.py",
            "renewagent/campaign/download.py",
        )
    )
    assert len(table) == 10
    for line in table:
        said = line.strip("| ").split(" | ")[1]
        for sentence in said.split(", ") if "not valid before" in said else [said]:
            short = sentence.replace("autumn", "test-batch").split(" has been published")[0]
            assert short in known, sentence
