"""`renewagent epcs ...`: who may sign prescriptions of controlled substances, and who says so. Parsing and telling
only: the desk does the work, and refuses."""

from __future__ import annotations

import argparse
from typing import Any

from renewagent.cli import epcs_approve, epcs_audit, epcs_override
from renewagent.cli.at_terminal import Terminal
from renewagent.cli.desk_options import STOPPED, add_desk_options, agreed, answer, at_desk, needed

_SUSPEND = ("lost", "stolen", "compromised", "registration-ended", "left")
_GRANT = """One person enters it, another one, a DEA registrant, executes it with `epcs approve` within 24 hours;
neither of them is the person whom it is about (21 CFR 1311.125)."""


def register(subparsers: Any) -> None:
    """Add the commands."""
    epcs = subparsers.add_parser("epcs", help="prescriptions of controlled substances: who may sign, and who says so")
    commands = epcs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="why somebody can or cannot sign: everything that the desk knows")
    show.set_defaults(run=_show)
    enable = commands.add_parser(
        "enable",
        help="enable EPCS for an account in the EHR",
        description="Needs the administrator override, which another person lends (epcs override give), and which is "
        "taken back as soon as EPCS is enabled. A soft token's registration (softtoken reregister) does this itself.",
    )
    enable.set_defaults(run=_enable)
    add_desk_options(enable)
    for name, said, action in (
        ("request", "enter the grant of EPCS for somebody", "grant"),
        ("revoke", "enter that EPCS be taken from somebody", "revoke"),
    ):
        parser = commands.add_parser(name, help=said, epilog=_GRANT)
        parser.add_argument("--reason", metavar="TEXT", help="why, in a sentence; the second person sees it")
        parser.set_defaults(run=_request, action=action)
        add_desk_options(parser)
    waiting = commands.add_parser("waiting", help="requests that wait for the second person")
    waiting.set_defaults(run=_waiting)
    withdraw = commands.add_parser("withdraw", help="take a request back that you have entered")
    withdraw.add_argument("request", metavar="ID", help="as `epcs waiting` shows it")
    withdraw.set_defaults(run=_withdraw)
    _add_suspend(commands)
    add_desk_options(show)
    for parser in (waiting, withdraw):
        add_desk_options(parser, others=False)
    epcs_approve.register(commands)
    epcs_override.register(commands)
    epcs_audit.register(commands)


def _add_suspend(commands: Any) -> None:
    parser = commands.add_parser(
        "suspend",
        help="stop somebody from signing at once: one person is enough",
        description="On the day on which a token is lost, stolen or compromised, a DEA registration ends, or somebody "
        "leaves (21 CFR 1311.125(d)). The security incident is to be reported within one business day; the formal "
        "revocation by two people follows with `epcs revoke`.",
    )
    parser.add_argument("--reason", choices=_SUSPEND, help="what happened")
    parser.add_argument("--note", metavar="TEXT", help="more about it, for the incident report")
    parser.add_argument(
        "--token", metavar="SERIAL", action="append", help="the token that was lost or stolen; else the active one"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask whether you are sure")
    add_desk_options(parser)
    parser.set_defaults(run=_suspend)


def _show(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import standing_in_words

    needed(arguments)
    with at_desk(arguments) as desk:
        standing = desk.get("standing", user=arguments.subject)
    return answer(arguments, standing, *standing_in_words(standing))


def _enable(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import enabled

    needed(arguments)
    with at_desk(arguments) as desk:
        said = desk.post("enable", user=arguments.subject)
    return answer(arguments, said, *enabled(said))


def _request(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import requested

    needed(arguments, ("--for USER", arguments.subject), ("--reason TEXT", arguments.reason))
    with at_desk(arguments) as desk:
        terminal = Terminal(STOPPED)
        user = arguments.subject or terminal.ask("Whom it is about (user name in the EHR): ").strip()
        reason = arguments.reason or terminal.ask("Why, in a sentence: ").strip()
        said = desk.post("requests", user=user, action=arguments.action, reason=reason)
    return answer(arguments, said, *requested(said))


def _waiting(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import waiting_in_words

    needed(arguments)
    with at_desk(arguments) as desk:
        said = desk.get("requests")
    return answer(arguments, said, *waiting_in_words(said))


def _withdraw(arguments: argparse.Namespace) -> int:
    needed(arguments)
    with at_desk(arguments) as desk:
        said = desk.post("requests", arguments.request, "withdraw")
    return answer(arguments, said, f"Request {arguments.request} is withdrawn.")


def _suspend(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import suspended

    needed(arguments, ("--for USER", arguments.subject), ("--reason REASON", arguments.reason))
    with at_desk(arguments) as desk:
        terminal = Terminal(STOPPED)
        user = arguments.subject or terminal.ask("Whom it is about (user name in the EHR): ").strip()
        reason = arguments.reason or terminal.ask(f"What happened ({', '.join(_SUSPEND)}): ").strip()
        agreed(arguments, f"{user} cannot sign prescriptions of controlled substances from now on.")
        said = desk.post("suspensions", user=user, reason=reason, note=arguments.note or "", tokens=arguments.token)
    return answer(arguments, said, *suspended(said, user))
