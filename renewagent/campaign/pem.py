"""PEM and PKCS#12 files: a signer's key and certificates, anchors, revocation lists. For children: it loads
cryptography.

A file that is missing or holds something else is a `ConfigurationError` that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from renewagent.errors import ConfigurationError
from renewagent.language import N_, _

T = TypeVar("T")

_LARGEST = 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)  # RFC 7468 2
_CHECK = N_("Check the name of the file, and that it is a PEM file.")
_CHECK_PASSWORD = N_("Check the password, and the name of the file.")


@dataclass(frozen=True, slots=True)
class Signer:
    """A key with its certificate and the certificates between that and the anchor."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()


def read_signer(path: Path, password: Callable[[], bytes] | None = None) -> Signer:
    """The private key in `path` (PEM or PKCS#12), the certificate there that it belongs to, and the other certificates.

    `password` is asked for only where the file is protected by one.
    """
    octets = _octets(path)
    if octets.startswith(b"0"):  # DER: PKCS#12
        return _signer_in(_opened(octets, path, password), path)
    blocks = _split(octets)
    keys = [block for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    if len(keys) != 1:
        raise ConfigurationError(
            _("{path} must hold one private key; it holds {count}.").format(path=path, count=len(keys)),
            advice=_(_CHECK),
        )
    key = _private_key(keys[0], path, password)
    certificates = _loaded(blocks, b"CERTIFICATE", x509.load_pem_x509_certificate, path)
    own = [certificate for certificate in certificates if _public(certificate) == _public(key)]
    if not own:
        raise ConfigurationError(
            _("{path} holds no certificate for its private key.").format(path=path), advice=_(_CHECK)
        )
    return Signer(key, own[0], tuple(c for c in certificates if c != own[0]))


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """All certificates in `path`, at least one."""
    found = _loaded(_blocks(path), b"CERTIFICATE", x509.load_pem_x509_certificate, path)
    if not found:
        raise ConfigurationError(_("{path} holds no certificate.").format(path=path), advice=_(_CHECK))
    return found


def read_revocation_lists(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """All certificate revocation lists in `path` (PEM, or one as DER), at least one."""
    octets = _octets(path)
    if octets.startswith(b"0"):
        return (_load(octets, x509.load_der_x509_crl, path, N_("revocation list")),)
    found = _loaded(_split(octets), b"X509 CRL", x509.load_pem_x509_crl, path)
    if not found:
        raise ConfigurationError(_("{path} holds no certificate revocation list.").format(path=path), advice=_(_CHECK))
    return found


def _opened(octets: bytes, path: Path, password: Callable[[], bytes] | None) -> PKCS12KeyAndCertificates:
    for guess in (None, b""):  # RFC 7292 appendix B.1: programs differ in how they write that there is none
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            return load_pkcs12(octets, guess)
    try:
        return load_pkcs12(octets, _asked(path, password))
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(
            _("{path} cannot be opened: the password is wrong, or it is no PKCS#12 file.").format(path=path),
            advice=_(_CHECK_PASSWORD),
        ) from problem


def _signer_in(opened: PKCS12KeyAndCertificates, path: Path) -> Signer:
    if opened.key is None or opened.cert is None:
        raise ConfigurationError(
            _("{path} holds no private key with its certificate.").format(path=path), advice=_(_CHECK_PASSWORD)
        )
    others = tuple(other.certificate for other in opened.additional_certs)
    return Signer(_of_our_kinds(opened.key, path), opened.cert.certificate, others)


def _asked(path: Path, password: Callable[[], bytes] | None) -> bytes:
    if password is None:
        raise ConfigurationError(
            _("The private key in {path} is protected by a passphrase.").format(path=path),
            advice=_("Give a file whose key has none, and keep that file safe."),
        )
    return password()


def _private_key(
    pem: bytes, path: Path, password: Callable[[], bytes] | None
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:  # it is encrypted
        key = _encrypted_key(pem, path, _asked(path, password))
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(
            _("The private key in {path} cannot be read.").format(path=path), advice=_(_CHECK)
        ) from problem
    return _of_our_kinds(key, path)


def _encrypted_key(pem: bytes, path: Path, password: bytes) -> Any:
    try:
        return load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(
            _("The private key in {path} cannot be read: the password is wrong, or the file is damaged.").format(
                path=path
            ),
            advice=_(_CHECK_PASSWORD),
        ) from problem


def _of_our_kinds(key: object, path: Path) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError(
            _("The private key in {path} is neither RSA nor elliptic-curve.").format(path=path), advice=_(_CHECK)
        )
    return key


def _public(holder: x509.Certificate | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes | None:
    try:
        return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _loaded(blocks: list[tuple[bytes, bytes]], label: bytes, load: Callable[[bytes], T], path: Path) -> tuple[T, ...]:
    what = N_("certificate") if label == b"CERTIFICATE" else N_("x509 crl")
    return tuple(_load(block, load, path, what) for found, block in blocks if found == label)


def _load(octets: bytes, load: Callable[[bytes], T], path: Path, what: str) -> T:
    try:
        return load(octets)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(
            _("A {what} in {path} cannot be read.").format(what=_(what), path=path), advice=_(_CHECK)
        ) from problem


def _blocks(path: Path) -> list[tuple[bytes, bytes]]:
    return _split(_octets(path))


def _split(octets: bytes) -> list[tuple[bytes, bytes]]:
    return [(match.group(1), match.group(0)) for match in _BLOCK.finditer(octets)]


def _octets(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(_LARGEST + 1)
    except OSError as problem:
        raise ConfigurationError(
            _("The file {path} cannot be read: {why}.").format(path=path, why=problem.strerror), advice=_(_CHECK)
        ) from problem
    if len(octets) > _LARGEST:
        raise ConfigurationError(
            _("The file {path} is too large to be a PEM file.").format(path=path), advice=_(_CHECK)
        )
    return octets
