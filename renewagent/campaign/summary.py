"""A campaign in words for whoever signs or publishes it: what it hits, what is done about it, until when. Pure.

What a prescriber is told lives in `renewagent.agent.words`; why one certificate fits or not in `renewagent.reasons`.
"""

from __future__ import annotations

from collections.abc import Iterator

from renewagent.names import format_name
from renewagent.reasons import moment
from renewagent.rules import ANY_KEY_USAGE, AffectedRule, Campaign, SerialRange

_SERIALS_TOLD = 20
_REMEDY = {
    "renew": "the smartcard is renewed at the workstation",
    "replace-card": "the holder is sent for another smartcard",
    "see-ra": "the holder is sent to the Registration Authority",
}
_RENEWS = {"signing": "the signing certificate alone", "pair": "the signing and the authentication certificate"}
_REKEY = {
    "required": "with a new key",
    "allowed": "with a new key or with the old one",
    "forbidden": "with the key that is on the smartcard",
}


def rules_in_words(campaign: Campaign) -> list[str]:
    """The rules, each criterion on a line of its own."""
    return [line for rule in campaign.rules for line in _rule(rule)]


def remedy_in_words(campaign: Campaign) -> str:
    """What is done about the smartcards that are hit, and how."""
    said = f"Remedy: {_REMEDY[campaign.remedy]}"
    if campaign.remedy == "renew":
        said += f" ({_RENEWS[campaign.renews]}), {_REKEY[campaign.rekey]}"
        said += "; the old key may be unusable" if campaign.old_key == "may-be-unusable" else ""
    until = "" if campaign.deadline is None else f", by {moment(campaign.deadline)}"
    return f"{said}{until}."


def unrestricted(campaign: Campaign) -> list[str]:
    """The names of rules that say nothing of when, by whom or how a certificate was made: each hits all of them."""
    return [rule.name for rule in campaign.rules if not _restricts(rule)]


def _restricts(rule: AffectedRule) -> bool:
    # The key usage is no restriction: every good card of the kind has the same.
    return (
        any(given is not None for given in (rule.issued_from, rule.issued_to, rule.issuer, rule.key_bits_below))
        or any((rule.serials, rule.signature_algorithms, rule.key_algorithms))
        or bool(rule.card_models)
    )


def _rule(rule: AffectedRule) -> Iterator[str]:
    if not _restricts(rule):
        yield f'Rule "{rule.name}" hits EVERY certificate, whenever and by whomever it was issued:'
    else:
        yield f'Rule "{rule.name}" hits certificates of which all of this is true:'
    if rule.issued_from is not None:
        yield f"  issued on or after {moment(rule.issued_from)}"
    if rule.issued_to is not None:
        yield f"  issued before {moment(rule.issued_to)}"
    if rule.issuer is not None:
        yield f"  issued by {format_name(rule.issuer)}"
    if rule.serials:
        yield f"  serial number (hexadecimal) {_serials(rule.serials)}"
    yield from _kind(rule)


def _kind(rule: AffectedRule) -> Iterator[str]:
    if rule.signature_algorithms:
        yield f"  signed with {' or '.join(rule.signature_algorithms)}"
    if rule.key_algorithms:
        yield f"  a key of the kind {' or '.join(rule.key_algorithms)}"
    if rule.key_bits_below is not None:
        yield f"  a key of fewer than {rule.key_bits_below} bits"
    if rule.card_models:
        yield f"  on a smartcard of the kind {' or '.join(rule.card_models)}"
    if rule.key_usage == ANY_KEY_USAGE:
        yield "  any key usage, or none"
    else:
        yield f"  key usage {rule.key_usage}"


def _serials(serials: tuple[SerialRange, ...]) -> str:
    told = ", ".join(
        f"{one.first:x}" if one.first == one.last else f"{one.first:x} to {one.last:x}"
        for one in serials[:_SERIALS_TOLD]
    )
    rest = len(serials) - _SERIALS_TOLD
    return f"{told} and {rest} more" if rest > 0 else told
