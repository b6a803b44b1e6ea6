"""The cheap check of a card: certificate heads only, and no exchange more than the verdict needs.

The resident agent runs this at each insertion, so nothing here may import cryptography. What a head cannot settle is
left to `renewagent.agent.full_inspection`, in a process of its own. A card that cannot be read is a `Finding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

from renewagent.card.interface import CardConnection, CardDriver, Transaction
from renewagent.errors import CardError, CardRemoved, CardReset, ReaderError, RenewAgentError
from renewagent.language import N_
from renewagent.model import CertificateHead, Finding, Slot, Verdict
from renewagent.names import Name, canonical
from renewagent.rules import Campaign, for_the_pair, held_back, judge_head, may_hit

NO_SIGNING_CERTIFICATE = N_("There is no signing certificate on this smartcard.")
NONE_FROM_A_SIGNING_ISSUER = N_(
    "There is no signing certificate on this smartcard. None of its certificates is from a signing issuer."
)


class CountingConnection:
    """A `CardConnection` that counts what crosses: `apdus`, and `octets` of commands and responses together."""

    def __init__(self, inner: CardConnection) -> None:
        self._inner = inner
        self.apdus = 0
        self.octets = 0

    @property
    def reader(self) -> str:
        """The reader's full name."""
        return self._inner.reader

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._inner.atr

    def transmit(self, command: bytes) -> bytes:
        """One raw exchange, counted."""
        self.apdus += 1
        self.octets += len(command)
        response = self._inner.transmit(command)
        self.octets += len(response)
        return response

    def transaction(self) -> AbstractContextManager[Transaction]:
        """The inner connection's."""
        return self._inner.transaction()

    def close(self) -> None:
        """Close the inner connection."""
        self._inner.close()


@dataclass(frozen=True, slots=True)
class HeadResult:
    """What the heads told. Without a `finding`, the certificates in `to_read` must be read whole and judged in full.

    `head` and `slot` are the signing certificate's where it is known which one that is. `error` is what kept us from
    reading, for its code and advice.
    """

    finding: Finding | None
    head: CertificateHead | None = None
    slot: Slot | None = None
    to_read: tuple[Slot, ...] = ()
    error: RenewAgentError | None = field(default=None, compare=False)


def inspect_head(
    driver: CardDriver, campaigns: Sequence[Campaign], signing_issuers: Sequence[Name], now: datetime
) -> HeadResult:
    """Judge a card by heads alone. Without `signing_issuers`, the likeliest slot's certificate is the signing one.

    Raises CardRemoved; every other way of not being read is a finding.
    """
    for last in (False, True):
        try:
            return _inspect_head(driver, campaigns, signing_issuers, now)
        except CardRemoved:
            raise
        except (CardError, ReaderError) as error:
            if last or not isinstance(error, CardReset):  # after another program's reset: once more
                return unreadable(error)
    raise AssertionError("the second try returns")


def unreadable(error: RenewAgentError) -> HeadResult:
    """The finding that stands for an error met while reading."""
    return HeadResult(Finding(Verdict.UNREADABLE, error.message), error=error)


def is_signing_issuer(issuer: Name, signing_issuers: Sequence[Name]) -> bool:
    """True if `issuer` is one of the configuration's signing issuers (RFC 5280 7.1)."""
    wanted = canonical(issuer)
    return any(canonical(name) == wanted for name in signing_issuers)


def _inspect_head(
    driver: CardDriver, campaigns: Sequence[Campaign], signing_issuers: Sequence[Name], now: datetime
) -> HeadResult:
    broken: CardError | None = None
    filled: list[Slot] = []
    for place, slot in enumerate(driver.slots()):
        try:
            head = driver.head(slot)
        except CardError as error:
            broken = broken or error
            continue
        if head is None:
            continue
        filled.append(slot)
        if is_signing_issuer(head.issuer, signing_issuers) if signing_issuers else place == 0:
            return _with_pair(_judged(head, slot, campaigns, now), driver, campaigns, now)
    return _none_found(broken, filled, bool(signing_issuers))


def _judged(head: CertificateHead, slot: Slot, campaigns: Sequence[Campaign], now: datetime) -> HeadResult:
    finding = judge_head(head, campaigns, now)
    return HeadResult(finding, head, slot, () if finding else (slot,))


def _with_pair(result: HeadResult, driver: CardDriver, campaigns: Sequence[Campaign], now: datetime) -> HeadResult:
    """Where a campaign renews the pair, the certificates beside a good signing certificate count as well: those that
    may be bad, or cannot be read, are to be looked at whole."""
    pairs = [pair for campaign in campaigns if (pair := for_the_pair(campaign)) is not None]
    if result.finding is None or not pairs:
        return result
    for slot in slots_beside(driver, result.slot):
        try:
            head = driver.head(slot)
        except CardError:
            return replace(result, finding=None, to_read=tuple(filter(None, [result.slot])))
        if head is not None and any(may_hit(head, pair, now) for pair in pairs):
            return replace(result, finding=None, to_read=tuple(filter(None, [result.slot])))
        if head is not None and result.finding.paused is None and (held := held_back(head, pairs, now)):
            result = replace(result, finding=replace(result.finding, paused=held))
    return result


def slots_beside(driver: CardDriver, signing: Slot | None) -> Sequence[Slot]:
    """Where the certificate that the person signs in with can be: in one place on a PIV card, else in any other."""
    tell = getattr(driver, "sign_in_slot", None)  # card.interface.SignsIn
    return [slot for slot in ((tell(),) if tell is not None else driver.slots()) if slot != signing]


def _none_found(broken: CardError | None, filled: list[Slot], issuers_known: bool) -> HeadResult:
    if filled and not issuers_known:
        # Only key usage can tell, and no head holds it; what is broken may be the one that we look for.
        return HeadResult(None, to_read=tuple(filled), error=broken)
    if broken is not None:
        return unreadable(broken)
    return HeadResult(Finding(Verdict.NO_CERTIFICATE, NONE_FROM_A_SIGNING_ISSUER if filled else NO_SIGNING_CERTIFICATE))
