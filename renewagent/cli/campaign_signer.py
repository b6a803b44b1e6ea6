"""Who signs: the options that `campaign sign` and its likes share, and one signature by a key file or a smartcard."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from renewagent.cli.answer import say
from renewagent.cli.campaign_files import advised
from renewagent.errors import ConfigurationError, PersonStopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from renewagent.agent.passcode import RenewableCard
    from renewagent.card.interface import CardConnection

_LONGEST_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed campaign (DER), who signed it, and where that was where it was a card."""

    octets: bytes
    signer: str
    card: dict[str, str] = field(default_factory=dict)


def add_signer_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add --key, --card and what belongs to them."""
    which = parser.add_mutually_exclusive_group(required=required)
    which.add_argument(
        "--key", metavar="FILE", type=Path, help="the signer's private key and certificates, PEM or PKCS#12"
    )
    which.add_argument("--card", action="store_true", help="sign with the campaign signer's smartcard that is inserted")
    more = parser.add_argument_group("more about the signer")
    more.add_argument(
        "--password-file", metavar="FILE", type=Path, help="holds the password of --key; without it you are asked"
    )
    more.add_argument("--reader", metavar="NAME", help="with --card: only this reader, by its full name")
    more.add_argument("--slot", metavar="SLOT", help="with --card: only this slot, such as 9C")
    more.add_argument("--chain", metavar="PEM", type=Path, help="with --card: certificates between signer and anchor")
    more.add_argument("--config", metavar="FILE", type=Path, help="with --card: the configuration that names readers")


def signs(arguments: argparse.Namespace) -> bool:
    """Whether a signature is asked for. Raises ConfigurationError for options without what they belong to."""
    belong = {"--key": ("password_file",), "--card": ("reader", "slot", "chain", "config")}
    for option, names in belong.items():
        for name in names:
            if getattr(arguments, name) is not None and not getattr(arguments, option[2:]):
                stray = f"--{name.replace('_', '-')}"
                raise ConfigurationError(f"{stray} goes with {option}.", advice="Give both, or neither.")
    return arguments.key is not None or arguments.card


def sign(document: bytes, arguments: argparse.Namespace, now: datetime) -> Signed:
    """Sign `document` as the options say. Raises CampaignError, ConfigurationError, and what cards raise."""
    return _by_card(document, arguments, now) if arguments.card else _by_file(document, arguments, now)


def _by_file(document: bytes, arguments: argparse.Namespace, now: datetime) -> Signed:
    from renewagent.campaign.pem import read_signer
    from renewagent.campaign.sign import sign_campaign

    signer = read_signer(arguments.key, lambda: _password(arguments))
    with advised(f"Give --key a file with the key and certificate of a campaign signer; {arguments.key} is not one."):
        signed = sign_campaign(document, signer, now)
    return Signed(signed, signer.certificate.subject.rfc4514_string())


def _by_card(document: bytes, arguments: argparse.Namespace, now: datetime) -> Signed:
    from renewagent.agent.terminal import TerminalPrompter, quiet
    from renewagent.agent.undumpable import undumpable
    from renewagent.agent.workstation import card_opener, open_readers
    from renewagent.campaign.signing_card import sign_by_card, signing_card
    from renewagent.configuration import load
    from renewagent.model import Slot

    undumpable()  # the passcode is typed here
    chain = _chain(arguments.chain)
    settings = load(arguments.config).card
    opener = cast("Callable[[CardConnection], RenewableCard]", card_opener(settings))
    slot = None if arguments.slot is None else Slot(arguments.slot.lower())
    with (
        closing(open_readers(settings.readers)) as readers,
        signing_card(readers, opener, reader=arguments.reader, slot=slot) as signer,
    ):
        say(
            f"Signing as {signer.name}, with the smartcard ending {signer.identity.ending} "
            f"in {signer.reader}, slot {signer.slot}."
        )
        with advised("Sign with the smartcard of a campaign signer."), quiet():
            try:
                signed = sign_by_card(document, signer, TerminalPrompter(), now, chain)
            except PersonStopped as stop:
                raise PersonStopped(
                    "No passcode was typed: the campaign is not signed.",
                    advice="Run it again at a terminal, or give the passcode on standard input.",
                ) from stop
        where = {"card": str(signer.identity), "reader": signer.reader, "slot": str(signer.slot)}
        return Signed(signed, signer.name, where)


def _chain(path: Path | None) -> tuple[x509.Certificate, ...]:
    from renewagent.campaign.pem import read_certificates

    return () if path is None else read_certificates(path)


def _password(arguments: argparse.Namespace) -> bytes:
    """From its file, the terminal, or one line of standard input."""
    if arguments.password_file is not None:
        return _first_line(arguments.password_file)
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"Password of {arguments.key} (it is not shown): ", sys.stderr).encode()
    typed = sys.stdin.readline(_LONGEST_PASSWORD)
    if not typed:
        raise ConfigurationError(
            f"{arguments.key} is protected by a password, and none was given.",
            advice="Run it at a terminal, or give --password-file FILE.",
        )
    return typed.rstrip("\r\n").encode()


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(_LONGEST_PASSWORD).rstrip(b"\r\n")
    except OSError as problem:
        raise ConfigurationError(
            f"The file {path} cannot be read: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
