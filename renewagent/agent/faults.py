"""Faults of our own: where in the program they happened, kept in the state folder for whoever mends them.

Kinds of exceptions and lines of code only: neither an exception's words nor any variable's value, since either could
hold what must stand in no file.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from renewagent.errors import RenewAgentError
from renewagent.language import _

FILE = "faults.log"
LARGEST = 256 * 1024
"""Octets after which the file begins anew."""


def note_fault(folder: Path | None, error: BaseException, now: datetime) -> RenewAgentError:
    """Append where `error` came from to the file of faults (mode 0600); the error to tell the person. Never fails."""
    said = _("Something went wrong in renewagent ({name}).").format(name=type(error).__name__)
    text = "\n".join([now.isoformat(timespec="seconds"), *_told(error), ""])
    if folder is None or not _append(folder / FILE, text):
        return RenewAgentError(said)
    advice = _("Try again. If it happens again, give your help desk the file {file}.").format(file=folder / FILE)
    return RenewAgentError(said, advice=advice)


def _told(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{type(error).__module__}.{type(error).__qualname__}"
        for frame in traceback.extract_tb(error.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} {frame.name}"
        error = error.__cause__ or error.__context__


def _append(file: Path, text: str) -> bool:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size > LARGEST:
                os.ftruncate(handle, 0)
            os.write(handle, text.encode(errors="backslashreplace"))
        finally:
            os.close(handle)
    except OSError:
        return False
    return True
