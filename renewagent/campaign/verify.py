"""Whether a signed campaign is to be believed (design section 6). For children and commands: it loads cryptography.

The signer must carry our campaign-signer key purpose, be in date, not revoked, and chain to the anchor; a version older
than one accepted before is refused. An expired campaign is *not* refused: it starts nothing (`rules.judge` sees to
that), but a renewal that has begun may need it to finish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from renewagent import cms
from renewagent.campaign.document import LIMIT, parse_campaign
from renewagent.chains import build_chain
from renewagent.cmp.private import CAMPAIGN_SIGNER
from renewagent.errors import CampaignError
from renewagent.language import N_, _
from renewagent.reasons import moment
from renewagent.rules import Campaign

SIGNED_LIMIT = LIMIT + 64 * 1024
"""Octets of a signed campaign: the document, a signature and a chain."""
_NONE_ACCEPTED: Mapping[str, int] = MappingProxyType({})


class RolledBack(CampaignError):
    """An older version than one that was accepted before: somebody may be hiding the newer one."""

    code = "RA-CAMPAIGN-ROLLBACK"
    advice = N_("Tell your Registration Authority: an out-of-date campaign is being published.")

    def __init__(self, campaign: Campaign, accepted: int) -> None:
        said = N_("This is version {version} of campaign {id}, but version {accepted} has been published before.")
        known = {"version": campaign.version, "id": campaign.id, "accepted": accepted}
        super().__init__(_(said).format(**known))
        self.english = said.format(**known)
        """The message as the console is told it."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What campaigns are checked against: the anchors of the configuration and the revocation lists at hand."""

    anchors: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...] = ()


def verify_campaign(
    der: bytes,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    crls: Sequence[x509.CertificateRevocationList] = (),
    accepted_versions: Mapping[str, int] = _NONE_ACCEPTED,
) -> Campaign:
    """The campaign inside `der` (CMS SignedData), believed. `accepted_versions`: the highest seen, by campaign id.

    Raises CampaignError with the reason in a sentence.
    """
    return verify_with_chain(der, Trust(tuple(anchors), tuple(crls)), now, accepted_versions)[0]


def verify_with_chain(
    der: bytes, trust: Trust, now: datetime, accepted_versions: Mapping[str, int] = _NONE_ACCEPTED
) -> tuple[Campaign, list[x509.Certificate]]:
    """As `verify_campaign`; and the signer's chain, leaf first, anchor last."""
    if len(der) > SIGNED_LIMIT:
        raise CampaignError(_("This signed campaign is larger than {size} KiB.").format(size=SIGNED_LIMIT // 1024))
    try:
        signed = cms.open_signed(der)
    except (ValueError, UnsupportedAlgorithm) as problem:
        why = _("it is not signed at all") if der.lstrip().startswith(b"{") else problem
        raise CampaignError(_("This campaign is not correctly signed: {why}.").format(why=why)) from problem
    check_signer(signed.certificate, now)
    chain = _chain(signed, trust.anchors, now)
    check_not_revoked(chain, trust.crls)
    campaign = parse_campaign(signed.content)
    accepted = accepted_versions.get(campaign.id, 0)
    if campaign.version < accepted:
        raise RolledBack(campaign, accepted)
    return campaign, chain


def check_signer(certificate: x509.Certificate, now: datetime) -> None:
    """Raises CampaignError unless `certificate` is one for campaigns, and in date."""
    try:
        extensions = certificate.extensions
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        purposes = x509.ExtendedKeyUsage([])
    except ValueError as problem:
        raise CampaignError(_("The certificate that signs this campaign cannot be read.")) from problem
    if CAMPAIGN_SIGNER not in purposes:
        raise CampaignError(_("The certificate that signs this campaign is not one for signing campaigns."))
    if not _may_sign(extensions):
        raise CampaignError(_("The certificate that signs this campaign is not one for signatures."))
    if now < certificate.not_valid_before_utc:
        raise CampaignError(
            _("The certificate that signs this campaign is not valid before {moment}.").format(
                moment=moment(certificate.not_valid_before_utc)
            )
        )
    if now > certificate.not_valid_after_utc:
        raise CampaignError(
            _("The certificate that signs this campaign expired on {moment}.").format(
                moment=moment(certificate.not_valid_after_utc)
            )
        )


def _may_sign(extensions: x509.Extensions) -> bool:
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True  # RFC 5280 4.2.1.3: then nothing is restricted
    return usage.digital_signature or usage.content_commitment


def check_not_revoked(chain: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList]) -> None:
    """Raises CampaignError if a list of `crls`, of the certificate's own issuer, names one of `chain` (leaf first)."""
    for certificate, issuer in pairwise(chain):
        for crl in crls:
            listed = crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
            if listed and is_list_of(crl, issuer):
                raise CampaignError(_("The certificate that signs this campaign has been revoked."))


def is_list_of(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """True if `issuer` signed `crl`. How old it is does not matter here."""
    if crl.issuer != issuer.subject:
        return False
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _chain(signed: cms.SignedContent, anchors: Sequence[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    try:
        return build_chain(signed.certificate, signed.others, anchors, now)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise CampaignError(_("The certificate that signs this campaign does not lead to the anchor.")) from problem
