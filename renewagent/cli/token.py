"""`renewagent token ...`: hardware tokens that give one-time passwords. Parsing and telling only: the desk does the
work, `renewagent.tokens.guided_token` and `guided_tickets` ask."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli import token_tickets
from renewagent.cli.answer import emit, say
from renewagent.cli.at_terminal import Terminal, at_terminal, first_lines
from renewagent.cli.desk_options import STOPPED, add_desk_options, agreed, answer, answers_in, at_desk, needed
from renewagent.errors import ConfigurationError
from renewagent.language import N_, _

if TYPE_CHECKING:
    from renewagent.tokens.desk_client import DeskClient

_LOST = ("lost", "stolen", "compromised")


def register(subparsers: Any) -> None:
    """Add the commands."""
    token = subparsers.add_parser("token", help=_("hardware tokens: why a code is refused, and what to do about it"))
    commands = token.add_subparsers(title=_("commands"), metavar="COMMAND", required=True)
    _add_explain(commands)
    show = commands.add_parser("show", help=_("your tokens, and what is under way for them"))
    show.set_defaults(run=_show)
    new = commands.add_parser("register", help=_("register a token by the serial number on its back"))
    new.add_argument("--serial", metavar="SERIAL", help=_("as the vendor's paper or the EHR has it"))
    _add_back(new)
    new.set_defaults(run=_register)
    resync = commands.add_parser(
        "resync",
        help=_("put a token in step again with two codes"),
        description=_(
            "Asks first whether the serial number on the screen is the one on the back of the token, then for "
            "One-Time Password 1 and 2. That helps for up to 75 presses that were not used."
        ),
    )
    resync.add_argument("--serial", metavar="SERIAL", help=_("which token; else the active one"))
    _add_back(resync)
    resync.add_argument(
        "--code-file", metavar="FILE", type=Path, help=_("two lines, the codes in their order (- for standard input)")
    )
    resync.set_defaults(run=_resync)
    _add_changes(commands)
    for parser in (show, new, resync):
        add_desk_options(parser)
    token_tickets.register(commands)


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help=_('why "Your OTP has been entered incorrectly"'),
        description=_(
            "Asks a few questions and says what is wrong and what to do. It needs no network. With --user it "
            "asks the EPCS desk first what is known of your token, and asks you less."
        ),
    )
    parser.add_argument(
        "--answer", metavar="QUESTION=ANSWER", action="append", default=[], help=_("an answer beforehand (repeatable)")
    )
    parser.add_argument(
        "--serial", metavar="SERIAL", help=_("with --user: from the back of the token; else the active")
    )
    add_desk_options(parser)
    parser.set_defaults(run=_explain)


def _add_changes(commands: Any) -> None:
    for name, said in (
        ("lost", _("report a token as lost or stolen: it is disabled at once, for good")),
        ("activate", _("have your spare token take over")),
        ("retire", _("give a token up that you no longer need")),
    ):
        parser = commands.add_parser(name, help=said)
        parser.add_argument("serial", metavar="SERIAL", help=_("as `token show` has it"))
        parser.add_argument("--yes", action="store_true", help=_("do not ask whether you are sure"))
        if name == "lost":
            parser.add_argument("--reason", choices=_LOST, required=True, help=_("what happened"))
        add_desk_options(parser)
        parser.set_defaults(run=globals()[f"_{name}"])


def _add_back(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--back", metavar="SERIAL", help=_("the serial number on the back, typed from there"))


def _explain(arguments: argparse.Namespace) -> int:
    from renewagent.tokens import explain
    from renewagent.tokens.desk_words import known_of_token
    from renewagent.tokens.guided_token import why

    answers = answers_in(arguments.answer)
    standing: dict[str, Any] | None = None
    if arguments.user or arguments.password_file:
        needed(arguments)
        with at_desk(arguments) as desk:
            standing = desk.get("standing", user=arguments.subject)
        now = datetime.now(UTC)
        answers = {**known_of_token(standing, arguments.serial, now), **answers}
    say(f"{explain.MESSAGE}\n")
    walked = why(Terminal(N_("nothing was changed")) if at_terminal() else None, answers)
    document = explain.to_json(walked)
    if isinstance(walked.at, explain.Ending):
        say(f"\n{_(walked.at.said)}\n{_(walked.at.advice)}")
        say(_(_NEXT.get(walked.at.step.value, "")))
    else:
        say(f"{_(walked.at.asks)} " + _("Give --answer {name}=ANSWER, one of:").format(name=walked.at.name))
        for choice in walked.at.choices:
            say(f"  {choice.key}: {_(choice.words)}")
    if arguments.json:
        emit({"ok": walked.is_over, **document, "findings": (standing or {}).get("findings", [])})
    return 0 if walked.is_over else 2


_NEXT = {
    "resync": N_("Run: renewagent token resync."),
    "reset": N_("Run: renewagent token reset."),
    "replace": N_("Run: renewagent token replace."),
    "spare": N_("Run: renewagent token activate SERIAL."),
    "register": N_("Run: renewagent token register."),
    "softtoken": N_("Run: renewagent softtoken explain."),
}


def _show(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import tickets_in_words, tokens_in_words

    needed(arguments)
    with at_desk(arguments) as desk:
        standing = desk.get("standing", user=arguments.subject)
        if arguments.subject is None:
            _note_seen(desk, standing)
    known = {name: standing.get(name, []) for name in ("person", "tokens", "tickets")}
    return answer(arguments, known, *tokens_in_words(standing), *tickets_in_words(standing))


def _note_seen(desk: DeskClient, standing: dict[str, Any]) -> None:
    """The prescriber is being told: what the vendor has done or refused is known to them from now on."""
    from renewagent.tokens.said import parts, text

    for ticket in parts(standing, "tickets"):
        if text(ticket, "state") in ("done", "refused") and not text(ticket, "notified"):
            desk.post("tickets", text(ticket, "id"), "seen")


def _register(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import registered
    from renewagent.tokens.guided_token import ask_back

    needed(arguments, ("--serial SERIAL", arguments.serial), ("--back SERIAL", arguments.back))
    with at_desk(arguments) as desk:
        terminal = Terminal(STOPPED)
        serial = arguments.serial or terminal.ask(_("The serial number, as the paper with the token has it: ")).strip()
        back = arguments.back or ask_back(terminal, serial, N_("You are about to register {serial}."))
        said = desk.post("tokens", serial=serial, back=back, user=arguments.subject)
    return answer(arguments, said, *registered(said, serial))


def _resync(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import resynchronised

    needed(arguments, ("--back SERIAL", arguments.back), ("--code-file FILE", arguments.code_file))
    with at_desk(arguments) as desk:
        said = resynchronise(desk, arguments)
    return answer(arguments, said, *resynchronised(said))


def resynchronise(desk: DeskClient, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the desk says of two codes. Raises FormError for another token's serial, before anything else is asked;
    DeskRefused."""
    from renewagent.tokens.guided_token import ask_back, ask_codes, in_use
    from renewagent.tokens.serials import normalised, same_token

    terminal = Terminal(STOPPED)
    wanted = None if arguments.serial is None else normalised(arguments.serial)
    serial = str(in_use(desk.get("standing", user=arguments.subject), wanted)["serial"])
    back = arguments.back or ask_back(terminal, serial)
    same_token(serial, back)
    codes = ask_codes(terminal) if arguments.code_file is None else _two_lines(arguments.code_file)
    return desk.post("tokens", serial, "resync", back=back, codes=codes, user=arguments.subject)


