"""The RA's computer loses its power between every two of its writes: what had not been put on disk is gone, the request
gets no answer, the RA starts again on what the disk holds, and the renewal goes on: by its own new tries, or from
another workstation that knows nothing. One process, no sockets; `test_kills` does it to a real RA, less thoroughly.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent import renewing
from renewagent.errors import RaUnreachable
from renewagent.renewal import Way
from renewagent_fixtures.faults import checks
from renewagent_fixtures.faults.bench import Place, Point, Scene
from renewagent_fixtures.faults.cells import Cell
from renewagent_fixtures.faults.knife import Cut, Kind, Mains, PowerCut
from renewagent_fixtures.faults.world import AppTransport, Template, World, workspace
from renewagent_fixtures.mock_ra.certificates import CertificateBook
from renewagent_fixtures.mock_ra.rows import AuditRow, CertificateRow, Row
from renewagent_fixtures.virtual_card import slots

EVERY = Cell(Way.D, "plain", "p256", False)
"""The way with most at stake: the old key is gone, and a ticket is all that there is."""
SPREAD = (
    Cell(Way.A, "plain", "p256", True),
    Cell(Way.A, "plain", "p256", False),
    Cell(Way.B, "extended", "p256", False),
    Cell(Way.B, "extended", "p256", True),
    Cell(Way.D, "plain", "p256", True),
    Cell(Way.B, "extended", "p256", True, renews="pair"),
    Cell(Way.D, "plain", "p256", True, renews="pair"),
)
HERE, ELSEWHERE = 10, 6
"""How many losses of those ways end at the same workstation, and at another one."""
_ANSWERED = Cut(Kind.AFTER, 0)
"""For `checks.at_the_cut`: while the RA is asked, every command to the card has been answered."""


class NoPower(Exception):
    """The RA's computer ended here."""


class Moment(Enum):
    """When the power goes."""

    PUT = "before a row is put"
    FLUSH = "before the rows are written"
    TORN = "half of what is written has reached the disk"
    FLUSHED = "written, and nobody was told"


@dataclass(frozen=True, slots=True)
class Loss:
    """`at` counts the moments of one kind from 0, from the beginning of the renewal."""

    moment: Moment
    at: int


