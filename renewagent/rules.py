"""Which certificates are affected: the campaign's rules, and the judgement of one certificate by them. Pure.

Fields within a rule are ANDed, absent ones do not restrict; rules are ORed and the first that hits names itself.
`issued_from <= notBefore < issued_to` (design section 6). A withdrawn, paused or expired campaign hits nothing; where
a pause alone keeps it from that, the finding says so.

What a certificate does not say is not taken to fit: without a keyUsage extension it fits `"key_usage": "any"` alone,
and a key of unknown size is not "below" anything. Only the kind of card is different: a certificate from an inventory
was not read from a card, so an unknown `card_model` does not restrict. The words are in `renewagent.reasons`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from renewagent import reasons
from renewagent.language import _, ngettext
from renewagent.model import CertificateHead, Finding, SigningCertificate, Verdict
from renewagent.names import Name, canonical, format_name

ANY_KEY_USAGE = "any"
_RULES_TOLD = 4


@dataclass(frozen=True, slots=True)
class SerialRange:
    """Serials from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AffectedRule:
    """One way to be affected. `key_usage` defaults to contentCommitment; "any" lifts it."""

    name: str
    issued_from: datetime | None = None
    issued_to: datetime | None = None
    issuer: Name | None = None
    serials: tuple[SerialRange, ...] = ()
    key_usage: str = "contentCommitment"
    signature_algorithms: tuple[str, ...] = ()
    key_algorithms: tuple[str, ...] = ()
    key_bits_below: int | None = None
    card_models: tuple[str, ...] = ()
    _issuer: Name | None = field(init=False, repr=False, compare=False)
    _ranges: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once, since a rule meets millions of certificates.
        object.__setattr__(self, "_issuer", None if self.issuer is None else canonical(self.issuer))
        object.__setattr__(self, "_ranges", _merged(self.serials))

    def holds_issuer(self, issuer: Name) -> bool:
        """True if `issuer` is the rule's, as RFC 5280 7.1 compares names, or the rule names none."""
        return self.issuer is None or issuer == self.issuer or canonical(issuer) == self._issuer

    def holds_serial(self, serial: int) -> bool:
        """True if `serial` lies in one of the rule's ranges, or the rule has none."""
        if not self._ranges:
            return True
        place = bisect_right(self._ranges, serial, key=lambda pair: pair[0])
        return place > 0 and serial <= self._ranges[place - 1][1]

    def holds_date(self, not_before: datetime) -> bool:
        """True if `issued_from <= not_before < issued_to`."""
        return (self.issued_from is None or self.issued_from <= not_before) and (
            self.issued_to is None or not_before < self.issued_to
        )