def _two_lines(path: Path) -> list[str]:
    found = [line.strip() for line in first_lines(path, 2)]
    if len(found) < 2 or not all(found):
        raise ConfigurationError(
            _("There are no two codes in {path}.").format(path=path), advice=_("One on each of its first two lines.")
        )
    return found


def _lost(arguments: argparse.Namespace) -> int:
    agreed(
        arguments, _("The token {serial} is disabled at once and never works again.").format(serial=arguments.serial)
    )
    return _change(
        arguments, "lost", N_("The token {serial} is disabled. It never works again."), reason=arguments.reason
    )


def _activate(arguments: argparse.Namespace) -> int:
    agreed(
        arguments,
        _("{serial} takes over; the token that is active now never works again.").format(serial=arguments.serial),
    )
    return _change(arguments, "activate", N_("The token {serial} is your active token now."))


def _retire(arguments: argparse.Namespace) -> int:
    agreed(arguments, _("The token {serial} never works again.").format(serial=arguments.serial))
    return _change(arguments, "retire", N_("The token {serial} is given up. It never works again."))


def _change(arguments: argparse.Namespace, what: str, done: str, **more: str) -> int:
    from renewagent.tokens.desk_words import advised
    from renewagent.tokens.serials import normalised

    needed(arguments)
    serial = normalised(arguments.serial)
    with at_desk(arguments) as desk:
        said = desk.post("tokens", serial, what, user=arguments.subject, **more)
    return answer(arguments, said, _(done).format(serial=serial), *advised(said))
