"""`renewagent campaign ...`: what an RA manager does with campaigns. Parsing and telling only."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli import campaign_new, campaign_preview, campaign_versions
from renewagent.cli.answer import emit, say
from renewagent.cli.campaign_files import advised, check_out, octets_of, write_out
from renewagent.cli.campaign_signer import add_signer_options, sign, signs
from renewagent.cli.campaign_telling import about, document_of, tell
from renewagent.errors import CampaignError

if TYPE_CHECKING:
    from renewagent.rules import Campaign


def register(subparsers: Any) -> None:
    """Add `campaign` and its commands."""
    campaign = subparsers.add_parser("campaign", help="write, preview, sign, verify, pause and withdraw campaigns")
    commands = campaign.add_subparsers(title="commands", metavar="COMMAND", required=True)
    campaign_new.register(commands)
    campaign_preview.register(commands)
    _register_sign(commands)
    _register_verify(commands)
    campaign_versions.register(commands)


def _register_sign(commands: Any) -> None:
    parser = commands.add_parser("sign", help="check a campaign and sign it")
    parser.add_argument("file", metavar="FILE", type=Path, help="the campaign, as JSON")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="where the signed campaign goes; replaces a signed campaign, and no other file",
    )
    parser.add_argument("--allow-all", action="store_true", help="also sign a rule that hits every certificate")
    add_signer_options(parser, required=True)
    parser.set_defaults(run=_sign)


def _register_verify(commands: Any) -> None:
    parser = commands.add_parser("verify", help="check a signed campaign as the agents will")
    parser.add_argument("file", metavar="FILE", type=Path, help="the signed campaign")
    parser.add_argument("--anchor", metavar="PEM", type=Path, required=True, help="the root of campaign signers")
    parser.add_argument(
        "--crl", metavar="FILE", type=Path, action="append", default=[], help="a revocation list (may be repeated)"
    )
    parser.set_defaults(run=_verify)


def _sign(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.document import LIMIT

    now = datetime.now(UTC)
    signs(arguments)
    document = octets_of(arguments.file, LIMIT)
    campaign = _signable(document, arguments, now)
    check_out(arguments.out, arguments.file, campaign, signed=True)
    if arguments.card:  # nobody types a passcode for what they have not seen
        tell(campaign, now)
    signed = sign(document, arguments, now)
    write_out(arguments.out, signed.octets)
    say(f"Signed campaign {campaign.id}, version {campaign.version}, as {signed.signer}. It is in {arguments.out}.")
    if not arguments.card:
        tell(campaign, now)
    if arguments.json:
        emit({"ok": True, **about(campaign), "signer": signed.signer, **signed.card, "out": str(arguments.out)})
    return 0


def _signable(document: bytes, arguments: argparse.Namespace, now: datetime) -> Campaign:
    """The campaign, if it is one that a manager can want to sign. Raises CampaignError."""
    from renewagent.campaign.document import parse_campaign
    from renewagent.campaign.summary import unrestricted
    from renewagent.reasons import moment

    with advised(f"Correct {arguments.file} and sign it again."):
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


def _verify(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.pem import read_certificates, read_revocation_lists
    from renewagent.campaign.verify import SIGNED_LIMIT, verify_campaign

    now = datetime.now(UTC)
    anchors = read_certificates(arguments.anchor)
    crls = [crl for path in arguments.crl for crl in read_revocation_lists(path)]
    campaign = verify_campaign(octets_of(arguments.file, SIGNED_LIMIT), anchors, now, crls)
    say(f"{arguments.file} is campaign {campaign.id}, version {campaign.version}, correctly signed.")
    tell(campaign, now)
    if arguments.json:
        emit({"ok": True, **about(campaign), "in_force": not campaign.over(now), "document": document_of(campaign)})
    return 0
