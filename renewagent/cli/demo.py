"""`renewagent demo`: the whole story on virtual cards. What it does lives with the fixtures."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from renewagent.cli.answer import emit

_KEEP = (
    "leave certificates, receipts, RA root and CRL in DIR; it also holds the mock RA's private keys and the cards with "
    "theirs"
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="show the whole story on virtual cards",
        description="A mock Registration Authority issues virtual smartcards, signed campaigns say which are bad, the "
        "agent finds and renews them, and the person signs in again.",
    )
    parser.add_argument("--pcsc", action="store_true", help="through a private pcscd with a virtual reader")
    parser.add_argument(
        "--yes", action="store_true", help="ask nothing; implied by --json and without a terminal at both ends"
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help=_KEEP)
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    story = importlib.import_module("renewagent_fixtures.demo.story")  # by name: nothing here needs fixtures
    document = story.run(pcsc=arguments.pcsc, yes=arguments.yes, as_json=arguments.json, keep=arguments.keep)
    if arguments.json:
        emit(document)
    return 0 if document["ok"] else 1
