"""The control socket: one question, one answer, one descriptor at most, and only for this user."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.control import SOCKET_NAME, ControlServer, ask_agent, runtime_folder
from renewagent.errors import AgentError, CardBusy
from tests.pcsc import until


def answer(request: dict[str, Any], descriptor: int | None) -> dict[str, Any]:
    match request.get("ask"):
        case "echo":
            return {"ok": True, "said": request["text"]}
        case "write" if descriptor is not None:
            os.write(descriptor, b"hello")
            return {"ok": True}
        case "busy":
            raise CardBusy("Another program is using the smartcard.")
        case "break":
            raise ZeroDivisionError
    raise AgentError("The agent did not understand what it was asked.")


@pytest.fixture(params=["short", "very-" * 30 + "long"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def signals() -> list[int]:
    return []


@pytest.fixture
def server(folder: Path, signals: list[int]) -> Iterator[ControlServer]:
    server = ControlServer(folder, answer, signals.append)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(5)
    assert not thread.is_alive()
    server.close()
    assert not (folder / SOCKET_NAME).exists()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_question_and_answer(server: ControlServer, folder: Path) -> None:
    assert ask_agent(folder, {"ask": "echo", "text": "grüß"})["said"] == "grüß"


def test_a_descriptor_comes_along_and_is_closed_afterwards(server: ControlServer, folder: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = open_descriptors()
        ask_agent(folder, {"ask": "write"}, theirs.fileno())
        assert ours.recv(10) == b"hello"
        until(lambda: open_descriptors() == before)


def test_our_errors_arrive_as_what_they_were(server: ControlServer, folder: Path) -> None:
    with pytest.raises(AgentError) as caught:
        ask_agent(folder, {"ask": "busy"})
    assert caught.value.code == "RA-CARD-BUSY"
    assert caught.value.message == "Another program is using the smartcard."
    assert caught.value.advice == CardBusy.advice


def test_a_fault_of_ours_is_an_answer_too(server: ControlServer, folder: Path) -> None:
    with pytest.raises(AgentError, match="Something went wrong in the agent"):
        ask_agent(folder, {"ask": "break"})
    assert ask_agent(folder, {"ask": "echo", "text": "still there"})["ok"]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"{}\n", b"\n", b'{"ask"', b"[" * 3000 + b"\n"])
def test_nonsense_is_answered(server: ControlServer, folder: Path, line: bytes) -> None:
    reply = raw(folder, line)
    assert json.loads(reply)["ok"] is False
    assert ask_agent(folder, {"ask": "echo", "text": "x"})["ok"]


def test_a_request_without_end_is_cut_off(server: ControlServer, folder: Path) -> None:
    with connected(folder) as link, contextlib.suppress(ConnectionError):
        link.sendall(b"x" * 100_000)
        while link.recv(4096):
            pass
    assert ask_agent(folder, {"ask": "echo", "text": "x"})["ok"]


def test_several_descriptors_are_refused_and_closed(server: ControlServer, folder: Path) -> None:
    before = open_descriptors()

    def send(link: socket.socket) -> None:
        socket.send_fds(link, [b'{"ask": "write"}\n'], [0, 1])

    assert json.loads(raw(folder, b"", send))["ok"] is False
    until(lambda: open_descriptors() == before)


def test_whoever_hangs_up_does_no_harm(server: ControlServer, folder: Path) -> None:
    for _ in range(3):
        link = connected(folder)
        link.close()
    assert ask_agent(folder, {"ask": "echo", "text": "x"})["ok"]


def test_a_silent_client_is_cut_off(server: ControlServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.agent.control.PATIENCE", 0.1)
    with connected(folder):
        assert ask_agent(folder, {"ask": "echo", "text": "x"})["ok"]


def test_octets_on_the_wake_descriptor_are_signals(server: ControlServer, signals: list[int], folder: Path) -> None:
    os.write(server.wake_fd, bytes([15, 2]))
    ask_agent(folder, {"ask": "echo", "text": "x"})
    assert signals == [15, 2]


def test_no_agent(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="not running"):
        ask_agent(tmp_path / "nowhere", {"ask": "status"})
    with pytest.raises(AgentError, match="not running"):
        ask_agent(tmp_path, {"ask": "status"})


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\n",
        b"[1]\n",
        b'{"ok": tr}\n',
        b"[" * 3000 + b"\n",
        b'{"error": 1}\n',
        b'{"error": {"message": 1}}\n',
    ],
)
def test_an_agent_that_answers_nonsense(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(4096)
                link.sendall(said)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(AgentError) as told:
            ask_agent(tmp_path, {"ask": "status"})
        serving.join(5)
    assert told.value.message in ("The agent did not answer as expected.", "The agent could not do that.")


def test_a_socket_left_by_a_dead_agent_is_replaced(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / SOCKET_NAME))
    dead.close()
    with pytest.raises(AgentError, match="not running"):
        ask_agent(tmp_path, {"ask": "status"})
    ControlServer(tmp_path, answer).close()


def test_the_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder(Path("/state")) == tmp_path / "renewagent"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert runtime_folder(Path("/state")) == Path("/state")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_folder(Path("/state")) == Path("/state")


def connected(folder: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        link.connect(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
    finally:
        os.close(descriptor)
    link.settimeout(5)
    return link


def raw(folder: Path, line: bytes, send: Callable[[socket.socket], None] | None = None) -> bytes:
    with connected(folder) as link:
        if send is not None:
            send(link)
        else:
            link.sendall(line)
        with contextlib.suppress(OSError):  # answered and closed already
            link.shutdown(socket.SHUT_WR)
        reply = b""
        while part := link.recv(4096):
            reply += part
        return reply
