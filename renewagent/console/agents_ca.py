"""The authority that gives each agent a certificate of its own, for mutual TLS and for nothing else.

Key and certificate are made at the first start and kept in the database, so that every server process has the same. An
agent's name is the hash of its first public key: asked for twice, because an answer was lost, it is one agent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from renewagent.console.tables import FACT
from renewagent.console.upserts import insert
from renewagent.errors import RenewAgentError, Retry
from renewagent.loading import UNREADABLE, load_certificate

LASTS = timedelta(days=90)
"""A certificate of an agent; it asks for a fresh one after `RENEWED_AFTER`."""
RENEWED_AFTER = timedelta(days=60)
LARGEST_REQUEST = 8 * 1024
_FACT = "agents-ca"
_CA_LASTS = timedelta(days=20 * 365)
_BACKDATED = timedelta(hours=1)
_CURVES = ("secp256r1", "secp384r1")
_RSA_BITS = range(2048, 4097)
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class RequestRefused(RenewAgentError):
    """A certificate request that is not one, or whose key is not its own."""

    code = "RA-AGENT-REQUEST"
    retry = Retry.NEVER
    advice = "Let the agent make a new key and ask once more."


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """The public key of a request whose signature is right: nothing else in it counts."""

    public_key: PublicKey

    @property
    def name(self) -> str:
        """What an agent that enrols with this key is called: 32 hex digits."""
        spki = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class AgentsCa:
    """The authority's key and certificate."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """Its certificate, as the listener trusts it."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, agent: str, request: CertificateRequest, now: datetime) -> x509.Certificate:
        """A certificate that says `agent` and serves as a client's in TLS."""
        return (
            x509.CertificateBuilder()
            .subject_name(_named(agent))
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + LASTS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def agent_of(self, der: bytes, now: datetime) -> str | None:
        """The agent that a certificate (DER) of ours names, else None. TLS has checked it already; this is for the
        day on which it has not."""
        certificate = _issued_by(self.certificate, der)
        if certificate is None or not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return None
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if len(names) == 1 and certificate != self.certificate else None


@lru_cache(maxsize=4096)
def _issued_by(authority: x509.Certificate, der: bytes) -> x509.Certificate | None:
    """The certificate, if it is readable and `authority` has signed it. Remembered, for agents come again."""
    try:
        certificate = load_certificate(der)
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return None
    return certificate


def read_request(pem: str) -> CertificateRequest:
    """A PKCS #10 request (PEM), its proof of possession checked. Raises RequestRefused."""
    if len(pem) > LARGEST_REQUEST:
        raise RequestRefused("The certificate request is too large.")
    try:
        request = x509.load_pem_x509_csr(pem.encode("ascii"))
        possessed, key = request.is_signature_valid, request.public_key()
    except (*UNREADABLE, UnsupportedAlgorithm) as problem:
        raise RequestRefused("The certificate request cannot be read.") from problem
    if not possessed:
        raise RequestRefused("The certificate request is not signed by its own key.")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return CertificateRequest(key)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return CertificateRequest(key)
    raise RequestRefused("The certificate request is for a kind of key that is not accepted.")


def agents_ca(connection: sa.Connection, now: datetime) -> AgentsCa:
    """The authority, made by whoever asks first. `connection` must be able to write the first time."""
    found = _kept(connection)
    if found is None:
        made = insert(connection, FACT).values(name=_FACT, value=_new(now)).on_conflict_do_nothing()
        connection.execute(made)
        found = _kept(connection)  # ours, or that of the process that was quicker
    assert found is not None  # noqa: S101
    return found


def _kept(connection: sa.Connection) -> AgentsCa | None:
    value = connection.execute(sa.select(FACT.c.value).where(FACT.c.name == _FACT)).scalar()
    if value is None:
        return None
    key = load_pem_private_key(value, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101
    return AgentsCa(key, x509.load_pem_x509_certificate(value))


def _new(now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("renewagent agents")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _CA_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
