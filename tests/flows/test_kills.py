"""Processes that are killed, and disks that fail, in the middle of real renewals: the child's, the agent's, both, the
person's command, the RA's. What every event lacks in one process is shown by test_resumed_elsewhere; here the kernel
does it, to the programs that people run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from renewagent.agent import renewing
from renewagent.agent.journal import MIGRATIONS, Journal
from renewagent.agent.journal_aside import open_journal
from renewagent.agent.ra_desk import utc_now
from renewagent.agent.words import Message
from renewagent.errors import JournalError, RaUnreachable
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.person import Said
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows import workshop as workshop_module
from tests.flows.bad_disk import BadDisk, build, fill, small_disk
from tests.flows.desk import PIN, READER, Conversation, Desk, Done
from tests.flows.desk import signs as signs_with_usual_pin
from tests.flows.workshop import (
    Cut,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    signs,
)
from tests.pcsc import until

T = TypeVar("T")

ASKED, PASSCODE, REMOVE = "Type 1 or 2, then Enter: ", "Passcode (it is not shown): ", "Remove the smartcard ending "
VERIFY, GENERATE, ADMIN, PUT_PART, PUT_DATA = "0020008008", "0047009c", "0087..9b", "10db", "00db"
"""How commands begin: VERIFY with a passcode, each half of an authentication by the management key, a part of more."""
CERTIFICATE_9C = 0x5FC10A


# -- which process -----------------------------------------------------------------------------------------------------


def child_of(*parents: int) -> int:
    """The renewing child of one of these processes of ours."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _is_worker(entry) and _parent(entry) in parents:
            return int(entry.name)
    raise AssertionError("there is no child that renews")


