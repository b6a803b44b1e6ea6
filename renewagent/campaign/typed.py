"""What a person types for a field of a campaign, on the command line and in the guided `campaign new`. Pure: text in,
value out, or a ValueError whose text is the sentence to show."""

from __future__ import annotations

from datetime import UTC, date, datetime

from renewagent.names import Name, parse_name
from renewagent.rules import SerialRange


def read_moment(text: str) -> datetime:
    """RFC 3339, or a date, whose midnight in UTC it is then."""
    try:
        if len(text) == len("2020-09-28"):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2020-09-28 or 2020-09-28T08:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write Z at its end for UTC")
    return at.astimezone(UTC)


def read_name(text: str) -> Name:
    """RFC 4514."""
    name = parse_name(text)
    if not name:
        raise ValueError("an issuer needs a name")
    return name


def read_serials(text: str) -> SerialRange:
    """A serial number in hexadecimal digits, colons and spaces allowed; or two of them with "-" between."""
    plain = text.replace(":", "").replace(" ", "").lower()
    first, _, last = plain.partition("-") if text[:1] != "-" else (text, "", "")
    try:
        found = SerialRange(int(first, 16), int(last or first, 16))
    except ValueError:
        raise ValueError(f"{text!r} is no serial number in hexadecimal digits, nor a range of two") from None
    if found.first > found.last:
        raise ValueError(f"{text!r} runs from the higher serial number to the lower one")
    return found


def read_count(text: str) -> int:
    """A whole number, as a size in bits may be."""
    if not text.isdecimal() or not 0 < int(text) < 65_537:
        raise ValueError(f"{text!r} is no number from 1 to 65536")
    return int(text)
