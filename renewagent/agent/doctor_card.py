"""The doctor's look at readers and smartcards: is there one, is its certificate good today and on the day that a
prescription is dispensed, and can its passcode still be typed. Nothing is written to a card, no passcode is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from renewagent.agent import doctor_pcscd, words
from renewagent.agent.doctor_pcscd import Door
from renewagent.agent.full_inspection import Inspection
from renewagent.agent.inspection_child import inspect_reader
from renewagent.agent.times_in_words import date_in_words
from renewagent.agent.tries_in_words import few_tries, tries_for_its_passcode
from renewagent.agent.workstation import card_opener, filled_readers, open_readers
from renewagent.campaign.pem import read_certificates
from renewagent.card.interface import Readers
from renewagent.chains import build_chain, issuers_among
from renewagent.configuration import CardSettings, Configuration
from renewagent.errors import CardBusy, NoCard, NoReader, PcscUnavailable, ReaderError, UnsupportedCard
from renewagent.health import Health, Observation
from renewagent.language import N_, _
from renewagent.loading import UNREADABLE
from renewagent.model import CertificateHead, Slot, Verdict
from renewagent.rules import Campaign, Contact

SOON = timedelta(days=90)
"""How long before its end a certificate is mentioned: when holders may renew it themselves."""
PATIENCE = 4.0
"""Seconds for other programs, and for a smartcard service that says nothing."""
DISPENSED_WITHIN = timedelta(days=28)
"""How long after signing a prescription may still be dispensed, and its signature verified."""
_SERVICE, _READER, _CARD, _DRIVER = N_("smartcard service"), N_("reader"), N_("smartcard"), N_("card driver")
_CERTIFICATE, _DATES = N_("signing certificate"), N_("certificate dates")
_CHAIN, _PASSCODE = N_("issuers"), N_("passcode")


@dataclass(frozen=True, slots=True)
class CardChecks:
    """What is looked at, and by what. `campaigns` are asked for when there is a card; `reader`: this one alone."""

    configuration: Configuration
    campaigns: Callable[[], Sequence[Campaign]]
    now: datetime
    reader: str | None = None

    def __call__(self) -> Iterable[Observation]:
        """The smartcard service, readers, and every card that is in."""
        where = self.configuration.card.readers
        try:
            with closing(open_readers(where, PATIENCE)) as readers:
                return list(self._of_readers(readers))
        except PcscUnavailable as error:
            return [of_service(error, doctor_pcscd.door() if where == "pcsc" else Door.UNKNOWN)]

    def _of_readers(self, readers: Readers) -> Iterator[Observation]:
        names = ", ".join(sorted(readers.states()))
        yield Observation(_SERVICE, Health.OK, _("The smartcard service is running."))
        try:
            filled = filled_readers(readers, self.reader)
        except NoReader as error:
            yield Observation.of_error(_READER, error)
            return
        except NoCard as error:
            yield Observation(_READER, Health.OK, _("Readers: {names}.").format(names=names))
            yield Observation.of_error(_CARD, error, Health.WARNING)
            return
        for name in filled:
            yield Observation(_READER, Health.OK, _("There is a smartcard in {name}.").format(name=name))
            try:
                yield from self._of_card(readers, name)
            except PcscUnavailable:
                raise
            except CardBusy as error:
                yield of_busy(error, doctor_pcscd.holders())
            except ReaderError as error:
                yield Observation.of_error(_CARD, error)

    def _of_card(self, readers: Readers, name: str) -> Iterator[Observation]:
        campaigns = self.campaigns()
        inspection = inspect_reader(self.configuration, campaigns, readers, name, self.now)
        if isinstance(inspection.judgement.error, CardBusy):
            yield of_busy(inspection.judgement.error, doctor_pcscd.holders())
            return
        yield from of_driver(inspection, self.configuration.card)
        yield from of_inspection(inspection, campaigns, self.configuration.contact, self.now)
        yield from self._of_chain(readers, inspection)

    def _of_chain(self, readers: Readers, inspection: Inspection) -> Iterator[Observation]:
        slot, root = inspection.judgement.slot, self.configuration.ra.root
        if slot is None or root is None:
            return
        der = self._certificate(readers, inspection.reader, slot)
        if der is not None:
            yield of_chain(der, root, self.now)

    def _certificate(self, readers: Readers, reader: str, slot: Slot) -> bytes | None:
        with closing(readers.connect(reader)) as connection:
            return card_opener(self.configuration.card)(connection).certificate(slot)


def of_service(error: PcscUnavailable, door: Door) -> Observation:
    """Why there is no smartcard service for us, by how it receives us."""
    said, advice = _AT_THE_DOOR.get(door, (error.message, error.advice))
    return Observation(_SERVICE, Health.PROBLEM, _(said), _(advice))


_AT_THE_DOOR = {
    Door.MISSING: (
        N_("The smartcard service (pcscd) is not installed, or was never started."),
        N_("Ask your IT support to install pcscd and to start it: systemctl enable --now pcscd.socket."),
    ),
    Door.DEAD: (
        N_("The smartcard service (pcscd) has stopped."),
        N_("Ask your IT support to start it: systemctl restart pcscd.socket pcscd.service."),
    ),
    Door.REFUSES: (
        N_(
            "The smartcard service (pcscd) runs, and turns you away: its polkit rules serve only whoever sits at this "
            "computer."
        ),
        N_(
            "Log on at the computer itself. If you must work from elsewhere, ask your IT support to put you into the "
            "group renewagent, which its polkit rule lets in."
        ),
    ),
}


def of_busy(error: CardBusy, holders: Sequence[str]) -> Observation:
    """Another program has the card: which, as far as the system tells."""
    if not holders:
        return Observation.of_error(_CARD, error)
    use = _("These use smartcards now: {programs}.").format(programs=", ".join(holders))
    either = _("or")
    advice = _("Close {programs}, then try again.").format(programs=f" {either} ".join(holders))
    return Observation(_CARD, Health.PROBLEM, f"{error.message} {use}", advice)


def of_driver(inspection: Inspection, settings: CardSettings) -> Iterator[Observation]:
    """How this card is spoken to."""
    if isinstance(inspection.judgement.error, UnsupportedCard) and settings.pkcs11_module is None:
        advice = _("Ask your IT support for its vendor's PKCS#11 module, and to set card.pkcs11_module.")
        yield Observation(
            _DRIVER, Health.PROBLEM, _("This is no PIV smartcard, and no other kind is known here."), advice
        )
    elif inspection.card is not None and inspection.card.scheme == "token":
        yield Observation(_DRIVER, Health.OK, _("This smartcard is spoken to by its vendor's module."))
    elif inspection.card is not None:
        yield Observation(_DRIVER, Health.OK, _("This is a PIV smartcard, which needs no vendor's software."))


def of_inspection(
    inspection: Inspection, campaigns: Sequence[Campaign], contact: Contact, now: datetime
) -> Iterator[Observation]:
    """What an inspection says of a card: verdict, dates, tries."""
    judgement = inspection.judgement
    yield _of_verdict(inspection, campaigns, contact, now)
    if judgement.finding.head is not None:
        yield of_dates(judgement.finding.head, contact, now)
    if inspection.card is not None:
        yield of_tries(inspection.pin_tries)


def _of_verdict(inspection: Inspection, campaigns: Sequence[Campaign], contact: Contact, now: datetime) -> Observation:
    judgement, error = inspection.judgement, inspection.judgement.error
    if error is not None:
        return Observation(_CARD, Health.PROBLEM, error.message, words.advice_with_contact(error, contact))
    if judgement.revoked:
        said = words.revoked(contact)
        return Observation(_CERTIFICATE, Health.PROBLEM, said.body, said.advice)
    finding = judgement.finding
    named = finding.campaign or finding.paused
    campaign = next((one for one in campaigns if one.id == named), None)
    said = words.for_finding(finding, campaign, now.astimezone(), now, contact, judged=bool(campaigns))
    good = finding.verdict is Verdict.UNAFFECTED
    health = Health.PROBLEM if not good else Health.OK if campaigns and not judgement.note else Health.UNKNOWN
    return Observation(_CERTIFICATE, health, f"{said.title}. {said.body} {judgement.note}".strip(), said.advice)


def of_dates(head: CertificateHead, contact: Contact, now: datetime) -> Observation:
    """Whether the signing certificate is in date, and for how long."""
    until = _("The signing certificate is good until {date}.").format(date=date_in_words(head.not_after))
    if now >= head.not_after:
        said = words.expired(head.not_after, contact)
        return Observation(_DATES, Health.PROBLEM, said.body, said.advice)
    if now < head.not_before:
        said_from = _("The signing certificate is good only from {date}.").format(date=date_in_words(head.not_before))
        return Observation(_DATES, Health.PROBLEM, said_from, _("Check this computer's clock, or wait until then."))
    if head.not_after - now < SOON:
        return Observation(_DATES, Health.WARNING, until, _("Renew your smartcard before then."))
    return Observation(_DATES, Health.OK, until)


def of_tries(left: int | None) -> Observation:
    """Whether the passcode can still be typed."""
    if left is None:
        return Observation(_PASSCODE, Health.UNKNOWN, _("This smartcard does not say how many tries are left."))
    if left == 0:
        return Observation(_PASSCODE, Health.PROBLEM, _("This smartcard is locked."), few_tries(0))
    if left == 1:
        advice = _("Unlock your smartcard before you type its passcode again.")
        return Observation(_PASSCODE, Health.WARNING, few_tries(1), advice)
    return Observation(_PASSCODE, Health.OK, tries_for_its_passcode(left))


def of_chain(der: bytes, root: Path, now: datetime) -> Observation:
    """Whether everyone above the certificate is in date today and when a prescription that is signed today is
    dispensed: whoever verifies it then looks at them all. Raises ConfigurationError for the file of the root."""
    known = read_certificates(root)
    try:
        leaf = x509.load_der_x509_certificate(der)
    except UNREADABLE:
        return Observation(_CHAIN, Health.PROBLEM, _("The signing certificate cannot be read."), _(_SEE_IT))
    above = _above(leaf, known)
    if not above:
        said = _("Who issued the signing certificate is not known on this computer, so its issuers were not looked at.")
        return Observation(_CHAIN, Health.UNKNOWN, said, _(_SEE_IT))
    for issuer in above:
        name, ends = issuer.subject.rfc4514_string(), issuer.not_valid_after_utc
        if ends <= now:
            said = _("The issuer {name} ended on {date}: nobody can verify what you sign.").format(
                name=name, date=date_in_words(ends)
            )
            return Observation(_CHAIN, Health.PROBLEM, said, _("Contact your Registration Authority."))
        if ends - now < DISPENSED_WITHIN:
            said = _("The issuer {name} ends on {date}: what you sign today may not verify when dispensed.").format(
                name=name, date=date_in_words(ends)
            )
            return Observation(
                _CHAIN, Health.WARNING, said, _("Ask your Registration Authority for a new certificate.")
            )
    try:
        build_chain(leaf, known, known, now)
    except ValueError:
        said = _("The signing certificate does not come from the Registration Authority that is configured here.")
        return Observation(_CHAIN, Health.PROBLEM, said, _("Contact your Registration Authority."))
    first = min(issuer.not_valid_after_utc for issuer in above)
    return Observation(
        _CHAIN, Health.OK, _("Those who issued it are good until {date}.").format(date=date_in_words(first))
    )


_SEE_IT = N_("Ask your IT support to check ra.root in renewagent's configuration.")


def _above(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    between = issuers_among(leaf, known)
    top = between[-1] if between else leaf
    return between + [one for one in known if one.subject == one.issuer == top.issuer][:1]
