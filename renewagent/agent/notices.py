"""Desktop notifications, as the resident agent sees them: a child per notification (`notify_child`), which it starts,
hears and ends. Threads wait; the resident itself speaks no D-Bus.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

from renewagent.agent.children import start_listener
from renewagent.agent.words import Message

log = logging.getLogger(__name__)

CHILD = "renewagent.agent.notify_child"
RENEW, LATER = "renew", "later"
_CRITICAL = frozenset({"affected", "part-way", "replace-card", "see-ra", "expired", "revoked", "done-not-signed-in"})
_ACTIONS = (RENEW, LATER)


class Notices:
    """`acted` is told, in a thread, which of `RENEW` and `LATER` somebody has chosen, and for which reader."""

    def __init__(self, acted: Callable[[str, str], None]) -> None:
        self._acted = acted
        self._shown: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def tell(self, message: Message, reader: str = "") -> bool:
        """Show it in place of what was shown for this reader; True once it is on the person's screen."""
        self.withdraw(reader)
        try:
            child = start_listener(CHILD, [])
        except OSError as problem:
            log.warning("person.not_told kind=%s reason=%s", message.kind, problem.strerror)
            return False
        said = _ask(child, message)
        if not said.get("shown"):
            log.info("person.not_told kind=%s reason=%s", message.kind, said.get("why", "no answer"))
            _end(child)
            return False
        with self._lock:
            self._shown[reader] = child
        threading.Thread(target=self._wait, args=(reader, child), name="notice", daemon=True).start()
        log.info("person.told kind=%s", message.kind)
        return True

    def withdraw(self, reader: str) -> None:
        """What was said of the card in this reader goes: with the card, names leave the screen."""
        with self._lock:
            child = self._shown.pop(reader, None)
        if child is not None:
            _end(child)

    def withdraw_all(self) -> None:
        """The agent ends."""
        for reader in list(self._shown):
            self.withdraw(reader)

    def _wait(self, reader: str, child: subprocess.Popen[bytes]) -> None:
        action = _line(child).get("action")
        with self._lock:
            current = self._shown.get(reader) is child
            if current:
                del self._shown[reader]
        _end(child)
        if current and action in _ACTIONS:
            self._acted(reader, str(action))


def _ask(child: subprocess.Popen[bytes], message: Message) -> dict[str, object]:
    body = "\n".join(part for part in (message.body, message.advice) if part)
    actions = dict(zip(_ACTIONS, message.actions, strict=False))
    wish = {"title": message.title, "body": body, "actions": actions, "critical": message.kind in _CRITICAL}
    with suppress(OSError):
        if child.stdin is not None:
            child.stdin.write(json.dumps(wish).encode() + b"\n")
            child.stdin.flush()
            return _line(child)
    return {}


def _line(child: subprocess.Popen[bytes]) -> dict[str, object]:
    """What it says next; nothing once it has ended."""
    with suppress(ValueError, OSError):
        line = child.stdout.readline() if child.stdout is not None else b""
        said = json.loads(line) if line else {}
        return said if isinstance(said, dict) else {}
    return {}


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()
