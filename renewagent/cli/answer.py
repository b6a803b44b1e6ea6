"""What every command of `renewagent` answers with: one JSON document on standard output, sentences on standard error.

Only writing lives here. What to say is the command's, or an error's, business.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from renewagent.errors import RenewAgentError


def emit(document: Mapping[str, object]) -> None:
    """Write `document` as one line of JSON on standard output, in one write, and flush it."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(sentence: str) -> None:
    """Tell the person something, on standard error."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def report(error: RenewAgentError, *, as_json: bool) -> None:
    """Say what happened and what to do next; with `as_json` also as `{"ok": false, "error": {...}}`."""
    say(f"{error.message}\n{error.advice}" if error.advice else error.message)
    if as_json:
        emit({"ok": False, "error": {"code": error.code, "message": error.message, "advice": error.advice}})
