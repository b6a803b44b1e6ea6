"""A prescriber's desk for whole stories at the command line: readers, cards, an RA, a signed campaign and a
configuration file, and the real `renewagent` run as a process, by a pipe or at a pseudo-terminal.

Nothing in here judges what a command said; the tests do.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from renewagent.agent.journal import Journal
from renewagent.campaign.pem import read_signer
from renewagent.campaign.sign import sign_campaign
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers import open_card
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.personalise import RaAccess, key_usage, personalise_with_ra
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.virtual_card import VirtualCard

READER = "Virtual Reader 1"
PIN = "123456"
PHONE = "0300 000 0000"
PATIENCE = 30.0
"""Seconds for a command to say or do what a test waits for."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left: its exit status and both outputs."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Office:
    """An RA and a campaign of its against cards that were issued about a week ago; shared by the tests of a module."""

    folder: Path
    ra: MockRa

    def __post_init__(self) -> None:
        self.campaign = self.folder / "bad-week.campaign"
        self.publish(self.campaign)

    def publish(self, file: Path, **fields: object) -> None:
        """Sign a campaign into `file`; `fields` take the place of the usual ones."""
        now = datetime.now(UTC)
        document = {
            "id": "bad-week",
            "version": 1,
            "published": _text(now - timedelta(hours=2)),
            "expires": _text(now + timedelta(days=90)),
            "reason": {"en": "This smartcard was issued with a fault."},
            "rules": [
                {
                    "name": "bad week",
                    "issued_from": _text(now - timedelta(days=10)),
                    "issued_to": _text(now - timedelta(days=5)),
                }
            ],
            "remedy": "renew",
            "renews": "signing",
            "rekey": "required",
            "contact": {"name": "Registration Authority", "phone": PHONE},
            **fields,
        }
        signer = read_signer(self.ra.campaign_signer)
        file.write_bytes(sign_campaign(json.dumps(document).encode(), signer, now))

    def card(self, file: Path, *, days: int = 7, key: str = "p256") -> VirtualCard:
        """A card whose certificates this RA issued so many days ago, in a file."""
        card = VirtualCard.create(file)
        holder = x509.Name.from_rfc4514_string("CN=Dr Ada Lamb,OU=Prescribers,O=Mock Hospital,C=GB")
        access = RaAccess(self.ra.url, self.ra.root, self.ra.reference, self.ra.secret.encode())
        personalise_with_ra(
            card,
            replace(access, subject=holder),
            key=key,
            issued=datetime.now(UTC) - timedelta(days=days),
            now=lambda: datetime.now(UTC),
            signing_usage=key_usage(digital_signature=False, content_commitment=True),
        )
        return card


@contextmanager
def office(folder: Path, knobs: Knobs | None = None) -> Iterator[Office]:
    """An office while the context lasts."""
    with MockRa(folder / "ra", knobs=knobs) as ra:
        yield Office(folder, ra)


