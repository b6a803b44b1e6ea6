"""A bad network between a workstation and the RA: a proxy that passes one HTTP request after the other, but for the one
that it was told to mistreat. It knows HTTP's framing and nothing of CMP.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import urlsplit

PORTAL = b"<!DOCTYPE html><html><body><h1>Welcome to Hospital Guest WiFi</h1><p>Please log in.</p></body></html>"
IMPATIENT = 0.25
"""Seconds: the time limit of requests that are to meet it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. `number` counts from 0 since the last `calm`."""

    number: int
    octets: bytes

    @property
    def target(self) -> str:
        """ "GET /nonce"."""
        method, path, _ = self.octets.split(b" ", 2)
        return f"{method.decode()} {urlsplit(path.decode()).path}"

    @property
    def is_cmp(self) -> bool:
        """Whether its answer is to be CMP."""
        return self.target.startswith("POST /.well-known")


class BadNetwork:
    """A proxy before the RA at `origin`, while the context lasts. `origin` of its own is what workstations get."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        self._there = (parts.hostname or "", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._links: set[socket.socket] = set()
        self.elsewhere: Mapping[int, bytes] = {}
        """Answers that somebody else got, by the number of the request."""
        self.calm()

    def calm(self) -> None:
        """Pass everything on from now on, and count from 0."""
        with self._lock:
            self.seen: list[Request] = []
            self.answers: dict[int, bytes] = {}
            self.fault, self.at, self.struck = "", -1, False
            self.held: list[Request] = []

    def mistreat(self, number: int, fault: str) -> None:
        """The `number`th request from now on meets `fault`, and no other."""
        self.calm()
        self.fault, self.at = fault, number

    def due(self) -> bool:
        """Whether the next request is the one."""
        with self._lock:
            return len(self.seen) == self.at

    # -- what faults do with a request ---------------------------------------------------------------------------------

    def deliver(self, request: Request) -> bytes:
        """Hand a request to the RA; its whole answer."""
        with socket.create_connection(self._there, timeout=10) as link:
            link.sendall(request.octets)
            return read_message(link)

    def pass_on(self, request: Request) -> bytes:
        """The same, noting the answer; what was held back arrives after it."""
        answer = self.answers[request.number] = self.deliver(request)
        while self.held:
            self.deliver(self.held.pop())
        return answer

    # -- the server ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="bad-network", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in list(self._links):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._links.add(link)
            threading.Thread(target=self._serve, args=(link,), name="bad-network", daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), link:
            while octets := read_message(link):
                if not self._one(link, octets):
                    break
        self._links.discard(link)

    def _one(self, link: socket.socket, octets: bytes) -> bool:
        """Whether the connection can go on."""
        with self._lock:
            request = Request(len(self.seen), octets)
            self.seen.append(request)
            fault = FAULTS[self.fault] if request.number == self.at else None
            self.struck = self.struck or fault is not None
        if fault is not None:
            fault(self, link, request)
            return False
        link.sendall(self.pass_on(request))
        return True


def read_message(link: socket.socket) -> bytes:
    """One HTTP message with a Content-Length, or without a body; empty at the end of the connection."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        part = link.recv(65536)
        if not part:
            return b""
        octets += part
    head, _, body = octets.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        part = link.recv(65536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body


def response(status: str, kind: str, body: bytes, *more: str) -> bytes:
    """An answer of the proxy's own, which closes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def body_of(answer: bytes) -> bytes:
    """What an answer carries."""
    return answer.partition(b"\r\n\r\n")[2]


# -- the faults --------------------------------------------------------------------------------------------------------

Fault = Callable[[BadNetwork, socket.socket, Request], None]


def _kind(request: Request) -> str:
    return "application/pkixcmp" if request.is_cmp else "application/json"


