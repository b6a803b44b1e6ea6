"""Workstations for tests: each with a key of its own, straight at the agents' application, without TLS beneath; and
cards whose keys sign receipts."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp

from renewagent import cms
from renewagent.check_ins import CardState, CertificateClaim, CheckIn
from renewagent.console.enrolment import make_code
from renewagent.console.site import Site
from renewagent.statements import Purpose, Statement
from tests.unit.campaign.authority import PRESCRIBER, Holder

DAY = timedelta(days=1)
CAMPAIGN = "2026-11-eps-signing/2"
ISSUER = "CN=NHS Signing G2,O=nhs,C=GB"


def fleet_code(site: Site, organisation: str = "RX1", **more: Any) -> str:
    """A new one."""
    return site.store.writing(lambda c: make_code(c, site.now(), site.entropy, organisation, **more))


def certificate_request(key: ec.EllipticCurvePrivateKey) -> str:
    """PKCS #10, PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever it likes")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    certificate: bytes | None = None,
    address: str = "192.0.2.7",
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """One request. `certificate` (DER): what TLS would have found."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": (address, 50000),
        "server": ("192.0.2.1", 8444),
        "state": {"client_certificate": certificate},
    }
    await app(scope, receive, send)
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], said, b"".join(message.get("body", b"") for message in sent[1:]))


@dataclass(slots=True)
class Workstation:
    """One agent. `certificate`: what it was given (DER)."""

    app: ASGIApp
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: bytes | None = None
    name: str = ""
    address: str = "192.0.2.7"

    def post(self, path: str, document: Any) -> Answer:
        """Some JSON."""
        return asyncio.run(self.posting(path, document))

    async def posting(self, path: str, document: Any) -> Answer:
        """The same, for many at once."""
        octets = document if isinstance(document, bytes) else json.dumps(document).encode()
        return await ask(self.app, "POST", path, octets, certificate=self.certificate, address=self.address)

    def get(self, path: str, *headers: tuple[str, str]) -> Answer:
        """GET."""
        return asyncio.run(ask(self.app, "GET", path, certificate=self.certificate, headers=headers))

    def enrol(self, code: str) -> Answer:
        """Become known, if it is let in."""
        csr = certificate_request(self.key)
        said = {"code": code, "machine": "WS-1", "account": "1", "csr": csr, "version": "1.0"}
        answer = self.post("/agents/v1/enrol", said)
        if answer.status == 200:
            self.take_up(answer)
        return answer

    def take_up(self, answer: Answer) -> None:
        """Use the certificate that was given."""
        first, _ = x509.load_pem_x509_certificates(answer.json["certificate"].encode())
        self.certificate, self.name = first.public_bytes(Encoding.DER), answer.json["agent"]

    def deliver(self, *check_ins: CheckIn) -> Answer:
        """Check in."""
        return self.post("/agents/v1/check-ins", {"check_ins": [one.to_json() for one in check_ins]})


@dataclass(slots=True)
class SmartCard:
    """A card with an affected certificate, and what is said of it."""

    identity: str
    serial: str
    issued: datetime
    number: int = 0

    @property
    def old(self) -> str:
        """SHA-256 of the affected certificate."""
        return hashlib.sha256(f"{self.identity} {self.serial}".encode()).hexdigest()

    def claim(self, state: str, at: datetime, **more: Any) -> CheckIn:
        """A check-in."""
        self.number += 1
        certificate = CertificateClaim(ISSUER, self.serial, self.issued, self.issued + 900 * DAY, self.old)
        name = hashlib.sha256(f"{self.identity} {self.number}".encode()).hexdigest()[:32]
        given = {"certificate": certificate, "campaign": CAMPAIGN, **more}
        return CheckIn(name, at, self.identity, CardState(state), **given)

    def receipt(self, signer: Holder, at: datetime, **changes: Any) -> bytes:
        """What the new key signs. `changes` to the statement."""
        new = signer.certificate.fingerprint(hashes.SHA256()).hex()
        fields: dict[str, Any] = {
            "purpose": Purpose.RECEIPT,
            "origin": "https://ra.test",
            "card": self.identity,
            "certificate": new,
            "at": at,
            "nonce": "ab" * 16,
            "old": self.old,
            "campaign": CAMPAIGN,
            **changes,
        }
        return cms.sign(Statement(**fields).encode(), signer.certificate, signer.key)


def new_signer(ra: Holder, now: datetime, name: str = "Dr Ada Example") -> Holder:
    """A prescriber's new certificate."""
    return ra.issue(name, PRESCRIBER, start=now - timedelta(minutes=1), end=now + 900 * DAY)
