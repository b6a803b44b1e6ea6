"""Desktop notifications, as the resident agent sees them: a child per notification (`notify_child`), which it starts,
hears and ends. A thread waits for each; the resident itself speaks no D-Bus.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renewagent.agent.children import start_listener
from renewagent.agent.telling import Heard, Notice
from renewagent.language import _

log = logging.getLogger(__name__)

CHILD = "renewagent.agent.notify_child"
FIRST_ANSWER = 5.0
"""Seconds until a desktop has said whether it shows a notification; then it counts as one that does not."""
_CRITICAL = frozenset({"affected", "part-way", "replace-card", "see-ra", "expired", "revoked", "done-not-signed-in"})
_LATER = frozenset({"affected"})
"""Kinds whose second button puts them off; elsewhere it only closes the notification."""


@dataclass(slots=True, eq=False)
class _Shown:
    """`over`: nobody wants to hear of it any more."""

    child: subprocess.Popen[bytes] | None = None
    over: bool = False


class Notices:
    """A `Screen`: the desktop of the person who is logged on."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}
        self._lock = threading.Lock()

    def show(self, reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        """See `Screen`; returns at once."""
        if not has_bus():
            self.withdraw(reader)
            heard(Heard.NOT_SHOWN)
            return
        shown = _Shown()
        self._replace(reader, shown)
        threading.Thread(target=self._run, args=(shown, notice, heard), name="notice", daemon=True).start()

    def withdraw(self, reader: str) -> None:
        """See `Screen`; returns at once."""
        self._replace(reader, None)

    def _replace(self, reader: str, shown: _Shown | None) -> None:
        with self._lock:
            before = self._shown.pop(reader, None)
            if shown is not None:
                self._shown[reader] = shown
            if before is not None:
                before.over = True
        if before is not None and before.child is not None:
            _let_go(before.child)

    def _run(self, shown: _Shown, notice: Notice, heard: Callable[[Heard], None]) -> None:
        try:
            child = start_listener(CHILD, [])
        except OSError as problem:
            log.warning("notice.not_shown reason=%s", problem.strerror)
            return heard(Heard.NOT_SHOWN)
        with self._lock:
            shown.child = child
        last = self._talk(child, shown, notice, heard)
        _end(child)
        if not shown.over:
            heard(last)

    def _talk(
        self, child: subprocess.Popen[bytes], shown: _Shown, notice: Notice, heard: Callable[[Heard], None]
    ) -> Heard:
        """What became of it in the end."""
        said = _first_answer(child, notice)
        if said.get("shown") is not True:
            log.info("notice.not_shown reason=%s", said.get("why", "no answer"))
            return Heard.NOT_SHOWN
        if shown.over:
            return Heard.CLOSED
        heard(Heard.SHOWN)
        action = _line(child).get("action")
        return Heard(action) if action in _ENDS else Heard.LOST


_ENDS = frozenset(one.value for one in (Heard.CLOSED, Heard.RENEW, Heard.LATER, Heard.WHY))


def has_bus() -> bool:
    """Whether this session can have a desktop at all; no child is started where it cannot."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return bool(os.environ.get("DBUS_SESSION_BUS_ADDRESS")) or (bool(runtime) and (Path(runtime) / "bus").exists())


def wish_of(notice: Notice) -> dict[str, Any]:
    """What `notify_child` is asked for."""
    message = notice.message
    second = Heard.LATER if message.kind in _LATER else Heard.CLOSED
    names = (Heard.RENEW.value, second.value)
    why = {Heard.WHY.value: _("Why?")} if notice.why is not None else {}
    return {
        "title": message.title,
        "body": _lines(message.body, message.advice),
        "plain": _lines(message.body, notice.advice),
        "actions": {**dict(zip(names, message.actions, strict=False)), **why},
        "critical": message.kind in _CRITICAL,
    }


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _first_answer(child: subprocess.Popen[bytes], notice: Notice) -> dict[str, Any]:
    with suppress(OSError, ValueError):  # it has ended, or was let go
        if child.stdin is not None and child.stdout is not None:
            child.stdin.write(json.dumps(wish_of(notice)).encode() + b"\n")
            child.stdin.flush()
            if select.select([child.stdout], [], [], FIRST_ANSWER)[0]:
                return _line(child)
            child.kill()
    return {}


def _line(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What it says next; nothing once it has ended."""
    with suppress(ValueError, OSError):
        line = child.stdout.readline() if child.stdout is not None else b""
        said = json.loads(line) if line else {}
        return said if isinstance(said, dict) else {}
    return {}


def _let_go(child: subprocess.Popen[bytes]) -> None:
    """Its notification goes, and then it ends by itself, whatever the desktop does."""
    with suppress(OSError, ValueError):
        if child.stdin is not None:
            child.stdin.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    _let_go(child)
    try:
        child.wait(FIRST_ANSWER)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
