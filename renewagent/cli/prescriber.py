"""The prescriber's commands: `agent`, `status`, `inspect`, `renew`. Parsing only; `renewagent.agent` does the work."""

from __future__ import annotations

import argparse

from renewagent.agent.options import add_configuration_options
from renewagent.language import _


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    agent = subparsers.add_parser(
        "agent",
        help=_("watch the readers and say when a smartcard must be renewed"),
        description=_(
            "Watches the smartcard readers until it is stopped (Ctrl-C, SIGTERM). One agent runs per user. With "
            "--json it prints its document when it ends; `renewagent status` tells what it knows meanwhile."
        ),
    )
    add_configuration_options(agent)
    agent.set_defaults(run=_agent)

    status = subparsers.add_parser(
        "status",
        help=_("what the agent knows"),
        description=_("Asks the running agent about readers, cards and campaigns."),
    )
    add_configuration_options(status, overrides=False)
    status.set_defaults(run=_status)

    inspect = subparsers.add_parser(
        "inspect",
        help=_("check the smartcard that is in the reader"),
        description=_("Checks smartcards without an agent, without a passcode, and without changing them."),
    )
    inspect.add_argument("--reader", metavar="NAME", help=_("only this reader, by its full name"))
    add_configuration_options(inspect)
    inspect.set_defaults(run=_inspect)
    _add_renew(subparsers)


def _add_renew(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    renew = subparsers.add_parser(
        "renew",
        help=_("renew the smartcard that is in the reader"),
        description=_(
            "Renews the affected smartcard in the reader, asks for its passcode, and has you sign in again. What "
            "was interrupted, here or at another computer, goes on where it stopped."
        ),
    )
    renew.add_argument("--reader", metavar="NAME", help=_("only this reader, by its full name"))
    renew.add_argument(
        "--officer-reader",
        metavar="NAME",
        help=_("at the RA's desk: the reader with the smartcard of the officer who has the other card renewed"),
    )
    renew.add_argument(
        "--browser", action="store_true", help=_("on a page in your browser instead of in this terminal")
    )
    add_configuration_options(renew)
    renew.set_defaults(run=_renew)


def _agent(arguments: argparse.Namespace) -> int:
    from renewagent.agent import commands

    commands.agent(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from renewagent.agent import commands

    return commands.status(arguments)


def _inspect(arguments: argparse.Namespace) -> int:
    from renewagent.agent import commands

    return commands.inspect(arguments)


def _renew(arguments: argparse.Namespace) -> int:
    from renewagent.agent.renew_command import renew

    return renew(arguments)
