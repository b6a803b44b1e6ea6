"""The full inspection of a card: heads first, then whole certificates where heads do not settle it, then the RA.

For short-lived processes (it imports cryptography): the agent's child, `renewagent inspect`, and the renewal itself.
A card that cannot be read is a finding. Nothing is written to the card and no PIN is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from renewagent.agent import words
from renewagent.agent.inspector import (
    NO_SIGNING_CERTIFICATE,
    CountingConnection,
    HeadResult,
    inspect_head,
    is_signing_issuer,
    slots_beside,
    unreadable,
)
from renewagent.agent.status import head_document
from renewagent.card.interface import CardConnection, CardDriver
from renewagent.certificates import read_certificate
from renewagent.errors import CardDataError, CardError, CardReset, RaError, ReaderError, RenewAgentError
from renewagent.language import _
from renewagent.model import CardIdentity, CertificateHead, Finding, SigningCertificate, Slot, Verdict
from renewagent.names import Name, same_name
from renewagent.rules import Campaign, for_the_pair, judge_all

OPEN_STATES = frozenset({"open", "armed", "issued", "confirmed"})
"""States of a ticket or transaction at the RA that mean: a renewal was begun and is not finished."""


class Standing(Protocol):
    """What the RA says of a certificate without a PIN (`ra_desk.Standing`)."""

    @property
    def state(self) -> str | None:
        """A ticket's state, None where nothing is open."""

    @property
    def revoked(self) -> bool:
        """The RA has revoked it."""

    @property
    def looked_at_for(self) -> int | None:
        """Seconds that a request about it is to wait still; None for one that is ready, and where there is none."""

    @property
    def pair(self) -> str | None:
        """The state of a renewal of the authentication certificate beside it."""


AskRa = Callable[[Name, int], Standing | None]
"""Issuer and serial; None from an RA that has no such address. Raises RaError."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A finding with what it rests on. `certificate` is None where a head was enough, and the authentication
    certificate where no signing certificate can be read but the RA knows that one is due; `open_state` is the RA's word
    for what is open, `nothing_open` that it said so, `looked_at_for` how many seconds a request waits still; `note` is
    a sentence on what could not be found out; `error` what kept us from reading. `beside`: it is the authentication
    certificate that is judged, and this is the signing certificate that nothing is wrong with; `pair_open` is the RA's
    word that a renewal of the former is open."""

    finding: Finding
    slot: Slot | None = None
    certificate: SigningCertificate | None = None
    revoked: bool = False
    nothing_open: bool = False
    open_state: str | None = None
    looked_at_for: int | None = None
    note: str = ""
    error: RenewAgentError | None = None
    beside: tuple[Slot, SigningCertificate] | None = None
    pair_open: bool = False


