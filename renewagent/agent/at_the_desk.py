"""At the RA's desk: an officer of the RA has a person's card renewed, one that has expired too, with two readers.

Each card signs its own part and no more. The officer's authentication key signs an order, for this one card; then the
person's card is renewed as ever, with its own passcode. The officer's reader is hidden from the renewal, so that the
two are never mixed up; whether the officer may, the RA decides. Runs in the short-lived child.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from renewagent import cms
from renewagent.agent import desk_words, words
from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import Inspector, is_for_authentication
from renewagent.agent.job import Workplace, sha256
from renewagent.agent.passcode import FittingSession, KeyDoesNotFit, Passcode, RenewableCard
from renewagent.agent.ra_desk import Outgoing
from renewagent.agent.renew_card import renew_card
from renewagent.agent.unfinished import open_renewal
from renewagent.agent.workstation import filled_readers
from renewagent.card.interface import CardConnection, Readers, ReaderState, SigningSession
from renewagent.card.key import card_key
from renewagent.certificates import read_certificate
from renewagent.cmp import private
from renewagent.cmp.client import Credential
from renewagent.errors import (
    CardDataError,
    RaMisbehaved,
    RaUnreachable,
    RenewalImpossible,
)
from renewagent.language import _
from renewagent.model import CardIdentity, SigningCertificate, Slot, Verdict
from renewagent.rules import AffectedRule, Campaign
from renewagent.statements import Purpose, Statement

DUE = timedelta(days=90)
"""Before its end a certificate may be renewed without anything being wrong with it."""
DESK = "ra-desk"
"""Stands in for a campaign's name, where no campaign has anything to do with it."""


@dataclass(frozen=True, slots=True)
class OtherReaders:
    """All of `inner` but the one in which the officer's card is."""

    inner: Readers
    hidden: str

    def connect(self, reader: str) -> CardConnection:
        """See `Readers`."""
        return self.inner.connect(reader)

    def states(self) -> Mapping[str, ReaderState]:
        """See `Readers`."""
        return {name: state for name, state in self.inner.states().items() if name != self.hidden}

    def wait(self, known: Mapping[str, ReaderState], timeout: float) -> Mapping[str, ReaderState]:
        """See `Readers`; what the officer does with their own card changes nothing."""
        hidden = {name: state for name, state in self.inner.states().items() if name == self.hidden}
        self.inner.wait({**hidden, **known}, timeout)
        return self.states()

    def cancel(self) -> None:
        """See `Readers`."""
        self.inner.cancel()

    def close(self) -> None:
        """See `Readers`."""
        self.inner.close()


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be renewed on a person's card: `old`, and the certificate by which that card speaks. `campaign` is
    what the order names."""

    card: CardIdentity
    authentication: SigningCertificate
    old: SigningCertificate
    campaign: str


def renew_at_the_desk(
    place: Workplace,
    campaigns: Mapping[str, Accepted],
    inspector: Inspector,
    officers_reader: str,
    reader: str | None = None,
) -> dict[str, Any]:
    """Renew the card in `reader`, or in the only other one, by order of the officer whose card is in
    `officers_reader`; the outcome as `renew_card` gives it, with the officer's card. Raises what ended it."""
    theirs = replace(place, readers=OtherReaders(place.readers, officers_reader))
    (officers_reader,) = filled_readers(place.readers, officers_reader)
    reader = _the_only(filled_readers(theirs.readers, reader))
    card = place.open_card(theirs.readers.connect(reader))
    identity, ending = card.identity(), _ending(card, place.now())
    known = _to_go_by(campaigns, ending, place.now())
    others = [one for one in inspector.campaigns if one.id not in known]
    inspector = replace(inspector, campaigns=[*others, *(one.campaign for one in known.values())])
    due, officer = _due(theirs, known, inspector, card), None
    if due is not None:
        officer = _order(place, officers_reader, due)
        place.prompter.tell(desk_words.ordered(due.card))
    outcome = renew_card(replace(theirs, ordered=identity), known, inspector, reader)
    return {**outcome, "officer": None if officer is None else str(officer)}


def _the_only(readers: Sequence[str]) -> str:
    if len(readers) > 1:
        raise RenewalImpossible(
            _("There is more than one smartcard besides the officer's."),
            advice=_("Say which, by --reader. There are: {readers}.").format(readers=", ".join(readers)),
        )
    return readers[0]


def _ending(card: RenewableCard, now: datetime) -> list[SigningCertificate]:
    """What has ended, or will soon, of the certificates that the card signs and speaks with."""
    found = [_authentication(card)[1]]
    with suppress(CardDataError):  # what a cut left of a signing certificate tells nothing
        der = card.certificate(card.slots()[0])
        found += [read_certificate(der)] if der is not None else []
    return [one for one in found if one.head.not_after <= now + DUE]


