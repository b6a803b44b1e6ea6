"""What `cryptography` says of the parts of certificates that many share: issuers, algorithms, runs of extensions.

A part is asked about once, inside a certificate made for the purpose that is otherwise known to be good, and the answer
is kept. So the column-wise walk never decides by itself what a name or an extension may look like. Each process has its
own memory; it forgets everything when it is full, since what is asked about again is then learnt again.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509

from renewagent.algorithms import KEY_USAGES, signature_algorithm
from renewagent.card.der import Der, read_name
from renewagent.certificates import stated_key_usage
from renewagent.names import Name

T = TypeVar("T")

REFUSED = -1
NO_KEY_USAGE = -1

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


class Memory:
    """What has been learnt so far. `issuers[n]` and `algorithms[n]` are what the numbers stand for."""

    def __init__(self) -> None:
        self.issuers: list[Issuer] = []
        self.algorithms: list[str] = []
        self._heads: dict[bytes, int] = {}
        self._issuer_numbers: dict[bytes, int] = {}
        self._algorithms: dict[bytes, int] = {}
        self._extensions: dict[bytes, Extensions | None] = {}
        self._kinds: dict[bytes, int] = {}

    def refresh(self) -> None:
        """Forget everything if there is too much of it. Numbers given out before mean nothing afterwards."""
        if max(len(self._heads), len(self._extensions), len(self._algorithms)) > _MOST:
            self.__init__()  # type: ignore[misc]

    def heads(self, parts: list[bytes]) -> list[int]:
        """For each signature algorithm with the issuer behind it: the number of the issuer, or REFUSED."""
        known = self._heads
        found = [known.get(part) for part in parts]
        return [self._head(part) if number is None else number for part, number in zip(parts, found, strict=True)]

    def signatures(self, parts: list[bytes]) -> list[int]:
        """For each outer signature algorithm: its number, or REFUSED."""
        known = self._algorithms
        found = [known.get(part) for part in parts]
        return [self._algorithm(part) if number is None else number for part, number in zip(parts, found, strict=True)]

    def extensions(self, parts: list[bytes]) -> list[Extensions | None]:
        """For each run of extensions: what it says, or None where it is refused."""
        known = self._extensions
        return [known[part] if part in known else self._run(part) for part in parts]

    def kind(self, oid: bytes) -> int:
        """The bit for a kind of extension; 0 when there are too many."""
        if oid not in self._kinds and len(self._kinds) < _MOST_KINDS:
            self._kinds[oid] = 1 << len(self._kinds)
        return self._kinds.get(oid, 0)

    def _head(self, part: bytes) -> int:
        number = self._heads.get(part)
        if number is None:
            number = self._heads[part] = self._learn_head(part)
        return number

    def _learn_head(self, part: bytes) -> int:
        algorithm = Der(part).take().end
        certificate = _loaded(_certificate(inner=part[:algorithm], issuer=part[algorithm:]))
        if certificate is None:
            return REFUSED
        encoded = part[algorithm:]
        if encoded not in self._issuer_numbers:
            issuer = _issuer(encoded, certificate)
            if issuer is None:
                return REFUSED
            self._issuer_numbers[encoded] = len(self.issuers)
            self.issuers.append(issuer)
        return self._issuer_numbers[encoded]

    def _algorithm(self, part: bytes) -> int:
        if part not in self._algorithms:
            certificate = _loaded(_certificate(outer=part))
            self._algorithms[part] = REFUSED if certificate is None else len(self.algorithms)
            if certificate is not None:
                self.algorithms.append(signature_algorithm(certificate.signature_algorithm_oid.dotted_string))
        return self._algorithms[part]

    def _run(self, part: bytes) -> Extensions | None:
        if part not in self._extensions:
            self._extensions[part] = self._learn_run(part)
        return self._extensions[part]

    def _learn_run(self, part: bytes) -> Extensions | None:
        certificate = _loaded(_certificate(extensions=part))
        if certificate is None:
            return None
        kinds, rest = 0, Der(part)
        while not rest.empty:
            bit = self.kind(rest.take().take().content())
            if not bit:
                return None
            kinds |= bit
        return Extensions(kinds, key_usage_bits(stated_key_usage(certificate)))


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
    inner: bytes = _ALGORITHM, issuer: bytes = _EMPTY_NAME, outer: bytes = _ALGORITHM, extensions: bytes = b""
) -> bytes:
    """A certificate that is good but for what is given, perhaps."""
    body = _VERSION_AND_SERIAL + inner + issuer + _VALIDITY + _EMPTY_NAME + _ED25519
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
