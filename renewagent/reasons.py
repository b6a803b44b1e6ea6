"""Why a rule hits a certificate or does not, as fragments of plain sentences. Pure, and plain values in.

What lives here is wording alone: whether a rule hits is decided in `renewagent.rules`. Times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from renewagent.names import Name, format_name

_MONTHS = tuple("January February March April May June July August September October November December".split())
_MIDNIGHT = (0, 0, 0, 0)


def day(at: datetime) -> str:
    """ "28 September 2026": not by locale, which differs from one workstation to the next."""
    at = at.astimezone(UTC)
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def moment(at: datetime) -> str:
    """ "28 September 2026 at 12:00 UTC", with seconds where there are any."""
    at = at.astimezone(UTC)
    clock = at.strftime("%H:%M:%S") if at.second or at.microsecond else at.strftime("%H:%M")
    return f"{day(at)} at {clock} UTC"


def inside(at: datetime, start: datetime | None, end: datetime | None) -> str:
    """ "issued on 29 September 2026, between 28 September and 1 October 2026" """
    return _issued(at, start, end, "", "not before", "before")


def outside(at: datetime, start: datetime | None, end: datetime | None) -> str:
    """ "issued on 3 November 2026, not between 28 September and 1 October 2026" """
    return _issued(at, start, end, "not ", "before", "not before")


def other_issuer(issuer: Name, wanted: Name) -> str:
    """ "issued by CN=A, not by CN=B" """
    return f"issued by {format_name(issuer) or 'nobody'}, not by {format_name(wanted)}"


def other_serial(serial: str) -> str:
    """ "serial number 1a2b is not among those listed" """
    return f"serial number {serial} is not among those listed"


def other_key_usage(usages: Iterable[str] | None, wanted: str) -> str:
    """ "its key usage is digitalSignature, without contentCommitment" """
    if usages is None:
        return f"it states no key usage, so it is not marked for {wanted}"
    return f"its key usage is {_listed(sorted(usages), 'and') or 'empty'}, without {wanted}"


def other_algorithm(what: str, algorithm: str, wanted: Sequence[str]) -> str:
    """ "its key algorithm is ec, not rsa" """
    return f"its {what} is {algorithm}, not {_listed(wanted, 'or')}"


def long_enough(bits: int, below: int) -> str:
    """ "its key has 2048 bits, not fewer than 2048" """
    return f"its key has {bits} bits, not fewer than {below}" if bits else "the size of its key is not known"


def other_model(model: str, wanted: Sequence[str]) -> str:
    """ "the smartcard is of the kind "piv", not pkcs11" """
    return f'the smartcard is of the kind "{model}", not {_listed(wanted, "or")}'


def sentence(fragment: str) -> str:
    """A capital in front and a full stop behind."""
    return f"{fragment[:1].upper()}{fragment[1:]}."


def _listed(words: Sequence[str], joint: str) -> str:
    return f" {joint} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _issued(at: datetime, start: datetime | None, end: datetime | None, negation: str, after: str, until: str) -> str:
    """Whole days where these tell the story, else the times as well (a window that ends at noon, met on that day)."""
    exact = any(_splits_the_day_of(at, edge) for edge in (start, end))
    show = moment if exact else day
    if start is not None and end is not None:
        last = end if exact or not _is_midnight(end) else end - timedelta(days=1)
        span = _span(show(start), show(last))
        same = not negation and span == f"on {show(at)}"
        return f"issued on {show(at)}" if same else f"issued on {show(at)}, {negation}{span}"
    if start is not None:
        return f"issued on {show(at)}, {after} {show(start)}"
    if end is not None:
        return f"issued on {show(at)}, {until} {show(end)}"
    return f"issued on {day(at)}"


def _splits_the_day_of(at: datetime, edge: datetime | None) -> bool:
    return edge is not None and not _is_midnight(edge) and day(edge) == day(at)


def _is_midnight(at: datetime) -> bool:
    at = at.astimezone(UTC)
    return (at.hour, at.minute, at.second, at.microsecond) == _MIDNIGHT


def _span(start: str, end: str) -> str:
    """ "between 28 September and 1 October 2026": month and year once, where they are the same and nothing follows."""
    if start == end:
        return f"on {start}"
    for words in (2, 1):
        head, *shared = start.rsplit(" ", words)
        if shared[-1].isdigit() and end.endswith(f" {' '.join(shared)}"):
            return f"between {head} and {end}"
    return f"between {start} and {end}"
