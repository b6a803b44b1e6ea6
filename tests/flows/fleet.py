"""Hundreds of workstations in one process, for stories about all of them at once.

Each is the agent's own code over a configuration file and a state folder of its own: the resident, which is handed the
watcher's events; its children's work, done by a call in place of a process; `renewagent renew`'s worker; TLS to the
console and CMP to the RA, over real sockets. Only the readers are in this process, and the person is a script.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509

from renewagent.agent import console_child, housekeeping_child, inspection_child, resident
from renewagent.agent.journal import Journal
from renewagent.agent.poll_schedule import PollSchedule
from renewagent.agent.remembered import accepted_campaigns
from renewagent.agent.resident import Resident
from renewagent.agent.resident_settings import ResidentSettings
from renewagent.agent.telling import Heard, Notice
from renewagent.agent.watcher import Tick, Watcher
from renewagent.agent.worker import renew
from renewagent.configuration import Configuration, load
from renewagent.errors import RenewAgentError
from renewagent.model import CardIdentity
from renewagent_drivers import open_card
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.personalise import RaAccess, key_usage, personalise_with_ra
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import PIN, READER, change_pin

T = TypeVar("T")
POLL = 300.0
AT_ONCE = 6
"""Workstations that do something in the same moment."""


@dataclass(frozen=True, slots=True)
class Where:
    """What the administrator tells every workstation: addresses, files, ids of campaigns; `codes` by organisation."""

    ra: MockRa
    console: str
    console_root: Path
    campaigns: tuple[str, ...]
    codes: dict[str, str]


@dataclass
class Simulated:
    """One workstation with a prescriber's card in its reader."""

    folder: Path
    where: Where
    organisation: str
    card: VirtualCard
    affected: bool = True
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.readers = VirtualReaders((READER,))
        self._watcher = Watcher(lambda: self.readers, lambda: 3600.0, lambda: 0.5)
        self._watching: threading.Thread | None = None
        self._time = 0.0
        self.network(up=True)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def configuration(self) -> Configuration:
        return load(self.config)

    def network(self, *, up: bool) -> None:
        """There is one, or nobody can be reached."""
        where = self.where
        ra, console = (where.ra.url, where.console) if up else ("http://127.0.0.1:9/cmp", "https://127.0.0.1:9")
        urls = [f"{console}/campaigns/{name}.campaign" for name in where.campaigns]
        self.config.write_text(
            f'[ra]\nurl = "{ra}"\nroot = "{where.ra.root}"\n'
            f'[campaign]\nurls = {json.dumps(urls)}\nanchor = "{where.ra.campaign_anchor}"\n'
            f'[card]\nreaders = "unix:{self.folder}/readers.sock"\n'
            f'[console]\nurl = "{console}"\nroot = "{where.console_root}"\n'
            f'enrolment = "{where.codes[self.organisation]}"\nmachine = "{self.folder.name}"\n'
            f'[agent]\nstate_dir = "{self.folder}/state"\n'
        )

    # --- the agent ----------------------------------------------------------------------------------------------------

    def log_on(self) -> None:
        """The agent starts, and polls."""
        state = self.configuration.agent.state_dir
        state.mkdir()
        self.resident = Resident(
            ResidentSettings(
                state, ask_ra=True, fetch_campaigns=True, console=True, child_options=("--config", str(self.config))
            ),
            self._watcher,
            open_card,
            screen=self,
            renew_now=lambda _reader: None,
            ping=lambda: None,
            now=_now,
            schedule=PollSchedule(POLL, 0.0, lambda: 0.5, lambda: self._time),
        )
        self._watching = threading.Thread(target=self._watcher.run, args=(self.resident.handle,), daemon=True)
        self._watching.start()
        self.resident.start()
        self._settle()

    def show(self, _reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        """As a `Screen`: somebody looks at it."""
        self.shown.append(notice.message.kind)
        heard(Heard.SHOWN)

    def withdraw(self, _reader: str) -> None:
        """As a `Screen`."""

    def poll(self) -> None:
        """The timer rings."""
        self._time += 2 * POLL
        self.resident.handle(Tick())
        self._settle()

    def insert(self) -> None:
        """Put the card in, and wait for its verdict."""
        self.readers.insert(READER, self.card)
        _until(lambda: self.resident.status.of(READER).card is not None)
        self._settle()

    def _settle(self) -> None:
        """Until no card is being checked and nobody is being asked any more."""
        polling = self.resident._polling
        _until(lambda: not polling._running and not self.resident.status.of(READER).checking)

    @property
    def verdict(self) -> str:
        card = self.resident.status.of(READER).card
        assert card is not None
        return str(card["verdict"])

    # --- the person ---------------------------------------------------------------------------------------------------

    def renew(self, **script: Any) -> dict[str, Any]:
        """`renewagent renew`, with a person who does as they are told but for `script`; the outcome."""
        hands = {"remove": self._take_out, "insert": self._put_in}
        person = ScriptedPerson(**{"pins": (PIN,), **hands, **script})
        with RelayServer(self.readers, self.folder / "readers.sock"):
            try:
                return renew(self.configuration, READER, person)
            except RenewAgentError as error:
                return {"ok": False, "error": error.message}

    def _take_out(self, reader: str, card: CardIdentity | None) -> None:
        if self.readers.states()[READER].present:
            self.readers.remove(READER)

    def _put_in(self, reader: str, card: CardIdentity | None) -> None:
        if not self.readers.states()[READER].present:
            self.readers.insert(READER, self.card)

    def say_later(self) -> None:
        """Asked whether to begin, the person says no."""
        self.renew(agree={"before": False})

    def pull_out_half_way(self) -> None:
        """The person takes the card out while the new certificate is being written, and goes home."""
        person: dict[str, Any] = {"stop_at": frozenset({"pulled-half-way", "pulled-unsafe"}), "insert": None}

        def pull(said: Any) -> None:
            if said.step == 4:
                self._take_out(READER, None)

        self.renew(on={"progress": pull}, **person)

    def close(self) -> None:
        """Log off."""
        if self._watching is not None:
            self._watcher.stop()
            self._watching.join()
        self.card.close()


@contextmanager
def children_by_call() -> Iterator[None]:
    """The resident's children are calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "ask_child", ask_child)
        yield


_BY_FOLDER: dict[str, Simulated] = {}


def ask_child(module: str, options: Sequence[str]) -> dict[str, Any]:
    """In place of `children.ask_child`: the same functions, in this process."""
    config = Path(options[options.index("--config") + 1])
    configuration, one = load(config), _BY_FOLDER[str(config.parent)]
    if module == console_child.__name__:
        found: dict[str, Any] = console_child.poll(configuration, _now())
    elif module == inspection_child.__name__:
        campaigns = accepted_campaigns(configuration.agent.state_dir)
        found = inspection_child.inspect_reader(configuration, campaigns, one.readers, READER, _now()).document()
    else:
        assert module == housekeeping_child.__name__
        found = housekeeping_child.tidy_reader(configuration, one.readers, READER, _now())
    found = json.loads(json.dumps(found))
    return found


@contextmanager
def fleet(workstations: Sequence[Simulated]) -> Iterator[None]:
    """Their children find them while this lasts; they log off at its end."""
    _BY_FOLDER.update({str(one.folder): one for one in workstations})
    with ExitStack() as stack:
        stack.enter_context(children_by_call())
        try:
            yield
        finally:
            for one in workstations:
                one.close()
                del _BY_FOLDER[str(one.folder)]


def each(workstations: Sequence[T], do: Callable[[T], object]) -> None:
    """Some at a time; the first failure is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(do, workstations):
            pass


def issue(ra: MockRa, number: int, organisation: str, *, days: int, name: str = "") -> VirtualCard:
    """A prescriber's card as the RA handed it out so many days ago."""
    card = VirtualCard.create(None)
    named = x509.Name.from_rfc4514_string(name or f"CN=Dr Number {number:03},OU={organisation},O=Mock Hospital,C=GB")
    access = RaAccess(ra.url, ra.root, ra.reference, ra.secret.encode(), named)
    usage = key_usage(digital_signature=False, content_commitment=True)
    personalise_with_ra(card, access, key="p256", issued=_now() - timedelta(days=days), now=_now, signing_usage=usage)
    change_pin(card, PIN)
    return card


def journalled(one: Simulated) -> list[str]:
    """The events in its journal."""
    with Journal(one.configuration.agent.state_dir / "journal.db") as journal:
        return [event.name for event in journal.replay()]


def _now() -> datetime:
    return datetime.now(UTC)


def _until(condition: Callable[[], object], limit: float = 30.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "this did not happen"
        time.sleep(0.005)
