"""A workstation for the agent's tests: a CA, virtual cards issued by it, signed campaigns, and a configuration file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from renewagent.campaign.pem import Signer
from renewagent.campaign.sign import sign_campaign
from renewagent.cmp.private import CAMPAIGN_SIGNER
from renewagent_fixtures.virtual_card.card import VirtualCard

NOW = datetime.now(UTC).replace(microsecond=0)
ISSUER = "CN=Test Signing CA,O=agent tests,C=GB"


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def _usage(*names: str) -> x509.KeyUsage:
    fields = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: name in names for name in fields})


@dataclass
class Ca:
    """Issues signing certificates and campaign signers."""

    name: x509.Name = field(default_factory=lambda: x509.Name.from_rfc4514_string(ISSUER))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def issue(
        self, subject: str, public_key: Any, issued: datetime, *extensions: x509.ExtensionType, serial: int = 0
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(subject))
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(issued)
            .not_valid_after(issued + timedelta(days=1096))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def root(self) -> x509.Certificate:
        usage = _usage("key_cert_sign", "crl_sign")
        constraints = x509.BasicConstraints(True, None)
        return self.issue(ISSUER, self.key.public_key(), days_ago(500), usage, constraints)

    def campaign_signer(self) -> Signer:
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = x509.ExtendedKeyUsage([CAMPAIGN_SIGNER])
        usage = _usage("digital_signature")
        return Signer(key, self.issue("CN=Campaigns", key.public_key(), days_ago(10), usage, purpose))

    def card(self, issued: datetime, *, slot: int = 0x9C, usage: str = "content_commitment") -> VirtualCard:
        card = VirtualCard.create(None)
        self.put(card, issued, slot=slot, usage=usage)
        return card

    def put(self, card: VirtualCard, issued: datetime, *, slot: int = 0x9C, usage: str = "content_commitment") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        card.import_key(slot, key)
        certificate = self.issue("CN=Dr Ada Lamb,O=Surgery,C=GB", key.public_key(), issued, _usage(usage))
        card.write_certificate(slot, certificate.public_bytes(serialization.Encoding.DER))


def campaign_json(version: int = 1, **more: object) -> bytes:
    """A campaign that hits certificates issued from ten to five days ago."""
    document = {
        "id": "test-batch",
        "version": version,
        "published": _text(days_ago(1)),
        "expires": _text(days_ago(-90)),
        "reason": {"en": "This smartcard was issued with a fault."},
        "rules": [{"name": "bad week", "issued_from": _text(days_ago(10)), "issued_to": _text(days_ago(5))}],
        "contact": {"name": "Registration Authority", "phone": "0300 303 5035"},
        **more,
    }
    return json.dumps(document).encode()


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Place:
    """The files of one workstation."""

    folder: Path
    ca: Ca = field(default_factory=Ca)

    def __post_init__(self) -> None:
        self.state.mkdir(mode=0o700)
        (self.folder / "run").mkdir(mode=0o700)
        self.anchor.write_bytes(self.ca.root().public_bytes(serialization.Encoding.PEM))
        self.signer = self.ca.campaign_signer()

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def anchor(self) -> Path:
        return self.folder / "anchor.pem"

    @property
    def campaign(self) -> Path:
        return self.folder / "campaign.cms"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def publish(self, document: bytes) -> None:
        """Sign and put into place."""
        draft = self.folder / "draft"
        draft.write_bytes(sign_campaign(document, self.signer, NOW))
        draft.replace(self.campaign)

    def configure(self, readers: str, **more: str) -> None:
        """Write the configuration; `more` is TOML by section."""
        sections = {
            "campaign": f'urls = ["{self.campaign}"]\nanchor = "{self.anchor}"',
            "card": f'readers = "{readers}"\nsigning_issuers = ["{ISSUER}"]',
            "agent": f'state_dir = "{self.state}"\npoll_interval = 1',
            **more,
        }
        self.config.write_text("".join(f"[{name}]\n{text}\n" for name, text in sections.items()))

    @property
    def env(self) -> dict[str, str]:
        """For processes of this workstation."""
        import os

        return {**os.environ, "XDG_RUNTIME_DIR": str(self.folder / "run"), "HOME": str(self.folder)}
