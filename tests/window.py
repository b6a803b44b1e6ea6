"""A window with a renewal behind it, all in this process: the page of `renewagent.agent.window_child` over real HTTP, a
worker in a thread, and a person who reads the page and presses what is on it."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from renewagent.agent import words
from renewagent.agent.full_inspection import error_document
from renewagent.agent.more_cards import identity_of
from renewagent.agent.prompts import ChannelPrompter
from renewagent.agent.window_child import Patience, Window
from renewagent.agent.words import Message
from renewagent.card.interface import Readers
from renewagent.errors import PersonStopped, RenewAgentError
from renewagent.model import CardIdentity
from renewagent.pin import Pin
from renewagent.renewal import State
from renewagent.rules import Contact

CONTACT = Contact(name="The RA desk", phone="0300 000 0000")
Work = Callable[[ChannelPrompter], Mapping[str, Any]]
QUICK = Patience(browser=10, person=30, last_page=5, afterwards=0.3)


@dataclass
class Typist:
    """Stands where a passcode is typed: these, one after the other; none left, or `cancels`: the person cancels."""

    pins: list[str] = field(default_factory=list)
    asked: list[Message] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    wait: threading.Event | None = None
    """Types only once this is set."""
    closed: bool = False

    def again(self) -> Typist:
        """The place for the next renewal: the same hands, and what was closed is so no more."""
        self.closed = False
        return self

    def hear(self, message: Message) -> None:
        self.heard.append(message.kind)

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        self.asked.append(message)
        if self.wait is not None:
            self.wait.wait(20)
        if not self.pins or self.closed:
            raise PersonStopped("No passcode was typed.")
        return Pin(self.pins.pop(0) if len(self.pins) > 1 else self.pins[0])

    def close(self) -> None:
        self.closed = True
        if self.wait is not None:
            self.wait.set()


class Reading:
    """One browser's worth of HTTP: it keeps the cookie, follows redirects by hand, and says what browsers say."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = str(parts.hostname), int(parts.port or 0)
        self.first = f"{parts.path}?{parts.query}"
        self.cookie = ""
        self.page = ""

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], str]:
        """Status, headers (lower case) and text; a header that is given as "" is left out."""
        mine = {"Host": f"{self.host}:{self.port}", "Sec-Fetch-Site": "same-origin", "Cookie": self.cookie}
        if method == "POST":
            mine |= {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded"}
        given = {name: value for name, value in {**mine, **(headers or {})}.items() if value}
        line = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                line.putheader(name, value)
            if body:
                line.putheader("Content-Length", str(len(body)))
            line.endheaders(body.encode() if body else None)
            answer = line.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read().decode()
        finally:
            line.close()

    def open(self) -> None:
        """By the address with the token, as the file sends a browser."""
        cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        status, headers, _ = self.ask("GET", self.first, headers=cross)
        assert status == 303, status
        self.cookie = headers["set-cookie"].partition(";")[0]
        status, _, text = self.ask("GET", headers["location"], headers={**cross, "Cookie": ""})
        assert status == 200 and 'url=/"' in text
        self.look()

    def look(self) -> str:
        """The page as it is."""
        status, _, self.page = self.ask("GET", "/")
        assert status == 200, (status, self.page)
        return self.page

    def until(self, words: str, seconds: float = 20) -> str:
        """The page once it says this, by asking for what comes next as somebody without scripts does."""
        end = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < end, f"{words!r} is not in\n{self.text}"
            _, _, self.page = self.ask("GET", f"/?after={self.number}")
        return self.page

    def ended(self, words: str) -> str:
        """The last page, which says this."""
        self.until(words)
        for _ in range(20):
            if 'data-over="yes"' in self.page:
                return self.page
            _, _, self.page = self.ask("GET", f"/?after={self.number}")
        raise AssertionError(self.text)

    @property
    def number(self) -> str:
        return str(re.findall(r'data-number="(\d+)"', self.page)[0])

    @property
    def text(self) -> str:
        """The page without its markup."""
        import html

        bare = re.sub(r"<textarea.*?</textarea>|<head>.*?</head>", " ", self.page, flags=re.DOTALL)
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)))

    @property
    def title(self) -> str:
        return str(re.findall(r"<h1[^>]*>(.*?)</h1>", self.page)[0])

    @property
    def tone(self) -> str:
        return str(re.findall(r'<section class="state (\w+)"', self.page)[0])

    @property
    def buttons(self) -> list[str]:
        return re.findall(r"<button id=\"button[^>]*>(.*?)</button>", self.page)

    @property
    def pressable(self) -> list[str]:
        """All that can be pressed and says something more about this state: also what is folded, and the script's."""
        section = self.page.partition("<section")[2].partition("</section>")[0]
        return re.findall(r"<(?:button|summary)[^>]*>(.*?)</(?:button|summary)>", section)

    @property
    def card(self) -> str:
        found = re.findall(r'<dl class="card">(.*?)</dl>', self.page, re.DOTALL)
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])).strip() if found else ""

    @property
    def stage(self) -> str:
        found = re.findall(r'aria-current="step">.*?</span> <span>(.*?)<', self.page)
        return found[0] if found else ""

    def form(self, label: str) -> str:
        """What pressing this button sends."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page))
        verb = re.findall(rf'<button id="button-(\w+)"[^>]*>{re.escape(label)}</button>', self.page)
        assert verb, f"no {label!r} among {self.buttons}"
        return urlencode({**hidden, "verb": verb[0]})

    def press(self, label: str) -> str:
        status, headers, _ = self.ask("POST", "/pressed", self.form(label))
        assert (status, headers.get("location")) == (303, "/"), status
        return self.look()


class Watched:
    """Readers as the window looks at them: it lets go of them in the end, and others go on."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._readers, name)

    def close(self) -> None:
        pass


