"""`renewagent virtual-card serve|fleet`: a bench of many cards. What the commands do lives with the fixtures."""

from __future__ import annotations

import argparse
import importlib
from datetime import UTC, datetime
from pathlib import Path

from renewagent.cli import kinds


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` and `fleet` to `virtual-card`'s commands."""
    _register_serve(commands)
    _register_fleet(commands)


def _register_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="put virtual cards into readers",
        description="Puts cards into readers of a vpcd that is there (--port), or into readers of a private pcscd "
        "(--private), which needs no root and which nobody else sees. Takes them out on SIGTERM or SIGINT. One card "
        "at one --port: prints one JSON line once the card is in, with or without --json. Otherwise prints what a "
        "shell may eval, or with --json where every card is; more than seven cards take several private services, and "
        "need --json.",
    )
    parser.add_argument("paths", metavar="FILE", type=Path, nargs="+", help="the cards, or folders of them")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--port", metavar="N", type=_port, action="append", help="where vpcd listens; once for each card"
    )
    where.add_argument("--private", action="store_true", help="start a private pcscd with a reader for each card")
    parser.add_argument(
        "--run", dest="command", metavar="COMMAND", help="run this in a shell beside the cards, and end with it"
    )
    _add_endings(parser)
    parser.set_defaults(run=_serve)


def _add_endings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--background", action="store_true", help="come back when the cards are in, and go on serving")
    parser.add_argument("--while", dest="companion", metavar="PID", type=_pid, help="end when that process has ended")


def _register_fleet(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "fleet",
        help="make many issued cards, and say what is true of each",
        description="Makes N issued cards in DIR, drawn from a description, with an index (CSV and JSON) of what a "
        "check of each must say. The seed decides which card gets what, but for keys, and so for hashes and "
        "signatures. Run again after it was stopped, it goes on; with a larger N the fleet grows.",
    )
    parser.add_argument("--count", metavar="N", type=kinds.count, required=True, help="how many cards")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to keep them")
    parser.add_argument("--from", dest="description", metavar="FILE", type=Path, help="what to draw from, TOML")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="another one, another fleet (default: 0)")
    parser.add_argument("--at", metavar="TIME", type=kinds.moment, help="make it as it would have been made then")
    parser.add_argument("--serve", action="store_true", help="then put the cards into readers of private services")
    _add_endings(parser)
    parser.set_defaults(run=_fleet)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return int(text)


def _pid(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no process number")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    serving = importlib.import_module(
        "renewagent_fixtures.virtual_card_serving"
    )  # by name: nothing above needs fixtures
    wish = serving.Wish(
        ports=tuple(arguments.port or ()),
        companion=arguments.companion,
        command=arguments.command,
        background=arguments.background,
        as_json=arguments.json,
    )
    return int(serving.serve(arguments.paths, wish))


def _fleet(arguments: argparse.Namespace) -> int:
    command = importlib.import_module("renewagent_fixtures.fleet.command")
    made = int(
        command.run(
            arguments.out,
            count=arguments.count,
            seed=arguments.seed,
            description=arguments.description,
            at=arguments.at,
            now=datetime.now(UTC),
            as_json=arguments.json and not arguments.serve,
        )
    )
    if made or not arguments.serve:
        return made
    serving = importlib.import_module("renewagent_fixtures.virtual_card_serving")
    wish = serving.Wish(companion=arguments.companion, background=arguments.background, as_json=arguments.json)
    return int(serving.serve([arguments.out / "cards"], wish))
