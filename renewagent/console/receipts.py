"""Whether a receipt proves what it says: a card's new signing key tells that the affected certificate was replaced.

What can be known from the octets alone is checked here, off the event loop; what takes the console's records (that one
new certificate settles one card) is checked where the check-in is recorded. The RA, which issued both certificates,
knows more: it checks receipts for itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent import cms
from renewagent.campaign.document import parse_campaign
from renewagent.certificates import read_certificate
from renewagent.chains import build_chain
from renewagent.check_ins import CheckIn
from renewagent.errors import CampaignError, CardDataError
from renewagent.model import SigningCertificate
from renewagent.rules import ANY_KEY_USAGE, Campaign, hits
from renewagent.statements import Purpose, Statement

WINDOW = timedelta(minutes=10)
"""By how much the clocks of a workstation, of the RA and ours may differ."""


class ReceiptRefused(Exception):
    """Why a receipt proves nothing, in a few words for the log."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A receipt that was verified, as far as it goes. `sha256` is its own hash, `new` that of the certificate that
    signed it, `campaign` the id in it."""

    sha256: str
    card: str
    old: str
    new: str
    campaign: str
    at: datetime
    certificate: SigningCertificate = field(repr=False)
    octets: bytes = field(repr=False)


def verify_receipt(check_in: CheckIn, anchors: Sequence[x509.Certificate], now: datetime) -> Proof:
    """The proof in a check-in's receipt. Raises ReceiptRefused."""
    try:
        signed = cms.open_signed(check_in.receipt)
        statement = Statement.decode(signed.content)
        build_chain(signed.certificate, signed.others, anchors, now)
        certificate = read_certificate(signed.certificate.public_bytes(Encoding.DER))
    except (ValueError, CardDataError) as problem:
        raise ReceiptRefused(f"it cannot be believed: {problem}") from problem
    _check_statement(statement, certificate, now)
    _check_claim(statement, check_in)
    return Proof(
        sha256=hashlib.sha256(check_in.receipt).hexdigest(),
        card=statement.card,
        old=statement.old,
        new=certificate.sha256,
        campaign=campaign_id(statement.campaign),
        at=statement.at,
        certificate=certificate,
        octets=check_in.receipt,
    )


def campaign_id(label: str) -> str:
    """The id in "id/version"."""
    return label.rpartition("/")[0]


def check_remedy(certificate: SigningCertificate, document: bytes) -> None:
    """Raises ReceiptRefused if the campaign asks for another kind of certificate, or would hit this one itself."""
    campaign = _campaign(document)
    if campaign is None:
        return
    wanted = {rule.key_usage for rule in campaign.rules} | {ANY_KEY_USAGE}
    kinds = wanted if any(rule.key_usage == ANY_KEY_USAGE for rule in campaign.rules) else wanted - {ANY_KEY_USAGE}
    if ANY_KEY_USAGE not in kinds and not kinds & (certificate.key_usage or frozenset()):
        raise ReceiptRefused("it is signed by a certificate of another kind than the campaign is about")
    if any(hits(rule, certificate) for rule in campaign.rules):
        raise ReceiptRefused("the certificate that signed it is affected itself")


def _check_statement(statement: Statement, certificate: SigningCertificate, now: datetime) -> None:
    if statement.purpose is not Purpose.RECEIPT:
        raise ReceiptRefused("it is a statement for another purpose")
    if statement.certificate != certificate.sha256:
        raise ReceiptRefused("it is about another certificate than the one that signed it")
    if statement.old == statement.certificate:
        raise ReceiptRefused("it names one certificate as the old and the new one")
    # It may be delivered late (no network), but not made before the certificate was, nor in the future.
    if not certificate.head.not_before - WINDOW <= statement.at <= now + WINDOW:
        raise ReceiptRefused("its time makes no sense")


def _check_claim(statement: Statement, check_in: CheckIn) -> None:
    claimed = check_in.certificate
    if statement.card != check_in.card:
        raise ReceiptRefused("it is for another card")
    if campaign_id(statement.campaign) != campaign_id(check_in.campaign):
        # The version may be another: a ticket may have been given under an earlier one.
        raise ReceiptRefused("it is for another campaign")
    if claimed is not None and claimed.sha256 and claimed.sha256 != statement.old:
        raise ReceiptRefused("it replaces another certificate than the affected one")


@lru_cache(maxsize=16)
def _campaign(document: bytes) -> Campaign | None:
    try:
        return parse_campaign(document)
    except CampaignError:  # it was good when it was accepted; what follows is no worse for not knowing its rules
        return None
