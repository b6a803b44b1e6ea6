"""Extensions, a column at a time: which runs of them to ask `cryptography` about, and which to read here. Pure.

Most extensions are the same in thousands of certificates; whole runs of those are cut out and looked up in
`renewagent.bulk.memory`. Two kinds are different in each: the subject key identifier, and alternative names of the
usual types. These are checked here, and they part the runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renewagent.bulk.memory import NO_KEY_USAGE, REFUSED, Memory
from renewagent.bulk.octets import Bools, Bytes, Ints, Octets

_SEQUENCE, _OCTET_STRING = 0x30, 0x04
_KEY_IDENTIFIER, _ALTERNATIVE_NAME = bytes.fromhex("551d0e"), bytes.fromhex("551d11")
_MOST = 30
_SHORT = 64
_PLACES = np.arange(_SHORT, dtype=np.int64)


@dataclass(slots=True)
class _Found:
    """What is known of each row so far. `run` is where the run that is being collected began, or -1."""

    fine: Bools
    kinds: Ints
    key_usage: Ints
    run: Ints


def read_extensions(octets: Octets, starts: Ints, ends: Ints, candidates: Bools, memory: Memory) -> tuple[Ints, Bools]:
    """The key usage (`key_usage_bits`) of each row whose extensions run from `starts` to `ends`; and is all fine?

    Rows where they are not fine are left to `cryptography`.
    """
    count = len(starts)
    found = _Found(candidates.copy(), np.zeros(count, np.int64), np.full(count, NO_KEY_USAGE), np.full(count, -1))
    rows, at = np.flatnonzero(candidates), starts
    for _ in range(_MOST):
        if not len(rows):
            return found.key_usage, found.fine
        rows, at = _one_extension(octets, rows, at, ends, found, memory)
    found.fine[rows] = False
    return found.key_usage, found.fine


def _one_extension(
    octets: Octets, rows: Ints, at: Ints, ends: Ints, found: _Found, memory: Memory
) -> tuple[Ints, Ints]:
    """Step over one extension of each of `rows` and return the rows that have another, with the places of all."""
    here, end = at[rows], ends[rows]
    whole = octets.header(here)
    good = whole.fine & (whole.tag == _SEQUENCE) & (whole.end <= end)
    # 06 03 55 1d XX 04 LL: a kind of RFC 5280 that is not critical, and its value
    front = octets.window(whole.body, 6)
    own = np.zeros(len(rows), np.int64)
    plain = good & (front[:, 0] == 6) & (front[:, 1] == 3) & (front[:, 2] == 0x55) & (front[:, 3] == 0x1D)
    plain &= front[:, 5] == _OCTET_STRING
    if plain.any():
        _own_kinds(octets, whole.body + 5, whole.end, front[:, 4], plain, own, memory)
    ours = own > 0
    fresh = (found.kinds[rows] & own) == 0
    begun = found.run[rows] >= 0
    _close(octets, rows[good & ours & begun], at, found, memory)
    found.kinds[rows] |= own
    starting = good & ~ours & (found.run[rows] < 0)
    found.run[rows[starting]] = here[starting]
    found.fine[rows[~good | ~fresh]] = False
    at = at.copy()
    at[rows] = whole.end
    over = good & (whole.end == end)
    last = rows[over]
    _close(octets, last[found.run[last] >= 0], at, found, memory)
    return rows[good & fresh & ~over], at


def _own_kinds(octets: Octets, at: Ints, ends: Ints, kind: Bytes, plain: Bools, own: Ints, memory: Memory) -> None:
    """Note in `own` the bit of the kind for rows whose extension is checked here and fine."""
    for oid, check in ((_KEY_IDENTIFIER, _fine_identifiers), (_ALTERNATIVE_NAME, _fine_alternatives)):
        rows = np.flatnonzero(plain & (kind == oid[2]))
        if len(rows):
            value = octets.header(at[rows])
            good = value.fine & (value.end == ends[rows])
            good &= check(octets, value.body, value.end)
            own[rows[good]] = memory.kind(oid)


def _fine_identifiers(octets: Octets, at: Ints, ends: Ints) -> Bools:
    inner = octets.header(at)
    fine: Bools = inner.fine & (inner.tag == _OCTET_STRING) & (inner.end == ends)
    return fine


def _fine_alternatives(octets: Octets, at: Ints, ends: Ints) -> Bools:
    """One or more rfc822Names, dNSNames or URIs of ASCII characters."""
    names = octets.header(at)
    fine: Bools = names.fine & (names.tag == _SEQUENCE) & (names.end == ends) & (names.body < names.end)
    rows, at = np.flatnonzero(fine), names.body
    for _ in range(_MOST):
        if not len(rows):
            return fine
        name = octets.header(at[rows])
        good = name.fine & (name.end <= ends[rows]) & np.isin(name.tag, (0x81, 0x82, 0x86))
        good &= _ascii(octets, name.body, name.end)
        fine[rows[~good]] = False
        at = at.copy()
        at[rows] = name.end
        rows = rows[good & (name.end < ends[rows])]
    fine[rows] = False
    return fine


def _ascii(octets: Octets, starts: Ints, ends: Ints) -> Bools:
    length = ends - starts
    high = (octets.window(starts, _SHORT) >= 0x80) & (length[:, None] > _PLACES)
    fine: Bools = ~high.any(axis=1) & (length <= _SHORT)
    for row in np.flatnonzero(length > _SHORT).tolist():
        fine[row] = octets.data[starts[row] : ends[row]].isascii()
    return fine


def _close(octets: Octets, rows: Ints, at: Ints, found: _Found, memory: Memory) -> None:
    """Look up the runs of `rows`, which end at `at`."""
    if not len(rows):
        return
    numbers = octets.numbers(memory.extensions, found.run[rows], at[rows])
    all_kinds, all_usages = memory.run_columns()
    kinds, usage = all_kinds[numbers], all_usages[numbers]
    known = (numbers != REFUSED) & ((found.kinds[rows] & kinds) == 0)  # two of a kind: cryptography refuses them
    found.fine[rows[~known]] = False
    found.kinds[rows] |= kinds
    stated = usage != NO_KEY_USAGE
    found.key_usage[rows[stated]] = usage[stated]
    found.run[rows] = -1
