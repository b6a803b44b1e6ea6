"""What `cryptography` says of the parts of certificates that many share: issuers, algorithms, runs of extensions.

A part is asked about once, inside a certificate made for the purpose that is otherwise known to be good, and the answer
is kept. So the column-wise walk never decides by itself what a name or an extension may look like. Each process has its
own memory; it forgets everything when it is full, since what is asked about again is then learnt again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from cryptography import x509

from renewagent.algorithms import KEY_USAGES, signature_algorithm
from renewagent.bulk.octets import Ints
from renewagent.card.der import Der, read_name
from renewagent.certificates import stated_key_usage
from renewagent.names import Name

REFUSED = -1
NO_KEY_USAGE = -1
HEADS = 1 << 20

_MOST = 50_000
_MOST_KINDS = 62  # of extensions: one bit each of a signed 64-bit number
_VERSION_AND_SERIAL = bytes.fromhex("a00302010202010a")
_VALIDITY = bytes.fromhex("301e170d3230303130313030303030305a170d3330303130313030303030305a")
_ED25519 = bytes.fromhex("302a300506032b6570032100") + bytes(32)
_ALGORITHM = bytes.fromhex("300506032b6570")
_SIGNATURE = bytes.fromhex("034100") + bytes(64)
_EMPTY_NAME = bytes.fromhex("3000")


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issued. `text` is RFC 4514 as `cryptography` writes it."""

    text: str
    name: Name


@dataclass(frozen=True, slots=True)
class Extensions:
    """A run of whole extensions: which kinds (a bit for each), and the key usage (a bit for each of `KEY_USAGES`)."""

    kinds: int
    key_usage: int


class _Learnt(dict[bytes, int]):
    """Parts by number; a part that is not known yet is learnt."""

    def __init__(self, learn: Callable[[bytes], int]) -> None:
        super().__init__()
        self._learn = learn

    def __missing__(self, part: bytes) -> int:
        number = self[part] = self._learn(part)
        return number


class Memory:
    """What has been learnt so far. `issuers[n]`, `algorithms[n]` and `runs[n]` are what the numbers stand for.

    `heads` gives a number for a signature algorithm with the issuer's name behind it, `signatures` for an outer
    signature algorithm, `extensions` for a run of extensions: REFUSED where `cryptography` does not take them. A head's
    number is the issuer's and the algorithm's at once: `issuer * HEADS + algorithm`.
    """

    def __init__(self) -> None:
        self.issuers: list[Issuer] = []
        self.algorithms: list[str] = []
        self.runs: list[Extensions] = []
        self.heads = _Learnt(self._learn_head)
        self.signatures = _Learnt(self._learn_algorithm)
        self.extensions = _Learnt(self._learn_run)
        self._single = _Learnt(self._learn_one)
        self._singles: list[Extensions] = []
        self._issuer_numbers: dict[bytes, int] = {}
        self._kinds: dict[bytes, int] = {}
        self._run_kinds = self._run_usages = np.zeros(0, np.int64)

    def refresh(self) -> None:
        """Forget everything if there is too much of it. Numbers given out before mean nothing afterwards."""
        if max(len(self.heads), len(self.signatures), len(self.extensions), len(self._single)) > _MOST:
            self.__init__()  # type: ignore[misc]

    def run_columns(self) -> tuple[Ints, Ints]:
        """The kinds and the key usage of each of `runs`, and of REFUSED at the end."""
        if len(self._run_kinds) != len(self.runs) + 1:
            self._run_kinds = np.array([*[run.kinds for run in self.runs], -1], np.int64)
            self._run_usages = np.array([*[run.key_usage for run in self.runs], NO_KEY_USAGE], np.int64)
        return self._run_kinds, self._run_usages

    def kind(self, oid: bytes) -> int:
        """The bit for a kind of extension; 0 when there are too many."""
        if oid not in self._kinds and len(self._kinds) < _MOST_KINDS:
            self._kinds[oid] = 1 << len(self._kinds)
        return self._kinds.get(oid, 0)

    def takes_subject(self, name: bytes) -> bool:
        """True if `cryptography` loads a certificate whose holder goes by this name. Not kept: hardly two share one."""
        return _loaded(_certificate(subject=name)) is not None

    def _learn_head(self, part: bytes) -> int:
        end = Der(part).take().end
        encoded = part[end:]
        certificate = _loaded(_certificate(inner=part[:end], issuer=encoded))
        algorithm = self.signatures[part[:end]]
        if certificate is None or not 0 <= algorithm < HEADS:
            return REFUSED
        if encoded not in self._issuer_numbers:
            issuer = _issuer(encoded, certificate)
            if issuer is None:
                return REFUSED
            self._issuer_numbers[encoded] = len(self.issuers)
            self.issuers.append(issuer)
        return self._issuer_numbers[encoded] * HEADS + algorithm

    def _learn_algorithm(self, part: bytes) -> int:
        certificate = _loaded(_certificate(outer=part))
        if certificate is None:
            return REFUSED
        self.algorithms.append(signature_algorithm(certificate.signature_algorithm_oid.dotted_string))
        return len(self.algorithms) - 1

    def _learn_run(self, part: bytes) -> int:
        """`cryptography` looks at each extension by itself, and refuses two of a kind."""
        kinds, usage, rest = 0, NO_KEY_USAGE, Der(part)
        while not rest.empty:
            number = self._single[rest.take().encoded()]
            if number == REFUSED or self._singles[number].kinds & kinds:
                return REFUSED
            kinds |= self._singles[number].kinds
            usage = max(usage, self._singles[number].key_usage)
        self.runs.append(Extensions(kinds, usage))
        return len(self.runs) - 1

    def _learn_one(self, part: bytes) -> int:
        certificate = _loaded(_certificate(extensions=part))
        bit = 0 if certificate is None else self.kind(Der(part).take().take().content())
        if certificate is None or not bit:
            return REFUSED
        self._singles.append(Extensions(bit, key_usage_bits(stated_key_usage(certificate))))
        return len(self._singles) - 1


def key_usage_bits(usage: frozenset[str] | None) -> int:
    """A bit for each of `KEY_USAGES`, or NO_KEY_USAGE."""
    if usage is None:
        return NO_KEY_USAGE
    return sum(1 << place for place, name in enumerate(KEY_USAGES) if name in usage)


def key_usage_names(bits: int) -> frozenset[str] | None:
    """The other way round."""
    if bits == NO_KEY_USAGE:
        return None
    return frozenset(name for place, name in enumerate(KEY_USAGES) if bits >> place & 1)


def _issuer(encoded: bytes, certificate: x509.Certificate) -> Issuer | None:
    try:
        return Issuer(certificate.issuer.rfc4514_string(), read_name(Der(encoded).take()))
    except Exception:  # whatever it is, such a name is left to the exact path
        return None


def _loaded(der: bytes) -> x509.Certificate | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what it warns of is left to the exact path as well
            certificate = x509.load_der_x509_certificate(der)
            _ = certificate.extensions
    except Exception:
        return None
    return certificate


def _certificate(
    inner: bytes = _ALGORITHM,
    issuer: bytes = _EMPTY_NAME,
    subject: bytes = _EMPTY_NAME,
    outer: bytes = _ALGORITHM,
    extensions: bytes = b"",
) -> bytes:
    """A certificate that is good but for what is given, perhaps."""
    body = _VERSION_AND_SERIAL + inner + issuer + _VALIDITY + subject + _ED25519
    if extensions:
        body += element(0xA3, element(0x30, extensions))
    return element(0x30, element(0x30, body) + outer + _SIGNATURE)


def element(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
