"""A whole check: from the names of sources to the summary, the file of results and the chart."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from renewagent.bulk import engines
from renewagent.bulk.chart import draw
from renewagent.bulk.outcome import Outcome, Plan, Told
from renewagent.bulk.progress import Progress
from renewagent.bulk.results import Results, Row, own_name
from renewagent.bulk.rows import Piece
from renewagent.bulk.sources.opening import Source, Wanted, find, pieces_of
from renewagent.bulk.summary import Summary
from renewagent.bulk.verdicts import AFFECTED, DAMAGED, NO_RULE, UNREADABLE, VERDICTS
from renewagent.errors import ConfigurationError, PersonStopped, SourceError

_TOLD_OF_A_SOURCE = 5


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be checked and how. `jobs` is a number of processes, `scheduler` the address of Dask's; `examples` how
    many affected rows the summary is to keep."""

    sources: list[str]
    plan: Plan
    wanted: Wanted = field(default_factory=Wanted)
    out: Path | None = None
    chart: Path | None = None
    engine: str = "local"
    jobs: int = 1
    scheduler: str | None = None
    examples: int = 0


@dataclass(slots=True)
class _Place:
    """How far one source has been read."""

    rows: int = 0
    lines: int = 0
    told: int = 0


def telling_all(plan: Plan) -> Plan:
    """The same, with a row for every certificate."""
    return replace(plan, tell=tuple(range(len(VERDICTS))))


def check(job: Job) -> Summary:
    """Check everything. Tells of trouble on standard error as it is met, and how far it is where that is a terminal.

    Raises ConfigurationError for files that cannot be written, PersonStopped when interrupted.
    """
    _refuse_to_overwrite(job)
    results = Results(job.out) if job.out is not None else None
    run = _Run(job, results)
    try:
        with engines.start(job.engine, jobs=job.jobs, scheduler=job.scheduler) as engine:
            run.work(engine)
        if job.chart is not None:
            _write_chart(job, run.summary)
        if results is not None:
            results.finish()
            run.summary.out = str(job.out)
    except KeyboardInterrupt as problem:
        raise run.stopped() from problem
    finally:
        run.progress.clear()
        if results is not None:
            results.abandon()
    return run.summary


class _Run:
    """One check under way."""

    def __init__(self, job: Job, results: Results | None) -> None:
        self.job = job
        self.results = results
        self.summary = Summary(job.plan.rules)
        self.progress = Progress(sys.stderr, 0)
        self._places: dict[str, _Place] = {}
        self._octets = 0
        self._last = ""

    def work(self, engine: engines.Engine) -> None:
        """All pieces of all sources, in their order."""
        found = list(find(self.job.sources))
        self.progress = Progress(sys.stderr, sum(one.size for one in found if isinstance(one, Source)))
        began = time.monotonic()
        for outcome in engine.run(self._pieces(found, engine.shares), self._plan()):
            self._take_in(outcome)
            self.summary.seconds = time.monotonic() - began
        self.summary.seconds = time.monotonic() - began

    def _plan(self) -> Plan:
        """Rows that nobody would see are not made: without a file of results, only what is wrong is told."""
        shown = (AFFECTED, DAMAGED, UNREADABLE) if self.job.examples else (DAMAGED, UNREADABLE)
        return replace(self.job.plan, tell=self.job.plan.tell if self.results is not None else shown)

    def stopped(self) -> PersonStopped:
        """What to say when somebody has had enough."""
        so_far = f"{self.summary.checked:,} certificates had been checked"
        where = f", the last of them in {self._last}" if self._last else ""
        kept = f" The file {self.job.out} was not written." if self.job.out is not None else ""
        return PersonStopped(f"Stopped at your request: {so_far}{where}.{kept}")

    def _pieces(self, found: list[Source | SourceError], shares: int) -> Iterator[Piece]:
        inline = self.job.engine == "local" and shares == 1
        carry = self.results is not None or bool(self.job.plan.count_by or self.job.examples)
        wanted = replace(self.job.wanted, carry=carry)
        for one in found:
            if isinstance(one, SourceError):
                self._problem(one.message)
                continue
            self.summary.sources.setdefault(one.shown, 0)
            try:
                yield from pieces_of(one, wanted, inline=inline, shares=shares)
            except SourceError as problem:
                self._problem(problem.message)

    def _take_in(self, outcome: Outcome) -> None:
        self._last = outcome.source
        place = self._places.setdefault(outcome.source, _Place())
        self.summary.tally.add(outcome.tally)
        self.summary.sources[outcome.source] = self.summary.sources.get(outcome.source, 0) + outcome.count
        rows = [self._row(told, outcome.source, place) for told in outcome.told]
        if self.results is not None:
            self.results.write(rows)
        affected = (row for row in rows if row["verdict"] == VERDICTS[AFFECTED])
        self.summary.examples += islice(affected, self.job.examples - len(self.summary.examples))
        self._tell(outcome, rows, place)
        place.rows += outcome.count
        place.lines += outcome.lines
        self._octets += outcome.weight
        self.progress.show(self.summary.checked, self._octets)

    def _row(self, told: Told, source: str, place: _Place) -> Row:
        line = "" if told.line is None else f"Line {place.lines + told.line + 1:,}: "
        row: Row = {
            "source": source,
            "index": place.rows + told.row,
            "verdict": VERDICTS[told.verdict],
            "rule": "" if told.rule == NO_RULE else self.job.plan.rules[told.rule].name,
            "serial": told.serial,
            "issuer": told.issuer,
            "not_before": told.not_before,
            "why": f"{line}{told.why[:1].lower()}{told.why[1:]}" if line else told.why,
            "sha256": told.sha256,
        }
        row.update((own_name(name), cell) for name, cell in told.carried.items())
        return row

    def _tell(self, outcome: Outcome, rows: list[Row], place: _Place) -> None:
        """The first few rows of a source that could not be read, and what else is to be known of it."""
        for sentence in outcome.passed_over:
            self._say(f"{outcome.source}: {sentence}")
        if outcome.problem:
            self._problem(outcome.problem)
        for row in rows:
            if row["verdict"] in ("damaged", "unreadable"):
                place.told += 1
                if place.told <= _TOLD_OF_A_SOURCE:
                    self._say(f"{outcome.source}, number {row['index']} ({row['verdict']}): {row['why']}")
                elif place.told == _TOLD_OF_A_SOURCE + 1:
                    self._say(f"{outcome.source}: there are more; all of them are counted, and listed with --out.")

    def _problem(self, sentence: str) -> None:
        self.summary.problems.append(sentence)
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self.progress.clear()
        sys.stderr.write(sentence + "\n")


def _refuse_to_overwrite(job: Job) -> None:
    """Results must not take the place of what is checked."""
    for made in (job.out, job.chart):
        if (
            made is not None
            and made.exists()
            and any(Path(word).exists() and made.samefile(word) for word in job.sources)
        ):
            raise ConfigurationError(
                f"{made} is one of the sources, and would be lost.", advice="Give the results another name."
            )


def _write_chart(job: Job, summary: Summary) -> None:
    from renewagent.atomic import write_atomically

    assert job.chart is not None  # noqa: S101 - asked for by the caller
    try:
        write_atomically(job.chart, draw(summary.tally.days, job.plan.rules).encode())
    except OSError as problem:
        raise ConfigurationError(
            f"The file {job.chart} cannot be written: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
