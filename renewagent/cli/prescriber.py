"""The prescriber's commands: `agent`, `status`, `inspect`. Parsing only; `renewagent.agent.commands` does the work."""

from __future__ import annotations

import argparse

from renewagent.agent.options import add_configuration_options


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    agent = subparsers.add_parser(
        "agent",
        help="watch the readers and say when a smartcard must be renewed",
        description="Watches the smartcard readers until it is stopped (Ctrl-C, SIGTERM). One agent runs per user.",
    )
    add_configuration_options(agent)
    agent.set_defaults(run=_agent)

    status = subparsers.add_parser(
        "status", help="what the agent knows", description="Asks the running agent about readers, cards and campaigns."
    )
    add_configuration_options(status, overrides=False)
    status.set_defaults(run=_status)

    inspect = subparsers.add_parser(
        "inspect",
        help="check the smartcard that is in the reader",
        description="Checks smartcards without an agent, without a passcode, and without changing them.",
    )
    inspect.add_argument("--reader", metavar="NAME", help="only this reader, by its full name")
    add_configuration_options(inspect)
    inspect.set_defaults(run=_inspect)


def _agent(arguments: argparse.Namespace) -> int:
    from renewagent.agent import commands

    commands.agent(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from renewagent.agent import commands

    return commands.status(arguments)


def _inspect(arguments: argparse.Namespace) -> int:
    from renewagent.agent import commands

    return commands.inspect(arguments)
