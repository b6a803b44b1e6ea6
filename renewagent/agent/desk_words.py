"""What a person reads about the Registration Authority's desk: when their turn comes, when they must go there, and what
is said there. Pure functions of data, like `renewagent.agent.words`, whose rules for words hold here too.
"""

from __future__ import annotations

from datetime import datetime

from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.words import Message, card_in_words, contact_in_words, tries
from renewagent.model import CardIdentity
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


# --- two cards at the RA's desk --------------------------------------------------------------------------------------

ENDING = "The certificates on this smartcard have ended, or will soon."
NOTHING_DUE = "There is nothing to renew on this smartcard."
WHY_NOT_DUE = "No notice is about it, and its certificates are good for more than 90 days."
NO_ORDERS = "This Registration Authority takes no orders from its officers' smartcards."


def officers_pin(card: CardIdentity, tries_left: int | None) -> Message:
    """Above the field for the officer's own passcode, which comes first."""
    who = f"Officer of the Registration Authority: type the passcode (PIN) of your own smartcard, ending {card.ending}."
    return Message("officer-pin", "The officer's passcode (PIN)", _with_tries(who, tries_left))


def holders_pin(card: CardIdentity, tries_left: int | None) -> Message:
    """Above the field for the passcode of the person whose card is renewed."""
    who = f"Now its holder: type the passcode (PIN) of {card_in_words(card)}, which is being renewed."
    return Message("pin", "The holder's passcode (PIN)", _with_tries(who, tries_left))


def ordered(card: CardIdentity) -> Message:
    """The RA has taken the officer's order."""
    body = f"The Registration Authority has your order to renew {card_in_words(card)}."
    return Message("ordered", "Order given", body, "The holder goes on from here.")


def _with_tries(text: str, left: int | None) -> str:
    return text if left is None else f"{text} {tries(left)}"
