"""`renewagent mock-ra`: a Registration Authority to try things on. Parses only; the fixtures are loaded when called."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def register(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    mock_ra = subparsers.add_parser("mock-ra", help="a mock Registration Authority, for trials and tests")
    commands = mock_ra.add_subparsers(title="commands", metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve until SIGTERM or SIGINT",
        description="Serve CMP and the addresses beside it. Prints one JSON line once it serves, with "
        "or without --json.",
    )
    serve.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="where it keeps everything; made if missing"
    )
    serve.add_argument("--port", type=_port, required=True, metavar="N", help="0 for any free one")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: %(default)s)")
    serve.add_argument("--ready-file", type=Path, metavar="FILE", help="written, by rename, once it serves")
    serve.add_argument("--tls", action="store_true", help="serve HTTPS with a certificate under its own root")
    serve.add_argument("--database", metavar="URL", help="an SQLAlchemy URL in place of SQLite in DIR")
    serve.add_argument("--plan", type=Path, metavar="FILE", help="TOML: so many renewals a day and organisation")
    serve.add_argument("--roles", type=Path, metavar="FILE", help="TOML: the role of each of the RA's own people")
    serve.add_argument("--campaign", type=Path, action="append", metavar="FILE", help="a signed campaign to know of")
    _add_knobs(serve)
    serve.set_defaults(run=_serve)


def _add_knobs(parser: argparse.ArgumentParser) -> None:
    knobs = parser.add_argument_group("knobs")
    knobs.add_argument("--algorithm", choices=("p256", "rsa2048"), help="keys of a new RA (default: p256)")
    knobs.add_argument("--delay", type=_seconds, metavar="S", help="hold every CMP answer back for S seconds")
    knobs.add_argument("--approval", action="store_true", help="kur and cr wait for POST /admin/approve")
    knobs.add_argument("--approve-after", type=_seconds, metavar="S", help="with --approval: approve after S seconds")
    knobs.add_argument("--check-after", type=int, metavar="S", help="what a waiting answer says (default: 1)")
    knobs.add_argument("--refuse", metavar="FAILINFO", help="refuse every request with this failInfo")
    knobs.add_argument("--knows-no-tickets", action="store_true", help="do not know our own information types")
    knobs.add_argument("--no-receipts", action="store_true", help="know tickets, but no receipts")
    knobs.add_argument(
        "--max-self-renewals", type=int, metavar="N", help="after so many in a row the next one is in person"
    )
    knobs.add_argument("--key-relay", action="store_true", help="keep the management keys of cards (docs/relay.md)")
    knobs.add_argument("--relay-delay", type=_seconds, metavar="S", help="hold each answer of the key relay back")
    knobs.add_argument("--clock-offset", type=float, metavar="S", help="run the clock S seconds ahead")
    knobs.add_argument("--confirm-within", type=_seconds, metavar="S", help="time for a certConf (default: 600)")
    knobs.add_argument(
        "--implicit-confirm", choices=("never", "asked", "always"), help="waive certConf (default: never)"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1e9:
        raise argparse.ArgumentTypeError(f"a number of seconds is wanted, not {text!r}")
    return number


def _serve(arguments: argparse.Namespace) -> int:
    from dataclasses import fields
    from importlib import import_module

    from renewagent.cmp.wire import FAIL_INFO
    from renewagent.errors import ConfigurationError

    if arguments.refuse is not None and arguments.refuse not in FAIL_INFO:
        raise ConfigurationError(
            f"{arguments.refuse!r} is no failInfo.", advice=f"Choose one of {', '.join(FAIL_INFO)}."
        )
    command = import_module("renewagent_fixtures.mock_ra.command")
    knobs_type = import_module("renewagent_fixtures.mock_ra.knobs").Knobs
    given = {f.name: getattr(arguments, f.name, None) for f in fields(knobs_type)}
    given["plan"] = command.plan_in(arguments.plan) if arguments.plan is not None else None
    given["roles"] = command.roles_in(arguments.roles) if arguments.roles is not None else None
    status: int = command.serve(
        arguments.data,
        host=arguments.host,
        port=arguments.port,
        tls=arguments.tls,
        knobs=knobs_type(**{name: value for name, value in given.items() if value is not None}),
        database=arguments.database,
        campaigns=arguments.campaign or (),
        ready_file=arguments.ready_file,
    )
    return status
