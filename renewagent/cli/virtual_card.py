"""`renewagent virtual-card`: cards for CI and for trying things out. What it does lives with the fixtures."""

from __future__ import annotations

import argparse
import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.cli import virtual_card_bench, virtual_card_conformance, virtual_card_traces

PROFILES = ("plain", "extended")
KEYS = ("rsa2048", "rsa3072", "p256", "p384")
FAULTS = ("no-certificate", "damaged", "misfit")
MANAGEMENT_KEYS = ("default", "ra", "ra:3des", "ra:aes128", "ra:aes192", "ra:aes256")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `virtual-card create|list|serve|fleet`."""
    parser = subparsers.add_parser("virtual-card", help="make and serve virtual smartcards")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _register_create(commands)
    _register_list(commands)
    virtual_card_bench.register(commands)
    virtual_card_traces.register(commands)
    virtual_card_conformance.register(commands)


def _register_create(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "create",
        help="make a virtual card",
        description="Makes a PIV card in FILE: PIN 123456, PUK 12345678. With --ra, keys and certificates for "
        "9A and 9C come from that RA; with any of --subject, --key, --issued, --until, --ca, --issuer and --fault they "
        "are made on the spot, without a network; with none of them, both are empty.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="where to keep the card; must not exist")
    parser.add_argument("--profile", choices=PROFILES, default="plain", help="standard PIV, or Yubico's extensions too")
    parser.add_argument("--key", choices=KEYS, help="kind of the keys in 9A and 9C (default: rsa2048)")
    parser.add_argument("--issued", metavar="TIME", type=_time, help="notBefore of the certificates (default: now)")
    parser.add_argument("--until", metavar="TIME", type=_time, help="their notAfter (default: three years from now)")
    parser.add_argument("--ca", metavar="DIR", type=Path, help="keeps who issues them; made there at first use")
    parser.add_argument("--issuer", metavar="DN", help="the name of who issues them")
    parser.add_argument("--fault", choices=FAULTS, help="what is then the matter with the signing certificate in 9C")
    parser.add_argument("--ra", metavar="URL", help="the RA's CMP address")
    parser.add_argument("--ra-root", metavar="FILE", type=Path, help="the RA's root certificate, PEM")
    parser.add_argument("--ra-reference", metavar="R", help="names the shared secret")
    parser.add_argument("--ra-secret-file", metavar="F", type=Path, help="holds the shared secret")
    parser.add_argument("--subject", metavar="DN", help='whose card it is, such as "CN=Dr Ada Lamb,O=Example,C=GB"')
    parser.add_argument(
        "--management-key", choices=MANAGEMENT_KEYS, default="default", help="the factory's, or one that the RA keeps"
    )
    parser.set_defaults(run=_create)


def _register_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("list", help="tell what is on virtual cards")
    parser.add_argument(
        "paths", metavar="PATH", type=Path, nargs="*", help="card files, or folders of them (default: .)"
    )
    parser.set_defaults(run=_list)


def _time(text: str) -> datetime:
    """RFC 3339; a time without an offset is refused, as nobody knows what it means."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2020-09-29T08:00:00Z") from None
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write Z at its end for UTC")
    return time.astimezone(UTC)


def _fixture() -> Any:
    return importlib.import_module("renewagent_fixtures.virtual_card_command")  # by name: nothing above needs fixtures


def _create(arguments: argparse.Namespace) -> int:
    access = (arguments.ra, arguments.ra_root, arguments.ra_reference, arguments.ra_secret_file, arguments.subject)
    fixture = _fixture()
    return int(
        fixture.create(
            arguments.file,
            profile=arguments.profile,
            key=arguments.key,
            issued=arguments.issued,
            access=access,
            on_the_spot=fixture.OnTheSpot(arguments.until, arguments.ca, arguments.issuer, arguments.fault),
            management_key=arguments.management_key,
            as_json=arguments.json,
            now=datetime.now(UTC),
        )
    )


def _list(arguments: argparse.Namespace) -> int:
    return int(_fixture().list_cards(arguments.paths or [Path()], as_json=arguments.json))
