"""What stands in a document of a peer's: a text, a time, a document or a list of them; nothing where something else
stands there. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Document = Mapping[str, Any]


def text(document: Document, name: str) -> str:
    """ "" for what is no text."""
    found = document.get(name)
    return found if isinstance(found, str) else ""


def texts(document: Document, name: str) -> list[str]:
    """Those of a list."""
    found = document.get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def part(document: Document, name: str) -> Document:
    """An empty one for what is none."""
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def parts(document: Document, name: str) -> list[Document]:
    """Those of a list."""
    found = document.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def at(document: Document, name: str) -> datetime | None:
    """A time, aware UTC; None for what is none."""
    try:
        found = datetime.fromisoformat(text(document, name))
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
