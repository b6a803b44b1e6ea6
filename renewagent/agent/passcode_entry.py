"""Where a person types the passcode of a card: the order of the ways, at the person's end of a renewal.

A reader's own PIN pad comes before all of these, at the card's end (`passcode`), and is never asked for here. What is
left is a pinentry program and the terminal. `PasscodeEntry.ask_pin` is a `Prompter`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from renewagent.agent import passcode_words
from renewagent.agent.assuan import PinentryFailed, Question
from renewagent.agent.pinentry import PATIENCE, Pinentry, has_display
from renewagent.agent.terminal import TerminalPrompter
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.language import _
from renewagent.model import CardIdentity
from renewagent.pin import Pin

AskPin = Callable[[CardIdentity, int | None, Message], Pin]
"""As `Prompter.ask_pin`."""

PAD, PINENTRY, TERMINAL = "pad", "pinentry", "terminal"
AT_TERMINAL = (PAD, TERMINAL)
"""What goes at a terminal unless `passcode.entry` says otherwise: who types there is asked there."""
BESIDE_WINDOW = (PAD, PINENTRY, TERMINAL)
"""What goes where a window is shown."""
_REFUSALS = frozenset({"wrong-pin", "pin-known-wrong", "pin-impossible"})


class PasscodeEntry:
    """The ways of `order` ("pinentry", "terminal"), one after the other until one can ask. `terminal` asks at the
    terminal, if there is one, whose path is `path` (None for a pipe)."""

    def __init__(
        self,
        order: Sequence[str],
        environment: Mapping[str, str],
        terminal: AskPin | None = None,
        path: str | None = None,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._pinentry = Pinentry(environment, path, patience=patience)
        ways: Mapping[str, AskPin | None] = {PINENTRY: self._ask_by_pinentry, TERMINAL: terminal}
        self._ways = [way for name in order if (way := ways.get(name)) is not None]
        self._refusal: Message | None = None

    def hear(self, message: Message) -> None:
        """What the person was told: why a passcode is asked for again stands in the next window."""
        if message.kind in _REFUSALS:
            self._refusal = message

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`. Raises PersonStopped for one who cancelled or took too long, and where nothing can ask."""
        try:
            for ask in self._ways:
                with suppress(PinentryFailed):
                    return ask(card, tries_left, message)
        finally:
            self._refusal = None
        raise PersonStopped(_(passcode_words.NOWHERE))

    def close(self) -> None:
        """End a window that another thread has open (the page was closed, say): PersonStopped there, now and later."""
        self._pinentry.close()

    def _ask_by_pinentry(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        said, refusal = (message.body, message.advice), self._refusal
        return self._pinentry.ask(
            Question(
                title=message.title,
                description="\n".join(part for part in said if part),
                prompt=_(passcode_words.PROMPT),
                error=" ".join((refusal.body, refusal.advice)).strip() if refusal is not None else "",
            )
        )


class PersonAtTerminal(TerminalPrompter):
    """A person at a terminal who types the passcode where `order` says."""

    def __init__(self, order: Sequence[str], source: int = 0, out: TextIO | None = None) -> None:
        super().__init__(source, out)
        path = os.ttyname(source) if os.isatty(source) else None
        self._windows = PINENTRY in order and has_display(os.environ)
        self._entry = PasscodeEntry(order, os.environ, super().ask_pin, path)

    def tell(self, message: Message) -> None:
        """See `Prompter`."""
        self._entry.hear(message)
        super().tell(message)

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`."""
        if self._windows:
            self.tell(passcode_words.in_a_window(card))
        return self._entry.ask_pin(card, tries_left, message)
