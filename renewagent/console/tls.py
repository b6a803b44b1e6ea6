"""The console's side of TLS: its certificate (a self-signed one where none is configured, for trying out), and the
agents' certificates, which are asked for and checked but not insisted on: enrolment has none yet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from renewagent.atomic import write_atomically
from renewagent.console.settings import Settings
from renewagent.errors import ConfigurationError

_LASTS = timedelta(days=365)
_RENEWED_BEFORE = timedelta(days=30)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate chain and its key (PEM); one file may hold both."""

    certificate: Path
    key: Path

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises ConfigurationError."""
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) and problem.strerror else "it is not what it must be"
            raise ConfigurationError(
                f"The TLS certificate {self.certificate} with the key {self.key} cannot be used: {why}.",
                advice="Check tls.certificate and tls.key: PEM files that belong together, the key without a password.",
            ) from problem

    def changed(self) -> tuple[int, int]:
        """A value that is another one once a file has been replaced."""
        return self.certificate.stat().st_mtime_ns, self.key.stat().st_mtime_ns


def _no_password() -> bytes:
    raise ValueError("the key has a password")


def pair(settings: Settings, now: datetime) -> Pair:
    """What is configured; else a self-signed one in `data`, made if there is none that lasts."""
    if settings.tls_certificate is not None and settings.tls_key is not None:
        return Pair(settings.tls_certificate, settings.tls_key)
    file = settings.data / "self-signed.pem"
    names = sorted(_names(settings))
    if not _serves(file, names, now):
        made = _self_signed(names, now)
        if not _serves(file, names, now):  # another process may have been quicker, and its own is in use
            _make(file, made)
    return Pair(file, file)


def is_self_signed(settings: Settings) -> bool:
    """Whether `pair` makes one."""
    return settings.tls_certificate is None


def server_context(own: Pair, agents_ca: str | None) -> ssl.SSLContext:
    """For a listener. `agents_ca`: PEM of the authority of agents' certificates; None asks for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    own.load_into(context)
    if agents_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=agents_ca)
        # Each ticket carries the client's certificate: half of what a handshake costs, for agents that keep none.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


@dataclass(slots=True)
class Reloader:
    """Takes up a certificate that was replaced on disk while the server runs: they last weeks nowadays."""

    own: Pair
    contexts: Iterable[ssl.SSLContext]
    _seen: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self.own.changed()

    def look(self) -> None:
        """Connections from now on get the new one. If it cannot be used the old one stays, and the log says so."""
        try:
            now = self.own.changed()
            if now == self._seen:
                return
            self._seen = now
            server_context(self.own, None)  # tried on one that nobody uses
            for context in self.contexts:
                self.own.load_into(context)
        except (ConfigurationError, OSError) as problem:
            _LOG.error("the TLS certificate was replaced by one that cannot be used", exc_info=problem)
        else:
            _LOG.info("the TLS certificate was replaced")


def _names(settings: Settings) -> set[str]:
    urls = (settings.agents.url, settings.people.url)
    named = {str(urlsplit(url).hostname) for url in urls if url}
    return named | {settings.agents.host, settings.people.host, "localhost", "127.0.0.1", "::1"} - {"0.0.0.0", "::"}  # noqa: S104


def _serves(file: Path, names: list[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return certificate.not_valid_after_utc > now + _RENEWED_BEFORE and list(extension) == _general(names)


def _make(file: Path, octets: bytes) -> None:
    """Of several processes that find none, the first one's stays."""
    if file.exists():
        write_atomically(file, octets)
        return
    own = file.with_name(f".{file.name}.{os.getpid()}")
    write_atomically(own, octets)
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(own)
    own.unlink()


def _self_signed(names: list[str], now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "renewagent console")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LASTS)
        .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)  # it is its own root
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + secret


def _general(names: list[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
