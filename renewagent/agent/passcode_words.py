"""What a person reads about where the passcode is typed; the rest of their sentences is in `words`."""

from __future__ import annotations

from dataclasses import replace

from renewagent.agent.words import Message, card_in_words
from renewagent.errors import RenewAgentError
from renewagent.model import CardIdentity

PROMPT = "Passcode:"
"""Beside the field of a small window."""
NOWHERE = (
    "Your passcode could not be asked for: no window for it could be opened. At a terminal, run: renewagent renew."
)


def in_a_window(card: CardIdentity) -> Message:
    """At a terminal, where the question itself is elsewhere."""
    body = f"Type the passcode (PIN) of {card_in_words(card)} in the small window that opens."
    return Message("pin-window", "Passcode (PIN)", body)


def before_at_pad(before: Message, times: int | None, *, at_least: bool) -> Message:
    """Asked once before a renewal starts, where the reader has keys of its own: how often they will be used."""
    count = "several times" if times is None else f"{'at least ' if at_least else ''}{times} times"
    how = f"The card reader asks for the passcode {count}: type it on the reader's own keys each time."
    return replace(before, advice=" ".join(part for part in (how, before.advice) if part))


def at_pad(wanted: Message, number: int, of: int | None) -> Message:
    """The reader waits for the passcode: the `number`th time of about so many."""
    count = f"This is number {number} of {of}." if of is not None and number <= of else ""
    advice = " ".join(part for part in ("Type it on the card reader, then press OK there.", count) if part)
    return replace(wanted, kind="pin-pad", advice=advice)


def typed_there() -> Message:
    """The reader has had the passcode as often as it wanted it for now."""
    return Message("working", "Keep the smartcard in", "The card reader has passed your passcode on.")


def not_typed(error: RenewAgentError) -> Message:
    """Nobody typed anything on the reader while it waited."""
    return Message("pin-not-typed", "Passcode (PIN)", error.message, "No try was used.", actions=("Ask again", "Stop"))


def pad_failed(error: RenewAgentError) -> Message:
    """The reader's own keys do not serve: the passcode is asked for elsewhere."""
    return Message("pin-pad-failed", "Passcode (PIN)", error.message, "You will be asked for it at this computer.")
