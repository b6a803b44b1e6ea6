"""Names that hardly two certificates share, a column at a time: is each one whole and well-formed? Pure.

`cryptography` takes a name apart when it loads a certificate, but makes no text of a subject that nobody asks for. So
shape, object identifiers and the alphabets that it checks are looked at here, and nothing is read out. What is rare
(several attributes in one set, say) is not `fine` and left to `cryptography`.
"""

from __future__ import annotations

import numpy as np

from renewagent.bulk.octets import Bools, Bytes, Ints, Octets

_SET, _SEQUENCE, _OID, _PRINTABLE = 0x31, 0x30, 0x06, 0x13
_TAKEN = np.zeros(256, np.bool_)
_TAKEN[[0x0C, 0x12, _PRINTABLE, 0x14, 0x16, 0x1A]] = (
    True  # strings whose octets are not looked at when loading, and one
)
_NOT_PRINTABLE = np.ones(256, np.bool_)
_NOT_PRINTABLE[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")] = False  # X.680
_PRINTABLES = bytes(np.flatnonzero(~_NOT_PRINTABLE).astype(np.uint8))
_USUAL_PLACES = [0, 2, 4, 5, 6, 7]
_USUAL = np.array([_SET, _SEQUENCE, _OID, 3, 0x55, 0x04], np.uint8)
_MOST_RDNS = 40
_OID_OCTETS = 16
_SHORT = 32
_PLACES = np.arange(_SHORT, dtype=np.int64)
_OID_PLACES = _PLACES[:_OID_OCTETS]


def fine_names(octets: Octets, starts: Ints, ends: Ints, candidates: Bools) -> Bools:
    """For each row of `candidates`: is `starts` to `ends` a sequence of sets of one attribute each?"""
    fine = candidates.copy()
    rows = np.flatnonzero(candidates & (starts < ends))
    at, end = starts[rows], ends[rows]
    for _ in range(_MOST_RDNS):
        if not len(rows):
            return fine
        following, good = _one_rdn(octets, at, end)
        fine[rows[~good]] = False
        going = np.flatnonzero(good & (following < end))
        rows, at, end = rows[going], following[going], end[going]
    fine[rows] = False
    return fine


def fine_oids(octets: Octets, starts: Ints, ends: Ints) -> Bools:
    """Are the octets those of an OBJECT IDENTIFIER, of at most 16 octets, with arcs below 2^28?"""
    length = ends - starts
    window = octets.window(starts, _OID_OCTETS)
    return _general_oids(window, length)


def _general_oids(window: Bytes, length: Ints) -> Bools:
    inside = length[:, None] > _OID_PLACES
    more = (window >= 0x80) & inside
    last = window[np.arange(len(length)), np.clip(length - 1, 0, _OID_OCTETS - 1)]
    zeros = ((window == 0x80) & inside).any(axis=1)  # X.690 8.19.2 forbids it in front; elsewhere it is rare
    large = (more[:, :-3] & more[:, 1:-2] & more[:, 2:-1] & more[:, 3:]).any(axis=1)
    fine: Bools = (length >= 1) & (length <= _OID_OCTETS) & (last < 0x80) & ~zeros & ~large
    return fine


def _one_rdn(octets: Octets, at: Ints, end: Ints) -> tuple[Ints, Bools]:
    """Where the next one starts, and whether this one is fine."""
    # 31 LL 30 LL 06 03 55 04 XX TT LL, all of them short, is what nearly all look like.
    front = octets.window(at, 16)
    size = front[:, 1].astype(np.int64)
    fine = (front[:, _USUAL_PLACES] == _USUAL).all(axis=1) & (front[:, 8] < 0x80) & _TAKEN[front[:, 9]]
    fine &= (size < 0x80) & (front[:, 3] == size - 2) & (front[:, 10] == size - 9)
    following, tag, body = at + 2 + size, front[:, 9].astype(np.int64), at + 11
    rest = np.flatnonzero(~fine)
    if len(rest):
        following[rest], tag[rest], body[rest], fine[rest] = _general_rdn(octets, at[rest])
    fine &= following <= end
    printable = np.flatnonzero(fine & (tag == _PRINTABLE))
    if len(printable):
        fine[printable] = _all_printable(octets, body[printable], following[printable])
    return following, fine


def _general_rdn(octets: Octets, at: Ints) -> tuple[Ints, Ints, Ints, Bools]:
    """Where each ends, the tag of its value, where the value's octets begin, and whether it is fine."""
    whole = octets.header(at)
    pair = octets.header(whole.body)
    kind = octets.header(pair.body)
    value = octets.header(kind.end)
    fine = whole.fine & pair.fine & kind.fine & value.fine
    fine &= (whole.tag == _SET) & (pair.tag == _SEQUENCE) & (kind.tag == _OID) & _TAKEN[value.tag]
    fine &= (pair.end == whole.end) & (value.end == pair.end)
    fine &= fine_oids(octets, kind.body, kind.end)
    return whole.end, value.tag, value.body, fine


def _all_printable(octets: Octets, starts: Ints, ends: Ints) -> Bools:
    length = ends - starts
    width = min(max(int(length.max()), 1), _SHORT)
    wrong = _NOT_PRINTABLE[octets.window(starts, width)] & (length[:, None] > _PLACES[:width])
    fine = np.asarray(~wrong.any(axis=1))
    for row in np.flatnonzero(length > _SHORT).tolist():
        fine[row] = not octets.data[starts[row] : ends[row]].translate(None, _PRINTABLES)
    return fine
