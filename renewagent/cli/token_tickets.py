"""`renewagent token reset|replace|spare`: the forms of the vendor's support desk. Parsing and telling only."""

from __future__ import annotations

import argparse
import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import say
from renewagent.cli.at_terminal import Terminal, at_terminal
from renewagent.cli.desk_options import STOPPED, add_desk_options, answer, at_desk, needed
from renewagent.language import N_, _

if TYPE_CHECKING:
    from renewagent.tokens.desk_client import DeskClient
    from renewagent.tokens.guided_tickets import Ticket

_KINDS = {"reset": "reset", "replace": "replacement", "spare": "spare"}
_WHAT = N_(
    "At a terminal every line of the form is asked for and checked. --form FILE fills lines in "
    "beforehand (JSON or TOML, by their names in small letters); without a terminal it must hold all "
    "that is needed."
)

_PICTURES = (
    ("front", N_("a picture of the front")),
    ("back", N_("a picture of the back")),
    ("error", N_("a picture of the error message")),
)


def register(commands: Any) -> None:
    """Add the commands."""
    for name, said in (
        ("reset", _("have the vendor reset a token that two codes could not put in step")),
        ("replace", _("have a broken token replaced")),
        ("spare", _("order a second token, to keep as a backup")),
    ):
        parser = commands.add_parser(name, help=said, epilog=_(_WHAT))
        parser.add_argument("--form", metavar="FILE", type=Path, help=_("the form's lines by name, as JSON or TOML"))
        for side, what in _PICTURES if name == "replace" else ():
            parser.add_argument(
                f"--picture-{side}" if side != "error" else "--error-picture",
                metavar="FILE",
                type=Path,
                dest=f"picture_{side}",
                help=_(what),
            )
        add_desk_options(parser)
        parser.set_defaults(run=_file, kind=_KINDS[name])


def _file(arguments: argparse.Namespace) -> int:
    from renewagent.tokens.desk_words import filed

    needed(arguments, ("--form FILE", arguments.form))
    ticket = _ticket(arguments)
    _check_unasked(ticket)
    with at_desk(arguments) as desk:
        if at_terminal():
            outcome = _ask(desk, ticket, arguments)
            if outcome is not None:
                return outcome
        said = desk.post("tickets", user=arguments.subject, **ticket.document())
    return answer(arguments, said, *filed(said, ticket.kind))


def _ticket(arguments: argparse.Namespace) -> Ticket:
    from renewagent.tokens.form_files import fill_in
    from renewagent.tokens.guided_tickets import Ticket

    ticket = Ticket(arguments.kind)
    if arguments.form is not None:
        fill_in(ticket, arguments.form)
    for side in ("front", "back", "error"):
        if (path := getattr(arguments, f"picture_{side}", None)) is not None:
            ticket.add_picture(side, path)
    for sentence in ticket.told:
        say(sentence)
    return ticket


def _check_unasked(ticket: Ticket) -> None:
    """Where nobody can be asked, what is wrong is said before anybody signs in, all of it."""
    if at_terminal():
        return
    # Which kinds of tokens there are, the desk knows better: an administrator may have added some.
    wrong = [fault for fault in ticket.faults() if fault.field != "serial" or not ticket.typed.get("serial")]
    for fault in wrong[1:]:
        say(fault.message)
    if wrong:
        raise wrong[0]


def _ask(desk: DeskClient, ticket: Ticket, arguments: argparse.Namespace) -> int | None:
    """Have the form filled in. Returns the exit status where no ticket is needed any more."""
    from renewagent.tokens.guided_tickets import TicketGuide, profiles_in
    from renewagent.tokens.said import part, text

    standing = desk.get("standing", user=arguments.subject)
    if ticket.kind == "reset" and (status := _resync_first(desk, standing, arguments)) is not None:
        return status
    if name := text(part(standing, "person"), "name"):
        ticket.typed.setdefault("provider", name)
    ticket.table = (*profiles_in(standing), *ticket.table)
    TicketGuide(Terminal(STOPPED), ticket).run()
    return None


def _resync_first(desk: DeskClient, standing: dict[str, Any], arguments: argparse.Namespace) -> int | None:
    """Always try two codes first. Returns the exit status where that has helped, None where the ticket is needed."""
    from renewagent.cli.token import resynchronise
    from renewagent.tokens.desk_words import resynchronised
    from renewagent.tokens.errors import DeskRefused
    from renewagent.tokens.guided_token import in_use, refused_lately

    token = in_use(standing)
    if refused_lately(token, datetime.now(UTC)):
        return None
    say(_("Two codes come first: most tokens are in step again after that, and need no ticket."))
    given = copy.copy(arguments)
    given.serial = given.back = given.code_file = None
    try:
        said = resynchronise(desk, given)
    except DeskRefused as refusal:
        if refusal.code != "RA-TOKEN-REFUSED":
            raise
        needs = _("If they were typed in their order, it takes the vendor, who needs this:")
        say(f"{refusal.message} {needs}\n")
        return None
    return answer(arguments, said, *resynchronised(said), _("No ticket is needed."))
