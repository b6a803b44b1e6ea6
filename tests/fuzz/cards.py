"""What cards send: answers to APDUs, and certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from renewagent.card.der import Truncated
from renewagent.card.head import (
    certificate_algorithms,
    certificate_head,
    certificate_key,
    certificate_names,
    public_key_kind,
)
from renewagent.card.interface import KeyType
from renewagent.certificates import read_certificate
from renewagent.errors import CardDataError, CardError
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent_drivers.piv import PivDriver
from renewagent_drivers.piv_objects import (
    AUTHENTICATION,
    SIGNATURE,
    certificate_front,
    certificate_in,
    guid_in,
    management_key_in,
    retired_in_use,
)
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from tests.fuzz.mutation import change_elements
from tests.fuzz.target import Ready, Target
from tests.made import certificate

READER = "Desk reader"
FACTORY_PIN = "123456"


class LyingCard:
    """A connection whose answers are `octets`: each two of length, then so many. The last is given again and again."""

    def __init__(self, octets: bytes) -> None:
        self._answers = _answers(octets)
        self._last = b"\x6a\x82"
        self.reader, self.atr = READER, b"\x3b\x00"

    def transmit(self, command: bytes) -> bytes:
        """Whatever was asked."""
        self._last = next(self._answers, self._last)
        return self._last

    @contextmanager
    def transaction(self) -> Iterator[LyingCard]:
        """Nobody else is there."""
        yield self

    def reset_at_end(self) -> None:
        """Nothing is remembered anyway."""

    def close(self) -> None:
        """Nothing to do."""


def _answers(octets: bytes) -> Iterator[bytes]:
    at = 0
    while at + 2 <= len(octets):
        size = int.from_bytes(octets[at : at + 2], "big")
        yield octets[at + 2 : at + 2 + size]
        at += 2 + size


def _sign(driver: PivDriver, slot: Slot) -> None:
    with driver.signing(Pin(FACTORY_PIN)) as session:
        session.sign(slot, b"a prescription", "sha256")


def _generate(driver: PivDriver) -> None:
    with driver.administration() as session:
        session.generate(SIGNATURE, KeyType.P256)
        session.store(SIGNATURE, b"\x30\x00")


ERRANDS: tuple[Callable[[PivDriver], object], ...] = (
    lambda driver: driver.identity(),
    lambda driver: driver.head(SIGNATURE),
    lambda driver: driver.certificate(SIGNATURE),
    lambda driver: list(driver.slots()),
    lambda driver: driver.capabilities(),
    lambda driver: driver.pin_tries(),
    lambda driver: driver.public_key(SIGNATURE),
    lambda driver: _sign(driver, SIGNATURE),
    lambda driver: _sign(driver, AUTHENTICATION),
    _generate,
)


def _errand(octets: bytes) -> None:
    which = ERRANDS[octets[0] % len(ERRANDS)] if octets else ERRANDS[0]
    try:
        which(PivDriver.open(LyingCard(octets[1:])))
    except CardError:
        pass


def _recorded(card: VirtualCard, number: int) -> bytes:
    """What a true card answers on one errand."""
    said: list[bytes] = []
    readers = VirtualReaders([READER], on_exchange=lambda reader, command, response: said.append(response))
    readers.insert(READER, card)
    try:
        ERRANDS[number](PivDriver.open(readers.connect(READER)))
    except CardError:
        pass  # what it said is worth as much
    finally:
        readers.remove(READER)
    return bytes((number,)) + _joined(said)


def _change_answers(octets: bytes, dice: Random) -> bytes:
    """One answer left out, given twice, of another status, or with an element changed."""
    answers = list(_answers(octets[1:]))
    if not answers:
        return octets
    at, kind = dice.randrange(len(answers)), dice.randrange(6)
    data, status = answers[at][:-2], answers[at][-2:]
    if kind == 0:
        del answers[at]
    elif kind == 1:
        answers.insert(at, answers[dice.randrange(len(answers))])
    elif kind == 2:
        answers[at] = data + dice.choice(_STATUSES)
    else:
        answers[at] = change_elements(data, dice) + status
    return octets[:1] + _joined(answers)


_STATUSES = tuple(bytes.fromhex(sw) for sw in ("9000", "6a82", "6982", "63c3", "63c1", "6983", "6100", "6c10", "6d00"))


def _joined(answers: list[bytes]) -> bytes:
    return b"".join(len(answer).to_bytes(2, "big") + answer for answer in answers)


def _card(folder: Path) -> Ready:
    made = []
    for profile in ("plain", "extended"):
        card = VirtualCard.create(None, profile=profile)
        for slot in (0x9A, 0x9C):
            card.write_certificate(slot, certificate(card.generate(slot, "p256")))
        made += [_recorded(card, number) for number in range(len(ERRANDS))]
    return Ready(_errand, tuple(made))


def _objects(octets: bytes) -> None:
    for read in (certificate_in, guid_in, retired_in_use, management_key_in):
        try:
            read(octets)
        except ValueError:
            pass
    whole = _front(octets)
    for size in {len(octets) // 2, max(len(octets) - 1, 0)}:
        part = _front(octets[:size])
        assert not isinstance(whole, tuple) or part is Truncated or isinstance(part, tuple), "half says no, whole yes"


def _front(octets: bytes) -> object:
    try:
        front = certificate_front(octets)
    except Truncated:
        return Truncated
    except ValueError:
        return ValueError
    return front and (front.octets,)


def _object_seeds(folder: Path) -> Ready:
    card = VirtualCard.create(None)
    for slot in (0x9A, 0x9C):
        card.write_certificate(slot, certificate(card.generate(slot, "p256")), gzip=slot == 0x9C)
    names = (0x5FC102, 0x5FC105, 0x5FC10A, 0x5FC10C)
    return Ready(_objects, tuple(filter(None, (card.object(name) for name in names))))


def _head(octets: bytes) -> None:
    """What is read of a part agrees with what is read of the whole."""
    total = None if len(octets) % 2 else len(octets)
    whole = _told(octets, total)
    part = _told(octets[: len(octets) // 2], total)
    # What follows may yet spoil it; it cannot mend or change it.
    assert part is None or part == whole or whole is CardDataError, "a part tells otherwise than the whole"
    for read in (certificate_names, certificate_key, certificate_algorithms, public_key_kind):
        try:
            read(octets)
        except CardDataError:
            pass


def _told(octets: bytes, total: int | None) -> object:
    try:
        return certificate_head(octets, total)
    except CardDataError:
        return CardDataError


def _whole(octets: bytes) -> None:
    try:
        found = read_certificate(octets, "piv")
    except CardDataError:
        return
    assert found.head == certificate_head(octets, len(octets))


def certificates() -> tuple[bytes, ...]:
    """As many kinds as we make."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).public_key()
    return certificate(), certificate(usage=None), certificate(key), certificate(serial=0x80 << 150)


TARGETS = (
    Target("card", "a card that answers anything, on ten errands of the PIV driver", _card, change=_change_answers),
    Target("card-object", "PIV data objects", _object_seeds, 2048, change_elements),
    Target("head", "the front of a certificate", lambda folder: Ready(_head, certificates()), 2048, change_elements),
    Target(
        "certificate", "a certificate read whole", lambda folder: Ready(_whole, certificates()), 2048, change_elements
    ),
)
