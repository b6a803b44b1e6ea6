"""The column-wise walk over certificates: what a rule asks about, for thousands of rows at once. Pure; numpy.

It takes a certificate only if `cryptography` is sure to take it and to say the same; each function that it calls is
strict in what it takes and leaves the rest. What is left goes to `renewagent.bulk.exact`, one by one. RFC 5280 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renewagent.bulk.dates import read_times
from renewagent.bulk.distinguished import fine_names
from renewagent.bulk.extensions import read_extensions
from renewagent.bulk.keys import UNKNOWN, read_keys
from renewagent.bulk.memory import HEADS, NO_KEY_USAGE, REFUSED, Memory
from renewagent.bulk.octets import Bools, Header, Ints, Octets

BLOCK = 8192
"""Rows to walk at a time: their columns stay in the processor's cache."""

_SEQUENCE, _INTEGER, _BIT_STRING, _EXTENSIONS = 0x30, 0x02, 0x03, 0xA3
_VERSION_3 = np.frombuffer(bytes.fromhex("a003020102"), np.uint8)
_LONGEST_SERIAL = 20  # RFC 5280 4.1.2.2
_ALGORITHM = 16  # octets that nearly all algorithm identifiers fit into
_PLACES = np.arange(_ALGORITHM)


@dataclass(frozen=True, slots=True)
class Columns:
    """What was read, one value a row, good only where `taken`.

    `serial_from` and `serial_to` bound the octets of a positive serial; `issuer` and `signature` are numbers of the
    memory; times are seconds since 1970; `key_usage` is a bit for each of `KEY_USAGES`, or NO_KEY_USAGE; `key_kind` is
    one of `keys.KINDS`.
    """

    taken: Bools
    serial_from: Ints
    serial_to: Ints
    issuer: Ints
    not_before: Ints
    not_after: Ints
    key_usage: Ints
    signature: Ints
    key_kind: Ints
    key_bits: Ints


def walk(octets: Octets, starts: Ints, ends: Ints, memory: Memory) -> Columns:
    """Read the certificates from `starts` to `ends`."""
    at = _places(octets, starts, ends)
    not_before, then, good = read_times(octets, at.validity.body)
    not_after, last, also_good = read_times(octets, then)
    taken = at.fine & good & also_good & (last == at.validity.end)
    taken &= _subjects(octets, at, taken, memory)
    keys = read_keys(octets, at.key.body, at.key.end, taken)
    taken &= keys.kind != UNKNOWN
    key_usage, good = _read_extensions(octets, at.key.end, at.body.end, taken & at.third, memory)
    taken &= good | (at.key.end == at.body.end)
    issuers, signatures = _heads(octets, at, taken, memory)
    taken &= (issuers != REFUSED) & (signatures != REFUSED)
    return Columns(
        taken,
        at.serial.body,
        at.serial.end,
        issuers,
        not_before,
        not_after,
        key_usage,
        signatures,
        keys.kind,
        keys.bits,
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts of each certificate lie; `third` where it is of version 3, `fine` where they fit together."""

    body: Header
    serial: Header
    issuer: Header
    validity: Header
    subject: Header
    key: Header
    outer: Header
    third: Bools
    fine: Bools


def _places(octets: Octets, starts: Ints, ends: Ints) -> _Places:
    certificate = octets.header(starts)
    body = octets.header(certificate.body)
    fine = _is(certificate, _SEQUENCE, exactly=ends) & _is(body, _SEQUENCE, within=ends)
    third: Bools = (octets.window(body.body, 5) == _VERSION_3).all(axis=1)
    serial = octets.header(np.where(third, body.body + 5, body.body))
    fine &= _is(serial, _INTEGER, within=body.end) & _fine_serial(octets, serial)
    inner = octets.header(serial.end)
    issuer = octets.header(inner.end)
    validity = octets.header(issuer.end)
    subject = octets.header(validity.end)
    key = octets.header(subject.end)
    for sequence in (inner, issuer, validity, subject, key):
        fine &= _is(sequence, _SEQUENCE, within=body.end)
    outer = octets.header(body.end)
    signature = octets.header(outer.end)
    fine &= _is(outer, _SEQUENCE, within=ends) & _is(signature, _BIT_STRING, exactly=ends)
    fine &= (signature.body < ends) & (octets.window(signature.body, 1)[:, 0] == 0)
    return _Places(body, serial, issuer, validity, subject, key, outer, third, fine)


def nothing_taken(count: int) -> Columns:
    """Columns of `count` rows none of which were looked at."""
    zeros = np.zeros(count, np.int64)
    return Columns(np.zeros(count, np.bool_), *[zeros] * 9)


def _is(header: Header, tag: int, *, within: Ints | None = None, exactly: Ints | None = None) -> Bools:
    good: Bools = header.fine & (header.tag == tag)
    if within is not None:
        good &= header.end <= within
    if exactly is not None:
        good &= header.end == exactly
    return good


def _fine_serial(octets: Octets, serial: Header) -> Bools:
    """Positive, and in the fewest octets (X.690 8.3.2). `cryptography` warns of others; it may refuse them one day."""
    length = serial.end - serial.body
    front = octets.window(serial.body, 2)
    needless = (front[:, 0] == 0) & ((length == 1) | (front[:, 1] < 0x80))
    fine: Bools = (length >= 1) & (length <= _LONGEST_SERIAL) & (front[:, 0] < 0x80) & ~needless
    return fine


def _read_extensions(octets: Octets, at: Ints, ends: Ints, candidates: Bools, memory: Memory) -> tuple[Ints, Bools]:
    """The key usage of certificates of version 3 whose extensions follow their key, and whether they are fine."""
    outer = octets.header(at)
    inner = octets.header(outer.body)
    good = candidates & _is(outer, _EXTENSIONS, exactly=ends) & _is(inner, _SEQUENCE, exactly=ends)
    good &= inner.body < ends
    if not good.any():
        return np.full(len(at), NO_KEY_USAGE), good
    return read_extensions(octets, inner.body, ends, good, memory)


def _subjects(octets: Octets, at: _Places, candidates: Bools, memory: Memory) -> Bools:
    """Are the holders' names fine? `cryptography` is asked about those that are not of the usual shape."""
    fine = fine_names(octets, at.subject.body, at.subject.end, candidates)
    for row in np.flatnonzero(candidates & ~fine).tolist():
        fine[row] = memory.takes_subject(octets.data[at.validity.end[row] : at.subject.end[row]])
    return fine


def _heads(octets: Octets, at: _Places, rows: Bools, memory: Memory) -> tuple[Ints, Ints]:
    """The numbers of the issuer and of the outer signature algorithm, REFUSED where there is none."""
    issuers, signatures = np.full(len(rows), REFUSED, np.int64), np.full(len(rows), REFUSED, np.int64)
    wanted = np.flatnonzero(rows)
    heads = octets.numbers(memory.heads, at.serial.end[wanted], at.issuer.end[wanted])
    good = heads != REFUSED
    wanted, heads = wanted[good], heads[good]
    issuers[wanted], signatures[wanted] = np.divmod(heads, HEADS)
    # Inside and outside say the same as a rule, and then it was looked up with the issuer.
    inner, outer = at.serial.end[wanted], at.body.end[wanted]
    length = at.outer.end[wanted] - outer
    same = (octets.window(inner, _ALGORITHM) == octets.window(outer, _ALGORITHM)) | (length[:, None] <= _PLACES)
    others = wanted[~(same.all(axis=1) & (length <= _ALGORITHM))]
    signatures[others] = octets.numbers(memory.signatures, at.body.end[others], at.outer.end[others])
    return issuers, signatures
