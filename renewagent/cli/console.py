"""`renewagent console ...`: the RA manager's server. Parsing and telling only."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli import console_people
from renewagent.cli.answer import emit, say
from renewagent.errors import ConfigurationError

if TYPE_CHECKING:
    from renewagent.console.serve import Facts
    from renewagent.console.settings import Settings


def register(subparsers: Any) -> None:
    """Add the commands."""
    console = subparsers.add_parser("console", help="the RA manager's server")
    commands = console.add_subparsers(title="commands", metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve until SIGTERM or SIGINT",
        description="Serve agents and people. Prints one line once it serves: what it serves where, as JSON with "
        "--json. The log goes to standard error, one JSON object per line.",
    )
    _with_config(serve)
    serve.set_defaults(run=_serve)
    console_people.register(commands, part)


def _with_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the console's settings (TOML)")


def _serve(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    serving = part("serve")
    part("logs").configure(sys.stderr)

    def ready(facts: Facts) -> None:
        if arguments.json:
            words = {"operations": facts.operations, "certificate": facts.certificate}
            emit({"ok": True, "agents": facts.agents, "people": facts.people} | {k: v for k, v in words.items() if v})
            return
        say(f"Agents reach the console at {facts.agents}, people at {facts.people}.")
        if facts.operations:
            say(f"Its metrics are at {facts.operations}/metrics.")
        if facts.certificate:
            say(f"No TLS certificate is configured: it uses {facts.certificate}, which nobody trusts as yet.")

    serving.serve(settings, ready)
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    settings: Settings = part("settings_file").load_settings(arguments.config)
    return settings


def part(name: str) -> Any:
    """A module of the console, which needs packages that not everybody has installed. Raises ConfigurationError."""
    try:
        return importlib.import_module(f"renewagent.console.{name}")
    except ModuleNotFoundError as problem:
        if (problem.name or "").startswith("renewagent"):
            raise
        raise ConfigurationError(
            f"The console is not installed here ({problem.name} is missing).",
            advice="Install it: pip install 'renewagent[console]'.",
        ) from problem
