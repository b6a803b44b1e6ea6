"""Public keys, a column at a time: RSA, the three NIST curves and Ed25519 as everybody writes them. Pure.

A key is taken here only if `cryptography` is sure to take it; a point is on its curve, for one. Every other key, other
curves and odd exponents among them, is left to `cryptography`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renewagent.bulk.octets import Bools, Ints, Octets

UNKNOWN, RSA, EC, ED25519 = 0, 1, 2, 3
KINDS = ("", "rsa", "ec", "ed25519")
"""What the numbers stand for (`renewagent.algorithms.KEY_ALGORITHMS`)."""

_ALGORITHM_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
_ALGORITHM_ED25519 = bytes.fromhex("300506032b6570")
_EXPONENT = bytes.fromhex("0203010001")
_SMALLEST, _LARGEST = 1024, 8192
_BIT_STRING, _SEQUENCE, _INTEGER = 0x03, 0x30, 0x02
_BITS = np.array([n.bit_length() for n in range(256)], np.int64)


@dataclass(frozen=True, slots=True)
class Curve:
    """y^2 = x^3 - 3x + b modulo p (FIPS 186-4, D.1.2), and the algorithm identifier that names it."""

    algorithm: bytes
    bits: int
    p: int
    b: int

    def holds(self, point: bytes) -> bool:
        """True if `point` (x and y, of equal lengths) lies on the curve."""
        half = len(point) // 2
        x, y = int.from_bytes(point[:half], "big"), int.from_bytes(point[half:], "big")
        return x < self.p and y < self.p and ((x * x - 3) * x + self.b - y * y) % self.p == 0


CURVES = (
    Curve(
        bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
        256,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    Curve(
        bytes.fromhex("301006072a8648ce3d020106052b81040022"),
        384,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    Curve(
        bytes.fromhex("301006072a8648ce3d020106052b81040023"),
        521,
        2**521 - 1,
        int(
            "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109"
            "E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
            16,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """For each row: one of `KINDS`, and the size in bits (0 for Ed25519, which has but one). UNKNOWN: not taken."""

    kind: Ints
    bits: Ints


def read_keys(octets: Octets, starts: Ints, ends: Ints, candidates: Bools) -> Keys:
    """The keys inside the SubjectPublicKeyInfos whose contents run from `starts` to `ends`."""
    kind, bits = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    for rows in _with_algorithm(octets, starts, candidates, _ALGORITHM_RSA):
        found = _rsa_bits(octets, starts[rows] + len(_ALGORITHM_RSA), ends[rows])
        bits[rows], kind[rows] = found, np.where(found > 0, RSA, UNKNOWN)
    for curve in CURVES:
        for rows in _with_algorithm(octets, starts, candidates, curve.algorithm):
            good = _on_curve(octets, starts[rows] + len(curve.algorithm), ends[rows], curve)
            bits[rows], kind[rows] = np.where(good, curve.bits, 0), np.where(good, EC, UNKNOWN)
    for rows in _with_algorithm(octets, starts, candidates, _ALGORITHM_ED25519):
        good, _ = _bit_string(octets, starts[rows] + len(_ALGORITHM_ED25519), ends[rows])
        good &= ends[rows] - starts[rows] == len(_ALGORITHM_ED25519) + 3 + 32
        kind[rows] = np.where(good, ED25519, UNKNOWN)
    return Keys(kind, bits)


def _with_algorithm(octets: Octets, starts: Ints, candidates: Bools, algorithm: bytes) -> list[Ints]:
    """The rows whose key begins with `algorithm`: in a list, or none."""
    same = octets.window(starts, len(algorithm)) == np.frombuffer(algorithm, np.uint8)
    rows = np.flatnonzero(same.all(axis=1) & candidates)
    return [rows] if len(rows) else []


def _bit_string(octets: Octets, at: Ints, ends: Ints) -> tuple[Bools, Ints]:
    """Whether a BIT STRING of whole octets lies there and fills the rest, and where its octets begin."""
    header = octets.header(at)
    unused = octets.window(header.body, 1)[:, 0]
    return (header.tag == _BIT_STRING) & header.fine & (header.end == ends) & (unused == 0), header.body + 1


def _rsa_bits(octets: Octets, at: Ints, ends: Ints) -> Ints:
    """The size of each modulus; 0 for keys that are not taken. RFC 8017 A.1.1."""
    fine, body = _bit_string(octets, at, ends)
    key = octets.header(body)
    modulus = octets.header(key.body)
    first = octets.window(modulus.body, 2)
    padded = first[:, 0] == 0
    leading = np.where(padded, first[:, 1], first[:, 0])
    bits = (modulus.end - modulus.body - padded - 1) * 8 + _BITS[leading]
    fine &= key.fine & modulus.fine & (key.tag == _SEQUENCE) & (modulus.tag == _INTEGER)
    fine &= (key.end == ends) & (modulus.end + len(_EXPONENT) == ends)
    fine &= (leading >= 0x80) == padded  # X.690 8.3.2, and positive
    fine &= (bits >= _SMALLEST) & (bits <= _LARGEST)
    tail = octets.window(modulus.end - 1, 1 + len(_EXPONENT))
    fine &= (tail[:, 1:] == np.frombuffer(_EXPONENT, np.uint8)).all(axis=1) & (tail[:, 0] & 1 == 1)
    return np.where(fine, bits, 0)


def _on_curve(octets: Octets, at: Ints, ends: Ints, curve: Curve) -> Bools:
    fine, body = _bit_string(octets, at, ends)
    width = 2 * ((curve.bits + 7) // 8)
    fine &= (octets.window(body, 1)[:, 0] == 4) & (ends - body == 1 + width)  # SEC 1 2.3.3, uncompressed
    rows = np.flatnonzero(fine)
    fine[rows] = _points_on(octets.pieces(body[rows] + 1, ends[rows]), curve, width // 2)
    return fine


def _points_on(points: list[bytes], curve: Curve, half: int) -> list[bool]:
    """`Curve.holds` of each, without a call for each."""
    p, b, number = curve.p, curve.b, int.from_bytes
    shift, mask = 8 * half, (1 << 8 * half) - 1
    return [
        (x := (both := number(point, "big")) >> shift) < p
        and (y := both & mask) < p
        and not ((x * x - 3) * x + b - y * y) % p
        for point in points
    ]