def _to_go_by(
    campaigns: Mapping[str, Accepted], ending: Sequence[SigningCertificate], now: datetime
) -> Mapping[str, Accepted]:
    """The campaigns, and what stands in for one where certificates end. Nobody signs in with a certificate that has
    expired, whatever a campaign is about: then it renews the pair."""
    if not ending:
        return campaigns
    known = dict(campaigns)
    if any(is_for_authentication(one) and one.head.not_after <= now for one in ending):
        for name, one in campaigns.items():
            known[name] = Accepted(replace(one.campaign, renews="pair"), one.document)
    return {**known, DESK: Accepted(_for_what_ends(ending, now), b"")}


def _for_what_ends(ending: Sequence[SigningCertificate], now: datetime) -> Campaign:
    """Nothing is wrong with the keys: they may stay. Whatever is not older than these certificates is left alone, and
    any real campaign, which ends sooner, comes first."""
    last = max(one.head.not_before for one in ending) + timedelta(seconds=1)
    return Campaign(
        DESK,
        1,
        published=now - timedelta(minutes=1),
        expires=now + timedelta(days=3650),
        reason={"en": desk_words.ENDING},
        rules=(AffectedRule("ending", issued_to=last),),
        renews="pair",
        rekey="allowed",
    )


def _due(place: Workplace, known: Mapping[str, Accepted], inspector: Inspector, card: RenewableCard) -> Due | None:
    """Judge the card, without a passcode; None where only the holder's own part of a renewal is left. Raises
    RenewalImpossible where there is nothing for an officer to do."""
    judged = inspector.judge(card, place.now())
    if judged.note:
        raise RaUnreachable(judged.note)
    if judged.error is not None:
        raise judged.error
    old, verdict = judged.certificate, judged.finding.verdict
    if old is None or verdict not in (Verdict.AFFECTED, Verdict.PART_WAY, Verdict.UNAFFECTED):
        raise RenewalImpossible(judged.finding.reason)
    if judged.revoked:
        raise RenewalImpossible(words.revoked(place.contact).body, advice=words.revoked(place.contact).advice)
    if verdict is Verdict.UNAFFECTED:
        if open_renewal(place.journal, card.identity()) is not None:
            return None
        raise RenewalImpossible(_(desk_words.NOTHING_DUE), advice=_(desk_words.WHY_NOT_DUE))
    name = judged.finding.campaign
    label = known[name].campaign.label if name is not None and name in known and name != DESK else "-"
    return Due(card.identity(), _authentication(card)[1], old, label)


def _authentication(card: RenewableCard) -> tuple[Slot, SigningCertificate]:
    """The certificate that a card speaks with. Raises RenewalImpossible."""
    for slot in card.slots():
        try:
            der = card.certificate(slot)
            found = read_certificate(der) if der is not None else None
        except CardDataError:  # one whose writing was cut short
            continue
        if found is not None and is_for_authentication(found):
            return slot, found
    raise RenewalImpossible(_("There is no certificate to sign in with on this smartcard."))


def _order(place: Workplace, reader: str, due: Due) -> CardIdentity:
    """Have the officer's card sign the order, and the RA take it; which card that was."""
    card = place.open_card(place.readers.connect(reader))
    officer = card.identity()
    if officer == due.card:
        raise RenewalImpossible(_("The smartcard in the officer's reader is the one that is to be renewed."))
    slot, found = _authentication(card)
    certificate = x509.load_der_x509_certificate(found.der)
    nonce = place.desk.nonce()
    if nonce is None:
        raise RenewalImpossible(_(desk_words.NO_ORDERS))
    statement = _statement(place, due, nonce).encode()

    def sign(session: SigningSession) -> tuple[str, Outgoing]:
        public_key: Any = certificate.public_key()
        key = card_key(FittingSession(session, public_key), slot, public_key)
        order = cms.sign(statement, certificate, key)
        delivery = private.OrderDelivery(order=order)
        return sha256(order), place.desk.enquiry(Credential(certificate, (), key), private.ORDER, delivery)

    passcode = Passcode(place.prompter, desk_words.officers_pin, pad=place.pin_pad)
    try:
        digest, enquiry = passcode.signing(card, sign)
    except KeyDoesNotFit as misfit:
        said = _("A signature that the officer's smartcard made is wrong: {why}.").format(why=misfit)
        raise CardDataError(said) from misfit
    finally:
        passcode.drop()
    answer = place.desk.order(enquiry)
    if answer is None:
        raise RenewalImpossible(_(desk_words.NO_ORDERS))
    if answer.order.hex() != digest:
        raise RaMisbehaved(_("The Registration Authority acknowledged another order than the one that was given."))
    return officer


def _statement(place: Workplace, due: Due, nonce: str) -> Statement:
    return Statement(
        purpose=Purpose.ORDER,
        origin=place.desk.origin,
        card=str(due.card),
        certificate=due.authentication.sha256,
        at=place.now().replace(microsecond=0),
        nonce=nonce,
        old=due.old.sha256,
        campaign=due.campaign,
    )
