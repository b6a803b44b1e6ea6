"""Workstations as a console sees them: each with a key and a certificate of its own, over real mutual TLS, one
connection after the other. There is no card and no agent behind: for those there is `tests.flows.fleet`."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from renewagent.check_ins import CardState, CertificateClaim, CheckIn

ISSUER = "CN=NHS Signing G2,O=nhs,C=GB"
CAMPAIGN = "2026-11-eps-signing/1"
ISSUED = datetime(2026, 8, 14, 9, 30, tzinfo=UTC)


def claim(card: int, number: int, state: str = "affected", at: datetime | None = None, **more: Any) -> CheckIn:
    """The check-in of this number about this card: the same two numbers make the same id."""
    certificate = CertificateClaim(ISSUER, f"{card + 1:x}", ISSUED, ISSUED + timedelta(days=900))
    name = hashlib.sha256(f"{card} {number}".encode()).hexdigest()[:32]
    when = (at or datetime.now(UTC)).replace(microsecond=0)
    given = {"certificate": certificate, "campaign": CAMPAIGN, "model": "piv", "rule": "autumn batch", **more}
    return CheckIn(name, when, f"serial:{card:08x}", CardState(state), **given)


@dataclass(slots=True)
class Station:
    """One agent; `trusts` is the console's own certificate. `enrol` first."""

    trusts: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: str = ""
    chain: str = ""
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = ssl.create_default_context(cafile=str(self.trusts))

    def enrol(self, address: str, code: str) -> None:
        """Get a certificate."""
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(self.key, hashes.SHA256())
        said = {"code": code, "machine": "WS", "account": "1", "version": "1.0"}
        status, answer = self.post(
            address, "/agents/v1/enrol", {**said, "csr": csr.public_bytes(Encoding.PEM).decode()}
        )
        assert status == 200, answer
        self.show(answer["certificate"])
        self.name = answer["agent"]

    def show(self, chain: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        """Show this certificate (PEM) from now on."""
        self.chain, self.key = chain, key or self.key
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() + chain)
            file.flush()
            self.context.load_cert_chain(file.name)

    def deliver(self, address: str, check_ins: Sequence[CheckIn]) -> tuple[int, Any]:
        """Check in."""
        return self.post(address, "/agents/v1/check-ins", {"check_ins": [one.to_json() for one in check_ins]})

    def post(self, address: str, path: str, document: Any) -> tuple[int, Any]:
        """Some JSON; status and answer."""
        return self._ask(address, "POST", path, json.dumps(document).encode())

    def get(self, address: str, path: str) -> tuple[int, Any]:
        """GET."""
        return self._ask(address, "GET", path, None)

    def _ask(self, address: str, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        parts = urlsplit(address)
        line = http.client.HTTPSConnection(str(parts.hostname), parts.port, context=self.context, timeout=30)
        try:
            line.request(method, path, body, {"Content-Type": "application/json"})
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            line.close()


def self_made(name: str) -> tuple[str, ec.EllipticCurvePrivateKey]:
    """A certificate (PEM) that says to be this agent's, by an authority of nobody's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "renewagent agents")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), key
