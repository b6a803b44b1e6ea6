"""The computer's power while a smartcard is changed: enough of it beforehand, and no shutdown or sleep meanwhile.

Linux tells about batteries in /sys/class/power_supply, and logind keeps a computer up for whoever holds one of its
inhibitor locks. Where either is missing, or says no, nothing is known and nothing is in the way. Runs in the
short-lived child alone, with which the lock ends however the child ends: the kernel closes its descriptor.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Protocol

from renewagent.language import N_, _

log = logging.getLogger(__name__)

SUPPLIES = Path("/sys/class/power_supply")
LEAST = 10
"""Percent of its battery under which a computer that is not plugged in begins no renewal."""
_LOGIND = "org.freedesktop.login1"
_BUS_LIMIT = 2.0
"""Seconds for logind's answer."""
_WISHES = (
    # Closing the lid would suspend whatever else is inhibited (systemd-inhibit(1), LidSwitchIgnoreInhibited).
    ("shutdown:sleep:handle-lid-switch", "block"),
    # A policy may let only the person in front of the computer block, and anybody delay.
    ("shutdown:sleep", "delay"),
)
_WHY = N_("A smartcard is being renewed. It takes less than a minute.")


class Power(Protocol):
    """What a renewal wants of the computer's power. Nothing here raises."""

    def battery(self) -> int | None:
        """Percent left, where the computer runs on its battery; None where it is plugged in, or cannot tell."""

    def hold(self) -> None:
        """Keep the computer up from now on; once more is no harm."""

    def release(self) -> None:
        """It may go down again; also where it was never held."""


class UnknownPower:
    """A `Power` of which nothing is known."""

    def battery(self) -> int | None:
        """See `Power`."""
        return None

    def hold(self) -> None:
        """See `Power`."""

    def release(self) -> None:
        """See `Power`."""


class LinuxPower:
    """See `Power`."""

    def __init__(self, supplies: Path = SUPPLIES) -> None:
        self._supplies = supplies
        self._asked = False
        self._lock: int | None = None

    def battery(self) -> int | None:
        """See `Power`: the mean of all batteries, if one is being used up and nothing is plugged in."""
        try:
            found = [_Supply(folder) for folder in sorted(self._supplies.iterdir())]
        except OSError:
            return None
        own = [supply for supply in found if supply.told("scope") != "Device"]  # else it is a mouse's, or a headset's
        if any(supply.told("online") not in ("", "0") for supply in own):
            return None
        batteries = [supply for supply in own if supply.told("type") == "Battery"]
        left = [percent for battery in batteries if (percent := battery.percent) is not None]
        if not left or not any(battery.told("status") == "Discharging" for battery in batteries):
            return None
        return round(sum(left) / len(left))

    def hold(self) -> None:
        """See `Power`: logind is asked once, until `release`."""
        if not self._asked:
            self._asked, self._lock = True, inhibitor()

    def release(self) -> None:
        """See `Power`."""
        lock, self._lock, self._asked = self._lock, None, False
        if lock is not None:
            os.close(lock)


class _Supply:
    """One folder of /sys/class/power_supply (the kernel's Documentation/ABI/testing/sysfs-class-power)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def told(self, name: str) -> str:
        """What the kernel says, empty where it says nothing."""
        try:
            return (self._folder / name).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    @property
    def percent(self) -> int | None:
        text = self.told("capacity")
        return min(int(text), 100) if text.isascii() and text.isdecimal() else None


def inhibitor() -> int | None:
    """One of logind's inhibitor locks (a descriptor: closing it gives the lock back), None where there is none."""
    try:
        from jeepney.io.blocking import open_dbus_connection  # on Linux alone

        with open_dbus_connection("SYSTEM", enable_fds=True, auth_timeout=_BUS_LIMIT) as bus:
            for what, mode in _WISHES:
                if (lock := _ask(bus, what, mode)) is not None:
                    return lock
    except Exception as problem:  # whatever is wrong with this computer's bus: the card does not depend on it
        log.info("power.not_held reason=%s", type(problem).__name__)
    return None


def _ask(bus: object, what: str, mode: str) -> int | None:
    from jeepney import DBusAddress, MessageType, new_method_call

    logind = DBusAddress("/org/freedesktop/login1", bus_name=_LOGIND, interface="org.freedesktop.login1.Manager")
    wish = new_method_call(logind, "Inhibit", "ssss", (what, "renewagent", _(_WHY), mode))
    answer = bus.send_and_get_reply(wish, timeout=_BUS_LIMIT)  # type: ignore[attr-defined]
    if answer.header.message_type is not MessageType.method_return:
        return None
    lock = int(answer.body[0].to_raw_fd())
    os.set_inheritable(lock, False)
    return lock
