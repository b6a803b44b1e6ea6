"""What a person reads about the Registration Authority's desk: when their turn comes, when they must go there, and what
is said there. Pure functions of data, like `renewagent.agent.words`, whose rules for words hold here too.
"""

from __future__ import annotations

from datetime import datetime

from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.tries_in_words import tries
from renewagent.agent.words import Message, contact_in_words
from renewagent.language import N_, _
from renewagent.model import CardIdentity
from renewagent.rules import Contact

TOO_OFTEN = N_("This smartcard has been renewed without a visit as often as is allowed.")
"""The RA has its people come in person after so many renewals."""


def in_person(contact: Contact) -> str:
    """What to do with a card that only the RA can renew."""
    who = _("Only your Registration Authority can renew it, in person.")
    return f"{who} {contact_in_words(contact)}".strip()


def later(until: datetime, now: datetime, contact: Contact) -> Message:
    """An affected card whose turn comes at `until`, in the person's own zone: the RA spreads its renewals."""
    body = _("Your Registration Authority renews this smartcard {when}.").format(when=moment_in_words(until, now))
    safety = _("Do not sign prescriptions with this smartcard until you renew it.")
    kept = _("Your turn is kept for you. You will be told when it has come.")
    advice = f"{kept} {contact_in_words(contact)}".strip()
    return Message("put-off", _("Renew your smartcard later"), f"{body} {safety}", advice)


def busy_ra(until: datetime, now: datetime, contact: Contact) -> Message:
    """The RA wants to hear nothing before `until`, in the person's own zone."""
    body = _("It is busy, and we ask it again {when}. You do not need to do anything.")
    said = body.format(when=moment_in_words(until, now))
    return Message("busy-ra", _("Waiting for the Registration Authority"), said, contact_in_words(contact))


# --- two cards at the RA's desk --------------------------------------------------------------------------------------

ENDING = N_("The certificates on this smartcard have ended, or will soon.")
NOTHING_DUE = N_("There is nothing to renew on this smartcard.")
WHY_NOT_DUE = N_("No notice is about it, and its certificates are good for more than 90 days.")
NO_ORDERS = N_("This Registration Authority takes no orders from its officers' smartcards.")


def officers_pin(card: CardIdentity, tries_left: int | None) -> Message:
    """Above the field for the officer's own passcode, which comes first."""
    who = _("Officer of the Registration Authority: type the passcode (PIN) of your own smartcard, ending {ending}.")
    said = _with_tries(who.format(ending=card.ending), tries_left)
    return Message("officer-pin", _("The officer's passcode (PIN)"), said)


def holders_pin(card: CardIdentity, tries_left: int | None) -> Message:
    """Above the field for the passcode of the person whose card is renewed."""
    who = _("Now its holder: type the passcode (PIN) of the smartcard ending {ending}, which is being renewed.")
    return Message("pin", _("The holder's passcode (PIN)"), _with_tries(who.format(ending=card.ending), tries_left))


def ordered(card: CardIdentity) -> Message:
    """The RA has taken the officer's order."""
    body = _("The Registration Authority has your order to renew the smartcard ending {ending}.")
    advice = _("The holder goes on from here.")
    return Message("ordered", _("Order given"), body.format(ending=card.ending), advice)


def _with_tries(text: str, left: int | None) -> str:
    return text if left is None else f"{text} {tries(left)}"
