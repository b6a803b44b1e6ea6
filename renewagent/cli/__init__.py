"""The `renewagent` command: argument parsing only, one module per audience.

Each module of `_AUDIENCES` has `register(subparsers)`, which adds its commands and sets `run` (a function that takes
the parsed arguments and returns the exit status) as a default of each. It imports what a command needs when the command
is called, so that `renewagent --help` stays quick and the resident agent stays small. `--json` and `--debug` are added
to every command here. A command answers through `renewagent.cli.answer`; errors are told, and turned into the exit
status (0 done, 1 did not succeed, 2 wrong usage or configuration), in `main`, once for all of them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from renewagent import __version__
from renewagent.cli import argparse_words, mishaps
from renewagent.cli.answer import report, say
from renewagent.errors import ConfigurationError, RenewAgentError
from renewagent.language import _, stay_english

_AUDIENCES = (
    *("demo", "prescriber", "doctor", "service", "campaign", "check", "console", "audit"),
    *("token", "softtoken", "epcs"),
    *("virtual_card", "mock_ra", "mock_epcs"),
)


_OF_PERSONS = frozenset({"", "demo", "agent", "status", "inspect", "renew", "doctor", "service", "token", "softtoken"})
"""Commands that speak the person's language. The others are administrators', servers' and testers'."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, and takes no abbreviations: scripts depend on the full names."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})  # type: ignore[arg-type]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's; but what a sub-command does not know it refuses itself, with its own usage."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(_("unrecognized arguments: %s") % " ".join(unknown))
        return parsed, []

    def error(self, message: str) -> NoReturn:
        raise mishaps.UsageError(
            f"{message[:1].upper()}{message[1:]}.", usage=self.format_usage().rstrip(), program=self.prog
        )


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Parsed arguments carry `run`, `json` and `debug`."""
    parser: argparse.ArgumentParser = _Parser(
        prog="renewagent",
        description=_("Finds badly issued signing certificates on smartcards and renews them safely."),
    )
    known = _("show program's version number and exit")
    parser.add_argument("--version", action="version", version=f"renewagent {__version__}", help=known)
    subparsers = parser.add_subparsers(title=_("commands"), metavar="COMMAND", required=True)
    for audience in _AUDIENCES:
        importlib.import_module(f"renewagent.cli.{audience}").register(subparsers)
    _add_shared_options(parser)
    parser.set_defaults(json=False, debug=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. Prints no traceback unless `--debug` is given."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        status = _answer(words)
    except OSError:  # there is nowhere left to tell it
        status = 1
    return status if _flushed() else 1


def _run(words: Sequence[str]) -> int:
    command = next((word for word in words if not word.startswith("-")), "")
    if command in _OF_PERSONS:
        argparse_words.lend_catalogue()
    else:
        stay_english()
    if not words:
        build_parser().print_help()
        return 2
    try:
        arguments = build_parser().parse_args(words)
        status: int = arguments.run(arguments)
    except SystemExit as done:  # --help and --version
        status = done.code if isinstance(done.code, int) else 0
    sys.stdout.flush()
    return status


def _answer(words: Sequence[str]) -> int:
    try:
        return _run(words)
    except BrokenPipeError:  # whoever read our output has seen enough
        return 1
    except (Exception, KeyboardInterrupt) as problem:
        error = _in_our_words(problem)
        if "--debug" in words:
            _show_traceback(problem)
    if isinstance(error, mishaps.UsageError):
        say(error.usage)
    report(error, as_json="--json" in words)
    return 2 if isinstance(error, mishaps.UsageError | ConfigurationError) else 1


def _flushed() -> bool:
    """False if standard output cannot be written; the interpreter's own last flush is then kept from failing aloud."""
    try:
        sys.stdout.flush()
    except OSError:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
        return False
    return True


def _in_our_words(problem: BaseException) -> RenewAgentError:
    if isinstance(problem, RenewAgentError):
        return problem
    if isinstance(problem, KeyboardInterrupt):
        return mishaps.stopped()
    if isinstance(problem, OSError):
        return mishaps.refused(problem)
    from datetime import UTC, datetime

    from platformdirs import user_state_path

    return mishaps.unexpected(problem, now=datetime.now(UTC), folder=user_state_path("renewagent"))


def _show_traceback(problem: BaseException) -> None:
    import traceback

    say("".join(traceback.format_exception(problem)).rstrip())


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` and all below it --json and the hidden --debug, and the words that the list of commands has."""
    # Their defaults are the top parser's: a default here would overwrite what stood before the sub-command's name.
    known = parser._option_string_actions
    if "--json" not in known:
        parser.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help=_("print one JSON document on standard output"),
        )
    if "--debug" not in known:
        parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words = {listed.dest: listed.help for listed in action._choices_actions}
            for name, child in action.choices.items():
                child.description = child.description or words.get(name)
                _add_shared_options(child)
