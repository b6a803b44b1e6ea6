"""How to speak to one family of card: one module per family, tried in the order of `DRIVERS`.

To add a family, write a module with an `open` like `piv.PivDriver.open` and name it here; `tests/drivers/contract.py`
says what it must keep. Cards behind a vendor's PKCS#11 module come last, and only where a module is configured and
asked for (`drivers`): the resident agent, which does not, never loads one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from renewagent.card.interface import CardConnection, CardDriver
from renewagent.errors import UnsupportedCard
from renewagent_drivers.management_key import (
    FactoryKey,
    KeptElsewhere,
    KeyFile,
    ManagementKey,
    PinProtectedKey,
    management_key_source,
)
from renewagent_drivers.piv import PivDriver

__all__ = [
    "DRIVERS",
    "FactoryKey",
    "KeptElsewhere",
    "KeyFile",
    "ManagementKey",
    "OpensCards",
    "PinProtectedKey",
    "drivers",
    "management_key_source",
    "open_card",
]


class OpensCards(Protocol):
    """A driver's `open`."""

    def __call__(self, connection: CardConnection, *, management_key: ManagementKey | None = None) -> CardDriver:
        """Raises UnsupportedCard for a card of another family."""


DRIVERS: tuple[OpensCards, ...] = (PivDriver.open,)


def drivers(pkcs11_module: Path | None = None) -> tuple[OpensCards, ...]:
    """`DRIVERS`, and last the cards behind that PKCS#11 module. For short-lived processes: see `pkcs11`."""
    if pkcs11_module is None:
        return DRIVERS
    from renewagent_drivers.pkcs11 import Pkcs11Cards  # brings cryptography along

    return (*DRIVERS, Pkcs11Cards(pkcs11_module).open)


def open_card(
    connection: CardConnection,
    *,
    management_key: ManagementKey | None = None,
    among: Sequence[OpensCards] = DRIVERS,
) -> CardDriver:
    """The first driver of `among` that knows the card. Without a `management_key` source the factory's key is tried
    for writing.

    Raises UnsupportedCard, and `ReaderError` for trouble on the way to the card.
    """
    for open_driver in among:
        try:
            return open_driver(connection, management_key=management_key)
        except UnsupportedCard as e:
            refused = e
    raise refused
