"""One desktop notification, from being shown until it is answered or taken back: a short-lived child of the agent.

    python -m renewagent.agent.notify_child

A line of JSON on standard input says what to show: {"title", "body", "plain", "actions": {id: words}, "critical"};
`plain` is the body where the desktop has no buttons. The first line of the answer says whether it is shown:
{"shown": true} or {"shown": false, "why"}; the second what became of it: {"action": id}, "closed", or "lost" with the
program that showed it. When standard input ends, the notification goes, and so does this.

Desktop Notifications Specification 1.2; whose screen it is, by logind. Whatever a desktop does, it holds nobody up.
"""

from __future__ import annotations

import html
import json
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MatchRule, Properties, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.low_level import Message as BusMessage
from jeepney.low_level import MessageType

from renewagent.language import _

_SERVER = "org.freedesktop.Notifications"
_NOTIFICATIONS = DBusAddress("/org/freedesktop/Notifications", bus_name=_SERVER, interface=_SERVER)
_LOGIN = DBusAddress(
    "/org/freedesktop/login1", bus_name="org.freedesktop.login1", interface="org.freedesktop.login1.Manager"
)
_SESSION = "org.freedesktop.login1.Session"
_LIMIT = 4.0
"""Seconds for an answer from a bus."""
_LAST_WORD = 1.0
"""Seconds for a notification to go once it is to."""
_PATIENCE = 5
"""Seconds in all, until it is shown and again until it is gone; then the kernel ends this."""
_MOST = 2000
_NEVER, _AS_IT_SEES_FIT, _AT_ONCE = 0, -1, 1
_LOW, _NORMAL, _CRITICAL = 0, 1, 2
CLOSED, LOST = "closed", "lost"
NOT_ACTIVE = "another person has this screen"


class _Refused(Exception):
    """It cannot be shown; the text says why, for a log."""


def main() -> int:
    """See the module."""
    signal.alarm(_PATIENCE)
    wish, shown = json.loads(sys.stdin.buffer.readline()), False
    try:
        if not has_the_screen():
            raise _Refused(NOT_ACTIVE)
        with open_dbus_connection(_session_bus(), auth_timeout=_LIMIT) as bus:
            notification = _Notification(bus, wish.get("actions", {}))
            notification.show(wish)
            _say({"shown": True})
            signal.alarm(0)
            shown = True
            _say({"action": notification.answer()})
    except Exception as problem:  # whatever is wrong with this desktop: the agent says it elsewhere
        _say({"action": LOST} if shown else {"shown": False, "why": str(problem) or type(problem).__name__})
        return 1
    return 0


def has_the_screen() -> bool:
    """Whether the person's own session is the one that is seen; True where nobody tells. A service counts with the
    session that logind names as its user's display."""
    try:
        with open_dbus_connection("SYSTEM", auth_timeout=_LIMIT) as bus:
            asked = new_method_call(_LOGIN, "GetUser", "u", (os.getuid(),))
            user = DBusAddress(_body(bus, asked)[0], _LOGIN.bus_name, "org.freedesktop.login1.User")
            session = _body(bus, Properties(user).get("Display"))[0][1][1]
            if session == "/":
                return True  # no graphical session: whoever sits at a terminal
            seen = Properties(DBusAddress(session, _LOGIN.bus_name, _SESSION)).get("Active")
            return bool(_body(bus, seen)[0][1])
    except Exception:  # no logind
        return True


def _session_bus() -> str:
    """Where it is (systemd: a user's services may have to look for themselves)."""
    if os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return "SESSION"
    return f"unix:path={Path(os.environ['XDG_RUNTIME_DIR']) / 'bus'}"


