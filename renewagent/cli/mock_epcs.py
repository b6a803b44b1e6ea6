"""`renewagent mock-epcs`: a vendor of tokens and an EHR to try things on, and the devices of the people there. Parses
only; the fixtures are loaded when called.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from renewagent.cli.answer import emit, say

ACTS = ("invite", "install", "activate", "code", "change-password", "renew-certificate", "delete")


def register(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the commands."""
    parser = subparsers.add_parser("mock-epcs", help="a mock vendor of tokens and a mock EHR, for trials and tests")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _register_serve(commands)
    _register_devices(commands)
    _register_others(commands)
    for command in commands.choices.values():
        command.add_argument("--data", type=Path, required=True, metavar="DIR", help="where everything is kept")


def _register_serve(commands: argparse._SubParsersAction[Any]) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve both until SIGTERM or SIGINT",
        description="Serve a vendor and an EHR. DIR is made if missing. Prints one JSON line once they serve, with or "
        "without --json.",
    )
    serve.add_argument("--vendor-port", type=_port, default=0, metavar="N", help="0 for any free one (the default)")
    serve.add_argument("--ehr-port", type=_port, default=0, metavar="N", help="0 for any free one (the default)")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: %(default)s)")
    serve.add_argument("--ready-file", type=Path, metavar="FILE", help="written, by rename, once they serve")
    serve.add_argument("--cast", type=Path, metavar="FILE", help="TOML: who is in a new DIR, in place of the default")
    serve.add_argument("--knob", action="append", metavar="NAME=VALUE", help="as `mock-epcs knobs` turns them")
    serve.set_defaults(run=_serve)


def _register_devices(commands: argparse._SubParsersAction[Any]) -> None:
    press = commands.add_parser("press", help="press the button of a hardware token")
    press.add_argument("serial", metavar="SERIAL", help="what is printed on its back")
    press.add_argument("--times", type=_times, default=1, metavar="N", help="with somebody looking (default: 1)")
    press.add_argument("--lost", type=_times, default=0, metavar="N", help="before that, in a pocket")
    _runs(press, "press", "serial", "times", "lost")
    phone = commands.add_parser("phone", help="do something with somebody's phone")
    phone.add_argument("user", metavar="USER", help="whose, by their user name in the EHR")
    phone.add_argument("act", metavar="ACT", choices=ACTS, help=f"one of {', '.join(ACTS)}")
    phone.add_argument("--codes", nargs=2, metavar=("INVITE", "ACTIVATION"), help="what to activate it by")
    _runs(phone, "phone", "user", "act", "codes")


def _register_others(commands: argparse._SubParsersAction[Any]) -> None:
    outbox = commands.add_parser("outbox", help="show what the vendor sent to an e-mail address or a phone")
    outbox.add_argument("address", metavar="ADDRESS")
    _runs(outbox, "outbox", "address")
    work = commands.add_parser("work", help="be the vendor's clerk: work a ticket, or ship what was ordered")
    work.add_argument("number", metavar="NUMBER")
    _runs(work, "work", "number")
    prescribe = commands.add_parser("prescribe", help="sign a prescription at the EHR's own screen")
    prescribe.add_argument("user", metavar="USER")
    prescribe.add_argument("code", metavar="CODE", help="a one-time password")
    prescribe.add_argument("--serial", default="", help="of a hardware token; left out: the phone")
    _runs(prescribe, "prescribe", "user", "code", "serial")
    settle = commands.add_parser("settle", help="have somebody sign, as if all had been done long ago")
    settle.add_argument("user", metavar="USER")
    settle.add_argument("--serial", default="", help="with this hardware token; left out: with their phone")
    _runs(settle, "settle", "user", "serial")
    knobs = commands.add_parser("knobs", help="turn knobs of running servers, or show them")
    knobs.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    _runs(knobs, "turn", "settings")
    tokens = commands.add_parser(
        "import",
        help="take in a vendor's seed file",
        description="Take the tokens of a PSKC (RFC 6030) or CSV file in at the vendor, where their seeds are kept "
        "encrypted, and into the drawer: all of them, or none.",
    )
    tokens.add_argument("file", type=Path, metavar="FILE")
    tokens.add_argument("--passphrase-file", type=Path, metavar="FILE", help="holds what opens an encrypted PSKC file")
    _runs(tokens, "take_in", "file", "passphrase_file")
    _runs(commands.add_parser("audit", help="show the EHR's own audit"), "audit")


def _runs(parser: argparse.ArgumentParser, work: str, *names: str) -> None:
    parser.set_defaults(run=_by_hand, work=work, names=names)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {text!r}")
    return int(text)


def _times(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"a number up to a million is wanted, not {text!r}")
    return int(text)


def _by_hand(arguments: argparse.Namespace) -> int:
    from importlib import import_module

    by_hand: Any = import_module("renewagent_fixtures.mock_epcs.by_hand")
    given = {name: getattr(arguments, name) for name in arguments.names}
    told = getattr(by_hand, arguments.work)(arguments.data, **given)
    if arguments.json:
        emit({"ok": True, **told.document})
    else:
        for sentence in told.said:
            say(sentence)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from importlib import import_module

    command = import_module("renewagent_fixtures.mock_epcs.command")
    status: int = command.serve(
        arguments.data,
        host=arguments.host,
        vendor_port=arguments.vendor_port,
        ehr_port=arguments.ehr_port,
        ready_file=arguments.ready_file,
        cast=arguments.cast,
        knobs=arguments.knob or (),
    )
    return status