def _is_worker(entry: Path) -> bool:
    try:
        return b"renewagent.agent.worker" in (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class At:
    """Does something after the `number`th command of one kind that a card has carried out, once."""

    def __init__(self, card: VirtualCard, kind: str, number: int, act: Callable[[], None]) -> None:
        self.happened = False
        self._seen = 0
        self._kind, self._number, self._act = re.compile(kind), number, act
        card.hook = self

    def __call__(self, moment: Moment, command: bytes, response: bytes) -> None:
        if moment is not Moment.AFTER or not self._kind.match(command.hex()):
            return
        self._seen += 1
        if self._seen == self._number:
            self.happened = True
            self._act()


# -- what comes before and after ---------------------------------------------------------------------------------------


def sign_in_again(here: Desk, card: VirtualCard, talk: Conversation) -> Done:
    """Take the card out, which has just been asked for, and so on."""
    here.readers.remove(READER)
    talk.hear("Put your smartcard back in")
    here.readers.insert(READER, card)
    talk.hear(PASSCODE)
    talk.type(PIN)
    return talk.end()


def may_sign(here: Desk, card: VirtualCard) -> bool:
    """Whether it signs as it is, or may be finished anywhere: invariant (i)."""
    with here.office.ra.office.lock:
        standing = [ticket.state for ticket in here.office.ra.tickets() if ticket.card == f"chuid:{card.guid.hex()}"]
    here.readers.remove(READER)
    able = signs_with_usual_pin(card)
    here.readers.insert(READER, card)
    return able or bool(set(standing) & {"armed", "issued", "confirmed"})


def to_passcode(here: Desk) -> Conversation:
    """A renewal, begun or gone on with, that asks for the passcode."""
    talk = here.talk("renew")
    if talk.hear(ASKED, PASSCODE) == ASKED:
        talk.type("1")
        talk.hear(PASSCODE)
    return talk


def type_in(talk: Conversation) -> None:
    """The passcode; and, should nothing turn out to be begun after all, that it be begun."""
    talk.type(PIN)
    talk.type("1")


def finish(here: Desk, card: VirtualCard) -> Conversation:
    """Begin again, or go on, to the end; all that was said."""
    card.hook = None
    talk = here.talk("renew")
    answers = {ASKED: "1", PASSCODE: PIN}
    while (asked := talk.hear(*answers, REMOVE)) != REMOVE:
        talk.type(answers[asked])
    done = sign_in_again(here, card, talk)
    assert (done.status, "Done\n" in done.err) == (0, True), done
    return talk


def renewed(here: Desk, card: VirtualCard, before: bytes | None) -> None:
    """The card signs under a new certificate, the RA has the receipt, one certificate is unrevoked, no try is gone."""
    here.readers.remove(READER)
    assert card.object(CERTIFICATE_9C) != before
    assert signs_with_usual_pin(card)
    assert card.pin_tries == 3
    with here.office.ra.office.lock:
        (ticket,) = [one for one in here.office.ra.tickets() if one.card == f"chuid:{card.guid.hex()}"]
        assert ticket.state == "closed"
    assert here.events()[-1] == "signed-in"


# -- kills -------------------------------------------------------------------------------------------------------------


def kill(*processes: int) -> None:
    for process in processes:
        os.kill(process, signal.SIGKILL)


def ended_without_a_result(talk: Conversation) -> None:
    done = talk.end()
    assert "The renewal ended without a result." in done.err
    assert "Run: renewagent renew. It goes on from there." in done.err
    assert done.status == 1


def test_the_child_is_killed_around_one_card_command_after_the_other(here: Desk) -> None:
    """One renewal; each run goes on from where the one before it was killed."""
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    points = [(VERIFY, 1), (ADMIN, 4), (GENERATE, 1), (PUT_PART, 1), (PUT_DATA, 1), (VERIFY, 2)]
    for kind, number in points:
        talk = to_passcode(here)
        at = At(card, kind, number, lambda: kill(child_of(talk.process.pid)))  # noqa: B023
        type_in(talk)
        ended_without_a_result(talk)
        assert at.happened, kind
        assert may_sign(here, card), kind
    finish(here, card)
    renewed(here, card, before)


@pytest.mark.parametrize("torn", [False, True], ids=["before", "torn"])
def test_the_child_is_killed_at_one_journal_write_after_the_other(here: Desk, disk: BadDisk, torn: bool) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    for kind, number in ((VERIFY, 1), (GENERATE, 1), (VERIFY, 2), (PUT_DATA, 1), (VERIFY, 2)):
        talk = to_passcode(here)
        At(card, kind, number, lambda: disk.fail("kill", int(torn)))
        type_in(talk)
        ended_without_a_result(talk)
        disk.mend()
        assert may_sign(here, card), kind
    finish(here, card)
    renewed(here, card, before)


@pytest.mark.parametrize("who", ["agent", "child", "both"])
def test_an_agent_or_its_child_is_killed(here: Desk, who: str) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    agent = here.talk("agent")
    agent.hear("verdict=AFFECTED")
    talk = to_passcode(here)
    child, resident = child_of(agent.process.pid), agent.process.pid
    victims = {"agent": [resident], "child": [child], "both": [resident, child]}[who]
    at = At(card, GENERATE, 1, lambda: kill(*victims))
    talk.type(PIN)
    if who == "agent":  # its child has the person's terminal, the card and the RA: it needs no agent
        talk.hear(REMOVE)
        done = sign_in_again(here, card, talk)
        assert (done.status, "Done\n" in done.err) == (0, True)
    else:
        ended_without_a_result(talk)
        assert may_sign(here, card)
    assert at.happened
    card.hook = None
    if who == "child":
        agent.hear("renewal.ended status=-9", "renewal.ended status=137")
        agent.hear("verdict=PART_WAY")
    else:
        agent.process.wait()
        agent = here.talk("agent")
        agent.hear("verdict=UNAFFECTED" if who == "agent" else "verdict=PART_WAY")
    if who != "agent":
        finish(here, card)
        agent.hear("verdict=UNAFFECTED")
    renewed(here, card, before)


def test_the_command_before_the_person_is_killed(here: Desk) -> None:
    """A window that is closed hard: the child ends in good order by itself."""
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    talk = to_passcode(here)
    child = child_of(talk.process.pid)
    At(card, GENERATE, 1, lambda: kill(talk.process.pid))
    talk.type(PIN)
    until(lambda: not Path(f"/proc/{child}").exists() or _parent(Path(f"/proc/{child}")) != talk.process.pid)
    until(lambda: not Path(f"/proc/{child}").exists(), 30)
    assert may_sign(here, card)
    finish(here, card)
    renewed(here, card, before)


# -- disks -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture
def disk(here: Desk, library: Path) -> BadDisk:
    """The disk under this desk's journal."""
    made = BadDisk(here.folder / "disk", library)
    here.env.update(made.environment)
    return made


FAILURES = ((VERIFY, 1), (GENERATE, 1), (PUT_DATA, 1), (VERIFY, 2))


def test_the_disk_becomes_read_only_in_the_middle(here: Desk, disk: BadDisk) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    for kind, number in FAILURES:
        talk = to_passcode(here)
        At(card, kind, number, lambda: disk.fail("readonly"))
        type_in(talk)
        refused(talk, "could not be read or written")
        disk.mend()
        assert may_sign(here, card), kind
    finish(here, card)
    renewed(here, card, before)


def refused(talk: Conversation, words: str) -> None:
    done = talk.end()
    assert "The record of renewals" in done.err or "the record of renewals" in done.err, done.err
    assert words in done.err
    assert done.status == 1


def test_the_disk_is_full_in_the_middle(here: Desk) -> None:
    with small_disk(here.state):
        card = here.insert()
        before = card.object(CERTIFICATE_9C)
        for kind, number in FAILURES:
            talk = to_passcode(here)
            At(card, kind, number, lambda: fill(here.state))
            type_in(talk)
            refused(talk, "The disk is full")
            (here.state / "fill").unlink()
            assert may_sign(here, card), kind
        finish(here, card)
        renewed(here, card, before)
        here.close()


def test_a_disk_that_is_read_only_since_the_last_run(here: Desk) -> None:
    with small_disk(here.state):
        card = here.insert()
        before = card.object(CERTIFICATE_9C)
        talk = to_passcode(here)
        At(card, GENERATE, 1, lambda: kill(child_of(talk.process.pid)))
        type_in(talk)
        ended_without_a_result(talk)
        subprocess.run(["mount", "-o", "remount,ro", here.state], check=True)
        done = here.run("renew")
        assert done.status == 1
        assert "that is not allowed" in done.err or "cannot write in its folder" in done.err, done.err
        assert may_sign(here, card)
        subprocess.run(["mount", "-o", "remount,rw", here.state], check=True)
        finish(here, card)
        renewed(here, card, before)
        here.close()


# -- torn pages and other versions -------------------------------------------------------------------------------------


def test_a_journal_whose_page_is_torn_is_put_aside_and_the_card_finished(here: Desk) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    talk = to_passcode(here)
    At(card, GENERATE, 1, lambda: kill(child_of(talk.process.pid)))
    type_in(talk)
    ended_without_a_result(talk)
    assert "begun" in here.events()  # which closes the file, and so brings all of it into one
    torn = bytearray((here.state / "journal.db").read_bytes())
    torn[4096:8192] = bytes(4096)
    (here.state / "journal.db").write_bytes(torn)
    said = here.run("status", "--json")
    assert said.status == 1
    talk = finish(here, card)
    (aside,) = here.state.glob("journal.db.damaged-*Z")
    assert aside.read_bytes()[100:] == torn[100:]  # but for the counters of changes in the header
    assert "The record of earlier renewals on this computer was damaged. " in talk.heard
    assert str(aside) in talk.heard
    renewed(here, card, before)


class Snapshot:
    """The files of a journal that is open, as a power cut would find them, at one step of a renewal."""

    def __init__(self, workshop: Workshop, station: Workstation, card: VirtualCard, step: str, folder: Path) -> None:
        self.folder = folder

        def copy(said: Said) -> None:
            if said.message.title == step:
                shutil.copytree(station.folder, folder)
                raise Killed

        with pytest.raises(Killed):
            station.renew(card, station.person(card, on={"progress": copy}))


def _zeroed(first: int, last: int) -> Callable[[bytes], bytes]:
    return lambda octets: octets[:first] + bytes(min(last, len(octets)) - first) + octets[last:]


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda octets: octets[: int(len(octets) * share)]


TEARS = {
    "first page": ("", _zeroed(0, 4096)),
    "header's second half": ("", _zeroed(50, 4096)),
    "page of the table": ("", _zeroed(4096, 8192)),
    "half of the file": ("", _cut(0.5)),
    "all but a few octets": ("", _cut(0.01)),
    "log cut in the middle": ("-wal", _cut(0.5)),
    "log's last write": ("-wal", _cut(0.99)),
    "log zeroed in the middle": ("-wal", _zeroed(20_000, 40_000)),
    "log's header": ("-wal", _zeroed(0, 32)),
    "log": ("-wal", _cut(0)),
    "an event's text": ("", lambda octets: octets.replace(b'"way":', b'"way"!')),
}


TORN_AT = ("making the new key", "getting the new certificate", "trying the new key")


@pytest.mark.parametrize("step", TORN_AT)
def test_whatever_is_torn_the_card_is_finished_and_nothing_is_deleted(
    workshop: Workshop,
    workstation: Workstations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    every: bool,
) -> None:
    told: list[Message] = []
    campaign = workshop.campaign()
    for number, (name, (part, tear)) in enumerate(TEARS.items()):
        if not every and number % len(TORN_AT) != TORN_AT.index(step):
            continue  # each tear at one of the steps
        card = workshop.card()
        old, folder = certificate(card), tmp_path / f"torn-{number}"
        Snapshot(workshop, workstation(campaign), card, step, folder)
        if not part:  # into one file first, as the last process to close it does
            Journal(folder / "journal.db").close()
        file = folder / f"journal.db{part}"
        torn = tear(file.read_bytes())
        assert torn != file.read_bytes(), name
        file.write_bytes(torn)
        told.clear()
        monkeypatch.setattr(workshop_module, "Journal", lambda path: open_journal(path, told.append, utc_now()))
        workstation(campaign, name=folder.name).renew(card)
        monkeypatch.undo()
        assert_renewed(workshop, card, old)
        assert card.pin_tries == 3
        aside = list(folder.glob(f"journal.db.damaged-*Z{part}"))
        if told:
            assert [one.read_bytes()[100:] for one in aside] == [torn[100:]], name  # but for the header's counters
        else:  # a log that ends early is one whose last writes never came to be: SQLite's own checksums
            assert part == "-wal" or name == "all but a few octets", name


def test_a_journal_of_an_older_schema_goes_on_and_one_of_a_newer_is_told(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = (*MIGRATIONS, ("CREATE TABLE later (x)", "ALTER TABLE event ADD COLUMN by TEXT NOT NULL DEFAULT ''"))
    card, campaign = workshop.card(), workshop.campaign()
    old, here = certificate(card), workstation(campaign)
    with pytest.raises(Killed):
        here.renew(card, cut=Cut(5))
    monkeypatch.setattr(workshop_module, "Journal", partial(Journal, migrations=newer))
    with pytest.raises(Killed):
        here.renew(card, cut=Cut(3))
    monkeypatch.undo()
    with pytest.raises(JournalError, match="written by a newer renewagent"):
        here.renew(card)
    monkeypatch.setattr(workshop_module, "Journal", partial(Journal, migrations=newer))
    here.renew(card)
    assert_renewed(workshop, card, old)
    assert card.pin_tries == 3


# -- the RA ------------------------------------------------------------------------------------------------------------


class ServedRa:
    """`renewagent mock-ra serve`, as often as it is needed, over one folder and at one port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._words = [sys.executable, "-P", "-m", "renewagent", "mock-ra", "serve", "--data", str(folder)]
        self._words += ["--port", str(port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline()  # it serves

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()


class PowerCuts(HttpRaTransport):
    """A way to an RA that loses its power at every request: after the answer, or so many seconds after the question."""

    def __init__(self, ra: ServedRa, url: str, seconds: Iterator[float] | None) -> None:
        super().__init__(url, timeout=10)
        self._ra = ra
        self._seconds = seconds

    def exchange(self, octets: bytes) -> bytes:
        return self._with_cut(lambda: super(PowerCuts, self).exchange(octets))

    def get_json(self, url: str) -> PlainAnswer:
        return self._with_cut(lambda: super(PowerCuts, self).get_json(url))

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        return self._with_cut(lambda: super(PowerCuts, self).post(url, body, content_type))

    def _with_cut(self, ask: Callable[[], T]) -> T:
        seconds = next(self._seconds, None) if self._seconds is not None else 0.0
        if seconds is None:
            return ask()
        if self._seconds is None:
            answer = ask()
            self._ra.kill()
            self._ra.start()
            return answer
        cut = threading.Timer(seconds, self._ra.kill)
        cut.start()
        try:
            return ask()
        finally:
            cut.join()
            self._ra.start()


@pytest.mark.parametrize("when", ["after the answer", "before the answer"])
def test_the_ra_loses_its_power_at_every_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """A real process, killed and started again on what it had written."""
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.01)
    data = tmp_path / "ra"
    with MockRa(data) as ra:
        shop = Workshop(ra, tmp_path)
        card, campaign = shop.card(), shop.campaign()
        old = certificate(card)
    served = ServedRa(data, ra.port)
    served.start()
    # Some milliseconds: some requests never arrive, some are answered into nothing, some are written and not answered.
    milliseconds = (0, 2, 4, 6, 8, 12, 5, 9)
    seconds = (each / 1000 for each in milliseconds) if when == "before the answer" else None
    transport = PowerCuts(served, ra.url, seconds)
    desk = Workstation(shop, tmp_path, {campaign.campaign.id: campaign}, transport=transport)
    try:
        for _ in range(10):
            with contextlib.suppress(RaUnreachable):
                desk.renew(card)
                break
            assert certificate(card) != old or signs(card) or "begun" in desk.kinds
    finally:
        transport.close()
        served.kill()
    with MockRa(data, port=ra.port) as again:
        shop = Workshop(again, tmp_path)
        assert_renewed(shop, card, old)
        (ticket,) = shop.tickets(card)
        assert ticket.state == "closed"
        with again.office.lock:
            assert again.office.check_audit() is None
    assert card.pin_tries == 3
    assert desk.kinds[-1] == "signed-in"
