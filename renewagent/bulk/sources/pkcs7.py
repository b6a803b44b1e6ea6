"""PKCS#7 and CMS: the certificates that a SignedData carries along (RFC 5652 5.1). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from asn1crypto import cms

from renewagent.bulk.rows import Fault, Piece, Rows
from renewagent.bulk.sources.reading import octets_of

SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


def certificates_in(octets: bytes) -> list[tuple[bytes, str]]:
    """Each certificate with what is wrong with it, if anything is; or one empty one that says what is wrong."""
    try:
        content = cms.ContentInfo.load(octets)
        if content["content_type"].native != "signed_data":
            return [(b"", "This PKCS#7 is not the kind that carries certificates.")]
        certificates = content["content"]["certificates"]
        found = [(one.dump(), "") for one in certificates] if certificates else []
    except (ValueError, TypeError, KeyError, IndexError):
        return [(b"", "This is not PKCS#7 that can be read.")]
    return found or [(b"", "This PKCS#7 carries no certificate.")]


def rows(piece: Piece) -> Iterator[Rows]:
    """The certificates of a piece, which is a whole source."""
    found = certificates_in(octets_of(piece))
    faults = {row: Fault(why) for row, (_, why) in enumerate(found) if why}
    yield Rows.of([der for der, _ in found], faults)
