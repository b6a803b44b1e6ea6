"""Whether a signed statement shows that a person's card is there, and asks to be signed in here or approves what stands
at the EPCS desk, now, once.

The card signs no bytes of ours: the statement is built at the workstation, names this console's origin, and carries our
nonce (design section 4). Here every field is checked, and who signed. Looking the person up, and seeing that a nonce is
used once, is for whoever has the records (`sign_in`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from renewagent import cms
from renewagent.campaign.pem import read_certificates, read_revocation_lists
from renewagent.campaign.verify import is_list_of
from renewagent.certificates import read_certificate
from renewagent.chains import build_chain
from renewagent.console.settings import Settings
from renewagent.errors import CardDataError, RenewAgentError, Retry
from renewagent.names import canonical, format_name
from renewagent.statements import Purpose, Statement

_SKEW = timedelta(minutes=5)
"""By how much the clocks of a workstation and ours may differ."""
LARGEST = 64 * 1024
"""Octets of a signed statement with its chain."""
_SIGNS_IN = frozenset(
    {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SMARTCARD_LOGON,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }
)


class SignInRefused(RenewAgentError):
    """What was shown does not let anybody in."""

    code = "RA-CONSOLE-SIGN-IN"
    retry = Retry.NOW
    advice = "Run the command again."


@dataclass(frozen=True, slots=True)
class Shown:
    """What a card has shown: the canonical name in its authentication certificate, that certificate's SHA-256, the
    card's identity, and the nonce that it signed."""

    subject: str
    certificate: str
    card: str
    nonce: str


def read_sign_in(octets: bytes, settings: Settings, now: datetime) -> Shown:
    """What CMS SignedData over a sign-in statement shows. Reads the RA's root and revocation lists from their files, so
    that new ones count at once. Raises SignInRefused; ConfigurationError for those files."""
    return _read(octets, settings, now, Purpose.SIGN_IN, "-")


def read_approval(octets: bytes, settings: Settings, now: datetime, digest: str) -> Shown:
    """The same over an approval of what has the SHA-256 `digest` (hex)."""
    return _read(octets, settings, now, Purpose.APPROVAL, digest)


def _read(octets: bytes, settings: Settings, now: datetime, purpose: Purpose, old: str) -> Shown:
    try:
        signed = cms.open_signed(octets)
        statement = Statement.decode(signed.content)
        certificate = read_certificate(signed.certificate.public_bytes(Encoding.DER))
    except (ValueError, CardDataError) as problem:
        raise SignInRefused(f"What was sent is no signed statement: {problem}.") from problem
    _check_purpose(statement, purpose, old)
    _check_statement(statement, settings.people.url, certificate.sha256, now)
    chain = _chain(signed, read_certificates(settings.ra_root), now)
    if settings.crls:
        _check_not_revoked(chain, [crl for path in settings.crls for crl in read_revocation_lists(path)], now)
    _check_use(signed.certificate, certificate.key_usage or frozenset())
    return Shown(format_name(canonical(certificate.subject)), certificate.sha256, statement.card, statement.nonce)


def _check_purpose(statement: Statement, purpose: Purpose, old: str) -> None:
    if statement.purpose is not purpose:
        wanted = "a sign-in" if purpose is Purpose.SIGN_IN else "an approval"
        raise SignInRefused(f"The smartcard has signed something else than {wanted}.")
    if statement.old != old:
        raise SignInRefused("The smartcard has signed for something else than this.")


def _check_statement(statement: Statement, origin: str, certificate: str, now: datetime) -> None:
    if statement.origin != origin:
        raise SignInRefused("The smartcard has signed in somewhere else.", advice=f"Use the address {origin}.")
    if statement.certificate != certificate or statement.campaign != "-":
        raise SignInRefused("The smartcard has signed for something else than the console.")
    if statement.card in ("", "-"):
        raise SignInRefused("What the smartcard has signed names no smartcard.")
    if abs(statement.at - now) > _SKEW:
        raise SignInRefused(
            "That computer's clock and the console's differ by more than five minutes.",
            advice="Ask your IT support to set the clock, then run the command again.",
        )


def _chain(signed: cms.SignedContent, anchors: Sequence[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    try:
        return build_chain(signed.certificate, signed.others, anchors, now)
    except ValueError as problem:
        raise SignInRefused(
            "The smartcard's certificate is out of date, or not from this Registration Authority.",
            advice="Contact your Registration Authority.",
        ) from problem


def _check_use(certificate: x509.Certificate, usage: frozenset[str]) -> None:
    """A certificate to sign in with, and not the one for prescriptions: that key signs nothing else."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        purposes = None
    fits = "digitalSignature" in usage and "contentCommitment" not in usage
    if not fits or (purposes is not None and not _SIGNS_IN.intersection(purposes)):
        raise SignInRefused("That is no certificate to sign in with.", advice="Use your smartcard's own.")


def _check_not_revoked(
    chain: Sequence[x509.Certificate], lists: Sequence[x509.CertificateRevocationList], now: datetime
) -> None:
    """Where lists are configured, one in date must speak of the card's certificate (RFC 5280 6.3.3: else its state is
    not known), and none, however old, may name it or one above it."""
    for certificate, issuer in pairwise(chain):
        theirs = [crl for crl in lists if is_list_of(crl, issuer)]
        if any(crl.get_revoked_certificate_by_serial_number(certificate.serial_number) for crl in theirs):
            raise SignInRefused(
                "The smartcard's certificate has been revoked.", advice="Contact your Registration Authority."
            )
        current = any(crl.next_update_utc is None or crl.next_update_utc > now for crl in theirs)
        if certificate is chain[0] and not current:
            raise SignInRefused(
                "The console cannot tell whether the smartcard's certificate is revoked.",
                advice="Ask the console's administrator for revocation lists that are in date (console.crls).",
            )
