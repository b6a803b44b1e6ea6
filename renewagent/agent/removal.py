"""What taking a smartcard out does to the desktop: it may lock the screen, or sign the person out with everything that
is not saved. Read from the desktop's own settings before anybody is asked to take a card out.

GNOME keeps it as `removal-action` (org.gnome.settings-daemon.peripherals.smartcard), Windows as "Interactive logon:
Smart card removal behavior" (ScRemoveOption). Elsewhere, and where they do not answer, nothing is known.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from enum import Enum

_LIMIT = 3.0
"""Seconds for the settings' answer."""
_ASK_GNOME = ("gsettings", "get", "org.gnome.settings-daemon.peripherals.smartcard", "removal-action")
_WINLOGON = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon"


class OnRemoval(Enum):
    """What happens to the desktop when a card is taken out."""

    NOTHING = "nothing"
    LOCKS = "locks"
    SIGNS_OUT = "signs-out"
    DISCONNECTS = "disconnects"
    """A remote session is left; it goes on without the person."""
    UNKNOWN = "unknown"


_GNOME = {"none": OnRemoval.NOTHING, "lock-screen": OnRemoval.LOCKS, "force-logout": OnRemoval.SIGNS_OUT}
_WINDOWS = {
    "0": OnRemoval.NOTHING,
    "1": OnRemoval.LOCKS,
    "2": OnRemoval.SIGNS_OUT,
    "3": OnRemoval.DISCONNECTS,
}


def on_removal() -> OnRemoval:
    """As this desktop is set. Never fails."""
    return _on_windows() if sys.platform == "win32" else _on_gnome()


def is_remote(environment: Mapping[str, str] = os.environ) -> bool:
    """The person sits at another computer, as far as the session itself tells: its readers are there, too."""
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.user32.GetSystemMetrics(0x1000))  # SM_REMOTESESSION
    return any(environment.get(name) for name in ("SSH_CONNECTION", "XRDP_SESSION", "VNCDESKTOP", "CITRIX_SESSION_ID"))


def _on_gnome() -> OnRemoval:
    try:
        done = subprocess.run(_ASK_GNOME, capture_output=True, text=True, timeout=_LIMIT, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return OnRemoval.UNKNOWN
    return _GNOME.get(done.stdout.strip().strip("'"), OnRemoval.UNKNOWN)


def _on_windows() -> OnRemoval:  # written, and not run here
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _WINLOGON) as key:
                return _WINDOWS.get(str(winreg.QueryValueEx(key, "ScRemoveOption")[0]), OnRemoval.UNKNOWN)
        except OSError:
            pass
    return OnRemoval.UNKNOWN
