"""`renewagent console ...`: the RA manager's server. Parsing and telling only."""

from __future__ import annotations

import argparse
import importlib
import secrets
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli import console_backup, console_people
from renewagent.cli.answer import emit, say
from renewagent.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

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
    enrol = commands.add_parser(
        "enrol",
        help="make a new fleet code for an organisation's workstations",
        description="Makes a code with which agents enrol by themselves (console.enrolment in their configuration). "
        "Earlier codes go on until they end.",
    )
    _with_config(enrol)
    enrol.add_argument("--organisation", required=True, metavar="CODE", help="the organisation's code, such as RX1")
    enrol.add_argument("--name", default="", help="its name, as the console shows it")
    enrol.add_argument("--days", type=int, default=30, metavar="N", help="how long it lasts (default: %(default)s)")
    enrol.set_defaults(run=_enrol)
    console_backup.register(commands, part)
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
        lines = [f"Agents reach the console at {facts.agents}, people at {facts.people}."]
        lines += [f"Its metrics are at {facts.operations}/metrics."] if facts.operations else []
        if facts.certificate:
            lines.append(f"No TLS certificate is configured: it uses {facts.certificate}, which nobody trusts as yet.")
        sys.stdout.write("\n".join(lines) + "\n")  # standard error is the log's
        sys.stdout.flush()

    serving.serve(settings, ready)
    return 0


def _enrol(arguments: argparse.Namespace) -> int:
    enrolment = part("enrolment")
    now = datetime.now(UTC)

    def work(connection: sa.Connection) -> str:
        code: str = enrolment.make_code(
            connection, now, secrets.token_bytes, arguments.organisation, name=arguments.name, days=arguments.days
        )
        return code

    with closing(part("opening").open_store(_settings(arguments))) as store:
        code = store.writing(work)
    ends = now + timedelta(days=arguments.days)
    if arguments.json:
        emit({"ok": True, "code": code, "organisation": arguments.organisation, "ends": f"{ends:%Y-%m-%dT%H:%M:%SZ}"})
    else:
        say(f"The code of {arguments.organisation}, good until {ends:%d %B %Y}. It is not kept here: note it now.")
        sys.stdout.write(f"{code}\n")
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
