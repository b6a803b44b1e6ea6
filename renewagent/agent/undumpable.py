"""Keeping a process's memory to itself, where a passcode passes through it: the child that renews, and the command at
whose terminal it is typed. The resident process never sees one."""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4  # prctl(2)


def undumpable() -> None:
    """No core file, and no reading of our memory by other processes of this user (prctl(2), PR_SET_DUMPABLE)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
