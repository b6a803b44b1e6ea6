"""D-Bus of a test's own: a bus (Debian's dbus-daemon), and programs on it that say what a test has them say."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return, new_signal
from jeepney.io.blocking import open_dbus_connection

from tests.pcsc import until
from tests.programs import require

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  {programs}
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
"""
_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_SERVER = "org.freedesktop.Notifications"
_HERE = DBusAddress("/org/freedesktop/Notifications", _SERVER, _SERVER)


@contextmanager
def bus(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """A bus while this lasts; its address. With `env`, programs that are asked for are started, in that environment."""
    configuration = folder / "bus.conf"
    programs = "<standard_session_servicedirs/>" if env is not None else ""
    configuration.write_text(_CONFIGURATION.format(socket=folder / "bus", programs=programs))
    daemon = subprocess.Popen(
        [require("dbus-daemon"), f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    assert daemon.stdout is not None
    try:
        assert daemon.stdout.readline().startswith(b"unix:path=")
        yield f"unix:path={folder}/bus"
    finally:
        daemon.terminate()
        daemon.wait(10)
        daemon.stdout.close()


class Program:
    """Something that owns `name` on the bus at `address` while the context lasts; `answer` is its manner."""

    def __init__(self, address: str, name: str) -> None:
        self._name = name
        self._bus = open_dbus_connection(address)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Any:
        self._bus.send_and_get_reply(new_method_call(_BUS, "RequestName", "su", (self._name, 4)))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._bus.send(new_method_call(_BUS, "ReleaseName", "s", (self._name,)))
            self._bus.sock.shutdown(2)
        self._thread.join(5)
        self._bus.close()

    def _serve(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                message = self._bus.receive()
                if message.header.message_type is MessageType.method_call:
                    answer = self.answer(message.header.fields.get(HeaderFields.member), message)
                    if answer is not None:
                        self._bus.send(answer)

    def answer(self, name: object, message: Any) -> Any:
        """The answer to one call; None for silence."""
        raise NotImplementedError

    def emit(self, name: str, signature: str, body: tuple[Any, ...]) -> None:
        self._bus.send(new_signal(_HERE, name, signature, body))


@dataclass(frozen=True, slots=True)
class Note:
    """One call of Notify."""

    number: int
    replaces: int
    title: str
    body: str
    actions: dict[str, str]
    hints: dict[str, Any]
    lasts: int


@dataclass
class Manner:
    """How a desktop behaves. `said`: what Notify answers, as (signature, body), in place of a number."""

    can: tuple[str, ...] = ("actions", "body", "body-markup")
    silent: bool = False
    closes: bool = True
    said: tuple[str, tuple[Any, ...]] | None = None


class Desktop(Program):
    """A notification server: what it shows now (`up`), and all that it was ever asked to."""

    def __init__(self, address: str, manner: Manner | None = None) -> None:
        super().__init__(address, _SERVER)
        self.manner = manner or Manner()
        self.asked: list[Note] = []
        self.up: dict[int, Note] = {}

    def answer(self, name: object, message: Any) -> Any:
        if self.manner.silent:
            return None
        if name == "GetCapabilities":
            return new_method_return(message, "as", (list(self.manner.can),))
        if name == "Notify":
            return self._notify(message)
        if name == "CloseNotification" and self.manner.closes:
            self.close(message.body[0], 3)
        return new_method_return(message)

    def _notify(self, message: Any) -> Any:
        if self.manner.said is not None:
            return new_method_return(message, *self.manner.said)
        _, replaces, _, title, body, actions, hints, lasts = message.body
        pairs = dict(zip(actions[::2], actions[1::2], strict=True))
        number = replaces or len(self.asked) + 1
        note = Note(number, replaces, title, body, pairs, {key: value for key, (_, value) in hints.items()}, lasts)
        self.asked.append(note)
        self.up[number] = note
        return new_method_return(message, "u", (number,))

    def shows(self) -> Note:
        """The only one, as soon as there is one."""
        until(lambda: len(self.up) == 1)
        return next(iter(self.up.values()))

    def shows_nothing(self) -> None:
        until(lambda: not self.up)

    def press(self, action: str) -> None:
        """A button of the notification that is shown."""
        note = self.shows()
        assert action in note.actions
        self.emit("ActionInvoked", "us", (note.number, action))
        self.close(note.number, 2)

    def close(self, number: int, why: int) -> None:
        if self.up.pop(number, None) is not None:
            self.emit("NotificationClosed", "uu", (number, why))


@dataclass
class Seat:
    """What logind says of the person's session."""

    active: bool = True
    session: str = "/org/freedesktop/login1/session/_31"
    asked: list[object] = field(default_factory=list)


class Login(Program):
    """As much of logind as tells whose screen it is."""

    def __init__(self, address: str, seat: Seat) -> None:
        super().__init__(address, "org.freedesktop.login1")
        self.seat = seat

    def answer(self, name: object, message: Any) -> Any:
        if name == "GetUser":
            return new_method_return(message, "o", (f"/org/freedesktop/login1/user/_{message.body[0]}",))
        wanted = message.body[1] if name == "Get" else ""
        self.seat.asked.append(wanted)
        if wanted == "Display":
            return new_method_return(message, "v", (("(so)", ("1", self.seat.session)),))
        if wanted == "Active" and message.header.fields[HeaderFields.path] == self.seat.session:
            return new_method_return(message, "v", (("b", self.seat.active),))
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")
