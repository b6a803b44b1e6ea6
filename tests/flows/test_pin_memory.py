"""After a real renewal through the real agent the passcode is nowhere that outlives its use: not in the agent's memory,
in nobody's argv or environment, not in the journal, the state folder, a log, what went over the control socket, or a
core file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent_fixtures.virtual_card import Moment
from tests.flows.desk import READER, Desk, desk, office
from tests.flows.test_kills import ASKED, PASSCODE, REMOVE, child_of
from tests.flows.workshop import change_pin
from tests.programs import missing

TYPED, WRONG = "70194826", "55730918"
GENERATE = 0x47


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Desk]:
    with office(tmp_path) as ra:
        place = tmp_path / "desk"
        place.mkdir()
        with desk(place, ra) as one:
            yield one


def as_root() -> None:
    """Nobody else reads what other processes have in memory, or becomes another user."""
    if os.getuid() != 0:
        missing("this needs root")


def traces(pin: str) -> list[bytes]:
    """The PIN as it could lie in memory or on disk."""
    octets = pin.encode()
    return [octets, octets.hex().encode(), octets.hex().upper().encode(), pin.encode("utf-16-le"), bytes(map(int, pin))]


def found(octets: bytes) -> list[bytes]:
    """Which traces of what was typed are in there."""
    return [trace for pin in (TYPED, WRONG) for trace in traces(pin) if trace in octets]


def memory(process: int) -> bytes:
    """Everything that a process has in memory and may read, as root sees it."""
    pieces = []
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as mem:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            bounds, rights, *rest = line.split(maxsplit=5)
            if not rights.startswith("r") or (
                rest[3:] and rest[3].strip() in ("[vvar]", "[vsyscall]", "[vvar_vclock]")
            ):
                continue
            first, last = (int(part, 16) for part in bounds.split("-"))
            mem.seek(first)
            try:
                pieces.append(mem.read(last - first))
            except OSError:  # a page beyond the end of its file
                continue
    return b"\0".join(pieces)


def shown(process: int) -> bytes:
    """What `ps` shows of a process."""
    return b"".join(Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ", "comm"))


class Tap:
    """Takes the place of the agent's control socket, hands everything on, descriptors included, and keeps a copy."""

    def __init__(self, path: Path) -> None:
        self.heard = bytearray()
        self.descriptors = 0
        self._behind = path.with_name("behind.sock")
        path.rename(self._behind)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            far.connect(str(self._behind))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with source:
            while True:
                octets, descriptors, _, _ = socket.recv_fds(source, 65536, 4)
                self.heard += octets
                self.descriptors += len(descriptors)
                if not octets:
                    break
                socket.send_fds(sink, [octets], descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
            with contextlib.suppress(OSError):  # whoever was answered has left
                sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_the_passcode_is_nowhere_afterwards(here: Desk) -> None:
    as_root()
    card = here.insert()
    here.readers.remove(READER)
    change_pin(card, TYPED)
    here.readers.insert(READER, card)
    agent = here.talk("agent")
    agent.hear("verdict=AFFECTED")
    tap = Tap(here.folder / "run" / "renewagent" / "agent.sock")
    during: dict[str, bytes] = {}

    def look(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] == GENERATE:
            child = child_of(agent.process.pid)
            for name, process in (("agent", agent.process.pid), ("command", talk.process.pid), ("child", child)):
                during[name] = shown(process)
                during[f"{name}'s limits"] = Path(f"/proc/{process}/limits").read_bytes()
            during["agent's memory"] = memory(agent.process.pid)

    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    card.hook = look
    talk.type(WRONG)
    talk.hear(PASSCODE)
    talk.type(TYPED)
    talk.hear(REMOVE)
    here.readers.remove(READER)
    talk.hear("Put your smartcard back in")
    here.readers.insert(READER, card)
    talk.hear(PASSCODE)
    talk.type(TYPED)
    done = talk.end()
    assert (done.status, "Done\n" in done.err) == (0, True), done
    agent.hear("renewal.ended status=0")
    agent.hear("verdict=UNAFFECTED")
    assert here.run("status").status == 0

    after = memory(agent.process.pid)
    assert READER.encode() in after and str(here.state).encode() in after  # it is the memory, and all of it
    assert found(after) == []
    assert found(shown(agent.process.pid)) == []
    for place, octets in during.items():
        assert found(octets) == [], place
    for who in ("child's limits", "command's limits"):
        assert re.search(rb"Max core file size +0 +0 ", during[who]), who
    assert tap.descriptors == 1
    assert tap.heard.count(b'"ask": "renew"') == 1 and found(bytes(tap.heard)) == []
    tap.close()
    assert agent.process.poll() is None
    agent.process.send_signal(signal.SIGTERM)
    assert found(agent.end().err.encode() + done.err.encode() + done.out.encode()) == []
    _nothing_on_disk(here)


def _nothing_on_disk(here: Desk) -> None:
    """But for the card, which is a file of its own."""
    files = [file for file in here.folder.rglob("*") if file.is_file() and ".card" not in file.name]
    assert any(file.name == "journal.db" for file in files)
    for file in files:
        assert not file.name.startswith("core"), file
        assert found(file.read_bytes()) == [], file


DUMPABLE = """
import ctypes, os, sys
from renewagent.agent.undumpable import undumpable
os.setgid(65534)
os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as it is after an exec by that user
if sys.argv[1] == "shut":
    undumpable()
print("ready", flush=True)
os.read(0, 1)
"""


@pytest.mark.parametrize(("how", "read"), [("open", True), ("shut", False)])
def test_other_processes_of_the_same_user_cannot_read_it(how: str, read: bool) -> None:
    """The kernel's own answer, to a process of nobody's about another one."""
    as_root()
    process = subprocess.Popen(
        [sys.executable, "-c", DUMPABLE, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        look = f"import os; os.setgid(65534); os.setuid(65534); open('/proc/{process.pid}/environ', 'rb').read()"
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, check=False, cwd="/")
        assert (done.returncode == 0) == read, done.stderr
        assert read or b"PermissionError" in done.stderr
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
