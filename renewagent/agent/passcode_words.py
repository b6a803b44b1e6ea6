"""What a person reads about where the passcode is typed; the rest of their sentences is in `words`."""

from __future__ import annotations

from renewagent.agent.words import Message, card_in_words
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
