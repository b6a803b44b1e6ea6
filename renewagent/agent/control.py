"""The agent's control socket: `status` and `renew` for commands of the same user, one JSON line in, one out.

A `renew` request brings one file descriptor along: the worker's end of its conversation with the person. The agent
hands it to the child and never reads it, so that no passcode passes through here (design section 4, PIN).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from renewagent.errors import AgentError, RenewAgentError
from renewagent.language import _

log = logging.getLogger(__name__)

SOCKET_NAME = "agent.sock"
MAX_LINE = 65536
MAX_REQUEST = 4096
PATIENCE = 5.0
"""Seconds for one conversation, so that nobody who connects and says nothing keeps others out for long."""
_PEERCRED = struct.Struct("3i")

Document = Mapping[str, Any]
Answerer = Callable[[dict[str, Any], int | None], Document]
"""Takes the request and the descriptor that came along (closed when this returns), gives the answer."""


def runtime_folder(state_folder: Path) -> Path:
    """Where the socket lives: the user's runtime folder, or the state folder where the system has none."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(given) / "renewagent" if given and Path(given).is_dir() else state_folder


class ControlServer:
    """Listens in `folder`. `run` blocks its thread, without ever waking up by itself, until `stop`."""

    def __init__(self, folder: Path, answer: Answerer, on_signal: Callable[[int], None] | None = None) -> None:
        self._answer = answer
        self._on_signal = on_signal
        self._wake, self.wake_fd = _pipe()
        self._socket = _listen(folder)
        self._path = folder / SOCKET_NAME

    def run(self) -> None:
        """Serve one request after the other. Octets written to `wake_fd` are signal numbers; 0 ends this."""
        while True:
            readable = select.select([self._socket.fileno(), self._wake], [], [])[0]
            if self._wake in readable:
                for number in os.read(self._wake, 64):
                    if not number:
                        return
                    if self._on_signal is not None:
                        self._on_signal(number)
            else:
                self._serve()

    def stop(self) -> None:
        """End `run`; may be called from any thread."""
        os.write(self.wake_fd, b"\0")

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
        os.close(self._wake)
        os.close(self.wake_fd)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            link = self._socket.accept()[0]
            with link:
                link.settimeout(PATIENCE)
                if _peer(link) == os.getuid():
                    link.sendall(_line(self._answered(link)))
                else:
                    log.warning("control.stranger uid=%d", _peer(link))

    def _answered(self, link: socket.socket) -> Document:
        try:
            with _request(link) as (request, descriptor):
                return self._answer(request, descriptor)
        except RenewAgentError as error:
            return {"ok": False, "error": {"code": error.code, "message": error.message, "advice": error.advice}}
        except Exception:
            log.exception("control.failed")
            return {"ok": False, "error": {"code": "RA-UNEXPECTED", "message": _("Something went wrong in the agent.")}}


def ask_agent(folder: Path, request: Document, descriptor: int | None = None) -> dict[str, Any]:
    """The agent's answer. Raises AgentError if none runs, or with the agent's own words when it says no."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(PATIENCE * 2)
        try:
            with _short_name(folder) as name:
                link.connect(name)
            if _peer(link) != os.getuid():
                raise AgentError(_("The agent that answers belongs to another user."))
            socket.send_fds(link, [_line(request)], [descriptor] if descriptor is not None else [])
            line = _read(link, MAX_LINE * 16)[0]
        except OSError as error:
            raise _not_running() from error
    answer = _document(line)
    if answer is None:
        raise AgentError(_("The agent did not answer as expected."))
    if not answer.get("ok"):
        raise _refused(answer.get("error"))
    return answer


def _refused(said: object) -> AgentError:
    told = {k: v for k, v in said.items() if isinstance(v, str)} if isinstance(said, dict) else {}
    failed = AgentError(told.get("message", _("The agent could not do that.")), advice=told.get("advice"))
    failed.code = told.get("code", failed.code)
    return failed


def _not_running() -> AgentError:
    return AgentError(_("The renewagent agent is not running."), advice=_("Start it: renewagent agent."))


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    return reading, writing


def _listen(folder: Path) -> socket.socket:
    """A listening socket of mode 0600. The caller holds the agent's lock, so an old socket there is a dead one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _short_name(folder) as name:
            listener.bind(name)
    finally:
        os.umask(before)
    listener.listen(4)
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _short_name(folder: Path) -> Iterator[str]:
    """The socket's name by way of a descriptor: a unix socket's own may have 107 octets only (unix(7))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


def _peer(link: socket.socket) -> int:
    """The user id at the other end, by the kernel's word (SO_PEERCRED, unix(7))."""
    octets = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    uid: int = _PEERCRED.unpack(octets)[1]
    return uid


def _line(document: Document) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


@contextlib.contextmanager
def _request(link: socket.socket) -> Iterator[tuple[dict[str, Any], int | None]]:
    """One request, with at most one descriptor, closed at the end whatever happens."""
    line, descriptors = _read(link, MAX_REQUEST)
    try:
        request = _document(line)
        if request is None or len(descriptors) > 1:
            raise AgentError(_("The agent did not understand what it was asked."))
        yield request, descriptors[0] if descriptors else None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _document(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a whole line, None for anything else."""
    try:
        document = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):  # the second for arrays nested by the thousand
        return None
    return document if isinstance(document, dict) else None


def _read(link: socket.socket, limit: int) -> tuple[bytes, list[int]]:
    line, descriptors = b"", list[int]()
    while not line.endswith(b"\n") and len(line) <= limit:
        octets, received, *_rest = socket.recv_fds(link, limit + 1 - len(line), 4, socket.MSG_CMSG_CLOEXEC)
        descriptors += received
        line += octets
        if not octets:
            break
    return line, descriptors