def _lost(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """The RA never sees it."""


def _answer_lost(network: BadNetwork, link: socket.socket, request: Request) -> None:
    network.deliver(request)


def _reset(network: BadNetwork, link: socket.socket, request: Request) -> None:
    network.deliver(request)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _silence(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """Never delivered, never answered: the time limit ends it."""
    _until_they_leave(link)


def _late(network: BadNetwork, link: socket.socket, request: Request) -> None:
    answer = network.deliver(request)
    _until_they_leave(link)
    link.sendall(answer)


def _drip(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """The answer, an octet at a time: each comes long before any time-out of the socket's own."""
    for octet in network.deliver(request):
        link.sendall(bytes((octet,)))
        time.sleep(IMPATIENT / 20)


def _overtaken(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """It gets lost on the way to us, and arrives at the RA after the next one."""
    network.held.append(request)


def _twice(network: BadNetwork, link: socket.socket, request: Request) -> None:
    answer = network.deliver(request)
    network.deliver(request)
    link.sendall(answer)


def _twice_the_second(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """The RA gets it twice, and what it says to the second one is what arrives here."""
    network.deliver(request)
    link.sendall(network.deliver(request))


def _garbage(network: BadNetwork, link: socket.socket, request: Request) -> None:
    link.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)))


def _garbage_inside(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """The right frame around an answer of which some octets fell over."""
    network.deliver(request)
    link.sendall(response("200 OK", _kind(request), b"\x30\x82\x04\x00" + bytes(reversed(range(256))) * 4))


def _bit_fallen_over(network: BadNetwork, link: socket.socket, request: Request) -> None:
    answer = bytearray(network.deliver(request))
    answer[-len(body_of(bytes(answer))) // 2] ^= 0x10
    link.sendall(answer)


def _portal(network: BadNetwork, link: socket.socket, request: Request) -> None:
    link.sendall(response("200 OK", "text/html", PORTAL))


def _server_error(network: BadNetwork, link: socket.socket, request: Request) -> None:
    link.sendall(response("500 Internal Server Error", "text/html", b"<h1>Internal Server Error</h1>"))


def _gateway_error(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """A proxy that gave up on an RA that did not."""
    network.deliver(request)
    link.sendall(response("504 Gateway Timeout", "text/html", b"<h1>Gateway Timeout</h1>"))


def _redirect(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """To the RA itself, even: nobody is followed."""
    where = f"Location: {network.origin}{request.octets.split(b' ', 2)[1].decode()}"
    link.sendall(response("307 Temporary Redirect", "text/html", b"", where))


def _half_closed(network: BadNetwork, link: socket.socket, request: Request) -> None:
    answer = network.deliver(request)
    link.sendall(answer[: len(answer) - len(body_of(answer)) // 2])
    link.shutdown(socket.SHUT_WR)
    _until_they_leave(link)


def _stale(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """The answer before this one, again (the first time there is none: the question itself comes back)."""
    network.deliver(request)
    before = [answer for number, answer in network.answers.items() if network.seen[number].is_cmp == request.is_cmp]
    link.sendall(before[-1] if before else response("200 OK", _kind(request), body_of(request.octets)))


def _of_another(network: BadNetwork, link: socket.socket, request: Request) -> None:
    """What the RA once answered at this place, to somebody else."""
    network.deliver(request)
    link.sendall(network.elsewhere[request.number])


def _until_they_leave(link: socket.socket) -> None:
    link.settimeout(10)
    with contextlib.suppress(OSError):
        while link.recv(65536):
            pass


TIMED = frozenset({"silence", "late", "drip"})
"""Faults that the time limit ends."""
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "lost": _lost,
        "answer lost": _answer_lost,
        "reset": _reset,
        "silence": _silence,
        "late": _late,
        "drip": _drip,
        "overtaken": _overtaken,
        "twice": _twice,
        "twice, the second answer": _twice_the_second,
        "garbage": _garbage,
        "garbage inside": _garbage_inside,
        "a bit fallen over": _bit_fallen_over,
        "portal": _portal,
        "server error": _server_error,
        "gateway error": _gateway_error,
        "redirect": _redirect,
        "half closed": _half_closed,
        "stale": _stale,
        "another's": _of_another,
    }
)
