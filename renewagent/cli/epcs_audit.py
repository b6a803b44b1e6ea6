"""`renewagent epcs audit` and `epcs incidents`: the report of each day, and what is to be reported. Parsing and telling
only."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.cli.at_terminal import Terminal
from renewagent.cli.desk_options import STOPPED, add_desk_options, answer, at_desk, needed

if TYPE_CHECKING:
    from renewagent.tokens.desk_client import DeskClient

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def register(commands: Any) -> None:
    """Add the commands."""
    audit = commands.add_parser(
        "audit",
        help="the audit report of a day",
        description="Everything that changed who may sign, and everything that was refused, on one calendar day "
        "(21 CFR 1311.150). Without --day it is yesterday's.",
    )
    audit.add_argument("--day", metavar="YYYY-MM-DD", type=_day, help="which day, in UTC")
    audit.add_argument("--seen", action="store_true", help="note that you have looked at it")
    audit.add_argument("--verify", action="store_true", help="check that nothing of the log was changed or left out")
    audit.set_defaults(run=_audit)
    incidents = commands.add_parser("incidents", help="security incidents, to be reported within one business day")
    incidents.add_argument("--draft", metavar="ID", help="the report of this one, as far as the desk can write it")
    incidents.add_argument("--report", metavar="ID", help="report this one, with --text")
    incidents.add_argument("--text", metavar="TEXT", help="what happened, and what was done about it")
    incidents.set_defaults(run=_incidents)
    for parser in (audit, incidents):
        add_desk_options(parser, others=False)


def _audit(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import report_in_words

    needed(arguments)
    with at_desk(arguments) as desk:
        if arguments.verify:
            return _verified(arguments, desk)
        day = arguments.day or _ago(days=1)
        said = desk.get("reports", day)
        if arguments.seen:
            said = desk.post("reports", day, "seen")
    return answer(arguments, said, *report_in_words(said, day))


def _verified(arguments: argparse.Namespace, desk: DeskClient) -> int:
    """The log is looked at now: the report of a day that is not over is made anew each time it is asked for."""
    from renewagent.tokens.desk_words import whole_in_words
    from renewagent.tokens.errors import DeskRefused
    from renewagent.tokens.said import part

    try:
        said = desk.get("reports", _ago(days=0))
    except DeskRefused:  # where the desk is, that day has not begun
        said = desk.get("reports", _ago(days=1))
    report = part(said, "report") or said
    for sentence in whole_in_words(report):
        say(sentence)
    whole = part(report, "log").get("whole") is True
    if arguments.json:
        emit({"ok": whole, "log": report.get("log")})
    return 0 if whole else 1


def _ago(*, days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d")


def _incidents(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import incidents_in_words

    text = (("--text TEXT", arguments.text),) if arguments.report else ()
    needed(arguments, *text)
    report = arguments.text
    if arguments.report and not report:
        report = Terminal(STOPPED).ask("What happened, and what was done about it: ").strip()
    with at_desk(arguments) as desk:
        if arguments.report:
            said = desk.post("incidents", arguments.report, "report", text=report)
            return answer(arguments, said, f"Incident {arguments.report} is reported.")
        if arguments.draft:
            said = desk.get("incidents", arguments.draft, "draft")
            return answer(arguments, said, str(said.get("draft", "")))
        said = desk.get("incidents")
    return answer(arguments, said, *incidents_in_words(said))


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"a day such as 2026-11-21 is wanted, not {text!r}")
    return text
