"""The console's log: one JSON object per line, and nothing secret or personal in it.

    _LOG.info("campaign accepted", extra={"fields": {"campaign": "autumn", "version": 2}})

gives {"at", "level", "logger", "event": "campaign accepted", "campaign": "autumn", "version": 2}. What must not stand
in a log is taken out by the name of its field, and by its look wherever it stands, tracebacks included; still nobody
is to pass such things here. Libraries' own lines go the same way.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import TextIO

_SECRET_NAMES = re.compile(
    r"code|token|cookie|secret|passw|passcode|\bpin\b|receipt|e-?mail|authorization|nonce|session|csr\b|csrf|key$|link",
    re.IGNORECASE,
)
_REMOVED = "[removed]"
_LOOKS = (
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@"), f"{_REMOVED}@"),  # a password in an address
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _REMOVED),  # an e-mail address
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|$)", re.DOTALL), _REMOVED),
    # A token of ours or another's: long, without a space, and no hash in hexadecimal, which tells nobody anything.
    (re.compile(r"(?<![\w/.-])(?![0-9a-f]+\b)(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{22,}={0,2}"), _REMOVED),
)


def configure(stream: TextIO, level: int = logging.INFO) -> None:
    """Have everything that is logged in this process written to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """See the module."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redacted(record.getMessage()),
        }
        fields = getattr(record, "fields", {})
        line |= {name: _field(name, value) for name, value in fields.items() if name not in line}
        if record.exc_info:
            line["trace"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def redacted(text: str) -> str:
    """The text without what looks like a secret or a person's address."""
    for look, instead in _LOOKS:
        text = look.sub(instead, text)
    return text


def _field(name: str, value: object) -> object:
    if _SECRET_NAMES.search(name):
        return _REMOVED
    return value if isinstance(value, bool | int | float | None) else redacted(str(value))
