"""The bulk check on a Dask cluster: the same rows, also when a worker is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent.bulk import engines
from renewagent.bulk.outcome import Plan
from renewagent.bulk.sources.opening import Source, Wanted, pieces_of
from renewagent.rules import AffectedRule
from tests.flows.inventories import WINDOW, WRITERS, rows_of, run_check
from tests.inventory import FROM, TO, Issuing
from tests.programs import require

RULE = AffectedRule("window", issued_from=FROM, issued_to=TO, key_usage="any")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    for module in ("opening", "files"):
        monkeypatch.setattr(f"renewagent.bulk.sources.{module}.PIECE", 60_000)
    ders = list(Issuing(51).many(900))
    names = ("a.der", "a.csv", "a.parquet", "a.pem.gz")
    for name in names:
        WRITERS[name](tmp_path / name, ders)
    return [tmp_path / name for name in names]


def test_the_same_rows_and_a_lost_worker(sources: list[Path]) -> None:
    plan = Plan((RULE,))

    def pieces() -> Iterator[object]:
        for path in sources:
            yield from pieces_of(Source(str(path)), Wanted(), inline=False)

    wanted = [(one.source, one.told) for one in engines.Here().run(pieces(), plan)]  # type: ignore[arg-type]
    with engines.start("dask", jobs=2) as cluster:
        found = []
        for outcome in cluster.run(pieces(), plan):
            found.append((outcome.source, outcome.told))
            if len(found) == 5:
                os.kill(cluster._cluster.workers[0].pid, signal.SIGKILL)
    assert found == wanted


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Somebody else's cluster: a scheduler and a worker as Dask's own programs start them."""
    program = [sys.executable, require("dask")]
    file = tmp_path / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    words = [
        *program,
        "scheduler",
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    ]
    worker = [*program, "worker", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(file)]
    with subprocess.Popen(words, **common) as one, subprocess.Popen(worker, **common) as two:  # type: ignore[call-overload]
        end = time.monotonic() + 60
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.1)
        import json

        yield str(json.loads(file.read_text())["address"])
        for process in (two, one):
            process.terminate()


def test_another_cluster(sources: list[Path], scheduler: str, tmp_path: Path) -> None:
    words: tuple[str | Path, ...] = (*sources, *WINDOW, "--all")
    one, _ = run_check(*words, "--out", tmp_path / "1.jsonl")
    several, _ = run_check(*words, "--engine", "dask", "--scheduler", scheduler, "--out", tmp_path / "n.jsonl")
    assert rows_of(tmp_path / "n.jsonl") == rows_of(tmp_path / "1.jsonl")
    assert several["by_rule"] == one["by_rule"]


def test_no_scheduler(sources: list[Path]) -> None:
    _, said = run_check(*sources, *WINDOW, "--engine", "dask", "--scheduler", "tcp://127.0.0.1:1", status=2)
    assert "There is no Dask scheduler at tcp://127.0.0.1:1" in said
