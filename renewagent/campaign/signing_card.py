"""Signing a campaign with a smartcard: which card and slot hold a campaign signer's certificate, and one signature.

For commands: it loads cryptography, asks for a passcode and speaks to cards. The card is logged out when it has signed;
a passcode that it refused is not sent again, and none is asked for when it would be the last try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from renewagent import cms
from renewagent.agent.passcode import FittingSession, KeyDoesNotFit, Passcode, PublicKey, RenewableCard
from renewagent.agent.prompts import Prompter
from renewagent.agent.workstation import filled_readers
from renewagent.campaign.document import parse_campaign
from renewagent.campaign.verify import check_signer
from renewagent.card.interface import CardConnection, Readers
from renewagent.card.key import card_key
from renewagent.cmp.private import CAMPAIGN_SIGNER
from renewagent.errors import CampaignError, CardDataError, CardError, RenewAgentError
from renewagent.loading import load_certificate
from renewagent.model import CardIdentity, Slot

_OTHER = "Insert the smartcard of a campaign signer, or give --reader and --slot."


@dataclass(frozen=True, slots=True)
class SigningCard:
    """A campaign signer's certificate, and the card and slot that its key is in."""

    reader: str
    card: RenewableCard
    identity: CardIdentity
    slot: Slot
    certificate: x509.Certificate
    public_key: PublicKey

    @property
    def name(self) -> str:
        """The signer, as RFC 4514 text."""
        return self.certificate.subject.rfc4514_string()


@contextmanager
def signing_card(
    readers: Readers,
    open_card: Callable[[CardConnection], RenewableCard],
    *,
    reader: str | None = None,
    slot: Slot | None = None,
) -> Iterator[SigningCard]:
    """The one campaign signer's certificate on the cards that are in (or in `reader`, or in `slot`).

    Raises CampaignError where there is none, or more than one; NoReader, NoCard; what a named reader's card raises.
    """
    with ExitStack() as connections:
        found: list[SigningCard] = []
        for name in filled_readers(readers, reader):
            try:
                connection = connections.enter_context(closing(readers.connect(name)))
                found += _signers_on(open_card(connection), name, slot)
            except RenewAgentError:
                if reader is not None:  # a bank's card in another reader is nobody's business
                    raise
        yield _only(found)


def sign_by_card(
    document: bytes, signer: SigningCard, prompter: Prompter, now: datetime, chain: Sequence[x509.Certificate] = ()
) -> bytes:
    """As `renewagent.campaign.sign.sign_campaign`, by a card. Raises PersonStopped, LastPinTry, CardRemoved besides."""
    parse_campaign(document)
    check_signer(signer.certificate, now)
    passcode = Passcode(prompter)
    try:
        return passcode.signing(
            signer.card,
            lambda session: cms.sign(
                document,
                signer.certificate,
                card_key(FittingSession(session, signer.public_key), signer.slot, signer.public_key),
                chain,
            ),
        )
    except KeyDoesNotFit as problem:
        said = f"The key in slot {signer.slot} of the smartcard does not belong to the certificate there."
        raise CardDataError(said, advice="Sign with another smartcard, and have this one looked at.") from problem
    finally:
        passcode.drop()


def _signers_on(card: RenewableCard, reader: str, wanted: Slot | None) -> list[SigningCard]:
    identity, found = card.identity(), []
    for slot in [one for one in card.slots() if wanted in (None, one)]:
        certificate = _certificate(card, slot)
        key = certificate.public_key() if certificate is not None and _signs_campaigns(certificate) else None
        if certificate is not None and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            found.append(SigningCard(reader, card, identity, slot, certificate, key))
    return found


def _certificate(card: RenewableCard, slot: Slot) -> x509.Certificate | None:
    """None where there is none that can be read: another slot may have what is looked for."""
    try:
        der = card.certificate(slot)
        return load_certificate(der) if der else None
    except (CardError, ValueError):
        return None


def _signs_campaigns(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError, UnsupportedAlgorithm):
        return False
    return CAMPAIGN_SIGNER in purposes


def _only(found: Sequence[SigningCard]) -> SigningCard:
    if not found:
        raise CampaignError("There is no certificate for signing campaigns on the smartcard.", advice=_OTHER)
    if len(found) > 1:
        where = "; ".join(f"{one.name} in slot {one.slot} of {one.reader}" for one in found)
        raise CampaignError(f"There are {len(found)} certificates for signing campaigns: {where}.", advice=_OTHER)
    return found[0]
