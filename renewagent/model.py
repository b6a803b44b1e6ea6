"""The words that every room uses: frozen data, no behaviour beyond naming itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from renewagent.names import Name


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A place for one key and its certificate. `reference` is lowercase hex: a PIV key reference or a CKA_ID."""

    reference: str

    def __str__(self) -> str:
        return self.reference.upper()


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """Which card this is. `scheme` says where `value` (lowercase hex) was read: "chuid", "serial" or "token"."""

    scheme: str
    value: str

    @property
    def ending(self) -> str:
        """The last four characters, as people are shown them: "the smartcard ending 4821"."""
        return self.value[-4:].upper()

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


@dataclass(frozen=True, slots=True)
class CertificateHead:
    """What lies at the front of a certificate and is cheap to read: enough to say that no rule can hit it.

    Times are aware UTC.
    """

    serial: int
    issuer: Name
    not_before: datetime
    not_after: datetime

    @property
    def serial_hex(self) -> str:
        """Lowercase hex of the value: no leading zeros, "-" before a negative one (design section 9)."""
        return format(self.serial, "x")


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """A certificate read whole.

    `key_usage` holds RFC 5280 names ("contentCommitment", ...), or is None where the extension is absent.
    `signature_algorithm` is the RFC name ("sha256WithRSAEncryption", "ecdsa-with-SHA256") or a dotted OID.
    `key_algorithm` is "rsa", "ec", "ed25519", ... or a dotted OID; `key_bits` the modulus or curve size, 0 if unknown.
    """

    head: CertificateHead
    subject: Name
    key_usage: frozenset[str] | None
    signature_algorithm: str
    key_algorithm: str
    key_bits: int
    der: bytes = field(repr=False)
    card_model: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the DER, lowercase hex."""
        import hashlib  # brings OpenSSL along, 3.6 MB that the resident agent does without

        return hashlib.sha256(self.der).hexdigest()


class Verdict(Enum):
    """What we say of a card. PART_WAY comes from the RA's look-up, never from `rules.judge`."""

    UNAFFECTED = "UNAFFECTED"
    AFFECTED = "AFFECTED"
    PART_WAY = "PART_WAY"
    UNREADABLE = "UNREADABLE"
    NO_CERTIFICATE = "NO_CERTIFICATE"


@dataclass(frozen=True, slots=True)
class Finding:
    """One certificate judged, with the reason in a full sentence. `campaign` and `rule` name what hit, if anything.

    `paused` names a campaign that would hit, were it not paused (judged by a head alone: that may hit): nobody is told,
    but the certificate is not to be called good.
    """

    verdict: Verdict
    reason: str
    head: CertificateHead | None = None
    campaign: str | None = None
    rule: str | None = None
    paused: str | None = None
