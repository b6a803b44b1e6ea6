"""`renewagent epcs approve`: the second person decides, by their smartcard or a one-time password. Parsing and telling
only; what is approved is shown in words first (`renewagent.tokens.approval`), and the card signs the digest of that."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from renewagent.cli.answer import say
from renewagent.cli.at_terminal import Terminal, first_lines
from renewagent.cli.desk_options import STOPPED, add_desk_options, agreed, answer, at_desk, needed
from renewagent.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from renewagent.agent.passcode import RenewableCard
    from renewagent.card.interface import CardConnection
    from renewagent.tokens.approval import Approval
    from renewagent.tokens.desk_client import DeskClient

_HOW = """You are shown in words what you approve before anything is asked of you. With --card your smartcard signs what
was shown; the passcode is asked for here and goes to the smartcard alone. With --otp you type a fresh one-time password
of a token that is registered to you. Without a terminal --yes is needed, and the passcode is one line of standard input
(the code: --code-file FILE)."""


def register(commands: Any) -> None:
    """Add `epcs approve`."""
    parser = commands.add_parser("approve", help="execute a request that another person entered", epilog=_HOW)
    parser.add_argument("request", metavar="ID", nargs="?", help="as `epcs waiting` shows it; at a terminal you choose")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--card", action="store_true", help="with your smartcard, which is in a reader")
    how.add_argument("--otp", action="store_true", help="with a one-time password")
    parser.add_argument("--reader", metavar="NAME", help="with --card: only this reader, by its full name")
    parser.add_argument("--serial", metavar="SERIAL", help="with --otp: the token; else your active one")
    parser.add_argument("--code-file", metavar="FILE", type=Path, help="with --otp: holds the code (- for input)")
    parser.add_argument("--yes", action="store_true", help="do not ask whether you agree")
    add_desk_options(parser, others=False)
    parser.set_defaults(run=_approve)


def _approve(arguments: argparse.Namespace) -> int:
    from renewagent.tokens import approval
    from renewagent.tokens.desk_words import executed

    code = [("--code-file FILE", arguments.code_file)] if arguments.otp else []
    needed(arguments, ("ID", arguments.request), ("--yes", arguments.yes or None), *code)
    with at_desk(arguments) as desk:
        request = arguments.request or _chosen(desk)
        challenge = desk.post("requests", request, "challenge")
        shown = approval.read(challenge.get("document"), request)
        say("You are asked to approve this:")
        for line in shown.lines:
            say(line)
        agreed(arguments, "Do you approve it?")
        if arguments.card:
            said = desk.post("requests", request, "execute", card=_by_card(desk, arguments, challenge, shown))
        else:
            said = desk.post("requests", request, "execute", otp=_by_code(desk, arguments))
    return answer(arguments, said, *executed(said))


def _chosen(desk: DeskClient) -> str:
    from renewagent.tokens.desk_words import waiting_in_words
    from renewagent.tokens.said import parts, text

    said = desk.get("requests")
    waiting = [text(one, "id") for one in parts(said, "requests") if text(one, "state") == "waiting"]
    for line in waiting_in_words(said):
        say(line)
    if not waiting:
        raise ConfigurationError("No request waits for you.", advice="Whoever enters one can tell you its number.")
    typed = Terminal(STOPPED).ask("Which one? Its number, or Enter for the first: ").strip()
    return typed or waiting[0]


def _by_card(desk: DeskClient, arguments: argparse.Namespace, challenge: dict[str, Any], shown: Approval) -> str:
    """CMS over the approval, base64. Raises what cards raise, PersonStopped."""
    from base64 import b64encode
    from contextlib import closing

    from renewagent.agent.console_sign_in import approve, checked_nonce, sign_in_card
    from renewagent.agent.options import configuration_of
    from renewagent.agent.ra_desk import utc_now
    from renewagent.agent.terminal import TerminalPrompter, quiet
    from renewagent.agent.undumpable import undumpable
    from renewagent.agent.words import card_in_words
    from renewagent.agent.workstation import card_opener, open_readers

    undumpable()  # the passcode is typed here
    nonce = checked_nonce(challenge, desk.origin)
    settings = configuration_of(arguments).card
    opener = cast("Callable[[CardConnection], RenewableCard]", card_opener(settings))
    with (
        closing(open_readers(settings.readers)) as readers,
        sign_in_card(readers, opener, arguments.reader) as mine,
        quiet(),
    ):
        say(f"Approving with {card_in_words(mine.identity)} in {mine.reader}.")
        return b64encode(approve(mine, TerminalPrompter(), desk.origin, nonce, shown.digest, utc_now)).decode()


def _by_code(desk: DeskClient, arguments: argparse.Namespace) -> dict[str, str]:
    from renewagent.tokens.guided_token import ask_code, in_use

    serial = arguments.serial or str(in_use(desk.get("standing"))["serial"])
    if arguments.code_file is not None:
        lines = first_lines(arguments.code_file)
        if not lines or not lines[0].strip():
            raise ConfigurationError(f"There is no code in {arguments.code_file}.", advice="Check the file.")
        return {"serial": serial, "code": lines[0].strip()}
    say(f"Press the button of the token {serial} once.")
    return {"serial": serial, "code": ask_code(Terminal(STOPPED), "One-time password: ")}
