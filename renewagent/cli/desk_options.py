"""What `token`, `softtoken` and `epcs` share: at which EPCS desk, who asks, for whom, and a session for one command.

Where there is no terminal nothing is asked: what is missing is named, all of it at once, and the exit status is 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.cli.at_terminal import Terminal, at_terminal, first_lines
from renewagent.errors import ConfigurationError, PersonStopped
from renewagent.language import N_, _

if TYPE_CHECKING:
    from renewagent.tokens.desk_client import DeskClient

STOPPED = N_("nothing was sent")


def add_desk_options(parser: argparse.ArgumentParser, *, others: bool = True) -> None:
    """Add --desk, --desk-root, --user, --password-file and --config; with `others` also --for."""
    from renewagent.agent.options import add_configuration_options

    desk = add_sign_in_options(parser)
    if others:
        desk.add_argument("--for", metavar="USER", dest="subject", help=_("an administrator's: whom it is about"))
    add_configuration_options(parser, overrides=False)


def add_sign_in_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --desk, --desk-root, --user and --password-file, as a group of their own."""
    desk = parser.add_argument_group(_("the EPCS desk"))
    desk.add_argument("--desk", metavar="URL", help=_("the console's address, https://; else desk.url"))
    desk.add_argument("--desk-root", metavar="FILE", type=Path, help=_("trust this certificate (PEM) as well"))
    desk.add_argument("--user", metavar="NAME", help=_("your user name in the EHR"))
    desk.add_argument(
        "--password-file", metavar="FILE", type=Path, help=_("holds your password there; without it you are asked")
    )
    return desk


def needed(arguments: argparse.Namespace, *options: tuple[str, object]) -> None:
    """What must be known before anything is sent: (option, its value). Raises ConfigurationError that names what is
    missing, where nobody can be asked."""
    if at_terminal():
        return
    who = (("--user NAME", arguments.user), ("--password-file FILE", arguments.password_file))
    missing = [option for option, value in (*who, *options) if value in (None, "", [])]
    if missing:
        raise ConfigurationError(
            _("Something is missing, and there is nobody to ask."),
            advice=_("Give {missing}; or run it at a terminal.").format(missing=", ".join(missing)),
        )


@contextmanager
def at_desk(arguments: argparse.Namespace) -> Iterator[DeskClient]:
    """Signed in at the desk, until the block ends. Raises ConfigurationError, DeskRefused, DeskUnreachable."""
    from renewagent.agent.console_sign_in import origin_of
    from renewagent.agent.options import configuration_of
    from renewagent.configuration import where_to_set
    from renewagent.tokens.desk_client import DeskClient

    configured = configuration_of(arguments).desk
    url = arguments.desk or configured.url
    if url is None:
        raise ConfigurationError(_("No EPCS desk is configured."), advice=where_to_set("desk.url", "--desk URL"))
    origin = origin_of(url.rstrip("/"))
    with DeskClient(origin, arguments.desk_root or configured.root) as desk:
        user, password = _who(arguments, origin)
        desk.sign_in(user, password)
        yield desk


def answer(arguments: argparse.Namespace, document: dict[str, Any], *sentences: str) -> int:
    """Tell what was done: as sentences, and with --json as the document. Returns the exit status 0."""
    for sentence in filter(None, sentences):
        say(sentence)
    if arguments.json:
        emit({"ok": True, **document})
    return 0


def answers_in(given: list[str]) -> dict[str, str]:
    """What --answer says beforehand. Raises ConfigurationError."""
    found = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign:
            raise ConfigurationError(
                _("--answer {one} names no question.").format(one=one),
                advice=_("Write it as --answer QUESTION=ANSWER."),
            )
        found[name] = value
    return found


def agreed(arguments: argparse.Namespace, question: str) -> None:
    """At a terminal, unless --yes is given, have the person say yes. Raises PersonStopped."""
    if arguments.yes or not at_terminal():
        return
    typed = Terminal(STOPPED).ask(f"{question} " + _("Type {yes}, then Enter: ").format(yes=_("yes"))).strip().lower()
    if typed not in ("y", "yes", _("yes").lower()):
        raise PersonStopped(_("You did not say yes: nothing was sent."))


def _who(arguments: argparse.Namespace, origin: str) -> tuple[str, str]:
    needed(arguments)
    terminal = Terminal(STOPPED)
    if not (arguments.user and arguments.password_file):
        from renewagent.agent.undumpable import undumpable

        undumpable()  # a password is typed here
        say(_("Sign in to the EPCS desk at {origin}, as in your EHR.").format(origin=origin))
    user = arguments.user or terminal.ask(_("User name: ")).strip()
    if arguments.password_file is None:
        return user, terminal.secret(_("Password"))
    found = first_lines(arguments.password_file)
    if not found or not found[0]:
        raise ConfigurationError(
            _("There is no password in {file}.").format(file=arguments.password_file),
            advice=_("Check the file."),
        )
    return user, found[0]
