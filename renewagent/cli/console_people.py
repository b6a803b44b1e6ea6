"""`renewagent console person ...` and `renewagent console sign-in`: who may sign in, and signing in. Parsing and
telling only."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from renewagent.console.people import Entry

ADMINISTRATOR = "administrator"
"""In the audit log: whoever may run commands on the server."""
Part = Callable[[str], Any]
"""Gives a module of the console (`renewagent.cli.console.part`)."""


def register(commands: Any, part: Part) -> None:
    """Add the commands."""
    _add_sign_in(commands)
    person = commands.add_parser("person", help="who may sign in to the console")
    actions = person.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = actions.add_parser(
        "add",
        help="let somebody in",
        description="Lets somebody sign in by smartcard, through the sign-on proxy, with their EHR's password, or by "
        "several of these. The first RA Manager is made here; RA Managers add others in the console.",
    )
    _add_options(add)
    add.set_defaults(run=lambda arguments: _add(arguments, part))
    end = actions.add_parser("end", help="let somebody in no more, and end their sessions")
    end.add_argument("person", metavar="ID", help="as `person list` shows it")
    end.set_defaults(run=lambda arguments: _end(arguments, part))
    listed = actions.add_parser("list", help="everybody who may sign in")
    listed.add_argument("--all", action="store_true", help="and those who no longer may")
    listed.set_defaults(run=lambda arguments: _list(arguments, part))
    for parser in (add, end, listed):
        parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the console's settings (TOML)")


def _add_sign_in(commands: Any) -> None:
    from renewagent.agent.options import add_configuration_options

    parser = commands.add_parser(
        "sign-in",
        help="sign in to the console with your smartcard",
        description="Proves by your smartcard who you are, and opens the console in your browser. The passcode is "
        "asked for here and goes to the smartcard alone. With --json it prints the link, which signs in once.",
    )
    parser.add_argument("url", metavar="URL", help="the console's address, as its sign-in page shows it")
    parser.add_argument("--reader", metavar="NAME", help="only this reader, by its full name")
    parser.add_argument("--ca", metavar="FILE", type=Path, help="trust this certificate (PEM) for the console as well")
    add_configuration_options(parser, overrides=False)
    parser.set_defaults(run=_sign_in)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="what they are called; else as in their certificate")
    parser.add_argument(
        "--role",
        required=True,
        metavar="ROLE",
        help="ra-manager, ra-agent-advanced, ra-agent, sponsor, id-checker or local-smartcard-administrator; at the "
        "EPCS desk: epcs-administrator or prescriber",
    )
    parser.add_argument(
        "--organisation", action="append", required=True, metavar="CODE", help="may repeat; * alone for all"
    )
    card = parser.add_mutually_exclusive_group()
    card.add_argument("--certificate", type=Path, metavar="FILE", help="their certificate to sign in with (9A), PEM")
    card.add_argument("--subject", metavar="NAME", help="the name in it, as in 'CN=Nadia Osei,O=nhs,C=GB'")
    parser.add_argument("--account", metavar="NAME", help="their name at the sign-on proxy")
    parser.add_argument("--ehr", metavar="USER", help="their user name in the EHR, for the EPCS desk")
    parser.add_argument("--dea", metavar="NUMBER", help="their DEA registration number, for those who have one")


def _sign_in(arguments: argparse.Namespace) -> int:
    from renewagent.agent.console_sign_in_command import sign_in

    return sign_in(arguments)


def _add(arguments: argparse.Namespace, part: Part) -> int:
    people, role = part("people"), _role(arguments.role, part)
    name, subject = _named(arguments)
    accounts = (arguments.account or "", arguments.ehr or "", arguments.dea or "")
    newcomer = people.Newcomer(name, role, tuple(arguments.organisation), subject, *accounts)

    def work(connection: sa.Connection) -> Any:
        return people.add(connection, datetime.now(UTC), ADMINISTRATOR, newcomer, secrets.token_bytes)

    person = _with_store(arguments, part, work)
    if arguments.json:
        emit({"ok": True, "person": person.id, "name": person.name, "role": person.role.value})
    else:
        say(f"{person.name} ({person.id}) may sign in as {person.role.words}.")
    return 0


def _end(arguments: argparse.Namespace, part: Part) -> int:
    people = part("people")

    def work(connection: sa.Connection) -> Any:
        person = people.by_id(connection, arguments.person)
        if person is None:
            raise people.PeopleError(
                f"Nobody who may sign in has the id {arguments.person}.", advice="Look: renewagent console person list."
            )
        people.end(connection, datetime.now(UTC), ADMINISTRATOR, person)
        return person

    person = _with_store(arguments, part, work)
    if arguments.json:
        emit({"ok": True, "person": person.id})
    else:
        say(f"{person.name} ({person.id}) may not sign in any more.")
    return 0


def _list(arguments: argparse.Namespace, part: Part) -> int:
    found: list[Entry] = _with_store(arguments, part, part("people").everybody)
    shown = [one for one in found if arguments.all or one.ended is None]
    if arguments.json:
        emit({"ok": True, "people": [_document(one) for one in shown]})
        return 0
    for one in shown:
        person, codes = one.person, " ".join(sorted(one.person.organisations))
        ended = f", until {one.ended:%Y-%m-%d}" if one.ended else ""
        how = ", ".join(filter(None, (one.subject, one.account, person.ehr)))
        say(f"{person.id}  {person.name}: {person.role.words} for {codes} ({how}){ended}")
    if not shown:
        say("Nobody may sign in.")
    return 0


def _document(one: Entry) -> dict[str, object]:
    return {
        "person": one.person.id,
        "name": one.person.name,
        "role": one.person.role.value,
        "organisations": sorted(one.person.organisations),
        "subject": one.subject,
        "account": one.account,
        "ehr": one.person.ehr,
        "dea": one.person.dea,
        "added": f"{one.added:%Y-%m-%dT%H:%M:%SZ}",
        "ended": f"{one.ended:%Y-%m-%dT%H:%M:%SZ}" if one.ended else None,
    }


def _with_store(arguments: argparse.Namespace, part: Part, work: Callable[[sa.Connection], Any]) -> Any:
    settings = part("settings_file").load_settings(arguments.config)
    with closing(part("opening").open_store(settings)) as store:
        return store.writing(work)


def _role(text: str, part: Part) -> Any:
    roles = {role.value: role for role in part("permissions").Role}
    if text not in roles:
        raise ConfigurationError(f"There is no role {text!r}.", advice=f"Choose one of {', '.join(roles)}.")
    return roles[text]


def _named(arguments: argparse.Namespace) -> tuple[str, str]:
    """Their name, and the subject of their certificate ("" for none)."""
    name, subject = arguments.name or "", arguments.subject or ""
    if arguments.certificate is not None:
        from cryptography.hazmat.primitives.serialization import Encoding

        from renewagent.campaign.pem import read_certificates
        from renewagent.certificates import read_certificate
        from renewagent.names import format_name

        certificate = read_certificates(arguments.certificate)[0]
        subject = format_name(read_certificate(certificate.public_bytes(Encoding.DER)).subject)
    name = name or _common_name(subject)
    if not name:
        raise ConfigurationError("What are they called?", advice="Give --name NAME.")
    return name, subject


def _common_name(subject: str) -> str:
    """Nothing where there is none. What is wrong with the text is said where it is taken in."""
    from renewagent.names import OIDS, parse_name

    with suppress(ValueError):
        pairs = [pair for rdn in reversed(parse_name(subject)) for pair in sorted(rdn)]
        return next((value for kind, value in pairs if kind == OIDS["CN"]), "")
    return ""
