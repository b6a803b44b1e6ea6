"""What check-ins come to: how far a card is in a campaign. Pure; the same in SQL is `renewagent.console.standings`.

The newest claim wins, by the time at which it was made: in what order check-ins are delivered does not matter. What is
proved stays proved: a receipt by the card, and the sign-in that followed. A card is done when there are both, and
nothing else makes it so. A certificate that stands on a campaign's target list is settled by its receipt alone, however
clear a workstation says that it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from renewagent.check_ins import CardState

OUTSTANDING = frozenset(CardState) - {CardState.CLEAR, CardState.DONE}
MOST_FAILURES = 3
"""Failed tries after which a card is stuck."""
AHEAD = timedelta(minutes=5)
"""How far a workstation's clock may be ahead of ours before it is not believed."""
_SETTLING = frozenset({CardState.CLEAR, CardState.RENEWED, CardState.DONE})
_TRYING = frozenset(
    {CardState.AFFECTED, CardState.TOLD, CardState.RUNNING, CardState.PART_WAY, CardState.RENEWED, CardState.REFUSED}
)
_NO_FAILURE = frozenset({"RA-WAITING", "RA-NOT-YET", "RA-STOPPED"})
_ORDER = tuple(
    CardState(word)
    for word in "affected told put-off running part-way locked expired replace-card refused clear renewed done".split()
)
"""Which of two claims of the same second is the later one. What settles a card stands together, at the end: a receipt
makes `done` of each."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The affected certificate. `issuer` canonical, `serial` and `sha256` lowercase hex, the latter "" if unknown; all
    of it is "" where a renewal was begun elsewhere, and the card holds another certificate by now."""

    issuer: str
    serial: str
    not_before: datetime | None = None
    sha256: str = ""

    def same(self, other: Certificate) -> bool:
        """True if both name the same certificate, or one of them is not known."""
        return not self.serial or not other.serial or (self.issuer, self.serial) == (other.issuer, other.serial)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one check-in says of one card in one campaign. `at`: aware UTC, clamped (`believable`); `version`: of the
    campaign; `listed`: its certificate, or that of the standing, is on the target list; `known`: the hash of its
    certificate is the one on that list, and no mere claim; `organisation`: the target's, else the agent's; `receipt`:
    SHA-256 of one that was verified for this card and certificate, else ""."""

    at: datetime
    state: CardState
    certificate: Certificate
    version: int
    agent: str
    organisation: str
    listed: bool = False
    known: bool = False
    rule: str = ""
    why: str = ""
    until: datetime | None = None
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """One card in one campaign, as the table of that name keeps it."""

    state: CardState
    certificate: Certificate
    version: int
    agent: str
    organisation: str
    first: datetime
    since: datetime
    heard: datetime
    rule: str = ""
    why: str = ""
    told: datetime | None = None
    until: datetime | None = None
    put_off: int = 0
    failures: int = 0
    signed_in: bool = False
    receipt: str = ""

    @property
    def settled(self) -> bool:
        """True if nothing is left to be done."""
        return self.state not in OUTSTANDING


def believable(at: datetime, received: datetime) -> datetime:
    """When a claim was made, for all that we know."""
    return min(at, received + AHEAD)


def hear(standing: Standing | None, claim: Claim) -> Standing | None:
    """The standing after one more claim; None where there was none and the claim makes none."""
    if claim.state is CardState.CLEAR and claim.listed:
        return standing
    if standing is None:
        return _begin(claim)
    if not standing.certificate.same(claim.certificate) or _proves_another(standing, claim):
        return _another_certificate(standing, claim)
    if not claim.certificate.serial and claim.state not in _SETTLING and _is_protected(standing, claim):
        return standing
    proved = _with_proof(_corrected(standing, claim), claim)
    heard = _newer(proved, claim) if _is_newer(standing, claim) else proved
    return _settle(standing, heard)


def shown(standing: Standing, now: datetime, stuck_after: timedelta) -> CardState:
    """The state that people are shown: STUCK where an outstanding card does not get any further."""
    slow = now - standing.since > stuck_after or standing.failures >= MOST_FAILURES
    return CardState.STUCK if slow and not standing.settled else standing.state


def _begin(claim: Claim) -> Standing:
    standing = Standing(
        state=claim.state,
        certificate=claim.certificate,
        version=claim.version,
        agent=claim.agent,
        organisation=claim.organisation,
        first=claim.at,
        since=claim.at,
        heard=claim.at,
    )
    return _settle(standing, _newer(_with_proof(standing, claim), claim))


def _another_certificate(standing: Standing, claim: Claim) -> Standing:
    """The card has come with another certificate than the one that this is about."""
    if claim.state is CardState.CLEAR:
        return _found_clear(standing, claim.at, listed=claim.listed)
    begun = _begin(claim)
    begun = replace(begun, first=min(standing.first, begun.first))
    if standing.state is CardState.CLEAR:  # that was about what came after, or before
        return _found_clear(begun, standing.heard, listed=claim.listed)
    return standing if claim.at <= standing.heard or _is_protected(standing, claim) else begun


def _found_clear(standing: Standing, at: datetime, *, listed: bool) -> Standing:
    """The standing after a workstation found nothing wrong with the certificate that the card has now."""
    claim = Claim(
        at, CardState.CLEAR, standing.certificate, standing.version, standing.agent, standing.organisation, listed
    )
    return hear(standing, claim) or standing


def _proves_another(standing: Standing, claim: Claim) -> bool:
    """True if nothing but a receipt said what the card's certificate was, and that is for another one."""
    return not standing.certificate.serial and standing.receipt != "" and _contradicts(claim, standing)