@dataclass
class Shown:
    """A window that is shown; `browser` has not opened it yet. `result` once it has ended."""

    browser: Reading
    file: Path
    thread: threading.Thread
    outcome: list[Any]

    @property
    def result(self) -> Any:
        self.thread.join(30)
        assert not self.thread.is_alive()
        if isinstance(self.outcome[0], Exception):
            raise self.outcome[0]
        return self.outcome[0]


@contextmanager
def window(
    folder: Path,
    work: Work | Sequence[Work],
    readers: Readers,
    typist: Typist,
    patience: Patience = QUICK,
    contact: Contact = CONTACT,
) -> Iterator[Shown]:
    """A window over `work`, which is done with the worker's end of the channel; several: one renewal after another."""
    works = list(work) if isinstance(work, Sequence) else [work]
    opened: list[Path] = []
    known = threading.Event()

    def begin(descriptor: int) -> None:
        prompter = ChannelPrompter(socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM))
        threading.Thread(target=_worked, args=(works.pop(0), prompter), daemon=True).start()

    def opens(page: Path, seen: Callable[[], bool]) -> None:
        opened.append(page)
        opened_text.append(page.read_text())
        known.set()

    opened_text: list[str] = []
    outcome: list[Any] = []
    shown = Window(begin, typist.again, contact, folder, lambda: Watched(readers), opens, patience)

    def run() -> None:
        try:
            outcome.append(shown.show())
        except Exception as error:
            outcome.append(error)
            known.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert known.wait(10)
    if not opened:
        raise outcome[0]
    address = re.findall(r'url=([^"]+)"', opened_text[0])[0]
    yield Shown(Reading(address), opened[0], thread, outcome)
    thread.join(60)
    assert not thread.is_alive()


def _worked(work: Work, prompter: ChannelPrompter) -> None:
    try:
        outcome = dict(work(prompter))
        if more := outcome.get("more_affected"):
            prompter.tell(words.more_cards(1, 1 + more, identity_of(outcome["next_card"])))
        said: dict[str, Any] = {"ok": True, "cards": [outcome]}
        if outcome.get("state") == State.STOPPED.value:  # as the worker says it
            stopped = PersonStopped("You chose not to renew now. Nothing was changed.")
            prompter.tell(words.for_error(stopped, CONTACT))
            said = {"ok": False, "cards": [{**outcome, "error": error_document(stopped)}]}
        prompter.result(said)
    except PersonStopped as error:
        prompter.result({"ok": False, "error": error_document(error)})
    except RenewAgentError as error:
        prompter.tell(words.for_error(error, CONTACT))
        prompter.result({"ok": False, "cards": [{"error": error_document(error)}]})
    finally:
        prompter.close()
