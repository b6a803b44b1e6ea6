"""The process behind the window: it begins the renewal, serves its page on loopback while it runs, and opens a browser
on it. Nothing stays: it ends when the renewal has ended and that was seen, or when nobody has been there for long.

`python -m renewagent.agent.window_child [--reader NAME] [configuration options]`, from a notification; by hand,
`renewagent renew --browser` is the same. It prints one JSON document, the result. What it does is put together
here; the page is `window_page`, its states `window_states`, the passcode is typed elsewhere (`passcode_entry`).
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renewagent.agent.begin import begin_renewal
from renewagent.agent.browser import NoBrowser, leading_to, open_browser, until
from renewagent.agent.children import hand_over
from renewagent.agent.control import runtime_folder
from renewagent.agent.options import add_configuration_options, configuration_of, contact_named, words_of
from renewagent.agent.passcode_entry import BESIDE_WINDOW, PasscodeEntry
from renewagent.agent.prompts import serve_channel
from renewagent.agent.undumpable import undumpable
from renewagent.agent.window import AsksPasscode, WindowPrompter
from renewagent.agent.window_guard import Keys
from renewagent.agent.window_page import Page, serving
from renewagent.agent.window_states import NOBODY, Verb
from renewagent.agent.workstation import open_readers
from renewagent.card.interface import Readers
from renewagent.configuration import Configuration
from renewagent.errors import ConfigurationError, RenewAgentError
from renewagent.language import N_, _
from renewagent.rules import Contact

TITLE = N_("Renew your smartcard")
LOOK = 1.0
"""Seconds between looks at whether anybody is there, and at a reader service that does not wake us."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds: for a browser to open, for somebody to come back to the page, for the last page
    to be read, and after it was."""

    browser: float = 90.0
    person: float = 900.0
    last_page: float = 120.0
    afterwards: float = 3.0


@dataclass(slots=True)
class Window:
    """One window. `begin` hands a descriptor, the worker's end of a channel, over and returns the worker if it is ours
    to wait for; `opens` is `open_browser`; `folder` is where that file lies."""

    begin: Callable[[int], subprocess.Popen[bytes] | None]
    passcode: Callable[[], AsksPasscode]
    contact: Contact
    folder: Path
    readers: Callable[[], Readers]
    opens: Callable[[Path, Callable[[], bool]], None] = open_browser
    patience: Patience = Patience()

    def show(self) -> dict[str, Any] | None:
        """Renew, and renew again while the person wants to; the last result, None where there was none. Raises
        NoBrowser where nobody can see the page: nothing was begun then."""
        line = _Line()
        prompter, keys = WindowPrompter(self.passcode, line.stop), Keys()
        page = Page(prompter, self.contact, keys)
        with serving(page, keys) as address, _watched(self.readers, prompter), _attended(page, prompter, self.patience):
            self._open(page, address)
            while True:
                result = self._once(prompter, line)
                prompter.finish(result)
                if self._wish(page, prompter) is not Verb.AGAIN:
                    return result
                prompter.begin_again()

    def _open(self, page: Page, address: str) -> None:
        with leading_to(address, _(TITLE), self.folder) as file:
            self.opens(file, lambda: page.looked_at)
            if not until(lambda: page.looked_at, self.patience.browser):
                raise NoBrowser(_("No browser has shown the page."))

    def _once(self, prompter: WindowPrompter, line: _Line) -> dict[str, Any] | None:
        with line.open() as (ours, theirs):
            try:
                child = self.begin(theirs.fileno())
            except RenewAgentError as error:
                return {"ok": False, "error": {"code": error.code, "message": error.message, "advice": error.advice}}
            theirs.close()
            result = serve_channel(ours, prompter)
            if result is None and prompter.stopped():  # a last question met a person who had left: it is heard out
                result = serve_channel(ours, prompter)
        if child is not None:
            child.wait()
        return result

    def _wish(self, page: Page, prompter: WindowPrompter) -> Verb:
        """What comes after the end: to begin again where that is offered, until nobody waits for it any more."""
        last, ended = prompter.shown(), time.monotonic()
        if last.buttons:
            return prompter.next_wish(lambda: page.alone_for(time.monotonic()) < self.patience.last_page)
        while page.seen < last.number and time.monotonic() < ended + self.patience.last_page:
            time.sleep(0.1)
        time.sleep(self.patience.afterwards)  # for what the page itself is made of
        return Verb.CLOSE


class _Line:
    """The channel of the renewal that runs, which may be another one after the next."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None

    @contextmanager
    def open(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A fresh pair of ends: ours, and the worker's."""
        ours, theirs = socket.socketpair()
        self._ours = ours
        with closing(ours), closing(theirs):
            yield ours, theirs
        self._ours = None

    def stop(self) -> None:
        """Say no more: the renewal comes to an end in good order, and is still heard."""
        if self._ours is not None:
            with suppress(OSError):
                self._ours.shutdown(socket.SHUT_WR)


@contextmanager
def _watched(open_them: Callable[[], Readers], prompter: WindowPrompter) -> Iterator[None]:
    """Tell the page when cards come and go, as long as this lasts."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            with suppress(RenewAgentError), closing(open_them()) as readers:
                states = readers.states()
                while not over.is_set():
                    prompter.readers_are([name for name, state in states.items() if state.present])
                    states = readers.wait(states, LOOK)
            over.wait(LOOK)

    yield from _while(watch, over)


@contextmanager
def _attended(page: Page, prompter: WindowPrompter, patience: Patience) -> Iterator[None]:
    """Stop what waits for a person once nobody has been at the page for long."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            if page.alone_for(time.monotonic()) > patience.person and not prompter.shown().over:
                prompter.leave(_(NOBODY))

    yield from _while(look, over)


def _while(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK * 3)


def window(configuration: Configuration, reader: str | None, options: Sequence[str]) -> dict[str, Any] | None:
    """The window of this workstation; see `Window.show`."""
    folder = runtime_folder(configuration.agent.state_dir)
    order = configuration.passcode.entry or BESIDE_WINDOW
    return Window(
        begin=lambda descriptor: begin_renewal(folder, reader, options, descriptor),
        passcode=lambda: PasscodeEntry(order, os.environ),
        contact=configuration.contact,
        folder=folder,
        readers=lambda: open_readers(configuration.card.readers),
    ).show()


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(prog="renewagent.agent.window_child")
    parser.add_argument("--reader")
    add_configuration_options(parser)
    given = parser.parse_args(arguments)
    undumpable()
    try:
        configuration = configuration_of(given)
        with contact_named(configuration):
            document = window(configuration, given.reader, words_of(given)) or {"ok": False}
    except RenewAgentError as error:
        said = {"code": error.code, "message": error.message, "advice": error.advice}
        document = {"ok": False, "error": said, "usage": isinstance(error, ConfigurationError)}
    hand_over(document)
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