class Conversation:
    """A command that is running, with a person before it who reads standard error and types."""

    def __init__(self, words: list[str], env: Mapping[str, str], *, at_terminal: bool = False) -> None:
        self.heard = ""
        self._read_to = 0
        self._typing: int | None = None
        theirs: int | None = None
        if at_terminal:
            self._typing, theirs = pty.openpty()
        self.process = subprocess.Popen(
            words,
            env=dict(env),
            stdin=subprocess.PIPE if theirs is None else theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if theirs is None else theirs,
            start_new_session=True,
        )
        if theirs is not None:
            os.close(theirs)

    def hear(self, *texts: str) -> str:
        """Wait until one of `texts` has been said, after what was waited for before; which one."""
        end = time.monotonic() + PATIENCE
        while not (said := [text for text in texts if text in self.heard[self._read_to :]]):
            assert time.monotonic() < end, f"{texts} was not said, but:\n{self.heard}"
            assert self._listen(0.1), f"{texts} was not said before the end, but:\n{self.heard}"
        self._read_to = self.heard.index(said[0], self._read_to) + len(said[0])
        return said[0]

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self._stdin, line.encode() + b"\n")

    def hang_up(self) -> None:
        """The end of the input."""
        if self._typing is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
        else:
            os.close(self._typing)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> Done:
        """Hear the command out."""
        end = time.monotonic() + PATIENCE
        while self._listen(0.1):
            assert time.monotonic() < end, f"no end, but:\n{self.heard}"
        assert self.process.stdout is not None
        out = self.process.stdout.read().decode()
        status = self.process.wait(PATIENCE)
        self.close()
        return _done(status, out, self.heard)

    def close(self) -> None:
        """Let go of the command, whatever it is doing."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if self._typing is not None:
            os.close(self._typing)
            self._typing = None

    @property
    def _stdin(self) -> int:
        if self._typing is not None:
            return self._typing
        assert self.process.stdin is not None
        return self.process.stdin.fileno()

    def _listen(self, seconds: float) -> bool:
        """Take in what is said within so long; False at the end."""
        source = self._typing
        if source is None:
            assert self.process.stderr is not None
            source = self.process.stderr.fileno()
        if not select.select([source], [], [], seconds)[0]:
            return True
        try:
            said = os.read(source, 65536)
        except OSError:  # a terminal that nobody holds any more
            said = b""
        self.heard += said.decode().replace("\r\n", "\n")
        return bool(said)


@dataclass
class Desk:
    """One workstation. `office` is None where no RA is configured."""

    folder: Path
    office: Office
    readers: VirtualReaders
    where: str
    env: dict[str, str] = field(default_factory=dict)
    cards: list[VirtualCard] = field(default_factory=list)
    talks: list[Conversation] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "run").mkdir(mode=0o700)
        self.state = self.folder / "state"
        self.config = self.folder / "config.toml"
        apart = {"XDG_RUNTIME_DIR": str(self.folder / "run"), "HOME": str(self.folder)}
        apart["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={self.folder / 'no-bus'}"  # the tester's own computer may sleep
        self.env = {**os.environ, **apart, **self.env}
        self.configure()

    def configure(self, **more: str) -> None:
        """Write the configuration; `more` is TOML by section, in place of the usual one (empty: without it)."""
        sections = {
            "ra": f'url = "{self.office.ra.url}"\nroot = "{self.office.ra.root}"',
            "campaign": f'urls = ["{self.office.campaign}"]\nanchor = "{self.office.ra.campaign_anchor}"',
            "card": f'readers = "{self.where}"',
            "contact": f'name = "Registration Authority"\nphone = "{PHONE}"',
            "agent": f'state_dir = "{self.state}"\npoll_interval = 1',
            **more,
        }
        self.config.write_text("".join(f"[{name}]\n{text}\n\n" for name, text in sections.items() if text))

    def insert(self, *, days: int = 7, key: str = "p256") -> VirtualCard:
        """Put a new card in, by default an affected one."""
        card = self.office.card(self.folder / f"{len(self.cards)}.card", days=days, key=key)
        self.cards.append(card)
        self.readers.insert(READER, card)
        return card

    def words(self, *words: str, config: bool = True) -> list[str]:
        """The command line."""
        given = ["--config", str(self.config)] if config else []
        return [sys.executable, "-P", "-m", "renewagent", *words, *given]

    def run(self, *words: str, typed: str = "", config: bool = True) -> Done:
        """Run a command to its end, with `typed` in a pipe."""
        done = subprocess.run(
            self.words(*words, config=config),
            env=self.env,
            input=typed.encode(),
            capture_output=True,
            timeout=PATIENCE * 2,
            check=False,
        )
        return _done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def talk(self, *words: str, at_terminal: bool = False) -> Conversation:
        """Start a command to speak with."""
        self.talks.append(Conversation(self.words(*words), self.env, at_terminal=at_terminal))
        return self.talks[-1]

    def events(self) -> list[str]:
        """The names of all events in the journal."""
        with Journal(self.state / "journal.db") as journal:
            return [event.name for event in journal.replay()]

    def close(self) -> None:
        """End what is still running; let the cards go."""
        for talk in self.talks:
            talk.close()
        for card in self.cards:
            card.close()


@contextmanager
def desk(folder: Path, office: Office) -> Iterator[Desk]:
    """A desk with one empty reader while the context lasts."""
    readers = VirtualReaders((READER,))
    with ExitStack() as stack:
        relay = stack.enter_context(RelayServer(readers, folder / "readers.sock"))
        here = Desk(folder, office, readers, relay.where)
        stack.callback(here.close)
        yield here


def signs(card: VirtualCard) -> bool:
    """Whether the card, taken out of wherever it is, signs in 9C under the certificate that it holds there."""
    readers = VirtualReaders((READER,))
    readers.insert(READER, card)
    try:
        driver = open_card(readers.connect(READER))
        der = driver.certificate(Slot("9c"))
        assert der is not None
        with Pin(PIN) as pin, driver.signing(pin) as session:
            signature = session.sign(Slot("9c"), b"a prescription", "sha256")
    finally:
        readers.remove(READER)
    return _verifies(der, signature)


def _verifies(der: bytes, signature: bytes) -> bool:
    from renewagent.agent.passcode import fits

    public_key: Any = x509.load_der_x509_certificate(der).public_key()
    return fits(public_key, signature, b"a prescription", "sha256")


def _done(status: int, out: str, err: str) -> Done:
    for text in (out, err):
        assert "Traceback" not in text, text
        assert not re.search(r"\bErrno\b|\bException\b|Error\(", text), text
    return Done(status, out, err)


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