class PoweredWorld(World):
    """Its RA has its store in a file, and loses its power once, at `loss`. `forgetful`: it answers before it has
    written (a deliberate fault)."""

    def __init__(self, template: Template, cell: Cell, loss: Loss | None = None, forgetful: bool = False) -> None:
        self.loss = loss
        self.seen: list[Loss] = []
        self.restarts = 0
        self.why = ""
        """What was wrong when the RA came back."""
        self.look_around: Callable[[], str] = lambda: ""
        """Asked then."""
        self.unsafe = False
        """Whether the card could not be used then, but for what the RA knew."""
        self.together = False
        """Whether the workstation loses its power as well."""
        self._counts: Counter[Moment] = Counter()
        self._watching = self._dark = False
        self._forgetful = forgetful
        self._promised = 0
        self._disks = Path(tempfile.mkdtemp(prefix="renewagent-ra-", dir=workspace()))
        super().__init__(template, cell, self._new_disk())

    def _new_disk(self) -> str:
        self._disk = self._disks / str(self.restarts)
        self._disk.mkdir()
        return f"sqlite:///{self._disk / 'ra.db'}"

    def open(self, database: str) -> None:
        """See `World`; from now on every write is counted."""
        super().open(database)
        store = self.office.store
        put, flush = store.put, store.commit if self._forgetful else store.flush

        def counted_put(row: Row) -> None:
            self._moment(Moment.PUT)
            put(row)

        def counted_flush() -> None:
            self._moment(Moment.FLUSH)
            before = self._log_size()
            flush()
            if (after := self._log_size()) > before:
                self._moment(Moment.TORN, (before + after) // 2)
            self._moment(Moment.FLUSHED)

        store.put, store.flush = counted_put, counted_flush  # type: ignore[method-assign]

    def _log_size(self) -> int:
        """SQLite's write-ahead log, to which every commit appends."""
        log = self._disk / "ra.db-wal"
        return log.stat().st_size if log.exists() else 0

    def _moment(self, moment: Moment, log_size: int | None = None) -> None:
        if self._dark:
            raise NoPower
        if not self._watching:
            return
        now = Loss(moment, self._counts[moment])
        self._counts[moment] += 1
        self.seen.append(now)
        if now == self.loss:
            self._fall(log_size)

    def _fall(self, log_size: int | None) -> None:
        """What is in the files now is what the next life finds: neither the locks nor the shared memory beside them."""
        before, self._dark = self._disk, True
        self.restarts += 1
        self._next = self._new_disk()
        for name in ("ra.db", "ra.db-wal"):
            shutil.copy(before / name, self._disk)
        if log_size is not None:
            with (self._disk / "ra.db-wal").open("r+b") as log:
                log.truncate(log_size)
        raise NoPower

    def watch(self) -> None:
        """The renewal begins."""
        self._watching = True

    def asked(self) -> None:
        """A request comes: whatever was written down before was answered, and so promised."""
        self._promised = self._audited()

    def _audited(self) -> int:
        return sum(entry.who == "ra" for entry in self.log)

    def come_back(self) -> bool:
        """Start the RA again, if it lost its power; whether it had."""
        if not self._dark:
            return False
        with suppress(NoPower):
            self.office.close()  # gives the old files back; it can write nothing any more
        self._dark = False
        self.open(self._next)
        self.why = self._forget() or self.look_around()
        return True

    def _forget(self) -> str:
        """The RA's entries that are lost, out of the log; why they should not be, or should."""
        last = self.office.store.last(AuditRow)
        written, all_of_it = last.number if last else 0, self._audited()
        expected = all_of_it if self.loss and self.loss.moment is Moment.FLUSHED else self._promised
        lost = {id(entry) for entry in [entry for entry in self.log if entry.who == "ra"][written:]}
        self.log = [entry for entry in self.log if id(entry) not in lost]
        return "" if written == expected else f"{written} audit entries on disk, {expected} were promised"

    def transport(self, mains: Mains) -> AppTransport:
        """See `World`."""
        return _Transport(self, mains)

    def close(self) -> None:
        """See `World`."""
        self._watching = False
        super().close()
        shutil.rmtree(self._disks)


class _Transport(AppTransport):
    def __init__(self, world: PoweredWorld, mains: Mains) -> None:
        super().__init__(world, mains)
        self._powered, self._lines = world, mains

    def ask_app(self, method: str, url: str, body: bytes, content_type: str) -> tuple[int, dict[bytes, bytes], bytes]:
        """See `AppTransport`. Raises RaUnreachable, or PowerCut, where the RA lost its power over it."""
        self._powered.asked()
        with suppress(NoPower):
            answer = super().ask_app(method, url, body, content_type)
        if not self._powered.come_back():
            return answer
        if self._powered.together:
            self._lines.alive = False
            raise PowerCut
        raise RaUnreachable("The Registration Authority's server does not answer.")


@contextmanager
def scene_of(template: Template, cell: Cell, loss: Loss | None = None, forgetful: bool = False) -> Iterator[Scene]:
    """With a card in somebody's hand, and the RA's next write the first that counts."""
    world = PoweredWorld(template, cell, loss, forgetful)
    with Scene(template, cell, world=world) as scene:
        world.look_around = lambda: look_around(scene)
        world.watch()
        yield scene


def look_around(scene: Scene) -> str:
    """When the RA is back, and before it is asked anything: what is wrong."""
    look = scene.look()
    used = (slots.SIGNATURE, slots.AUTHENTICATION) if look.other else (slots.SIGNATURE,)
    powered(scene).unsafe = any(look.credential(slot) not in ("old", "new") for slot in used)
    return checks.at_the_cut(look, _ANSWERED)


@dataclass(frozen=True, slots=True)
class Ended:
    """`why` is "" where it ended well; `told`: what the person heard, who then began again."""

    restarts: int
    why: str
    told: tuple[str, ...]


def run(template: Template, cell: Cell, loss: Loss | None, place: Place, forgetful: bool = False) -> Ended:
    """One renewal with one loss."""
    with scene_of(template, cell, loss, forgetful) as scene:
        world = powered(scene)
        world.together = place is Place.OTHER
        told = scene.begin()
        lost = "left with an unusable card" if told and world.unsafe else ""
        if told or world.together:
            scene.card.power_off()
            lost = lost or scene.finish(Point(_ANSWERED, place), told)
        return Ended(world.restarts, world.why or lost or checks.at_the_end(scene.look()), tuple(told))


def powered(scene: Scene) -> PoweredWorld:
    assert isinstance(scene.world, PoweredWorld)
    return scene.world


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template.make(tmp_path_factory.mktemp("ra"))


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.0)


