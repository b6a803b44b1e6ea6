"""How often a renewal that nothing disturbs wants the passcode: told to whoever types it at the reader each time.

The numbers are those of docs/renewal.md ("How often the passcode is presented"), where a test keeps both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from renewagent.agent import passcode_words
from renewagent.agent.job import Job
from renewagent.agent.words import Message
from renewagent.card.interface import TakesPinAtPad
from renewagent.errors import CardError
from renewagent.renewal import Way, can_protect

VERIFIES: Mapping[tuple[Way, str], tuple[int, int, int, int]] = MappingProxyType(
    {
        (Way.A, "kur"): (5, 6, 3, 2),
        (Way.A, "cr"): (3, 6, 3, 2),
        (Way.B, "kur"): (6, 10, 4, 4),
        (Way.B, "cr"): (4, 10, 4, 4),
        (Way.D, "cr"): (4, 10, 4, 3),
    }
)
"""By way and request: the signing key always and the authentication key once; both always; both once; and how often
more where the management key lies behind the passcode."""


def told_beforehand(job: Job, before: Message) -> Message:
    """`before`, and how often the passcode is typed at the reader, if it is typed there."""
    if not job.passcode.at_pad(job.card):
        return before
    job.passcode.expected = expected(job)
    return passcode_words.before_at_pad(before, job.passcode.expected, at_least=_more_to_come(job))


def expected(job: Job) -> int | None:
    """How often, by what is known before the renewal begins; None where that is not known."""
    numbers = VERIFIES.get((job.renewal.way, _request(job))) if job.renewal.way is not None else None
    column = _column(job)
    if numbers is None or column is None:
        return None
    return numbers[column] + (numbers[3] if job.card.administration_needs_pin else 0)


def _request(job: Job) -> str:
    """`kur` where the old key may protect it, and no ticket goes before it (see `steps`)."""
    ticket_first = job.renewal.way is not Way.A and "tickets" in job.renewal.facts
    return "kur" if job.renewal.way is not Way.D and can_protect(job.old) and not ticket_first else "cr"


def _column(job: Job) -> int | None:
    if not isinstance(job.card, TakesPinAtPad):
        return None
    try:
        policies = [job.card.wants_pin_each_time(slot) for slot in (job.slot, job.authentication_certificate()[0])]
    except CardError:
        return None
    return {(True, False): 0, (True, True): 1, (False, False): 2}.get((policies[0], policies[1]))


def _more_to_come(job: Job) -> bool:
    """The second of a pair, and what goes to an RA that opens the card, add to it."""
    return job.campaign.renews == "pair" or job.place.key_relay is not None
