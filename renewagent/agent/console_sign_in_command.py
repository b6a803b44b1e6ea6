"""What `renewagent console sign-in` does: prove by the card who sits here, and open the browser on the link that the
console gives for it.

The link is as good as a passcode for a minute: it stands on no command line, which others could read, but in a file of
mode 0600 that sends the browser on and is then removed.
"""

from __future__ import annotations

import argparse
import time
import webbrowser
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from renewagent.agent.browser import leading_to
from renewagent.agent.console_sign_in import ConsoleDoor, Link, SignInCard, origin_of, prove, sign_in_card
from renewagent.agent.control import runtime_folder
from renewagent.agent.options import configuration_of, contact_named
from renewagent.agent.passcode import RenewableCard
from renewagent.agent.ra_desk import utc_now
from renewagent.agent.terminal import TerminalPrompter, quiet
from renewagent.agent.undumpable import undumpable
from renewagent.agent.words import card_in_words
from renewagent.agent.workstation import card_opener, open_readers
from renewagent.cli.answer import emit, say
from renewagent.language import _
from renewagent.names import format_name

if TYPE_CHECKING:
    from renewagent.card.interface import CardConnection

_LONGEST_WAIT = 20.0
"""Seconds."""
Opens = Callable[[str], bool]
"""Opens an address in the person's browser; False where there is none."""


def sign_in(arguments: argparse.Namespace, opens: Opens = webbrowser.open) -> int:
    """Sign in at `arguments.url`. Raises what kept it from that."""
    undumpable()  # the passcode is typed here
    configuration, origin = configuration_of(arguments), origin_of(arguments.url)
    with (
        contact_named(configuration),
        closing(open_readers(configuration.card.readers)) as readers,
        closing(ConsoleDoor(origin, arguments.ca)) as door,
    ):
        opener = cast("Callable[[CardConnection], RenewableCard]", card_opener(configuration.card))
        with sign_in_card(readers, opener, arguments.reader) as mine, quiet():
            say(
                _("Signing in at {origin} with {card} in {reader}.").format(
                    origin=origin, card=card_in_words(mine.identity), reader=mine.reader
                )
            )
            nonce = door.challenge()
            proof = prove(mine, TerminalPrompter(), origin, nonce, utc_now)
        link = door.show(proof)
    if arguments.json:
        emit(_document(link, mine))
    else:
        _go(link, runtime_folder(configuration.agent.state_dir), opens)
    return 0


def _document(link: Link, mine: SignInCard) -> dict[str, object]:
    return {
        "ok": True,
        "link": link.address,
        "seconds": link.seconds,
        "name": link.name,
        "role": link.role,
        "card": str(mine.identity),
        "reader": mine.reader,
        "subject": format_name(mine.certificate.subject),
    }


def _go(link: Link, folder: Path, opens: Opens) -> None:
    with leading_to(link.address, _("Signing in"), folder) as page:
        say(
            _("You are {name}, {role}. Go on in your browser, within {seconds} seconds.").format(
                name=link.name, role=link.role, seconds=link.seconds
            )
        )
        if not opens(page.as_uri()):
            by_hand = _("No browser could be opened. Open this link in one yourself: it signs you in, once.")
            say(f"{by_hand}\n{link.address}")
            return
        _until_read(page, min(link.seconds, _LONGEST_WAIT))


def _until_read(page: Path, seconds: float) -> None:
    """Until a browser has read the file; where the system does not note that, for as long as one may take to start."""
    end, written = time.monotonic() + seconds, page.stat().st_mtime_ns
    try:
        while time.monotonic() < end and page.stat().st_atime_ns <= written:
            time.sleep(0.2)
        time.sleep(1)
    except KeyboardInterrupt:
        pass
