"""Which column holds the certificates, where nobody said so. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

USUAL = ("usercertificate", "certificate", "cert", "x509", "der", "pem", "certificate_der", "certificate_pem", "raw")
"""Names that such columns go by, in lower case, the likeliest first."""

DER_BEGINS = (b"\x30\x82", b"\x30\x81", b"\x30\x83")
_SHORTEST = 100
# 30 8x, in base64, in hexadecimal digits, or inside a PEM block
_CERTIFICATE = re.compile(r"\s*(?:MI[GHIJKLM]|(?:\\x|0x)?30:? ?8[1-3]|-----BEGIN )", re.IGNORECASE)


def looks_like_certificate(cell: str | bytes) -> bool:
    """True for what may well be one, in DER or written in text."""
    if isinstance(cell, bytes):
        if cell[:2] in DER_BEGINS:
            return True
    if len(cell) <= _SHORTEST:
        return False
    front = cell[:40].decode("latin-1") if isinstance(cell, bytes) else cell
    return _CERTIFICATE.match(front) is not None


def usual_column(names: Sequence[str]) -> str | None:
    """The column whose name says it, or None."""
    by_name = {name.strip().lower().partition(";")[0]: name for name in names}
    return next((by_name[usual] for usual in USUAL if usual in by_name), None)
