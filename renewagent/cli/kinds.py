"""Kinds of words on the command line, for argparse: what is wrong with one is told in our words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from renewagent.names import Name
    from renewagent.rules import SerialRange

T = TypeVar("T")


def moment(text: str) -> datetime:
    """RFC 3339, or a date."""
    from renewagent.campaign.typed import read_moment

    return _read(read_moment, text)


def distinguished_name(text: str) -> Name:
    """RFC 4514."""
    from renewagent.campaign.typed import read_name

    return _read(read_name, text)


def serials(text: str) -> SerialRange:
    """A serial number in hexadecimal digits, or a range of two."""
    from renewagent.campaign.typed import read_serials

    return _read(read_serials, text)


def count(text: str) -> int:
    """From 1 to 65536."""
    from renewagent.campaign.typed import read_count

    return _read(read_count, text)


def _read(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
