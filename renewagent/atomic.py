"""Files that are there whole or not at all, also after a power cut: written aside, synced, then renamed into place."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, octets: bytes, *, mode: int = 0o600) -> None:
    """Write `octets` to `path`, replacing what is there at once. Raises OSError; then the old file is untouched."""
    import tempfile  # brings `random` along, which the resident agent does without

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A file's name is durable once its folder is (fsync(2))."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
