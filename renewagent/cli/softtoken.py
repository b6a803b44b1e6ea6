"""`renewagent softtoken ...`: phone apps that give one-time passwords. Parsing and telling only: the desk keeps the
run, `renewagent.tokens.guided_soft` follows it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.cli.at_terminal import Terminal, at_terminal
from renewagent.cli.desk_options import add_desk_options, agreed, answer, answers_in, at_desk, needed
from renewagent.errors import ConfigurationError, PersonStopped
from renewagent.language import N_, _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from renewagent.tokens.desk_client import DeskClient

_CAUSES = ("new-phone", "reinstalled", "certificate-renewed", "password-expired", "password-changed")
_STEPS = N_(
    "Notes the Device Username, removes the device and reads the EHR back until it is really gone, "
    "registers it again, enables EPCS under an override that is taken away at once, and has EPCS granted "
    "by two people. Whoever stops goes on with the same command. Exit status 0 once all of it is done, 1 "
    "while somebody else has to act."
)


def register(subparsers: Any) -> None:
    """Add the commands."""
    soft = subparsers.add_parser("softtoken", help=_('phone apps: "Soft Token Expired", and what to do about it'))
    commands = soft.add_subparsers(title=_("commands"), metavar="COMMAND", required=True)
    explain = commands.add_parser(
        "explain",
        help=_('why "Soft Token Expired"'),
        description=_(
            "Asks a few questions and says why, and what will be done. It needs no network; with --user the EPCS "
            "desk is asked first what the EHR and the vendor know."
        ),
    )
    explain.set_defaults(run=_explain)
    again = commands.add_parser("reregister", help=_("register the app anew, step by step"), description=_(_STEPS))
    again.add_argument("--cause", choices=_CAUSES, help=_("why; else you are asked"))
    again.add_argument(
        "--username",
        metavar="NAME",
        help=_("an administrator's, where the EHR shows no device: the Soft Token User Name"),
    )
    again.add_argument(
        "--wait",
        metavar="MINUTES",
        type=_minutes,
        help=_("wait so long for others (default: 30; 0 without a terminal)"),
    )
    again.set_defaults(run=_reregister)
    for parser in (explain, again):
        parser.add_argument(
            "--answer", metavar="QUESTION=ANSWER", action="append", default=[], help=_("beforehand (repeatable)")
        )
    for parser in (explain, again, _add_remind(commands), _add_abandon(commands)):
        add_desk_options(parser)


def _add_remind(commands: Any) -> argparse.ArgumentParser:
    remind: argparse.ArgumentParser = commands.add_parser(
        "remind",
        help=_("when the app's password and the certificate end, and how to renew"),
        description=_("Reminders come 90, 60, 30, 14, 7 and 1 days before."),
    )
    remind.add_argument("--ics", metavar="FILE", type=Path, help=_("write the days into a calendar file (iCalendar)"))
    remind.set_defaults(run=_remind)
    return remind


def _add_abandon(commands: Any) -> argparse.ArgumentParser:
    abandon: argparse.ArgumentParser = commands.add_parser(
        "abandon", help=_("give a registration up that is under way")
    )
    abandon.add_argument("--yes", action="store_true", help=_("do not ask whether you are sure"))
    abandon.set_defaults(run=_abandon)
    return abandon


def _explain(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.guided_soft import diagnosis_in_words, find_out, offline

    answers = answers_in(arguments.answer)
    terminal = Terminal(N_("nothing was changed")) if at_terminal() else None
    if arguments.user or arguments.password_file:
        needed(arguments)
        with at_desk(arguments) as desk:
            found = find_out(terminal, _by_desk(desk, arguments.subject), answers)
    else:
        found = find_out(terminal, offline(datetime.now(UTC)), answers)
    for line in diagnosis_in_words(found):
        say(line)
    say("\n" + _("To do it: renewagent softtoken reregister."))
    if arguments.json:
        emit({"ok": True, "diagnosis": found})
    return 0


def _by_desk(desk: DeskClient, user: str | None) -> Any:
    from renewagent.tokens.said import part

    def diagnose(answers: Mapping[str, str]) -> Any:
        said = desk.get("soft", "diagnosis", user=user, **answers)
        return part(said, "diagnosis") or said

    return diagnose


def _reregister(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.guided_soft import Following, state_of

    needed(arguments)
    minutes = arguments.wait if arguments.wait is not None else 30 if at_terminal() else 0
    with at_desk(arguments) as desk:
        run = _run_of(desk, arguments)
        try:
            run = Following(desk, say, minutes * 60).follow(run)
        except KeyboardInterrupt:
            raise PersonStopped(
                _("You stopped."), advice=_("Nothing is lost: the same command goes on from there.")
            ) from None
    done = state_of(run) == "done"
    if not done:
        say(_("It is not finished. Nothing is lost: run the same command again to go on."))
    if arguments.json:
        emit({"ok": done, "run": run})
    return 0 if done else 1


def _run_of(desk: DeskClient, arguments: argparse.Namespace) -> Mapping[str, Any]:
    """The one that is open, else a new one."""
    from renewagent.tokens.guided_soft import cause_of, diagnosis_in_words, find_out, run_in

    begun = _open_run(desk, arguments)
    if begun is not None:
        say(_("A registration that was begun earlier goes on."))
        return run_in(desk.get("soft", "runs", begun))
    cause = arguments.cause
    if cause is None:
        terminal = Terminal(N_("nothing was changed")) if at_terminal() else None
        found = find_out(terminal, _by_desk(desk, arguments.subject), answers_in(arguments.answer))
        for line in diagnosis_in_words(found):
            say(line)
        cause = cause_of(found)
    if cause is None:
        raise ConfigurationError(_("It is not known why the soft token expired."), advice=_("Give --cause CAUSE."))
    return run_in(desk.post("soft", "runs", cause=cause, user=arguments.subject, username=arguments.username))


def _open_run(desk: DeskClient, arguments: argparse.Namespace) -> str | None:
    """The id of the one that is under way."""
    from renewagent.tokens.said import parts, text

    runs = parts(desk.get("standing", user=arguments.subject), "runs")
    return next((text(run, "id") for run in runs if not run.get("finished")), None)


def _abandon(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.guided_soft import run_in, run_in_words

    needed(arguments)
    agreed(arguments, _("The registration is given up where it stands."))
    with at_desk(arguments) as desk:
        begun = _open_run(desk, arguments)
        if begun is None:
            raise ConfigurationError(_("No registration is under way."), advice=_("Look: renewagent epcs show."))
        run = run_in(desk.post("soft", "runs", begun, "abandon"))
    return answer(arguments, {"run": run}, *run_in_words(run))


def _remind(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import reminders_in_words

    needed(arguments)
    with at_desk(arguments) as desk:
        said = desk.get("soft", "reminders", user=arguments.subject)
    lines = reminders_in_words(said, datetime.now(UTC))
    if arguments.ics is not None:
        _write_calendar(arguments.ics, said)
        lines.append(_("The days are in {ics}: open it with your calendar.").format(ics=arguments.ics))
    return answer(arguments, said, *lines)


def _write_calendar(path: Path, said: Mapping[str, Any]) -> None:
    from renewagent.atomic import write_atomically
    from renewagent.tokens.calendar import ics
    from renewagent.tokens.desk_words import deadlines_in

    try:
        write_atomically(path, ics(deadlines_in(said), datetime.now(UTC)).encode(), mode=0o644)
    except OSError as problem:
        raise ConfigurationError(
            _("The file {path} cannot be written: {why}.").format(path=path, why=problem.strerror),
            advice=_("Check the name of the file."),
        ) from problem


def _minutes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1440:
        raise argparse.ArgumentTypeError(_("minutes are 0 to 1440, not {text}").format(text=repr(text)))
    return number
