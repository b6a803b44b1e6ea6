"""`renewagent virtual-card record|replay|diff`: what passes between a program and a card, as text. What the commands do
lives with the fixtures."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

_NO_SECRETS = "No PIN, PUK or key is written into a trace."


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `record`, `replay` and `diff` to `virtual-card`'s commands."""
    _register_record(commands)
    _register_replay(commands)
    _register_diff(commands)


def _register_record(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "record",
        help="write down what passes between a program and a card",
        description="Stands between a program and a card, virtual or real, and writes the conversation into TRACE, "
        f"which can be read, compared and replayed. {_NO_SECRETS}",
    )
    parser.add_argument("trace", metavar="TRACE", type=Path, help="the file to write; must not exist")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--card", metavar="FILE", type=Path, help="a virtual card")
    what.add_argument("--reader", metavar="NAME", help="the card in this reader of PC/SC")
    _register_place(parser)
    parser.add_argument("--timing", action="store_true", help="write how long each exchange took, too")
    parser.set_defaults(run=_record)


def _register_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "replay",
        help="put a recorded conversation into a reader, as a card",
        description="A card that answers what the recorded one answered. Tells what it was asked that is not in TRACE.",
    )
    parser.add_argument("trace", metavar="TRACE", type=Path, help="what `record` wrote")
    _register_place(parser)
    parser.add_argument("--strict", action="store_true", help="exit with 1 where something else was asked")
    parser.set_defaults(run=_replay)


def _register_place(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", metavar="N", type=_port, help="into the reader of vpcd there, until SIGTERM or SIGINT")
    where.add_argument(
        "--run", dest="command", metavar="COMMAND", help="into a reader of a private pcscd, for this shell command"
    )


def _register_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "diff",
        help="compare two recorded conversations by what they mean",
        description="Tells what was said in one trace alone, and what was answered otherwise; exits with 1 if anything "
        "was. Challenges, signatures, keys, serial numbers, timing, the order of reads and the portions of answers "
        "make no difference.",
    )
    parser.add_argument("first", metavar="FIRST", type=Path)
    parser.add_argument("second", metavar="SECOND", type=Path)
    parser.set_defaults(run=_diff)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return int(text)


def _fixture() -> Any:
    return importlib.import_module("renewagent_fixtures.traces.command")  # by name: nothing above needs fixtures


def _record(arguments: argparse.Namespace) -> int:
    fixture = _fixture()
    return int(
        fixture.record(
            arguments.trace,
            card=arguments.card,
            reader=arguments.reader,
            place=fixture.Place(arguments.port, arguments.command, arguments.json),
            timing=arguments.timing,
        )
    )


def _replay(arguments: argparse.Namespace) -> int:
    fixture = _fixture()
    place = fixture.Place(arguments.port, arguments.command, arguments.json)
    return int(fixture.replay(arguments.trace, place=place, strict=arguments.strict))


def _diff(arguments: argparse.Namespace) -> int:
    return int(_fixture().diff(arguments.first, arguments.second, as_json=arguments.json))
