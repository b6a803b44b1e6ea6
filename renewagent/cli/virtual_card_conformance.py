"""`renewagent virtual-card conformance`: what a card does of the PIV standard. The questions live with the fixtures."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from renewagent.errors import ConfigurationError

PROFILES = ("plain", "extended")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `virtual-card conformance`."""
    parser = commands.add_parser(
        "conformance",
        help="ask a card what it does of the PIV standard",
        description="Asks a virtual card of each profile, or the card in a reader, for everything in SP 800-73-5 and "
        "SP 800-78-5, clause by clause, and prints a table in Markdown. A card in a reader is never changed: only "
        "questions that read are asked of it.",
    )
    cards = parser.add_mutually_exclusive_group()
    cards.add_argument("--profile", choices=PROFILES, action="append", help="this kind of virtual card alone")
    cards.add_argument("--reader", metavar="NAME", help="the card in this reader of PC/SC")
    parser.add_argument(
        "--clients", action="store_true", help="let other people's programs try the virtual cards, too (a minute)"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="put the table into FILE instead")
    parser.set_defaults(run=_conformance)


def _conformance(arguments: argparse.Namespace) -> int:
    command = importlib.import_module(
        "renewagent_fixtures.conformance.command"
    )  # by name: nothing above needs fixtures
    profiles = arguments.profile or PROFILES
    if arguments.clients and arguments.reader:
        raise ConfigurationError(
            "Other people's programs would change the card in the reader.", advice="Leave out --clients or --reader."
        )
    return int(
        command.conformance(
            profiles, arguments.reader, arguments.out, with_clients=arguments.clients, as_json=arguments.json
        )
    )
