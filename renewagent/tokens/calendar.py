"""When an app's password and a certificate end, who is reminded when, and how a certificate is renewed without being
caught short: days, words and an iCalendar text (RFC 5545). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from renewagent.language import N_, _, ngettext
from renewagent.reasons import day
from renewagent.tokens.model import SoftToken

PASSWORD_LASTS = timedelta(days=730)
"""The app's password ends two years after it was set; of the two readings of "two years" the one that warns earlier."""
REMIND_BEFORE = (90, 60, 30, 14, 7, 1)
"""Days before the end on which a reminder is given."""

_MOST_OCTETS = 75  # RFC 5545, 3.1: of a line, its end not counted


class What(Enum):
    """What ends."""

    PASSWORD = "password"  # noqa: S105 - a word, not a password
    CERTIFICATE = "certificate"

    @property
    def words(self) -> str:
        """As a person calls it."""
        return {What.PASSWORD: _("the password of your app"), What.CERTIFICATE: _("your certificate")}[self]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which something of the soft token `username` ends, aware UTC."""

    what: What
    username: str
    ends: datetime

    @property
    def key(self) -> str:
        """The day, as reminders that were given are kept: another day is another deadline."""
        return self.ends.date().isoformat()

    def days_left(self, now: datetime) -> int:
        """Whole days until then, begun ones counted; 0 or less once it has ended."""
        return -((now - self.ends) // timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Reminder:
    """What a person is told: `days` are those of `REMIND_BEFORE` that it stands for, `left` what is really left."""

    deadline: Deadline
    days: tuple[int, ...]
    left: int

    @property
    def said(self) -> str:
        """What happens, and when."""
        what, day = self.deadline.what.words, day_words(self.deadline.ends)
        if self.left <= 0:
            said = _("{what} ended on {day}.")
        else:
            said = ngettext("{what} ends on {day}, in {left} day.", "{what} ends on {day}, in {left} days.", self.left)
        return said.format(what=f"{what[0].upper()}{what[1:]}", day=day, left=self.left)

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.deadline.what is What.PASSWORD:
            return _(
                "Set a new password in the app at a time when you do not prescribe, then have the app registered "
                "anew: renewagent softtoken reregister."
            )
        return _(
            "Plan the renewal for a time when you do not prescribe: the old certificate ends the moment you "
            "renew. renewagent softtoken remind lists the steps."
        )


def deadlines(soft: SoftToken) -> tuple[Deadline, ...]:
    """Both of a soft token's, the earlier first."""
    both = (
        Deadline(What.PASSWORD, soft.username, soft.password_set + PASSWORD_LASTS),
        Deadline(What.CERTIFICATE, soft.username, soft.certificate_ends),
    )
    return tuple(sorted(both, key=lambda deadline: deadline.ends))


def reminder(deadline: Deadline, now: datetime, given: Collection[int]) -> Reminder | None:
    """The reminder that is due now, None for none. `given`: the days for which one was given before. One that comes
    late, since nobody looked that day, stands for all that are overdue: it is heard once, with the true days."""
    passed = tuple(days for days in REMIND_BEFORE if now >= deadline.ends - timedelta(days=days))
    fresh = tuple(days for days in passed if days not in given)
    return Reminder(deadline, fresh, deadline.days_left(now)) if fresh else None


def upcoming(soft: SoftToken, now: datetime) -> tuple[Reminder, ...]:
    """Whatever ends within the longest of `REMIND_BEFORE`, or has ended, told before or not."""
    found = (reminder(deadline, now, ()) for deadline in deadlines(soft))
    return tuple(one for one in found if one is not None)


def day_words(at: datetime) -> str:
    """ "2 November 2026" (UTC)."""
    return day(at)


# --- The run-book

RUN_BOOK = (
    N_(
        "Choose a time when you do not prescribe. The moment your certificate is renewed the old one ends, "
        "and you cannot sign controlled substances until every step below is done. Allow an hour."
    ),
    N_("Have at hand: your phone with the app, the app's password, and your account's password at the vendor."),
    N_(
        "Agree the time with your EPCS administrator, who gives an override for 15 minutes, and with the two "
        "people who grant EPCS: one enters the grant, the other, a DEA registrant, executes it."
    ),
    N_("If you have a hardware token, check that it signs: it is what you sign with if something takes longer."),
    N_("Sign in at the vendor (IdenTrust) and renew the certificate. From now on, finish."),
    N_("At the vendor, authenticate your device anew, as its page asks, until it shows your device as active."),
    N_(
        "Register the device anew at the EHR: renewagent softtoken reregister --cause certificate-renewed. "
        "It clears EPCS Device Registration, registers the device, enables EPCS, and says who does what next."
    ),
    N_("When it says that you can sign, sign one prescription to see that you can."),
)
"""A certificate's renewal, step by step: the old one ends at once, so that whoever starts has to finish."""


# --- RFC 5545


def ics(due: Iterable[Deadline], now: datetime) -> str:
    """An iCalendar text with a day for each deadline and an alarm for each reminder; lines end with CR LF."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//renewagent//EPCS reminders//EN", "METHOD:PUBLISH"]
    for deadline in due:
        lines += _event(deadline, now)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in fold(line))


def _event(deadline: Deadline, now: datetime) -> list[str]:
    day = deadline.ends.astimezone(UTC)
    summary = _("EPCS: {what} ends").format(what=deadline.what.words)
    return [
        "BEGIN:VEVENT",
        f"UID:{deadline.what.value}-{day:%Y%m%d}-{_identifier(deadline.username)}@renewagent",
        f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
        "TRANSP:TRANSPARENT",
        f"SUMMARY:{escape(summary)}",
        f"DESCRIPTION:{escape(_description(deadline))}",
        *(line for days in REMIND_BEFORE for line in _alarm(_ahead(summary, days), days)),
        "END:VEVENT",
    ]


def _ahead(summary: str, days: int) -> str:
    return ngettext("{summary} in {days} day", "{summary} in {days} days", days).format(summary=summary, days=days)


def _alarm(said: str, days: int) -> list[str]:
    return [
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{escape(said)}",
        f"TRIGGER:-P{days}D",
        "END:VALARM",
    ]


def _description(deadline: Deadline) -> str:
    ahead = Reminder(deadline, (), 1).advice
    named = _("Soft Token User Name: {username}").format(username=deadline.username)
    if deadline.what is What.PASSWORD:
        return f"{named}\n{ahead}"
    steps = "\n".join(f"{number}. {_(step)}" for number, step in enumerate(RUN_BOOK, 1))
    return f"{named}\n{ahead}\n\n{steps}"


def _identifier(username: str) -> str:
    """The user name in letters and digits that every program takes in a UID, and no two names alike."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in username)


def escape(text: str) -> str:
    """TEXT as RFC 5545, 3.3.11 has it."""
    escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")


def fold(line: str) -> list[str]:
    """The line in pieces of at most 75 octets of UTF-8, each but the first with a space before (RFC 5545, 3.1); no
    character is cut in two."""
    pieces, piece = [], ""
    for character in line:
        if len((piece + character).encode()) > _MOST_OCTETS:
            pieces.append(piece)
            piece = " "
        piece += character
    return [*pieces, piece]
