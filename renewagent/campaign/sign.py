"""Signing a campaign: what every agent would refuse is refused here first. For commands: it loads cryptography."""

from __future__ import annotations

from datetime import datetime

from renewagent import cms
from renewagent.campaign.document import parse_campaign
from renewagent.campaign.pem import Signer
from renewagent.campaign.verify import check_signer


def sign_campaign(document: bytes, signer: Signer, now: datetime) -> bytes:
    """`document` (UTF-8 JSON), byte for byte, inside CMS SignedData (DER), with the signer's chain.

    Raises CampaignError if the document is no campaign, or the signer's certificate is not one for campaigns.
    """
    parse_campaign(document)
    check_signer(signer.certificate, now)
    return cms.sign(document, signer.certificate, signer.key, signer.chain)