@dataclass(frozen=True, slots=True)
class Inspection:
    """A judgement, the card it is about, and what it cost until the verdict."""

    reader: str
    judgement: Judgement
    card: CardIdentity | None = None
    apdus: int = 0
    octets: int = 0
    pin_tries: int | None = None
    ask_after: datetime | None = None
    """When the RA is to be asked again; None where it is not waited for."""

    def document(self) -> dict[str, Any]:
        """The card's entry in `inspect --json`."""
        judgement = self.judgement
        finding, whole = judgement.finding, judgement.certificate
        return {
            "reader": self.reader,
            "card": str(self.card) if self.card else None,
            "verdict": finding.verdict.value,
            "reason": finding.reason,
            "campaign": finding.campaign,
            "rule": finding.rule,
            "paused": finding.paused,
            "certificate": head_document(finding.head, whole.sha256 if whole else None),
            "check": {"apdus": self.apdus, "bytes": self.octets},
            "pin_tries": self.pin_tries,
            "revoked": judgement.revoked,
            "nothing_open": judgement.nothing_open,
            "note": judgement.note or None,
            "ask_after": self.ask_after.strftime("%Y-%m-%dT%H:%M:%SZ") if self.ask_after is not None else None,
            "error": error_document(judgement.error) if judgement.error is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Inspector:
    """What cards are judged by. `ask_ra` is None without an RA."""

    open_card: Callable[[CardConnection], CardDriver]
    campaigns: Sequence[Campaign]
    signing_issuers: Sequence[Name] = ()
    ask_ra: AskRa | None = None

    def inspect(self, connection: CardConnection, now: datetime) -> Inspection:
        """Inspect the card behind `connection` by as few exchanges as the verdict needs, then read whose card it is."""
        counted = CountingConnection(connection)
        try:
            driver = self.open_card(counted)
        except RenewAgentError as error:
            return Inspection(connection.reader, _unreadable(error), None, counted.apdus, counted.octets)
        judgement = self._by_card(driver, now)
        apdus, octets = counted.apdus, counted.octets
        card, tries = _identity_and_tries(driver)
        judged = self._with_pair(self._by_ra(judgement, driver), driver, now)
        return Inspection(connection.reader, judged, card, apdus, octets, tries)

    def judge(self, driver: CardDriver, now: datetime) -> Judgement:
        """Read the signing certificate whole and judge it, with the RA's word: what a renewal starts from."""
        heads = inspect_head(driver, (), self.signing_issuers, now)
        if heads.finding is not None and heads.slot is None:
            return self._by_ra(Judgement(heads.finding, error=heads.error), driver)
        slots = (heads.slot,) if heads.slot is not None else heads.to_read
        judged = self._by_ra(self._found(self._read(driver, slots, heads.slot is not None, now), heads), driver)
        return self._with_pair(judged, driver, now)

    def _with_pair(self, judgement: Judgement, driver: CardDriver, now: datetime) -> Judgement:
        """Where nothing is wrong with the signing certificate, and a campaign renews the pair: the other one."""
        campaigns = [pair for campaign in self.campaigns if (pair := for_the_pair(campaign)) is not None]
        wanted = bool(campaigns) or judgement.pair_open  # half done is finished, whatever became of the campaign
        if not wanted or judgement.finding.verdict is not Verdict.UNAFFECTED or judgement.slot is None:
            return judgement
        if judgement.note:  # the signing certificate may be half renewed for all we know, and it goes first
            return judgement
        try:
            signing = judgement.certificate or _certificate(driver, judgement.slot, None)
            found = authentication_beside(driver, judgement.slot)
        except RenewAgentError as error:  # the card was pulled out
            return _unreadable(error)
        if signing is None:
            return judgement
        beside = (judgement.slot, signing)
        if found is None:
            return (_torn(driver, beside) if judgement.pair_open else None) or judgement
        finding = judge_all(found[1], campaigns, now)
        other = self._by_ra(Judgement(finding, *found, beside=beside), driver)
        if other.finding.verdict in (Verdict.AFFECTED, Verdict.PART_WAY):
            return other
        judged = replace(judgement.finding, paused=judgement.finding.paused or finding.paused)
        nothing_open = judgement.nothing_open and not other.note
        return replace(judgement, finding=judged, note=other.note, nothing_open=nothing_open)

    def _by_card(self, driver: CardDriver, now: datetime) -> Judgement:
        try:
            heads = inspect_head(driver, self.campaigns, self.signing_issuers, now)
        except RenewAgentError as error:  # the card was pulled out
            return _unreadable(error)
        if heads.finding is not None:
            return Judgement(heads.finding, heads.slot, error=heads.error)
        return self._found(self._read(driver, heads.to_read, heads.slot is not None, now), heads)

    def _found(self, judgement: Judgement, heads: HeadResult) -> Judgement:
        """A card is not without a signing certificate when there is one that cannot be read."""
        missing = judgement.finding.verdict is Verdict.NO_CERTIFICATE
        return _unreadable(heads.error) if missing and heads.error is not None else judgement

    def _read(self, driver: CardDriver, slots: Sequence[Slot], known: bool, now: datetime, tries: int = 2) -> Judgement:
        """`known`: heads told which certificate signs. Once more when another program resets the card meanwhile."""
        try:
            return self._judge_whole(driver, slots, known, now)
        except RenewAgentError as error:
            if isinstance(error, CardReset) and tries > 1:
                return self._read(driver, slots, known, now, tries - 1)
            return _unreadable(error)

    def _judge_whole(self, driver: CardDriver, slots: Sequence[Slot], known: bool, now: datetime) -> Judgement:
        model = self._model(driver)
        for slot in slots:
            certificate = _certificate(driver, slot, model)
            if certificate is not None and (known or self._is_for_signing(certificate)):
                return Judgement(judge_all(certificate, self.campaigns, now), slot, certificate)
        return Judgement(Finding(Verdict.NO_CERTIFICATE, NO_SIGNING_CERTIFICATE))

    def _is_for_signing(self, certificate: SigningCertificate) -> bool:
        """By issuer and key usage, not by slot alone (design section 4)."""
        if self.signing_issuers and not is_signing_issuer(certificate.head.issuer, self.signing_issuers):
            return False
        return "contentCommitment" in (certificate.key_usage or ())

    def _model(self, driver: CardDriver) -> str | None:
        """The card's kind, asked for only where a rule restricts it."""
        if any(rule.card_models for campaign in self.campaigns for rule in campaign.rules):
            return driver.capabilities().model
        return None

    def _by_ra(self, judgement: Judgement, driver: CardDriver) -> Judgement:
        """What the RA knows: a renewal that was begun anywhere makes the card PART_WAY."""
        if self.ask_ra is None:
            return judgement
        try:
            if judgement.finding.head is not None:
                return _with_left_behind(_with_standing(judgement, self.ask_ra), driver, self.ask_ra)
            if judgement.finding.verdict in (Verdict.NO_CERTIFICATE, Verdict.UNREADABLE):
                return _half_written(driver, self.ask_ra) or judgement
        except RaError as error:
            note = _("The Registration Authority could not be asked: {why}").format(why=error.message)
            return replace(judgement, note=note)
        return judgement


def _with_standing(judgement: Judgement, ask_ra: AskRa) -> Judgement:
    head = judgement.finding.head
    standing = ask_ra(head.issuer, head.serial) if head is not None else None
    if head is None or standing is None:
        return judgement
    judgement = replace(judgement, looked_at_for=standing.looked_at_for)
    if standing.state in OPEN_STATES:
        finding = replace(judgement.finding, verdict=Verdict.PART_WAY, reason=_part_way(head, standing.state))
        return replace(judgement, finding=finding, revoked=standing.revoked, open_state=standing.state)
    pair_open = standing.pair in OPEN_STATES
    nothing_open = not standing.revoked and not pair_open
    return replace(judgement, revoked=standing.revoked, nothing_open=nothing_open, pair_open=pair_open)


def _with_left_behind(judgement: Judgement, driver: CardDriver, ask_ra: AskRa) -> Judgement:
    if judgement.finding.verdict is not Verdict.UNAFFECTED or not judgement.nothing_open:
        return judgement
    if left_behind(driver, ask_ra) is None:
        return judgement
    finding = replace(judgement.finding, verdict=Verdict.PART_WAY, reason=words.OLD_LEFT)
    return replace(judgement, finding=finding, nothing_open=False)


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a renewal by way C left: `old` in `slot`, replaced by `new` in `new_slot`."""

    slot: Slot
    old: SigningCertificate
    new_slot: Slot
    new: SigningCertificate


def left_behind(driver: CardDriver, ask_ra: AskRa) -> LeftBehind | None:
    """Way C, cut off after the receipt and not taken up again where it had begun: beside the signing certificate lies
    an older one of the same holder, which the RA has revoked and whose renewal, for the RA, is over. Raises RaError."""
    if getattr(driver, "unfinished", None) is None:  # card.interface.HoldsSecondKeys
        return None
    with suppress(CardError, ReaderError):
        first, *others = driver.slots()
        new = _certificate(driver, first, None)
        for slot in others if new is not None else ():
            old = _certificate(driver, slot, None)
            if old is not None and new is not None and _replaced(old, new, ask_ra):
                return LeftBehind(slot, old, first, new)
    return None


def _replaced(old: SigningCertificate, new: SigningCertificate, ask_ra: AskRa) -> bool:
    same_use = "contentCommitment" in (old.key_usage or frozenset()) & (new.key_usage or frozenset())
    if not (same_use and same_name(old.subject, new.subject) and old.head.not_before < new.head.not_before):
        return False
    before, after = (ask_ra(one.head.issuer, one.head.serial) for one in (old, new))
    over = before is not None and before.revoked and before.state == "closed"
    return over and after is not None and not after.revoked and after.state not in OPEN_STATES


def _half_written(driver: CardDriver, ask_ra: AskRa) -> Judgement | None:
    """A card without a readable signing certificate may be one that a cut left so, here or anywhere: the RA knows it by
    its authentication certificate, which stands in until the ticket tells what is to be replaced."""
    slots = driver.slots()
    for slot in slots[1:]:
        try:
            found = _certificate(driver, slot, None)
        except RenewAgentError:
            continue
        if found is None or not is_for_authentication(found):
            continue
        standing = ask_ra(found.head.issuer, found.head.serial)
        if standing is None or standing.state not in OPEN_STATES:
            return None
        reason = _("A renewal of this smartcard was begun and is not finished: it has no signing certificate.")
        return Judgement(Finding(Verdict.PART_WAY, reason), slots[0], found, open_state=standing.state)
    return None


def _torn(driver: CardDriver, beside: tuple[Slot, SigningCertificate]) -> Judgement | None:
    """The RA knows that the authentication certificate is being renewed, and the card has none that can be read. None
    where it has no place for one."""
    slots = slots_beside(driver, beside[0])
    reason = _("A renewal of this smartcard was begun and is not finished: it has no certificate to sign in with.")
    return Judgement(Finding(Verdict.PART_WAY, reason), slots[0], beside[1], beside=beside) if slots else None


def authentication_beside(driver: CardDriver, signing: Slot) -> tuple[Slot, SigningCertificate] | None:
    """The first certificate beside it that is for authentication; None for none that can be read."""
    for slot in slots_beside(driver, signing):
        try:
            found = _certificate(driver, slot, None)
        except CardDataError:
            continue
        if found is not None and is_for_authentication(found) and not _put_aside(driver, slot):
            return slot, found
    return None


def _put_aside(driver: CardDriver, slot: Slot) -> bool:
    """Whether a slot is for what a renewal keeps there for a while: nobody signs in by it."""
    copies, staging = getattr(driver, "copy_slots", None), getattr(driver, "staging_slots", None)
    return (copies is not None and slot in copies()) or (staging is not None and slot in staging())


def is_for_authentication(certificate: SigningCertificate) -> bool:
    """It may protect messages, but not sign prescriptions."""
    usage = certificate.key_usage or frozenset()
    return "digitalSignature" in usage and "contentCommitment" not in usage


def error_document(error: RenewAgentError) -> dict[str, str]:
    """An error in `--json` documents."""
    return {"code": error.code, "message": error.message, "advice": error.advice}


def _part_way(head: CertificateHead, state: str | None) -> str:
    if state == "issued":
        said = _("A renewal of certificate {serial} was begun and is not finished: its new certificate is issued.")
    elif state == "confirmed":
        said = _("A renewal of certificate {serial} was begun and is not finished: its new certificate is confirmed.")
    else:
        said = _(
            "A renewal of certificate {serial} was begun and is not finished: it is allowed, and no new certificate is "
            "issued."
        )
    return said.format(serial=head.serial_hex)


def _certificate(driver: CardDriver, slot: Slot, model: str | None) -> SigningCertificate | None:
    der = driver.certificate(slot)
    return read_certificate(der, model) if der is not None else None


def _identity_and_tries(driver: CardDriver) -> tuple[CardIdentity | None, int | None]:
    card: CardIdentity | None = None
    tries: int | None = None
    with suppress(RenewAgentError):
        card = driver.identity()
        ask = getattr(driver, "pin_tries", None)  # card.interface.TellsTries: not every driver does
        tries = ask() if ask is not None else None
    return card, tries


def _unreadable(error: RenewAgentError) -> Judgement:
    found = unreadable(error)
    assert found.finding is not None  # noqa: S101  for the type checker
    return Judgement(found.finding, error=error)
