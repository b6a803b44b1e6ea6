"""What a person reads about the Registration Authority's desk: when their turn comes, when they must go there, and what
is said there. Pure functions of data, like `renewagent.agent.words`, whose rules for words hold here too.
"""

from __future__ import annotations

from datetime import datetime

from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.words import Message, contact_in_words
from renewagent.rules import Contact

TOO_OFTEN = "This smartcard has been renewed without a visit as often as is allowed."
"""The RA has its people come in person after so many renewals."""


def in_person(contact: Contact) -> str:
    """What to do with a card that only the RA can renew."""
    return f"Only your Registration Authority can renew it, in person. {contact_in_words(contact)}".strip()


def later(until: datetime, now: datetime, contact: Contact) -> Message:
    """An affected card whose turn comes at `until`, in the person's own zone: the RA spreads its renewals."""
    body = f"Your Registration Authority renews this smartcard {moment_in_words(until, now)}."
    safety = "Do not sign prescriptions with this smartcard until you renew it."
    advice = f"Your turn is kept for you. You will be told when it has come. {contact_in_words(contact)}".strip()
    return Message("put-off", "Renew your smartcard later", f"{body} {safety}", advice)


def busy_ra(until: datetime, now: datetime, contact: Contact) -> Message:
    """The RA wants to hear nothing before `until`, in the person's own zone."""
    body = f"It is busy, and we ask it again {moment_in_words(until, now)}. You do not need to do anything."
    return Message("busy-ra", "Waiting for the Registration Authority", body, contact_in_words(contact))
