"""The readers and card drivers of this workstation, as the configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from renewagent.agent.removal import is_remote
from renewagent.card.interface import CardConnection, CardDriver, KeepsManagementKey, Readers
from renewagent.errors import NoCard, NoReader
from renewagent.language import N_, _
from renewagent_drivers import FactoryKey, KeptElsewhere, KeyFile, ManagementKey, PinProtectedKey, drivers, open_card

if TYPE_CHECKING:
    from renewagent.configuration import CardSettings  # the resident agent does without the rest of that module


_ELSEWHERE = N_(
    "You are connected to this computer from another one: have your IT support let the connection pass smartcards on, "
    "or use the computer that the reader is plugged into."
)


def open_readers(where: str, patience: float | None = None) -> Readers:
    """The readers that `card.readers` names: "pcsc", or "unix:/path" for those of another process. `patience`: seconds
    to wait for other programs, if not as usual.

    Raises PcscUnavailable.
    """
    if where != "pcsc":
        from renewagent.card.relay import RelayReaders

        return RelayReaders(where)
    from renewagent.card.pcsc import PcscReaders

    return PcscReaders() if patience is None else PcscReaders(patience=patience)


def filled_readers(readers: Readers, wanted: str | None) -> list[str]:
    """The readers that hold a card: all of them, or only `wanted`. Raises NoReader, NoCard."""
    states = readers.states()
    if not states:
        raise NoReader(_("There is no smartcard reader."), advice=_(_ELSEWHERE) if is_remote() else None)
    if wanted is not None and wanted not in states:
        raise NoReader(
            _("There is no smartcard reader called {name}.").format(name=wanted),
            advice=_("There are: {readers}.").format(readers=", ".join(states)),
        )
    filled = [name for name, state in sorted(states.items()) if state.present and wanted in (None, name)]
    if not filled:
        raise NoCard(_("There is no smartcard in the reader."))
    return filled


def card_opener(
    settings: CardSettings, keeper: KeepsManagementKey | None = None
) -> Callable[[CardConnection], CardDriver]:
    """Opens the driver for a connection, with the management key source and the PKCS#11 module of the configuration.
    `keeper`: who keeps the keys where they are not here. For short-lived processes: a PKCS#11 module is no guest for
    one that stays."""
    key, known = management_key(settings, keeper), drivers(settings.pkcs11_module)
    return lambda connection: open_card(connection, management_key=key, among=known)


def management_key(settings: CardSettings, keeper: KeepsManagementKey | None = None) -> ManagementKey:
    """The source that `card.management_key` names; nothing is read before it is needed."""
    source = settings.management_key
    if source.kind == "ra":
        return KeptElsewhere(keeper)
    if source.kind == "file" and source.path is not None:
        return KeyFile(source.path)
    return PinProtectedKey() if source.kind == "pin-protected" else FactoryKey()