def _merged(serials: Iterable[SerialRange]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted((r.first, r.last) for r in serials):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a person can ask."""

    name: str = ""
    phone: str = ""
    url: str = ""
    hours: str = ""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One signed statement of the RA: these certificates are bad, and this is what to do. Times are aware UTC."""

    id: str
    version: int
    published: datetime
    expires: datetime
    reason: dict[str, str]
    rules: tuple[AffectedRule, ...]
    remedy: Literal["renew", "replace-card", "see-ra"] = "renew"
    renews: Literal["signing", "pair"] = "signing"
    rekey: Literal["required", "allowed", "forbidden"] = "required"
    old_key: Literal["usable", "may-be-unusable"] = "usable"
    removal_ends_session: bool = True
    deadline: datetime | None = None
    contact: Contact = field(default_factory=Contact)
    withdrawn: bool = False
    paused: bool = False

    def over(self, now: datetime) -> bool:
        """True if it starts nothing, now or any more: withdrawn, paused or expired."""
        return self.withdrawn or self.paused or now >= self.expires

    def only_paused(self, now: datetime) -> bool:
        """True if it would be in force but for the pause."""
        return self.paused and not self.withdrawn and now < self.expires

    @property
    def label(self) -> str:
        """ "id/version", as statements and tickets name a campaign."""
        return f"{self.id}/{self.version}"


def for_the_pair(campaign: Campaign) -> Campaign | None:
    """What a campaign says of the authentication certificate beside the signing certificate; None where it renews
    signing certificates alone. Dates, keys and cards count for both. Issuer, serials and key usage are the signing
    certificate's own; what is left of a rule that has no dates would fit every card there is, so it is left out."""
    if campaign.renews != "pair":
        return None
    dated = [rule for rule in campaign.rules if rule.issued_from or rule.issued_to]
    return replace(campaign, rules=tuple(replace(r, issuer=None, serials=(), key_usage=ANY_KEY_USAGE) for r in dated))


def may_hit(head: CertificateHead, rule_or_campaign: AffectedRule | Campaign, now: datetime) -> bool:
    """False only if serial, issuer and dates alone show that no rule can hit. What a head cannot tell may fit."""
    if isinstance(rule_or_campaign, AffectedRule):
        return _may(rule_or_campaign, head)
    return not rule_or_campaign.over(now) and any(_may(rule, head) for rule in rule_or_campaign.rules)


def hits(rule: AffectedRule, certificate: SigningCertificate) -> bool:
    """True if every field of `rule` fits `certificate`."""
    return _may(rule, certificate.head) and _why_not_whole(rule, certificate) is None


def judge(certificate: SigningCertificate, campaign: Campaign, now: datetime) -> Finding:
    """AFFECTED by the first rule that hits, else UNAFFECTED; either way with the reason."""
    head = certificate.head
    if campaign.over(now):
        held = campaign.only_paused(now) and any(hits(rule, certificate) for rule in campaign.rules)
        return Finding(Verdict.UNAFFECTED, _over(campaign, now), head, paused=campaign.id if held else None)
    for rule in campaign.rules:
        if hits(rule, certificate):
            return Finding(Verdict.AFFECTED, _why(rule, head, campaign), head, campaign.id, rule.name)
    misses = ((rule, _why_not_head(rule, head) or _why_not_whole(rule, certificate) or "") for rule in campaign.rules)
    return Finding(Verdict.UNAFFECTED, _all_misses(misses), head)


def judge_head(head: CertificateHead, campaigns: Sequence[Campaign], now: datetime) -> Finding | None:
    """UNAFFECTED with the reason when no rule of any campaign may hit; None when the whole certificate is needed."""
    if any(may_hit(head, campaign, now) for campaign in campaigns):
        return None
    reason = _together([(c, _head_misses(c, head, now)) for c in campaigns])
    return Finding(Verdict.UNAFFECTED, reason, head, paused=held_back(head, campaigns, now))


def held_back(head: CertificateHead, campaigns: Iterable[Campaign], now: datetime) -> str | None:
    """The id of a campaign that may hit, were it not paused."""
    held = (c.id for c in campaigns if c.only_paused(now) and any(_may(rule, head) for rule in c.rules))
    return next(held, None)


def judge_all(certificate: SigningCertificate, campaigns: Sequence[Campaign], now: datetime) -> Finding:
    """One finding over several campaigns: an affected one wins, of those the earliest deadline (none is last)."""
    found = [(campaign, judge(certificate, campaign, now)) for campaign in campaigns]
    affected = [(campaign, finding) for campaign, finding in found if finding.verdict is Verdict.AFFECTED]
    if affected:
        return min(affected, key=lambda pair: (pair[0].deadline is None, pair[0].deadline or pair[0].expires))[1]
    reason = _together([(campaign, finding.reason) for campaign, finding in found])
    held = next((finding.paused for _campaign, finding in found if finding.paused), None)
    return Finding(Verdict.UNAFFECTED, reason, certificate.head, paused=held)


def _may(rule: AffectedRule, head: CertificateHead) -> bool:
    return rule.holds_date(head.not_before) and rule.holds_serial(head.serial) and rule.holds_issuer(head.issuer)


def _why_not_head(rule: AffectedRule, head: CertificateHead) -> str | None:
    """The first field that a head can tell and that does not fit, in words."""
    if not rule.holds_date(head.not_before):
        return reasons.outside(head.not_before, rule.issued_from, rule.issued_to)
    if rule.issuer is not None and not rule.holds_issuer(head.issuer):
        return reasons.other_issuer(head.issuer, rule.issuer)
    if not rule.holds_serial(head.serial):
        return reasons.other_serial(head.serial_hex)
    return None


def _why_not_whole(rule: AffectedRule, certificate: SigningCertificate) -> str | None:
    """The same for the fields that only the whole certificate can tell."""
    wanted, usages = rule.key_usage, certificate.key_usage
    if wanted != ANY_KEY_USAGE and (usages is None or wanted not in usages):
        return reasons.other_key_usage(usages, wanted)
    if rule.signature_algorithms and certificate.signature_algorithm not in rule.signature_algorithms:
        return reasons.other_signature(certificate.signature_algorithm, rule.signature_algorithms)
    if rule.key_algorithms and certificate.key_algorithm not in rule.key_algorithms:
        return reasons.other_key(certificate.key_algorithm, rule.key_algorithms)
    if rule.key_bits_below is not None and not 0 < certificate.key_bits < rule.key_bits_below:
        return reasons.long_enough(certificate.key_bits, rule.key_bits_below)
    if rule.card_models and certificate.card_model is not None and certificate.card_model not in rule.card_models:
        return reasons.other_model(certificate.card_model, rule.card_models)
    return None


def _why(rule: AffectedRule, head: CertificateHead, campaign: Campaign) -> str:
    issued = reasons.inside(head.not_before, rule.issued_from, rule.issued_to)
    issuer = "" if rule.issuer is None else _(", by {name}").format(name=format_name(head.issuer))
    serial = _(", serial number {serial}").format(serial=head.serial_hex) if rule.serials else ""
    why = _('{issued}: affected by the rule "{rule}" of campaign {campaign}')
    return reasons.sentence(why.format(issued=issued + issuer + serial, rule=rule.name, campaign=campaign.label))


def _over(campaign: Campaign, now: datetime) -> str:
    if campaign.withdrawn:
        return _("Campaign {id} was withdrawn and affects no certificate.").format(id=campaign.id)
    if campaign.only_paused(now):
        return _("Campaign {id} is paused and affects no certificate for now.").format(id=campaign.id)
    expired = _("Campaign {id} expired on {moment} and affects no certificate any more.")
    return expired.format(id=campaign.id, moment=reasons.moment(campaign.expires))


def _head_misses(campaign: Campaign, head: CertificateHead, now: datetime) -> str:
    if campaign.over(now):
        return _over(campaign, now)
    return _all_misses((rule, _why_not_head(rule, head) or "") for rule in campaign.rules)


def _all_misses(misses: Iterable[tuple[AffectedRule, str]]) -> str:
    """One rule: its reason. Several: the first few by name, and how many more there are."""
    told = list(misses)
    if len(told) == 1:
        return reasons.sentence(told[0][1])
    lines = [_('Rule "{rule}": {why}.').format(rule=rule.name, why=why) for rule, why in told[:_RULES_TOLD]]
    rest = len(told) - len(lines)
    if rest:
        more = ngettext("{rest} more rule does not fit either.", "{rest} more rules do not fit either.", rest)
        lines.append(more.format(rest=rest))
    return " ".join(lines)


def _together(told: Sequence[tuple[Campaign, str]]) -> str:
    if not told:
        return _("There is no campaign to judge this certificate by.")
    if len(told) == 1:
        return told[0][1]
    by = _("By campaign {id}: {why}")
    return " ".join(by.format(id=campaign.id, why=f"{why[:1].lower()}{why[1:]}") for campaign, why in told)
