"""Who may speak to the window, judged by what a browser says of a request and what the kernel says of a connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from http import HTTPStatus

import pytest
from starlette.datastructures import Headers

from renewagent.agent.window_guard import ARRIVED, OPEN, Keys, is_own, owner_of, refusal

PORT = 40123
HOST = ("host", f"127.0.0.1:{PORT}")
ORIGIN = ("origin", f"http://127.0.0.1:{PORT}")
OURS = ("sec-fetch-site", "same-origin")
FORBIDDEN, MISDIRECTED = HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST


def judged(method: str, path: str, *headers: tuple[str, str]) -> HTTPStatus | None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return refusal(method, path, Headers(raw=raw), PORT)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", [HOST]),
        ("GET", "/", [HOST, OURS]),
        ("GET", "/", [HOST, ("sec-fetch-site", "none")]),
        ("GET", "/live", [HOST, OURS]),
        ("POST", "/pressed", [HOST, OURS, ORIGIN]),
        ("POST", "/pressed", [HOST, ORIGIN]),  # a browser without Sec-Fetch-Site
        ("GET", OPEN, [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
        ("GET", ARRIVED, [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")]),
    ],
)
def test_let_in(method: str, path: str, headers: Sequence[tuple[str, str]]) -> None:
    assert judged(method, path, *headers) is None


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", [], MISDIRECTED),
        ("GET", "/", [("host", f"evil.example:{PORT}")], MISDIRECTED),  # a name rebound to loopback
        ("GET", "/", [("host", f"localhost:{PORT}")], MISDIRECTED),
        ("GET", "/", [("host", "127.0.0.1")], MISDIRECTED),
        ("GET", "/", [HOST, ("host", "evil.example")], MISDIRECTED),
        ("GET", "/", [HOST, ("sec-fetch-site", "cross-site")], FORBIDDEN),
        ("GET", "/", [HOST, ("sec-fetch-site", "same-site")], FORBIDDEN),  # another port of this computer
        ("GET", "/", [HOST, OURS, ("sec-fetch-site", "cross-site")], FORBIDDEN),
        ("GET", "/", [HOST, ("origin", "http://evil.example")], FORBIDDEN),
        ("GET", "/", [HOST, ("origin", "null")], FORBIDDEN),
        ("GET", OPEN, [HOST, ("sec-fetch-mode", "no-cors")], FORBIDDEN),
        ("GET", OPEN, [HOST, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], FORBIDDEN),
        ("POST", "/pressed", [HOST], FORBIDDEN),  # says nothing of itself: no browser
        ("POST", "/pressed", [HOST, ("origin", "null"), OURS], FORBIDDEN),
        ("POST", "/pressed", [HOST, ORIGIN, ("sec-fetch-site", "same-site")], FORBIDDEN),
        ("POST", "/pressed", [HOST, ORIGIN, ("sec-fetch-site", "none")], FORBIDDEN),
        ("POST", "/pressed", [HOST, ("origin", f"http://127.0.0.1:{PORT + 1}")], FORBIDDEN),
        ("POST", OPEN, [HOST, ("sec-fetch-site", "cross-site")], FORBIDDEN),
        ("PUT", "/", [HOST, ORIGIN], HTTPStatus.METHOD_NOT_ALLOWED),
        ("OPTIONS", "/", [HOST, ORIGIN], HTTPStatus.METHOD_NOT_ALLOWED),
        ("POST", "/pressed", [HOST, ORIGIN, ("content-length", "2049")], HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        ("POST", "/pressed", [HOST, ORIGIN, ("content-length", "x")], HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
)
def test_turned_away(method: str, path: str, headers: Sequence[tuple[str, str]], status: HTTPStatus) -> None:
    assert judged(method, path, *headers) is status


def test_the_token_is_good_once_and_nothing_else_is() -> None:
    keys = Keys()
    token = keys.token
    assert len(token) == 43  # 256 bits in base64url
    assert not keys.knows("") and keys.exchange("") is None and keys.exchange(token[:-1]) is None
    cookie = keys.exchange(token)
    assert cookie is not None and cookie != token and keys.knows(cookie)
    assert keys.exchange(token) is None and keys.exchange("") is None
    assert not keys.knows(token) and not keys.knows("é")
    assert keys.of_form(keys.form) and not keys.of_form(cookie)
    assert len({Keys().token for _ in range(20)}) == 20


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9CBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:D431 0100007F:9CBB 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 20 4 30 10 -1
   2: 0100007F:9CBB 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 20 4 30 10 -1
   3: 0100007F:D432 0100007F:9CBB 06 00000000:00000000 03:00001768 00000000     0        0 0 3
"""
TCP6 = """ sl  local_address  remote_address  st tx_queue rx_queue tr tm uid
   0: 0000000000000000FFFF00000100007F:D433 0000000000000000FFFF00000100007F:9CBB 01 0:0 00:0 0  1002        0 4
"""
OWN = ("127.0.0.1", 0x9CBB)


def test_whose_a_connection_is() -> None:
    tables = {"tcp": TCP, "tcp6": TCP6}
    assert owner_of(("127.0.0.1", 0xD431), OWN, tables) == 1001
    assert owner_of(("127.0.0.1", 0xD433), OWN, tables) == 1002  # an IPv6 socket with a mapped address
    assert owner_of(("127.0.0.1", 0xD432), OWN, tables) is None  # over already, and nobody's
    assert owner_of(("127.0.0.1", 1), OWN, tables) is None
    assert owner_of(("127.0.0.1", 0xD431), OWN, {}) is None


def test_the_kernel_tells_our_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        link, _ = server.accept()
        with link:
            assert is_own(link)
            assert not is_own(link, lambda: {"tcp": TCP})  # not known to it: nobody of ours
            assert is_own(link, lambda: None)  # a system without such tables
            stranger = f"{_line(link)} {os.getuid() + 1} 0 1"
            assert not is_own(link, lambda: {"tcp": f"head\n{stranger}\n"})


def _line(link: socket.socket) -> str:
    peer, own = link.getpeername(), link.getsockname()
    return f"0: 0100007F:{peer[1]:04X} 0100007F:{own[1]:04X} 01 0:0 0:0 0"
