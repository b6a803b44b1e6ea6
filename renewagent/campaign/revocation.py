"""Revocation lists of campaign signers: fetched from where their certificates say, and kept. For children only.

Being offline is normal: then the list that was kept serves, however old. A list counts only if the issuer signed it,
and never takes the place of a newer one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from renewagent.atomic import write_atomically
from renewagent.campaign.download import download
from renewagent.campaign.store import FOLDER
from renewagent.campaign.verify import is_list_of
from renewagent.errors import RaUnreachable

if TYPE_CHECKING:
    import urllib3

LIMIT = 4 * 1024 * 1024
FRESH = timedelta(hours=1)
"""How long a list is not asked for again, unless its own time is over."""


def revocation_lists(
    chain: Sequence[x509.Certificate], state_dir: Path, now: datetime, http: urllib3.PoolManager
) -> list[x509.CertificateRevocationList]:
    """The lists that the certificates of a *verified* `chain` (leaf first) point to, as far as they can be had."""
    found = []
    for certificate, issuer in pairwise(chain):
        for url in _addresses(certificate):
            crl = _list(url, issuer, state_dir / FOLDER, now, http)
            if crl is not None:
                found.append(crl)
    return found


def _addresses(certificate: x509.Certificate) -> Iterator[str]:
    """Where the full list is over HTTP (RFC 5280 4.2.1.13). Plain HTTP is usual: lists are signed."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier) and name.value.startswith(("http://", "https://")):
                yield name.value


def _list(
    url: str, issuer: x509.Certificate, folder: Path, now: datetime, http: urllib3.PoolManager
) -> x509.CertificateRevocationList | None:
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.crl"
    kept = _read(path, issuer)
    if kept is not None and _is_fresh(kept, path, now):
        return kept
    try:
        octets = download(url, http, LIMIT).octets or b""
    except RaUnreachable:
        return kept
    crl = _parsed(octets, issuer)
    if crl is None or (kept is not None and crl.last_update_utc < kept.last_update_utc):
        return kept
    with suppress(OSError):  # it serves this time even where it cannot be kept
        _keep(path, octets, now)
    return crl


def _keep(path: Path, octets: bytes, now: datetime) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, octets)
    os.utime(path, (now.timestamp(), now.timestamp()))


def _is_fresh(crl: x509.CertificateRevocationList, path: Path, now: datetime) -> bool:
    if crl.next_update_utc is None or crl.next_update_utc <= now:
        return False
    try:
        age = now.timestamp() - path.stat().st_mtime
    except OSError:
        return False
    return 0 <= age < FRESH.total_seconds()


def _read(path: Path, issuer: x509.Certificate) -> x509.CertificateRevocationList | None:
    try:
        return _parsed(path.read_bytes(), issuer)
    except OSError:
        return None


def _parsed(octets: bytes, issuer: x509.Certificate) -> x509.CertificateRevocationList | None:
    """A list (DER, or PEM as some servers give it) that `issuer` signed, else None."""
    load = x509.load_pem_x509_crl if octets.startswith(b"-----") else x509.load_der_x509_crl
    try:
        crl = load(octets)
    except ValueError:
        return None
    return crl if is_list_of(crl, issuer) else None
