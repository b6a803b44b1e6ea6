"""What a person reads who wants to know more than a message says: why a smartcard is to be renewed, and how one is
unlocked. Pure functions of data, like `renewagent.agent.words`, whose rules for words hold here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from renewagent.agent.times_in_words import date_in_words, dates_in_words
from renewagent.agent.words import Message, reason_of
from renewagent.language import _
from renewagent.model import CertificateHead
from renewagent.rules import Campaign

NEEDS_UNLOCKING = frozenset({"RA-PIN-LAST-TRY", "RA-PIN-BLOCKED"})
"""Codes of errors after which a smartcard is to be unlocked."""


def why(told: Message, campaign: Campaign, rule: str | None, head: CertificateHead | None) -> Message:
    """Behind the button "Why?" of `told`, whose other buttons it has: what the RA's notice says and is about, how this
    smartcard comes under it, and what renewing does."""
    hit = next((one for one in campaign.rules if one.name == rule), None)
    dates = dates_in_words(hit.issued_from, hit.issued_to) if hit else ""
    cause = [reason_of(campaign)]
    if dates and head is not None:  # the reason was read before, and desktops show no more than a few lines
        cause = [
            _("The notice is about certificates issued {dates}.").format(dates=dates),
            _("The one on this smartcard was issued on {date}.").format(date=date_in_words(head.not_before)),
        ]
    cure = _("Renewing puts a new certificate on the same smartcard. Your passcode stays as it is.")
    body = " ".join((*cause, cure))
    return replace(told, title=_("Why renew this smartcard?"), body=body)


def unlocking() -> Sequence[str]:
    """How to unlock a smartcard, in steps."""
    return (
        _(
            "Take it to your Registration Authority, your sponsor or a local smartcard administrator. Or unlock it "
            "yourself, if your organisation lets you."
        ),
        _("You choose a new passcode. Everything else on the smartcard stays as it is."),
        _("Then put it back in and start the renewal again."),
    )
