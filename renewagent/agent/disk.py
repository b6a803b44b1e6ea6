"""What the agent must know of the disk beneath its state folder: whether it is a network's, whether there is room, and
a reserve of room that is let go when there is none. Knows nothing of what is stored.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_NETWORK = frozenset(
    "9p acfs afs beegfs ceph cifs coda davfs fuse.davfs2 fuse.glusterfs fuse.rclone fuse.s3fs fuse.sshfs gfs2 "
    "gpfs lustre ncp ncpfs nfs nfs4 ocfs2 orangefs smb2 smb3 smbfs".split()
)
_MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")  # proc_pid_mounts(5), fstab(5): space, tab, newline and backslash


def on_network(folder: Path) -> bool:
    """True if `folder` lies on a network file system, as far as this system tells."""
    if sys.platform == "win32":
        return str(folder.resolve()).startswith("\\\\")
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    return file_system(folder.resolve(), mounts) in _NETWORK


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path` (absolute), by the text of /proc/self/mounts; "" if unknown."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match.group(1), 8)), words[1]))
        if path.is_relative_to(point) and len(point.parts) >= best:  # of two on one place, the later lies on top
            best, kind = len(point.parts), words[2]
    return kind


def is_full(folder: Path) -> bool:
    """True if `folder`'s disk has no room left for this user."""
    if sys.platform == "win32":
        return False
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False


class Reserve:
    """A file of real octets that stands for room; `release` gives the room back to whoever needs it most."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def hold(self) -> None:
        """Make sure that the room is held. Raises OSError if there is none."""
        if self._held() >= self._size:
            return
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(self._size))  # file systems that compress would hold nothing for zeros
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.release()
            raise

    def release(self) -> bool:
        """Give the room back; True if there was any."""
        had = self._held() > 0
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return False
        return had

    def _held(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
