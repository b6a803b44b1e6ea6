"""A system bus of our own (Debian's dbus-daemon) with somebody on it who keeps inhibitor locks as logind does."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jeepney import DBusAddress, MessageType, new_error, new_method_call, new_method_return
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from tests.pcsc import until
from tests.programs import missing

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
"""


@dataclass
class Logind:
    """What was asked for, as (what, who, mode), and who holds a lock now. `refuses`: modes that its policy denies."""

    address: str
    refuses: frozenset[str] = frozenset()
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, bus: DBusConnection, owned: threading.Event) -> None:
        """Answer `Inhibit` until the bus goes away."""
        service = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        bus.send_and_get_reply(new_method_call(service, "RequestName", "su", ("org.freedesktop.login1", 4)))
        owned.set()
        while True:
            try:
                message = bus.receive()
            except (OSError, EOFError):
                return
            if message.header.message_type is MessageType.method_call:
                self._answer(bus, message)

    def _answer(self, bus: DBusConnection, message: object) -> None:
        what, who, why, mode = message.body  # type: ignore[attr-defined]
        assert "smartcard" in why
        self.asked.append((what, who, mode))
        if mode in self.refuses:
            bus.send(new_error(message, "org.freedesktop.DBus.Error.AccessDenied"))
            return
        kept, given = os.pipe()
        with self._lock:
            self.held += 1
        threading.Thread(target=self._watch, args=(kept,), daemon=True).start()
        bus.send(new_method_return(message, "h", (given,)))
        os.close(given)

    def _watch(self, kept: int) -> None:
        """The lock is given back when the last copy of its other end is closed, by whomever: as logind does it."""
        with os.fdopen(kept, "rb", buffering=0) as end:
            assert end.read(1) == b""
        with self._lock:
            self.held -= 1

    def wait_until(self, held: int) -> None:
        """Until so many locks are held."""
        until(lambda: self.held == held)


@contextmanager
def logind(folder: Path, refuses: frozenset[str] = frozenset()) -> Iterator[Logind]:
    """A bus at `address`, for DBUS_SYSTEM_BUS_ADDRESS, while this lasts. Skips where there is no dbus-daemon."""
    socket, configuration = folder / "bus", folder / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(socket=socket))
    try:
        daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address"],
            stdout=subprocess.PIPE,
        )
    except FileNotFoundError:
        missing("dbus-daemon is not installed")
    try:
        assert daemon.stdout is not None and daemon.stdout.readline().startswith(b"unix:path=")
        served = Logind(f"unix:path={socket}", refuses)
        bus, owned = open_dbus_connection(served.address, enable_fds=True), threading.Event()
        thread = threading.Thread(target=served.serve, args=(bus, owned), daemon=True)
        thread.start()
        assert owned.wait(5)
        yield served
    finally:
        daemon.terminate()
        daemon.wait(10)
        assert daemon.stdout is not None
        daemon.stdout.close()
    thread.join(5)
    bus.close()
