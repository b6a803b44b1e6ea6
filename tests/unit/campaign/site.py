"""A web server of our own that can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """A web server's documents by path, and what it was asked."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    drip: float = 0.0
    cut: int = 0
    redirect: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.path, request.headers.get("If-None-Match")))
        body = self.pages.get(request.path, b"")
        etag = '"' + hashlib.sha256(body).hexdigest()[:8] + '"'
        status = 404 if request.path not in self.pages else self.status
        if self.redirect and request.path != self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if status == 200 and request.headers.get("If-None-Match") == etag:
            request.send_response(304)
            request.end_headers()
            return
        request.send_response(status)
        request.send_header("ETag", etag)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        self._write(request, body[: len(body) - self.cut])

    def _write(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if not self.drip:
            request.wfile.write(body)
            return
        for octet in body:
            time.sleep(self.drip)
            request.wfile.write(bytes([octet]))


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port; `url` is that of its first page, "/eps.cms"."""
    here = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                here.answer(self)
            except OSError:  # the client went away
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    here.url = f"http://127.0.0.1:{server.server_port}/eps.cms"
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
