"""The person's end of a renewal behind a page: a `Prompter` whose questions a browser answers.

The thread that serves the channel calls the prompter's methods and waits in them; the page's thread reads what is shown
and brings answers. What a state looks like is `renewagent.agent.window_states`; nothing here knows of HTTP, and no
passcode passes through the page: it is asked for elsewhere (`AsksPasscode`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from renewagent.agent import watching_words
from renewagent.agent import window_states as states
from renewagent.agent.prompts import CardAct
from renewagent.agent.window_states import Progress, Shown, Stage, Verb
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.language import _
from renewagent.model import CardIdentity
from renewagent.pin import Pin


class AsksPasscode(Protocol):
    """A safe place to type a passcode in (`renewagent.agent.passcode_entry`), for one renewal."""

    def hear(self, message: Message) -> None:
        """What the person was told."""

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`. Raises PersonStopped."""

    def close(self) -> None:
        """End a question that another thread has open, with PersonStopped there."""


class WindowPrompter:
    """A `Prompter`. `passcode` makes a place for each renewal; `stop` ends what the person says on the channel, as
    Ctrl-C at a terminal does."""

    def __init__(self, passcode: Callable[[], AsksPasscode], stop: Callable[[], object] = lambda: None) -> None:
        self._new_passcode, self._passcode = passcode, passcode()
        self._stop = stop
        self._changed = threading.Condition()
        self._shown = states.opening()
        self._listeners: list[Callable[[], object]] = []
        self._answer: Verb | None = None
        self._why_left: str | None = None
        self._holder, self._reader, self._filled = "", "", frozenset[str]()
        self._card: CardIdentity | None = None
        self._wanted: Message | None = None
        """What is said while a card is wanted back."""
        self._since = 0
        """The number of the page from which on its question and buttons are what they are."""

    # --- the renewal's side: see `Prompter` ---------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """See `Prompter`."""
        self._passcode.hear(message)
        wanted = self._wanted
        if message.kind in states.STATES:
            self._show(lambda now: states.becomes(now, message))
        elif message.kind == "wrong-card" and wanted is not None:
            self._show(lambda now: states.noted(states.becomes(now, wanted), message))
        else:
            self._show(lambda now: states.noted(now, message))

    def card_in_hand(self, reader: str, card: CardIdentity, holder: str, why: str) -> None:
        """See `Prompter`."""
        self._holder, self._reader, self._card = holder, reader, card
        self._show(lambda now: states.about(now, card, holder, reader))
        if why:
            self._show(lambda now: states.noted(now, Message("why", "", why)))

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        """See `Prompter`."""
        self._show(lambda now: states.running(now, Progress(step, of, text, seconds_left)))

    def confirm(self, message: Message) -> bool:
        """See `Prompter`."""
        with self._changed:
            self._answer = None
            self._put(states.becomes(self._shown, message))
            self._changed.wait_for(lambda: self._answer is not None or self._why_left is not None)
            if self._why_left is not None:
                raise PersonStopped(self._why_left)
            agreed = self._answer is Verb.YES
            if agreed:
                self._put(states.becomes(self._shown, states.working()))
            return agreed

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`."""
        if self.stopped():
            raise PersonStopped(self._why_left or _("You stopped the renewal."))
        self._show(lambda now: states.becomes(now, message))
        pin = self._passcode.ask_pin(card, tries_left, message)
        self._show(lambda now: states.becomes(now, states.working()))
        return pin

    def card_wanted(self, act: CardAct, reader: str, card: CardIdentity | None, message: Message) -> None:
        """See `Prompter`."""
        self._reader = reader
        if act is CardAct.INSERT:  # it is out, whoever is quicker to say so
            self._show(states.nameless)
        self.tell(message)
        self._wanted = message if act is CardAct.INSERT else None

    def stopped(self) -> bool:
        """See `Prompter`."""
        return self._why_left is not None

    # --- the page's side ----------------------------------------------------------------------------------------------

    def shown(self) -> Shown:
        """The page now."""
        with self._changed:
            return self._shown

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call `listener`, in whichever thread it happens, whenever the page changes."""
        with self._changed:
            self._listeners.append(listener)

    def pressed(self, verb: Verb, number: int) -> bool:
        """A button of the state `number` was pressed; False where that state is over, or has no such button."""
        with self._changed:
            if not self._since <= number <= self._shown.number or verb not in {
                button.verb for button in self._shown.buttons
            }:
                return False
            if verb is Verb.STOP:
                self._put(states.becomes(self._shown, watching_words.stopping()))
                self._why_left = _("You stopped the renewal.")
            else:
                self._answer = verb
            self._changed.notify_all()
        if verb is Verb.STOP:
            self._end()
        return True

    def leave(self, why: str) -> None:
        """The person is gone: whatever is asked is not answered any more."""
        with self._changed:
            self._why_left = self._why_left or why
            self._changed.notify_all()
        self._end()

    def readers_are(self, filled: Collection[str]) -> None:
        """Which readers hold a card. A name is shown while its card is in; a question about a card ends with it."""
        with self._changed:
            before, self._filled = self._filled, frozenset(filled)
            came, here = self._filled - before, self._reader in self._filled
            if self._card is None or self._shown.over:
                return
            if not here:
                self._put(states.nameless(self._shown))
                if self._shown.message.kind == "before":
                    self._why_left = _(states.CARD_LEFT)
            elif self._holder and not self._shown.holder:
                self._put(states.about(self._shown, self._card, self._holder, self._reader))
            if self._wanted is not None and before - self._filled:
                self._put(states.becomes(self._shown, self._wanted))
            if self._wanted is not None and came and not self._is_wrong():
                self._put(states.becomes(self._shown, states.card_back()))
            self._changed.notify_all()

    def _is_wrong(self) -> bool:
        """The renewal has looked at the card already, and was quicker than whoever saw it come."""
        return any(note.kind == "wrong-card" for note in self._shown.notes)

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Show how it ended; `result` is what `serve_channel` returned."""
        error = _error_of(result)
        with self._changed:
            self._answer = None
            more = self._shown.stage is Stage.DONE and any(note.kind == "more-cards" for note in self._shown.notes)
            if result is None:
                self._put(states.becomes(self._shown, states.agent_gone()))
            self._put(states.ended(self._shown, error, more=more))

    def begin_again(self) -> None:
        """A new renewal follows on the same page."""
        with self._changed:
            self._answer, self._why_left, self._passcode = None, None, self._new_passcode()
            self._holder, self._card = "", None
            self._put(states.becomes(_fresh(self._shown), states.looking()))

    def next_wish(self, patience: Callable[[], bool]) -> Verb:
        """After the end: AGAIN or CLOSE, whichever is pressed; CLOSE once `patience` (asked every second) is over."""
        with self._changed:
            while self._answer is None and patience():
                self._changed.wait(1.0)
            return self._answer or Verb.CLOSE

    def _end(self) -> None:
        self._passcode.close()
        self._stop()

    def _show(self, change: Callable[[Shown], Shown]) -> None:
        with self._changed:
            self._put(change(self._shown))

    def _put(self, shown: Shown) -> None:
        """With the lock held."""
        if (shown.message, shown.buttons) != (self._shown.message, self._shown.buttons):
            self._since = shown.number
        if self._wanted is not None and shown.message.kind not in (self._wanted.kind, "card-back"):
            self._wanted = None
        self._shown = shown
        self._changed.notify_all()
        for listener in self._listeners:
            listener()


def _fresh(shown: Shown) -> Shown:
    begun = states.opening()
    return Shown(shown.number, begun.message, begun.tone, begun.stage)


def _error_of(result: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """The error that the result document tells of, the last one where there are several."""
    if result is None:
        gone = states.agent_gone()
        return {"code": gone.code, "message": gone.body, "advice": gone.advice}
    if isinstance(result.get("error"), dict):
        return dict(result["error"])
    failed = [card["error"] for card in result.get("cards", ()) if isinstance(card.get("error"), dict)]
    return dict(failed[-1]) if failed else None
