"""A number that stands for this user on this machine: made up once, and nobody's name. Where among all others the agent
polls, is taken from it as well."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from renewagent.atomic import write_atomically

FILE = "agent-number"
_NUMBER = re.compile(r"[0-9a-f]{32}")


def agent_number(state_folder: Path) -> str:
    """32 hex digits. Where they cannot be kept they are others next time."""
    path = state_folder / FILE
    with suppress(OSError):
        if _NUMBER.fullmatch(kept := path.read_text("ascii", "replace")):
            return kept
    made = os.urandom(16).hex()
    with suppress(OSError):
        state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, made.encode())
    return made
