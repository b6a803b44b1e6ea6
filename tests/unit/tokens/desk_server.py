"""A stand-in for the EPCS desk that answers as it is told, over real TLS, for what the real one never says."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.agent.agents_server import Authority

PERSON = {"id": "p1", "name": "Dr Ada Lamb", "role": "prescriber", "user": "alamb", "dea": True}


class DeskServer:
    """`answers`: by "METHOD /path" what to say, the last one again and again: (status, document or octets). `heard`:
    method, path with query, the session that was shown, and the document."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        self.root = folder / "desk-root.pem"
        self.root.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        self.answers: dict[str, list[tuple[int, Any]]] = {
            "POST /sign-in": [(200, {"token": "a-session", "person": PERSON, "seconds": 900})],
            "POST /sign-out": [(200, {"ok": True})],
        }
        self.heard: list[tuple[str, str, str, Any]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.socket = _context(authority, folder).wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        self.password = folder / "password"
        self.password.write_text("correct horse\n")

    def say(self, asked: str, *answers: Any, status: int = 200) -> None:
        """From now on, in this order."""
        self.answers[asked] = [(status, answer) for answer in answers]

    def words(self) -> list[str]:
        """The options of every command here."""
        return [
            *("--desk", self.url, "--desk-root", str(self.root)),
            *("--user", "alamb", "--password-file", str(self.password)),
        ]

    def sent(self, asked: str) -> list[Any]:
        """The documents that came there."""
        return [document for method, path, _, document in self.heard if f"{method} {path.partition('?')[0]}" == asked]

    @contextmanager
    def running(self) -> Iterator[DeskServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join(5)

    def answer(self, method: str, path: str, session: str, document: Any) -> tuple[int, Any]:
        self.heard.append((method, path, session, document))
        if path != "/sign-in" and session != "Bearer a-session":
            return 401, {"error": "Sign in first."}
        known = self.answers.get(f"{method} {path.partition('?')[0]}")
        if known is None:
            return 404, {"error": f"Nobody said anything about {method} {path}."}
        return known.pop(0) if len(known) > 1 else known[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, document: Any) -> None:
                session = self.headers.get("Authorization", "")
                status, said = desk.answer(self.command, self.path.removeprefix("/epcs/api"), session, document)
                octets = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(octets)))
                if status in (301, 302):
                    self.send_header("Location", "https://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _context(authority: Authority, folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = authority.issue("desk.test", key.public_key()).public_bytes(serialization.Encoding.PEM)
    pem = folder / "desk-server.pem"
    pem.write_bytes(secret + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
