"""`renewagent campaign ...`: what an RA manager does with campaigns. Parsing and telling only."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.errors import CampaignError, ConfigurationError

if TYPE_CHECKING:
    from renewagent.rules import Campaign

_MODE = 0o644  # a signed campaign is meant for everybody


def register(subparsers: Any) -> None:
    """Add `campaign sign` and `campaign verify`."""
    campaign = subparsers.add_parser("campaign", help="sign and verify campaigns")
    commands = campaign.add_subparsers(title="commands", metavar="COMMAND", required=True)
    sign = commands.add_parser("sign", help="check a campaign and sign it")
    sign.add_argument("file", metavar="FILE", type=Path, help="the campaign, as JSON")
    sign.add_argument(
        "--key", metavar="PEM", type=Path, required=True, help="the signer's private key and certificates"
    )
    sign.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="where the signed campaign goes; replaces a signed campaign, and no other file",
    )
    sign.add_argument("--allow-all", action="store_true", help="also sign a rule that hits every certificate")
    sign.set_defaults(run=_sign)
    verify = commands.add_parser("verify", help="check a signed campaign as the agents will")
    verify.add_argument("file", metavar="FILE", type=Path, help="the signed campaign")
    verify.add_argument("--anchor", metavar="PEM", type=Path, required=True, help="the root of campaign signers")
    verify.add_argument(
        "--crl", metavar="FILE", type=Path, action="append", default=[], help="a revocation list (may be repeated)"
    )
    verify.set_defaults(run=_verify)


def _sign(arguments: argparse.Namespace) -> int:
    from renewagent.atomic import write_atomically
    from renewagent.campaign.document import LIMIT
    from renewagent.campaign.pem import read_signer
    from renewagent.campaign.sign import sign_campaign

    now = datetime.now(UTC)
    document = _octets(arguments.file, LIMIT)
    _check_out(arguments.out, arguments.file)
    campaign = _signable(document, arguments, now)
    signer = read_signer(arguments.key)
    with _advised(f"Give --key a file with the key and certificate of a campaign signer; {arguments.key} is not one."):
        signed = sign_campaign(document, signer, now)
    try:
        write_atomically(arguments.out, signed, mode=_MODE)
    except OSError as problem:
        raise ConfigurationError(
            f"The file {arguments.out} cannot be written: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
    name = signer.certificate.subject.rfc4514_string()
    say(f"Signed campaign {campaign.id}, version {campaign.version}, as {name}. It is in {arguments.out}.")
    _tell(campaign, now)
    if arguments.json:
        emit({"ok": True, **_about(campaign), "signer": name, "out": str(arguments.out)})
    return 0


def _check_out(out: Path, source: Path) -> None:
    """Nothing but an earlier signed campaign is replaced. Raises ConfigurationError."""
    try:
        if not out.exists():
            return
        same = out.samefile(source)
    except OSError as problem:
        raise ConfigurationError(
            f"The file {out} cannot be read: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
    if same:
        raise ConfigurationError(
            f"--out names the campaign itself, {source}, which would be lost.",
            advice="Give --out another name, and keep the campaign for its next version.",
        )
    if not _is_signed_campaign(out):
        raise ConfigurationError(
            f"The file {out} exists and is not a signed campaign: it is not replaced.",
            advice="Give --out another name, or remove that file.",
        )


def _is_signed_campaign(path: Path) -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm

    from renewagent.campaign.document import parse_campaign
    from renewagent.campaign.verify import SIGNED_LIMIT
    from renewagent.cms import open_signed

    try:
        parse_campaign(open_signed(_octets(path, SIGNED_LIMIT)).content)
    except (ValueError, UnsupportedAlgorithm, CampaignError):
        return False
    return True


def _signable(document: bytes, arguments: argparse.Namespace, now: datetime) -> Campaign:
    """The campaign, if it is one that a manager can want to sign. Raises CampaignError."""
    from renewagent.campaign.document import parse_campaign
    from renewagent.campaign.summary import unrestricted
    from renewagent.reasons import moment

    with _advised(f"Correct {arguments.file} and sign it again."):
        campaign = parse_campaign(document)
        if now >= campaign.expires and not campaign.withdrawn:
            raise CampaignError(
                f"This campaign expired on {moment(campaign.expires)}: it would affect no certificate any more."
            )
    everything = unrestricted(campaign)
    if everything and not arguments.allow_all and not campaign.withdrawn:
        raise CampaignError(
            f'The rule "{everything[0]}" hits every certificate: it says nothing of when, by whom or how it was made.',
            advice=f"Correct {arguments.file} and sign it again. If every certificate is meant, add --allow-all.",
        )
    return campaign


@contextmanager
def _advised(advice: str) -> Iterator[None]:
    """A CampaignError that passes is the manager's own to mend, not something to ask a Registration Authority for."""
    try:
        yield
    except CampaignError as error:
        error.advice = advice
        raise


def _verify(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.pem import read_certificates, read_revocation_lists
    from renewagent.campaign.verify import SIGNED_LIMIT, verify_campaign

    now = datetime.now(UTC)
    anchors = read_certificates(arguments.anchor)
    crls = [crl for path in arguments.crl for crl in read_revocation_lists(path)]
    campaign = verify_campaign(_octets(arguments.file, SIGNED_LIMIT), anchors, now, crls)
    say(f"{arguments.file} is campaign {campaign.id}, version {campaign.version}, correctly signed.")
    _tell(campaign, now)
    if arguments.json:
        emit({"ok": True, **_about(campaign), "in_force": not campaign.over(now), "document": _document(campaign)})
    return 0


def _tell(campaign: Campaign, now: datetime) -> None:
    """What the campaign does to whom."""
    from renewagent.campaign.summary import remedy_in_words, rules_in_words

    for line in (_standing(campaign, now), *rules_in_words(campaign), remedy_in_words(campaign)):
        say(line)
    say(f"What people are told: {campaign.reason['en']}")


def _standing(campaign: Campaign, now: datetime) -> str:
    from renewagent.reasons import moment

    if campaign.withdrawn:
        return "It is withdrawn: it affects no certificate."
    if campaign.only_paused(now):
        return "It is paused: it affects no certificate until a later version goes on. What has begun is finished."
    if campaign.over(now):
        return f"It expired on {moment(campaign.expires)}: it affects no certificate any more."
    rules = "1 rule" if len(campaign.rules) == 1 else f"{len(campaign.rules)} rules"
    return f"It is in force until {moment(campaign.expires)}, with {rules}."


def _about(campaign: Campaign) -> dict[str, object]:
    return {"campaign": campaign.id, "version": campaign.version}


def _document(campaign: Campaign) -> object:
    import json

    from renewagent.campaign.document import campaign_to_json

    return json.loads(campaign_to_json(campaign))


def _octets(path: Path, limit: int) -> bytes:
    """The file, or so much of it that it is seen to be too large."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as problem:
        raise ConfigurationError(
            f"The file {path} cannot be read: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
