"""What to check by: a campaign's rules, or those of the command line's short form."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from renewagent.algorithms import KEY_ALGORITHMS, KEY_USAGES, SIGNATURE_ALGORITHMS, key_algorithm, signature_algorithm
from renewagent.campaign.document import parse_campaign
from renewagent.campaign.pem import read_certificates
from renewagent.campaign.verify import SIGNED_LIMIT, verify_campaign
from renewagent.cms import open_signed
from renewagent.errors import CampaignError, ConfigurationError
from renewagent.names import Name
from renewagent.reasons import moment
from renewagent.rules import ANY_KEY_USAGE, AffectedRule, Campaign, SerialRange

COMMAND_LINE = "command-line"
"""The name of the short form's rule in results."""


@dataclass(frozen=True, slots=True)
class Short:
    """The short form. What is not given does not restrict; several issuers are ORed."""

    issued_from: datetime | None = None
    issued_to: datetime | None = None
    issuers: tuple[Name, ...] = ()
    serials: tuple[SerialRange, ...] = ()
    key_usage: str | None = None
    signature_algorithms: tuple[str, ...] = ()
    key_algorithms: tuple[str, ...] = ()
    key_bits_below: int | None = None


def from_short(short: Short) -> tuple[AffectedRule, ...]:
    """One rule for each issuer, or one. Raises ConfigurationError."""
    if not any(getattr(short, one.name) for one in fields(short)):
        raise ConfigurationError(
            "Nothing says which certificates are affected.",
            advice="Give --campaign FILE, or --issued-from and --issued-to, or another rule (see --help).",
        )
    if short.issued_from and short.issued_to and short.issued_from >= short.issued_to:
        raise ConfigurationError("--issued-to must be later than --issued-from.", advice="Correct the two times.")
    _known("--key-usage", [short.key_usage or ANY_KEY_USAGE], (*KEY_USAGES, ANY_KEY_USAGE))
    _known("--signature-algorithm", short.signature_algorithms, tuple(SIGNATURE_ALGORITHMS.values()))
    _known("--key-algorithm", short.key_algorithms, tuple(KEY_ALGORITHMS.values()))
    return tuple(
        AffectedRule(
            name=COMMAND_LINE,
            issued_from=short.issued_from,
            issued_to=short.issued_to,
            issuer=issuer,
            serials=short.serials,
            key_usage=short.key_usage or ANY_KEY_USAGE,
            signature_algorithms=tuple(signature_algorithm(one) for one in short.signature_algorithms),
            key_algorithms=tuple(key_algorithm(one) for one in short.key_algorithms),
            key_bits_below=short.key_bits_below,
        )
        for issuer in short.issuers or (None,)
    )


def from_campaign(path: Path, anchor: Path | None, now: datetime) -> tuple[tuple[AffectedRule, ...], list[str]]:
    """The rules of a campaign, and what is to be said about it. One that is over has none, as on a card.

    Signed or plain; with an `anchor` it must be signed under that. Raises CampaignError, ConfigurationError.
    """
    try:
        with path.open("rb") as file:
            octets = file.read(SIGNED_LIMIT + 1)
    except OSError as problem:
        raise ConfigurationError(
            f"The file {path} cannot be read: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
    try:
        campaign, said = _campaign(octets, anchor, now)
    except CampaignError as problem:
        problem.advice = f"Correct {path}, or give --campaign another file."
        raise
    if campaign.withdrawn:
        return (), [*said, f"Campaign {campaign.label} is withdrawn: it affects no certificate."]
    if campaign.only_paused(now):
        return (), [*said, f"Campaign {campaign.label} is paused: it affects no certificate for now."]
    if campaign.over(now):
        expired = moment(campaign.expires)
        return (), [*said, f"Campaign {campaign.label} expired on {expired}: it affects no certificate any more."]
    return campaign.rules, said


def _campaign(octets: bytes, anchor: Path | None, now: datetime) -> tuple[Campaign, list[str]]:
    if anchor is not None:
        return verify_campaign(octets, read_certificates(anchor), now), []
    if octets[:1] != b"\x30":
        return parse_campaign(octets), []
    try:
        campaign = parse_campaign(open_signed(octets).content)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise CampaignError(f"This campaign is not correctly signed: {problem}.") from problem
    return campaign, [
        f"Whether campaign {campaign.label} may be believed was not checked (--campaign-anchor does that)."
    ]


def _known(option: str, given: tuple[str, ...] | list[str], known: tuple[str, ...]) -> None:
    for one in given:
        if one not in known and not one[:1].isdigit():
            raise ConfigurationError(
                f"{option} does not know {one}.", advice=f"It knows {', '.join(dict.fromkeys(known))}."
            )
