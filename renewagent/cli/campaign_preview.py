"""`renewagent campaign preview`: whom would it hit? Parsing and telling only."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.cli.campaign_files import advised, document_in
from renewagent.cli.campaign_telling import about, document_of, tell
from renewagent.cli.check import add_reading, bulk_check
from renewagent.cli.kinds import count

if TYPE_CHECKING:
    from renewagent.rules import Campaign

_EXAMPLES = 5
_WHERE = """Judges as if the campaign were in force, signed or not, paused or not. The console shows the same for the
cards that it has heard of, on the campaign's page. Exit status 0 when everything could be read, whatever was found."""


def register(commands: Any) -> None:
    """Add `campaign preview`."""
    parser = commands.add_parser("preview", help="see whom a campaign would hit", epilog=_WHERE)
    parser.add_argument("file", metavar="FILE", type=Path, help="the campaign, signed or as JSON")
    parser.add_argument("--cards", action="store_true", help="judge the smartcards in this computer's readers")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="with --cards: the configuration that names readers"
    )
    what = parser.add_argument_group("on an inventory, by the bulk check (see: renewagent check --help)")
    what.add_argument("--inventory", metavar="SOURCE", nargs="+", default=[], help="where the certificates are")
    what.add_argument(
        "--count-by",
        metavar="COLUMN",
        action="append",
        default=[],
        help="also count by a column, such as organisation (repeatable)",
    )
    what.add_argument("--examples", metavar="N", type=count, default=_EXAMPLES, help="show the first N (default: 5)")
    what.add_argument("--jobs", metavar="N", type=count, default=1, help="processes (default: 1)")
    add_reading(parser)
    parser.set_defaults(run=_preview)


def _preview(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.document import parse_campaign

    now = datetime.now(UTC)
    with advised(f"Correct {arguments.file}, then try again."):
        campaign = parse_campaign(document_in(arguments.file))
    say(f"Campaign {campaign.id}, version {campaign.version}:")
    tell(campaign, now)
    if campaign.over(now):
        say("What follows is as if it were in force.")
    inventory = _on_inventory(campaign, arguments) if arguments.inventory else None
    cards = _on_cards(campaign, arguments, now) if arguments.cards else None
    if inventory is None and cards is None:
        say("To see how many it hits: --inventory SOURCE, --cards, or the campaign's page on the console.")
    ok = (inventory is None or bool(inventory["ok"])) and all(one["verdict"] != "UNREADABLE" for one in cards or ())
    if arguments.json:
        whom = {"document": document_of(campaign), "inventory": inventory, "cards": cards}
        emit({"ok": ok, **about(campaign), "in_force": not campaign.over(now), **whom})
    return 0 if ok else 1


def _on_inventory(campaign: Campaign, arguments: argparse.Namespace) -> dict[str, Any]:
    check = bulk_check()
    summary = check.check(
        check.Job(
            sources=arguments.inventory,
            plan=check.Plan(campaign.rules, count_by=tuple(arguments.count_by)),
            wanted=check.Wanted(arguments.format, arguments.column, arguments.table, arguments.query),
            jobs=arguments.jobs,
            examples=arguments.examples,
        )
    )
    for line in summary.lines():
        say(line)
    if summary.examples:
        say("The first of them:")
    for row in summary.examples:
        say(f'  {row["why"]} By {row["issuer"]}, serial number {row["serial"]}. Rule "{row["rule"]}".')
    return {**summary.document(), "examples": summary.examples}


def _on_cards(campaign: Campaign, arguments: argparse.Namespace, now: datetime) -> list[dict[str, Any]]:
    from renewagent.campaign.cards_here import judge_cards_here
    from renewagent.configuration import load

    cards = judge_cards_here(campaign, load(arguments.config).card, now)
    for card in cards:
        say(f"{card['reader']}: {card['verdict']}. {card['reason']}")
    return cards
