"""Cuts everywhere, in little: every way by every kind of cut and every way to come back. The whole matrix is
`./dev faults`; what it must notice is proved by faults of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from renewagent.renewal import Way
from renewagent_fixtures.faults.bench import Bench, Dry, Outcome, Place, Point
from renewagent_fixtures.faults.cells import CELLS, VENDOR, Cell
from renewagent_fixtures.faults.knife import GENERATE, PUT_DATA, Cut, CutCard, Kind, PowerCut
from renewagent_fixtures.faults.mutants import MUTANTS
from renewagent_fixtures.faults.points import points
from renewagent_fixtures.faults.sweep import dry_run
from renewagent_fixtures.faults.token_bench import bench_of
from renewagent_fixtures.faults.world import Template, workspace
from tests.flows.workshop import READER, Workshop, Workstations, assert_renewed, certificate
from tests.programs import require

SHOWN = (
    Cell(Way.A, "plain", "p256", False),
    Cell(Way.A, "extended", "rsa2048", True),
    Cell(Way.B, "extended", "p256", False),
    Cell(Way.B, "extended", "rsa2048", True),
    Cell(Way.D, "plain", "p256", False),
    Cell(Way.D, "extended", "rsa2048", True, crowded=True),
    Cell(Way.D, "plain", "p256", False, relayed=True),
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """The RA's keys and a pool of RSA keys."""
    made = Template.make(tmp_path_factory.mktemp("ra"))
    with made.pooled_keys():
        yield made


@pytest.fixture(scope="module")
def dry(template: Template) -> Callable[[Cell], Dry]:
    """A cell's run without a cut, once."""
    known: dict[Cell, Dry] = {}

    def run(cell: Cell) -> Dry:
        tally, found = dry_run(template, cell)
        if found is None:
            pytest.skip(f"{cell.label}: {tally.impossible}")
        return known.setdefault(cell, found)

    return run


@pytest.mark.parametrize("cell", SHOWN, ids=lambda cell: cell.label)
def test_whatever_is_cut_comes_to_its_end(
    template: Template, dry: Callable[[Cell], Dry], cell: Cell, every: bool
) -> None:
    """With RSA, whose keys take long to make, a third of what is cut with P-256."""
    found = list(points(dry(cell)))
    slow = cell.key == "rsa2048"
    chosen = one_of_each([point for point in found if not point.late] if slow else found)[
        :: 3 if slow and not every else 1
    ]
    bench = Bench(template, cell)
    outcomes = {point: bench.run(point) for point in chosen}
    assert not {point: outcome for point, outcome in outcomes.items() if outcome.why}
    reached = {point.cut.kind for point, outcome in outcomes.items() if outcome.reached}
    assert reached >= (set(Kind) if every or not slow else {point.cut.kind for point in chosen}) - _elsewhere(cell)


