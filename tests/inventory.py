"""Certificates by the hundred thousand, for tests and benchmarks of the bulk check: every kind, no two the same.

They are put together from octets, not with the product's code and not with cryptography's builders, which know no
version 1, no negative serial and no GeneralizedTime before 2050. Nobody checks their signatures, which are chance.
`damaged` spoils one in one of many ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FROM, TO = datetime(2020, 9, 28, tzinfo=UTC), datetime(2020, 10, 1, 12, tzinfo=UTC)
"""The window that about one in ten is issued in."""

RSA_SIZES = (1024, 1536, 2048, 2048, 2048, 3072, 4096)
CURVES = (ec.SECP256R1(), ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
_OIDS = {
    "rsa": "06092a864886f70d010101",
    "sha1rsa": "06092a864886f70d010105",
    "sha256rsa": "06092a864886f70d01010b",
    "sha384rsa": "06092a864886f70d01010c",
    "sha512rsa": "06092a864886f70d01010d",
    "ecdsa256": "06082a8648ce3d040302",
    "ecdsa384": "06082a8648ce3d040303",
    "ed25519": "06032b6570",
}
_SIGNATURES = [
    bytes.fromhex("300d" + _OIDS[name] + "0500") for name in ("sha1rsa", "sha256rsa", "sha384rsa", "sha512rsa")
] + [
    bytes.fromhex("300a" + _OIDS["ecdsa256"]),
    bytes.fromhex("300a" + _OIDS["ecdsa384"]),
    bytes.fromhex("3005" + _OIDS["ed25519"]),
    bytes.fromhex(  # RSASSA-PSS with SHA-256 and a salt of 32 octets
        "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
        "300d06096086480165030402010500a203020120"
    ),
]
_POOL = 400  # points of each curve


def element(tag: int, *contents: bytes) -> bytes:
    """One DER element."""
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def attribute(oid: str, text: str, tag: int = 0x0C) -> bytes:
    return element(0x31, element(0x30, element(0x06, bytes.fromhex(oid)), element(tag, text.encode())))


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = bytes.fromhex("0101ff") if critical else b""
    return element(0x30, element(0x06, bytes.fromhex(oid)), flag, element(0x04, value))


ISSUERS = [
    element(
        0x30, attribute("550406", "GB", 0x13), attribute("55040a", "nhs", tag), attribute("550403", f"NHS CA {n}", tag)
    )
    for n, tag in enumerate((0x0C, 0x13, 0x13, 0x0C, 0x13))
] + [
    element(
        0x30,
        attribute("550406", "US", 0x13),
        attribute("55040a", "A certification authority with a name that does not end for a very long time " * 2),
        attribute("550403", 'Région Ω, Inc. + "Sons" <x>'),
    ),
    element(0x30, *(attribute("0992268993f22c640119", part, 0x16) for part in ("org", "example", "ca"))),
]


class Issuing:
    """Makes certificates; the same ones again for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self.dice = Random(seed)  # noqa: S311 - test data
        self._points = {curve.name: [_point(curve) for _ in range(_POOL)] for curve in set(CURVES)}
        self._serial = 0

    def many(self, count: int) -> Iterator[bytes]:
        return (self.certificate() for _ in range(count))

    def certificate(self, issued: datetime | None = None) -> bytes:
        """One of any kind."""
        dice = self.dice
        first = dice.random() < 0.05
        signature = dice.choice(_SIGNATURES[:7] if dice.random() < 0.97 else _SIGNATURES[7:])
        body = [] if first else [bytes.fromhex("a003020102")]
        body += [self.serial(), signature, dice.choice(ISSUERS), self.validity(issued), self.subject(), self.key()]
        if not first:
            body.append(element(0xA3, element(0x30, *self.extensions())))
        value = dice.randbytes(dice.choice((64, 72, 256, 512)))
        return element(0x30, element(0x30, *body), signature, element(0x03, b"\0", value))

    def serial(self) -> bytes:
        """1 to 20 octets, positive, each once (but for those of one octet)."""
        size = self.dice.randint(1, 20)
        value = self.dice.getrandbits(8 * size - 1) | 1
        if size > 4:
            self._serial += 1
            value = (value >> 32 << 32) | self._serial | 1 << (8 * size - 2)
        return integer(value)

    def validity(self, issued: datetime | None = None) -> bytes:
        start = issued or self.issued()
        years = self.dice.choice((1, 2, 3, 5, 30))
        end = start.replace(year=start.year + years, day=min(start.day, 28))
        return element(0x30, self._time(start), self._time(end))

    def issued(self) -> datetime:
        if self.dice.random() < 0.1:
            return FROM + timedelta(seconds=self.dice.randrange(int((TO - FROM).total_seconds())))
        if self.dice.random() < 0.05:  # the window's edges
            return self.dice.choice((FROM, TO)) + timedelta(seconds=self.dice.choice((-1, 0, 1)))
        first = datetime(1995, 1, 1, tzinfo=UTC)
        return first + timedelta(seconds=self.dice.randrange(31 * 365 * 86_400))

    def _time(self, at: datetime) -> bytes:
        if at.year >= 2050 or self.dice.random() < 0.1:
            return element(0x18, f"{at:%Y%m%d%H%M%SZ}".encode())
        return element(0x17, f"{at:%y%m%d%H%M%SZ}".encode())

    def subject(self) -> bytes:
        dice = self.dice
        number = dice.randrange(10**9)
        parts = [attribute("550406", "GB", 0x13), attribute("55040a", "nhs", dice.choice((0x0C, 0x13)))]
        if dice.random() < 0.5:
            parts.append(attribute("55040b", "People"))
        if dice.random() < 0.1:
            parts.append(attribute("55040a", "An organisation with a long name, " * dice.randint(2, 8)))
        if dice.random() < 0.2:
            parts.append(attribute("2a864886f70d010901", f"p{number}@example.org", 0x16))
        name = f"{number:09d} Dr {dice.choice(('Ames', 'Baig', 'Cole', 'Müller', 'Núñez'))}"
        if dice.random() < 0.01:  # two attributes in one set, in their order
            both = sorted(
                element(0x30, element(0x06, bytes.fromhex(oid)), element(0x0C, text.encode()))
                for oid, text in (("550403", name), ("550405", str(number)))
            )
            return element(0x30, *parts, element(0x31, *both))
        return element(0x30, *parts, attribute("550403", name, 0x0C))

    def key(self) -> bytes:
        kind = self.dice.random()
        if kind < 0.5:
            bits = self.dice.choice(RSA_SIZES)
            modulus = self.dice.getrandbits(bits) | 1 << (bits - 1) | 1
            octets = element(0x30, integer(modulus), integer(65537))
            return element(0x30, bytes.fromhex("300d" + _OIDS["rsa"] + "0500"), element(0x03, b"\0", octets))
        if kind < 0.95:
            return self.dice.choice(self._points[self.dice.choice(CURVES).name])
        return element(0x30, bytes.fromhex("3005" + _OIDS["ed25519"]), element(0x03, b"\0", self.dice.randbytes(32)))

    def extensions(self) -> list[bytes]:
        dice = self.dice
        usage = dice.choice(("03020640", "030206c0", "03020780", "030205a0", "03020106", "0303070880"))
        found = [
            extension("551d0f", bytes.fromhex(usage), critical=dice.random() < 0.8),
            extension("551d0e", element(0x04, dice.randbytes(20))),
            extension("551d23", element(0x30, element(0x80, bytes([dice.randrange(5)] * 20)))),
        ]
        if dice.random() < 0.1:
            del found[0]
        if dice.random() < 0.7:
            found.append(extension("551d13", element(0x30), critical=True))
        if dice.random() < 0.5:
            purposes = element(0x30, bytes.fromhex("06082b06010505070304"), bytes.fromhex("06082b06010505070302"))
            found.append(extension("551d25", purposes))
        if dice.random() < 0.6:
            name = element(0x81, f"p{dice.randrange(10**9)}@example.org".encode())
            found.append(extension("551d11", element(0x30, name)))
        if dice.random() < 0.6:
            place = element(0x86, f"http://crl.example/{dice.randrange(20)}.crl".encode())
            found.append(extension("551d1f", element(0x30, element(0x30, element(0xA0, element(0xA0, place))))))
        if dice.random() < 0.5:
            ways = element(0x30, bytes.fromhex("06082b06010505073001"), element(0x86, b"http://ocsp.example"))
            found.append(extension("2b06010505070101", element(0x30, ways)))
        if dice.random() < 0.3:
            dice.shuffle(found)
        return found