def _contradicts(claim: Claim, standing: Standing) -> bool:
    return claim.known and standing.certificate.sha256 != claim.certificate.sha256


def _corrected(standing: Standing, claim: Claim) -> Standing:
    """What was learnt of the certificate before its hash was known gives way, with what was proved of it."""
    if not _contradicts(claim, standing):
        return standing
    return replace(standing, certificate=replace(standing.certificate, sha256=claim.certificate.sha256), receipt="")


def _is_protected(standing: Standing, claim: Claim) -> bool:
    """A card that is done does not go back because of another certificate than the affected one, unless a later version
    of the campaign is about that."""
    return standing.state is CardState.DONE and claim.version <= standing.version


def _with_proof(standing: Standing, claim: Claim) -> Standing:
    """What is proved counts however late it comes."""
    known = standing.certificate if standing.certificate.serial else claim.certificate
    sha256 = standing.certificate.sha256
    if not sha256 or (claim.receipt and not standing.receipt):  # what was only claimed gives way
        sha256 = claim.certificate.sha256
    return replace(
        standing,
        certificate=replace(known, sha256=sha256),
        first=min(standing.first, claim.at),
        signed_in=standing.signed_in or claim.state is CardState.DONE,
        receipt=standing.receipt or claim.receipt,
    )


def _is_newer(standing: Standing, claim: Claim) -> bool:
    return (claim.at, _ORDER.index(claim.state)) > (standing.heard, _ORDER.index(standing.state))


def _newer(standing: Standing, claim: Claim) -> Standing:
    state = claim.state
    return replace(
        standing,
        state=state,
        version=max(standing.version, claim.version),
        agent=claim.agent,
        organisation=claim.organisation,
        heard=claim.at,
        rule=claim.rule or standing.rule,
        why=claim.why,
        told=claim.at if state is CardState.TOLD else standing.told,
        until=claim.until,
        put_off=standing.put_off + (state is CardState.PUT_OFF),
        failures=_failures(standing, claim),
    )


def _failures(standing: Standing, claim: Claim) -> int:
    failed = claim.state in _TRYING and claim.why.startswith("RA-") and claim.why not in _NO_FAILURE
    return failed + (0 if claim.state in _SETTLING else standing.failures)


def _settle(before: Standing, standing: Standing) -> Standing:
    """Whether it is done, and since when it is in the state that it is in."""
    state = standing.state
    if state in _SETTLING and standing.receipt:
        state = CardState.DONE if standing.signed_in else CardState.RENEWED
    elif state is CardState.DONE:
        state = CardState.RENEWED
    since = before.since if state is before.state else standing.heard
    return replace(standing, state=state, since=since)
