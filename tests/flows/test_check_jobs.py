"""The same rows in the same order, whoever does the work, and however many of them die meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from renewagent.bulk import engines
from renewagent.bulk.outcome import Outcome, Plan
from renewagent.bulk.rows import PIECE, Piece
from renewagent.bulk.sources.opening import Source, Wanted, pieces_of
from renewagent.rules import AffectedRule
from tests.flows.inventories import WINDOW, WRITERS, rows_of, run_check
from tests.inventory import FROM, TO, Issuing

RULE = AffectedRule("window", issued_from=FROM, issued_to=TO, key_usage="any")
KINDS = ("a.der", "a.pem", "a.ldif", "a.csv", "quoted.csv", "a.jsonl", "a.parquet", "a.arrow", "a.sqlite", "a.pem.gz")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces of few certificates."""
    monkeypatch.setattr("renewagent.bulk.sources.opening.PIECE", 40_000)
    monkeypatch.setattr("renewagent.bulk.sources.opening.FRONT", 20_000)
    monkeypatch.setattr("renewagent.bulk.sources.files.PIECE", 40_000)
    monkeypatch.setattr("renewagent.bulk.sources.database._OCTETS", 40_000)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Every kind, with some damage in each."""
    dice = Issuing(41)
    ders = list(dice.many(600))
    for row in (3, 200, 555):
        ders[row] = ders[row][:-9] + bytes(9)
    ders[300] = ders[300].replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"))
    for name in KINDS:
        WRITERS[name](tmp_path / name, ders)
    (tmp_path / "cut.pem").write_bytes((tmp_path / "a.pem").read_bytes()[:-300])
    (tmp_path / "lines.csv").write_text((tmp_path / "a.csv").read_text().replace("MII", "M!I", 50))
    return [*(tmp_path / name for name in KINDS), tmp_path / "cut.pem", tmp_path / "lines.csv"]


def test_cuts_change_nothing(sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: tuple[str | Path, ...] = (*sources, *WINDOW, "--all")
    run_check(*words, "--out", tmp_path / "whole.jsonl")
    for size in (3_000, 40_000):
        monkeypatch.setattr("renewagent.bulk.sources.opening.PIECE", size)
        monkeypatch.setattr("renewagent.bulk.sources.opening.FRONT", size // 2)
        monkeypatch.setattr("renewagent.bulk.sources.files.PIECE", size)
        monkeypatch.setattr("renewagent.bulk.sources.database._OCTETS", size)
        run_check(*words, "--out", tmp_path / "cut.jsonl")
        assert rows_of(tmp_path / "cut.jsonl") == rows_of(tmp_path / "whole.jsonl")


@pytest.mark.usefixtures("small_pieces")
def test_processes_change_nothing(sources: list[Path], tmp_path: Path) -> None:
    words: tuple[str | Path, ...] = (*sources, *WINDOW, "--all", "--count-by", "uid")
    one, _ = run_check(*words, "--out", tmp_path / "1.jsonl")
    for jobs in ("2", "3"):
        several, _ = run_check(*words, "--jobs", jobs, "--out", tmp_path / "n.jsonl")
        assert rows_of(tmp_path / "n.jsonl") == rows_of(tmp_path / "1.jsonl")
        different = {"seconds", "out"}
        assert {k: v for k, v in several.items() if k not in different} == {
            k: v for k, v in one.items() if k not in different
        }


def pieces(sources: list[Path]) -> Iterator[Piece]:
    for path in sources:
        yield from pieces_of(Source(str(path)), Wanted(), inline=False)


def told(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    return [(one.source, one.count, one.lines, one.told, sorted(one.tally.verdicts.items())) for one in outcomes]


@pytest.mark.usefixtures("small_pieces")
def test_a_process_that_dies_loses_nothing(sources: list[Path]) -> None:
    plan = Plan((RULE,))
    wanted = told(list(engines.Here().run(pieces(sources), plan)))
    with engines.start("local", jobs=2) as pool:
        outcomes = []
        for outcome in pool.run(pieces(sources), plan):
            outcomes.append(outcome)
            if len(outcomes) in (1, 100):
                os.kill(next(iter(pool._pool._processes)), signal.SIGKILL)
    assert told(outcomes) == wanted


@pytest.mark.usefixtures("small_pieces")
def test_processes_that_keep_dying_are_told(sources: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "check_pieces", die)
    with engines.start("local", jobs=2) as pool, pytest.raises(engines.WorkersLost):
        list(pool.run(pieces(sources), Plan((RULE,))))


def die(batch: list[Piece], plan: Plan) -> list[Outcome]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_small_files_travel_together() -> None:
    many = [Piece(f"{n}", "der", 0, 9, weight=9) for n in range(1000)]
    batches = list(engines.together(iter(many)))
    assert [piece for batch in batches for piece in batch] == many
    assert len(batches) < 20
    large = [Piece("-", "der", 0, 9, data=bytes(PIECE)) for _ in range(5)]
    assert [len(batch) for batch in engines.together(iter(large))] == [1] * 5
