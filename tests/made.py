"""Certificates made to order, for tests that read them. Signed by a CA key that nobody keeps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

CA_KEY = ec.generate_private_key(ec.SECP256R1())
HOLDER_KEY = ec.generate_private_key(ec.SECP256R1())
ISSUED = datetime(2020, 9, 28, 8, 30, tzinfo=UTC)
NEWER = datetime(2021, 3, 1, tzinfo=UTC)
ENDS = datetime(2023, 9, 28, 8, 30, tzinfo=UTC)
ISSUER = x509.Name.from_rfc4514_string("CN=NHS Signing G2,O=nhs,C=GB")
HOLDER = x509.Name.from_rfc4514_string("CN=Dr Ada Example,OU=People,O=nhs,C=GB")
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def certificate(
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None = None,
    *,
    serial: int = 0x1A2B,
    issuer: x509.Name = ISSUER,
    subject: x509.Name = HOLDER,
    not_before: datetime = ISSUED,
    not_after: datetime = ENDS,
    usage: Iterable[str] | None = ("content_commitment",),
    signer: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = CA_KEY,
    hash_algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
) -> bytes:
    """DER. `usage` None leaves the extension out; else it names bits as cryptography does."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key or HOLDER_KEY.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if usage is not None:
        wanted = set(usage)
        builder = builder.add_extension(x509.KeyUsage(*(name in wanted for name in _USAGES)), critical=True)
    return builder.sign(signer, hash_algorithm or hashes.SHA256()).public_bytes(Encoding.DER)


def with_serial(der: bytes, old: bytes, new: bytes) -> bytes:
    """The certificate with another serial number of as many octets; nobody checks the signature here."""
    assert len(old) == len(new)
    header = bytes((0x02, len(old)))
    assert der.count(header + old) == 1
    return der.replace(header + old, header + new)
