"""Who may speak to the window: the same user, through a browser, from the window's own page, with the cookie that the
one-time token was exchanged for.

The page listens on loopback, where everybody on this computer can connect and every site can send a browser. So:
whose connection it is is asked of the kernel before an octet is read; Host says that the address is the one we gave out
(a rebound name says another); Sec-Fetch-Site and Origin say that a page of ours asks; the cookie, that it is the
browser that was sent here. A cookie alone would not do: browsers send it to every port of the host (RFC 6265, 8.5).
"""

from __future__ import annotations

import hmac
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from renewagent.language import N_, _

TOKEN_OCTETS = 32
LOOPBACK = "127.0.0.1"
LARGEST_BODY = 2048
COOKIE = "renewagent-window"
OPEN, ARRIVED, STATIC = "/open", "/arrived", "/static/"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # "no-referrer" would have browsers send our own forms with "Origin: null" (Fetch, 3.2); others are told nothing.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_LOOKS = 5
"""The kernel's table may miss a line of it while others come and go."""
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))


@dataclass(slots=True)
class Keys:
    """The token, good once, and what it is exchanged for. `make` gives 256 random bits as text."""

    make: Callable[[], str] = lambda: token_urlsafe(TOKEN_OCTETS)
    token: str = ""
    _cookie: str = ""
    form: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self.token, self.form = self.make(), self.make()

    def exchange(self, token: str) -> str | None:
        """The cookie for the token, once; None for any other, and for the same one later."""
        if not self.token or not _same(token, self.token):
            return None
        self.token, self._cookie = "", self.make()
        return self._cookie

    def knows(self, cookie: str) -> bool:
        """Whether this is the cookie."""
        return bool(self._cookie) and _same(cookie, self._cookie)

    def of_form(self, said: str) -> bool:
        """Whether a form is one that we made."""
        return _same(said, self.form)


class Guard:
    """ASGI: lets in what `refusal` finds nothing against, bounds it, and puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp, keys: Keys, port: int) -> None:
        self._app, self._keys, self._port = app, keys, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        status = refusal(scope["method"], scope["path"], request.headers, self._port)
        if status is None and not _open_to_all(scope["path"]) and not self._keys.knows(request.cookies.get(COOKIE, "")):
            status = HTTPStatus.FORBIDDEN
        answer = self._app if status is None else PlainTextResponse(_(_WORDS.get(status, status.phrase)), status)
        await answer(scope, _bounded(receive), _with_headers(send))


_WORDS = {
    HTTPStatus.FORBIDDEN: N_(
        "This page opens only from the renewal that is running on this computer. "
        "Go back to the page that is open already, or run: renewagent renew.\n"
    )
}


def refusal(method: str, path: str, headers: Headers, port: int) -> HTTPStatus | None:
    """Why a request is not answered, judged by what a browser says of it; None where nothing speaks against it."""
    origin = f"http://{LOOPBACK}:{port}"
    if headers.getlist("host") != [f"{LOOPBACK}:{port}"]:
        return HTTPStatus.MISDIRECTED_REQUEST
    if method not in ("GET", "POST"):
        return HTTPStatus.METHOD_NOT_ALLOWED
    if headers.getlist("content-length") not in ([], ["0"]) and not _small(headers.get("content-length", "")):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    origins, fetched = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    if any(one != origin for one in origins):
        return HTTPStatus.FORBIDDEN
    if method == "POST":
        said = bool(origins or fetched) and all(one == "same-origin" for one in fetched)
        return None if said else HTTPStatus.FORBIDDEN
    if path in (OPEN, ARRIVED):  # the file that leads here is another site to the browser
        looks = all(one == "navigate" for one in headers.getlist("sec-fetch-mode"))
        framed = any(one != "document" for one in headers.getlist("sec-fetch-dest"))
        return None if looks and not framed else HTTPStatus.FORBIDDEN
    return None if all(one in ("same-origin", "none") for one in fetched) else HTTPStatus.FORBIDDEN


def owner_of(peer: tuple[str, int], own: tuple[str, int], tables: Mapping[str, str]) -> int | None:
    """The user id of the process at the other end of a loopback connection, by the kernel's tables of TCP sockets
    ("tcp" and "tcp6" of /proc/net, proc_net_tcp(5)); None where they do not know it."""
    v4 = f"{_hex(peer)} {_hex(own)} 01"
    mapped = f"0000000000000000FFFF0000{_hex(peer)} 0000000000000000FFFF0000{_hex(own)} 01"
    for name, wanted in (("tcp", v4), ("tcp6", mapped)):
        for line in tables.get(name, "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 7 and " ".join(fields[1:4]) == wanted:
                return int(fields[7])
    return None


def is_own(link: socket.socket, tables: Callable[[], Mapping[str, str] | None] | None = None) -> bool:
    """Whether a process of this user is at the other end. Where the kernel has no such tables, nobody is turned away:
    then it is the token alone that keeps others out."""
    for _look in range(_LOOKS):
        found = (tables or _tables)()
        if found is None:
            return True
        owner = owner_of(link.getpeername(), link.getsockname(), found)
        if owner is not None:
            return owner == os.getuid()
    return False


def _tables() -> Mapping[str, str] | None:
    try:
        return {path.name: path.read_text() for path in _TABLES if path.exists()} or None
    except OSError:
        return None


def _hex(address: tuple[str, int]) -> str:
    """As the kernel prints it: the address as a number in the computer's own byte order."""
    return f"{int.from_bytes(IPv4Address(address[0]).packed, 'little'):08X}:{address[1]:04X}"


def _open_to_all(path: str) -> bool:
    return path in (OPEN, ARRIVED) or path.startswith(STATIC)


def _small(length: str) -> bool:
    return length.isascii() and length.isdecimal() and int(length) <= LARGEST_BODY


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _bounded(receive: Receive) -> Receive:
    """A body that goes on beyond what a form of ours can have ends the connection."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return {"type": "http.disconnect"} if read > LARGEST_BODY else message

    return bounded


def _with_headers(send: Send) -> Send:
    given: Any = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *given]}
        await send(message)

    return sent
