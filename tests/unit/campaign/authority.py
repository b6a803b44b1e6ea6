"""A root, the certificates below it, and revocation lists, for the tests of signed campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from renewagent.cmp.private import CAMPAIGN_SIGNER

NOW = datetime(2020, 10, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def new_key(kind: str = "p256") -> Key:
    if kind == "rsa2048":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def key_usage(*names: str) -> x509.KeyUsage:
    kinds = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{kind: kind in names for kind in kinds})


SIGNER = (
    x509.ExtendedKeyUsage([CAMPAIGN_SIGNER]),
    key_usage("digital_signature"),
    x509.BasicConstraints(ca=False, path_length=None),
)
PRESCRIBER = (
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION]),
    key_usage("digital_signature", "content_commitment"),
    x509.BasicConstraints(ca=False, path_length=None),
)
AUTHORITY = (key_usage("key_cert_sign", "crl_sign"), x509.BasicConstraints(ca=True, path_length=None))


@dataclass(frozen=True)
class Holder:
    """A key and its certificate, able to issue."""

    key: Key
    certificate: x509.Certificate

    def issue(
        self,
        name: str,
        extensions: Sequence[x509.ExtensionType] = SIGNER,
        *,
        kind: str = "p256",
        start: datetime = NOW - DAY,
        end: datetime = NOW + 365 * DAY,
    ) -> Holder:
        key = new_key(kind)
        return Holder(key, _certificate(name, key, self.certificate.subject, self.key, extensions, start, end))

    def revoke(self, *revoked: Holder, start: datetime = NOW - DAY) -> x509.CertificateRevocationList:
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(start).next_update(start + DAY)
        for holder in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(holder.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(start).build())
        return builder.sign(self.key, hashes.SHA256())

    def pem(self, *others: x509.Certificate) -> bytes:
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *others))

    def written(self, path: Path, *others: x509.Certificate) -> Path:
        path.write_bytes(self.pem(*others))
        return path


def root(name: str = "Root", kind: str = "p256") -> Holder:
    key = new_key(kind)
    subject = _name(name)
    return Holder(key, _certificate(name, key, subject, key, AUTHORITY, NOW - 900 * DAY, NOW + 9000 * DAY))


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Trust"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _certificate(
    name: str,
    key: Key,
    issuer: x509.Name,
    issuer_key: Key,
    extensions: Sequence[x509.ExtensionType],
    start: datetime,
    end: datetime,
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(end)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer_key, hashes.SHA256())
