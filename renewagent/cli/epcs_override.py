"""`renewagent epcs override give|end|list`: the administrator override, which is lent for minutes. Parsing and telling
only."""

from __future__ import annotations

import argparse
from typing import Any

from renewagent.cli.at_terminal import Terminal
from renewagent.cli.desk_options import STOPPED, add_desk_options, answer, at_desk, needed
from renewagent.cli.kinds import count

_WHAT = """The permission "Administrator (Overrides Role Based Permissions)" is lent for one purpose and taken back the
moment that is served; it ends by itself, too. Nobody gives it to themself."""


def register(commands: Any) -> None:
    """Add the commands."""
    override = commands.add_parser("override", help="lend somebody the administrator override, for minutes")
    actions = override.add_subparsers(title="commands", metavar="COMMAND", required=True)
    give = actions.add_parser("give", help="lend it", epilog=_WHAT)
    give.add_argument(
        "--purpose", metavar="NAME", default="enabling EPCS", help="what for, in words (default: %(default)s)"
    )
    give.add_argument("--minutes", metavar="N", type=count, help="for so long at the most; else as the console has it")
    give.set_defaults(run=_give)
    end = actions.add_parser("end", help="take it back now")
    end.add_argument("override", metavar="ID", help="as `epcs override list` shows it")
    end.set_defaults(run=_end)
    listed = actions.add_parser("list", help="overrides that stand")
    listed.set_defaults(run=_list)
    for parser, others in ((give, True), (end, False), (listed, True)):
        add_desk_options(parser, others=others)


def _give(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import lent

    needed(arguments, ("--for USER", arguments.subject))
    with at_desk(arguments) as desk:
        user = arguments.subject or Terminal(STOPPED).ask("To whom (user name in the EHR): ").strip()
        said = desk.post("overrides", user=user, purpose=arguments.purpose, minutes=arguments.minutes)
    return answer(arguments, said, *lent(said, user))


def _end(arguments: argparse.Namespace) -> int:
    needed(arguments)
    with at_desk(arguments) as desk:
        said = desk.post("overrides", arguments.override, "end")
    return answer(arguments, said, "The override is taken back, and the EHR shows that it is gone.")


def _list(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import overrides_in_words

    needed(arguments)
    with at_desk(arguments) as desk:
        every = arguments.subject is None and desk.person.get("role") == "epcs-administrator"
        said = desk.get("overrides") if every else desk.get("standing", user=arguments.subject)
    return answer(arguments, {"overrides": said.get("overrides", [])}, *overrides_in_words(said))
