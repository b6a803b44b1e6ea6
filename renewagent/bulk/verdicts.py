"""The verdict on each certificate of a block, by the rules of a campaign. Pure.

`renewagent.rules` says what a rule means; what is said here column-wise of the certificates that the walk took, it says
one by one of the rest. Tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from renewagent.algorithms import KEY_USAGES
from renewagent.bulk.exact import Accepted, Refused, read_exactly, read_remains
from renewagent.bulk.keys import KINDS
from renewagent.bulk.memory import Memory
from renewagent.bulk.octets import Bools, Ints, Octets
from renewagent.bulk.rows import Rows
from renewagent.bulk.walk import Columns, nothing_taken, walk
from renewagent.model import SigningCertificate
from renewagent.rules import ANY_KEY_USAGE, AffectedRule, hits, may_hit

UNAFFECTED, AFFECTED, DAMAGED, UNREADABLE = range(4)
VERDICTS = ("unaffected", "affected", "damaged", "unreadable")
NO_RULE = -1
NO_DATE = np.iinfo(np.int64).min

_WORTH_WALKING = 24  # rows: below that the columns cost more than cryptography does
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class One:
    """What is to be told of a certificate that was looked at by itself. Empty where it is not known."""

    serial: str = ""
    issuer: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict a row, and the number of the rule that hit, or NO_RULE. `not_before` is NO_DATE where unknown.

    `issuer` is a number of `issuers`, or -1 for the rows in `alone`.
    """

    verdict: Ints
    rule: Ints
    not_before: Ints
    issuer: Ints
    issuers: list[str]
    serial_from: Ints
    serial_to: Ints
    alone: dict[int, One] = field(default_factory=dict)


def judge_rows(rows: Rows, rules: tuple[AffectedRule, ...], memory: Memory) -> Judged:
    """The verdict on each row of a block."""
    memory.refresh()
    columns = _columns(rows, memory)
    count = len(rows.starts)
    judged = Judged(
        verdict=np.full(count, UNAFFECTED, np.int64),
        rule=np.full(count, NO_RULE, np.int64),
        not_before=np.where(columns.taken, columns.not_before, NO_DATE),
        issuer=np.where(columns.taken, columns.issuer, -1),
        issuers=[issuer.text for issuer in memory.issuers],
        serial_from=columns.serial_from,
        serial_to=columns.serial_to,
    )
    for number, rule in enumerate(rules):
        hit = fitting(rule, columns, rows.octets, memory) & (judged.rule == NO_RULE)
        judged.rule[hit], judged.verdict[hit] = number, AFFECTED
    for row in np.flatnonzero(~columns.taken).tolist():
        _judge_alone(rows, row, rules, judged)
    return judged


def _columns(rows: Rows, memory: Memory) -> Columns:
    if len(rows.starts) < _WORTH_WALKING:
        return nothing_taken(len(rows.starts))
    columns = walk(rows.octets, rows.starts, rows.ends, memory)
    columns.taken[list(rows.faults)] = False
    return columns


def fitting(rule: AffectedRule, columns: Columns, octets: Octets, memory: Memory) -> Bools:
    """`renewagent.rules.hits`, for every row that the walk took."""
    fits = columns.taken.copy()
    if rule.issued_from is not None:
        fits &= columns.not_before >= _whole_second(rule.issued_from)
    if rule.issued_to is not None:
        fits &= columns.not_before < _whole_second(rule.issued_to)
    if rule.key_usage != ANY_KEY_USAGE:
        usage = columns.key_usage
        fits &= (usage >= 0) & (usage >> KEY_USAGES.index(rule.key_usage) & 1 == 1)
    if rule.key_bits_below is not None:
        fits &= (columns.key_bits > 0) & (columns.key_bits < rule.key_bits_below)
    if rule.issuer is not None:
        fits &= _holding([rule.holds_issuer(issuer.name) for issuer in memory.issuers], columns.issuer)
    if rule.signature_algorithms:
        fits &= _holding([name in rule.signature_algorithms for name in memory.algorithms], columns.signature)
    if rule.key_algorithms:
        fits &= _holding([name in rule.key_algorithms for name in KINDS], columns.key_kind)
    if rule.serials:
        rows = np.flatnonzero(fits)
        serials = octets.pieces(columns.serial_from[rows], columns.serial_to[rows])
        fits[rows] = [rule.holds_serial(int.from_bytes(serial, "big")) for serial in serials]
    return fits


def moment_of(seconds: int) -> datetime:
    """Seconds since 1970 as a time."""
    return _EPOCH + timedelta(seconds=seconds)


def _whole_second(at: datetime) -> int:
    """The first whole second that is not before `at`: certificates know no others."""
    return -((_EPOCH - at) // _SECOND)


def _holding(by_number: list[bool], numbers: Ints) -> Bools:
    # The last place is for -1, which rows have that the walk did not take.
    return np.array([*by_number, False], np.bool_)[numbers]


def _judge_alone(rows: Rows, row: int, rules: tuple[AffectedRule, ...], judged: Judged) -> None:
    der = rows.octets.data[rows.starts[row] : rows.ends[row]]
    fault = rows.faults.get(row)
    read = read_exactly(der) if fault is None else read_remains(der, fault.why)
    head = read.certificate.head if isinstance(read, Accepted) else read.head
    if isinstance(read, Accepted):
        rule = _first(rules, _on_whole(read.certificate))
        judged.verdict[row] = UNAFFECTED if rule == NO_RULE else AFFECTED
    else:
        rule = NO_RULE if head is None else _first(rules, _on_what_is_left(read))
        judged.verdict[row] = UNREADABLE if rule == NO_RULE else DAMAGED
    serial = "" if head is None else head.serial_hex
    judged.alone[row] = One(serial, read.issuer, "" if isinstance(read, Accepted) else read.why)
    judged.rule[row] = rule
    if head is not None:
        judged.not_before[row] = (head.not_before - _EPOCH) // _SECOND


def _first(rules: tuple[AffectedRule, ...], hit: Callable[[AffectedRule], bool]) -> int:
    return next((number for number, rule in enumerate(rules) if hit(rule)), NO_RULE)


def _on_whole(certificate: SigningCertificate) -> Callable[[AffectedRule], bool]:
    return lambda rule: hits(rule, certificate)


def _on_what_is_left(read: Refused) -> Callable[[AffectedRule], bool]:
    """By all that a lenient reader can read; where that is serial, issuer and dates alone, by these."""
    if read.certificate is not None:
        return _on_whole(read.certificate)
    head = read.head
    return lambda rule: head is not None and may_hit(head, rule, head.not_before)
