"""Notifications as the agent sees them: over children that behave, and some that do not."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from renewagent.agent import notices as module
from renewagent.agent.notices import Notices, has_bus, wish_of
from renewagent.agent.telling import Heard, Notice
from renewagent.agent.words import Message
from tests.pcsc import until

READER = "Reader 1"
NOTICE = Notice(
    Message("affected", "Renew", "It was.", "Call us.", actions=("Renew now", "Remind me")), "Run it. Call."
)
SHOWN = "import sys, json; wish = json.loads(input()); print('{\"shown\": true}', flush=True)\n"
STAYS = SHOWN + "sys.stdin.read()"


class Bench:
    """A `Notices` whose child is a Python program."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.children: list[subprocess.Popen[bytes]] = []
        self.heard: list[Heard] = []
        self.program = ""
        self.notices = Notices()
        patch.setattr(module, "start_listener", self.start)
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")

    def start(self, _module: str, _options: object) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-S", "-c", self.program]
        self.children.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return self.children[-1]

    def show(self, program: str, *wanted: Heard) -> None:
        self.program = program
        self.notices.show(READER, NOTICE, self.heard.append)
        until(lambda: self.heard == list(wanted))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.mark.parametrize(
    ("then", "wanted"),
    [
        ('print(\'{"action": "renew"}\')', Heard.RENEW),
        ('print(\'{"action": "later"}\')', Heard.LATER),
        ('print(\'{"action": "why"}\')', Heard.WHY),
        ('print(\'{"action": "closed"}\')', Heard.CLOSED),
        ('print(\'{"action": "lost"}\')', Heard.LOST),
        ("", Heard.LOST),
        ("print('nonsense')", Heard.LOST),
        ('print(\'{"action": "shown"}\')', Heard.LOST),
        ("print('[]')", Heard.LOST),
    ],
)
def test_shown_and_then(bench: Bench, then: str, wanted: Heard) -> None:
    bench.show(SHOWN + then, Heard.SHOWN, wanted)
    until(lambda: bench.children[0].poll() is not None)


@pytest.mark.parametrize(
    "program",
    ["", "input(); print('nonsense')", "input(); print('{\"shown\": 1}')", "input(); print('{\"shown\": false}')"],
)
def test_not_shown(bench: Bench, program: str) -> None:
    bench.show(program, Heard.NOT_SHOWN)


def test_a_desktop_that_does_not_answer_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_ANSWER", 0.3)
    bench.show("input(); import time; time.sleep(60)", Heard.NOT_SHOWN)
    until(lambda: bench.children[0].poll() is not None)


def test_withdrawn_it_ends_and_nothing_more_is_heard(bench: Bench) -> None:
    bench.show(STAYS, Heard.SHOWN)
    bench.notices.withdraw(READER)
    assert bench.children[0].wait(5) == 0
    bench.show(STAYS, Heard.SHOWN, Heard.SHOWN)
    bench.show(STAYS, *[Heard.SHOWN] * 3)  # in place of the second
    assert bench.children[1].wait(5) == 0
    assert bench.children[2].poll() is None
    bench.notices.withdraw(READER)
    assert bench.children[2].wait(5) == 0
    assert bench.heard == [Heard.SHOWN] * 3


def test_withdrawn_before_it_is_shown(bench: Bench) -> None:
    bench.program = "import time; time.sleep(0.2)\n" + STAYS
    before = time.monotonic()
    bench.notices.show(READER, NOTICE, bench.heard.append)
    bench.notices.withdraw(READER)
    assert time.monotonic() - before < 0.2
    until(lambda: bench.children and bench.children[0].poll() is not None)
    assert bench.heard == []


def test_a_child_that_cannot_be_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_module: str, _options: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(module, "start_listener", refuse)
    bench.show("", Heard.NOT_SHOWN)


def test_where_there_is_no_desktop_nothing_is_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    bench.show("", Heard.NOT_SHOWN)
    assert bench.children == []


def test_a_bus_in_the_runtime_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert not has_bus()
    (tmp_path / "bus").touch()
    assert has_bus()


def test_what_is_asked_for() -> None:
    wish = wish_of(NOTICE)
    assert (wish["body"], wish["plain"]) == ("It was.\nCall us.", "It was.\nRun it. Call.")
    assert wish["actions"] == {"renew": "Renew now", "later": "Remind me"} and wish["critical"]
    go_on = Message("ra-ready", "Finish", "Now.", actions=("Continue", "Not now"))
    wish = wish_of(Notice(go_on, ""))
    assert wish["actions"] == {"renew": "Continue", "closed": "Not now"} and not wish["critical"]
    assert wish_of(Notice(Message("expired", "Over", "It is."), ""))["actions"] == {}
    once = replace(NOTICE.message, actions=("Renew now",))
    assert wish_of(Notice(once, "", why=once))["actions"] == {"renew": "Renew now", "why": "Why?"}
