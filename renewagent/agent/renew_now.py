""" "Renew now" on a notification: the window of a renewal, started outside the agent's sandbox, and what is left to say
when it could not be shown.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from renewagent.agent.children import command_of
from renewagent.agent.outside import outside
from renewagent.agent.words import Message
from renewagent.language import _

log = logging.getLogger(__name__)

WINDOW = "renewagent.agent.window_child"
_REFUSED = 5.0
"""A service manager that does not want to has said so after so many seconds."""
_NOT_SEEN = frozenset({"RA-NO-BROWSER", "RA-CONFIGURATION"})
"""What a window ends with before anybody can see it; all else it says itself."""


def renew_in_window(reader: str, options: Sequence[str]) -> Message | None:
    """Show the window, until it has been closed; `options` are words of a command line. What is to be told in its
    stead, if it could not be shown."""
    plain = command_of(WINDOW, ["--reader", reader, *options])
    apart = outside(plain, os.environ, "--wait", "--pipe")
    log.info("window.opens reader=%s", reader)
    started = time.monotonic()
    said = _ran(apart)
    if said is None and apart != plain and time.monotonic() - started < _REFUSED:
        said = _ran(plain)
    error = said.get("error") if said is not None else {}
    if not isinstance(error, dict) or error.get("code") not in _NOT_SEEN | {None}:
        return None
    log.warning("window.not_shown reader=%s code=%s", reader, error.get("code"))
    body = str(error.get("message") or _("The window for it could not be opened."))
    advice = str(error.get("advice") or _("Run in a terminal: renewagent renew."))
    return Message("no-window", _("Your smartcard was not renewed"), body, advice)


def _ran(command: Sequence[str]) -> dict[str, Any] | None:
    """The document that it ends with; None where it had none."""
    nothing = subprocess.DEVNULL
    with suppress(OSError, ValueError):
        done = subprocess.run(  # noqa: S603  our own interpreter and module, no shell
            command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, start_new_session=True, check=False
        )
        said = json.loads(done.stdout)
        return said if isinstance(said, dict) else None
    return None
