"""Why the smartcard service does not serve us, and who else it serves: what a person may see of that without an
administrator's rights. pcscd (Linux) only; Windows has it all in the error itself.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

_SOCKET = "/run/pcscd/pcscd.comm"
_SOCKET_NAME = "PCSCLITE_CSOCK_NAME"
"""By this variable pcsc-lite's own library finds another socket."""
_PROC = Path("/proc")
_REFUSAL = 1.0
"""Seconds in which pcscd lets go of a client that polkit refuses; it says nothing before it is spoken to."""
_LIMIT = 3.0
_LIBRARY = re.compile(rb"/libpcsclite(_real)?\.so")
_OURS = b"renewagent"
_KNOWN = frozenset(
    {"scdaemon", "gsd-smartcard", "opensc-notify", "pcscd-notify", "p11-kit-remote", "ykman", "authenticator"}
)
"""Programs that are known to hold cards, by the names that /proc shows of everybody's."""
_TRUNCATED = 15
"""proc_pid_comm(5): so much of a program's name is shown."""


class Door(Enum):
    """How pcscd receives us."""

    MISSING = "missing"
    DEAD = "dead"
    REFUSES = "refuses"
    OPEN = "open"
    UNKNOWN = "unknown"


def door() -> Door:
    """Knock at pcscd's socket. pcscd 2 and later asks polkit before it listens, and hangs up on whoever is refused:
    its library can only say then that no service runs."""
    if sys.platform == "win32":
        return Door.UNKNOWN
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(_REFUSAL)
        try:
            link.connect(os.environ.get(_SOCKET_NAME) or _SOCKET)
            return Door.REFUSES if link.recv(1) == b"" else Door.UNKNOWN
        except FileNotFoundError:
            return Door.MISSING
        except TimeoutError:
            return Door.OPEN
        except (PermissionError, ConnectionResetError):
            return Door.REFUSES
        except OSError:
            return Door.DEAD


def version() -> str:
    """pcsc-lite's, as its service says ("1.9.9"); "" where it is not here."""
    found = re.search(r"pcsc-lite version ([0-9.]*[0-9])", _said_by_pcscd())
    return found[1] if found else ""


def holders() -> list[str]:
    """Programs that use the smartcard service now, ours aside: of this person all, by the library that they have
    loaded; of others those whose name is known for it. Sorted; empty where nothing can be seen."""
    found: set[str] = set()
    for folder in _processes():
        name = _name(folder)
        if name and (name in {known[:_TRUNCATED] for known in _KNOWN} or _uses_cards(folder)):
            found.add(name)
    return sorted(found)


def _said_by_pcscd() -> str:
    program = shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        return ""
    command = [program, "--version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""


def _processes() -> Iterator[Path]:
    try:
        yield from (folder for folder in _PROC.iterdir() if folder.name.isdecimal())
    except OSError:
        return


def _name(folder: Path) -> str:
    """ "" for one of ours, and for the service itself."""
    try:
        if _OURS in (folder / "cmdline").read_bytes():
            return ""
        name = (folder / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return "" if name == "pcscd" else name


def _uses_cards(folder: Path) -> bool:
    try:
        return _LIBRARY.search((folder / "maps").read_bytes()) is not None
    except OSError:
        return False
