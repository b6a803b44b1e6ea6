"""Where the card management key comes from: the factory's, a file, or the card itself behind the PIN; or who keeps it.

Configured as `card.management_key`: "default", "file:PATH", "pin" or "ra". A key lives as long as one administration
session; it is in no message, log or repr. One that is kept elsewhere (the RA's) is never here at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from renewagent.card.interface import KeepsManagementKey
from renewagent.errors import ConfigurationError, ManagementKeyRefused
from renewagent.language import _

_FACTORY = bytes(range(1, 9)) * 3
_LENGTHS = frozenset({16, 24, 32})


class ManagementKey(Protocol):
    """A source of the key."""

    @property
    def needs_pin(self) -> bool:
        """True when the card gives the key out after a VERIFY only."""

    def obtain(self, read_from_card: Callable[[], bytes | None]) -> bytes | KeepsManagementKey:
        """The key: 16, 24 or 32 octets; or who keeps it. `read_from_card` reads the one that the card keeps behind its
        PIN."""


@dataclass(frozen=True, slots=True)
class FactoryKey:
    """The key that cards leave the factory with."""

    needs_pin: bool = False

    def obtain(self, read_from_card: Callable[[], bytes | None]) -> bytes:
        """See `ManagementKey`."""
        return _FACTORY


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Hex on the first line of a file that only its owner and group may read."""

    path: Path
    needs_pin: bool = False

    def obtain(self, read_from_card: Callable[[], bytes | None]) -> bytes:
        """See `ManagementKey`. Raises ConfigurationError."""
        try:
            with self.path.open(encoding="ascii") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
                    raise ConfigurationError(
                        _("Everybody on this computer can read or change the management key file {path}.").format(
                            path=self.path
                        ),
                        advice=_("Take the rights away from others: chmod o-rwx {path}").format(path=self.path),
                    )
                key = bytes.fromhex(file.readline(200).strip())
        except OSError as e:
            raise ConfigurationError(
                _("The management key file {path} cannot be read: {why}.").format(path=self.path, why=e.strerror)
            ) from e
        except ValueError:  # its text may hold the key, or half of it
            raise ConfigurationError(
                _("The management key file {path} does not begin with hex digits.").format(path=self.path)
            ) from None
        if len(key) not in _LENGTHS:
            raise ConfigurationError(
                _("The key in {path} is {count} bytes long; it must be 16, 24 or 32.").format(
                    path=self.path, count=len(key)
                )
            )
        return key


@dataclass(frozen=True, slots=True)
class PinProtectedKey:
    """The key that the card keeps in an object which it gives out after the PIN (Yubico's "PIN-protected")."""

    needs_pin: bool = True

    def obtain(self, read_from_card: Callable[[], bytes | None]) -> bytes:
        """See `ManagementKey`. Raises ManagementKeyRefused."""
        key = read_from_card()
        if key is None or len(key) not in _LENGTHS:
            raise ManagementKeyRefused(_("The smartcard keeps no management key behind its passcode."))
        return key


@dataclass(frozen=True, slots=True)
class KeptElsewhere:
    """A key that is not given out. Without a `keeper` nothing can be written."""

    keeper: KeepsManagementKey | None = None
    needs_pin: bool = False

    def obtain(self, read_from_card: Callable[[], bytes | None]) -> KeepsManagementKey:
        """See `ManagementKey`. Raises ManagementKeyRefused."""
        if self.keeper is None:
            raise ManagementKeyRefused(_("The management key is kept elsewhere, and whoever keeps it was not asked."))
        return self.keeper


def management_key_source(setting: str) -> ManagementKey:
    """The source that `card.management_key` names. Raises ConfigurationError."""
    if setting == "default":
        return FactoryKey()
    if setting == "pin":
        return PinProtectedKey()
    if setting.startswith("file:") and len(setting) > len("file:"):
        return KeyFile(Path(setting.removeprefix("file:")))
    raise ConfigurationError(_('card.management_key must be "default", "pin" or "file:" and a path.'))
