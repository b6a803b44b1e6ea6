"""docs/epcs.md, followed to the letter on one computer: mock vendor, mock EHR and the real console as processes, each
command as the guide shows it, typed at a terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from renewagent.cli import build_parser
from renewagent_fixtures.mock_ra.pki import pem
from tests.flows.desk import Conversation, Done, office
from tests.house import ROOT
from tests.programs import require

TEXT = (ROOT / "docs" / "epcs.md").read_text()
TRIED = TEXT[TEXT.index("## Try it on one computer") :]
NPI = "1234567893"


def commands(text: str) -> list[str]:
    """What stands indented by four."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [line.strip() for line in plain.splitlines() if line.startswith("    ")]


def blocks(text: str) -> list[str]:
    return re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("command", [one for one in commands(TEXT) if one.startswith("renewagent ")])
def test_a_command_of_the_guide_parses(command: str) -> None:
    words = shlex.split(re.sub(r" \d?> ?\S+", "", command).removesuffix("&"), comments=True)[1:]
    assert build_parser().parse_args(words).run


@dataclass
class Folder:
    """Where the guide is followed. `codes`: what `press` showed last."""

    path: Path
    ports: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)
    serving: list[subprocess.Popen[bytes]] = field(default_factory=list)
    talks: list[Conversation] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    number: str = ""

    def real(self, text: str) -> str:
        """With ports that are free here, and the ticket's real number."""
        for shown, real in self.ports.items():
            text = text.replace(shown, real)
        return text.replace("NUMBER", self.number)

    def serve(self, command: str, ready: str) -> None:
        self.serving.append(subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.path, env=self.env))
        end = time.monotonic() + 30
        while not (self.path / ready).exists():
            assert self.serving[-1].poll() is None and time.monotonic() < end, f"{command} serves nothing"
            time.sleep(0.1)

    def talk(self, command: str) -> Conversation:
        return Conversation(["bash", "-c", f"cd {self.path}; exec {command}"], self.env, at_terminal=True)

    def password(self, user: str) -> str:
        return str(json.loads((self.path / "epcs" / "passwords.json").read_text())[user])

    def run(self, command: str, *typed: str, status: int = 0) -> Done:
        """At a terminal; the password is typed where somebody signs in, and then these."""
        self.talks.append(talk := self.talk(self.real(command)))
        if user := re.search(r"--user (\w+)", command):
            talk.hear("Password (it is not shown): ")
            talk.type(self.password(user[1]))
        for line in typed:
            talk.hear(": ")
            talk.type(line)
        done = talk.end()
        assert done.status == status, f"{command}\n{done.err}"
        self.codes = re.findall(r"shows (\d{6})", done.err) or self.codes
        return done

    def close(self) -> None:
        for talk in self.talks:
            talk.close()
        for process in self.serving:
            process.terminate()
        for process in self.serving:
            process.wait(20)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    require("openssl")
    with office(tmp_path / "office") as ra:
        pki = ra.ra.office.pki
        here = tmp_path / "here"
        (here / "ra").mkdir(parents=True)
        (here / "ra-root.pem").write_bytes(b"".join(pem(one.der) for one in (pki.root, pki.authentication)))
        (here / "ra" / "campaign-anchor.pem").write_bytes(ra.ra.campaign_anchor.read_bytes())
    one = Folder(here, {shown: str(free_port()) for shown in ("8301", "8302", "8441", "8443")})
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "renewagent"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m renewagent "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    _, console, desk = (one.real(block) for block in ("", *blocks(TRIED)))
    (here / "console.toml").write_text(console)
    user = tmp_path / "etc" / "renewagent"
    user.mkdir(parents=True)
    (user / "config.toml").write_text(desk.replace('"/the/folder/console-root.pem"', f'"{here}/console-root.pem"'))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    one.env = {**os.environ, "PATH": path, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "etc")}
    yield one
    one.close()


def _refused(address: tuple[str, int]) -> bool:
    with closing(socket.socket()) as one:
        return one.connect_ex(address) != 0


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_guide_followed_to_the_letter(folder: Folder) -> None:
    """Each step takes the guide's next command, so that none is left out and none is made up here."""
    left = commands(TRIED)

    def step(start: str, *typed: str, status: int = 0) -> Done:
        command = left.pop(0)
        assert command.startswith(start), command
        return folder.run(command, *typed, status=status)

    folder.serve(folder.real(left.pop(0)).removesuffix("&"), "epcs/passwords.json")
    step("mkdir")
    for _ in range(3):
        step("renewagent console person add")
    folder.serve(folder.real(left.pop(0)).removesuffix("&"), "data/self-signed.pem")
    step("openssl")
    until_served(folder)
    hardware(folder, step)
    soft(folder, step)
    loss(step)
    assert left == []


def until_served(folder: Folder) -> None:
    """The console makes its certificate before it listens."""
    end = time.monotonic() + 30
    while _refused(("127.0.0.1", int(folder.ports["8443"]))):
        assert time.monotonic() < end
        time.sleep(0.2)


def until(folder: Folder, command: str, said: str) -> None:
    """The console's scheduler asks the vendor by itself, now and then."""
    end = time.monotonic() + 60
    while said not in folder.run(command).err:
        assert time.monotonic() < end, f"never said: {said}"
        time.sleep(1)


Step = Callable[..., Done]


def hardware(folder: Folder, step: Step) -> None:
    done = step("renewagent token register", "GAHE00004821")
    assert "The token GAHE00004821 is registered: active." in done.err
    step("renewagent mock-epcs press")
    done = step("renewagent token resync", "GAHE00004821", *folder.codes)
    assert "40 presses ahead" in done.err
    step("renewagent mock-epcs press")
    refused = ("GAHE00004821", *folder.codes)
    form = ("", NPI, "GAHE00004821", *folder.codes, "")
    done = step("renewagent token reset", *refused, *form)
    assert "The two codes were not accepted." in done.err and "is with the vendor" in done.err
    folder.number = re.findall(r"number (\S+?)\)", done.err)[-1]
    step("renewagent mock-epcs work")
    until(folder, "renewagent token show --user lamb", "was done by the vendor")
    assert "The vendor says:" in step("renewagent token show").err


def soft(folder: Folder, step: Step) -> None:
    step("renewagent mock-epcs settle")
    step("renewagent mock-epcs phone")
    done = step("renewagent softtoken explain")
    assert "You changed" in done.err or "was changed" in done.err
    done = step("renewagent softtoken reregister", status=1)
    assert "gives the override" in done.err
    assert "lamb has the administrator override until" in step("renewagent epcs override").err
    done = step("renewagent softtoken reregister", status=1)
    assert "EPCS is enabled, and the override is gone" in done.err
    step("renewagent token register", "GAHE00009313")
    step("renewagent epcs request")
    step("renewagent mock-epcs press")
    done = step("renewagent epcs approve", "", "yes", folder.codes[-1])
    assert "Let Ada Lamb sign prescriptions" in done.err and "It is done" in done.err
    assert "can sign with the app again" in step("renewagent softtoken reregister").err
    done = step("renewagent epcs show")
    assert "EPCS is granted to you." in done.err and "Fault" not in done.err


def loss(step: Step) -> None:
    assert "can no longer sign" in step("renewagent epcs suspend", "yes").err
    assert "to be reported by" in step("renewagent epcs incidents").err
    assert "revocation of EPCS of Ada Lamb" in step("renewagent epcs waiting").err
    assert "The audit log is whole." in step("renewagent epcs audit").err