def one_of_each(found: list[Point]) -> list[Point]:
    """Of every kind, place and time, one from the middle of the renewal, where the card is written to."""
    groups: dict[tuple[Kind, Place, bool], list[Point]] = {}
    for point in found:
        groups.setdefault((point.cut.kind, point.place, point.late), []).append(point)
    return [group[len(group) // 2] for group in groups.values()]


def _elsewhere(cell: Cell) -> set[Kind]:
    """Kinds that this way has no use for."""
    if cell.way is Way.A:
        return {Kind.KEY_GONE, Kind.KEY_HALF, Kind.MOVED_TWICE, Kind.SPOILED}
    return {Kind.KEY_HALF} if cell.way is Way.B else {Kind.KEY_HALF, Kind.MOVED_TWICE}


VENDORS = (Cell(Way.C, VENDOR, "p256", False), Cell(Way.C, VENDOR, "rsa2048", True))


@pytest.mark.parametrize("cell", VENDORS, ids=lambda cell: cell.label)
def test_whatever_a_killed_process_leaves_on_a_vendors_card_comes_to_its_end(
    template: Template, cell: Cell, every: bool
) -> None:
    require("softhsm2-util")
    every_call = every and cell == VENDORS[0]
    with apart() as executor:
        few = cell.key == "rsa2048" and not every
        impossible, outcomes = executor.submit(cut_token, template.folder, cell, every_call, few).result()
    assert impossible is None
    assert not {point: outcome for point, outcome in outcomes.items() if outcome.why}
    assert all(outcome.reached for outcome in outcomes.values())
    assert len(outcomes) >= (50 if every_call else 3 if few else 10)


def apart() -> ProcessPoolExecutor:
    """A process without threads, from which those of way C can be forked."""
    return ProcessPoolExecutor(1, get_context("spawn"))


def cut_token(folder: Path, cell: Cell, every_call: bool, few: bool) -> tuple[str | None, dict[Point, Outcome]]:
    """Of every kind, place and time, and of every C_* function if so wanted, one cut from the middle; a third of it
    where `few` will do."""
    template = Template.open(folder)
    tally, dry = dry_run(template, cell)
    if dry is None:
        return tally.impossible, {}
    found = list(points(dry))
    chosen = set(one_of_each(found)[:: 3 if few else 1])
    for call in set(dry.calls) if every_call else ():
        chosen |= set(one_of_each_kind([point for point in found if dry.calls[point.cut.at] == call]))
    bench = bench_of(template, cell)
    return tally.impossible, {point: bench.run(point) for point in found if point in chosen}


def one_of_each_kind(found: list[Point]) -> list[Point]:
    """From the middle, at either workstation by turns."""
    kinds = (Kind.BEFORE, Kind.DURING, Kind.AFTER)
    groups = [[point for point in found if point.cut.kind is kind and not point.late] for kind in kinds]
    return [group[len(group) // 2 - number % 2] for number, group in enumerate(groups)]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_deliberate_fault_is_noticed(template: Template, name: str) -> None:
    require_tokens_for(name)
    with apart() as executor:
        assert executor.submit(caught, template.folder, name).result()


def test_where_the_deliberate_faults_are_noticed_nothing_is_lost_without_them(template: Template) -> None:
    with apart() as executor:
        for name in MUTANTS:
            require_tokens_for(name)
            assert executor.submit(without, template.folder, name).result() == ""


def require_tokens_for(name: str) -> None:
    """Where that fault is one of way C's."""
    if MUTANTS[name].cell.way is Way.C:
        require("softhsm2-util")


def caught(folder: Path, name: str) -> str:
    """What is noticed of a fault."""
    return MUTANTS[name].caught(Template.open(folder))


def without(folder: Path, name: str) -> str:
    """What is noticed where it is not."""
    return MUTANTS[name].without(Template.open(folder))


def test_every_cell_is_run_or_said_to_be_impossible(template: Template) -> None:
    ways: Mapping[Way, list[str | None]] = {way: [] for way in Way}
    for cell in CELLS:
        if (cell.key, cell.protects) == ("p256", False) and cell.way is not Way.C:
            ways[cell.way].append(dry_run(template, cell)[0].impossible)
    assert None in ways[Way.A]
    assert None in ways[Way.D]
    assert ways[Way.B][:2] == ["a plain card has no MOVE KEY"] * 2


def test_the_command_says_what_came_of_it_as_one_document(tmp_path: Path) -> None:
    """One cell of it: the whole quick run takes minutes."""
    asked = [sys.executable, "-m", "renewagent_fixtures.faults", "--cell", "D plain p256 cr signing", "--most", "10"]
    done = subprocess.run([*asked, "--json", "--jobs", "1"], capture_output=True, text=True, timeout=120)
    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert list(document) == ["ways", "mutants"]
    assert document["ways"]["D"]["cut"] == document["ways"]["D"]["survived"] >= 10
    assert document["mutants"] == {"tried": len(MUTANTS), "caught": len(MUTANTS)}


def test_without_a_soft_token_the_command_says_what_is_missing(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "renewagent_fixtures.faults", "--quick"]
    env = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "Install the package softhsm2." in done.stderr


def test_journals_lie_in_memory_where_there_is_room(tmp_path: Path) -> None:
    assert workspace(tmp_path / "missing") is None


@pytest.mark.parametrize("cut", [Cut(Kind.KEY_GONE, 0, GENERATE), Cut(Kind.OBJECT_HALF, 0, PUT_DATA)])
def test_over_http_as_well(workshop: Workshop, workstation: Workstations, cut: Cut) -> None:
    """The matrix asks the RA without a socket between; this does not."""
    card, campaign = workshop.card(), workshop.campaign()
    old, first = certificate(card), workstation(campaign)
    first.readers.insert(READER, CutCard(card, lambda event, what: None, cut))
    with pytest.raises(PowerCut):
        first.renew(card, inserted=True)
    first.take_out()
    workstation(campaign).renew(card)
    assert_renewed(workshop, card, old)
    assert card.pin_tries == 3