def _point(curve: ec.EllipticCurve) -> bytes:
    public = ec.generate_private_key(curve).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class Damage:
    """One way to spoil a certificate."""

    name: str
    done: Callable[[bytes, Random], bytes]


def _changed(der: bytes, dice: Random) -> bytes:
    place = dice.randrange(len(der))
    return der[:place] + bytes([der[place] ^ dice.randrange(1, 256)]) + der[place + 1 :]


def _changed_in_front(der: bytes, dice: Random) -> bytes:
    place = dice.randrange(min(250, len(der)))
    return der[:place] + bytes([dice.randrange(256)]) + der[place + 1 :]


def _resized(der: bytes, dice: Random) -> bytes:
    """An octet more or less inside; the lengths outside are put right in one case of two."""
    place = dice.randrange(8, len(der))
    body = der[:place] + (b"" if dice.random() < 0.5 else dice.randbytes(1)) + der[place + dice.randrange(2) :]
    return element(0x30, body[4:]) if dice.random() < 0.5 else body


def _dates(der: bytes, dice: Random) -> bytes:
    place = der.find(b"\x17\x0d")
    digits = bytes(dice.choice(b"0123456789Z+-. ") for _ in range(13))
    return der if place < 0 else der[: place + 2] + digits + der[place + 15 :]


