"""A web server that publishes a campaign as it should, until it is told to turn hostile."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Manner = Callable[[BaseHTTPRequestHandler], None]
HUGE = 100 * 1024 * 1024


@dataclass
class HostileSite:
    """`page` is what it publishes; `manner`, if there is one, answers in its place."""

    url: str = ""
    page: bytes = b""
    manner: Manner | None = None
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    """Octets of the latest answer of a manner that counts them."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        if self.manner is not None:
            self.manner(request)
            return
        etag = f'"{hashlib.sha256(self.page).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            request.send_response(304)
            request.end_headers()
            return
        whole(self.page, etag)(request)

    # --- manners ------------------------------------------------------------------------------------------------------

    def huge(self, request: BaseHTTPRequestHandler) -> None:
        """100 MB, as many as are taken."""
        self.sent = 0
        head(request, 200, ("Content-Length", str(HUGE)))
        block = self.page + bytes(65536)
        while self.sent < HUGE:
            request.wfile.write(block)
            self.sent += len(block)

    def endless(self, request: BaseHTTPRequestHandler) -> None:
        """A chunked body without an end."""
        self.sent = 0
        head(request, 200, ("Transfer-Encoding", "chunked"))
        block = bytes(65536)
        while True:
            request.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            self.sent += len(block)

    def bomb(self, request: BaseHTTPRequestHandler) -> None:
        """100 MB of nothing, packed into a hundred kilobytes."""
        whole(gzip.compress(bytes(HUGE)), "", ("Content-Encoding", "gzip"))(request)

    def dripping(self, request: BaseHTTPRequestHandler) -> None:
        """An octet now and then, never so late that a time-out of the socket would notice."""
        head(request, 200, ("Content-Length", str(len(self.page))))
        for octet in self.page:
            request.wfile.write(bytes([octet]))
            time.sleep(1)

    def dripping_headers(self, request: BaseHTTPRequestHandler) -> None:
        """The same before there is even an answer."""
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Wait: ")
        for _ in range(300):
            request.wfile.write(b"x")
            time.sleep(1)

    def truncated(self, request: BaseHTTPRequestHandler) -> None:
        """Less than was promised."""
        head(request, 200, ("Content-Length", str(len(self.page))))
        request.wfile.write(self.page[:-20])
        request.close_connection = True


def head(request: BaseHTTPRequestHandler, status: int, *headers: tuple[str, str]) -> None:
    request.send_response(status)
    for name, value in headers:
        request.send_header(name, value)
    request.end_headers()


def whole(body: bytes, etag: str = "", *headers: tuple[str, str], status: int = 200) -> Manner:
    """This document, as it is."""
    more = [("ETag", etag)] if etag else []

    def manner(request: BaseHTTPRequestHandler) -> None:
        head(request, status, *more, *headers, ("Content-Length", str(len(body))))
        if request.command != "HEAD":
            request.wfile.write(body)

    return manner


def elsewhere(location: str) -> Manner:
    """Sends whoever asks to another address."""
    return whole(b"", "", ("Location", location), status=302)


def raw(octets: bytes) -> Manner:
    """Something that is no HTTP."""

    def manner(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(octets)
        request.close_connection = True

    return manner


@contextmanager
def serving() -> Iterator[HostileSite]:
    """On a free port of this computer."""
    here = HostileSite()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                here.answer(self)
            except OSError:  # the client has had enough
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # hung up on, and rightly
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    here.url = f"http://127.0.0.1:{server.server_port}/autumn.campaign"
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
