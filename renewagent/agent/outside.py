"""Starting what a person is to see and use outside the sandbox of the agent's own unit, by the user's service manager:
it would inherit what the unit takes away, and end with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_ENVIRONMENT = (
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_CURRENT_DESKTOP",
    "BROWSER",
    *("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", "XDG_DATA_HOME", "XDG_DATA_DIRS"),  # the person's language
)


def outside(command: Sequence[str], environment: Mapping[str, str], *more: str) -> list[str]:
    """The command as the user's own service manager starts it, free of our unit's sandbox and not ended with it; as it
    is where there is no such manager. `more` are further options of systemd-run(1)."""
    program, runtime = _program(environment), environment.get("XDG_RUNTIME_DIR", "")
    if program is None or not runtime or not (Path(runtime) / "systemd" / "private").exists():
        return list(command)
    given = [f"--setenv={name}" for name in _ENVIRONMENT if name in environment]  # by name: its value stays off here
    manner = ["--user", "--collect", "--quiet", "--property=KillMode=process", *more, *given]
    return [program, *manner, "--", *command]


def _program(environment: Mapping[str, str]) -> str | None:
    """Not by `shutil`, which the resident agent does without."""
    for folder in os.get_exec_path(environment):
        program = Path(folder) / "systemd-run"
        if os.access(program, os.X_OK):
            return str(program)
    return None
