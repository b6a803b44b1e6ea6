"""One desktop notification, from being shown until it is answered or taken back: a short-lived child of the agent.

    python -m renewagent.agent.notify_child

A line of JSON on standard input says what to show: {"title", "body", "actions": {id: words}, "critical"}. The first
line of the answer says whether it is shown: {"shown": true} or {"shown": false, "why"}; the second, whenever that is,
what became of it: {"action": id}, or "closed". When standard input ends, the notification goes.

org.freedesktop.Notifications 1.2; whose screen it is, by logind. The rest of the house does not speak D-Bus.
"""

from __future__ import annotations

import html
import json
import os
import select
import sys
from collections.abc import Mapping
from typing import Any

from jeepney import DBusAddress, MatchRule, Properties, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.low_level import Message as BusMessage
from jeepney.low_level import MessageType

_NOTIFICATIONS = DBusAddress(
    "/org/freedesktop/Notifications",
    bus_name="org.freedesktop.Notifications",
    interface="org.freedesktop.Notifications",
)
_LOGIN = DBusAddress(
    "/org/freedesktop/login1", bus_name="org.freedesktop.login1", interface="org.freedesktop.login1.Manager"
)
_SESSION = "org.freedesktop.login1.Session"
_LIMIT = 5.0
"""Seconds for an answer from the bus."""
_NEVER, _AS_IT_SEES_FIT = 0, -1
_NORMAL, _CRITICAL = 1, 2
CLOSED = "closed"
NOT_ACTIVE = "another person has this screen"


class _Refused(Exception):
    """It cannot be shown; the text says why, for a log."""


def main() -> int:
    """See the module."""
    wish = json.loads(sys.stdin.buffer.readline())
    try:
        if not has_the_screen():
            raise _Refused(NOT_ACTIVE)
        with open_dbus_connection("SESSION", auth_timeout=_LIMIT) as bus:
            number = _show(bus, wish)
            _say({"shown": True})
            _say({"action": _answer(bus, number, wish.get("actions", {}))})
    except Exception as problem:  # whatever is wrong with this desktop: the agent says it elsewhere
        _say({"shown": False, "why": str(problem) or type(problem).__name__})
        return 1
    return 0


def has_the_screen() -> bool:
    """Whether the person's own session is the one that is seen; True where nobody tells. A service counts with the
    session that logind names as its user's display."""
    try:
        with open_dbus_connection("SYSTEM", auth_timeout=_LIMIT) as bus:
            asked = new_method_call(_LOGIN, "GetUser", "u", (os.getuid(),))
            user = DBusAddress(_body(bus, asked)[0], _LOGIN.bus_name, "org.freedesktop.login1.User")
            _, (_, session) = _body(bus, Properties(user).get("Display"))[0]
            if session == "/":
                return True  # no graphical session: whoever sits at a terminal
            seen = Properties(DBusAddress(session, _LOGIN.bus_name, _SESSION)).get("Active")
            return bool(_body(bus, seen)[0][1])
    except Exception:  # no logind
        return True


def _show(bus: DBusConnection, wish: Mapping[str, Any]) -> int:
    can = set(_body(bus, new_method_call(_NOTIFICATIONS, "GetCapabilities"))[0])
    for name in ("NotificationClosed", "ActionInvoked"):
        rule = MatchRule(type="signal", interface=_NOTIFICATIONS.interface, member=name)
        _body(bus, message_bus.AddMatch(rule))
    actions = [text for pair in wish.get("actions", {}).items() for text in pair] if "actions" in can else []
    body = str(wish["body"])
    body = html.escape(body, quote=False) if "body-markup" in can else body
    critical = bool(wish.get("critical"))
    hints = {
        "urgency": ("y", _CRITICAL if critical else _NORMAL),
        "category": ("s", "device"),
        "desktop-entry": ("s", "renewagent"),
    }
    shown = ("renewagent", 0, "dialog-warning", str(wish["title"]), body, actions, hints)
    asked = new_method_call(
        _NOTIFICATIONS, "Notify", "susssasa{sv}i", (*shown, _NEVER if critical else _AS_IT_SEES_FIT)
    )
    number = _body(bus, asked)[0]
    if not isinstance(number, int):
        raise _Refused("the desktop's notifications do not answer as they should")
    return number


def _answer(bus: DBusConnection, number: int, actions: Mapping[str, str]) -> str:
    """What became of it; `CLOSED` also where standard input ended."""
    while True:
        readable, _, _ = select.select([sys.stdin.fileno(), bus.sock.fileno()], [], [])
        if sys.stdin.fileno() in readable:
            _body(bus, new_method_call(_NOTIFICATIONS, "CloseNotification", "u", (number,)))
            return CLOSED
        try:
            heard = bus.receive(timeout=_LIMIT)
        except TimeoutError:
            continue
        found = _heard(heard, number, actions)
        if found is not None:
            return found


def _heard(message: BusMessage, number: int, actions: Mapping[str, str]) -> str | None:
    """Only of our own notification: signals are sent to everybody."""
    fields = message.header.fields
    name = next((value for field, value in fields.items() if field.name == "member"), "")
    if message.header.message_type is not MessageType.signal or not message.body or message.body[0] != number:
        return None
    if name == "ActionInvoked":
        return message.body[1] if message.body[1] in actions else CLOSED
    return CLOSED if name == "NotificationClosed" else None


def _body(bus: DBusConnection, asked: BusMessage) -> Any:
    answer = bus.send_and_get_reply(asked, timeout=_LIMIT)
    if answer.header.message_type is not MessageType.method_return:
        raise _Refused(str(answer.body[0]) if answer.body else "the bus refuses")
    return answer.body


def _say(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
