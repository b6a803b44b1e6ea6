"""`renewagent campaign pause|resume|withdraw`: the next version of a campaign, signed at once if a signer is named."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.cli.campaign_files import check_out, document_in, write_out
from renewagent.cli.campaign_signer import Signed, add_signer_options, sign, signs
from renewagent.cli.campaign_telling import about, tell

if TYPE_CHECKING:
    from renewagent.rules import Campaign

_COMMANDS = {
    "pause": ("begin nothing new until it goes on; what has begun is finished", {"paused": True}),
    "resume": ("let a paused campaign go on", {"paused": False}),
    "withdraw": ("end a campaign for good, before its time", {"withdrawn": True}),
}
_NOT_SIGNED = "It is not signed yet: agents do not believe it. Sign it with: renewagent campaign sign --card --out"


def register(commands: Any) -> None:
    """Add the three commands."""
    for name, (words, change) in _COMMANDS.items():
        parser = commands.add_parser(
            name,
            help=words,
            description=f"Writes the next version of a campaign: {words}. Publish it in place of the one before.",
        )
        parser.add_argument("file", metavar="FILE", type=Path, help="the newest version, signed or as JSON")
        parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the next version goes")
        add_signer_options(parser, required=False)
        parser.set_defaults(run=_next, change=change)


def _next(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.document import parse_campaign
    from renewagent.campaign.versions import next_version

    now = datetime.now(UTC)
    sign_it = signs(arguments)
    document = next_version(document_in(arguments.file), now=now, **arguments.change)
    campaign = parse_campaign(document)
    check_out(arguments.out, arguments.file, campaign, signed=sign_it)
    tell(campaign, now)
    signed = sign(document, arguments, now) if sign_it else None
    write_out(arguments.out, document if signed is None else signed.octets)
    answer(arguments, campaign, signed)
    return 0


def answer(arguments: argparse.Namespace, campaign: Campaign, signed: Signed | None) -> None:
    """Say what was written, and what is to be done with it."""
    which = f"Version {campaign.version} of campaign {campaign.id} is in {arguments.out}"
    if signed is None:
        say(f"{which}.\n{_NOT_SIGNED} {arguments.out.with_suffix('.campaign')} {arguments.out}")
    else:
        say(f"{which}, signed as {signed.signer}. Publish it in place of the version before.")
    if arguments.json:
        who = {"signer": None} if signed is None else {"signer": signed.signer, **signed.card}
        emit({"ok": True, **about(campaign), "signed": signed is not None, **who, "out": str(arguments.out)})