DAMAGES = (
    Damage("one octet changed", _changed),
    Damage("one octet changed in front", _changed_in_front),
    Damage("cut short", lambda der, dice: der[: dice.randrange(len(der))]),
    Damage("something behind", lambda der, dice: der + dice.randbytes(dice.randint(1, 9))),
    Damage("an octet more or less", _resized),
    Damage("other dates", _dates),
    Damage("zeros", lambda der, dice: der[: (n := dice.randrange(len(der)))] + bytes(8) + der[n + 8 :]),
    Damage("rubbish", lambda der, dice: dice.randbytes(dice.randint(0, 400))),
    Damage(
        "twice the extension", lambda der, dice: der.replace(bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0f"))
    ),
    Damage("a negative serial", lambda der, dice: _at_serial(der, 0, 0x80)),
    Damage("a serial with a zero too many", lambda der, dice: _at_serial(der, 0, 0)),
    Damage("version 2", lambda der, dice: der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"), 1)),
    Damage("a longer length", lambda der, dice: der[:2] + bytes([dice.randrange(256)] * 2) + der[4:]),
    Damage("4 GiB", lambda der, dice: bytes.fromhex("3084ffffffff") + der[4:]),
)


def _at_serial(der: bytes, offset: int, value: int) -> bytes:
    place = der.find(bytes.fromhex("a003020102"))
    if place < 0:
        return der[:40]
    place += 7 + offset
    return der[:place] + bytes([value]) + der[place + 1 :]


def damaged(der: bytes, dice: Random) -> bytes:
    """`der` spoilt in one of the ways of `DAMAGES`. Some of them leave a certificate that is good."""
    return dice.choice(DAMAGES).done(der, dice)
