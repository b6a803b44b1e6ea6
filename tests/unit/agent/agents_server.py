"""A stand-in for the console that answers as it is told, over real TLS with client certificates, for what the real one
never says. It shares no code with either side but the wire's words."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """A CA: for the server, and for agents."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.issue("authority", self.key.public_key(), ca=True)

    def issue(
        self, name: str, public_key: Any, *, ca: bool = False, lasts: timedelta = 90 * DAY, begun: timedelta = DAY
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - begun)
            .not_valid_after(now - begun + lasts)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("console.test"), x509.IPAddress(ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


class AgentsServer:
    """`answers`: what to say at a path, once each and in order (status, headers, document or octets); then it behaves.
    `heard`: path, the client certificate's name ("" for none) and the document of every request."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        self.root = folder / "console-root.pem"
        self.root.write_bytes(self.authority.certificate.public_bytes(serialization.Encoding.PEM))
        self.answers: dict[str, list[tuple[int, dict[str, str], Any]]] = {}
        self.heard: list[tuple[str, str, Any]] = []
        self.orders: list[str] = []
        self.poll: Any = 300
        self.known: set[str] = set()
        self.lasts, self.begun = 90 * DAY, DAY
        self.taken: dict[str, Any] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.socket = self._context(folder).wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[AgentsServer]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join(5)

    def paths(self) -> list[str]:
        return [path.removeprefix("/agents/v1/") for path, _, _ in self.heard]

    def say(self, path: str, status: int, document: Any = None, **headers: str) -> None:
        """Once, at /agents/v1/`path`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(f"/agents/v1/{path}", []).append((status, named, document))

    def _context(self, folder: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = folder / "console-server.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = self.authority.issue("console.test", key.public_key())
        pem.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.load_verify_locations(self.root)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def answer(self, path: str, agent: str, document: Any) -> tuple[int, dict[str, str], Any]:
        self.heard.append((path, agent, document))
        if self.answers.get(path):
            return self.answers[path].pop(0)
        if path != "/agents/v1/enrol" and agent not in self.known:
            return 403, {}, {"error": "not known"}
        match path.removeprefix("/agents/v1/"):
            case "enrol" | "certificate":
                return 200, {}, self._certified(document["csr"])
            case "check-ins":
                self.taken.update({one["id"]: one for one in document["check_ins"]})
                ids = [one["id"] for one in document["check_ins"]]
                return 200, {}, {"accepted": ids, "refused": [], **self._orders()}
            case _:
                return 200, {}, self._orders()

    def _orders(self) -> dict[str, Any]:
        return {"orders": [{"id": one, "kind": "check-now"} for one in self.orders], "poll": self.poll}

    def _certified(self, csr: str) -> dict[str, Any]:
        request = x509.load_pem_x509_csr(csr.encode())
        assert request.is_signature_valid
        spki = request.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        name = f"agent-{hash(spki) % 10**9}"
        self.known.add(name)
        certificate = self.authority.issue(name, request.public_key(), lasts=self.lasts, begun=self.begun)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        renew = certificate.not_valid_before_utc + self.lasts * 0.7
        return {"agent": name, "certificate": pem, "renew_after": renew.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._do(None)

            def do_POST(self) -> None:
                self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _do(self, document: Any) -> None:
                shown: Any = self.connection.getpeercert()
                names = [value for rdn in shown["subject"] for _, value in rdn] if shown else [""]
                status, headers, said = site.answer(self.path, names[0], document)
                octets = said if isinstance(said, bytes) else json.dumps(said or {}).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(octets)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
