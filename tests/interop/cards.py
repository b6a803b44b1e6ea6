"""Virtual cards in a private pcscd, for other people's programs; a small CA that vouches for what they generate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.virtual_card.card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.pcsc import until
from tests.programs import run

PIN = "123456"
MANAGEMENT_KEY = "010203040506070801020304050607080102030405060708"


def name(common: str) -> x509.Name:
    """CN alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass
class Authority:
    """Issues certificates for public keys."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def issue(self, public_key: Path, subject: str, to: Path) -> Path:
        """A PEM certificate at `to` for the PEM key at `public_key`."""
        key = serialization.load_pem_public_key(public_key.read_bytes())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Interop CA"))
            .public_key(key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )
        to.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return to


@dataclass
class CardInReader:
    """A card that other programs can use: in `reader`, with `env`, and a folder `work` for their files."""

    card: VirtualCard
    pcscd: PrivatePcscd
    work: Path
    authority: Authority = field(default_factory=Authority)

    @property
    def reader(self) -> str:
        """The reader's full name."""
        return self.pcscd.reader_names[0]

    @property
    def env(self) -> dict[str, str]:
        """No cache of an earlier card, no configuration of the machine's user."""
        home = {"HOME": str(self.work), "XDG_CACHE_HOME": str(self.work / "cache"), "LANG": "C.UTF-8"}
        return {**self.pcscd.env, **home, "PATH": os.environ.get("PATH", os.defpath)}

    def run(self, program: str, *arguments: str | Path, stdin: str | bytes = b"", status: int = 0) -> str:
        """Run `program` beside this card."""
        return run(program, *arguments, env=self.env, stdin=stdin, status=status)

    def data(self) -> Path:
        """Something to sign."""
        path = self.work / "data"
        path.write_bytes(b"two hundred milligrams, twice a day")
        return path


@contextmanager
def inserted(profile: str, pcscd: PrivatePcscd, work: Path) -> Iterator[CardInReader]:
    """A new card of that profile in the first reader."""
    with inserted_card(VirtualCard.create(None, profile=profile), pcscd, work) as there:
        yield there


@contextmanager
def inserted_card(card: VirtualCard, pcscd: PrivatePcscd, work: Path) -> Iterator[CardInReader]:
    """This card in the first reader."""
    powered: list[bytes] = []
    with VpcdLink(card, pcscd.ports[0], on_power=powered.append):
        until(lambda: powered)  # pcscd looks every 400 ms
        yield CardInReader(card, pcscd, work)


def verify(public_key: Path, signature: Path, data: Path, *options: str) -> None:
    """openssl has the last word."""
    output = run("openssl", "dgst", "-sha256", *options, "-verify", public_key, "-signature", signature, data)
    assert "Verified OK" in output
