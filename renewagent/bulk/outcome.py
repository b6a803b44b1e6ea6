"""What came of a piece: counts that add up, and the rows to be told. Runs in whatever process the piece was sent to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from renewagent.bulk.memory import Memory
from renewagent.bulk.octets import Ints
from renewagent.bulk.rows import Piece, Rows
from renewagent.bulk.sources import rows_of
from renewagent.bulk.tally import NO_DAY, Tally, count_values
from renewagent.bulk.verdicts import AFFECTED, DAMAGED, NO_DATE, UNREADABLE, VERDICTS, Judged, judge_rows, moment_of
from renewagent.bulk.walk import BLOCK
from renewagent.reasons import inside, sentence
from renewagent.rules import AffectedRule

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be found out: the rules, the verdicts whose rows are to be told, and the columns to count by."""

    rules: tuple[AffectedRule, ...]
    tell: tuple[int, ...] = (AFFECTED, DAMAGED, UNREADABLE)
    count_by: tuple[str, ...] = ()


class Told(NamedTuple):
    """One row to be told. `row` and `line` count from the first of the piece; `sha256` (lowercase hex) is of the
    certificate's octets, "" where there are none, or not all."""

    row: int
    verdict: int
    rule: int
    serial: str
    issuer: str
    not_before: str
    why: str
    sha256: str
    line: int | None
    carried: dict[str, str]


@dataclass(slots=True)
class Outcome:
    """What came of a piece of `source`, which held `count` rows on `lines` lines. `problem` says why it was not read to
    its end, if it was not."""

    source: str
    weight: int
    count: int = 0
    lines: int = 0
    tally: Tally = field(default_factory=Tally)
    told: list[Told] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    problem: str = ""


def check_pieces(pieces: list[Piece], plan: Plan) -> list[Outcome]:
    """The outcome of each piece, in their order."""
    return [_check(piece, plan) for piece in pieces]


def _check(piece: Piece, plan: Plan) -> Outcome:
    outcome = Outcome(piece.source, piece.weight)
    try:
        for rows in rows_of(piece):
            _take_in(rows, plan, outcome, piece.reading.heading)
            outcome.lines += rows.lines
    except OSError as problem:
        outcome.problem = f"{piece.source} cannot be read any further: {problem.strerror or problem}."
    return outcome


@cache
def _memory() -> Memory:
    """This process's own."""
    return Memory()


def _take_in(rows: Rows, plan: Plan, outcome: Outcome, heading: int) -> None:
    count = len(rows.starts)
    blocks = max(round(count / BLOCK), 1)
    size = -(-count // blocks)
    for begin in range(0, count, max(size, 1)):
        block = rows.block(begin, size)
        judged = judge_rows(block, plan.rules, _memory())
        _count(judged, outcome.tally)
        for column in plan.count_by:
            _count_column(column, block, judged, outcome.tally)
        outcome.told.extend(_rows_to_tell(block, judged, plan, outcome.count, heading))
        outcome.count += len(block.starts)
    outcome.passed_over.extend(rows.passed_over)


def _count(judged: Judged, tally: Tally) -> None:
    tally.verdicts.update(_counted(judged.verdict, 0))
    tally.rules.update(_counted(judged.rule[judged.verdict == AFFECTED], 0))
    width = len(VERDICTS)
    for key, count in _counted(judged.issuer * width + judged.verdict, -width).items():
        number, verdict = divmod(key, width)
        if number >= 0:
            tally.issuers[judged.issuers[number], verdict] += count
    for row, one in judged.alone.items():
        tally.issuers[one.issuer, int(judged.verdict[row])] += 1
    known = judged.not_before != NO_DATE
    days = judged.not_before[known] // _DAY * width + judged.verdict[known]
    for key, count in _counted(days, int(days.min()) if len(days) else 0).items():
        tally.days[divmod(key, width)] += count
    for verdict, count in _counted(judged.verdict[~known], 0).items():
        tally.days[NO_DAY, verdict] += count


def _counted(numbers: Ints, lowest: int) -> dict[int, int]:
    """How often there is each number, none of which is below `lowest`."""
    counts = np.bincount(numbers - lowest)
    values = np.flatnonzero(counts)
    return dict(zip((values + lowest).tolist(), counts[values].tolist(), strict=True))


def _count_column(column: str, rows: Rows, judged: Judged, tally: Tally) -> None:
    cells = rows.carried.cells(list(range(len(judged.verdict))))
    values = [cell.get(column, "") for cell in cells]
    count_values(
        tally.columns.setdefault(column, Counter()), Counter(zip(values, judged.verdict.tolist(), strict=True))
    )


def _rows_to_tell(rows: Rows, judged: Judged, plan: Plan, first: int, heading: int) -> Iterable[Told]:
    wanted = np.flatnonzero(np.isin(judged.verdict, plan.tell))
    if not len(wanted):
        return
    places = wanted.tolist()
    dates = np.datetime_as_string(judged.not_before[wanted].astype("M8[s]")).tolist()
    serials = rows.octets.pieces(judged.serial_from[wanted], judged.serial_to[wanted])
    ders = rows.octets.pieces(rows.starts[wanted], rows.ends[wanted])
    cells = rows.carried.cells(places)
    for place, date, serial, der, carried in zip(places, dates, serials, ders, cells, strict=True):
        verdict, rule, seconds = (int(column[place]) for column in (judged.verdict, judged.rule, judged.not_before))
        alone, fault = judged.alone.get(place), rows.faults.get(place)
        yield Told(
            row=first + place,
            verdict=verdict,
            rule=rule,
            serial=(serial.hex().lstrip("0") or "0") if alone is None else alone.serial,
            issuer=judged.issuers[judged.issuer[place]] if alone is None else alone.issuer,
            not_before="" if seconds == NO_DATE else f"{date}Z",
            why=_why(plan.rules[rule], seconds) if verdict == AFFECTED else (alone.why if alone else ""),
            sha256=hashlib.sha256(der).hexdigest() if der and fault is None else "",
            line=None if fault is None or fault.line is None else fault.line + heading,
            carried=carried,
        )


def _why(rule: AffectedRule, seconds: int) -> str:
    return _issued(rule.issued_from, rule.issued_to, seconds)


@lru_cache(maxsize=10_000)
def _issued(start: datetime | None, end: datetime | None, seconds: int) -> str:
    return sentence(inside(moment_of(seconds), start, end))
