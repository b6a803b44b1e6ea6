"""`renewagent campaign ...`: what an RA manager does with campaigns. Parsing and telling only."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.errors import ConfigurationError

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
    sign.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the signed campaign goes")
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
    from renewagent.campaign.document import LIMIT, parse_campaign
    from renewagent.campaign.pem import read_signer
    from renewagent.campaign.sign import sign_campaign

    document = _octets(arguments.file, LIMIT)
    signer = read_signer(arguments.key)
    signed = sign_campaign(document, signer, datetime.now(UTC))
    try:
        write_atomically(arguments.out, signed, mode=_MODE)
    except OSError as problem:
        raise ConfigurationError(
            f"The file {arguments.out} cannot be written: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
    campaign = parse_campaign(document)
    name = signer.certificate.subject.rfc4514_string()
    say(f"Signed campaign {campaign.id}, version {campaign.version}, as {name}. It is in {arguments.out}.")
    if arguments.json:
        emit({"ok": True, **_about(campaign), "signer": name, "out": str(arguments.out)})
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.pem import read_certificates, read_revocation_lists
    from renewagent.campaign.verify import SIGNED_LIMIT, verify_campaign

    now = datetime.now(UTC)
    anchors = read_certificates(arguments.anchor)
    crls = [crl for path in arguments.crl for crl in read_revocation_lists(path)]
    campaign = verify_campaign(_octets(arguments.file, SIGNED_LIMIT), anchors, now, crls)
    say(f"{arguments.file} is campaign {campaign.id}, version {campaign.version}, correctly signed.")
    say(_standing(campaign, now))
    say(f"What people are told: {campaign.reason['en']}")
    if arguments.json:
        emit({"ok": True, **_about(campaign), "in_force": not campaign.over(now), "document": _document(campaign)})
    return 0


def _standing(campaign: Campaign, now: datetime) -> str:
    from renewagent.reasons import moment

    if campaign.withdrawn:
        return "It is withdrawn: it affects no certificate."
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
