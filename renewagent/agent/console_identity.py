"""Who this agent is to its console: one key for this user on this machine, made here and never sent, and the
certificate that the console gave for it. For children: it loads cryptography.

The key is kept before it is first used, so that an answer that was lost leaves us the same agent when we ask again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from renewagent.agent.remembered import CERTIFICATE, CONSOLE
from renewagent.atomic import write_atomically

_KEY = "agent.key"
_RENEWED_AFTER = 2 / 3
"""Of a certificate's time, where the console does not say when to renew it."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The certificate (PEM, its chain behind it) and from when on a fresh one is to be asked for."""

    certificate: Path
    key: Path
    not_after: datetime
    renew_after: datetime


class ConsoleIdentity:
    """Key and certificate below `state_folder`. What is written raises OSError; what makes no sense counts as none."""

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder / CONSOLE

    def enrolled(self, now: datetime) -> Enrolled | None:
        """What to show in TLS; None without a certificate that is in date and fits the key."""
        try:
            pem = (self._folder / CERTIFICATE).read_bytes()
            leaf = x509.load_pem_x509_certificates(pem)[0]
            fits = _spki(leaf.public_key()) == _spki(self._key().public_key())
        except (OSError, ValueError, TypeError, IndexError):
            return None
        if not fits or not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
            return None
        lasts = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        due = _told(pem) or leaf.not_valid_before_utc + lasts * _RENEWED_AFTER
        paths = (self._folder / CERTIFICATE, self._folder / _KEY)
        return Enrolled(*paths, leaf.not_valid_after_utc, due)

    def request(self) -> str:
        """A certificate request (PEM) for our key, which is made if there is none."""
        try:
            key = self._key()
        except (OSError, ValueError, TypeError):
            key = self._new_key()
        # No name: who we are is the key, and what else is said of us stands beside the request.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "renewagent agent")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        return request.public_bytes(Encoding.PEM).decode()

    def keep(self, chain: str, renew_after: str) -> None:
        """The console's answer. Raises ValueError for a certificate that is not for our key."""
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        if _spki(leaf.public_key()) != _spki(self._key().public_key()):
            raise ValueError("a certificate for another key")
        told = f"renew-after: {renew_after}\n" if _time(renew_after) is not None else ""
        write_atomically(self._folder / CERTIFICATE, f"{told}{chain}".encode())

    def forget(self) -> None:
        """The console does not know us any more: the next request is for a key, and an agent, of its own."""
        for name in (CERTIFICATE, _KEY):
            (self._folder / name).unlink(missing_ok=True)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key((self._folder / _KEY).read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("not a key of ours")
        return key

    def _new_key(self) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(self._folder / _KEY, secret)
        return key


def _spki(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _told(pem: bytes) -> datetime | None:
    first, _, _ = pem.decode("ascii", "replace").partition("\n")
    return _time(first.removeprefix("renew-after: ")) if first.startswith("renew-after: ") else None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
