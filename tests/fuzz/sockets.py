"""What comes over the agent's sockets: the control socket at both ends, and a renewal's conversation with a person."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

from renewagent.agent.control import SOCKET_NAME, ControlServer, ask_agent
from renewagent.agent.prompts import CardAct, ChannelPrompter, serve_channel
from renewagent.agent.terminal import TerminalPrompter
from renewagent.agent.words import Message
from renewagent.errors import AgentError, PersonStopped
from renewagent.model import CardIdentity
from tests.fuzz.mutation import change_json_lines
from tests.fuzz.target import Ready, Target

_CARD = CardIdentity("chuid", "00112233445566778899aabbccddeeff")
_MESSAGE = Message("before", "Renew this smartcard", "It takes a minute.", "Leave it in.", "RA-1", ("Renew", "Later"))


def _control(folder: Path) -> Ready:
    """A true server, over its true socket: it answers one line whatever it is asked, and never "unexpected"."""
    server = ControlServer(folder, lambda request, descriptor: {"ok": True, "asked": len(request)})
    threading.Thread(target=server.run, daemon=True).start()
    address = str(folder / SOCKET_NAME)

    def run(octets: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(10)
            link.connect(address)
            try:
                link.sendall(octets)
                link.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has read enough
            answer = _all(link)
        if not answer:
            assert len(octets) > 4096, "no answer"
            return
        told = json.loads(answer)
        assert told["ok"] or told["error"]["code"] == "RA-AGENT", answer

    return Ready(run, (b'{"do":"status"}\n', b'{"do":"renew","reader":"Desk reader"}\n', b'{"a":[[1,2],null]}\n'))


def _all(link: socket.socket) -> bytes:
    found = b""
    try:
        while octets := link.recv(65536):
            found += octets
    except ConnectionResetError:
        pass
    return found


def _control_answer(folder: Path) -> Ready:
    """The other end: what an agent might answer."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / SOCKET_NAME))
    listener.listen(4)
    answers: list[bytes] = []

    def serve() -> None:
        while True:
            link, _ = listener.accept()
            with link:
                link.recv(4096)
                try:
                    link.sendall(answers.pop())
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()

    def run(octets: bytes) -> None:
        answers.append(octets)
        try:
            found = ask_agent(folder, {"do": "status"})
        except AgentError as error:
            assert all(isinstance(said, str) for said in (error.message, error.advice, error.code))
            return
        assert found.get("ok")

    refusal = {"ok": False, "error": {"code": "RA-AGENT", "message": "No.", "advice": "Ask again."}}
    return Ready(run, (b'{"ok":true,"readers":[]}\n', json.dumps(refusal).encode() + b"\n", b'{"ok":0,"error":{}}\n'))


class _Pair:
    """Two ends; `octets` have been said into one, which then says no more."""

    def __init__(self, octets: bytes) -> None:
        self.ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(octets)
            theirs.shutdown(socket.SHUT_WR)
            self.theirs = theirs.dup()

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def _person(octets: bytes, source: int) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    out = io.StringIO()
    pair = _Pair(octets)
    try:
        result = serve_channel(pair.ours, TerminalPrompter(source, out))
        assert result is None or isinstance(result, dict)
    except (AgentError, PersonStopped):
        pass
    finally:
        pair.close()


_ASKED: tuple[Callable[[ChannelPrompter], object], ...] = (
    lambda child: child.confirm(_MESSAGE),
    lambda child: child.ask_pin(_CARD, 3, _MESSAGE),
    lambda child: (child.stopped(), child.confirm(_MESSAGE), child.ask_pin(_CARD, None, _MESSAGE)),
)


def _child(octets: bytes, which: int) -> None:
    pair = _Pair(octets)
    try:
        _ASKED[which % len(_ASKED)](ChannelPrompter(pair.ours))
    except (AgentError, PersonStopped):
        pass
    finally:
        pair.close()


def _channel(folder: Path) -> Ready:
    source = os.memfd_create("typed")
    os.write(source, b"1\n123456\n1\n1\n")

    def run(octets: bytes) -> None:
        if octets[:1] < b"\x80":
            _person(octets[1:], source)
        else:
            _child(octets[1:], octets[0])

    answers = (b'{"yes":true}\n', b'{"pin_octets":6}\n123456', b'{"stopped":true}\n')
    seeds = [b"\0" + _said(act) for act in (*_ASKED[:2], _told)]
    seeds += [bytes((0x80 + number,)) + octets for number, octets in enumerate(answers)]
    return Ready(run, tuple(seeds))


def _told(child: ChannelPrompter) -> None:
    child.progress(2, 4, "Making the new key", 3.5)
    child.card_wanted(CardAct.REMOVE, "Desk reader", _CARD, _MESSAGE)
    child.tell(_MESSAGE)
    child.result({"state": "done"})


def _said(act: Callable[[ChannelPrompter], object]) -> bytes:
    """What a child says."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        try:
            act(ChannelPrompter(ours))
        except PersonStopped:
            pass
        ours.shutdown(socket.SHUT_WR)
        return _all(theirs)


def _change_said(octets: bytes, dice: Random) -> bytes:
    return octets[:1] + change_json_lines(octets[1:], dice)


TARGETS = (
    Target("control", "what anybody asks of the agent", _control, 5000, change_json_lines),
    Target("control-answer", "what an agent answers", _control_answer, change=change_json_lines),
    Target("channel", "a renewal's conversation with a person, both ends", _channel, 1024, _change_said),
)
