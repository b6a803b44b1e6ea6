"""After a renewal, the card or a program that reads it may still show the old certificate: how that is found out, what
is done about it, and what the person is told.

A card that has lost what was written to it gets it once more. Other programs read the card through the vendor's PKCS#11
module, where one is configured: it is asked in a child, since it may crash, and many keep copies of what they read.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import cast

from renewagent.agent.children import ask_child, hand_over
from renewagent.agent.full_inspection import error_document
from renewagent.agent.job import Job, sha256
from renewagent.agent.words import Message
from renewagent.card.interface import TellsKeys
from renewagent.certificates import public_key
from renewagent.errors import CardDataError, RenewAgentError
from renewagent.language import N_, _
from renewagent.model import CardIdentity
from renewagent.renewal import Way

log = logging.getLogger(__name__)

SHOWS_OLD = N_("The smartcard still shows its old certificate.")
LIMIT = 20.0
"""Seconds that the vendor's software may take to tell."""
ShownBySoftware = Callable[[str], Collection[str]]
"""The certificates (SHA-256, lowercase hex) that other programs see in the reader of that name. Raises AgentError."""


def shows_old(job: Job) -> bool:
    """Whether the card shows the old certificate, or none, where the new one was put. Raises CardDataError for any
    other, which somebody else has written."""
    shown = job.card.certificate(job.new_slot)
    if shown == job.fact("certificate"):
        return False
    if shown is not None and sha256(shown) != job.old_sha256:
        raise CardDataError(
            _("The smartcard holds another certificate than the one that it was given."),
            advice=_("Run: renewagent renew. The smartcard is then checked anew."),
        )
    return True


def write_again(job: Job) -> None:
    """The new certificate, beside its key: the card has lost it. Not where another key has taken that one's place."""
    certificate, slot = job.fact("certificate"), job.new_slot
    tells = bool(getattr(job.card, "staging_slots", tuple[object, ...])())
    if job.renewal.way is Way.C or (tells and cast(TellsKeys, job.card).public_key(slot) != public_key(certificate)):
        return
    log.warning("card.written_again slot=%s", slot)
    job.administering(lambda session: session.store(slot, certificate))
    job.passcode.drop()


def keeps_old() -> CardDataError:
    """It was put in again, and written again, and nothing helped."""
    again = _("It did so again after it was taken out and put back in.")
    return CardDataError(
        f"{_(SHOWS_OLD)} {again}",
        advice=_(
            "Do not sign with it. Try it at another computer; if that is no different, the smartcard is faulty: "
            "ask your Registration Authority for a new one."
        ),
    )


def software_shows_old(job: Job) -> bool | None:
    """Whether the vendor's software shows the old certificate, and not the new one that we have read from the card;
    None where there is none, or it tells nothing."""
    ask = job.place.shown_by_software
    if ask is None or job.renewal.way is Way.C:  # there our own driver has read it by that very software
        return None
    try:
        shown = ask(job.reader)
    except RenewAgentError as error:
        log.warning("software.not_asked reason=%s", error.message)
        return None
    if sha256(job.fact("certificate")) in shown:
        return False
    return True if job.old_sha256 in shown else None


def card_message(card: CardIdentity) -> Message:
    """The card itself shows the old one."""
    why = _("Some smartcards and readers show what they read before until they lose their power.")
    title = _("Take out the smartcard ending {ending} once more").format(ending=card.ending)
    return Message("shows-old", title, f"{_(SHOWS_OLD)} {why}", _("Wait a few seconds, then put it in."))


def software_message(card: CardIdentity) -> Message:
    """The card is right, and other programs will not see it."""
    body = _(
        "Your renewal is complete: the smartcard ending {ending} has its new certificate. But the smartcard software "
        "of this computer still shows the old one, from a copy that it kept. Programs that use it may refuse to sign."
    ).format(ending=card.ending)
    advice = _(
        "Close the programs that you sign with, take the smartcard out, put it back in and start them again. If that "
        "does not help, sign out of this computer and in again, or ask your IT support to clear the software's copies."
    )
    return Message("software-shows-old", _("Your programs still see the old certificate"), body, advice)


def shown_by_software(module: Path) -> ShownBySoftware:
    """Asks this PKCS#11 module, each time in a process of its own."""

    def ask(reader: str) -> Collection[str]:
        said = ask_child("renewagent.agent.stale", ["--module", str(module), "--reader", reader], LIMIT)
        return frozenset(str(one) for one in said.get("certificates", ()))

    return ask


def main(words: list[str]) -> int:
    """That process: prints `{"ok", "certificates"}`, or an error document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", type=Path, required=True)
    parser.add_argument("--reader", required=True)
    arguments = parser.parse_args(words)
    from renewagent_drivers.pkcs11 import certificates_shown  # which loads somebody else's code

    try:
        shown = certificates_shown(arguments.module, arguments.reader)
        hand_over({"ok": True, "certificates": [sha256(der) for der in shown]})
    except RenewAgentError as error:
        hand_over({"ok": False, "error": error_document(error)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
