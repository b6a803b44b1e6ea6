"""The readers and card drivers of this workstation, as the configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from renewagent.card.interface import CardConnection, CardDriver, Readers
from renewagent_drivers import FactoryKey, KeyFile, ManagementKey, PinProtectedKey, open_card

if TYPE_CHECKING:
    from renewagent.configuration import CardSettings  # the resident agent does without the rest of that module


def open_readers(where: str) -> Readers:
    """The readers that `card.readers` names: "pcsc", or "unix:/path" for those of another process.

    Raises PcscUnavailable.
    """
    if where != "pcsc":
        from renewagent.card.relay import RelayReaders

        return RelayReaders(where)
    from renewagent.card.pcsc import PcscReaders

    return PcscReaders()


def card_opener(settings: CardSettings) -> Callable[[CardConnection], CardDriver]:
    """Opens the driver for a connection, with the management key source of the configuration."""
    key = management_key(settings)
    return lambda connection: open_card(connection, management_key=key)


def management_key(settings: CardSettings) -> ManagementKey:
    """The source that `card.management_key` names; nothing is read before it is needed."""
    source = settings.management_key
    if source.kind == "file" and source.path is not None:
        return KeyFile(source.path)
    return PinProtectedKey() if source.kind == "pin-protected" else FactoryKey()