@pytest.fixture(scope="module")
def losses(template: Template) -> Callable[[Cell], list[Loss]]:
    """Every loss that there can be in a cell's renewal, in the order of time."""
    known: dict[Cell, list[Loss]] = {}

    def dry(cell: Cell) -> list[Loss]:
        with scene_of(template, cell) as scene:
            document = scene.first.renew(scene.card)
            assert document["way"] == cell.way.value
            assert checks.at_the_end(scene.look()) == ""
            return list(powered(scene).seen)

    return lambda cell: known.get(cell) or known.setdefault(cell, dry(cell))


def spread(found: list[Loss], number: int) -> list[Loss]:
    """So many, the first and the last among them."""
    return [found[index * (len(found) - 1) // (number - 1)] for index in range(number)]


Losses = Callable[[Cell], list[Loss]]


def assert_all_end_well(template: Template, cell: Cell, found: list[Loss], place: Place) -> None:
    ended = {loss: run(template, cell, loss, place) for loss in found}
    assert {loss: one.why for loss, one in ended.items() if one.why} == {}
    assert all(one.restarts == 1 for one in ended.values())


def test_every_loss_ends_well(template: Template, losses: Losses, every: bool) -> None:
    found = losses(EVERY)
    assert {loss.moment for loss in found} == set(Moment)
    assert_all_end_well(template, EVERY, found if every else found[::2], Place.SAME)


@pytest.mark.parametrize("cell", SPREAD, ids=lambda cell: cell.label)
def test_losses_all_over_end_well(template: Template, losses: Losses, cell: Cell, every: bool) -> None:
    found = losses(cell)
    assert_all_end_well(template, cell, found if every else spread(found, HERE), Place.SAME)


@pytest.mark.parametrize("cell", (EVERY, *SPREAD), ids=lambda cell: cell.label)
def test_another_workstation_ends_it_well(template: Template, losses: Losses, cell: Cell, every: bool) -> None:
    found = losses(cell)
    assert_all_end_well(template, cell, found if every else spread(found, ELSEWHERE), Place.OTHER)


def test_an_ra_that_answers_before_it_writes_is_noticed(template: Template, losses: Losses) -> None:
    last = losses(EVERY)[-1]
    assert "were promised" in run(template, EVERY, last, Place.SAME, forgetful=True).why


def test_a_workstation_that_gives_up_at_once_is_noticed(
    template: Template, losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "RA_RETRIES", 0)
    ended = [run(template, EVERY, loss, Place.SAME) for loss in spread(losses(EVERY), 5)]
    assert "left with an unusable card" in [one.why for one in ended]


def test_an_ra_that_writes_half_of_an_answer_is_noticed(
    template: Template, losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate on disk without the ticket and the transaction that it belongs to."""
    issue = CertificateBook.issue

    def issue_and_write(book: CertificateBook, *arguments: Any, **more: Any) -> CertificateRow:
        row = issue(book, *arguments, **more)
        book._store.flush()
        return row

    monkeypatch.setattr(CertificateBook, "issue", issue_and_write)
    with scene_of(template, EVERY) as scene:
        scene.first.renew(scene.card)
        found = list(powered(scene).seen)
    ended = (run(template, EVERY, loss, Place.SAME) for loss in found if loss.moment is Moment.PUT)
    assert any("were promised" in one.why for one in ended)
