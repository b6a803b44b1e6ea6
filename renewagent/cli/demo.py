"""`renewagent demo`: the whole story on virtual cards. What it does lives with the fixtures."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from renewagent.cli.answer import emit
from renewagent.cli.console import part

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
    others = parser.add_subparsers(title="other stories", metavar="STORY")
    tokens = others.add_parser(
        "tokens",
        help="prescribers with tokens and phone apps in place of smartcards (EPCS, US)",
        description="Tokens pressed too often, a broken one, and five expired soft tokens are brought back to signing "
        "through the console's EPCS desk, against a mock vendor and a mock EHR.",
    )
    tokens.add_argument("--yes", action="store_true", help="ask nothing; this story never does")
    tokens.set_defaults(run=_tokens)


def _demo(arguments: argparse.Namespace) -> int:
    story = importlib.import_module("renewagent_fixtures.demo.story")  # by name: nothing here needs fixtures
    document = story.run(pcsc=arguments.pcsc, yes=arguments.yes, as_json=arguments.json, keep=arguments.keep)
    return _told(document, as_json=arguments.json)


def _tokens(arguments: argparse.Namespace) -> int:
    part("serve")  # or what is missing is said
    story = importlib.import_module("renewagent_fixtures.demo_tokens.story")
    return _told(story.run(as_json=arguments.json), as_json=arguments.json)


def _told(document: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        emit(document)
    return 0 if document["ok"] else 1