class _Notification:
    """One notification on `bus`; `actions` are the buttons that are wished for."""

    def __init__(self, bus: DBusConnection, actions: Mapping[str, str]) -> None:
        self._bus = bus
        self._actions = dict(actions)
        self._signals: deque[BusMessage] = deque(maxlen=100)
        self._number = 0
        self._server: str | None = None

    def show(self, wish: Mapping[str, Any]) -> None:
        """Raises whatever is wrong with the desktop."""
        can = _body(self._bus, new_method_call(_NOTIFICATIONS, "GetCapabilities"))[0]
        self._bus.filter(MatchRule(type="signal"), queue=self._signals)
        for name in ("NotificationClosed", "ActionInvoked"):
            _body(self._bus, message_bus.AddMatch(MatchRule(type="signal", interface=_SERVER, member=name)))
        gone = MatchRule(type="signal", sender=message_bus.bus_name, member="NameOwnerChanged")
        gone.add_arg_condition(0, _SERVER)
        _body(self._bus, message_bus.AddMatch(gone))
        if "actions" not in can:
            self._actions = {}
        body = _clean(str(wish["body"] if self._actions else wish["plain"]))
        body = html.escape(body, quote=False) if "body-markup" in can else body
        self._notify(_clean(str(wish["title"])), body, critical=bool(wish.get("critical")))

    def _notify(self, title: str, body: str, *, critical: bool) -> None:
        hints = {
            "urgency": ("y", _CRITICAL if critical else _NORMAL),
            "category": ("s", "device"),
            "desktop-entry": ("s", "renewagent"),
        }
        icon = "dialog-warning" if critical else "dialog-information"
        buttons = [text for pair in self._actions.items() for text in pair]
        self._send(icon, title, body, buttons, hints, _NEVER if critical else _AS_IT_SEES_FIT)

    def _send(
        self, icon: str, title: str, body: str, buttons: list[str], hints: dict[str, tuple[str, Any]], lasts: int
    ) -> None:
        """In place of the one that is shown."""
        words = ("renewagent", self._number, icon, title, body, buttons, hints, lasts)
        answer = _asked(self._bus, new_method_call(_NOTIFICATIONS, "Notify", "susssasa{sv}i", words))
        self._server = answer.header.fields.get(HeaderFields.sender)
        number = answer.body[0] if answer.body else None
        if not isinstance(number, int) or not number:
            raise _Refused("the desktop's notifications do not answer as they should")
        self._number = number

    def answer(self) -> str:
        """What became of it; `CLOSED` also where standard input ended."""
        while True:
            self._take_in()
            while self._signals:
                heard = self._heard(self._signals.popleft())
                if heard is not None:
                    return heard
            readable = select.select([sys.stdin.fileno(), self._bus.sock.fileno()], [], [])[0]
            if sys.stdin.fileno() in readable:
                signal.alarm(_PATIENCE)
                self._take_back()
                return CLOSED

    def _take_in(self, limit: float = 0.0) -> None:
        """All that has arrived: several signals may have come at once."""
        try:
            while True:
                self._bus.recv_messages(timeout=limit)
        except TimeoutError:
            return

    def _heard(self, message: BusMessage) -> str | None:
        """Only of our own notification, and from whoever shows it: others may send what they like."""
        fields, body = message.header.fields, message.body
        name, sender = fields.get(HeaderFields.member), fields.get(HeaderFields.sender)
        if name == "NameOwnerChanged" and sender == message_bus.bus_name:
            return LOST if body[0] == _SERVER and body[1] == self._server else None
        if sender != self._server or len(body) != 2 or body[0] != self._number:
            return None
        if name == "ActionInvoked":
            return body[1] if body[1] in self._actions else CLOSED
        return CLOSED if name == "NotificationClosed" else None

    def _take_back(self) -> None:
        """What was said of a card goes with it, also where a desktop does not close what it shows."""
        _asked(self._bus, new_method_call(_NOTIFICATIONS, "CloseNotification", "u", (self._number,)))
        end = time.monotonic() + _LAST_WORD
        while time.monotonic() < end:
            self._take_in(0.05)
            if any(self._heard(one) for one in self._signals):
                return
            self._signals.clear()
        self._send("", _("The smartcard was removed"), "", [], {"urgency": ("y", _LOW)}, _AT_ONCE)


def _clean(text: str) -> str:
    """No control characters, nor what turns the direction of writing; not endless."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)[:_MOST]


def _body(bus: DBusConnection, asked: BusMessage) -> Any:
    return _asked(bus, asked).body


def _asked(bus: DBusConnection, asked: BusMessage) -> BusMessage:
    answer = bus.send_and_get_reply(asked, timeout=_LIMIT)
    if answer.header.message_type is not MessageType.method_return:
        raise _Refused(str(answer.body[0]) if answer.body else "the bus refuses")
    return answer


def _say(document: Mapping[str, Any]) -> None:
    with suppress(OSError):  # the agent has ended, and with it whoever would hear this
        os.write(sys.stdout.fileno(), json.dumps(document).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
