"""What a person reads about where the passcode is typed; the rest of their sentences is in `words`."""

from __future__ import annotations

from dataclasses import replace

from renewagent.agent.words import Message
from renewagent.errors import RenewAgentError
from renewagent.language import N_, _, ngettext
from renewagent.model import CardIdentity

TITLE = N_("Passcode (PIN)")
PROMPT = N_("Passcode:")
"""Beside the field of a small window."""
NOWHERE = N_(
    "Your passcode could not be asked for: no window for it could be opened. At a terminal, run: renewagent renew."
)


def in_a_window(card: CardIdentity) -> Message:
    """At a terminal, where the question itself is elsewhere."""
    body = _("Type the passcode (PIN) of the smartcard ending {ending} in the small window that opens.")
    return Message("pin-window", _(TITLE), body.format(ending=card.ending))


def before_at_pad(before: Message, times: int | None, *, at_least: bool) -> Message:
    """Asked once before a renewal starts, where the reader has keys of its own: how often they will be used."""
    if times is None:
        how = _("The card reader asks for the passcode several times: type it on the reader's own keys each time.")
    elif at_least:
        how = ngettext(
            "The card reader asks for the passcode at least {number} time: type it on the reader's own keys each time.",
            "The card reader asks for the passcode at least {number} times: "
            "type it on the reader's own keys each time.",
            times,
        ).format(number=times)
    else:
        how = ngettext(
            "The card reader asks for the passcode {number} time: type it on the reader's own keys each time.",
            "The card reader asks for the passcode {number} times: type it on the reader's own keys each time.",
            times,
        ).format(number=times)
    return replace(before, advice=" ".join(part for part in (how, before.advice) if part))


def at_pad(wanted: Message, number: int, of: int | None) -> Message:
    """The reader waits for the passcode: the `number`th time of about so many."""
    counted = of is not None and number <= of
    count = _("This is number {number} of {of}.").format(number=number, of=of) if counted else ""
    advice = " ".join(part for part in (_("Type it on the card reader, then press OK there."), count) if part)
    return replace(wanted, kind="pin-pad", advice=advice)


def typed_there() -> Message:
    """The reader has had the passcode as often as it wanted it for now."""
    return Message("working", _("Keep the smartcard in"), _("The card reader has passed your passcode on."))


def not_typed(error: RenewAgentError) -> Message:
    """Nobody typed anything on the reader while it waited."""
    return Message("pin-not-typed", _(TITLE), error.message, _("No try was used."), actions=(_("Ask again"), _("Stop")))


def pad_failed(error: RenewAgentError) -> Message:
    """The reader's own keys do not serve: the passcode is asked for elsewhere."""
    return Message("pin-pad-failed", _(TITLE), error.message, _("You will be asked for it at this computer."))
