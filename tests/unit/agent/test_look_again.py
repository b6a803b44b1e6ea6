"""The stream that says "look again": what is heard of it, how it comes back, and that nobody is told of what is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from renewagent.agent import listening as module
from renewagent.agent.console_visit import visit
from renewagent.agent.listening import Listening
from renewagent.agent.look_again import FIRST_PAUSE, LONGEST_PAUSE, events, listen
from renewagent.agent.poll_patience import PollPatience
from renewagent.configuration import AgentSettings, Configuration, ConsoleSettings
from tests.pcsc import until
from tests.unit.agent.agents_server import AgentsServer


@pytest.mark.parametrize(
    ("octets", "heard"),
    [
        (b"event: look-again\ndata: \n\n", [b"look-again"]),
        (b"event: look-again\r\ndata:\r\n\r\nevent:look-again\n\n", [b"look-again"] * 2),
        (b": heartbeat\n\n: heartbeat\n\n", []),
        (b"data: event: look-again\n\n", []),
        (b"event: other\ndata: look-again\n\n", [b"other"]),
        (b"event: look-again", []),
        (b"event: look-again\n", []),
        (b"x" * 100_000 + b"\n\nevent: look-again\n\n", [b"look-again"]),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_events_come_whole_however_the_network_cuts_them(octets: bytes, heard: list[bytes], size: int) -> None:
    pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
    assert list(events(pieces)) == heard


class Enough(Exception):
    """The test has seen what it wanted."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AgentsServer]:
    with AgentsServer(tmp_path).running() as server:
        yield server


def configuration(server: AgentsServer, state: Path) -> Configuration:
    settings = ConsoleSettings(server.url, "code", server.root, stream=True)
    return Configuration(console=settings, agent=AgentSettings(state_dir=state))


def pauses(configured: Configuration, most: int) -> tuple[list[float], int]:
    """How long it rested between its tries, and how often it told."""
    slept: list[float] = []
    told: list[int] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == most:
            raise Enough

    with pytest.raises(Enough):
        listen(configured, lambda: told.append(1), sleep, lambda: 0.5)
    return slept, len(told)


def test_it_waits_longer_and_longer_for_its_enrolment(server: AgentsServer, tmp_path: Path) -> None:
    slept, told = pauses(configuration(server, tmp_path / "state"), 14)
    assert slept[:3] == [2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert slept[-1] == LONGEST_PAUSE and told == 0
    assert server.heard == []


def test_each_look_again_is_told_and_a_busy_console_is_left_alone(server: AgentsServer, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    configured = configuration(server, state)
    visit(configured.console, state, PollPatience(state, 300, lambda: 0.0), datetime.now(UTC))
    server.heard.clear()
    server.say("stream", 200, b": \n\nevent: look-again\ndata: \n\n: \n\nevent: look-again\ndata: \n\n")
    server.say("stream", 503, Retry_After="777")
    server.say("stream", 403)
    slept, told = pauses(configured, 3)
    assert told == 2 and server.paths() == ["stream"] * 3
    assert slept == [2 * FIRST_PAUSE, 777, 8 * FIRST_PAUSE]
    assert {agent for _, agent, _ in server.heard} == server.known


def test_the_agent_polls_when_the_child_says_so_and_starts_it_anew_when_it_has_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SPREAD", 0.0)
    started, polls = list[int](), threading.Semaphore(0)

    def start() -> subprocess.Popen[bytes]:
        script = "import sys; sys.stdout.write('!'); sys.stdout.flush(); sys.stdin.readline()"
        child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(child.pid)
        return child

    listening = Listening(start, polls.release)
    listening.keep_up()
    assert polls.acquire(timeout=10)
    listening.keep_up()
    assert len(started) == 1

    os.kill(started[0], signal.SIGKILL)
    until(lambda: listening._thread is not None and not listening._thread.is_alive())
    listening.keep_up()
    assert polls.acquire(timeout=10)
    assert len(started) == 2
    os.kill(started[1], signal.SIGKILL)
    until(lambda: listening._thread is not None and not listening._thread.is_alive())


def test_a_child_that_cannot_be_started_is_no_harm() -> None:
    def start() -> subprocess.Popen[bytes]:
        raise OSError(12, "Cannot allocate memory")

    listening = Listening(start, lambda: None)
    listening.keep_up()
    until(lambda: listening._thread is not None and not listening._thread.is_alive())
