"""Why a rule hits a certificate or does not, as fragments of plain sentences. Pure, and plain values in.

What lives here is wording alone: whether a rule hits is decided in `renewagent.rules`. Times are aware UTC.
Reasons do not leave the workstation, and are in the person's language from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from renewagent.language import N_, _
from renewagent.names import Name, format_name

MONTHS = (
    N_("January"),
    N_("February"),
    N_("March"),
    N_("April"),
    N_("May"),
    N_("June"),
    N_("July"),
    N_("August"),
    N_("September"),
    N_("October"),
    N_("November"),
    N_("December"),
)
_MIDNIGHT = (0, 0, 0, 0)


def day(at: datetime) -> str:
    """ "28 September 2026": not by locale, which differs from one workstation to the next."""
    at = at.astimezone(UTC)
    return _("{day} {month} {year}").format(day=at.day, month=_(MONTHS[at.month - 1]), year=at.year)


def moment(at: datetime) -> str:
    """ "28 September 2026 at 12:00 UTC", with seconds where there are any."""
    at = at.astimezone(UTC)
    clock = at.strftime("%H:%M:%S") if at.second or at.microsecond else at.strftime("%H:%M")
    return _("{day} at {clock} UTC").format(day=day(at), clock=clock)


def inside(at: datetime, start: datetime | None, end: datetime | None) -> str:
    """ "issued on 29 September 2026, between 28 September and 1 October 2026" """
    return _issued(at, start, end, hit=True)


def outside(at: datetime, start: datetime | None, end: datetime | None) -> str:
    """ "issued on 3 November 2026, not between 28 September and 1 October 2026" """
    return _issued(at, start, end, hit=False)


def other_issuer(issuer: Name, wanted: Name) -> str:
    """ "issued by CN=A, not by CN=B" """
    name = format_name(issuer) or _("nobody")
    return _("issued by {name}, not by {wanted}").format(name=name, wanted=format_name(wanted))


def other_serial(serial: str) -> str:
    """ "serial number 1a2b is not among those listed" """
    return _("serial number {serial} is not among those listed").format(serial=serial)


def other_key_usage(usages: Iterable[str] | None, wanted: str) -> str:
    """ "its key usage is digitalSignature, without contentCommitment" """
    if usages is None:
        return _("it states no key usage, so it is not marked for {wanted}").format(wanted=wanted)
    found = _listed(sorted(usages), N_("{some} and {last}")) or _("empty")
    return _("its key usage is {found}, without {wanted}").format(found=found, wanted=wanted)


def other_signature(algorithm: str, wanted: Sequence[str]) -> str:
    """ "its signature algorithm is sha256WithRSAEncryption, not sha1WithRSAEncryption" """
    known = {"algorithm": algorithm, "wanted": _either(wanted)}
    return _("its signature algorithm is {algorithm}, not {wanted}").format(**known)


def other_key(algorithm: str, wanted: Sequence[str]) -> str:
    """ "its key algorithm is ec, not rsa" """
    return _("its key algorithm is {algorithm}, not {wanted}").format(algorithm=algorithm, wanted=_either(wanted))


def long_enough(bits: int, below: int) -> str:
    """ "its key has 2048 bits, not fewer than 2048" """
    if not bits:
        return _("the size of its key is not known")
    return _("its key has {bits} bits, not fewer than {below}").format(bits=bits, below=below)


def other_model(model: str, wanted: Sequence[str]) -> str:
    """ "the smartcard is of the kind "piv", not pkcs11" """
    return _('the smartcard is of the kind "{model}", not {wanted}').format(model=model, wanted=_either(wanted))


def sentence(fragment: str) -> str:
    """A capital in front and a full stop behind."""
    return f"{fragment[:1].upper()}{fragment[1:]}."


def _either(words: Sequence[str]) -> str:
    return _listed(words, N_("{some} or {last}"))


def _listed(words: Sequence[str], joined: str) -> str:
    return _(joined).format(some=", ".join(words[:-1]), last=words[-1]) if len(words) > 1 else "".join(words)


def _issued(at: datetime, start: datetime | None, end: datetime | None, *, hit: bool) -> str:
    """Whole days where these tell the story, else the times as well (a window that ends at noon, met on that day)."""
    exact = any(_splits_the_day_of(at, edge) for edge in (start, end))
    show = moment if exact else day
    if start is not None and end is not None:
        last = end if exact or not _is_midnight(end) else end - timedelta(days=1)
        if hit and show(start) == show(last) == show(at):
            return _("issued on {moment}").format(moment=show(at))
        said = _("issued on {moment}, {span}") if hit else _("issued on {moment}, not {span}")
        return said.format(moment=show(at), span=_span(show(start), show(last)))
    edge, before = (start, not hit) if start is not None else (end, hit)
    if edge is None:
        return _("issued on {moment}").format(moment=day(at))
    said = _("issued on {moment}, before {edge}") if before else _("issued on {moment}, not before {edge}")
    return said.format(moment=show(at), edge=show(edge))


def _splits_the_day_of(at: datetime, edge: datetime | None) -> bool:
    return edge is not None and not _is_midnight(edge) and day(edge) == day(at)


def _is_midnight(at: datetime) -> bool:
    at = at.astimezone(UTC)
    return (at.hour, at.minute, at.second, at.microsecond) == _MIDNIGHT


def _span(start: str, end: str) -> str:
    """ "between 28 September and 1 October 2026": month and year once, where they are the same and nothing follows."""
    if start == end:
        return _("on {moment}").format(moment=start)
    for words in (2, 1):
        head, *shared = start.rsplit(" ", words)
        if shared and shared[-1].isdigit() and end.endswith(f" {' '.join(shared)}"):
            start = head
            break
    return _("between {start} and {end}").format(start=start, end=end)
